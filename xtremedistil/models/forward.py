"""Runs a functional model in inference mode, as one graph for batches of any size and length."""

import os

import tensorflow as tf

from xtremedistil.data.padding import INPUT_NAMES
from xtremedistil.models.prediction import PredictFunction


def make_predict_function(model: tf.keras.Model | PredictFunction) -> PredictFunction:
    """Returns the model without dropout as a function from named int32 [B, S] inputs to named arrays.

    A predict function of another runtime is returned as it is.
    """
    if not isinstance(model, tf.Module):
        return model

    @tf.function(input_signature=[{name: tf.TensorSpec([None, None], tf.int32) for name in INPUT_NAMES}])
    def graph(inputs):
        return model(inputs, training=False)

    process = os.getpid()

    def predict(batch):
        if os.getpid() != process:  # TensorFlow's threads did not come along: the call would never end
            raise RuntimeError(
                "This model was loaded before the process forked, and TensorFlow hangs in the child. Load it in the "
                'child, start children with multiprocessing.get_context("spawn"), or predict with ONNX Runtime.'
            )
        outputs = graph({name: tf.constant(batch[name]) for name in INPUT_NAMES})
        return {name: value.numpy() for name, value in outputs.items()}

    return predict
