"""Makes the objective of matches, which compare hidden states and attention maps of student and teachers."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from xtremedistil.losses import LOSSES
from xtremedistil.losses.masking import EXCLUDED
from xtremedistil.losses.specs import LOSS_KINDS, MAPS, PAIRS, POSITIONS
from xtremedistil.objectives.position_masks import loss_mask, target_prefix
from xtremedistil.terms.counted import REAL, ROWS
from xtremedistil.terms.match import Match
from xtremedistil.training.objectives import Objective, scheduled

MaskOf = Callable[[dict, Match], tf.Tensor]


def real_positions(batch: dict, match: Match) -> tf.Tensor:
    """Returns [B, S], 1 where a row has a token, for any match."""
    return loss_mask(batch, REAL)


def matches_objective(matches: Sequence[Match], mask_of: MaskOf = real_positions) -> Objective:
    """Makes one term for each match.

    Args:
        mask_of: takes a batch and a match; returns [B, S], 1 where the match counts. Pooled vectors count per row.
    """

    def mask(match, batch):
        target = batch.get(target_prefix(match.teacher_number) + match.teacher_names[0])
        one_a_row = target is not None and len(target.shape) == 2
        return loss_mask(batch, ROWS) if one_a_row else mask_of(batch, match)

    def values(outputs, batch):
        return {match.name: _match_loss(match, outputs, batch, mask(match, batch)) for match in matches}

    def counts(batch):
        return {match.name: _count(mask(match, batch), _mean_over(match)) for match in matches}

    return Objective(
        values,
        counts,
        {match.name: match.weight for match in matches},
        scheduled({match.name: match.weight_schedule for match in matches}),
    )


def _match_loss(match: Match, outputs, batch, mask: tf.Tensor) -> tf.Tensor:
    prefix = target_prefix(match.teacher_number)
    teacher = tuple(batch[prefix + name] for name in match.teacher_names)
    student = tuple(outputs[name] for name in match.outputs)
    if LOSS_KINDS[match.loss].layers == 1:
        (teacher,), (student,) = teacher, student
    options = dict(match.options)
    if options.get("compat"):  # TextBrewer's attention scores include the mask
        keys = mask[:, None, None, :] > 0
        teacher, student = tf.where(keys, teacher, EXCLUDED), tf.where(keys, student, EXCLUDED)
    if LOSS_KINDS[match.loss].compares == MAPS and match.loss != "attention_squared_distance":
        options.setdefault("from_logits", match.feature == "attention_scores")
    return LOSSES[match.loss](teacher=teacher, student=student, mask=mask, **options)


def _mean_over(match: Match) -> str:
    return match.options.get("mean_over", LOSS_KINDS[match.loss].mean_over)


def _count(mask: tf.Tensor, mean_over: str) -> tf.Tensor:
    """Returns the number of items that a loss with a mask [B] or [B, S] averages over."""
    if mask.shape.rank == 1:
        return tf.reduce_sum(mask)
    by_row = tf.reduce_sum(mask, axis=-1)
    if mean_over == POSITIONS:
        return tf.reduce_sum(by_row)
    if mean_over == PAIRS:
        return tf.reduce_sum(tf.square(by_row))
    return tf.reduce_sum(tf.cast(by_row > 0, tf.float32))
