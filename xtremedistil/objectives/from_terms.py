"""Makes the objective of a fit from `Terms`. All training takes this way: terms -> objective -> fit."""

import functools
import operator
from collections.abc import Sequence, Set
from typing import Protocol

import numpy as np
import tensorflow as tf

from xtremedistil.losses.specs import LOSS_KINDS, MAPS
from xtremedistil.models.adapters import LOGITS_MASK
from xtremedistil.objectives.labels import labels_objective
from xtremedistil.objectives.matches import matches_objective
from xtremedistil.objectives.position_masks import aligned_name, loss_mask, target_prefix
from xtremedistil.objectives.soft_labels import soft_labels_objective
from xtremedistil.terms.counted import ROWS, Counted
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.terms.terms import Terms
from xtremedistil.training.objectives import Objective, joined

LABELS_ALONE = Terms(SoftLabels(weight=0.0), hard_label_weight=1.0)


class LogitShape(Protocol):
    """Properties of the student's logits.

    Fields:
        logit_names: its outputs that are logits. by_position: whether these are [B, S, L], not [B, L].
        problem_type: what they mean, see `tasks.problem_types`.
    """

    logit_names: tuple[str, ...]
    by_position: bool
    problem_type: str


def terms_objective(
    terms: Terms,
    matches: Sequence[Match],
    student: LogitShape,
    *,
    teachers: Sequence[int] = (0,),
    aligned: Set[int] = frozenset(),
    counted: Counted | None = None,
    class_weights: np.ndarray | None = None,
) -> Objective:
    """Makes the objective of the terms that involve the active teachers.

    Args:
        terms: give soft labels and gold labels. matches: those of `terms`, resolved for the depths of both models.
        teachers: numbers of the active teachers. aligned: numbers of teachers with another tokenizer, which have
            outputs for some tokens only.
        counted: positions at which terms count; by default all but padding.
        class_weights: factor of each gold label, float32 [L].

    Raises:
        ValueError: no term is left.
    """
    counted = counted or Counted()
    taught = [match for match in matches if match.teacher_number in teachers]
    from_logits = bool(terms.uses_logits and len(teachers))
    if not (taught or from_logits or terms.hard_label_weight):
        raise ValueError(
            f"teachers={list(teachers)} leaves nothing to learn: no match is of these teachers, and soft and gold "
            "labels have no weight. Name a teacher of one of the matches, or give a weight to soft_labels or "
            "hard_label_weight."
        )

    def mask_of(batch, match: Match):
        maps = LOSS_KINDS[match.loss].compares == MAPS
        where = counted.attention_maps if maps else counted.hidden_states
        return _mask_of_teacher(batch, where, match.teacher_number, aligned)

    parts = [matches_objective(taught, mask_of)]
    if from_logits:
        parts += _soft_labels(terms, student, teachers, aligned, counted.logits)
    if terms.hard_label_weight:
        weight, schedule = terms.hard_label_weight, terms.hard_label_weight_schedule
        parts.append(labels_objective(student.problem_type, weight, schedule, class_weights))
    return joined(*parts)


def _mask_of_teacher(batch, where: str, number: int, aligned: Set[int]) -> tf.Tensor:
    """Returns the mask of tokens that count and for which a teacher has outputs."""
    mask = loss_mask(batch, where)
    if number not in aligned:
        return mask
    return mask * tf.cast(batch[aligned_name(target_prefix(number))], tf.float32)


def _soft_labels(
    terms: Terms, student: LogitShape, teachers: Sequence[int], aligned: Set[int], where: str
) -> list[Objective]:
    """Returns an objective for each of the student's logits."""

    def positions(batch):
        masks = [_mask_of_teacher(batch, where, number, aligned) for number in teachers]
        mask = functools.reduce(operator.mul, masks)
        return mask * tf.cast(batch[LOGITS_MASK], tf.float32) if LOGITS_MASK in batch else mask

    def mask_of(batch):
        return positions(batch) if student.by_position else loss_mask(batch, ROWS)

    weights = terms.teacher_weights and [terms.teacher_weights[number] for number in teachers]
    shared = {"teachers": teachers, "weights": weights, "combine": terms.combine, "positions_of": positions}
    each = [(terms.soft_labels, ""), *((one, f"_{one.loss}") for one in terms.further_soft_labels)]
    return [
        soft_labels_objective(mask_of, soft_labels, output=name, ending=ending, **shared)
        for soft_labels, ending in each
        if soft_labels.weight
        for name in student.logit_names
    ]
