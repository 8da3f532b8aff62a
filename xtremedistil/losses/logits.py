"""Losses between logits, as soft labels or directly.

`temperature` divides both logits: a number, or a tensor with a value for each row [B] or position [B, S]. Gradients of
soft labels shrink by its square; `t_squared` multiplies the loss by it, so that the temperature does not change how
loss terms are weighted (Hinton et al., 2015, section 2).
"""

import numpy as np
import tensorflow as tf

from xtremedistil.losses.masking import EXCLUDED, competing, masked_mean, pair, root, unit


def soft_label_ce(*, teacher, student, mask=None, temperature=1.0, t_squared: bool = True) -> tf.Tensor:
    """Cross-entropy of the student's label distribution under the teacher's (Hinton et al., 2015, section 2).

    Args:
        teacher, student: logits [B, L] or [B, S, L].
        mask: optional [B] or [B, S].
        temperature: greater than 0; a number, or [B] or [B, S].
        t_squared: whether the loss is multiplied by temperature ** 2.

    Returns:
        float32 scalar in nats, mean over unmasked positions; at least the teacher's entropy (times temperature ** 2).

    Raises:
        ValueError: `temperature` is not positive, or the shapes differ.

    Example: teacher [0, 0], student [0, ln 3], temperature 1 gives -(ln 1/4 + ln 3/4) / 2 = 0.837.
    """
    scale = _scale(temperature, mask)
    teacher, student = _softened(teacher, student, mask, scale)
    nats = -tf.math.multiply_no_nan(tf.nn.log_softmax(student), tf.nn.softmax(teacher))
    return _mean(tf.reduce_sum(nats, axis=-1), mask, scale, t_squared)


def soft_label_kl(*, teacher, student, mask=None, temperature=1.0, t_squared: bool = True) -> tf.Tensor:
    """KL(teacher || student) between label distributions: `soft_label_ce` minus the teacher's entropy.

    It has the gradient of `soft_label_ce` and the minimum 0.

    Args, raises: as `soft_label_ce`.

    Returns:
        float32 scalar in nats, mean over unmasked positions.

    Example: teacher [2, 0], student [0, 0], temperature 1 gives ln 2 - H(0.881, 0.119) = 0.693 - 0.365 = 0.328.
    """
    scale = _scale(temperature, mask)
    teacher, student = _softened(teacher, student, mask, scale)
    log_ratio = tf.nn.log_softmax(teacher) - tf.nn.log_softmax(student)
    nats = tf.reduce_sum(tf.math.multiply_no_nan(log_ratio, tf.nn.softmax(teacher)), axis=-1)
    return _mean(nats, mask, scale, t_squared)


def soft_label_bce(*, teacher, student, mask=None, temperature=1.0, t_squared: bool = True) -> tf.Tensor:
    """Binary cross-entropy of each label alone, through sigmoids, for tasks where several labels may hold.

    Args, raises: as `soft_label_ce`.

    Returns:
        float32 scalar in nats, mean over unmasked positions and over L; at least the teacher's entropy.

    Example: teacher [0], student [ln 3], temperature 1 gives -(ln 3/4 + ln 1/4) / 2 = 0.837.
    """
    scale = _scale(temperature, mask)
    teacher, student = _softened(teacher, student, mask, scale)
    nats = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.sigmoid(teacher), logits=student)
    return _mean(tf.reduce_mean(nats, axis=-1), mask, scale, t_squared)


def logits_mse(*, teacher, student, mask=None, temperature=1.0, sum_over_labels: bool = False) -> tf.Tensor:
    """Mean squared error between logits (Ba and Caruana, 2014; Mukherjee and Awadallah, 2020, section 3).

    Also for regression, whose logits are [B, 1].

    Args:
        teacher, student: [B, L] or [B, S, L].
        mask: optional [B] or [B, S].
        temperature: divides both; the loss shrinks by its square.
        sum_over_labels: a sum over L, as DistilBERT's code has it over the vocabulary.

    Returns:
        float32 scalar, mean over unmasked positions and, without `sum_over_labels`, over L.

    Raises:
        ValueError: `temperature` is not positive, or the shapes differ.
    """
    teacher, student = _softened(teacher, student, mask, _scale(temperature, mask))
    mean = masked_mean(tf.reduce_mean(tf.math.squared_difference(teacher, student), axis=-1), mask)
    return mean * student.shape[-1] if sum_over_labels else mean


