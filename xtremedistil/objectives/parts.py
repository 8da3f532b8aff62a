"""What a stage minimises: model outputs and a batch in, named losses out.

`joined` puts objectives together: a stage may learn from states, logits and labels at once.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from xtremedistil.losses import LOSSES, attention_mse, hidden_mse, label_cross_entropy, label_weights
from xtremedistil.losses.masking import EXCLUDED
from xtremedistil.losses.probability_shift import probability_shift
from xtremedistil.losses.specs import LOSS_KINDS, MAPS, PAIRS, POSITIONS
from xtremedistil.losses.weight_schedules import constant_weight, weight_factor
from xtremedistil.objectives.position_masks import ALL, PREFIX, REAL, ROWS, loss_mask, target_prefix
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.training.objectives import Objective


def joined(*objectives: Objective) -> Objective:
    """All terms of all of them."""

    def values(outputs, batch):
        return {name: value for one in objectives for name, value in one.values(outputs, batch).items()}

    def counts(batch):
        return {name: value for one in objectives for name, value in one.counts(batch).items()}

    weights = {name: weight for one in objectives for name, weight in one.weights.items()}
    schedules = {name: schedule for one in objectives for name, schedule in one.schedules.items()}
    return Objective(values, counts, weights, schedules)


def matches_objective(matches: Sequence[Match], mask_of: Callable[[dict, int], tf.Tensor] | None = None) -> Objective:
    """States and attention maps of the matches.

    Args:
        mask_of: a batch and the number of a teacher in, [B, S] out, 1 where what it says counts; by default at real
            positions.
    """
    positions_of = mask_of or (lambda batch, number: loss_mask(batch, REAL))

    def mask(match, batch):
        target = batch.get(target_prefix(match.teacher_number) + match.teacher_names[0])
        one_a_row = target is not None and len(target.shape) == 2
        return loss_mask(batch, ROWS) if one_a_row else positions_of(batch, match.teacher_number)

    def values(outputs, batch):
        return {match.name: _match_loss(match, outputs, batch, mask(match, batch)) for match in matches}

    def counts(batch):
        return {match.name: _count(mask(match, batch), _mean_over(match)) for match in matches}

    return Objective(
        values,
        counts,
        {match.name: match.weight for match in matches},
        scheduled({match.name: match.weight_schedule for match in matches}),
    )


def _match_loss(match: Match, outputs, batch, mask: tf.Tensor) -> tf.Tensor:
    prefix = target_prefix(match.teacher_number)
    teacher = tuple(batch[prefix + name] for name in match.teacher_names)
    student = tuple(outputs[name] for name in match.outputs)
    if LOSS_KINDS[match.loss].layers == 1:
        (teacher,), (student,) = teacher, student
    options = dict(match.options)
    if options.get("compat"):  # TextBrewer's scores come with the mask added
        keys = mask[:, None, None, :] > 0
        teacher, student = tf.where(keys, teacher, EXCLUDED), tf.where(keys, student, EXCLUDED)
    if LOSS_KINDS[match.loss].compares == MAPS and match.loss != "attention_squared_distance":
        options.setdefault("from_logits", match.feature == "attention_scores")
    return LOSSES[match.loss](teacher=teacher, student=student, mask=mask, **options)


def _mean_over(match: Match) -> str:
    return match.options.get("mean_over", LOSS_KINDS[match.loss].mean_over)


def _count(mask: tf.Tensor, mean_over: str) -> tf.Tensor:
    """How many items a loss under a mask [B] or [B, S] is a mean over."""
    if mask.shape.rank == 1:
        return tf.reduce_sum(mask)
    by_row = tf.reduce_sum(mask, axis=-1)
    if mean_over == POSITIONS:
        return tf.reduce_sum(by_row)
    if mean_over == PAIRS:
        return tf.reduce_sum(tf.square(by_row))
    return tf.reduce_sum(tf.cast(by_row > 0, tf.float32))


def scheduled(names: dict) -> dict:
    """Factors by progress of the terms whose weight varies, out of names of schedules, or functions, by term."""
    found = {name: weight_factor(schedule) for name, schedule in names.items()}
    return {name: factor for name, factor in found.items() if factor is not constant_weight}


def original_representation_objective(matches: Sequence[Match], states: str) -> Objective:
    """As the original had it: plain means, over padding too.

    Args:
        states: positions at which hidden states count, "all" or "first".
    """

    def values(outputs, batch):
        return {match.name: _original_loss(match, outputs[match.name], batch, states) for match in matches}

    def counts(batch):
        return {match.name: _original_count(match, batch, states) for match in matches}

    return Objective(values, counts, {match.name: match.weight for match in matches})


def _original_loss(match: Match, student: tf.Tensor, batch, states: str) -> tf.Tensor:
    (name,) = match.teacher_names
    teacher = batch[PREFIX + name]
    if match.feature == "hidden_states":
        return hidden_mse(teacher=teacher, student=student, mask=loss_mask(batch, states))
    return attention_mse(teacher=teacher, student=student, mask=loss_mask(batch, ALL))


def _original_count(match: Match, batch, states: str) -> tf.Tensor:
    if match.feature == "hidden_states":
        return _count(loss_mask(batch, states), POSITIONS)
    return _count(loss_mask(batch, ALL), PAIRS)


SOFT_LABELS = "logits"  # name of the term


def logits_objective(counted: str = REAL, soft_labels: SoftLabels | None = None) -> Objective:
    """The teacher's logits, of rows or of their positions; by default their mean squared error."""
    soft_labels = soft_labels or SoftLabels()

    def values(outputs, batch):
        student = outputs["logits"]
        # A teacher of the original release has four labels more, behind the real ones.
        teacher = batch[PREFIX + "logits"][..., : student.shape[-1]]
        return {SOFT_LABELS: soft_label_loss(soft_labels, teacher, student, batch, loss_mask(batch, counted))}

    def counts(batch):
        return {SOFT_LABELS: tf.reduce_sum(loss_mask(batch, counted))}

    weights, schedules = {SOFT_LABELS: soft_labels.weight}, {SOFT_LABELS: soft_labels.weight_schedule}
    return Objective(values, counts, weights, scheduled(schedules))


def soft_label_loss(soft_labels: SoftLabels, teacher, student, batch, mask) -> tf.Tensor:
    """One term between logits [B, L] or [B, S, L], under a mask [B] or [B, S]."""
    if soft_labels.probability_shift and "labels" in batch:  # rows of the transfer set have none
        teacher = probability_shift(teacher, batch["labels"])
    temperature = soft_labels.temperature
    if soft_labels.temperature_of is not None:
        temperature = soft_labels.temperature_of(teacher=teacher, student=student, temperature=temperature, mask=mask)
    loss = LOSSES[soft_labels.loss]
    return loss(teacher=teacher, student=student, mask=mask, temperature=temperature, **soft_labels.options)


def labels_objective(
    class_weights: np.ndarray | None = None, weight: float = 1.0, schedule: str | Callable = "constant"
) -> Objective:
    """Cross-entropy with the gold labels.

    Args:
        class_weights: factor of each label, float32 [L]; what the mean is over is then their sum.
        weight: factor of the loss. schedule: how it varies with training.
    """

    def values(outputs, batch):
        labels, logits = batch["labels"], outputs["logits"]
        return {"labels": label_cross_entropy(labels=labels, logits=logits, class_weights=class_weights)}

    def counts(batch):
        return {"labels": tf.reduce_sum(label_weights(batch["labels"], class_weights))}

    return Objective(values, counts, {"labels": weight}, scheduled({"labels": schedule}))
