"""Describes each loss by name: which tensors it compares and which options it takes; checks options."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from xtremedistil.errors import require_known

NUMBER, WHOLE, YES_OR_NO = "number", "whole number", "true or false"


@dataclass(frozen=True)
class Option:
    """An option of a loss.

    Fields:
        kind: NUMBER, WHOLE or YES_OR_NO; "choice" for one of several words. least: smallest number allowed. above:
            numbers must be greater. choices: the words. required: whether the option has no default.
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
    """Raises ValueError if an option of a loss is unknown or missing, or has a value that it does not take."""
    for name, value in given.items():
        require_known(f"option of {loss}", name, known)
        if not known[name].takes(value):
            raise ValueError(f"{name} of {loss} is {value!r}; give {known[name]}.")
    if missing := [name for name, option in known.items() if option.required and name not in given]:
        wanted = " and ".join(f"{name} ({known[name]})" for name in missing)
        raise ValueError(f"{loss} needs {wanted}; there is no default.")


STATES, MAPS, LOGITS = "states", "maps", "logits"
ROWS, POSITIONS, PAIRS = "rows", "positions", "pairs"
MANY = 0


@dataclass(frozen=True)
class LossKind:
    """One name of `losses.LOSSES`.

    Fields:
        compares: hidden states [B, S, H], attention maps [B, A, S, S] or logits.
        mean_over: what the loss averages over: rows, positions, or pairs of positions of one row. On several devices,
            each one's value is weighted by its number of these. Batch-similarity losses compare rows of one device. A
            match's option `mean_over` overrides it.
        equal_widths: whether the student must be projected to the teacher's width.
        layers: number of layers of each model that it takes at once; MANY: any number.
        takes_rows: whether it also takes one vector per row, [B, H]; it then averages over rows.
        options: its options by name.
    """

    compares: str
    mean_over: str
    equal_widths: bool = False
    layers: int = 1
    takes_rows: bool = False
    options: Mapping[str, Option] = field(default_factory=dict)


TEMPERED = {"temperature": POSITIVE, "t_squared": FLAG}
FORM = {"from_logits": FLAG, "compat": FLAG}  # options of losses between attention maps
MEAN_OVER = {"mean_over": one_of(POSITIONS, ROWS)}
HEADS = {"relation_heads": dataclasses.replace(COUNT, required=True)} | MEAN_OVER
KERNEL = {"kernel": one_of("gaussian", "bilinear"), "gamma": POSITIVE, "degree": COUNT, "unit_rows": FLAG}
SOLVER = {"solver": one_of("exact", "sinkhorn")}

LOSS_KINDS = {
    "hidden_mse": LossKind(STATES, POSITIONS, equal_widths=True, takes_rows=True),
    "hidden_cosine": LossKind(STATES, POSITIONS, equal_widths=True, takes_rows=True),
    "pkd": LossKind(STATES, ROWS, equal_widths=True),
    "fsp": LossKind(STATES, ROWS, equal_widths=True, layers=2),
    "layer_transport": LossKind(STATES, POSITIONS, equal_widths=True, layers=MANY, options=SOLVER),
    "nst": LossKind(STATES, PAIRS, layers=2, options={"normalize_by": one_of("hidden", "length")}),
    "relation_kl": LossKind(STATES, POSITIONS, options=HEADS),
    "rkd": LossKind(STATES, ROWS, takes_rows=True, options={"distance_weight": WEIGHT, "angle_weight": WEIGHT}),
    "spkd": LossKind(STATES, ROWS, takes_rows=True, options={"row_norm": one_of("l2", "l1")}),
    "pkt": LossKind(STATES, ROWS, takes_rows=True),
    "cckd": LossKind(STATES, ROWS, takes_rows=True, options=KERNEL),
    "attention_mse": LossKind(MAPS, PAIRS, options=FORM),
    "attention_mse_sum": LossKind(MAPS, PAIRS, options=FORM),
    "attention_ce": LossKind(MAPS, POSITIONS, options=FORM),
    "attention_ce_mean": LossKind(MAPS, POSITIONS, options=FORM),
    "attention_kl": LossKind(MAPS, POSITIONS, options={"from_logits": FLAG} | MEAN_OVER),
    "attention_squared_distance": LossKind(MAPS, POSITIONS),
    "soft_label_ce": LossKind(LOGITS, POSITIONS, options=TEMPERED),
    "soft_label_kl": LossKind(LOGITS, POSITIONS, options=TEMPERED),
    "soft_label_bce": LossKind(LOGITS, POSITIONS, options=TEMPERED),
    "logits_mse": LossKind(LOGITS, POSITIONS, options={"temperature": POSITIVE, "sum_over_labels": FLAG}),
    "logit_standardized_kl": LossKind(LOGITS, POSITIONS, options=TEMPERED),
    "dist": LossKind(
        LOGITS, POSITIONS, options={"temperature": POSITIVE, "inter_weight": WEIGHT, "intra_weight": WEIGHT}
    ),
}


def losses_of(compares: str) -> list[str]:
    """Returns the names of the losses that compare such tensors."""
    return [name for name, kind in LOSS_KINDS.items() if kind.compares == compares]
