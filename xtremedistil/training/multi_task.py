"""Several tasks in one fit: each step is of one task, drawn at random; what the tasks share learns from all."""

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
    """What a fit on several tasks draws its batches from.

    An epoch has as many steps as those of all tasks together. Each step draws a task with a chance in proportion to
    rows ** tau: 1, by size; 0, all alike.

    Fields:
        tasks: batches by name; each task goes through its own epochs, as far as it is drawn.
        steps_per_epoch: where an epoch has another number of steps.
    """

    tasks: Mapping[str, TrainingBatches]
    tau: float
    seed: int
    steps_per_epoch: int | None = None

    @property
    def steps(self) -> int:
        return self.steps_per_epoch or sum(batches.steps for batches in self.tasks.values())

    def order(self, epoch: int) -> list[str]:
        """The task of each step of an epoch."""
        sizes = np.array([len(batches.features) for batches in self.tasks.values()], float) ** self.tau
        generator = np.random.default_rng([self.seed, epoch])
        drawn = generator.choice(len(sizes), self.steps, p=sizes / sizes.sum())
        names = list(self.tasks)
        return [names[number] for number in drawn]

    def draws(self, first_epoch: int, first_step: int) -> Iterator[tuple[str, float]]:
        """From a step on, epoch after epoch: the task of each step, and how many steps of its epoch there are for each
        of that task."""
        for epoch in itertools.count(first_epoch):
            order = self.order(epoch)
            drawn = Counter(order)
            for name in order[first_step if epoch == first_epoch else 0 :]:
                yield name, len(order) / drawn[name]

    def done(self, epoch: int, step: int) -> dict[str, int]:
        """Steps of each task before a step of an epoch."""
        past = itertools.chain(*(self.order(one) for one in range(epoch)), self.order(epoch)[:step])
        counts = dict.fromkeys(self.tasks, 0)
        for name in past:
            counts[name] += 1
        return counts


class TaskTrainers:
    """The trainers of several tasks as one.

    Args:
        trainers: by task, with one optimizer and one seed of dropout for all; in `fit` it stands where a `Trainer`
            does.
    """

    def __init__(self, trainers: Mapping[str, Trainer]):
        self._trainers = trainers
        self._first = next(iter(trainers.values()))
        self.optimizer, self.settings = self._first.optimizer, self._first.settings
        self.variables = union(trainer.variables for trainer in trainers.values())

    def reach(self, progress: float) -> None:
        for trainer in self._trainers.values():
            trainer.reach(progress)

    def save_state(self, place: TrainingState) -> Snapshot:
        return save_state(place, self.variables, self.optimizer)

    def restore_state(self, snapshot: Snapshot) -> TrainingState:
        return restore_state(snapshot, self.variables, self.optimizer)

    def steps(self, batches: TaskBatches, place: TrainingState) -> TakeStep:
        """What takes one step after another: its number and rate in, its losses out, those of a task as
        "task/term", scaled so that their mean over the epoch is that over the task's own steps."""
        done = batches.done(place.epoch, place.step)
        takes = {name: self._own_steps(name, batches.tasks[name], done[name]) for name in batches.tasks}
        coming = batches.draws(place.epoch, place.step)

        def take(step: int, rate: float) -> dict[str, tf.Tensor]:
            name, share = next(coming)
            losses = takes[name](step, rate)
            own = {f"{name}/{term}": value * share for term, value in losses.items()}
            return {"loss": losses["loss"]} | own

        return take

    def _own_steps(self, name: str, batches: TrainingBatches, done: int) -> TakeStep:
        """What takes the task's steps from its own step `done` on, epoch after epoch."""
        epoch, step = divmod(done, batches.steps)
        return step_function(self._trainers[name], batches, TrainingState(0, epoch=epoch, step=step))


def union(groups) -> list[tf.Variable]:
    """All variables of all groups, each once."""
    return list({id(variable): variable for group in groups for variable in group}.values())
