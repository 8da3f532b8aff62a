"""Roots and directions whose gradient at zero is 0, not infinite."""

import tensorflow as tf


def root(values: tf.Tensor) -> tf.Tensor:
    """Square root of values >= 0."""
    positive = values > 0
    return tf.where(positive, tf.sqrt(tf.where(positive, values, 1.0)), 0.0)


def unit(vectors: tf.Tensor, axis: int = -1, floor=1e-24) -> tf.Tensor:
    """The vectors along `axis`, of length 1; one whose squared length is not above `floor` becomes 0."""
    squared = tf.reduce_sum(tf.square(vectors), axis=axis, keepdims=True)
    known = squared > floor
    return tf.where(known, vectors * tf.math.rsqrt(tf.where(known, squared, 1.0)), 0.0)
