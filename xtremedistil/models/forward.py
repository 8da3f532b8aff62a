"""Running a functional model over encoded rows, without dropout and without collecting more than a batch."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from xtremedistil.tasks.features import Features
from xtremedistil.tasks.padding import INPUT_NAMES, length_order, pad_rows, padded_width


def make_predict_function(model: tf.keras.Model) -> Callable[[dict], dict[str, tf.Tensor]]:
    """The model in inference mode as one graph for all shapes: named int32 [B, S] inputs in, named outputs out."""

    @tf.function(input_signature=[{name: tf.TensorSpec([None, None], tf.int32) for name in INPUT_NAMES}])
    def graph(inputs):
        return model(inputs, training=False)

    def predict(batch):
        return graph({name: tf.constant(batch[name]) for name in INPUT_NAMES})

    return predict


def predict_batches(
    predict, features: Features, *, batch_size: int, pad_id: int
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Batches by length: row numbers and the named outputs, padded [B, S, ...] or [B, ...]."""
    for rows in length_order(features.lengths, batch_size):
        batch = pad_rows(features, rows, padded_width(features, rows), pad_id)
        yield rows, {name: value.numpy() for name, value in predict(batch).items()}


def predict_logits(predict, features: Features, *, batch_size: int, pad_id: int) -> list[np.ndarray]:
    """Logits of each row without padding, in row order: float32 [S, L] for tagging, [L] for classification."""
    logits: list[np.ndarray] = [np.empty(0)] * len(features)
    for rows, outputs in predict_batches(predict, features, batch_size=batch_size, pad_id=pad_id):
        for row, values in zip(rows, outputs["logits"], strict=True):
            logits[row] = values[: features.lengths[row]] if values.ndim == 2 else values
    return logits
