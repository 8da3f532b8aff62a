"""Reads TextBrewer's dictionaries: `intermediate_matches`, `DistillationConfig`.

The losses are those of TextBrewer's master branch, from which its last release, 0.2.1, differs in one: with a mask, it
divides the similarities of `mmd` by the number of positions, not by the width (`release`). Attention losses compare
scores without correcting masked ones (`compat`), soft labels have no factor T^2, and a weight scheduler replaces its
weight from the second step on.

TextBrewer's layers are indices into the adaptor's lists. For hidden states, 0 are the embeddings, as here. For
attention, 0 is the first layer, as here, if the adaptor returns Hugging Face's list; TextBrewer's examples put a dummy
in front, so that their attention matches (4, 8 and 12 of 12 layers) count from 1.
"""

from collections.abc import Mapping, Sequence

from xtremedistil.arguments import is_whole, require_kind, require_number
from xtremedistil.errors import require_known
from xtremedistil.losses.weight_schedules import weight_factor
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import SoftLabels, parse_temperature_schedule, read_temperatures

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
PROJECTIONS = ("linear", "relu", "tanh")
OPTIONS = ("lr",)  # keys of a projection's optimizer group
MASTER = "master"
RELEASES = {MASTER: {}, "0.2.1": {"nst": {"normalize_by": "length"}}}  # options of losses that differ
WEIGHT_SCHEDULERS = ("linear_growth", "linear_decay")


def is_textbrewers(entry: Mapping) -> bool:
    """Whether a mapping is a match in TextBrewer's format."""
    return "layer_T" in entry or "layer_S" in entry


def textbrewer_match(entry: Mapping, first_attention: int = 0, release: str = MASTER) -> Match:
    """Makes a match from an entry of `intermediate_matches`.

    Args:
        first_attention: number of the first layer in the adaptor's list of attention scores; 1 after a dummy.
        release: "master" or "0.2.1", whose `mmd` to compute.

    Raises:
        ValueError: a key or a name is unknown, or one is missing.

    Example: {"layer_T": 8, "layer_S": 2, "feature": "hidden", "loss": "hidden_mse", "weight": 1,
    "proj": ["linear", 312, 768]}.
    """
    for name in entry:
        require_known("key in a match of TextBrewer", name, KEYS)
    if missing := [name for name in KEYS[:-1] if name not in entry]:
        raise ValueError(f"{', '.join(missing)} is missing in a match of TextBrewer.")
    require_known("release of TextBrewer", release, RELEASES)
    require_known("feature of TextBrewer", entry["feature"], FEATURES)
    require_known("match loss of TextBrewer", entry["loss"], LOSSES)
    loss = LOSSES[entry["loss"]]
    projection, rate = _projection(entry.get("proj"))
    first = first_attention if entry["feature"] == "attention" else 0
    return Match(
        FEATURES[entry["feature"]],
        _layer(entry["layer_T"], first),
        _layer(entry["layer_S"], first),
        loss,
        _number("weight", entry["weight"]),
        projection,
        rate,
        options={"compat": True} if loss.startswith("attention") else RELEASES[release].get(loss, {}),
    )


def _layer(layer, first: int):
    """Converts a number, or a list of numbers, to layers counted from 0."""
    if isinstance(layer, Sequence) and not isinstance(layer, str):
        return tuple(_layer(one, first) for one in layer)
    if first and isinstance(layer, int) and layer < first:
        raise ValueError(f"Attention {layer} is the dummy in front of the first layer's, which is {first}.")
    return layer - first if is_whole(layer) else layer


def _number(name: str, value) -> float:
    require_number(f"{name} of TextBrewer", value)
    return float(value)


def _projection(proj) -> tuple[str, float | None]:
    """Returns kind and learning rate of ["linear", width, width] or ["linear", width, width, {"lr": rate}].

    The widths are not used: the two models decide them.
    """
    if not proj:
        return "none", None
    kind, *rest = proj if isinstance(proj, (list, tuple)) else [None]
    widths, groups = rest[:2], rest[2:]
    written = len(widths) == 2 and all(isinstance(width, int) for width in widths)
    if not written or len(groups) > 1 or not all(isinstance(group, Mapping) for group in groups):
        raise ValueError(
            f"proj is {proj!r}; it is written as [kind, width of the student, width of the teacher] or with "
            '{"lr": rate} after these.'
        )
    require_known("projection of TextBrewer", kind, PROJECTIONS)
    (group,) = groups or ({},)
    for name in group:
        require_known("option of a projection", name, OPTIONS)
    return kind, group.get("lr")


def textbrewer_soft_labels(config: Mapping) -> SoftLabels:
    """Makes the soft-label loss of a `DistillationConfig`, with its defaults: cross-entropy at temperature 4.

    Raises:
        ValueError: a name is unknown.
    """
    kind = config.get("kd_loss_type", "ce")
    require_known("kd_loss_type", kind, KD_LOSSES)
    weight, schedule = textbrewer_weight(config, "kd_loss_weight", 1)
    return SoftLabels(
        KD_LOSSES[kind],
        temperature=_number("temperature", config.get("temperature", 4)),
        temperature_of=_temperature_of(config.get("temperature_scheduler", "none")),
        weight=weight,
        weight_schedule=schedule,
        probability_shift=bool(config.get("probability_shift", False)),
        options={"t_squared": False} if kind == "ce" else {},
    )


def _temperature_of(schedule):
    """Reads "none", "constant", ["flsw", beta, gamma] or ["flsw", {"beta": 1, "gamma": 2}]."""
    if schedule in ("none", "constant"):
        return None
    require_kind("temperature_scheduler", schedule, (str, list, tuple), "a name, or a list of a name and numbers")
    name, *numbers = [schedule] if isinstance(schedule, str) else schedule or [""]
    if len(numbers) == 1 and isinstance(numbers[0], Mapping):
        return read_temperatures({"name": name} | dict(numbers[0]))
    return parse_temperature_schedule(f"{name}:{','.join(map(str, numbers))}")


def textbrewer_weight(config: Mapping, name: str, default: float) -> tuple[float, str]:
    """Returns a weight and its schedule.

    TextBrewer overwrites the weight by the scheduler's value after each step: the first step uses the given weight,
    later ones 1 x the schedule.

    Raises:
        ValueError: the scheduler is unknown.

    Example: {"hard_label_weight": 0, "hard_label_weight_scheduler": "linear_growth"} grows from 0 to 1.
    """
    weight, schedule = _number(name, config.get(name, default)), config.get(f"{name}_scheduler", "none")
    if schedule == "none":
        return weight, "constant"
    require_known(f"{name}_scheduler", schedule, WEIGHT_SCHEDULERS)
    return 1.0, schedule if weight == weight_factor(schedule)(0.0) else f"{schedule}:{weight}"
