"""Losses between logits: of soft labels, and of the logits themselves.

`temperature` divides both logits: a number, or a tensor with a value for each row [B] or position [B, S]. `t_squared`
multiplies the loss by its square: gradients of soft labels shrink by that factor, and without it another temperature
would also be another mix of loss terms (Hinton et al., 2015, section 2).
"""

import numpy as np
import tensorflow as tf

from xtremedistil.distillation.losses.masks import masked_mean, pair


def logits_mse(*, teacher, student, mask=None, temperature=1.0) -> tf.Tensor:
    """Mean squared error between logits (Ba and Caruana, 2014; Mukherjee and Awadallah, 2020, section 3).

    Also for regression, whose logits are [B, 1].

    Args:
        teacher, student: [B, L] or [B, S, L].
        mask: optional [B] or [B, S].
        temperature: divides both; the loss shrinks by its square.

    Returns:
        float32 scalar, mean over unmasked positions and over L.

    Raises:
        ValueError: `temperature` is not positive, or the shapes differ.
    """
    teacher, student = _softened(teacher, student, mask, _scale(temperature, mask))
    return masked_mean(tf.reduce_mean(tf.math.squared_difference(teacher, student), axis=-1), mask)


def _scale(temperature, mask) -> tf.Tensor:
    """The temperature as float32, 1 where a mask of the same axes is 0.

    Raises:
        ValueError: it is a number (or an array) that is not positive. Tensors are not looked into.
    """
    if not tf.is_tensor(temperature) and not np.all(np.asarray(temperature) > 0):
        raise ValueError(f"temperature is {temperature}; it must be greater than 0.")
    scale = tf.cast(temperature, tf.float32)
    if mask is None or scale.shape.rank != tf.convert_to_tensor(mask).shape.rank:
        return scale
    return tf.where(tf.cast(mask, tf.float32) > 0, scale, 1.0)


def _softened(teacher, student, mask, scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    teacher, student = pair(teacher, student, mask)
    scale = _with_axes(scale, student.shape.rank)
    return teacher / scale, student / scale


def _with_axes(scale: tf.Tensor, rank: int) -> tf.Tensor:
    """A temperature with axes of 1 behind its own; a number stays one."""
    while 0 < scale.shape.rank < rank:
        scale = scale[..., None]
    return scale
