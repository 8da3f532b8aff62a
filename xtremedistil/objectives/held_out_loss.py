"""The loss on rows that are not trained on."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from xtremedistil.data.features import Features
from xtremedistil.data.padding import INPUT_NAMES
from xtremedistil.training.batching import BatchReader, TrainingBatches
from xtremedistil.training.loop import batch_signature
from xtremedistil.training.objectives import Objective

HELD_OUT_BATCH = 64


class HeldOutLoss:
    """Computes an objective over fixed rows in inference mode: the weighted sum of its terms' means over all rows."""

    def __init__(
        self,
        model: tf.keras.Model,
        objective: Objective,
        features: Features,
        targets: Sequence[BatchReader],
        pad_id: int,
    ):
        self._batches = TrainingBatches(features, HELD_OUT_BATCH, pad_id, seed=0, targets=targets)

        def sums(batch):
            outputs = model({name: batch[name] for name in INPUT_NAMES}, training=False)
            return {name: term.total_and_count() for name, term in objective(outputs, batch).items()}

        self._sums = tf.function(sums, input_signature=[batch_signature(self._batches.sample())])

    def __call__(self) -> float:
        totals: dict[str, np.ndarray] = {}
        for (batch,) in self._batches.epoch(0, replicas=1):
            for name, value in self._sums(batch).items():
                totals[name] = totals.get(name, 0.0) + value.numpy()
        return float(sum(weighted / max(count, 1.0) for weighted, count in totals.values()))
