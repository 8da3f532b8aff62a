"""Task transfer: a teacher is tuned on a source task and distilled on its text, and what the student has learnt of
language is reused on a target task that has few labels.

Mukherjee, Hassan Awadallah and Gao, 2021. Each step writes a folder of its own below `model_dir`
(`transfer_steps.py`), so that the same command goes on where it was stopped and repeats no step that is done.
"""

import contextlib
import dataclasses
import os
import shutil

from xtremedistil.console.progress import Progress
from xtremedistil.data.text_files import find_file
from xtremedistil.distillation.pipeline.distil import STUDENT as STUDENT_ROW
from xtremedistil.distillation.pipeline.distil import TEACHER as TEACHER_ROW
from xtremedistil.distillation.pipeline.distil import distil
from xtremedistil.evaluation.report import Report, read_report
from xtremedistil.finetuning.finetune import fine_tune
from xtremedistil.finetuning.plan import fine_tuning_plan
from xtremedistil.flags import old_names, resolve_seed, saved_flags
from xtremedistil.pretraining.checkpoint_folder import check_place, remove_checkpoint
from xtremedistil.storage import files as files_module
from xtremedistil.storage import model_folder, run_folder
from xtremedistil.storage.folders import locked
from xtremedistil.task_transfer.config import TransferConfig
from xtremedistil.task_transfer.source_encoder import write_source_encoder, write_untrained_encoder
from xtremedistil.task_transfer.steps import (
    BASELINE,
    CHECKPOINT,
    FEW_LABELS,
    SOURCE,
    TARGET,
    UNTRAINED,
    source_config,
    target_config,
)
from xtremedistil.task_transfer.tuned_student import write_tuned_student
from xtremedistil.task_transfer.validation import check_transfer
from xtremedistil.tasks import KindSettings, open_task
from xtremedistil.tasks.label_sampling import few_rows, write_few_labels
from xtremedistil.tasks.labelled_sets import task_fingerprint
from xtremedistil.tokenization.tokenizer import Tokenizer

NOT_SETTINGS = ("model_dir", "teacher_model_dir", "overwrite", "baseline", "verbose")
CHECKPOINTS = ("pt_teacher_checkpoint", "pt_student_checkpoint")
PATHS = ("source_task", "target_task", "transfer_file", *CHECKPOINTS)
REUSED_ROW = "target, student reused"
SCRATCH_ROW, CHECKPOINT_ROW = "target, student from scratch", "target, student from its checkpoint"  # of `baseline`


def transfer(config: TransferConfig) -> Report:
    """Runs the steps that are not done yet; writes `report.json` and a folder for each step into `config.model_dir`.

    Returns:
        Rows: source teacher, source student, the reused student on the target task and, with `baseline`, one that
        began as the source student did.

    Raises:
        InputError: something in the settings or files cannot be used, or the folder belongs to another run.
    """
    check_transfer(config)
    config = dataclasses.replace(config, seed=resolve_seed(config.seed))
    with locked(config.model_dir):
        settings = run_settings(config)
        if not config.overwrite:
            run_folder.check_run(config.model_dir, settings, old_names(TransferConfig))
            if report := _finished_report(config):
                return report
        for name in (CHECKPOINT, UNTRAINED):
            check_place(_path(config, name))
        rows = _read_target(config)
        if config.overwrite:
            _remove_steps(config)
        run_folder.bind_run(config.model_dir, settings, config.overwrite)
        report = _run(config, rows)
        files_module.write_json(_path(config, model_folder.REPORT), report.to_dict())
    return report


def run_settings(config: TransferConfig) -> dict:
    """What decides the result: flags, and the bytes of data and checkpoint in place of their paths."""
    flags = saved_flags(config).items()
    settings = {name: value for name, value in flags if name not in (*NOT_SETTINGS, *PATHS)}
    for role in ("source", "target"):
        files = task_fingerprint(getattr(config, f"{role}_task"))
        settings |= {f"{role}_{name}": value for name, value in files.items()}
    settings["transfer"] = files_module.fingerprint(find_file(source_config(config).transfer_file))
    named = {name: getattr(config, name) for name in CHECKPOINTS}
    return settings | {name: source and model_folder.fingerprint_checkpoint(source) for name, source in named.items()}


