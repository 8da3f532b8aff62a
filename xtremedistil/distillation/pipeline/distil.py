"""A whole distillation: teacher, stages, selection on dev, artefacts, report.

The teacher may come from elsewhere (`outside_teacher`): then it gives logits alone, and there is no stage on states.

Killed and started again with the same command, it goes on from where it was last saved and ends with the same bytes.
Order of resuming: (1) a finished run prints its report; (2) the teacher's `model-ft.h5`; (3) the checkpoint of each
stage (or chunk of a stage), which counts when both its weights and its history are there; (4) in the middle of a fit,
be it the teacher's, the baseline's or a stage's, its newest snapshot.
"""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Sequence

import numpy as np

from xtremedistil.console.progress import Progress, clock
from xtremedistil.distillation.data.corpus import data_fingerprint
from xtremedistil.distillation.pipeline.output_source import Source, source_of
from xtremedistil.distillation.pipeline.run_context import Setting, open_setting
from xtremedistil.distillation.pipeline.student import InitialStudent, initial_student
from xtremedistil.distillation.pipeline.student_states import FrozenFeatures, frozen_features
from xtremedistil.distillation.pipeline.teacher import TunedTeacher, tuned_teacher
from xtremedistil.distillation.pipeline.transfer_stage import TransferFit
from xtremedistil.distillation.planning.config import DistilConfig, resolve
from xtremedistil.distillation.planning.path_checks import require_paths, require_unfrozen
from xtremedistil.distillation.planning.stages import Stage, check_stages, checkpoint_name, plan_stages
from xtremedistil.distillation.planning.validation import check_distil
from xtremedistil.distillation.teacher_outputs.external_logits import ExampleLogits
from xtremedistil.distillation.teacher_outputs.external_teacher import (
    describe,
    open_outside_teacher,
    outside_fingerprints,
    outside_graph,
)
from xtremedistil.distillation.teacher_outputs.onnx_teacher import Graph, OnnxTeacher
from xtremedistil.evaluation.report import Report, read_report
from xtremedistil.evaluation.scorer import scored_row
from xtremedistil.finetuning.supervised import LabelFit, fit_on_labels
from xtremedistil.flags import old_names
from xtremedistil.models.checkpoints.h5_weights import save_weights
from xtremedistil.models.prediction import PredictFunction
from xtremedistil.storage import files, model_folder, run_folder
from xtremedistil.terms.match_parsing import read_matches
from xtremedistil.training.run_once import once
from xtremedistil.training.state import History
from xtremedistil.training.strategy import make_strategy, precision, seed_everything, set_precision, stage_seed
from xtremedistil.training.workers import Workers, in_turn, told_of_lost_workers

NOT_SETTINGS = (
    "model_dir",
    "teacher_model_dir",
    "teacher_outputs_dir",
    "save_steps",
    "save_minutes",
    "overwrite",
    "dry_run",
    "verbose",
    "baseline",
)

PATHS = (
    "task",
    "transfer_file",
    "augment",
    "augment_copies",
    "augment_checkpoint",
    "pt_teacher_checkpoint",
    "pt_student_checkpoint",
    "teacher_logits",
    "teacher_onnx",
)

BASELINE_PLACE = 99  # in the plan, for seeds: behind every stage


def distil(config: DistilConfig, stages: Sequence[Stage] | None = None) -> Report:
    """Distils as `config` says; writes the student into `config.model_dir`.

    Args:
        stages: what runs in place of the stages of `config.recipe`, in this order; numbered from 1, as the files of
            their checkpoints are. `plan_stages` gives those of a recipe, to begin with. All else is as `config` says;
            the weight of gold labels in a joint stage, for one, goes with the recipe "joint".

    Raises:
        InputError: something in the settings, stages or files cannot be used; nothing half-written stays behind.
    """
    check_distil(config)
    config = resolve(config)
    if stages is not None:
        check_stages(stages, logits_only=config.logits_only)
        require_unfrozen(config, stages)
    require_paths(config)
    strategy = make_strategy(config.strategy, config.tpu)
    workers = Workers(strategy)
    with told_of_lost_workers(workers), in_turn(workers, config.model_dir):
        graph = outside_graph(config)
        settings = run_settings(config, graph, stages)
        if not config.overwrite:
            run_folder.check_claim(config.model_dir, settings, old_names(DistilConfig))
            if report := _finished_report(config, workers):
                return report
        # All files are read before anything is removed or written.
        setting = open_setting(config, strategy, workers, stages)
        outside = open_outside_teacher(config, setting.corpus, graph, workers.on_chief)
        workers.on_chief(lambda: run_folder.claim(config.model_dir, settings, config.overwrite))
        with precision(config.teacher_opt_policy):  # --opt_policy is for students, as in the original
            return _run(setting, outside)


