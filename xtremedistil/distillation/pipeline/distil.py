"""Runs a whole distillation: teacher, stages, selection on dev, files of the student, report.

An external teacher (`external_teacher`) gives only logits; then there is no stage on hidden states.

A killed run that is started again with the same command continues from its last save and writes the same bytes. It
resumes from (1) the report, if the run is finished; (2) the teacher's `model-ft.h5`; (3) the checkpoint of each stage
(or chunk of a stage) that has both weights and history; (4) the newest snapshot of an interrupted fit.
"""

import contextlib
import os
import shutil
from collections.abc import Sequence

import numpy as np

from xtremedistil.console.progress import Progress, clock
from xtremedistil.data.features import LabelledSet
from xtremedistil.distillation.data.corpus import data_fingerprint
from xtremedistil.distillation.pipeline.measure import measured
from xtremedistil.distillation.pipeline.output_source import Source, source_of
from xtremedistil.distillation.pipeline.path_checks import require_paths
from xtremedistil.distillation.pipeline.run_context import RunContext, open_run
from xtremedistil.distillation.pipeline.student import InitialStudent, initial_student
from xtremedistil.distillation.pipeline.student_states import FrozenFeatures, frozen_features
from xtremedistil.distillation.pipeline.teacher import FinetunedTeacher, load_or_finetune_teacher
from xtremedistil.distillation.pipeline.transfer_stage import TransferFit
from xtremedistil.distillation.planning.config import DistilConfig
from xtremedistil.distillation.planning.plan import DEV, DistillationPlan
from xtremedistil.distillation.planning.planner import make_plan
from xtremedistil.distillation.planning.stages import LABELS, REPRESENTATION, Stage, checkpoint_name
from xtremedistil.distillation.teacher_outputs.external_logits import ExternalLogits
from xtremedistil.distillation.teacher_outputs.external_teacher import (
    describe,
    external_fingerprints,
    external_graph,
    open_external_teacher,
)
from xtremedistil.distillation.teacher_outputs.onnx_teacher import Graph, OnnxTeacher
from xtremedistil.evaluation.report import Report, read_report
from xtremedistil.evaluation.scorer import scored_row
from xtremedistil.evaluation.verdict import Scores, commonest_score, verdict, weak_teacher
from xtremedistil.finetuning.supervised import LabelFit, fit_on_labels
from xtremedistil.flags import old_names
from xtremedistil.models.checkpoints.h5_weights import save_weights
from xtremedistil.models.prediction import PredictFunction
from xtremedistil.storage import files, model_folder, run_folder
from xtremedistil.storage.checksums import write_vouched_array, write_vouched_json
from xtremedistil.training.run_once import run_once
from xtremedistil.training.state import History
from xtremedistil.training.strategy import make_strategy, precision, seed_everything, set_precision, stage_seed
from xtremedistil.training.workers import Workers, folder_lock, told_of_lost_workers

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
BASELINE_PLACE = 99  # stage number of the baseline for seeds, above that of every stage
TEACHER, STUDENT, BASELINE = "teacher", "student", "student, labels only"  # rows of the report


def distil(config: DistilConfig, stages: Sequence[Stage] | None = None) -> Report | DistillationPlan:
    """Distils as `config` says; writes the student into `config.model_dir`.

    With `config.dry_run`, returns the plan, as `xtremedistil.plan` does, and writes nothing.

    Args:
        stages: replace the stages of `config.recipe` and run in this order, numbered from 1 as in the names of their
            checkpoints. `plan_stages` returns those of a recipe, to start from. All other settings come from `config`;
            for example, a joint stage uses `hard_label_weight` only with the recipe "joint".

    Raises:
        InputError: settings, stages or files cannot be used; nothing half-written stays behind.
    """
    made = make_plan(config, stages)
    return measured(made) if config.dry_run else run_plan(made)


def run_plan(plan: DistillationPlan) -> Report:
    """Runs a plan. Raises as `distil`."""
    require_paths(plan)
    strategy = make_strategy(plan.strategy, plan.tpu)
    workers = Workers(strategy)
    with told_of_lost_workers(workers):
        graph = external_graph(plan.teacher)
        settings = run_settings(plan, graph)
        if report := _finished_report(plan, settings, workers):  # only read, so that nobody is locked out
            return report
        with folder_lock(workers, plan.model_dir):
            if report := _finished_report(plan, settings, workers):  # another run may have ended meanwhile
                return report
            # All files are read before anything is removed or written.
            run = open_run(plan, strategy, workers)
            external = open_external_teacher(plan, run.corpus, graph, workers.on_chief)
            workers.on_chief(lambda: run_folder.bind_run(plan.model_dir, settings, plan.overwrite))
            with precision(plan.teacher.precision):  # `opt_policy` is for students, as in the original
                return _run(run, external)


