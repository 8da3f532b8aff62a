"""Losses that compare how two layers of a model relate; both may be the same layer."""

import tensorflow as tf

from xtremedistil.losses.masking import masked_mean, pair_mask, real, require_one_shape


def fsp(*, teacher, student, mask=None) -> tf.Tensor:
    """Mean squared error between Gram matrices over positions, X1^T X2 / length (after Yim et al., 2017, section 3.2).

    With the same layer twice it is a Gram loss: it compares which features are active together, at any position.

    Args:
        teacher, student: two layers each, ([B, S, H1], [B, S, H2]); the same widths on both sides.
        mask: optional [B, S]. Lengths count unmasked positions; rows without any do not count.

    Returns:
        float32 scalar, mean over rows and over H1 x H2.
    """
    teacher, student = tf.stop_gradient(_flow(teacher, mask)), _flow(student, mask)
    require_one_shape(teacher, student)
    rows = None if mask is None else tf.reduce_max(tf.cast(mask, tf.float32), axis=1)
    return masked_mean(tf.reduce_mean(tf.math.squared_difference(teacher, student), axis=[1, 2]), rows)


def _flow(layers, mask) -> tf.Tensor:
    """Returns the Gram matrix of two layers, [B, H1, H2]."""
    first, second = _two_layers(layers, mask)
    length = tf.cast(tf.shape(first)[1], tf.float32)
    if mask is not None:
        length = tf.reduce_sum(tf.cast(mask, tf.float32), axis=1)[:, None, None]
    return tf.math.divide_no_nan(tf.matmul(first, second, transpose_a=True), length)


def nst(*, teacher, student, mask=None, normalize_by: str = "hidden") -> tf.Tensor:
    """Mean squared error between similarities of positions, X1 X2^T / H (after Huang and Wang, 2017, section 4.2).

    It is the maximum mean discrepancy (MMD) with a linear kernel. Teacher and student may differ in width.

    Args:
        teacher, student: two layers each, ([B, S, H], [B, S, H]).
        mask: optional [B, S]; a pair of positions counts where both are 1.
        normalize_by: "hidden" divides by each model's width, as TextBrewer's master branch does; "length" by S with
            padding, as its last release, 0.2.1, does with a mask (without one, it divides by the width too).

    Returns:
        float32 scalar, mean over pairs of unmasked positions.

    Raises:
        ValueError: `normalize_by` is unknown.
    """
    if normalize_by not in ("hidden", "length"):
        raise ValueError(f'normalize_by is "{normalize_by}"; it is "hidden" or "length".')
    teacher = tf.stop_gradient(_position_similarities(teacher, mask, normalize_by))
    student = _position_similarities(student, mask, normalize_by)
    return masked_mean(tf.math.squared_difference(teacher, student), None if mask is None else pair_mask(mask))


def _position_similarities(layers, mask, normalize_by: str) -> tf.Tensor:
    """Returns similarities of positions, [B, S, S]."""
    first, second = _two_layers(layers, mask)
    size = tf.shape(second)[2 if normalize_by == "hidden" else 1]
    return tf.math.divide_no_nan(tf.matmul(first, second, transpose_b=True), tf.cast(size, tf.float32))


def _two_layers(layers, mask) -> tuple[tf.Tensor, tf.Tensor]:
    if not isinstance(layers, (list, tuple)) or len(layers) != 2:
        raise ValueError(
            "This loss compares pairs of layers: give teacher and student each as a tuple of two [B, S, H]."
        )
    first, second = layers
    return real(first, mask), real(second, mask)
