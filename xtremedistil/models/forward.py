"""A functional model in inference mode, as one graph for rows of any number and length."""

import tensorflow as tf

from xtremedistil.data.padding import INPUT_NAMES
from xtremedistil.models.prediction import PredictFunction


def make_predict_function(model: tf.keras.Model | PredictFunction) -> PredictFunction:
    """The model without dropout: named int32 [B, S] inputs in, named arrays out.

    A predict function, of another runtime, comes back as it is.
    """
    if not isinstance(model, tf.Module):
        return model

    @tf.function(input_signature=[{name: tf.TensorSpec([None, None], tf.int32) for name in INPUT_NAMES}])
    def graph(inputs):
        return model(inputs, training=False)

    def predict(batch):
        outputs = graph({name: tf.constant(batch[name]) for name in INPUT_NAMES})
        return {name: value.numpy() for name, value in outputs.items()}

    return predict