def run_settings(plan: DistillationPlan, graph: Graph | None) -> dict:
    """Returns what determines the result: flags, given stages, and fingerprints of data and checkpoints."""
    settings = {name: value for name, value in plan.flags.items() if name not in (*NOT_SETTINGS, *PATHS)}
    settings["pt_teacher_checkpoint"] = model_folder.fingerprint_checkpoint(plan.teacher.checkpoint)
    if plan.student.checkpoint:
        settings["pt_student_checkpoint"] = model_folder.fingerprint_checkpoint(plan.student.checkpoint)
    settings["match"] = [repr(match) for match in plan.terms.matches] if plan.flags["match"] else []  # files may change
    if plan.own_stages:
        settings["stages"] = [repr(stage) for stage in plan.stages]
    return settings | data_fingerprint(plan) | external_fingerprints(plan.teacher, graph)


def _finished_report(plan: DistillationPlan, settings: dict, workers: Workers) -> Report | None:
    """Returns the report of a finished run; None if there is none, or if it lacks the baseline that the plan wants.

    The chief decides for all workers; a worker that does not see the report yet returns an empty one.

    Raises:
        InputError: the folder belongs to a run with other settings.
    """
    if plan.overwrite:
        return None
    run_folder.check_run(plan.model_dir, settings, old_names(DistilConfig))
    report = _saved_report(plan.model_dir)
    if report and plan.baseline and not any(row.name == BASELINE for row in report.rows):
        report = None
    if not workers.broadcast_from_chief(report is not None):
        return None
    Progress().log(f"This run has finished before: {plan.model_dir}. `overwrite` starts it again.")
    return report or Report()


def _saved_report(folder: str) -> Report | None:
    there = [os.path.isfile(os.path.join(folder, name)) for name in (model_folder.CONFIG, model_folder.REPORT)]
    return read_report(os.path.join(folder, model_folder.REPORT)) if all(there) else None


def _run(run: RunContext, external: ExternalLogits | OnnxTeacher | None) -> Report:
    plan, report = run.plan, Report(metric_note=run.scorer.metric_note)
    for notice in plan.notices:
        run.progress.log(notice)
    teacher = _teacher(run, report) if external is None else _external_teacher(run, external, report)
    encoder = teacher.teacher.encoder if external is None else None
    set_precision(plan.student.precision)
    if plan.baseline:
        _baseline(run, plan.baseline, encoder, report)
    student = initial_student(run, encoder)
    for stage in plan.stages:  # checked before the first stage runs: a later one may have nothing to train
        student.unfrozen(stage.unfrozen)
    report.best_stage, dev = _run_stages(run, teacher, student, report)
    _add_row(run, report, STUDENT, student.student.predict_function, student.student.parts, dev)
    report.verdict = verdict(_test_scores(run, report))
    run.workers.on_chief(lambda: _save(run, student, report))
    return report


def _teacher(run: RunContext, report: Report) -> FinetunedTeacher:
    folder, own = run.plan.teacher.folder, run.plan.model_dir
    same = os.path.realpath(folder) == os.path.realpath(own)
    there = run.workers.broadcast_from_chief(os.path.isfile(os.path.join(folder, model_folder.TEACHER_WEIGHTS)))
    # A finished teacher is only read: it appeared whole, and its checksum tells if it was replaced.
    with contextlib.nullcontext() if same or there else folder_lock(run.workers, folder):
        finetuned = load_or_finetune_teacher(run)
    run.workers.on_chief(lambda: run_folder.bind_teacher(own, finetuned.key))
    model = finetuned.teacher
    dev = _add_row(run, report, TEACHER, model.predict_function, model.parts, finetuned.dev)
    if warning := weak_teacher(dev, _commonest(run, run.corpus.dev)):
        run.progress.log(f"warning: {warning}")
    if finetuned.epochs:
        _note(run, report, Stage(0, LABELS, (TEACHER,), 0, 0.0, 0), dev, finetuned.epochs, finetuned.seconds)
    return finetuned


