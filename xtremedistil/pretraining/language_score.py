"""How a model does on held-out sequences: its accuracy on predicted tokens, and the loss."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from xtremedistil.data.features import NOT_SCORED
from xtremedistil.data.padding import Arrays
from xtremedistil.training.objectives import Objective


class LanguageScore:
    """Scores a model on fixed batches, in inference mode.

    Args:
        model: `student_with_teacher`'s, or any with the output "logits" [M, V].
        objective: its terms, each averaged over all batches together.
        batches: as `CorpusBatches` gives them, always the same.
    """

    def __init__(self, model: tf_keras.Model, objective: Objective, batches: Sequence[Arrays]):
        self._batches = batches

        def sums(batch):
            outputs = model({name: batch[name] for name in model.input}, training=False)
            terms = objective(outputs, batch)
            found = {name: term.total_and_count() for name, term in terms.items()}
            return found, _right(outputs["logits"], batch["labels"]) if "logits" in outputs else tf.zeros([2])

        self._sums = tf.function(sums, reduce_retracing=True)

    def __call__(self) -> dict[str, float]:
        """ "loss", the weighted sum of the terms, and "accuracy", 0 to 1, on labelled tokens; 0 if there are none."""
        totals: dict[str, np.ndarray] = {}
        right = np.zeros(2)
        for batch in self._batches:
            terms, of_batch = self._sums({name: tf.constant(array) for name, array in batch.items()})
            right += of_batch.numpy()
            for name, value in terms.items():
                totals[name] = totals.get(name, 0.0) + value.numpy()
        loss = sum(weighted / max(count, 1.0) for weighted, count in totals.values())
        return {"loss": float(loss), "accuracy": float(right[0] / max(right[1], 1.0))}


def _right(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """How many labels get the highest logit, and how many there are."""
    scored = labels != NOT_SCORED
    hits = scored & (tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels)
    return tf.stack([tf.reduce_sum(tf.cast(hits, tf.float32)), tf.reduce_sum(tf.cast(scored, tf.float32))])
