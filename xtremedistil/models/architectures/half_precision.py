"""Computes the softmax of attention in float32 when models run in half precision."""

import functools
import sys

import tensorflow as tf


def softmax_in_float32(encoder_class: type) -> None:
    """Makes a `transformers` class compute the softmax of its attention in float32.

    On CPUs, TensorFlow adds up float16 in float16, so that attention weights miss a sum of 1 by five times the rounding
    error.
    """
    module = sys.modules[encoder_class.__module__]
    softmax = getattr(module, "stable_softmax", None)
    if softmax is None or getattr(softmax, "is_in_float32", False):
        return

    @functools.wraps(softmax)
    def in_float32(logits, axis=None, name=None):
        return tf.cast(softmax(tf.cast(logits, tf.float32), axis=axis, name=name), logits.dtype)

    in_float32.is_in_float32 = True
    module.stable_softmax = in_float32