def _external_teacher(
    run: RunContext, external: ExternalLogits | OnnxTeacher, report: Report
) -> FinetunedTeacher | ExternalLogits:
    """Scores an ONNX graph as any teacher; a file of logits for the transfer file cannot be scored."""
    run.progress.log(f"teacher: {describe(external, run.corpus.task.labels)}")
    if isinstance(external, OnnxTeacher):
        _add_row(run, report, TEACHER, external.model, external.parts)
        return FinetunedTeacher(external, external.key, 0.0, 0)
    return external


def _baseline(run: RunContext, stage: Stage, teacher_encoder, report: Report) -> None:
    """Trains the same student on labels only, and scores it."""
    initial = initial_student(run, teacher_encoder)
    settings = run.training_settings(stage.learning_rate, stage.epochs, BASELINE_PLACE)
    run.progress.begin("student on labels only", later=[])
    snapshots = run.snapshots("baseline")
    label_fit = run.label_fit(settings, stage.batch_size, snapshots)
    record = run_once(
        run.path(model_folder.BASELINE_WEIGHTS),
        initial.checkpoint_parts,
        snapshots,
        run.workers,
        lambda: _fit_on_labels(run, initial, list(initial.trainable_blocks), label_fit),
    )
    dev = record["score"]
    _add_row(run, report, BASELINE, initial.student.predict_function, initial.student.parts, dev)
    _note(run, report, Stage(0, LABELS, (BASELINE,), 0, 0.0, 0), dev, record["epochs"], record["seconds"])


def _run_stages(
    run: RunContext, teacher: FinetunedTeacher | ExternalLogits, student: InitialStudent, report: Report
) -> tuple[int, float | None]:
    """Runs the stages and restores the weights of the best; returns its number, and its dev score (None: other set)."""
    source, workers, stages = source_of(run, teacher), run.workers, run.plan.stages
    weights = [variable for variables in student.saved_parts.values() for variable in variables]
    best_score, best_stage, best = -np.inf, 0, []
    for place, stage in enumerate(stages):
        later = [_most_steps(run, other) for other in stages[place + 1 :]]
        run.progress.begin(f"stage {stage.number} ({stage.objective}: {', '.join(stage.unfrozen)})", later)
        record = _run_stage(run, student, stage, source)
        scored = stage.objective != REPRESENTATION
        dev = workers.broadcast_from_chief(student.score(run.scorer, run.stage_selection)) if scored else None
        _note(run, report, stage, dev, record["epochs"], record["seconds"], record["score"])
        # The latest of equal stages wins, as in the original.
        if dev is not None and dev >= best_score:
            best_score, best_stage = dev, stage.number
            best = [variable.numpy() for variable in weights]
    for variable, value in zip(weights, best, strict=True):
        variable.assign(value)
    return best_stage, float(best_score) if run.plan.select_on == DEV else None


def _run_stage(run: RunContext, student: InitialStudent, stage: Stage, source: Source) -> dict:
    seed_everything(stage_seed(run.plan.training.seed, stage.number))
    if stage.on_transfer_set:
        return TransferFit(run, student, stage, source).run()
    settings = run.training_settings(stage.learning_rate, stage.epochs, stage.number)
    snapshots, frozen = run.snapshots(f"stage {stage.number}"), frozen_features(run, student, stage)
    label_fit = run.label_fit(settings, stage.batch_size, snapshots)
    return run_once(
        run.path(checkpoint_name(stage, None)),
        student.checkpoint_parts,
        snapshots,
        run.workers,
        lambda: _fit_on_labels(run, student, stage.unfrozen, label_fit, frozen),
    )


def _fit_on_labels(
    run: RunContext,
    student: InitialStudent,
    unfrozen: Sequence[str],
    label_fit: LabelFit,
    frozen: FrozenFeatures | None = None,
) -> History:
    variables = [variable for block in student.unfrozen(unfrozen).values() for variable in block]
    logits, dev = student.student, run.corpus.dev
    if frozen:
        states = [frozen.of(run.corpus.train.features, "train")]
        return fit_on_labels(frozen.model, variables, logits, label_fit, lambda: frozen.score(dev), states)
    model, score = student.student.training_model, lambda: student.score(run.scorer, dev)
    history = fit_on_labels(model, variables, logits, label_fit, score)
    student.student.sync_word_embeddings()
    return history


