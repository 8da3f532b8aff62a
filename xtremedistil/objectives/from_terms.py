"""`Terms` as what a fit minimises."""

import functools
import operator
from collections.abc import Callable, Sequence, Set

import tensorflow as tf

from xtremedistil.models.adapters import LOGITS_MASK
from xtremedistil.objectives.aligned_names import aligned_name
from xtremedistil.objectives.gold_labels import gold_objective
from xtremedistil.objectives.multi_teacher import teachers_objective
from xtremedistil.objectives.parts import joined, matches_objective
from xtremedistil.objectives.position_masks import REAL, ROWS, loss_mask, target_prefix
from xtremedistil.objectives.term_checks import Member
from xtremedistil.terms.match import Match
from xtremedistil.terms.terms import Terms
from xtremedistil.training.objectives import Objective


def terms_objective(
    terms: Terms, matches: Sequence[Match], student: Member, active: Sequence[int], aligned: Set[int]
) -> Objective:
    """The terms that the teachers at work have a part in.

    Args:
        matches: all of them. active: numbers of the teachers at work. aligned: of those that read other pieces, and say
            something of some positions.

    Raises:
        ValueError: there are none.
    """
    taught = [match for match in matches if match.teacher_number in active]
    from_logits = bool(terms.soft_labels.weight and len(active))
    if not (taught or from_logits or terms.hard_label_weight):
        raise ValueError(
            f"teachers={list(active)} leaves nothing to learn: no term is of these, and gold labels have no weight. "
            "Name a teacher of one of the matches, or give a weight to soft_labels or to hard_label_weight."
        )

    def positions_of(batch, number: int):
        mask = loss_mask(batch, REAL)
        if number not in aligned:
            return mask
        return mask * tf.cast(batch[aligned_name(target_prefix(number))], tf.float32)

    parts = [matches_objective(taught, positions_of)]
    if from_logits:
        parts += _soft_labels(terms, student, active, positions_of)
    if terms.hard_label_weight:
        parts.append(gold_objective(student.problem_type, terms.hard_label_weight, terms.hard_label_weight_schedule))
    return joined(*parts)


def _soft_labels(
    terms: Terms, student: Member, active: Sequence[int], positions_of: Callable[[dict, int], tf.Tensor]
) -> list[Objective]:
    """One for each of the student's logits."""

    def positions(batch):
        mask = functools.reduce(operator.mul, (positions_of(batch, number) for number in active))
        return mask * tf.cast(batch[LOGITS_MASK], tf.float32) if LOGITS_MASK in batch else mask

    def mask_of(batch):
        return positions(batch) if student.by_position else loss_mask(batch, ROWS)

    weights = terms.teacher_weights and [terms.teacher_weights[number] for number in active]
    shared = {"teachers": active, "weights": weights, "combine": terms.combine, "positions_of": positions}
    return [teachers_objective(mask_of, terms.soft_labels, output=name, **shared) for name in student.logit_names]
