"""The learning rate at each step: a warm-up, a level stretch, and a decay whose start may move.

Early stopping and decay usually exclude each other: a rate that falls over the most epochs allowed (500 by default)
never gets low before patience runs out. Here the fall takes a fixed number of epochs. It begins that many epochs
before the end, or when patience runs out, whichever is first. With no more epochs than that, the rate
falls from the first step after the warm-up to the last.
"""

import math
from dataclasses import dataclass

from xtremedistil.errors import require_known

SHAPES = ("linear", "cosine", "constant")


def require_at_least_one(**numbers: int | None) -> None:
    """Raises ValueError where a number that is given is below 1."""
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; it is at least 1.")


def require_not_negative(**numbers: float) -> None:
    """Raises ValueError where a number is below 0, or none."""
    for name, value in numbers.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value}; it is a finite number of at least 0.")


def planned_epochs(epochs: int, steps: int | None, steps_per_epoch: int | None) -> tuple[int, int | None]:
    """How many epochs a fit has, and how many updates each; None: as many as a pass over the rows.

    Args:
        steps: updates in all, in place of `epochs`; of one epoch where `steps_per_epoch` is None.

    Raises:
        ValueError: a number below 1, or epochs that do not make up the steps.
    """
    require_at_least_one(steps=steps, steps_per_epoch=steps_per_epoch, epochs=epochs)
    if steps is None:
        return epochs, steps_per_epoch
    each = steps_per_epoch or steps
    if steps % each:
        near = max(each, round(steps / each) * each)
        raise ValueError(f"steps is {steps}, no multiple of steps_per_epoch, {each}: epochs are whole. Take {near}.")
    return steps // each, each


@dataclass(frozen=True)
class LearningRate:
    """Peak rate and shape of a fit.

    Fields:
        peak: highest rate, > 0.
        epochs: most epochs of the fit.
        decay_epochs: epochs over which the rate falls to 0.
        warmup_ratio: warm-up as a share of the decay's length, 0 to 1.
        shape: "linear", "cosine" or "constant" (no decay).
        steps: of the whole fit, where its last epoch is to be shorter than the others; 0: all epochs are as long.

    Raises:
        ValueError: the shape is not known, or a number is out of range.
    """

    peak: float
    epochs: int
    decay_epochs: int = 10
    warmup_ratio: float = 0.1
    shape: str = "linear"
    steps: int = 0

    def __post_init__(self):
        require_known("shape of the learning rate", self.shape, SHAPES)
        require_not_negative(learning_rate=self.peak, warmup_ratio=self.warmup_ratio)
        if self.warmup_ratio > 1:
            raise ValueError(f"warmup_ratio is {self.warmup_ratio}; it is a share, from 0 to 1.")

    @property
    def decay_length(self) -> int:
        return min(self.epochs, self.decay_epochs)

    @property
    def latest_decay_start(self) -> int:
        """First epoch (from 0) of the decay when patience never runs out."""
        return self.epochs - self.decay_length

    def last_step(self, steps_per_epoch: int, decay_start: int) -> int:
        """Steps of the fit, where the decay begins with epoch `decay_start` and patience does not run out again."""
        whole = (decay_start + self.decay_length) * steps_per_epoch
        return min(whole, self.steps) if self.steps else whole

    def at(self, step: int, steps_per_epoch: int, decay_start: int) -> float:
        """Rate of step `step` (from 0), where the decay begins with epoch `decay_start`."""
        decaying = self.decay_length * steps_per_epoch
        warmup = int(self.warmup_ratio * (min(decaying, self.steps) if self.steps else decaying))
        rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
        start = max(decay_start * steps_per_epoch, warmup)
        end = self.last_step(steps_per_epoch, decay_start)
        progress = min(1.0, max(0.0, (step - start) / max(1, end - start)))
        return self.peak * rise * self._fall(progress)

    def _fall(self, progress: float) -> float:
        if self.shape == "linear":
            return 1.0 - progress
        if self.shape == "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * progress))
        return 1.0
