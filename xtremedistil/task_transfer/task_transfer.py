"""Task transfer: a teacher is fine-tuned on a source task and distilled on its text, and the student's encoder is
reused on a target task that has few labels.

Mukherjee, Hassan Awadallah and Gao, 2021. Each step writes a folder of its own below `model_dir`
(`steps.py`), so that the same command continues where it was stopped and repeats no step that is done.
"""

import contextlib
import dataclasses
import os
import shutil

from xtremedistil.console.progress import Progress
from xtremedistil.data.text_files import find_file
from xtremedistil.distillation.pipeline.distil import STUDENT as STUDENT_ROW
from xtremedistil.distillation.pipeline.distil import TEACHER as TEACHER_ROW
from xtremedistil.distillation.pipeline.distil import run_plan as run_distillation
from xtremedistil.evaluation.report import Report, read_report
from xtremedistil.finetuning.finetune import fine_tune
from xtremedistil.finetuning.plan import FineTuningPlan
from xtremedistil.flags import old_names
from xtremedistil.pretraining.checkpoint_folder import check_place, remove_checkpoint
from xtremedistil.storage import files as files_module
from xtremedistil.storage import model_folder, run_folder
from xtremedistil.storage.folders import locked
from xtremedistil.task_transfer.config import TransferConfig
from xtremedistil.task_transfer.fine_tuned_student import write_fine_tuned_student
from xtremedistil.task_transfer.plan import TaskTransferPlan, make_task_transfer_plan
from xtremedistil.task_transfer.source_encoder import write_source_encoder, write_untrained_encoder
from xtremedistil.task_transfer.steps import BASELINE, CHECKPOINT, FEW_LABELS, SOURCE, TARGET, UNTRAINED
from xtremedistil.tasks import open_task
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
    return run_plan(make_task_transfer_plan(config))


def run_plan(plan: TaskTransferPlan) -> Report:
    """Carries out a plan. Returns and raises as `transfer`."""
    settings = run_settings(plan)
    if report := _finished_report(plan, settings):  # only read, so that nobody is locked out
        return report
    with locked(plan.model_dir):
        if report := _finished_report(plan, settings):  # another run may have ended meanwhile
            return report
        for name in (CHECKPOINT, UNTRAINED):
            check_place(plan.path(name))
        rows = _read_target(plan)
        if plan.overwrite:
            _remove_steps(plan)
        run_folder.bind_run(plan.model_dir, settings, plan.overwrite)
        report = _run_steps(plan, rows)
        files_module.write_json(plan.path(model_folder.REPORT), report.to_dict())
    return report


def run_settings(plan: TaskTransferPlan) -> dict:
    """What decides the result: flags, and the bytes of data and checkpoint in place of their paths."""
    settings = {name: value for name, value in plan.flags.items() if name not in (*NOT_SETTINGS, *PATHS)}
    for role, folder in (("source", plan.source.task.folder), ("target", plan.target_task)):
        settings |= {f"{role}_{name}": value for name, value in task_fingerprint(folder).items()}
    settings["transfer"] = files_module.fingerprint(find_file(plan.source.transfer.file))
    named = {name: plan.flags[name] for name in CHECKPOINTS}
    return settings | {name: source and model_folder.fingerprint_checkpoint(source) for name, source in named.items()}


def _finished_report(plan: TaskTransferPlan, settings: dict) -> Report | None:
    """The report of a run that has ended before, unless a baseline is wanted that it has not.

    Raises:
        InputError: the folder belongs to a run with other settings.
    """
    if plan.overwrite:
        return None
    run_folder.check_run(plan.model_dir, settings, old_names(TransferConfig))
    if not os.path.isfile(plan.path(model_folder.REPORT)):
        return None
    report = read_report(plan.path(model_folder.REPORT))
    if plan.baseline and all(row.name != _baseline_row(plan) for row in report.rows):
        return None
    Progress().log(f"This run has finished before: {plan.model_dir}. `overwrite` starts it again.")
    return report


def _read_target(plan: TaskTransferPlan) -> list[int]:
    """Reads all files of the target task, so that a fault in them does not show after hours.

    Returns:
        the rows of its `train.tsv` that are used; none if all are.
    """
    folder, task = plan.target_task, open_task(plan.target_task, plan.reused.kind)
    rows = few_rows(task, folder, plan.target_labels, plan.seed) if plan.target_labels else []
    for name in ("train", "dev", "test"):
        examples = task.read(os.path.join(folder, f"{name}.tsv"))
    task.encode(examples[:1], Tokenizer.load(plan.source.teacher.checkpoint), plan.reused.seq_len)
    return rows


def _remove_steps(plan: TaskTransferPlan) -> None:
    """Removes what an earlier run has made, but for the fine-tuned teacher. Its report goes first: without it, it has
    not finished."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(plan.path(model_folder.REPORT))
    for name in (CHECKPOINT, UNTRAINED):
        remove_checkpoint(plan.path(name))
    shutil.rmtree(plan.path(FEW_LABELS), ignore_errors=True)
    for name in (SOURCE, TARGET, BASELINE):
        if os.path.isdir(plan.path(name)):
            run_folder.remove_run(plan.path(name))


def _run_steps(plan: TaskTransferPlan, rows: list[int]) -> Report:
    report = Report()
    _add(report, run_distillation(plan.source), {name: f"source {name}" for name in (TEACHER_ROW, STUDENT_ROW)})
    if rows and not os.path.isdir(plan.path(FEW_LABELS)):
        write_few_labels(plan.path(FEW_LABELS), plan.target_task, rows)
    if not os.path.isdir(plan.path(CHECKPOINT)):
        write_source_encoder(plan)
    _add(report, _fine_tuned(plan.reused, plan.target_task), {STUDENT_ROW: REUSED_ROW})
    if plan.baseline:
        if not os.path.isdir(plan.path(UNTRAINED)):
            write_untrained_encoder(plan)
        _add(report, _fine_tuned(plan.baseline, plan.target_task), {STUDENT_ROW: _baseline_row(plan)})
    return report


def _baseline_row(plan: TaskTransferPlan) -> str:
    return CHECKPOINT_ROW if plan.student_checkpoint else SCRATCH_ROW


def _add(report: Report, step: Report, names: dict[str, str]) -> None:
    """Adds the rows of a step's report under other names."""
    report.rows += [dataclasses.replace(row, name=names[row.name]) for row in step.rows]
    report.metrics |= {names[name]: metrics for name, metrics in step.metrics.items()}
    report.stages += step.stages
    report.best_stage = report.best_stage or step.best_stage
    report.metric_note, report.verdict = step.metric_note or report.metric_note, step.verdict


def _fine_tuned(plan: FineTuningPlan, target_task: str) -> Report:
    """The report of a student on the target task, which is fine-tuned if it is not there yet."""
    path, fitted = plan.path(model_folder.REPORT), plan.path(model_folder.METRICS)
    if not os.path.isfile(plan.path(model_folder.CONFIG)):
        name, checkpoint = (os.path.basename(place) for place in (plan.model_dir, plan.checkpoint))
        Progress().log(f"target task: {name} from {checkpoint}")
        report = read_report(fitted) if os.path.isfile(fitted) else fine_tune(plan)
        (row,), (metrics,) = report.rows, report.metrics.values()
        report = dataclasses.replace(
            report, rows=[dataclasses.replace(row, name=STUDENT_ROW)], metrics={STUDENT_ROW: metrics}
        )
        files_module.write_json(path, report.to_dict())
        write_fine_tuned_student(plan, target_task)
    return read_report(path)
