"""How the weight of a loss term varies with training: factors by the share of the updates that are done, 0 to 1."""

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass

from xtremedistil.errors import require_known


def constant_weight(progress):
    return 1.0


def linear_growth(progress):
    return progress


def linear_decay(progress):
    return 1.0 - progress


WEIGHTS: dict[str, Callable] = {
    "constant": constant_weight,
    "linear_growth": linear_growth,
    "linear_decay": linear_decay,
}


@dataclass(frozen=True)
class FirstThenSchedule:
    """A factor of its own for the first update, then that of a schedule: what becomes of weights in TextBrewer."""

    first: float
    schedule: Callable

    def __call__(self, progress):
        if isinstance(progress, (int, float)):
            return self.schedule(progress) if progress > 0 else self.first
        import tensorflow as tf  # plans are made without it

        return tf.where(progress > 0, self.schedule(progress), self.first)


def weight_factor(schedule: str | Callable) -> Callable:
    """The function of a name in `WEIGHTS`; a function of progress comes back as it is.

    "linear_growth:0.5" is 0.5 at the first update and linear growth from then on.

    Raises:
        ValueError: the name is unknown, or what stands behind it is no factor.

    Example: weight 5 with "linear_decay", 1 of 5 updates done: 5 * (1 - 0.2) = 4.
    """
    if callable(schedule):
        return schedule
    name, colon, first = schedule.partition(":")
    require_known("weight schedule", name, WEIGHTS)
    return FirstThenSchedule(_factor(first, schedule), WEIGHTS[name]) if colon else WEIGHTS[name]


def _factor(text: str, schedule: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not (math.isfinite(factor) and factor >= 0):
        raise ValueError(
            f'The weight schedule "{schedule}" is not written as NAME or NAME:FIRST, as linear_growth:0.5.'
        )
    return factor


def is_number(value) -> bool:
    """Whether it is a finite one; texts and truth values are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def require_weight(term: str, weight: float, schedule: str | Callable) -> None:
    """Raises ValueError where a weight is none, or a schedule is unknown or has nothing to multiply."""
    factor = weight_factor(schedule)
    if not (is_number(weight) and weight >= 0):
        raise ValueError(f"{term} is {weight!r}; it is a finite number of at least 0.")
    if weight == 0 and factor is not constant_weight:
        raise ValueError(
            f"{term} is 0, and {schedule} multiplies it: it would stay 0. Give the weight that the schedule is a share "
            "of, or no schedule."
        )
