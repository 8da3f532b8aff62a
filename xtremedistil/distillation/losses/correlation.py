"""DIST: correlations of label distributions instead of their distance."""

import tensorflow as tf

from xtremedistil.distillation.losses.masks import masked_mean, pair
from xtremedistil.distillation.losses.norms import unit


def dist(
    *, teacher, student, mask=None, temperature: float = 1.0, inter_weight: float = 1.0, intra_weight: float = 1.0
) -> tf.Tensor:
    """1 - Pearson's correlation between softmax outputs, over classes and over rows (Huang et al., 2022, section 3).

    A teacher much stronger than the student is followed in what it prefers, not in how sure it is.

    Args:
        teacher, student: logits [B, L] or [B, S, L], whose positions are rows like any others.
        mask: optional [B] or [B, S].
        temperature: divides both logits; the loss is multiplied by its square.
        inter_weight: factor of the correlation over the classes of each row.
        intra_weight: factor of the correlation over the rows of each class. What does not vary, such as a single row,
            has correlation 0.

    Returns:
        float32 scalar, temperature ** 2 * (inter_weight * (1 - r) + intra_weight * (1 - r)); 0 if all are masked.

    Raises:
        ValueError: `temperature` is not positive, or the shapes differ.
    """
    if not tf.is_tensor(temperature) and temperature <= 0:
        raise ValueError(f"temperature is {temperature}; it must be greater than 0.")
    teacher, student = (_probabilities(logits, temperature) for logits in pair(teacher, student, mask))
    counted = tf.ones_like(student[:, 0]) if mask is None else tf.reshape(tf.cast(mask, tf.float32), [-1])
    inter = masked_mean(1.0 - _correlation(teacher, student, tf.ones_like(student), axis=1), counted)
    by_class = 1.0 - _correlation(teacher, student, counted[:, None], axis=0)
    intra = masked_mean(by_class, tf.fill(tf.shape(by_class), tf.cast(tf.reduce_any(counted > 0), tf.float32)))
    return tf.square(tf.cast(temperature, tf.float32)) * (inter_weight * inter + intra_weight * intra)


def _probabilities(logits: tf.Tensor, temperature) -> tf.Tensor:
    """[rows, L]."""
    rows = tf.reshape(logits, [-1, tf.shape(logits)[-1]])
    return tf.nn.softmax(rows / tf.cast(temperature, tf.float32))


def _correlation(teacher, student, counted, axis: int) -> tf.Tensor:
    """Pearson's, along `axis` of [rows, L], of what `counted` (as it is, or [rows, 1]) does not leave out."""
    return tf.reduce_sum(_deviations(teacher, counted, axis) * _deviations(student, counted, axis), axis=axis)


def _deviations(values, counted, axis: int) -> tf.Tensor:
    """Differences from the mean, of length 1 together; 0 where they are but rounding."""
    counted = tf.broadcast_to(tf.cast(counted > 0, tf.float32), tf.shape(values))
    values = values * counted
    mean = tf.math.divide_no_nan(
        tf.reduce_sum(values, axis, keepdims=True), tf.reduce_sum(counted, axis, keepdims=True)
    )
    size = tf.reduce_sum(tf.square(values), axis, keepdims=True)
    return unit((values - mean) * counted, axis, floor=tf.stop_gradient(1e-12 * size))
