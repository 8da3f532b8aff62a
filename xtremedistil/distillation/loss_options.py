"""What may be said to a named loss besides its tensors, checked where it is said."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from xtremedistil.errors import require_known

NUMBER, WHOLE, YES_OR_NO = "number", "whole number", "true or false"


@dataclass(frozen=True)
class Option:
    """A further argument of a loss.

    Fields:
        kind: NUMBER, WHOLE or YES_OR_NO; for one of several words, "choice". least: of a number. above: it must be
            greater than that. choices: the words. required: whether the loss has no value of its own for it.
    """

    kind: str
    least: float = -math.inf
    above: float = -math.inf
    choices: tuple[str, ...] = ()
    required: bool = False

    def __str__(self) -> str:
        if self.choices:
            return " or ".join(self.choices)
        bounds = {f" of at least {self.least:g}": self.least, f" above {self.above:g}": self.above}
        return self.kind + "".join(text for text, bound in bounds.items() if bound > -math.inf)

    def takes(self, value) -> bool:
        if self.choices:
            return value in self.choices
        if isinstance(value, bool) or self.kind == YES_OR_NO:
            return isinstance(value, bool) and self.kind == YES_OR_NO
        if not isinstance(value, int if self.kind == WHOLE else (int, float)):
            return False
        return math.isfinite(value) and value >= self.least and value > self.above


FLAG = Option(YES_OR_NO)
POSITIVE = Option(NUMBER, above=0)
WEIGHT = Option(NUMBER, least=0)
COUNT = Option(WHOLE, least=1)


def one_of(*choices: str) -> Option:
    return Option("choice", choices=choices)


def require_options(loss: str, given: Mapping, known: Mapping[str, Option]) -> None:
    """Raises ValueError where an option of a loss is not known, missing, or of a value that it does not take."""
    for name, value in given.items():
        require_known(f"option of {loss}", name, known)
        if not known[name].takes(value):
            raise ValueError(f"{name} of {loss} is {value!r}; give {known[name]}.")
    if missing := [name for name, option in known.items() if option.required and name not in given]:
        wanted = " and ".join(f"{name} ({known[name]})" for name in missing)
        raise ValueError(f"{loss} needs {wanted}; it has no value of its own for that.")