def _most_steps(run: RunContext, stage: Stage) -> int:
    rows = run.corpus.transfer.rows if stage.on_transfer_set else len(run.corpus.train.features)
    rows_per_step = run.global_batch(stage.batch_size) * run.plan.training.gradient_accumulation_steps
    return stage.epochs * -(-rows // rows_per_step)


def _note(
    run: RunContext, report: Report, stage: Stage, dev: float | None, epochs: int, seconds: float, score: float = 0.0
) -> None:
    """Logs a stage and adds it to the report."""
    chosen_on = "TEST" if run.plan.select_on != DEV and stage.number else DEV
    outcome = f"{chosen_on} {100 * dev:.1f}" if dev is not None else f"held-out loss {-score:.4g}"
    name = f"stage {stage.number}" if stage.number else "before"
    trained = "+".join(stage.unfrozen)
    run.progress.log(f"{name:<8}{stage.objective:<15} {trained:<21} {outcome:<22} {epochs} epochs in {clock(seconds)}")
    entry = {"stage": stage.number, "objective": stage.objective, "unfrozen": list(stage.unfrozen)}
    report.stages.append(entry | {"epochs": epochs, "dev": dev, "score": score, "seconds": seconds})


def _add_row(
    run: RunContext, report: Report, name: str, predict: PredictFunction, parts: dict, dev: float | None = None
) -> float:
    """Scores a model on test and, if `dev` is None, on dev; adds a row to the report and returns the dev score."""
    corpus = run.corpus
    row, metrics = scored_row(name, predict, parts, run.scorer, corpus.dev if dev is None else dev, corpus.test)
    report.rows.append(row)
    report.metrics[name] = metrics
    return row.dev


def _commonest(run: RunContext, labelled: LabelledSet) -> float:
    """Returns the score of the commonest label; 0.0 for the original's scores, which count chunks alone."""
    task, train = run.corpus.task, run.corpus.train
    return 0.0 if run.plan.score_by_token else commonest_score(task, train.examples, labelled.examples)


def _test_scores(run: RunContext, report: Report) -> Scores:
    found = {row.name: row.test for row in report.rows}
    return Scores(_commonest(run, run.corpus.test), found[STUDENT], found.get(TEACHER), found.get(BASELINE))


def _save(run: RunContext, student: InitialStudent, report: Report) -> None:
    """Writes the student's files; the configuration comes last, because it marks the run as finished."""
    plan = run.plan
    shutil.rmtree(run.path(model_folder.FROZEN_FEATURES), ignore_errors=True)
    run.corpus.tokenizer.save(plan.model_dir, vouched=True)
    write_vouched_array(run.path(model_folder.WORD_EMBEDDING), student.word_embedding_to_save())
    save_weights(run.path(model_folder.STUDENT_WEIGHTS), student.saved_parts)
    files.write_json(run.path(model_folder.REPORT), report.to_dict())
    write_vouched_json(run.path(model_folder.CONFIG), saved_config(run, student))
    run.progress.log(f"Stage {report.best_stage} was best on {plan.select_on}; the student is in {plan.model_dir}.")


def saved_config(run: RunContext, initial: InitialStudent) -> dict:
    """Returns the content of `xtremedistil-config.json`: the original's keys, and all that loading the folder needs."""
    task, student = run.corpus.task, initial.student
    return run.plan.flags | {
        **_absolute(run.plan.flags),
        **task.saved_keys,
        "hidden_size": student.encoder.config.hidden_size,
        "num_hidden_layers": student.encoder.config.num_hidden_layers,
        "num_attention_heads": student.encoder.config.num_attention_heads,
        "teacher_hidden_size": student.teacher_hidden_size,
        "label_list": list(task.all_labels),
        "pseudo_labels": list(task.pseudo_labels),
        "student_config": student.encoder.config.to_diff_dict() | {"model_type": student.family.model_type},
        "format_version": model_folder.FORMAT_VERSION,
    }


def _absolute(flags: dict) -> dict[str, str]:
    """Returns the folders that later commands read, by names that are right in whatever folder these are given."""
    folders = {name: flags.get(name) for name in ("task", "pt_teacher_checkpoint")}
    return {name: os.path.abspath(folder) for name, folder in folders.items() if folder and os.path.isdir(folder)}
