"""TextBrewer's dictionaries, read as they stand (TextBrewer 0.2.1: `intermediate_matches`, `DistillationConfig`).

What it computes is kept: attention losses are of scores and without a correction of masked ones (`compat`), soft
labels have no factor T^2. Its layers of attention count from 1 where its examples put a dummy first; here layers of
attention count from 0 and those of hidden states from 0 = embeddings, as Hugging Face has them.
"""

from collections.abc import Mapping, Sequence

from xtremedistil.distillation.match import Match
from xtremedistil.distillation.soft_labels import SoftLabels, parse_temperature_schedule
from xtremedistil.errors import require_known

KEYS = ("layer_T", "layer_S", "feature", "loss", "weight", "proj")
FEATURES = {"hidden": "hidden_states", "attention": "attention_scores"}
LOSSES = {
    "hidden_mse": "hidden_mse",
    "cos": "hidden_cosine",
    "pkd": "pkd",
    "gram": "fsp",
    "fsp": "fsp",
    "mmd": "nst",
    "nst": "nst",
    "attention_mse": "attention_mse",
    "attention_mse_sum": "attention_mse_sum",
    "attention_ce": "attention_ce",
    "attention_ce_mean": "attention_ce_mean",
}
KD_LOSSES = {"ce": "soft_label_ce", "mse": "logits_mse"}
OPTIONS = ("lr",)  # of a projection's optimizer group


def is_textbrewers(entry: Mapping) -> bool:
    """Whether a mapping is written as TextBrewer writes a match."""
    return "layer_T" in entry or "layer_S" in entry


def textbrewer_match(entry: Mapping) -> Match:
    """A match of `intermediate_matches`.

    Raises:
        ValueError: a key or a name is not known, or one is missing.

    Example: {"layer_T": 8, "layer_S": 2, "feature": "hidden", "loss": "hidden_mse", "weight": 1,
    "proj": ["linear", 312, 768]}.
    """
    for name in entry:
        require_known("key in a match of TextBrewer", name, KEYS)
    if missing := [name for name in KEYS[:-1] if name not in entry]:
        raise ValueError(f"{', '.join(missing)} is missing in a match of TextBrewer.")
    require_known("feature of TextBrewer", entry["feature"], FEATURES)
    require_known("match loss of TextBrewer", entry["loss"], LOSSES)
    loss = LOSSES[entry["loss"]]
    projection, rate = _projection(entry.get("proj"))
    return Match(
        FEATURES[entry["feature"]],
        _layer(entry["layer_T"]),
        _layer(entry["layer_S"]),
        loss,
        float(entry["weight"]),
        projection,
        rate,
        options={"compat": True} if loss.startswith("attention") else {},
    )


def _layer(layer):
    return tuple(layer) if isinstance(layer, Sequence) and not isinstance(layer, str) else layer


def _projection(proj) -> tuple[str, float | None]:
    """Kind and learning rate of ["linear", width, width] or ["linear", width, width, {"lr": rate}]."""
    if proj is None:
        return "none", None
    kind, *rest = proj
    group = rest[2] if len(rest) > 2 else {}
    for name in group:
        require_known("option of a projection", name, OPTIONS)
    return kind, group.get("lr")


def textbrewer_soft_labels(config: Mapping) -> SoftLabels:
    """The term between logits of a `DistillationConfig`, with its defaults: cross-entropy at temperature 4.

    Raises:
        ValueError: a name is not known.
    """
    kind = config.get("kd_loss_type", "ce")
    require_known("kd_loss_type", kind, KD_LOSSES)
    return SoftLabels(
        KD_LOSSES[kind],
        temperature=float(config.get("temperature", 4)),
        temperature_of=_temperature_of(config.get("temperature_scheduler", "none")),
        weight=float(config.get("kd_loss_weight", 1)),
        weight_schedule=_weight_schedule(config.get("kd_loss_weight_scheduler", "none")),
        probability_shift=bool(config.get("probability_shift", False)),
        options={"t_squared": False} if kind == "ce" else {},
    )


def _temperature_of(schedule):
    """Of "none", "constant" or ["flsw", beta, gamma]."""
    if schedule in ("none", "constant"):
        return None
    name, *numbers = [schedule] if isinstance(schedule, str) else schedule
    if numbers and isinstance(numbers[0], Mapping):
        numbers = list(numbers[0].values())
    return parse_temperature_schedule(f"{name}:{','.join(map(str, numbers))}")


def _weight_schedule(name: str) -> str:
    return "constant" if name == "none" else name