def logit_standardized_kl(*, teacher, student, mask=None, temperature=1.0, t_squared: bool = True) -> tf.Tensor:
    """`soft_label_kl` between logits scaled to mean 0 and standard deviation 1 (Sun et al., 2024, algorithm 1).

    The student need not match the range of the teacher's logits, only their relations. The standard deviation divides
    by L - 1; 1e-7 is added to it.

    Args, returns, raises: as `soft_label_kl`.
    """
    teacher, student = pair(teacher, student, mask)
    return soft_label_kl(
        teacher=_standardized(teacher),
        student=_standardized(student),
        mask=mask,
        temperature=temperature,
        t_squared=t_squared,
    )


def _standardized(logits: tf.Tensor) -> tf.Tensor:
    """Standardizes logits; those that a softmax excludes stay excluded and do not enter mean and deviation."""
    counted = competing(logits)
    count = tf.reduce_sum(counted, axis=-1, keepdims=True)
    logits = tf.where(counted > 0, logits, 0.0)
    mean = tf.math.divide_no_nan(tf.reduce_sum(logits, axis=-1, keepdims=True), count)
    centred = (logits - mean) * counted
    freedom = tf.maximum(count - 1.0, 1.0)
    scaled = centred / (root(tf.reduce_sum(tf.square(centred), axis=-1, keepdims=True) / freedom) + 1e-7)
    return tf.where(counted > 0, scaled, EXCLUDED)


def _scale(temperature, mask) -> tf.Tensor:
    """Returns the temperature as float32, 1 where a mask of the same axes is 0.

    Raises:
        ValueError: the temperature is a number or array that is not positive; tensors are not checked.
    """
    if not tf.is_tensor(temperature) and not np.all(np.asarray(temperature) > 0):
        raise ValueError(f"temperature is {temperature}; it must be greater than 0.")
    scale = tf.cast(temperature, tf.float32)
    if mask is None or scale.shape.rank != tf.convert_to_tensor(mask).shape.rank:
        return scale
    return tf.where(tf.cast(mask, tf.float32) > 0, scale, 1.0)


def _softened(teacher, student, mask, scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    teacher, student = pair(teacher, student, mask)
    scale = _with_axes(scale, student.shape.rank)
    return teacher / scale, student / scale


def _mean(values: tf.Tensor, mask, scale: tf.Tensor, t_squared: bool) -> tf.Tensor:
    """Averages a loss [B] or [B, S] over unmasked positions."""
    if not t_squared:
        return masked_mean(values, mask)
    if scale.shape.rank == 0:
        return tf.square(scale) * masked_mean(values, mask)
    return masked_mean(tf.square(_with_axes(scale, values.shape.rank)) * values, mask)


def _with_axes(scale: tf.Tensor, rank: int) -> tf.Tensor:
    """Appends axes of size 1 to a temperature, up to `rank`; a number stays a number."""
    while 0 < scale.shape.rank < rank:
        scale = scale[..., None]
    return scale


def dist(
    *, teacher, student, mask=None, temperature: float = 1.0, inter_weight: float = 1.0, intra_weight: float = 1.0
) -> tf.Tensor:
    """1 - Pearson's correlation between softmax outputs, over classes and over rows (Huang et al., 2022, section 3).

    The student learns the teacher's preferences, not its confidence, which helps if the teacher is much stronger.

    Args:
        teacher, student: logits [B, L] or [B, S, L]; each position is treated as a row.
        mask: optional [B] or [B, S].
        temperature: divides both logits; the loss is multiplied by its square.
        inter_weight: factor of the correlation over the classes of each row.
        intra_weight: factor of the correlation over the rows of each class. Constant values, such as a single row, have
            correlation 0.

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
    """Returns softmax outputs, [rows, L]."""
    rows = tf.reshape(logits, [-1, tf.shape(logits)[-1]])
    return tf.nn.softmax(rows / tf.cast(temperature, tf.float32))


def _correlation(teacher, student, counted, axis: int) -> tf.Tensor:
    """Returns Pearson's correlation along `axis` of [rows, L], over entries where `counted` (or [rows, 1]) is 1."""
    return tf.reduce_sum(_deviations(teacher, counted, axis) * _deviations(student, counted, axis), axis=axis)


def _deviations(values, counted, axis: int) -> tf.Tensor:
    """Returns differences from the mean, scaled to length 1; 0 if they are only rounding errors."""
    counted = tf.broadcast_to(tf.cast(counted > 0, tf.float32), tf.shape(values))
    values = values * counted
    mean = tf.math.divide_no_nan(
        tf.reduce_sum(values, axis, keepdims=True), tf.reduce_sum(counted, axis, keepdims=True)
    )
    size = tf.reduce_sum(tf.square(values), axis, keepdims=True)
    return unit((values - mean) * counted, axis, floor=tf.stop_gradient(1e-12 * size))
