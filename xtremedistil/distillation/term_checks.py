"""Whether what a student shall learn goes with the models that are there."""

from collections.abc import Callable, Sequence, Set

import tf_keras

from xtremedistil.distillation.loss_kinds import LOSS_KINDS, STATES
from xtremedistil.distillation.match import Match
from xtremedistil.distillation.match_widths import width_problem
from xtremedistil.distillation.several_teachers import teacher_shares
from xtremedistil.distillation.soft_labels import OF_PROBABILITIES, SoftLabels
from xtremedistil.distillation.terms import Terms
from xtremedistil.models.student import Student
from xtremedistil.models.task_model import SPANS, NamedOutputs
from xtremedistil.models.teacher import Teacher

Member = NamedOutputs | Teacher | Student


def check_terms(terms: Terms, matches: Sequence[Match], teachers: Sequence[Member], student: Member) -> None:
    """Raises ValueError where the terms, or the models, do not go together."""
    for number, teacher in enumerate(teachers if terms.soft_labels.weight else ()):
        _check_logits(number, teacher, student)
    if wrong := [match.name for match in matches if match.teacher_number >= len(teachers)]:
        raise ValueError(f"{', '.join(wrong)}: there are {len(teachers)} teachers, counted from 0.")
    _check_gold_labels(terms, student)
    if terms.soft_labels.weight:
        _check_soft_labels(terms.soft_labels, student)
    if teachers:
        teacher_shares(len(teachers), terms.teacher_weights)
    elif terms.soft_labels.weight or terms.matches:
        raise ValueError(
            "Without a teacher there are gold labels alone: Terms(SoftLabels(weight=0), hard_label_weight=1)."
        )


def classifies(student: Member) -> bool:
    """Whether a model chooses one of several labels: not spans, and not a score."""
    return student.logit_names == ("logits",) and _logits(student, "logits") != 1


def _logits(model: Member, name: str) -> int:
    """How many of a row or position."""
    return model.model.output[name].shape[-1]


def _check_logits(number: int, teacher: Member, student: Member) -> None:
    """A `Teacher` may have more labels than its student: the original release's has, behind the real ones."""
    if set(teacher.logit_names) != set(student.logit_names):
        raise ValueError(
            f"Teacher {number} gives {', '.join(teacher.logit_names)}, the student {', '.join(student.logit_names)}: "
            "models of different tasks."
        )
    for name in student.logit_names if not isinstance(teacher, Teacher) else ():
        theirs, own = _logits(teacher, name), _logits(student, name)
        if theirs != own:
            raise ValueError(f"Teacher {number} has {theirs} {name} a row or position, the student {own}.")


def _check_gold_labels(terms: Terms, student: Member) -> None:
    shifted = terms.soft_labels.weight and terms.soft_labels.probability_shift
    for name, wanted in (("hard_label_weight", terms.hard_label_weight), ("probability_shift", shifted)):
        if wanted and not classifies(student):
            raise ValueError(f"{name}: gold labels are of models with one output, of several logits.")


def _check_soft_labels(soft_labels: SoftLabels, student: Member) -> None:
    for name in student.logit_names:
        if name in SPANS and soft_labels.loss == "dist":
            raise ValueError(f"dist correlates rows by label; {name} have positions, which no two rows share.")
        compete = soft_labels.loss in OF_PROBABILITIES
        alone = _logits(student, name) == 1 and not (name in SPANS and compete)
        if alone and (compete or soft_labels.temperature_of):
            raise ValueError(
                f"{soft_labels.loss} of {name}, each a number for itself, whose softmax is always 1: take logits_mse "
                "or soft_label_bce, and one temperature."
            )


def check_widths(matches: Sequence[Match], matching: tf_keras.Model, teacher_width: Callable[[Match], int]) -> None:
    """Raises ValueError where the two tensors of a match cannot be compared.

    Args:
        matching: the student with its tensors. teacher_width: of the teacher's tensor of a match.
    """
    for match in matches:
        own = matching.output[match.outputs[-1]].shape[-1]
        if LOSS_KINDS[match.loss].compares == STATES and own is not None:
            if problem := width_problem(match, teacher_width(match), own):
                raise ValueError(f"{problem}.")


def check_other_pieces(matches: Sequence[Match], aligned: Set[int]) -> None:
    """Raises ValueError where a match is of positions that belong to no word.

    Args:
        aligned: numbers of the teachers that have another tokenizer.
    """
    if first := [match.name for match in matches if match.teacher_number in aligned and match.loss == "pkd"]:
        raise ValueError(
            f"{', '.join(first)}: pkd compares first positions, which belong to no word, and rows of two tokenizers "
            "meet at words. Match their states by another loss, such as hidden_cosine."
        )
