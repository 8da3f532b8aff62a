"""What each named loss compares and is a mean over, for plans that are made before any model is loaded."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

from xtremedistil.distillation.loss_options import COUNT, FLAG, POSITIVE, WEIGHT, Option, one_of

STATES, MAPS, LOGITS = "states", "maps", "logits"
ROWS, POSITIONS, PAIRS = "rows", "positions", "pairs"


MANY = 0


@dataclass(frozen=True)
class LossKind:
    """One name of `losses.LOSSES`.

    Fields:
        compares: states [B, S, H], maps [B, A, S, S] or logits.
        mean_over: what it is a mean over: rows, positions of rows, or pairs of positions of one row. Where a step is
            spread over devices, their values are weighted by how many of these each has. Losses between the rows of a
            batch see those of one device. An option `mean_over` of a match takes its place.
        equal_widths: whether it wants the student projected to the teacher's width.
        layers: of each model that it takes at once; MANY: any number.
        takes_rows: whether states may also be one vector a row, [B, H]; it is a mean over rows then.
        options: its further arguments, by name.
    """

    compares: str
    mean_over: str
    equal_widths: bool = False
    layers: int = 1
    takes_rows: bool = False
    options: Mapping[str, Option] = field(default_factory=dict)


TEMPERED = {"temperature": POSITIVE, "t_squared": FLAG}
FORM = {"from_logits": FLAG, "compat": FLAG}  # of attention maps
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
    "logits_mse": LossKind(LOGITS, POSITIONS, options={"temperature": POSITIVE}),
    "logit_standardized_kl": LossKind(LOGITS, POSITIONS, options=TEMPERED),
    "dist": LossKind(
        LOGITS, POSITIONS, options={"temperature": POSITIVE, "inter_weight": WEIGHT, "intra_weight": WEIGHT}
    ),
}


def losses_of(compares: str) -> list[str]:
    """Names of the losses of such tensors."""
    return [name for name, kind in LOSS_KINDS.items() if kind.compares == compares]
