"""What a fit minimises: model outputs and a batch in, named losses out."""

from collections.abc import Callable
from dataclasses import dataclass, field

import tensorflow as tf

from xtremedistil.losses.weight_schedules import constant_weight, weight_factor


@dataclass(frozen=True)
class Loss:
    """One term of an objective.

    Fields:
        value: float32 scalar, mean over what its mask leaves on this replica.
        count: float32 scalar, how many items that mean is over: replicas and batches of a step are weighted by it.
        weight: factor in the sum.
    """

    value: tf.Tensor
    count: tf.Tensor
    weight: float | tf.Tensor = 1.0

    def total_and_count(self) -> tf.Tensor:
        """[2]: the weighted sum over the items, and their number; both can be added over batches."""
        return tf.stack([self.weight * self.value * self.count, self.count])


@dataclass(frozen=True)
class Objective:
    """What a fit minimises: model outputs and a batch in, named losses out.

    Fields:
        values: outputs and batch in, the values by name out.
        counts: a batch in, what these are means over by name out. It is also asked before the model has run, of a batch
            without targets: a step of several batches has to know how many items they hold together.
        weights: factors by name; 1 where there is none.
        schedules: by name, what multiplies a weight as training goes on: the share of all updates that are done, a
            scalar tensor from 0 to 1, in; a factor out.
    """

    values: Callable[[dict, dict], dict[str, tf.Tensor]]
    counts: Callable[[dict], dict[str, tf.Tensor]]
    weights: dict[str, float] = field(default_factory=dict)
    schedules: dict[str, Callable] = field(default_factory=dict)

    def __call__(self, outputs: dict, batch: dict, progress: tf.Tensor | None = None) -> dict[str, Loss]:
        """The terms; with their weights as they are without a schedule where no progress is given."""
        counts = self.counts(batch)
        values = self.values(outputs, batch)
        return {name: Loss(value, counts[name], self._weight(name, progress)) for name, value in values.items()}

    def _weight(self, name: str, progress: tf.Tensor | None):
        weight = self.weights.get(name, 1.0)
        return weight * self.schedules[name](progress) if name in self.schedules and progress is not None else weight


def joined(*objectives: Objective) -> Objective:
    """All terms of all of them."""

    def values(outputs, batch):
        return {name: value for one in objectives for name, value in one.values(outputs, batch).items()}

    def counts(batch):
        return {name: value for one in objectives for name, value in one.counts(batch).items()}

    weights = {name: weight for one in objectives for name, weight in one.weights.items()}
    schedules = {name: schedule for one in objectives for name, schedule in one.schedules.items()}
    return Objective(values, counts, weights, schedules)


def scheduled(names: dict) -> dict:
    """`Objective.schedules` out of the names of schedules, or functions, by term; constant weights have none."""
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
