"""Losses between attention maps: probabilities, or the scores before the softmax.

Maps are [B, A, S, S] (batch, heads, queries, keys), or [B, S, S] for one head. Where teacher and student differ in
heads, both are averaged over them first, scores as well as probabilities.
"""

import tensorflow as tf

from xtremedistil.distillation.losses.masks import (
    masked_mean,
    pair_mask,
    real_pairs,
    require_one_shape,
)

SMALLEST = 1e-12  # of a student's probability in a logarithm
MASKED_SCORE = -1e-3  # at or below it, TextBrewer takes a score for a masked one


def attention_mse(*, teacher, student, mask=None, from_logits: bool = True, compat: bool = False) -> tf.Tensor:
    """Mean squared error between attention maps; where the head counts differ, between their averages over heads.

    Of scores it is TinyBERT's (Jiao et al., 2020, equation 7), of probabilities XtremeDistilTransformers'.

    Args:
        teacher: [B, A, S, S] or [B, S, S]. student: the same, any number of heads.
        mask: optional [B, S]; a pair (query, key) counts where both are 1.
        from_logits: whether the maps are scores. Matters to `compat` alone.
        compat: as TextBrewer, scores of -1e-3 and less are 0 where there is no mask.

    Returns:
        float32 scalar, mean over heads, unmasked queries and unmasked keys: about 1e-6 for probabilities of long rows,
        whose entries are small.
    """
    teacher, student = _maps(teacher, student)
    return _mean_over_pairs(teacher, student, mask, clamped=compat and from_logits)


def attention_squared_distance(*, teacher, student, mask=None) -> tf.Tensor:
    """Squared distance between the distributions of each query: `attention_mse` with a sum over keys, not a mean.

    Its size does not fall with the length of the row, from 0 (equal) to 2.

    Args:
        teacher: [B, A, S, S] or [B, S, S] probabilities. student: the same, any number of heads.
        mask: optional [B, S]; a pair (query, key) counts where both are 1.

    Returns:
        float32 scalar, mean over heads and unmasked queries.
    """
    teacher, student = (real_pairs(maps, mask) for maps in _maps(teacher, student))
    error = tf.reduce_mean(tf.math.squared_difference(teacher, student), axis=1)
    return masked_mean(tf.reduce_sum(error, axis=-1), mask)


def _maps(teacher, student) -> tuple[tf.Tensor, tf.Tensor]:
    """float32 [B, A, S, S] each, of as many heads; no gradient flows into the teacher."""
    teacher, student = tf.stop_gradient(_with_heads(teacher)), _with_heads(student)
    if None not in (teacher.shape[1], student.shape[1]) and teacher.shape[1] != student.shape[1]:
        teacher, student = tf.reduce_mean(teacher, 1, keepdims=True), tf.reduce_mean(student, 1, keepdims=True)
    require_one_shape(teacher, student)
    return teacher, student


def _with_heads(maps) -> tf.Tensor:
    maps = tf.cast(maps, tf.float32)
    return maps[:, None] if maps.shape.rank == 3 else maps


def _mean_over_pairs(teacher, student, mask, clamped: bool) -> tf.Tensor:
    if mask is None:
        if clamped:
            teacher, student = (tf.where(maps <= MASKED_SCORE, 0.0, maps) for maps in (teacher, student))
        return masked_mean(tf.math.squared_difference(teacher, student))
    error = tf.math.squared_difference(real_pairs(teacher, mask), real_pairs(student, mask))
    return masked_mean(tf.reduce_mean(error, axis=1), pair_mask(mask))
