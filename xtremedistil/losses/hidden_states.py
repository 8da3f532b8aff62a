"""Losses between hidden states of equal width."""

import tensorflow as tf

from xtremedistil.losses.masking import masked_mean, pair, unit


def hidden_mse(*, teacher, student, mask=None) -> tf.Tensor:
    """Mean squared error between hidden states (FitNets: Romero et al., 2015, section 2.2).

    Args:
        teacher, student: [B, S, H] or [B, H].
        mask: optional [B, S] or [B].

    Returns:
        float32 scalar, mean over unmasked positions and over H.

    Example: teacher [1, 2], student [1, 4] gives (0 + 4) / 2 = 2.
    """
    teacher, student = pair(teacher, student, mask)
    return masked_mean(tf.reduce_mean(tf.math.squared_difference(teacher, student), axis=-1), mask)


def hidden_cosine(*, teacher, student, mask=None) -> tf.Tensor:
    """1 - cosine between hidden states (DistilBERT: Sanh et al., 2019, section 2).

    Args:
        teacher, student: [B, S, H] or [B, H].
        mask: optional [B, S] or [B].

    Returns:
        float32 scalar, mean over unmasked positions, from 0 (same direction) to 2. Zero vectors have cosine 0 with any
        vector, and no gradient.

    Example: teacher [1, 0], student [3, 3] gives 1 - 0.707 = 0.293.
    """
    teacher, student = pair(teacher, student, mask)
    return masked_mean(1.0 - tf.reduce_sum(unit(teacher) * unit(student), axis=-1), mask)


def pkd(*, teacher, student, mask=None) -> tf.Tensor:
    """Squared distance of normalized hidden states at the first position (Sun et al., 2019, section 3.2).

    Args:
        teacher, student: [B, S, H], of which position 0 is read, or [B, H].
        mask: optional [B, S] or [B]; rows whose first position is masked do not count.

    Returns:
        float32 scalar, mean over rows, from 0 to 4. Zero vectors stay zero, and have no gradient.

    Example: teacher [1, 0], student [0, 2] gives 1 + 1 = 2.
    """
    if mask is not None and tf.convert_to_tensor(mask).shape.rank == 2:
        mask = tf.convert_to_tensor(mask)[:, 0]
    teacher, student = pair(_first(teacher), _first(student), mask)
    return masked_mean(tf.reduce_sum(tf.math.squared_difference(unit(teacher), unit(student)), axis=-1), mask)


def _first(states) -> tf.Tensor:
    states = tf.convert_to_tensor(states)
    return states[:, 0] if states.shape.rank == 3 else states
