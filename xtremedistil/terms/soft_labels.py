"""What a student learns from the teacher's logits, as settings."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from xtremedistil.errors import require_known
from xtremedistil.losses.specs import LOGITS, LOSS_KINDS, losses_of, require_options
from xtremedistil.losses.weight_schedules import is_number, require_weight

COMBINATIONS = ("logits", "probabilities", "losses")  # what of several teachers is averaged
OF_PROBABILITIES = ("soft_label_ce", "soft_label_kl", "logit_standardized_kl", "dist")  # no constant in logits matters


@dataclass(frozen=True)
class SoftLabels:
    """The term between logits.

    Fields:
        loss: "logits_mse", "soft_label_kl", "soft_label_ce", "soft_label_bce" (several labels may hold),
            "logit_standardized_kl" or "dist". options: its further arguments, such as `t_squared`.
        temperature: divides both logits.
        temperature_of: a temperature for each position, as those of `schedules.TEMPERATURES`; None: the same for all.
        weight: factor of the loss. weight_schedule: how it varies with training, as `weight_factor` reads it.
        probability_shift: the teacher's wrong first choices are put right where there is a gold label.

    Raises:
        ValueError: something in it is not known, or out of range.
    """

    loss: str = "logits_mse"
    temperature: float = 1.0
    temperature_of: Callable | None = None
    weight: float = 1.0
    weight_schedule: str | Callable = "constant"
    probability_shift: bool = False
    options: Mapping = field(default_factory=dict)

    def __post_init__(self):
        require_known("loss of logits", self.loss, losses_of(LOGITS))
        if "temperature" in self.options:
            raise ValueError("temperature is a field of SoftLabels: give it there, not among the options.")
        require_options(self.loss, self.options, LOSS_KINDS[self.loss].options)
        require_weight(f"The weight of {self.loss}", self.weight, self.weight_schedule)
        if not (is_number(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature is {self.temperature!r}; it must be greater than 0.")
        if self.temperature_of is not None and self.loss == "dist":
            raise ValueError("The loss dist takes one temperature; a schedule of temperatures goes with soft labels.")


ARGUMENTS = {"constant": 0, "flsw": 2, "cwsm": 1}  # numbers of each schedule


def parse_temperature_schedule(text: str) -> Callable | None:
    """Reads "constant", "flsw:1,1" or "cwsm:1"; None for a temperature that does not vary.

    Raises:
        ValueError: it is written otherwise.
    """
    name, _, numbers = text.partition(":")
    require_known("temperature schedule", name, ARGUMENTS)
    given = [number for number in numbers.split(",") if number]
    if len(given) != ARGUMENTS[name] or not all(_is_number(number) for number in given):
        raise ValueError(f'The temperature schedule "{text}" is not written as flsw:BETA,GAMMA, cwsm:BETA or constant.')
    if name == "constant":
        return None
    from xtremedistil.losses.temperature_schedules import TEMPERATURES  # TensorFlow comes in with it

    return TEMPERATURES[name](*map(float, given))


def written_temperatures(schedule: Callable | None) -> dict | None:
    """A schedule of `schedules.TEMPERATURES` as its name and numbers.

    Raises:
        ValueError: it is a function of somebody's own.
    """
    if schedule is None:
        return None
    from xtremedistil.losses.temperature_schedules import TEMPERATURES

    for name, kind in TEMPERATURES.items():
        if type(schedule) is kind:
            return {"name": name} | dataclasses.asdict(schedule)
    raise ValueError("A schedule of temperatures that is a function of your own cannot be written as JSON.")


def read_temperatures(found: Mapping | str | None) -> Callable | None:
    """What `written_temperatures` gave, or a text as `parse_temperature_schedule` reads it.

    Raises:
        ValueError: the name, or the name of a number, is not known, or a number is missing.
    """
    if found is None or isinstance(found, str):
        return found and parse_temperature_schedule(found)
    from xtremedistil.losses.temperature_schedules import TEMPERATURES

    numbers = dict(found)
    name = numbers.pop("name", None)
    require_known("temperature schedule", name, TEMPERATURES)
    fields = dataclasses.fields(TEMPERATURES[name])
    for number in numbers:
        require_known(f"number of {name}", number, [entry.name for entry in fields])
    wanted = [entry.name for entry in fields if entry.default is dataclasses.MISSING]
    if missing := [number for number in wanted if number not in numbers]:
        raise ValueError(f"The temperature schedule {name} has no {' and no '.join(missing)}.")
    return TEMPERATURES[name](**numbers)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
