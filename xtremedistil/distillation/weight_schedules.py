"""How the weight of a loss term varies with training: factors by the share of the updates that are done, 0 to 1."""

from collections.abc import Callable

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


def weight_factor(schedule: str | Callable) -> Callable:
    """The function of a name in `WEIGHTS`; a function of progress comes back as it is.

    Raises:
        ValueError: the name is unknown.

    Example: weight 5 with "linear_decay", 1 of 5 updates done: 5 * (1 - 0.2) = 4.
    """
    if callable(schedule):
        return schedule
    require_known("weight schedule", schedule, WEIGHTS)
    return WEIGHTS[schedule]
