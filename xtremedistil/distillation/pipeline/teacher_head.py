"""Whether the teacher's checkpoint was tuned on the task already, and for how many epochs it is tuned here."""

import dataclasses
import os

from xtremedistil.distillation.planning.plan import DistillationPlan
from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import find_family
from xtremedistil.models.checkpoints.pretrained import read_config
from xtremedistil.models.checkpoints.tuned_head import HeadOfCheckpoint, find_tuned_head
from xtremedistil.storage.model_folder import TEACHER_WEIGHTS
from xtremedistil.tasks import Task


def teacher_head(plan: DistillationPlan, task: Task) -> HeadOfCheckpoint:
    """Looks for the classifier of the teacher's checkpoint; with `legacy`, it is not used, as in the original release.

    Raises:
        InputError: no tuning is asked for, and there is neither a classifier for these labels nor a tuned teacher in
            the teacher's folder.
    """
    teacher = plan.teacher
    family = find_family(teacher.class_name, read_config(teacher.checkpoint)["model_type"])
    kind = {"by_position": task.by_position, "problem_type": task.problem_type}
    head = find_tuned_head(teacher.checkpoint, family, task.labels, **kind)
    if plan.task.original_rows and head.head:
        head = dataclasses.replace(head, head=None, reason="`legacy` trains a new one, as the original release does")
    tuned_before = os.path.isfile(os.path.join(teacher.folder, TEACHER_WEIGHTS))
    if teacher.epochs == 0 and head.head is None and not tuned_before:
        reason = f"the one of {head.name} cannot be used: {head.reason}" if head.reason else f"{head.name} has none"
        raise InputError(
            f"`teacher_epochs` 0 takes the teacher's own classifier, but {reason}. Leave `teacher_epochs` away to "
            "train a new one, or give a checkpoint that was tuned on this task."
        )
    return head


def tuning_epochs(plan: DistillationPlan, head: HeadOfCheckpoint) -> int:
    """Returns for how many epochs the teacher is tuned: by default none where its classifier has the task's labels."""
    return 0 if head.head and not plan.teacher.epochs_given else plan.teacher.epochs


def head_line(plan: DistillationPlan, head: HeadOfCheckpoint) -> str:
    """Returns a line on what becomes of the checkpoint's classifier; empty if it has none."""
    epochs = tuning_epochs(plan, head)
    further = f"it is tuned further, for at most {epochs} epochs"
    return head.fate(further if epochs else "no tuning (`teacher_epochs` tunes it further)")
