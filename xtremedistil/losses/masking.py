"""What counts in a loss: float32 tensors without their padding, and means over what is real."""

import tensorflow as tf

EXCLUDED = -1e9  # score of what a softmax leaves out; its exponential is 0 in float32


def competing(logits: tf.Tensor) -> tf.Tensor:
    """float32, 1 where a softmax does not leave a score out."""
    return tf.cast(logits > EXCLUDED / 2, tf.float32)


def masked_mean(values: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Mean of `values` where `mask` (same shape) is 1, or weighted by it; float32 scalar."""
    values = tf.cast(values, tf.float32)
    if mask is None:
        return tf.math.divide_no_nan(tf.reduce_sum(values), tf.cast(tf.size(values), tf.float32))
    mask = tf.cast(mask, tf.float32)
    # A padded position may hold anything, also inf: it is replaced, not multiplied by 0.
    kept = tf.where(mask > 0, values, 0.0)
    return tf.math.divide_no_nan(tf.reduce_sum(kept * mask), tf.reduce_sum(mask))


def masked_mean_of(values, mask=None, mean_over: str = "positions") -> tf.Tensor:
    """Mean of `values` [B, S] over positions, or of each row over its positions and then over rows that have any.

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
    """`values` [..., H] in float32, 0 where `mask` [...] is 0.

    This comes before all arithmetic: a loss that is replaced only at its end still has gradients of 0 * inf in its
    padding.

    Raises:
        ValueError: `mask` does not have the axes of `values` but for the last.
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
    """Both tensors, of one shape, as `real` makes them; no gradient flows into the teacher.

    Raises:
        ValueError: the shapes differ. TensorFlow would repeat an axis of 1 without a word.
    """
    teacher, student = tf.stop_gradient(real(teacher, mask)), real(student, mask)
    require_one_shape(teacher, student)
    return teacher, student


def require_one_shape(teacher: tf.Tensor, student: tf.Tensor) -> None:
    """Raises ValueError where the static shapes differ."""
    if not teacher.shape.is_compatible_with(student.shape):
        raise ValueError(
            f"The teacher's tensor has shape {teacher.shape}, the student's {student.shape}; this loss compares them "
            "element by element. Project the student to the teacher's width, or choose a loss of similarities."
        )


def pair_mask(mask) -> tf.Tensor:
    """[B, S] -> [B, S, S], 1 where query and key are both real."""
    mask = tf.cast(mask, tf.float32)
    return mask[:, :, None] * mask[:, None, :]


def real_pairs(maps: tf.Tensor, mask=None, fill: float = 0.0) -> tf.Tensor:
    """[B, A, S, S] with `fill` where query or key is padding; `EXCLUDED` keeps padded keys out of a softmax."""
    return maps if mask is None else tf.where(pair_mask(mask)[:, None] > 0, maps, fill)


def root(values: tf.Tensor) -> tf.Tensor:
    """Square root of values >= 0."""
    positive = values > 0
    return tf.where(positive, tf.sqrt(tf.where(positive, values, 1.0)), 0.0)


def unit(vectors: tf.Tensor, axis: int = -1, floor=1e-24) -> tf.Tensor:
    """The vectors along `axis`, of length 1; one whose squared length is not above `floor` becomes 0."""
    squared = tf.reduce_sum(tf.square(vectors), axis=axis, keepdims=True)
    known = squared > floor
    return tf.where(known, vectors * tf.math.rsqrt(tf.where(known, squared, 1.0)), 0.0)
