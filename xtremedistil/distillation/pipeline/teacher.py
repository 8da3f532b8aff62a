"""Fine-tunes a run's teacher on labels, or reads it from `model-ft.h5` if that was done before."""

import hashlib
import os
from dataclasses import dataclass
from functools import partial

import numpy as np

from xtremedistil.console.progress import Progress
from xtremedistil.distillation.data.corpus import Corpus, data_fingerprint
from xtremedistil.distillation.pipeline.run_context import RunContext
from xtremedistil.distillation.pipeline.teacher_head import head_line, tuning_epochs
from xtremedistil.distillation.planning.plan import DistillationPlan
from xtremedistil.distillation.teacher_outputs.disk_size import resolve_policy, run_outputs
from xtremedistil.distillation.teacher_outputs.onnx_teacher import OnnxTeacher
from xtremedistil.errors import InputError
from xtremedistil.finetuning.supervised import fit_on_labels
from xtremedistil.models.architectures.families import find_family
from xtremedistil.models.checkpoints.h5_weights import load_weights, save_weights
from xtremedistil.models.checkpoints.pretrained import load_encoder, read_config
from xtremedistil.models.teacher import Teacher, build_teacher, head_widths
from xtremedistil.models.vocabulary_trimming import with_vocabulary
from xtremedistil.storage.files import fingerprint, write_json
from xtremedistil.storage.json_files import read_json
from xtremedistil.storage.model_folder import TEACHER_RECORD, TEACHER_WEIGHTS, fingerprint_checkpoint
from xtremedistil.training.snapshots import SnapshotManager
from xtremedistil.training.state import History
from xtremedistil.training.strategy import seed_everything, stage_seed

IN_WORDS = {"pieces": "vocabulary"}  # keys of the record that do not speak for themselves
FORGET_TEACHER = f"Copy it again, or remove it and {TEACHER_WEIGHTS} to fine-tune the teacher again."
STAGE = 0  # stage number of the teacher, for seeds


@dataclass(frozen=True)
class FinetunedTeacher:
    """A fine-tuned teacher.

    Fields:
        key: fingerprint of its weights. seconds, epochs: duration of its fine-tuning, 0 if it was read from a file.
        dev: its dev score, if it was just fine-tuned.
    """

    teacher: Teacher | OnnxTeacher
    key: str
    seconds: float
    epochs: int
    dev: float | None = None


def load_or_finetune_teacher(run: RunContext) -> FinetunedTeacher:
    """Reads the fine-tuned teacher of `teacher_model_dir`, or fine-tunes and saves it.

    Raises:
        InputError: the file there belongs to other data, labels or another checkpoint; or the teacher must be
            fine-tuned, and the disk has no room for its outputs.
    """
    plan, corpus, progress = run.plan.teacher, run.corpus, run.progress
    path = os.path.join(plan.folder, TEACHER_WEIGHTS)
    record_path = os.path.join(plan.folder, TEACHER_RECORD)
    record = _record(run.plan, corpus, run.kept)
    found = bool(run.workers.broadcast_from_chief(os.path.isfile(path)))
    if found:
        sizes = _checked_sizes(path, record_path, record, corpus, progress)
    else:
        sizes = {"num_labels": len(corpus.task.all_labels), "tuned": run.head.head}
        run.workers.on_chief(lambda: _refuse_early(run))
    seed_everything(stage_seed(run.plan.training.seed, STAGE))
    family = find_family(plan.class_name, read_config(plan.checkpoint)["model_type"])
    with run.strategy.scope():
        encoder = load_encoder(plan.checkpoint, family, name="tf_model")
        if run.kept is not None:
            encoder = with_vocabulary(encoder, family, run.kept, "tf_model")
        head = {"by_position": corpus.task.by_position, "problem_type": corpus.task.problem_type}
        teacher = build_teacher(encoder, family, **head, **sizes)
    if found:
        load_weights(path, teacher.parts)
        progress.log(f"teacher: read from {path}")
        return FinetunedTeacher(teacher, fingerprint(path), 0.0, 0)
    if line := head_line(run.plan, run.head):
        progress.log(f"teacher: {line}")
    snapshots, epochs = run.snapshots("teacher"), tuning_epochs(run.plan, run.head)
    history = _tune(run, teacher, epochs, snapshots) if epochs else None

    def save() -> None:
        write_json(record_path, record)  # first: weights without a record would never be checked again
        save_weights(path, teacher.parts)
        snapshots.clear()

    run.workers.on_chief(save)
    snapshots.stop_if_asked()
    if history is None:
        return FinetunedTeacher(teacher, fingerprint(path), 0.0, 0)
    return FinetunedTeacher(teacher, fingerprint(path), history.seconds, len(history.epochs), history.best_score)


def _tune(run: RunContext, teacher: Teacher, epochs: int, snapshots: SnapshotManager) -> History:
    plan = run.plan.teacher
    settings = run.training_settings(plan.learning_rate, epochs, STAGE)
    run.progress.begin("teacher", later=[])
    label_fit = run.label_fit(settings, plan.batch_size, snapshots)
    score = partial(run.scorer.primary, teacher.predict_function, run.corpus.dev)
    return fit_on_labels(teacher.model, teacher.weights, teacher, label_fit, score)


def _refuse_early(run: RunContext) -> None:
    """Raises InputError if the teacher's outputs will not fit on disk, before hours of fine-tuning."""
    _, size = run_outputs(run.plan, run.corpus, len(run.corpus.task.all_labels))
    resolve_policy(run.plan.outputs.policy, size, run.corpus.store)


def _record(plan: DistillationPlan, corpus: Corpus, kept: np.ndarray | None) -> dict:
    """Returns what must be equal for a fine-tuned teacher to be used again; `kept`: ids of its tokens, None: all."""
    task_kind = corpus.task.flags["task_kind"]  # None where earlier releases had no such key
    return {
        "pieces": None if kept is None else hashlib.sha256(kept.tobytes()).hexdigest(),
        "labels": list(corpus.task.all_labels),
        "train": data_fingerprint(plan)["train"],
        "pt_teacher_checkpoint": fingerprint_checkpoint(plan.teacher.checkpoint),
        "seq_len": plan.task.seq_len,
    } | ({"task_kind": task_kind} if task_kind else {})


def _checked_sizes(path: str, record_path: str, record: dict, corpus: Corpus, progress: Progress) -> dict:
    """Returns the sizes of the classifier in `path`: its number of labels, perhaps with the original's pseudo-labels,
    and the width of a dense layer below it."""
    if os.path.isfile(record_path):
        saved = read_json(record_path, cure=FORGET_TEACHER)
        keys = {**record, **saved}
        differing = [IN_WORDS.get(name, name) for name in keys if saved.get(name) != record.get(name)]
        if differing:
            raise InputError(
                f"{path} was fine-tuned with other settings: {', '.join(differing)} differ.\n"
                "Give another `teacher_model_dir`, or delete that file to fine-tune the teacher again."
            )
    else:
        progress.log(f"teacher: {path} has no record of its task; only its number of labels can be checked")
    width, inner_width = head_widths(path)
    if width not in corpus.task.head_widths or width < len(corpus.task.all_labels):
        raise InputError(
            f"{path} was fine-tuned for {width} labels; this task has {len(corpus.task.all_labels)}.\n"
            "Give another `teacher_model_dir` to fine-tune a teacher for this task."
        )
    return {"num_labels": width, "inner_width": inner_width}
