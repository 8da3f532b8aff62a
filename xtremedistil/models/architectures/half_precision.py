"""Attention in half precision: its softmax is computed in float32."""

import functools
import sys

import tensorflow as tf


def softmax_in_float32(encoder_class: type) -> None:
    """Lets a `transformers` class compute the softmax of its attention in float32, whatever it computes else in.

    TensorFlow sums float16 in float16 on CPUs: rows of maps then miss 1 by five times what rounding explains.
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
