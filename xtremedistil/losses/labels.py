"""Losses on gold labels: one class, several labels at once, scores, and start and end of a span."""

import tensorflow as tf

from xtremedistil.losses.border import numbers, require_fit
from xtremedistil.losses.masking import EXCLUDED, masked_mean, real


def label_weights(labels, class_weights=None) -> tf.Tensor:
    """Returns the weight of each position in `label_cross_entropy`: that of its label, or 0 for -100.

    Args:
        labels: int [B] or [B, S]. class_weights: float32 [L]; by default 1 for each label.

    Returns:
        float32, the shape of `labels`.
    """
    kept = numbers("labels", labels, (1, 2), "[B] or [B, S]") >= 0
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
    labels = numbers("labels", labels, (1, 2), "[B] or [B, S]")
    logits = numbers("logits", logits, (2, 3), "[B, L] or [B, S, L]")
    if not labels.dtype.is_integer:
        raise ValueError(f"labels are of type {labels.dtype.name}; whole numbers are expected, -100 for none.")
    require_fit("labels", labels.shape, logits.shape[:-1])
    if class_weights is not None:
        require_fit("class_weights", numbers("class_weights", class_weights, (1,), "[L]").shape, logits.shape[-1:])
    if tf.executing_eagerly() and tf.size(labels) and tf.reduce_max(labels) >= logits.shape[-1]:
        raise ValueError(f"labels reach {int(tf.reduce_max(labels))}; there are {logits.shape[-1]} logits, from 0.")
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
    labels, logits, mask = _of_rows(labels, logits, mask)
    nats = tf.nn.sigmoid_cross_entropy_with_logits(labels=real(labels, mask), logits=real(logits, mask))
    return masked_mean(tf.reduce_mean(nats, axis=-1), mask)


def label_mse(*, labels, logits, mask=None) -> tf.Tensor:
    """Mean squared error of scores.

    Args:
        labels, logits: float [B, L]. mask: optional [B].

    Returns:
        float32 scalar, mean over rows and over L.
    """
    labels, logits, mask = _of_rows(labels, logits, mask)
    return masked_mean(
        tf.reduce_mean(tf.math.squared_difference(real(labels, mask), real(logits, mask)), axis=-1), mask
    )


def _of_rows(labels, logits, mask) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
    """Returns labels and logits [B, L] and the mask [B] as tensors; raises ValueError if they do not fit together."""
    labels, logits = (numbers(name, one, (2,), "[B, L]") for name, one in (("labels", labels), ("logits", logits)))
    require_fit("labels", labels.shape, logits.shape)
    if mask is not None:
        mask = numbers("mask", mask, (1,), "[B]")
        require_fit("mask", mask.shape, logits.shape[:-1])
    return labels, logits, mask


def span_weights(ends, mask) -> tf.Tensor:
    """Returns the weight of each row in `span_cross_entropy`, float32 [B]: 1 if both ends are unmasked positions.

    Args:
        ends: int [B, 2]. mask: [B, S].
    """
    ends, mask = numbers("ends", ends, (2,), "[B, 2]"), numbers("mask", mask, (2,), "[B, S]")
    require_fit("ends", ends.shape, [mask.shape[0], 2])
    if not ends.dtype.is_integer:
        raise ValueError(f"ends are of type {ends.dtype.name}; whole numbers are expected.")
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
    start, end = (numbers(name, one, (3,), "[B, S, 1]") for name, one in (("start", start), ("end", end)))
    for name, logits in (("start", start), ("end", end)):
        require_fit(name, logits.shape, [*tf.convert_to_tensor(mask).shape, 1])
    known = tf.where(kept[:, None] > 0, ends, 0)
    nats = [_place_nats(known[:, number], logits, mask) for number, logits in enumerate((start, end))]
    return masked_mean(tf.add_n(nats) / 2.0, kept)


def _place_nats(places: tf.Tensor, logits: tf.Tensor, mask) -> tf.Tensor:
    scores = tf.where(tf.cast(mask, tf.float32) > 0, tf.cast(logits[..., 0], tf.float32), EXCLUDED)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(places, scores)
