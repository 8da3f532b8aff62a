"""How the weight of a term varies over training: factors as functions of the progress, 0 to 1."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from xtremedistil.arguments import is_number, shown
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
    """A separate factor for the first step, then that of a schedule, as in TextBrewer."""

    first: float
    schedule: Callable

    def __call__(self, progress):
        if isinstance(progress, (int, float)):
            return self.schedule(progress) if progress > 0 else self.first
        import tensorflow as tf  # plans are made without TensorFlow

        return tf.where(progress > 0, self.schedule(progress), self.first)


def weight_factor(schedule: str | Callable) -> Callable:
    """Returns the function of a name in `WEIGHTS`; a function of progress is returned as it is.

    "linear_growth:0.5" is 0.5 in the first step and linear growth from then on.

    Raises:
        ValueError: the name is unknown, or the text after the colon is not a factor.

    Example: weight 5 with "linear_decay", 1 of 5 steps done: 5 * (1 - 0.2) = 4.
    """
    if callable(schedule):
        return schedule
    if not isinstance(schedule, str):
        raise ValueError(f"The weight schedule is {shown(schedule)}; it is one of {', '.join(WEIGHTS)}, or a function.")
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


def require_weight(term: str, weight: float, schedule: str | Callable) -> None:
    """Raises ValueError if a weight is not a number of at least 0, or a schedule is unknown or multiplies 0."""
    factor = weight_factor(schedule)
    if not (is_number(weight) and weight >= 0):
        raise ValueError(f"{term} is {shown(weight)}; it is a finite number of at least 0.")
    if weight == 0 and factor is not constant_weight:
        raise ValueError(
            f"{term} is 0, and {schedule} multiplies it, so it would stay 0. Give a weight above 0 for the schedule to "
            "multiply, or no schedule."
        )
