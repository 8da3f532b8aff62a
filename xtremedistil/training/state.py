"""Where a fit is: all that its variables do not say; and both together as a snapshot."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import tensorflow as tf

from xtremedistil.training.optimizer import optimizer_variables
from xtremedistil.training.snapshots import Snapshot


@dataclass
class History:
    """What a fit went through. `epochs` holds a dict per epoch: losses, "score", "seconds", "learning_rate"."""

    epochs: list[dict] = field(default_factory=list)
    best_score: float = -math.inf
    best_epoch: int = 0

    @property
    def seconds(self) -> float:
        return sum(epoch["seconds"] for epoch in self.epochs)


@dataclass
class TrainingState:
    """Where a fit is.

    Fields:
        decay_start: epoch from which the learning rate falls.
        epoch, step: updates that are done in this epoch.
        sums: of the losses of these updates. seconds: that they took.
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
    """The place, the variables, the optimizer's state and the best weights so far."""
    state = {name: value for name, value in asdict(place).items() if name != "best"}
    arrays = {f"variable-{i}": variable.numpy() for i, variable in enumerate(variables)}
    arrays |= {f"optimizer-{i}": variable.numpy() for i, variable in enumerate(optimizer_variables(optimizer))}
    arrays |= {f"best-{i}": value for i, value in enumerate(place.best or [])}
    return Snapshot(state, arrays)


def restore_state(snapshot: Snapshot, variables: Sequence[tf.Variable], optimizer) -> TrainingState:
    """Puts the variables and the optimizer where the snapshot was taken; returns the place."""
    arrays = snapshot.arrays
    for kind, targets in (("variable", variables), ("optimizer", optimizer_variables(optimizer))):
        for i, variable in enumerate(targets):
            variable.assign(arrays[f"{kind}-{i}"])
    best = [arrays[f"best-{i}"] for i in range(len(variables)) if f"best-{i}" in arrays]
    history = History(**snapshot.state["history"])
    return TrainingState(**(snapshot.state | {"history": history, "best": best or None}))
