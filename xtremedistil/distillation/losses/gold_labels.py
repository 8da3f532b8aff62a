"""Cross-entropy of gold labels."""

import tensorflow as tf

from xtremedistil.distillation.losses.masks import masked_mean, real


def label_weights(labels, class_weights=None) -> tf.Tensor:
    """Weight of each position in `label_cross_entropy`: that of its label, 0 where it is -100.

    Args:
        labels: int [B] or [B, S]. class_weights: float32 [L]; by default 1 for each label.

    Returns:
        float32, the shape of `labels`.
    """
    kept = tf.convert_to_tensor(labels) >= 0
    if class_weights is None:
        return tf.cast(kept, tf.float32)
    return tf.where(kept, tf.gather(tf.cast(class_weights, tf.float32), tf.where(kept, labels, 0)), 0.0)


def label_cross_entropy(*, labels, logits, class_weights=None) -> tf.Tensor:
    """Cross-entropy of gold labels in nats; positions labelled -100 are left out.

    Args:
        labels: int [B] or [B, S]. logits: [B, L] or [B, S, L], before softmax.
        class_weights: optional float32 [L], factor of each label.

    Returns:
        float32 scalar, mean over labelled positions; with `class_weights` sum(w * nats) / sum(w).

    Example: labels 0 and 1 of weights 1 and 3, found with probability 1/2 and 3/4, give
    (1 * ln 2 + 3 * ln 4/3) / 4 = 0.389.
    """
    labels = tf.convert_to_tensor(labels)
    known = tf.where(labels >= 0, labels, 0)
    nats = tf.nn.sparse_softmax_cross_entropy_with_logits(known, real(logits, labels >= 0))
    return masked_mean(nats, label_weights(labels, class_weights))
