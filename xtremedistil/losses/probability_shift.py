"""Corrects wrong predictions of the teacher: swaps the logits of its prediction and of the gold label."""

import tensorflow as tf


def probability_shift(teacher_logits, labels) -> tf.Tensor:
    """Returns the teacher's logits with those of its prediction and of the gold label swapped.

    This is knowledge adjustment (Wen et al., 2019, arXiv 1911.07471).

    Args:
        teacher_logits: [B, L] or [B, S, L].
        labels: int [B] or [B, S]. Positions labelled below 0 keep their logits.

    Returns:
        logits of the shape and type of `teacher_logits`.

    Example: logits [3, 1, 2] with label 1 give [1, 3, 2].
    """
    logits, labels = tf.convert_to_tensor(teacher_logits), tf.cast(labels, tf.int32)[..., None]
    first = tf.argmax(logits, axis=-1, output_type=tf.int32)[..., None]
    gold = tf.where(labels >= 0, labels, first)
    source = tf.range(tf.shape(logits)[-1])
    source = tf.where(source == gold, first, tf.where(source == first, gold, source))
    return tf.gather(logits, source, axis=-1, batch_dims=logits.shape.rank - 1)
