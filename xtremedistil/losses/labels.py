"""Losses on gold labels: one class, several labels at once, scores, and start and end of a span."""

import tensorflow as tf

from xtremedistil.losses.masking import EXCLUDED, masked_mean, real


def label_weights(labels, class_weights=None) -> tf.Tensor:
    """Returns the weight of each position in `label_cross_entropy`: that of its label, or 0 for -100.

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


def label_bce(*, labels, logits, mask=None) -> tf.Tensor:
    """Binary cross-entropy of each label alone, in nats, for tasks where several labels may hold.

    Args:
        labels: float [B, L], 0 to 1. logits: [B, L]. mask: optional [B].

    Returns:
        float32 scalar, mean over rows and over L.

    Example: labels 1 and 0, logits 0 and ln 3 give (ln 2 + ln 4) / 2 = 1.040.
    """
    nats = tf.nn.sigmoid_cross_entropy_with_logits(labels=real(labels, mask), logits=real(logits, mask))
    return masked_mean(tf.reduce_mean(nats, axis=-1), mask)


def label_mse(*, labels, logits, mask=None) -> tf.Tensor:
    """Mean squared error of scores.

    Args:
        labels, logits: float [B, L]. mask: optional [B].

    Returns:
        float32 scalar, mean over rows and over L.
    """
    return masked_mean(
        tf.reduce_mean(tf.math.squared_difference(real(labels, mask), real(logits, mask)), axis=-1), mask
    )


def span_weights(ends, mask) -> tf.Tensor:
    """Returns the weight of each row in `span_cross_entropy`, float32 [B]: 1 if both ends are unmasked positions.

    Args:
        ends: int [B, 2]. mask: [B, S].
    """
    places = tf.one_hot(ends, tf.shape(mask)[1], dtype=tf.float32)  # all 0 for ends outside the row
    return tf.reduce_prod(tf.reduce_sum(places * tf.cast(mask, tf.float32)[:, None], axis=-1), axis=-1)


def span_cross_entropy(*, ends, start, end, mask) -> tf.Tensor:
    """Cross-entropy of a span's start and end over the positions of its row, in nats.

    Args:
        ends: int [B, 2], start and end. Rows in which one of them is no position, such as -100, are left out.
        start, end: logits [B, S, 1]. mask: [B, S], 1 at the positions that may be an end.

    Returns:
        float32 scalar, mean over rows and both ends.

    Example: a row of two positions, both logits 0 at both of them, gives ln 2 = 0.693.
    """
    kept = span_weights(ends, mask)
    known = tf.where(kept[:, None] > 0, ends, 0)
    nats = [_place_nats(known[:, number], logits, mask) for number, logits in enumerate((start, end))]
    return masked_mean(tf.add_n(nats) / 2.0, kept)


def _place_nats(places: tf.Tensor, logits: tf.Tensor, mask) -> tf.Tensor:
    scores = tf.where(tf.cast(mask, tf.float32) > 0, tf.cast(logits[..., 0], tf.float32), EXCLUDED)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(places, scores)