def run_settings(config: DistilConfig, graph: Graph | None, stages: Sequence[Stage] | None = None) -> dict:
    """What decides the result: flags, stages that were given, bytes of data and checkpoints in place of their paths."""
    flags = dataclasses.asdict(config).items()
    settings = {name: value for name, value in flags if name not in (*NOT_SETTINGS, *PATHS)}
    settings["pt_teacher_checkpoint"] = model_folder.fingerprint_checkpoint(config.pt_teacher_checkpoint)
    if config.pt_student_checkpoint:
        settings["pt_student_checkpoint"] = model_folder.fingerprint_checkpoint(config.pt_student_checkpoint)
    settings["match"] = [repr(match) for match in read_matches(config.match)]  # files may change
    if stages is not None:
        settings["stages"] = [repr(stage) for stage in stages]
    return settings | data_fingerprint(config) | outside_fingerprints(config, graph)


def _finished_report(config: DistilConfig, workers: Workers) -> Report | None:
    """The report of a run that has ended before, unless a baseline is wanted that it has not.

    The chief's answer holds for all; a worker that does not see the report yet has an empty one.
    """
    report = _report_there(config.model_dir)
    if report and config.baseline and not any(row.name == BASELINE for row in report.rows):
        report = None
    if not workers.agree(report is not None):
        return None
    Progress().say(f"This run has finished before: {config.model_dir}. --overwrite starts it again.")
    return report or Report()


def _report_there(folder: str) -> Report | None:
    there = [os.path.isfile(os.path.join(folder, name)) for name in (model_folder.CONFIG, model_folder.REPORT)]
    return read_report(os.path.join(folder, model_folder.REPORT)) if all(there) else None


TEACHER, STUDENT, BASELINE = "teacher", "student", "student, labels only"  # rows of the report


def _run(setting: Setting, outside: ExampleLogits | OnnxTeacher | None) -> Report:
    config, report = setting.config, Report()
    if config.legacy:
        setting.progress.say("--legacy: the TEST file chooses the best weights, so the test score will be too good.")
    teacher = _teacher(setting, report) if outside is None else _outside_teacher(setting, outside, report)
    encoder = teacher.teacher.encoder if outside is None else None
    set_precision(config.opt_policy)
    if config.baseline:
        _baseline(setting, encoder, report)
    student = initial_student(setting, encoder)
    stages = setting.stages or plan_stages(config, list(student.trainable_blocks))
    for stage in stages:  # before the first of them runs: the last may have nothing to train
        student.unfrozen(stage.unfrozen)
    report.best_stage, dev = _run_stages(setting, teacher, student, stages, report)
    _add_row(setting, report, STUDENT, student.student.predict_function, student.student.parts, dev)
    setting.workers.on_chief(lambda: _save(setting, student, report))
    return report


def _teacher(setting: Setting, report: Report) -> TunedTeacher:
    folder = setting.config.teacher_model_dir
    same = os.path.realpath(folder) == os.path.realpath(setting.config.model_dir)
    with contextlib.nullcontext() if same else in_turn(setting.workers, folder):
        tuned = tuned_teacher(setting)
    setting.workers.on_chief(lambda: run_folder.bind_teacher(setting.config.model_dir, tuned.key))
    dev = _add_row(setting, report, TEACHER, tuned.teacher.predict_function, tuned.teacher.parts, tuned.dev)
    if tuned.epochs:
        _note(setting, report, Stage(0, "labels", (TEACHER,), 0, 0.0, 0), dev, tuned.epochs, tuned.seconds)
    return tuned


