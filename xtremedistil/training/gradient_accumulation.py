"""Adds up gradients over the batches of a step."""

from collections.abc import Sequence

import tensorflow as tf


class GradientSums:
    """Sums of the gradients of several batches, separate for each replica.

    They are 0 between steps, so checkpoints do not need them. `add` and `take` are called on replicas.
    """

    def __init__(self, variables: Sequence[tf.Variable], strategy: tf.distribute.Strategy):
        with strategy.scope():
            self._sums = [_zeros_like(variable) for variable in variables]
        self._reached = [False] * len(self._sums)

    def add(self, gradients: Sequence) -> None:
        """Adds one gradient per variable; None, in every batch, if the objective does not depend on it."""
        self._reached = [gradient is not None for gradient in gradients]
        for total, gradient in zip(self._sums, gradients, strict=True):
            if gradient is not None:
                total.assign_add(gradient)

    def take(self) -> list[tf.Tensor | None]:
        """Returns the sums, None where no gradient was added, and resets them to 0."""
        pairs = zip(self._sums, self._reached, strict=True)
        taken = [tf.identity(total) if reached else None for total, reached in pairs]
        for total in self._sums:
            total.assign(tf.zeros(total.shape, total.dtype))
        return taken


def _zeros_like(variable: tf.Variable) -> tf.Variable:
    return tf.Variable(
        tf.zeros(variable.shape, variable.dtype),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM,
    )
