"""Checks that terms fit the student and its teachers."""

from collections.abc import Callable, Mapping, Sequence, Set

import tf_keras

from xtremedistil.losses.specs import LOSS_KINDS, STATES
from xtremedistil.models.adapters import SPANS, AdaptedModel, NamedOutputs
from xtremedistil.models.features.names import ATTENTIONS
from xtremedistil.models.student import Student
from xtremedistil.models.teacher import Teacher
from xtremedistil.objectives.soft_labels import teacher_shares
from xtremedistil.tasks.problem_types import CLASSES, SCORES, SEVERAL_LABELS, SPAN
from xtremedistil.terms.match import Match
from xtremedistil.terms.match_widths import width_problem
from xtremedistil.terms.soft_labels import OF_PROBABILITIES, SoftLabels
from xtremedistil.terms.terms import Terms

Member = NamedOutputs | Teacher | Student
OF_ROWS = [name for name, kind in LOSS_KINDS.items() if kind.takes_rows]


def check_terms(terms: Terms, matches: Sequence[Match], teachers: Sequence[Member], student: Member) -> None:
    """Raises ValueError if the terms do not fit the models, or the models each other."""
    for number, teacher in enumerate(teachers if terms.soft_labels.weight else ()):
        _check_logits(number, teacher, student)
    if wrong := [match.name for match in matches if match.teacher_number >= len(teachers)]:
        raise ValueError(f"{', '.join(wrong)}: there are {len(teachers)} teachers, counted from 0.")
    _check_gold_labels(terms, student)
    _check_dropout(matches, student)
    if terms.soft_labels.weight:
        _check_soft_labels(terms.soft_labels, student)
    if teachers:
        teacher_shares(len(teachers), terms.teacher_weights)
    elif terms.soft_labels.weight or terms.matches:
        raise ValueError(
            "Without a teacher, only gold labels can be learnt: Terms(SoftLabels(weight=0), hard_label_weight=1)."
        )


def _check_dropout(matches: Sequence[Match], student: Member) -> None:
    """Refuses attention maps after dropout, which Hugging Face models return; maps of adaptors are not checked."""
    maps = [match.name for match in matches if match.feature == ATTENTIONS]
    if not maps or isinstance(student, AdaptedModel):
        return
    config = student.encoder.config if isinstance(student, Student) else student.pretrained.config
    field = student.family.attention_dropout
    if field and getattr(config, field):
        raise ValueError(
            f"{', '.join(maps)}: the student returns attention maps after dropout ({field} is "
            f"{getattr(config, field)}), which adds noise. Build the student with {field}=0, or match attention_scores."
        )


def classifies(student: Member) -> bool:
    """Whether a model predicts one of several labels: no spans, no scores, and not several labels at once."""
    named = student.problem_type == CLASSES and student.logit_names == ("logits",)
    return named and logits_of(student, "logits") != 1


def logits_of(model: Member, name: str) -> int:
    """Returns the number of logits per row or token."""
    return model.model.output[name].shape[-1]


def _check_logits(number: int, teacher: Member, student: Member) -> None:
    """Checks that logits have equal shapes, but a `Teacher` may have more labels: the original release adds some."""
    if set(teacher.logit_names) != set(student.logit_names):
        raise ValueError(
            f"Teacher {number} gives {', '.join(teacher.logit_names)}, the student {', '.join(student.logit_names)}: "
            "they are for different tasks."
        )
    for name in student.logit_names:
        if teacher.by_position != student.by_position:
            raise ValueError(
                f"Teacher {number} gives {name} {teacher.model.output[name].shape}, the student "
                f"{student.model.output[name].shape}: one labels rows, the other tokens. Take two models that do the "
                "same, or match hidden states without soft labels: SoftLabels(weight=0)."
            )
        theirs, own = logits_of(teacher, name), logits_of(student, name)
        if theirs != own and not (isinstance(teacher, Teacher) and theirs > own):
            raise ValueError(f"Teacher {number} has {theirs} {name} per row or token, the student {own}.")