def _finished_report(config: TransferConfig) -> Report | None:
    """The report of a run that has ended before, unless a baseline is wanted that it has not."""
    if not os.path.isfile(_path(config, model_folder.REPORT)):
        return None
    report = read_report(_path(config, model_folder.REPORT))
    if config.baseline and all(row.name != _baseline_row(config) for row in report.rows):
        return None
    Progress().log(f"This run has finished before: {config.model_dir}. `overwrite` starts it again.")
    return report


def _read_target(config: TransferConfig) -> list[int]:
    """Reads all files of the target task, so that a fault in them does not show after hours.

    Returns:
        the rows of its `train.tsv` that are used; none if all are.
    """
    task = open_task(config.target_task, KindSettings.of(config, "target_"))
    rows = few_rows(task, config.target_task, config.target_labels, config.seed) if config.target_labels else []
    for name in ("train", "dev", "test"):
        examples = task.read(os.path.join(config.target_task, f"{name}.tsv"))
    task.encode(examples[:1], Tokenizer.load(config.pt_teacher_checkpoint), config.seq_len)
    return rows


def _remove_steps(config: TransferConfig) -> None:
    """Removes what an earlier run has made, but for the tuned teacher. Its report goes first: without it, it has not
    finished."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(_path(config, model_folder.REPORT))
    for name in (CHECKPOINT, UNTRAINED):
        remove_checkpoint(_path(config, name))
    shutil.rmtree(_path(config, FEW_LABELS), ignore_errors=True)
    for name in (SOURCE, TARGET, BASELINE):
        if os.path.isdir(_path(config, name)):
            run_folder.remove_run(_path(config, name))


def _path(config: TransferConfig, *names: str) -> str:
    return os.path.join(config.model_dir, *names)


def _run(config: TransferConfig, rows: list[int]) -> Report:
    report = Report()
    _add(report, distil(source_config(config)), {name: f"source {name}" for name in (TEACHER_ROW, STUDENT_ROW)})
    if rows and not os.path.isdir(_path(config, FEW_LABELS)):
        write_few_labels(_path(config, FEW_LABELS), config.target_task, rows)
    if not os.path.isdir(_path(config, CHECKPOINT)):
        write_source_encoder(config)
    _add(report, _tuned(config, CHECKPOINT, TARGET), {STUDENT_ROW: REUSED_ROW})
    if config.baseline:
        if not os.path.isdir(_path(config, UNTRAINED)):
            write_untrained_encoder(config)
        _add(report, _tuned(config, UNTRAINED, BASELINE), {STUDENT_ROW: _baseline_row(config)})
    return report


def _baseline_row(config: TransferConfig) -> str:
    return CHECKPOINT_ROW if config.pt_student_checkpoint else SCRATCH_ROW


def _add(report: Report, step: Report, names: dict[str, str]) -> None:
    """Takes over the rows of a step under other names."""
    report.rows += [dataclasses.replace(row, name=names[row.name]) for row in step.rows]
    report.metrics |= {names[name]: metrics for name, metrics in step.metrics.items()}
    report.stages += step.stages
    report.best_stage = report.best_stage or step.best_stage


def _tuned(config: TransferConfig, checkpoint: str, name: str) -> Report:
    """The report of a student on the target task, which is tuned if it is not there yet."""
    settings = target_config(config, checkpoint=checkpoint, model_dir=name)
    path, fitted = _path(config, name, model_folder.REPORT), _path(config, name, model_folder.METRICS)
    if not os.path.isfile(_path(config, name, model_folder.CONFIG)):
        Progress().log(f"target task: {name} from {checkpoint}")
        report = read_report(fitted) if os.path.isfile(fitted) else fine_tune(fine_tuning_plan(settings))
        (row,), (metrics,) = report.rows, report.metrics.values()
        report = Report([dataclasses.replace(row, name=STUDENT_ROW)], {STUDENT_ROW: metrics}, report.stages)
        files_module.write_json(path, report.to_dict())
        write_tuned_student(settings, config.target_task)
    return read_report(path)