def _outside_teacher(
    setting: Setting, outside: ExampleLogits | OnnxTeacher, report: Report
) -> TunedTeacher | ExampleLogits:
    """A graph is scored as any teacher; logits of the transfer file cannot be."""
    setting.progress.say(f"teacher: {describe(outside, setting.corpus.task.labels)}")
    if isinstance(outside, OnnxTeacher):
        _add_row(setting, report, TEACHER, outside.model, outside.parts)
        return TunedTeacher(outside, outside.key, 0.0, 0)
    return outside


def _baseline(setting: Setting, teacher_encoder, report: Report) -> None:
    """The same student on the labels alone: all blocks at once, and no fewer epochs than any stage may have."""
    config = setting.config
    initial = initial_student(setting, teacher_encoder)
    epochs = max(config.ft_epochs, config.distil_epochs)
    recipe = setting.recipe(config.learning_rate, epochs, BASELINE_PLACE)
    setting.progress.begin("student on the labels alone", later=[])
    keeper = setting.keeper("baseline")
    label_fit = setting.label_fit(recipe, config.student_ft_batch_size, keeper)
    record = once(
        setting.path(model_folder.BASELINE_WEIGHTS),
        initial.checkpoint_parts,
        keeper,
        setting.workers,
        lambda: _fit_on_labels(setting, initial, list(initial.trainable_blocks), label_fit),
    )
    dev = record["score"]
    _add_row(setting, report, BASELINE, initial.student.predict_function, initial.student.parts, dev)
    _note(setting, report, Stage(0, "labels", (BASELINE,), 0, 0.0, 0), dev, record["epochs"], record["seconds"])


def _run_stages(
    setting: Setting,
    teacher: TunedTeacher | ExampleLogits,
    student: InitialStudent,
    stages: Sequence[Stage],
    report: Report,
) -> tuple[int, float | None]:
    """Runs the plan; returns the number of the best stage, whose weights are in place, and its score, if of dev."""
    source, workers = source_of(setting, teacher), setting.workers
    weights = [variable for variables in student.saved_parts.values() for variable in variables]
    best_score, best_stage, best = -np.inf, 0, []
    for place, stage in enumerate(stages):
        later = [_most_steps(setting, other) for other in stages[place + 1 :]]
        setting.progress.begin(f"stage {stage.number} ({stage.objective}: {', '.join(stage.unfrozen)})", later)
        record = _run_stage(setting, student, stage, source)
        scored = stage.objective != "representation"
        dev = workers.agree(student.score(setting.scorer, setting.stage_selection)) if scored else None
        _note(setting, report, stage, dev, record["epochs"], record["seconds"], record["score"])
        # The latest of equals wins, as in the original.
        if dev is not None and dev >= best_score:
            best_score, best_stage = dev, stage.number
            best = [variable.numpy() for variable in weights]
    for variable, value in zip(weights, best, strict=True):
        variable.assign(value)
    return best_stage, None if setting.config.legacy else float(best_score)


def _run_stage(setting: Setting, student: InitialStudent, stage: Stage, source: Source) -> dict:
    seed_everything(stage_seed(setting.config.seed, stage.number))
    if stage.on_transfer_set:
        return TransferFit(setting, student, stage, source).run()
    recipe = setting.recipe(stage.learning_rate, stage.epochs, stage.number)
    keeper, frozen = setting.keeper(f"stage {stage.number}"), frozen_features(setting, student, stage)
    label_fit = setting.label_fit(recipe, stage.batch_size, keeper)
    return once(
        setting.path(checkpoint_name(stage, None)),
        student.checkpoint_parts,
        keeper,
        setting.workers,
        lambda: _fit_on_labels(setting, student, stage.unfrozen, label_fit, frozen),
    )