def _check_gold_labels(terms: Terms, student: Member) -> None:
    shifted = terms.soft_labels.weight and terms.soft_labels.probability_shift
    if shifted and not classifies(student):
        raise ValueError("probability_shift is only for models that predict one of several classes.")
    of_numbers = student.problem_type in (SEVERAL_LABELS, SCORES) and student.logit_names == ("logits",)
    if terms.hard_label_weight and not (classifies(student) or of_numbers or student.problem_type == SPAN):
        raise ValueError(
            f"hard_label_weight: there is no loss on gold labels for {', '.join(student.logit_names)} of this shape; "
            "there are losses for logits per row, for several logits per token, and for spans."
        )


def _check_soft_labels(soft_labels: SoftLabels, student: Member) -> None:
    for name in student.logit_names:
        if name in SPANS and soft_labels.loss == "dist":
            raise ValueError(f"dist correlates rows by label; {name} are over tokens, which differ between rows.")
        compete = soft_labels.loss in OF_PROBABILITIES
        alone = logits_of(student, name) == 1 and not (name in SPANS and compete)
        if alone and (compete or soft_labels.temperature_of):
            raise ValueError(
                f"{soft_labels.loss}: {name} are single numbers, whose softmax is always 1; take logits_mse or "
                "soft_label_bce, and one temperature."
            )
        if compete and student.problem_type in (SEVERAL_LABELS, SCORES):
            raise ValueError(
                f"{soft_labels.loss} is for labels that exclude each other, but the student's problem type is "
                f"{student.problem_type}: take soft_label_bce or logits_mse, or leave soft_labels away."
            )


def check_tensors(
    matches: Sequence[Match], matching: tf_keras.Model, teacher_shape: Callable[[Match], Sequence]
) -> None:
    """Raises ValueError if the two tensors of a match cannot be compared.

    Args:
        matching: the student's model that returns the tensors of matches.
        teacher_shape: returns the shape of a match's teacher tensor.
    """
    for match in matches:
        theirs, own = teacher_shape(match), matching.output[match.outputs[-1]].shape
        if len(theirs) == len(own) == 2 and LOSS_KINDS[match.loss].takes_rows:
            _check_widths(match, theirs, own)
            continue
        wanted = "[B, S, H]" if LOSS_KINDS[match.loss].compares == STATES else "[B, A, S, S]"
        for side, shape in (("teacher", theirs), ("student", own)):
            if len(shape) != len(wanted.split(",")):
                raise ValueError(
                    f"{match.name}: the {side}'s tensor is {shape}; {match.loss} needs {wanted}. Take a layer before "
                    f"pooling; losses that also compare one vector per row are: {', '.join(OF_ROWS)}."
                )
        if wanted == "[B, S, H]" and own[-1] is not None:
            _check_widths(match, theirs, own)


def _check_widths(match: Match, theirs: Sequence, own: Sequence) -> None:
    if problem := width_problem(match, theirs[-1], own[-1]):
        raise ValueError(f"{problem}.")


def check_compiled(matches: Sequence[Match], compiled: Mapping[str, bool]) -> None:
    """Raises ValueError if the loss of a match runs on the host but steps are compiled.

    Args:
        compiled: by name of a setting, whether it makes steps be compiled.
    """
    wanting = [name for name, on in compiled.items() if on]
    if (found := [match.name for match in matches if match.needs_host]) and wanting:
        raise ValueError(
            f"{' and '.join(wanting)}: {', '.join(found)} is computed on the host, which compiled steps cannot "
            'call. Take the solver "sinkhorn" (matches="sinkhorn", or options={"solver": "sinkhorn"}).'
        )


def check_other_tokenizers(matches: Sequence[Match], aligned: Set[int]) -> None:
    """Raises ValueError if a match compares tokens that belong to no word.

    Args:
        aligned: numbers of the teachers that have another tokenizer.
    """
    if first := [match.name for match in matches if match.teacher_number in aligned and match.loss == "pkd"]:
        raise ValueError(
            f"{', '.join(first)}: pkd compares first tokens, which belong to no word, but two tokenizers are aligned "
            "by words. Match their hidden states by another loss, such as hidden_cosine."
        )
