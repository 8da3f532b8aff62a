"""One vector for each row of a batch: what losses of similarities compare."""

import tensorflow as tf

from xtremedistil.distillation.losses.masks import pair_mask, real


def pooled(features, mask=None) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows and whether they count.

    Args:
        features: [B, H], or [B, S, H] of which each row is the mean over its real positions.
        mask: optional [B] or [B, S]; a row counts if any position does.

    Returns:
        float32 [B, H], 0 for rows that do not count; float32 [B] of 0 and 1.
    """
    rows = real(features, mask)
    mask = tf.ones_like(rows[..., 0]) if mask is None else tf.cast(tf.cast(mask, tf.float32) > 0, tf.float32)
    if rows.shape.rank == 2:
        return rows, mask
    rows = tf.math.divide_no_nan(tf.reduce_sum(rows, axis=1), tf.reduce_sum(mask, axis=1)[:, None])
    return rows, tf.cast(tf.reduce_any(mask > 0, axis=1), tf.float32)


def both_pooled(teacher, student, mask=None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Rows of the teacher, into which no gradient flows, and of the student, any widths; whether they count."""
    teacher, counted = pooled(teacher, mask)
    student, _ = pooled(student, mask)
    return tf.stop_gradient(teacher), student, counted


def row_pairs(counted: tf.Tensor) -> tf.Tensor:
    """[B] -> [B, B], 1 where both rows count."""
    return pair_mask(counted[None])[0]
