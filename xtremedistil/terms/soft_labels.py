"""Settings of the loss between the logits of teacher and student."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from xtremedistil.arguments import is_number, require_function, require_kind, require_mapping, require_switch, shown
from xtremedistil.errors import require_known
from xtremedistil.losses.specs import LOGITS, LOSS_KINDS, losses_of, require_options
from xtremedistil.losses.weight_schedules import require_weight

COMBINATIONS = ("logits", "probabilities", "losses")  # what is averaged over several teachers
OF_PROBABILITIES = ("soft_label_ce", "soft_label_kl", "logit_standardized_kl", "dist")  # losses with a softmax


@dataclass(frozen=True)
class SoftLabels:
    """The loss between logits.

    Fields:
        loss: "logits_mse", "soft_label_kl", "soft_label_ce", "soft_label_bce" (several labels may hold),
            "logit_standardized_kl" or "dist". options: its further arguments, such as `t_squared`.
        temperature: divides both logits.
        temperature_of: gives each row or token its own temperature, see `temperature_schedules.TEMPERATURES`; None: the
            same for all.
        weight: factor of the loss. weight_schedule: how it varies over training, see `weight_factor`.
        probability_shift: where there is a gold label, correct the teacher's wrong prediction.

    Raises:
        ValueError: a value is unknown or out of range.
    """

    loss: str = "logits_mse"
    temperature: float = 1.0
    temperature_of: Callable | None = None
    weight: float = 1.0
    weight_schedule: str | Callable = "constant"
    probability_shift: bool = False
    options: Mapping = field(default_factory=dict)

    def __post_init__(self):
        require_mapping("options", self.options)
        require_switch("probability_shift", self.probability_shift)
        require_function("temperature_of", self.temperature_of, optional=True)
        require_known("loss of logits", self.loss, losses_of(LOGITS))
        if "temperature" in self.options:
            raise ValueError("temperature is a field of SoftLabels: give it there, not among the options.")
        require_options(self.loss, self.options, LOSS_KINDS[self.loss].options)
        require_weight(f"The weight of {self.loss}", self.weight, self.weight_schedule)
        if not (is_number(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature is {shown(self.temperature)}; it must be greater than 0.")
        if self.temperature_of is not None and self.loss == "dist":
            raise ValueError("The loss dist takes one temperature; a temperature schedule needs another loss.")


ARGUMENTS = {"constant": 0, "flsw": 2, "cwsm": 1}  # how many numbers each schedule takes


def parse_temperature_schedule(text: str) -> Callable | None:
    """Reads "constant", "flsw:1,1" or "cwsm:1"; None for a temperature that does not vary.

    Raises:
        ValueError: the text has another form.
    """
    name, _, numbers = text.partition(":")
    require_known("temperature schedule", name, ARGUMENTS)
    given = [number for number in numbers.split(",") if number]
    if len(given) != ARGUMENTS[name] or not all(_is_number(number) for number in given):
        raise ValueError(f'The temperature schedule "{text}" is not written as flsw:BETA,GAMMA, cwsm:BETA or constant.')
    if name == "constant":
        return None
    from xtremedistil.losses.temperature_schedules import TEMPERATURES  # imports TensorFlow

    return TEMPERATURES[name](*map(float, given))


def written_temperatures(schedule: Callable | None) -> dict | None:
    """Returns name and numbers of a schedule of `temperature_schedules.TEMPERATURES`.

    Raises:
        ValueError: the schedule is another function.
    """
    if schedule is None:
        return None
    from xtremedistil.losses.temperature_schedules import TEMPERATURES

    for name, kind in TEMPERATURES.items():
        if type(schedule) is kind:
            return {"name": name} | dataclasses.asdict(schedule)
    raise ValueError("A temperature schedule that is your own function cannot be written as JSON.")


def read_temperatures(found: Mapping | str | None) -> Callable | None:
    """Reads what `written_temperatures` returns, or a text for `parse_temperature_schedule`.

    Raises:
        ValueError: a name is unknown, or a number is missing.
    """
    require_kind("temperature_of", found, (str, Mapping), "the name of a schedule, or a mapping", optional=True)
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
