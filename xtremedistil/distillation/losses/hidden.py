"""Losses between hidden states of equal width."""

import tensorflow as tf

from xtremedistil.distillation.losses.masks import masked_mean, pair


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
