"""Formats a plan as text, for `dry_run` and `print(plan)`."""

from collections.abc import Mapping

from xtremedistil.augmentation.word_edits import MASKED_LM
from xtremedistil.distillation.planning.stages import LABELS, Stage
from xtremedistil.evaluation.report import aligned
from xtremedistil.losses.specs import LOSS_KINDS, MAPS
from xtremedistil.models.architectures.shapes import BilstmShape, EncoderShape
from xtremedistil.terms.counted import ALL, FIRST
from xtremedistil.terms.match import AUTO, NO_PROJECTION, PATH, Match
from xtremedistil.terms.soft_labels import SoftLabels, written_temperatures

STAGE_HEADER = ["stage", "objective", "trained", "epochs", "rate", "batch", "steps"]
TERM_HEADER = ["stage", "term", "teacher", "student", "loss", "weight", "projection"]
BATCH = "B, S"  # rows of a batch and positions
COUNTED = {ALL: ", padding too", FIRST: ", first position"}  # where losses count, if not at all tokens


def plan_text(plan, measures) -> str:
    """Describes stages, losses, models and sizes on disk.

    Args:
        plan: a `DistillationPlan`. measures: its `Measures`.
    """
    return "\n".join(
        [
            aligned(_stage_lines(plan, measures)),
            "Epochs and steps are the most; a stage ends earlier when its score no longer rises.",
            "",
            aligned(term_lines(plan, measures)),
            "",
            f"teacher {measures.external_teacher or _describe(plan.teacher.shape)}",
            *([f"teacher: {measures.teacher_head}"] if measures.teacher_head else []),
            f"student {_describe(plan.student_shape(measures.tokens))}",
            *measures.data,
            f"rows: train {measures.train_rows:,}, transfer {measures.transfer_rows:,} "
            f"(mean length {measures.mean_length:.1f} tokens), held out {measures.held_out_rows:,}",
            *_augmented(plan, measures),
            f"teacher's outputs on disk: {_outputs(measures)}",
            f"besides: encoded rows {megabytes(measures.rows_bytes)}, student's hidden states "
            f"{megabytes(measures.frozen_bytes)} at a time",
            *_label_weights(measures),
        ]
    )


def _stage_lines(plan, measures) -> list[list[str]]:
    batches = plan.training.gradient_accumulation_steps
    times = f" x {batches}" if batches > 1 else ""
    lines = [STAGE_HEADER]
    for stage in plan.stages:
        steps = most_steps(stage, measures, batches)
        numbers = [f"{stage.epochs}", f"{stage.learning_rate:g}", f"{stage.batch_size}{times}", f"{steps:,}"]
        lines.append([str(stage.number), stage.objective, "+".join(stage.unfrozen), *numbers])
    return lines


def most_steps(stage: Stage, measures, batches_per_step: int) -> int:
    """Returns the maximum number of steps of a stage on one device."""
    rows = measures.transfer_rows if stage.on_transfer_set else measures.train_rows
    return stage.epochs * -(-rows // (stage.batch_size * batches_per_step))


def _augmented(plan, measures) -> list[str]:
    if measures.augmented is None:
        return []
    guessed = "; copies by masked_lm are taken to be new" if MASKED_LM in plan.transfer.augment else ""
    return [f"of these augmented: {measures.augmented}{guessed}"]


def _outputs(measures) -> str:
    if measures.outputs_bytes == measures.outputs_bytes_at_a_time and measures.external_teacher:
        return megabytes(measures.outputs_bytes)
    return f"{megabytes(measures.outputs_bytes)}, or {megabytes(measures.outputs_bytes_at_a_time)} at a time"


def _label_weights(measures) -> list[str]:
    """One line with the class weights; none if all weigh the same."""
    if measures.class_weights is None:
        return []
    pairs = zip(measures.labels, measures.class_weights, strict=True)
    return ["weights of labels: " + ", ".join(f"{label} {weight:.3g}" for label, weight in pairs)]


def _describe(shape: EncoderShape | BilstmShape) -> str:
    return f"{shape.outline}, {shape.vocab_size:,} tokens, about {shape.parameters / 1e6:.1f} M parameters"


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def term_lines(plan, measures) -> list[list[str]]:
    """Returns a header and one line for each loss of each objective."""
    logits = f"[{BATCH}, {measures.outputs}]" if measures.by_position else f"[B, {measures.outputs}]"
    student, lines = plan.student_shape(measures.tokens), []
    for objective in dict.fromkeys(stage.objective for stage in plan.stages):
        terms = plan.stage_terms(objective)
        for match in terms.matches:
            cells = _match_cells(match, plan.teacher.shape, student, measures.path_widths)
            cells[3] += COUNTED.get(_counted(plan, match), "")
            lines.append([objective, *cells])
        if terms.soft_labels.weight:
            loss = _soft_label_cell(terms.soft_labels)
            loss += COUNTED.get(plan.counted.logits, "") if measures.by_position else ""
            lines.append([objective, "logits", logits, logits, loss, f"{terms.soft_labels.weight:g}", ""])
        if terms.hard_label_weight:
            lines.append([objective, LABELS, "", logits, measures.label_loss, f"{terms.hard_label_weight:g}", ""])
    return [TERM_HEADER, *lines]


def _counted(plan, match: Match) -> str:
    maps = LOSS_KINDS[match.loss].compares == MAPS
    return plan.counted.attention_maps if maps else plan.counted.hidden_states


def _soft_label_cell(soft_labels: SoftLabels) -> str:
    schedule = written_temperatures(soft_labels.temperature_of) if soft_labels.temperature_of else {}
    numbers = ",".join(f"{value:g}" for name, value in schedule.items() if name != "name")
    parts = {
        f"temperature {soft_labels.temperature:g}": soft_labels.temperature != 1,
        f"{schedule.get('name')}:{numbers}": schedule,
        "without T^2": not soft_labels.options.get("t_squared", True),
        "probability shift": soft_labels.probability_shift,
    }
    return ", ".join([soft_labels.loss, *(part for part, said in parts.items() if said)])


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
