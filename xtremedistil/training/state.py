"""The state of a fit besides its variables, and snapshots of both."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import tensorflow as tf

from xtremedistil.training.optimizer import optimizer_variables
from xtremedistil.training.snapshots import Snapshot


@dataclass
class History:
    """The history of a fit; `epochs` holds a dict per epoch: losses, "score", "seconds", "learning_rate"."""

    epochs: list[dict] = field(default_factory=list)
    best_score: float = -math.inf
    best_epoch: int = 0

    @property
    def seconds(self) -> float:
        return sum(epoch["seconds"] for epoch in self.epochs)


@dataclass
class TrainingState:
    """How far a fit is.

    Fields:
        decay_start: epoch in which the learning rate starts to decay.
        epoch, step: current epoch, and number of its steps that are done.
        sums: sums of the losses of these steps. seconds: their duration.
        waited: epochs without a better score.
        best: the weights of the best epoch, None before there is one.
    """

    decay_start: int
    epoch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    waited: int = 0
    history: History = field(default_factory=History)
    best: list[np.ndarray] | None = None

    def next_epoch(self) -> None:
        self.epoch, self.step, self.sums, self.seconds = self.epoch + 1, 0, {}, 0.0


def save_state(place: TrainingState, variables: Sequence[tf.Variable], optimizer) -> Snapshot:
    """Makes a snapshot of state, variables, optimizer and best weights."""
    state = {name: value for name, value in asdict(place).items() if name != "best"}
    arrays = {f"variable-{i}": variable.numpy() for i, variable in enumerate(variables)}
    arrays |= {f"optimizer-{i}": variable.numpy() for i, variable in enumerate(optimizer_variables(optimizer))}
    arrays |= {f"best-{i}": value for i, value in enumerate(place.best or [])}
    return Snapshot(state, arrays)


def restore_state(snapshot: Snapshot, variables: Sequence[tf.Variable], optimizer) -> TrainingState:
    """Restores variables and optimizer from a snapshot; returns the state."""
    arrays = snapshot.arrays
    for kind, targets in (("variable", variables), ("optimizer", optimizer_variables(optimizer))):
        for i, variable in enumerate(targets):
            variable.assign(arrays[f"{kind}-{i}"])
    best = [arrays[f"best-{i}"] for i in range(len(variables)) if f"best-{i}" in arrays]
    history = History(**snapshot.state["history"])
    return TrainingState(**(snapshot.state | {"history": history, "best": best or None}))
