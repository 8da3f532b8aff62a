"""Compares the labels of teachers and student by name: logits are compared column by column."""

from collections.abc import Sequence

from xtremedistil.console.progress import Progress
from xtremedistil.models.adapters import AdaptedModel, TaskModel
from xtremedistil.models.checkpoints.tuned_head import listed, unnamed
from xtremedistil.models.student import Student
from xtremedistil.models.teacher import Teacher

Member = TaskModel | AdaptedModel | Teacher | Student


def teachers_in_order(teachers: Sequence[Member], student: Member) -> list[Member]:
    """Returns the teachers with their columns in the order of the student's labels.

    Labels called LABEL_0, LABEL_1, ... have no names. A student without names takes those of the first teacher that has
    some, which `save` and `deploy` then write; a teacher without names is taken as it is. Both are said.

    Raises:
        ValueError: teacher and student have other labels.
    """
    wanted = student.labels or _taken_over(teachers, student)
    return [_in_order(number, teacher, wanted) for number, teacher in enumerate(teachers)] if wanted else list(teachers)


def _taken_over(teachers: Sequence[Member], student: Member) -> tuple[str, ...]:
    """Gives the student the names of the first teacher that has some, and returns them; empty if none has."""
    names = next((teacher.labels for teacher in teachers if teacher.labels), ())
    if not (names and isinstance(student, TaskModel) and student.names_labels):
        return names if not isinstance(student, TaskModel) else ()
    if len(names) != student.pretrained.config.num_labels:
        return ()  # the number of logits is refused, with both
    student.name_labels(names)
    Progress().log(
        f"The student's labels have no names ({listed(unnamed(len(names)))}); it takes the teacher's, in its order: "
        f"{listed(names)}."
    )
    return names


def _in_order(number: int, teacher: Member, wanted: tuple[str, ...]) -> Member:
    names = teacher.labels
    if names == wanted:
        return teacher
    if not names:
        if isinstance(teacher, TaskModel) and teacher.names_labels:
            Progress().log(
                f"Teacher {number}'s labels have no names; they are taken to be in the order of the others: "
                f"{listed(wanted)}."
            )
        return teacher
    if sorted(names) != sorted(wanted) or len(set(names)) < len(names):
        raise ValueError(
            f"Teacher {number} has the labels {listed(names)}; the student {listed(wanted)}. Logits are compared label "
            "by label: set id2label in the configuration of the one that is wrong, or train on hidden states alone: "
            "SoftLabels(weight=0)."
        )
    return teacher.with_columns([names.index(name) for name in wanted])
