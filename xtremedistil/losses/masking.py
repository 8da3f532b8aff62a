"""Masks tensors and averages losses over unmasked values, in float32."""

import tensorflow as tf

from xtremedistil.losses.border import numbers, require_fit

EXCLUDED = -1e9  # score that excludes an entry from a softmax; its exponential is 0 in float32


def competing(logits: tf.Tensor) -> tf.Tensor:
    """Returns float32, 1 for scores that are not excluded from a softmax."""
    return tf.cast(logits > EXCLUDED / 2, tf.float32)


def masked_mean(values: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Returns the mean of `values` where `mask` (same shape) is 1, or weighted by it; float32 scalar."""
    values = tf.cast(numbers("values", values), tf.float32)
    if mask is None:
        return tf.math.divide_no_nan(tf.reduce_sum(values), tf.cast(tf.size(values), tf.float32))
    mask = tf.cast(numbers("mask", mask), tf.float32)
    require_fit("mask", mask.shape, values.shape)
    # Masked values may be infinite, so they are replaced, not multiplied by 0.
    kept = tf.where(mask > 0, values, 0.0)
    return tf.math.divide_no_nan(tf.reduce_sum(kept * mask), tf.reduce_sum(mask))


def masked_mean_of(values, mask=None, mean_over: str = "positions") -> tf.Tensor:
    """Returns the mean of `values` [B, S] over positions, or the mean over rows of each row's mean over positions.

    Raises:
        ValueError: `mean_over` is neither "positions" nor "rows".
    """
    if mean_over not in ("positions", "rows"):
        raise ValueError(f'mean_over is "{mean_over}"; there are: positions, rows.')
    if mean_over == "positions":
        return masked_mean(values, mask)
    kept = tf.ones_like(values) if mask is None else tf.cast(mask, tf.float32)
    lengths = tf.reduce_sum(kept, axis=-1)
    by_row = tf.math.divide_no_nan(tf.reduce_sum(tf.where(kept > 0, values, 0.0) * kept, axis=-1), lengths)
    return masked_mean(by_row, tf.cast(lengths > 0, tf.float32))


def real(values, mask=None) -> tf.Tensor:
    """Returns `values` [..., H] in float32, 0 where `mask` [...] is 0.

    Losses do this before all arithmetic: masking only the result would leave gradients of 0 * inf in the padding.

    Raises:
        ValueError: `mask` does not have all axes of `values` but the last.
    """
    values = tf.cast(values, tf.float32)
    if mask is None:
        return values
    mask = tf.cast(mask, tf.float32)
    if None not in (mask.shape.rank, values.shape.rank) and mask.shape.rank != values.shape.rank - 1:
        raise ValueError(
            f"A mask of shape {mask.shape} does not fit values of shape {values.shape}: "
            "it has all axes of the values but the last."
        )
    return tf.where(mask[..., None] > 0, values, 0.0)


def pair(teacher, student, mask=None) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies `real` to both tensors; no gradient flows into the teacher.

    Raises:
        ValueError: the shapes differ. TensorFlow would silently broadcast an axis of size 1.
    """
    teacher, student = tf.stop_gradient(real(teacher, mask)), real(student, mask)
    require_one_shape(teacher, student)
    return teacher, student


def require_one_shape(teacher: tf.Tensor, student: tf.Tensor) -> None:
    """Raises ValueError if the static shapes differ."""
    if not teacher.shape.is_compatible_with(student.shape):
        raise ValueError(
            f"The teacher's tensor has shape {teacher.shape}, the student's {student.shape}; this loss compares them "
            "element by element. Project the student to the teacher's width, or choose a loss of similarities."
        )


def pair_mask(mask) -> tf.Tensor:
    """Turns [B, S] into [B, S, S], 1 where query and key are both unmasked."""
    mask = tf.cast(numbers("mask", mask, (2,), "[B, S]"), tf.float32)
    return mask[:, :, None] * mask[:, None, :]


def real_pairs(maps: tf.Tensor, mask=None, fill: float = 0.0) -> tf.Tensor:
    """Sets [B, A, S, S] to `fill` where query or key is masked; `EXCLUDED` keeps masked keys out of a softmax."""
    return maps if mask is None else tf.where(pair_mask(mask)[:, None] > 0, maps, fill)


def root(values: tf.Tensor) -> tf.Tensor:
    """Returns the square root of values >= 0, whose gradient at 0 is 0."""
    positive = values > 0
    return tf.where(positive, tf.sqrt(tf.where(positive, values, 1.0)), 0.0)


def unit(vectors: tf.Tensor, axis: int = -1, floor=1e-24) -> tf.Tensor:
    """Scales vectors along `axis` to length 1; those whose squared length is at most `floor` become 0."""
    squared = tf.reduce_sum(tf.square(vectors), axis=axis, keepdims=True)
    known = squared > floor
    return tf.where(known, vectors * tf.math.rsqrt(tf.where(known, squared, 1.0)), 0.0)
