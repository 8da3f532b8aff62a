"""What each kind of stage minimises: model outputs and a batch in, named losses out."""

from collections.abc import Sequence

import tensorflow as tf

from xtremedistil.distillation.layer_map import Match
from xtremedistil.distillation.losses import (
    attention_mse,
    attention_squared_distance,
    hidden_mse,
    label_cross_entropy,
    logits_mse,
)
from xtremedistil.training.loop import Loss, Objective

PREFIX = "teacher_"  # of targets in a batch


REAL, ALL, FIRST = "real", "all", "first"  # positions that a loss counts


def _mask(batch, positions: str) -> tf.Tensor:
    """float32 [B, S], 1 where a loss counts: at real positions, at all of real rows, or at their first."""
    attention_mask = batch["attention_mask"]
    if positions == REAL:
        mask = attention_mask
    elif positions == ALL:
        mask = tf.ones_like(attention_mask)
    else:
        mask = tf.one_hot(tf.zeros_like(attention_mask[:, 0]), tf.shape(attention_mask)[1], dtype=tf.int32)
    return tf.cast(mask, tf.float32) * batch["row_mask"][:, None]


def representation_objective(matches: Sequence[Match]) -> Objective:
    """Hidden states and attention maps of the matches, at real positions (stage 1)."""

    def objective(outputs, batch):
        mask = _mask(batch, REAL)
        count = tf.reduce_sum(mask)
        losses = {"hidden_states": hidden_mse, "attentions": attention_squared_distance}
        return {
            match.name: Loss(
                losses[match.feature](
                    teacher=batch[PREFIX + match.teacher_name], student=outputs[match.name], mask=mask
                ),
                count,
                match.weight,
            )
            for match in matches
        }

    return objective


def original_representation_objective(matches: Sequence[Match], states: str) -> Objective:
    """As the original had it: plain means, over padding too.

    Args:
        states: positions at which hidden states count, "all" or "first".
    """

    def objective(outputs, batch):
        return {match.name: _original_loss(match, outputs[match.name], batch, states) for match in matches}

    return objective


def _original_loss(match: Match, student: tf.Tensor, batch, states: str) -> Loss:
    teacher = batch[PREFIX + match.teacher_name]
    if match.feature == "hidden_states":
        mask = _mask(batch, states)
        return Loss(hidden_mse(teacher=teacher, student=student, mask=mask), tf.reduce_sum(mask), match.weight)
    mask = _mask(batch, ALL)
    pairs = tf.reduce_sum(tf.square(tf.reduce_sum(mask, axis=-1)))
    return Loss(attention_mse(teacher=teacher, student=student, mask=mask), pairs, match.weight)


def logits_objective(positions: str = REAL) -> Objective:
    """Mean squared error with the teacher's logits, of rows or of their positions."""

    def objective(outputs, batch):
        student = outputs["logits"]
        mask = batch["row_mask"] if student.shape.rank == 2 else _mask(batch, positions)
        # A teacher of the original release has four labels more, behind the real ones.
        teacher = batch[PREFIX + "logits"][..., : student.shape[-1]]
        value = logits_mse(teacher=teacher, student=student, mask=mask)
        return {"logits": Loss(value, tf.reduce_sum(mask))}

    return objective


def labels_objective() -> Objective:
    """Cross-entropy with the gold labels."""

    def objective(outputs, batch):
        count = tf.reduce_sum(tf.cast(batch["labels"] >= 0, tf.float32))
        return {"labels": Loss(label_cross_entropy(labels=batch["labels"], logits=outputs["logits"]), count)}

    return objective
