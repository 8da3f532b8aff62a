"""Distillation losses: pure functions of teacher and student tensors, masked, in float32.

Axes: B batch, S positions, H hidden, A attention heads, L labels. Masks are 0/1; what they leave out enters neither
the sum nor the count. A loss over nothing is 0. Weights are masks of other numbers: sum(weight * loss) / sum(weight).
"""

import tensorflow as tf


def masked_mean(values: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Mean of `values` where `mask` (same shape) is 1, or weighted by it; float32 scalar."""
    values = tf.cast(values, tf.float32)
    if mask is None:
        return tf.math.divide_no_nan(tf.reduce_sum(values), tf.cast(tf.size(values), tf.float32))
    mask = tf.cast(mask, tf.float32)
    # A padded position may hold anything, also inf: it is replaced, not multiplied by 0.
    kept = tf.where(mask > 0, values, 0.0)
    return tf.math.divide_no_nan(tf.reduce_sum(kept * mask), tf.reduce_sum(mask))


def _squared_error(teacher, student) -> tf.Tensor:
    """Mean over the last axis of the squared difference; no gradient flows into the teacher."""
    teacher = tf.stop_gradient(tf.cast(teacher, tf.float32))
    return tf.reduce_mean(tf.math.squared_difference(teacher, tf.cast(student, tf.float32)), axis=-1)


def hidden_mse(*, teacher, student, mask=None):
    """Mean squared error between hidden states of equal width.

    Args:
        teacher, student: [B, S, H] or [B, H].
        mask: optional [B, S] or [B].

    Returns:
        float32 scalar, mean over unmasked positions and over H.

    Example: teacher [1, 2], student [1, 4] gives (0 + 4) / 2 = 2.
    """
    return masked_mean(_squared_error(teacher, student), mask)


def logits_mse(*, teacher, student, mask=None):
    """Mean squared error between raw logits, no temperature (Mukherjee & Awadallah, 2020, section 3).

    Args:
        teacher, student: [B, L] or [B, S, L].
        mask: optional [B] or [B, S].

    Returns:
        float32 scalar, mean over unmasked positions and over L.
    """
    return masked_mean(_squared_error(teacher, student), mask)


def attention_mse(*, teacher, student, mask=None):
    """Mean squared error between attention maps; where the head counts differ, between their averages over heads.

    Args:
        teacher: [B, A, S, S] probabilities. student: the same, any number of heads.
        mask: optional [B, S]; a pair (query, key) counts where both are 1.

    Returns:
        float32 scalar, mean over heads, unmasked queries and unmasked keys: about 1e-6 for maps of long rows, whose
        entries are small.
    """
    return masked_mean(_map_error(teacher, student), None if mask is None else pair_mask(mask))


def attention_squared_distance(*, teacher, student, mask=None):
    """Squared distance between the distributions of each query: `attention_mse` with a sum over keys, not a mean.

    Its size does not fall with the length of the row, from 0 (equal) to 2.

    Args: as `attention_mse`.

    Returns:
        float32 scalar, mean over heads and unmasked queries.
    """
    error = _map_error(teacher, student)
    if mask is None:
        return masked_mean(tf.reduce_sum(error, axis=-1))
    mask = tf.cast(mask, tf.float32)
    by_query = tf.reduce_sum(tf.where(mask[:, None, :] > 0, error, 0.0), axis=-1)
    return masked_mean(by_query, mask)


def _map_error(teacher, student) -> tf.Tensor:
    """[B, S, S], the squared difference of maps, mean over heads."""
    teacher, student = tf.cast(teacher, tf.float32), tf.cast(student, tf.float32)
    if teacher.shape[1] != student.shape[1]:
        teacher, student = tf.reduce_mean(teacher, 1, keepdims=True), tf.reduce_mean(student, 1, keepdims=True)
    return tf.reduce_mean(tf.math.squared_difference(tf.stop_gradient(teacher), student), axis=1)


def pair_mask(mask) -> tf.Tensor:
    """[B, S] -> [B, S, S], 1 where query and key are both real."""
    mask = tf.cast(mask, tf.float32)
    return mask[:, :, None] * mask[:, None, :]


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


def label_cross_entropy(*, labels, logits, class_weights=None):
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
    nats = tf.nn.sparse_softmax_cross_entropy_with_logits(known, tf.cast(logits, tf.float32))
    return masked_mean(nats, label_weights(labels, class_weights))
