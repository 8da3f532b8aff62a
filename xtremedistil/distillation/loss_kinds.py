"""What each named loss compares and is a mean over, for plans that are made before any model is loaded."""

from dataclasses import dataclass

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
        options: names of its further arguments.
    """

    compares: str
    mean_over: str
    equal_widths: bool = False
    layers: int = 1
    options: tuple[str, ...] = ()


TEMPERED = ("temperature", "t_squared")
FORM = ("from_logits", "compat")  # of attention maps
LOSS_KINDS = {
    "hidden_mse": LossKind(STATES, POSITIONS, equal_widths=True),
    "hidden_cosine": LossKind(STATES, POSITIONS, equal_widths=True),
    "pkd": LossKind(STATES, ROWS, equal_widths=True),
    "fsp": LossKind(STATES, ROWS, equal_widths=True, layers=2),
    "layer_transport": LossKind(STATES, POSITIONS, equal_widths=True, layers=MANY, options=("solver",)),
    "nst": LossKind(STATES, PAIRS, layers=2, options=("normalize_by",)),
    "relation_kl": LossKind(STATES, POSITIONS, options=("relation_heads", "mean_over")),
    "rkd": LossKind(STATES, ROWS, options=("distance_weight", "angle_weight")),
    "spkd": LossKind(STATES, ROWS, options=("row_norm",)),
    "pkt": LossKind(STATES, ROWS),
    "cckd": LossKind(STATES, ROWS, options=("kernel", "gamma", "degree", "unit_rows")),
    "attention_mse": LossKind(MAPS, PAIRS, options=FORM),
    "attention_mse_sum": LossKind(MAPS, PAIRS, options=FORM),
    "attention_ce": LossKind(MAPS, POSITIONS, options=FORM),
    "attention_ce_mean": LossKind(MAPS, POSITIONS, options=FORM),
    "attention_kl": LossKind(MAPS, POSITIONS, options=("from_logits", "mean_over")),
    "attention_squared_distance": LossKind(MAPS, POSITIONS),
    "soft_label_ce": LossKind(LOGITS, POSITIONS, options=TEMPERED),
    "soft_label_kl": LossKind(LOGITS, POSITIONS, options=TEMPERED),
    "soft_label_bce": LossKind(LOGITS, POSITIONS, options=TEMPERED),
    "logits_mse": LossKind(LOGITS, POSITIONS, options=("temperature",)),
    "logit_standardized_kl": LossKind(LOGITS, POSITIONS, options=TEMPERED),
    "dist": LossKind(LOGITS, POSITIONS, options=("temperature", "inter_weight", "intra_weight")),
}


def losses_of(compares: str) -> list[str]:
    """Names of the losses of such tensors."""
    return [name for name, kind in LOSS_KINDS.items() if kind.compares == compares]
