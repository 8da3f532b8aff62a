"""Objectives, the functions that a fit minimises: they take model outputs and a batch, and return named losses."""

from collections.abc import Callable
from dataclasses import dataclass, field

import tensorflow as tf

from xtremedistil.losses.weight_schedules import constant_weight, weight_factor


@dataclass(frozen=True)
class Loss:
    """One term of an objective.

    Fields:
        value: float32 scalar, mean over the unmasked items of this replica.
        count: float32 scalar, number of these items; replicas and batches of a step are weighted by it.
        weight: factor in the sum.
    """

    value: tf.Tensor
    count: tf.Tensor
    weight: float | tf.Tensor = 1.0

    def total_and_count(self) -> tf.Tensor:
        """Returns [2]: the weighted sum over the items, and their number; both can be added over batches."""
        return tf.stack([self.weight * self.value * self.count, self.count])


@dataclass(frozen=True)
class Objective:
    """What a fit minimises.

    Fields:
        values: takes model outputs and a batch; returns the values of losses by name.
        counts: takes a batch; returns the number of items that each value averages over. With gradient accumulation it
            is also called before the model runs, with batches without teacher outputs.
        weights: factors by name; by default 1.
        schedules: by name, functions from progress (a scalar tensor, 0 to 1) to a factor of the weight.
    """

    values: Callable[[dict, dict], dict[str, tf.Tensor]]
    counts: Callable[[dict], dict[str, tf.Tensor]]
    weights: dict[str, float] = field(default_factory=dict)
    schedules: dict[str, Callable] = field(default_factory=dict)

    def __call__(self, outputs: dict, batch: dict, progress: tf.Tensor | None = None) -> dict[str, Loss]:
        """Computes the losses; without progress, schedules of weights are ignored."""
        counts = self.counts(batch)
        values = self.values(outputs, batch)
        return {name: Loss(value, counts[name], self._weight(name, progress)) for name, value in values.items()}

    def _weight(self, name: str, progress: tf.Tensor | None):
        weight = self.weights.get(name, 1.0)
        return weight * self.schedules[name](progress) if name in self.schedules and progress is not None else weight


def joined(*objectives: Objective) -> Objective:
    """Joins the terms of several objectives."""

    def values(outputs, batch):
        return {name: value for one in objectives for name, value in one.values(outputs, batch).items()}

    def counts(batch):
        return {name: value for one in objectives for name, value in one.counts(batch).items()}

    weights = {name: weight for one in objectives for name, weight in one.weights.items()}
    schedules = {name: schedule for one in objectives for name, schedule in one.schedules.items()}
    return Objective(values, counts, weights, schedules)


def scheduled(names: dict) -> dict:
    """Makes `Objective.schedules` from names of schedules, or functions, by term; constant weights need none."""
    found = {name: weight_factor(schedule) for name, schedule in names.items()}
    return {name: factor for name, factor in found.items() if factor is not constant_weight}


def renamed(objective: Objective, names: dict[str, str]) -> Objective:
    """The same terms under other names; those that `names` leaves out keep theirs."""

    def by_new_name(terms: dict) -> dict:
        return {names.get(name, name): value for name, value in terms.items()}

    return Objective(
        lambda outputs, batch: by_new_name(objective.values(outputs, batch)),
        lambda batch: by_new_name(objective.counts(batch)),
        by_new_name(objective.weights),
        by_new_name(objective.schedules),
    )
