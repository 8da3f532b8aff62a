"""The terms of a run's losses as a table: which tensor of the teacher meets which of the student, and how."""

from collections.abc import Mapping, Sequence

from xtremedistil.distillation.planning.config import JOINT, DistilConfig
from xtremedistil.losses.specs import LOSS_KINDS, MAPS
from xtremedistil.models.architectures.shapes import BilstmShape, EncoderShape
from xtremedistil.terms.match import AUTO, NO_PROJECTION, PATH, Match

HEADER = ["stage", "term", "teacher", "student", "loss", "weight", "projection"]

BATCH = "B, S"  # rows and positions

PADDED, FIRST = ", padding too", ", first position"  # where the original's losses count


def term_table(
    config: DistilConfig,
    matches: Sequence[Match],
    *,
    labels: int,
    tagging: bool,
    teacher: EncoderShape | None,
    student: EncoderShape,
    path_widths: Mapping[str, tuple[int, int]],
) -> list[list[str]]:
    """A line for each term of each kind of stage, below a header.

    Args:
        teacher: None if it gives logits alone.
        path_widths: of the teacher's and the student's tensor, by name of each match by path.
    """
    joint = config.recipe == JOINT
    states = JOINT if joint else "representation"
    lines = [[states, *_match_cells(match, teacher, student, path_widths)] for match in matches]
    if config.legacy:
        lines = [_original(line, tagging) for line in lines]
    logits = f"[{BATCH}, {labels}]" if tagging else f"[B, {labels}]"
    soft_labels = _soft_label_cell(config) + (PADDED if config.legacy and tagging else "")
    weight = f"{config.soft_label_weight:g}"
    lines.append([JOINT if joint else "logits", "logits", logits, logits, soft_labels, weight, ""])
    if config.hard_label_weight:
        lines.append([JOINT, "labels", "", logits, "cross-entropy", f"{config.hard_label_weight:g}", ""])
    return [HEADER, *lines, ["labels", "labels", "", logits, "cross-entropy", "1", ""]]


def _original(line: list[str], tagging: bool) -> list[str]:
    """The same with the loss that the original has instead: plain means."""
    stage, term, teacher, student, _, *rest = line
    loss = "attention_mse" + PADDED if term == "attentions" else "hidden_mse" + (PADDED if tagging else FIRST)
    return [stage, term, teacher, student, loss, *rest]


def _soft_label_cell(config: DistilConfig) -> str:
    parts = {
        f"temperature {config.temperature:g}": config.temperature != 1,
        config.temperature_schedule: config.temperature_schedule != "constant",
        "without T^2": not config.t_squared,
        "probability shift": config.probability_shift,
    }
    return ", ".join([config.soft_label_loss, *(part for part, said in parts.items() if said)])


def _match_cells(match: Match, teacher: EncoderShape, student: EncoderShape, path_widths: Mapping) -> list[str]:
    options = "".join(f", {name} {value}" for name, value in match.options.items())
    if match.feature == PATH:
        widths = path_widths[match.name]
    else:
        widths = tuple(_width(match, shape) for shape in (teacher, student))
    sides = zip((match.teacher, match.student), (teacher, student), widths, strict=True)
    shapes = [f"{_layer(layer)} {_shape(match, shape, width)}" for layer, shape, width in sides]
    return [match.feature, *shapes, match.loss + options, _weight(match), _projection(match, *widths, student)]


def _weight(match: Match) -> str:
    return f"{match.weight:g}" + ("" if match.weight_schedule == "constant" else f" {match.weight_schedule}")


def _layer(layer) -> str:
    return " + ".join(map(str, layer)) if isinstance(layer, tuple) else str(layer)


def _width(match: Match, shape: EncoderShape) -> int:
    embeddings = match.feature == "hidden_states" and isinstance(shape, BilstmShape) and match.student == 0
    return shape.embedding_size if embeddings else shape.hidden_size


def _shape(match: Match, shape: EncoderShape, width: int) -> str:
    if LOSS_KINDS[match.loss].compares == MAPS:
        return f"[B, {shape.num_attention_heads}, S, S]"
    return f"[{BATCH}, {width}]"


def _projection(match: Match, teacher_width: int, student_width: int, student: EncoderShape) -> str:
    if match.projection not in (AUTO, NO_PROJECTION):
        return f"{match.projection} of its own"
    if match.projection == NO_PROJECTION or not match.needs_equal_widths or teacher_width == student_width:
        return "none"
    layers = match.student if isinstance(match.student, tuple) else (match.student,)
    if match.feature != "hidden_states" or student.num_hidden_layers not in layers:
        return "linear of its own"
    return "the deployed one" if len(layers) == 1 or match.is_pair else "linear of its own, the deployed one on top"
