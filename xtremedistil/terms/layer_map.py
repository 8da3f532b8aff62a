"""Maps each student layer to the teacher layer that it learns from."""

from collections.abc import Mapping, Sequence

from xtremedistil.errors import InputError, require_known
from xtremedistil.models.features.names import PROJECTIONS
from xtremedistil.terms.match import PATH, Match

LAST, UNIFORM, SKIP = "last", "uniform", "skip"
LAYER_MAPS = (LAST, UNIFORM, SKIP)
TRANSPORTS = {
    "emd": "exact",
    "sinkhorn": "sinkhorn",
}  # names in place of a map: match all layers with all, by this solver


def layer_map(name: str, *, teacher_layers: int, student_layers: int) -> dict[int, int]:
    """Returns the teacher layer for each student layer, from 0 (embeddings) to the top.

    Args:
        name: "last", the teacher's last layers as in the original release (the student's embeddings learn from a middle
            layer); "uniform", spread over the whole depth, embeddings with embeddings and top with top; "skip", every
            k-th layer from the bottom (PKD-Skip: Sun et al., 2019, section 3.2), k = teacher_layers // student_layers;
            or "0:0,1:3,2:6", student:teacher.

    Raises:
        ValueError: the student has more layers than the teacher, or a layer does not exist.

    Example: 12 layers to 4 are 0, 3, 6, 9, 12 for both "uniform" and "skip", and 8, 9, 10, 11, 12 for "last".
    """
    if ":" in name:
        return _explicit(name, teacher_layers, student_layers)
    require_known("layer map", name, LAYER_MAPS)
    if student_layers > teacher_layers:
        raise ValueError(f"The student has {student_layers} layers and the teacher only {teacher_layers}.")
    teachers = {
        LAST: lambda layer: layer + teacher_layers - student_layers,
        UNIFORM: lambda layer: (2 * layer * teacher_layers + student_layers) // (2 * student_layers),  # rounded half up
        SKIP: lambda layer: layer * (teacher_layers // student_layers),
    }[name]
    return {layer: teachers(layer) for layer in range(student_layers + 1)}


def parse_layer_map(text: str) -> dict[int, int]:
    """Reads "0:0,1:3,2:6", student:teacher.

    Raises:
        ValueError: the text has another form, or names a student layer twice.
    """
    pairs = [entry.split(":") for entry in text.split(",")]
    if any(len(pair) != 2 or not all(one.strip().isdigit() for one in pair) for pair in pairs):
        raise ValueError(f'The layer map "{text}" is not written as student:teacher, as in 0:0,1:3,2:6.')
    numbers = [(int(student), int(teacher)) for student, teacher in pairs]
    if len(dict(numbers)) < len(numbers):
        raise ValueError(f'The layer map "{text}" names a layer of the student twice.')
    return dict(numbers)


def _explicit(text: str, teacher_layers: int, student_layers: int) -> dict[int, int]:
    found = parse_layer_map(text)
    for side, layers, deepest in (
        ("student", found.keys(), student_layers),
        ("teacher", found.values(), teacher_layers),
    ):
        if max(layers) > deepest:
            raise ValueError(
                f'The layer map "{text}" names layer {max(layers)} of the {side}, which has {deepest} (0 = embeddings).'
            )
    return dict(sorted(found.items()))


def mapped_matches(
    layers: Mapping[int, int],
    *,
    multi_hidden_states: bool,
    attention: bool,
    hidden_weight: float = 1.0,
    embedding_weight: float = 1.0,
    attention_weight: float = 1.0,
) -> list[Match]:
    """Returns matches of hidden states and attention maps of mapped layers, top layer first.

    Args:
        layers: as `layer_map` returns them.
        multi_hidden_states: match hidden states of all layers, embeddings included, not only of the highest.
        attention: also match the attention maps of all layers.
        hidden_weight, embedding_weight, attention_weight: matches of weight 0 are left out.
    """
    downwards = sorted(layers.items(), reverse=True)
    states = downwards if multi_hidden_states else downwards[:1]
    weights = {0: embedding_weight}
    matches = [
        Match("hidden_states", teacher, student, weight=weights.get(student, hidden_weight))
        for student, teacher in states
        if weights.get(student, hidden_weight)
    ]
    wanted = attention and attention_weight
    maps = [(student - 1, teacher - 1) for student, teacher in downwards if student and teacher] if wanted else []
    return matches + [
        Match("attentions", teacher, student, "attention_squared_distance", attention_weight)
        for student, teacher in maps
    ]


def transport_matches(
    solver: str, *, teacher_layers: int, student_layers: int, hidden_weight: float, embedding_weight: float
) -> list[Match]:
    """Returns matches of hidden states of all layers with all (BERT-EMD: Li et al., 2020, section 3.2).

    Args:
        solver: see `losses.layer_transport`.
        embedding_weight: weight of the match of embeddings; 0 leaves it out.
    """
    teacher, student = tuple(range(1, teacher_layers + 1)), tuple(range(1, student_layers + 1))
    matches = []
    if hidden_weight:
        matches.append(
            Match("hidden_states", teacher, student, "layer_transport", hidden_weight, options={"solver": solver})
        )
    return matches + ([Match("hidden_states", 0, 0, weight=embedding_weight)] if embedding_weight else [])


def relation_matches(teacher_layers: int, student_layers: int, relation_heads: int) -> list[Match]:
    """Returns matches of the last layers' relations (MiniLMv2: Wang et al., 2021, section 3.1)."""
    options = {"relation_heads": relation_heads}
    return [Match(kind, teacher_layers - 1, student_layers - 1, "relation_kl", options=options) for kind in PROJECTIONS]


def checked_layers(matches: list[Match], teacher_layers: int, student_layers: int) -> list[Match]:
    """Returns the matches if all their layers exist.

    Raises:
        InputError: a match names a layer that a model does not have.
    """
    for match in matches:
        _require_layers(match, "teacher", match.teacher, teacher_layers)
        _require_layers(match, "student", match.student, student_layers)
    return matches


def _require_layers(match: Match, side: str, layer, layers: int) -> None:
    """Layer 0 of the hidden states are the embeddings, so there is one more of them than of all other features."""
    highest = layers if match.feature == "hidden_states" else layers - 1
    for one in layer if isinstance(layer, tuple) else (layer,):
        if match.feature != PATH and one > highest:
            textbrewers = match.options.get("compat") and one == layers
            raise InputError(
                f"`match`: the {side} has no {match.feature} {one}; with {layers} layers they are 0 to {highest}."
                + (" TextBrewer's examples count them from 1, after a dummy: subtract 1." if textbrewers else "")
            )


def teacher_names(matches: Sequence[Match]) -> list[str]:
    """Returns the names of the teacher outputs that the matches compare."""
    return sorted({name for match in matches for name in match.teacher_names})