def _fit_on_labels(
    setting: Setting,
    student: InitialStudent,
    unfrozen: Sequence[str],
    label_fit: LabelFit,
    frozen: FrozenFeatures | None = None,
) -> History:
    variables = [variable for block in student.unfrozen(unfrozen).values() for variable in block]
    if frozen:
        states = [frozen.of(setting.corpus.train.features, "train")]
        return fit_on_labels(frozen.model, variables, label_fit, lambda: frozen.score(setting.corpus.dev), states)
    model, score = student.student.training_model, lambda: student.score(setting.scorer, setting.corpus.dev)
    history = fit_on_labels(model, variables, label_fit, score)
    student.student.settle()
    return history


def _most_steps(setting: Setting, stage: Stage) -> int:
    rows = setting.corpus.transfer.rows if stage.on_transfer_set else len(setting.corpus.train.features)
    rows_per_step = setting.global_batch(stage.batch_size) * setting.config.gradient_accumulation_steps
    return stage.epochs * -(-rows // rows_per_step)


def _note(
    setting: Setting, report: Report, stage: Stage, dev: float | None, epochs: int, seconds: float, score: float = 0.0
) -> None:
    """A line for the person, an entry for the report."""
    chosen_on = "TEST" if setting.config.legacy and stage.number else "dev"
    outcome = f"{chosen_on} {100 * dev:.1f}" if dev is not None else f"held-out loss {-score:.4g}"
    name = f"stage {stage.number}" if stage.number else "before"
    trained = "+".join(stage.unfrozen)
    setting.progress.say(
        f"{name:<8}{stage.objective:<15} {trained:<21} {outcome:<22} {epochs} epochs in {clock(seconds)}"
    )
    entry = {"stage": stage.number, "objective": stage.objective, "unfrozen": list(stage.unfrozen)}
    report.stages.append(entry | {"epochs": epochs, "dev": dev, "score": score, "seconds": seconds})


def _add_row(
    setting: Setting, report: Report, name: str, predict: PredictFunction, parts: dict, dev: float | None = None
) -> float:
    """Scores a model once on test and, where that is not known yet, on dev; returns the dev score."""
    corpus = setting.corpus
    row, metrics = scored_row(name, predict, parts, setting.scorer, corpus.dev if dev is None else dev, corpus.test)
    report.rows.append(row)
    report.metrics[name] = metrics
    return row.dev


def _save(setting: Setting, student: InitialStudent, report: Report) -> None:
    """The finished folder. Its configuration comes last: with it, the run counts as finished."""
    config = setting.config
    shutil.rmtree(setting.path(model_folder.FROZEN_FEATURES), ignore_errors=True)
    setting.corpus.tokenizer.save(config.model_dir)
    files.write_array(setting.path(model_folder.WORD_EMBEDDING), student.word_embedding_to_save())
    save_weights(setting.path(model_folder.STUDENT_WEIGHTS), student.saved_parts)
    files.write_json(setting.path(model_folder.REPORT), report.to_dict())
    files.write_json(setting.path(model_folder.CONFIG), saved_config(setting, student))
    chosen_on = "test (--legacy)" if config.legacy else "dev"
    setting.progress.say(f"Stage {report.best_stage} was best on {chosen_on}; the student is in {config.model_dir}.")


def saved_config(setting: Setting, initial: InitialStudent) -> dict:
    """`xtremedistil-config.json`: the original's keys, and what makes the folder stand alone."""
    task, student = setting.corpus.task, initial.student
    return dataclasses.asdict(setting.config) | {
        "hidden_size": student.encoder.config.hidden_size,
        "num_hidden_layers": student.encoder.config.num_hidden_layers,
        "num_attention_heads": student.encoder.config.num_attention_heads,
        "teacher_hidden_size": student.teacher_hidden_size,
        "label_list": list(task.all_labels),
        "pseudo_labels": list(task.pseudo_labels),
        "student_config": student.encoder.config.to_diff_dict() | {"model_type": student.family.model_type},
        "format_version": model_folder.FORMAT_VERSION,
    }
