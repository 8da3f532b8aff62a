"""The learning rate at each step: warm-up, constant rate, and a decay whose start may move.

With a decay over the maximum number of epochs (500 by default), the rate would still be high when patience runs out.
So the decay takes a fixed number of epochs: it starts that many epochs before the end, or when patience runs out,
whichever is first. If there are no more epochs than that, the rate decays from the end of the warm-up to the last step.
"""

import math
from dataclasses import dataclass

from xtremedistil.errors import require_known

SHAPES = ("linear", "cosine", "constant")


def require_at_least_one(**numbers: int | None) -> None:
    """Raises ValueError if a number is below 1; None is allowed."""
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; it is at least 1.")


def require_not_negative(**numbers: float) -> None:
    """Raises ValueError if a number is below 0 or not finite."""
    for name, value in numbers.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value}; it is a finite number of at least 0.")


def planned_epochs(epochs: int, steps: int | None, steps_per_epoch: int | None) -> tuple[int, int | None]:
    """Returns the number of epochs of a fit, and of steps per epoch; None: a pass over the rows.

    Args:
        steps: total number of steps, in place of `epochs`; all in one epoch if `steps_per_epoch` is None.

    Raises:
        ValueError: a number is below 1, or `steps` is not a multiple of `steps_per_epoch`.
    """
    require_at_least_one(steps=steps, steps_per_epoch=steps_per_epoch, epochs=epochs)
    if steps is None:
        return epochs, steps_per_epoch
    each = steps_per_epoch or steps
    if steps % each:
        near = max(each, round(steps / each) * each)
        raise ValueError(f"steps is {steps}, which is not a multiple of steps_per_epoch, {each}. Take {near}.")
    return steps // each, each


@dataclass(frozen=True)
class LearningRate:
    """Peak rate and shape of a fit.

    Fields:
        peak: highest rate, > 0.
        epochs: maximum number of epochs.
        decay_epochs: epochs over which the rate decays to 0.
        warmup_ratio: length of the warm-up as a fraction of the decay's, 0 to 1.
        shape: "linear", "cosine" or "constant" (no decay).
        steps: of the whole fit, if its last epoch is shorter than the others; 0: all are equally long.

    Raises:
        ValueError: the shape is unknown, or a number is out of range.
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
            raise ValueError(f"warmup_ratio is {self.warmup_ratio}; it is a fraction, from 0 to 1.")

    @property
    def decay_length(self) -> int:
        return min(self.epochs, self.decay_epochs)

    @property
    def latest_decay_start(self) -> int:
        """First epoch (from 0) of the decay if patience never runs out."""
        return self.epochs - self.decay_length

    def last_step(self, steps_per_epoch: int, decay_start: int) -> int:
        """Returns the number of steps of the fit if the decay starts with epoch `decay_start` and is not cut short."""
        whole = (decay_start + self.decay_length) * steps_per_epoch
        return min(whole, self.steps) if self.steps else whole

    def at(self, step: int, steps_per_epoch: int, decay_start: int) -> float:
        """Returns the rate at step `step` (from 0) if the decay starts with epoch `decay_start`."""
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
