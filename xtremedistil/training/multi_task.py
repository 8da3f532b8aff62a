"""Trains on several tasks in one fit: each step is of one task, drawn at random; shared variables learn from all."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xtremedistil.training.batching import TrainingBatches
from xtremedistil.training.loop import TakeStep, step_function
from xtremedistil.training.snapshots import Snapshot
from xtremedistil.training.state import TrainingState, restore_state, save_state
from xtremedistil.training.trainer import Trainer


@dataclass(frozen=True)
class TaskBatches:
    """The batches of a fit on several tasks.

    An epoch has as many steps as one epoch of each task together. Each step draws a task with probability proportional
    to its number of rows ** tau: 1, by size; 0, all equally often.

    Fields:
        tasks: batches by name; each task proceeds through its own epochs as it is drawn.
        steps_per_epoch: if an epoch has another number of steps.
    """

    tasks: Mapping[str, TrainingBatches]
    tau: float
    seed: int
    steps_per_epoch: int | None = None

    @property
    def steps(self) -> int:
        return self.steps_per_epoch or sum(batches.steps for batches in self.tasks.values())

    def order(self, epoch: int) -> list[str]:
        """Returns the task of each step of an epoch."""
        sizes = np.array([len(batches.features) for batches in self.tasks.values()], float) ** self.tau
        generator = np.random.default_rng([self.seed, epoch])
        drawn = generator.choice(len(sizes), self.steps, p=sizes / sizes.sum())
        names = list(self.tasks)
        return [names[number] for number in drawn]

    def draws(self, first_epoch: int, first_step: int) -> Iterator[tuple[str, float]]:
        """Yields, from a step on, the task of each step, and the number of steps of the epoch per step of that task."""
        for epoch in itertools.count(first_epoch):
            order = self.order(epoch)
            drawn = Counter(order)
            for name in order[first_step if epoch == first_epoch else 0 :]:
                yield name, len(order) / drawn[name]

    def done(self, epoch: int, step: int) -> dict[str, int]:
        """Returns the number of steps of each task before a step of an epoch."""
        past = itertools.chain(*(self.order(one) for one in range(epoch)), self.order(epoch)[:step])
        counts = dict.fromkeys(self.tasks, 0)
        for name in past:
            counts[name] += 1
        return counts


class TaskTrainers:
    """The trainers of several tasks; `fit` takes it instead of a `Trainer`.

    Args:
        trainers: by task; all share one optimizer and one dropout seed.
    """

    def __init__(self, trainers: Mapping[str, Trainer]):
        self._trainers = trainers
        self._first = next(iter(trainers.values()))
        self.optimizer, self.settings = self._first.optimizer, self._first.settings
        self.variables = union(trainer.variables for trainer in trainers.values())

    def reach(self, progress: float) -> None:
        for trainer in self._trainers.values():
            trainer.reach(progress)

    def save_state(self, state: TrainingState) -> Snapshot:
        return save_state(state, self.variables, self.optimizer)

    def restore_state(self, snapshot: Snapshot) -> TrainingState:
        return restore_state(snapshot, self.variables, self.optimizer)

    def steps(self, batches: TaskBatches, state: TrainingState) -> TakeStep:
        """Returns a function that takes the next step: takes its number and rate, returns its losses. Those of a task
        are named "task/term" and scaled so that their mean over the epoch is the mean over the task's own steps."""
        done = batches.done(state.epoch, state.step)
        takes = {name: self._own_steps(name, batches.tasks[name], done[name]) for name in batches.tasks}
        coming = batches.draws(state.epoch, state.step)

        def take(step: int, rate: float) -> dict[str, tf.Tensor]:
            name, share = next(coming)
            losses = takes[name](step, rate)
            own = {f"{name}/{term}": value * share for term, value in losses.items()}
            return {"loss": losses["loss"]} | own

        return take

    def _own_steps(self, name: str, batches: TrainingBatches, done: int) -> TakeStep:
        """Returns the function that takes a task's steps from its own step `done` on."""
        epoch, step = divmod(done, batches.steps)
        return step_function(self._trainers[name], batches, TrainingState(0, epoch=epoch, step=step))


def union(groups) -> list[tf.Variable]:
    """Returns all variables of all groups, each once."""
    return list({id(variable): variable for group in groups for variable in group}.values())
