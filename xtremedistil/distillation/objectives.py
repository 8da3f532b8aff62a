"""What each kind of stage minimises: model outputs and a batch in, named losses out."""

from collections.abc import Sequence

import tensorflow as tf

from xtremedistil.distillation.layer_map import Match
from xtremedistil.distillation.losses import attention_mse, hidden_mse, label_cross_entropy, logits_mse
from xtremedistil.training.loop import Loss, Objective

PREFIX = "teacher_"  # of targets in a batch


def _position_mask(batch, like: tf.Tensor, legacy: bool) -> tf.Tensor:
    """float32 [B] or [B, S], as `like` (a tensor [B, ...] without its last axis) has positions or not.

    The original's losses count padding: under `legacy` all positions of real rows count.
    """
    rows = batch["row_mask"]
    if like.shape.rank == 2:
        return rows
    mask = tf.ones_like(batch["attention_mask"]) if legacy else batch["attention_mask"]
    return tf.cast(mask, tf.float32) * rows[:, None]


def representation_objective(matches: Sequence[Match], legacy: bool = False) -> Objective:
    """Hidden states and attention maps of the matches (stage 1)."""

    def objective(outputs, batch):
        return {match.name: _match_loss(match, outputs[match.name], batch, legacy) for match in matches}

    return objective


def _match_loss(match: Match, student: tf.Tensor, batch, legacy: bool) -> Loss:
    teacher = batch[PREFIX + match.teacher_name]
    if match.feature == "hidden_states":
        mask = _position_mask(batch, student, legacy)
        return Loss(hidden_mse(teacher=teacher, student=student, mask=mask), tf.reduce_sum(mask), match.weight)
    mask = _position_mask(batch, student[:, 0], legacy)
    pairs = tf.reduce_sum(tf.square(tf.reduce_sum(mask, axis=-1)))
    return Loss(attention_mse(teacher=teacher, student=student, mask=mask), pairs, match.weight)


def logits_objective(legacy: bool = False) -> Objective:
    """Mean squared error with the teacher's logits."""

    def objective(outputs, batch):
        student = outputs["logits"]
        mask = _position_mask(batch, student, legacy)
        value = logits_mse(teacher=batch[PREFIX + "logits"], student=student, mask=mask)
        return {"logits": Loss(value, tf.reduce_sum(mask))}

    return objective


def labels_objective() -> Objective:
    """Cross-entropy with the gold labels."""

    def objective(outputs, batch):
        count = tf.reduce_sum(tf.cast(batch["labels"] >= 0, tf.float32))
        return {"labels": Loss(label_cross_entropy(labels=batch["labels"], logits=outputs["logits"]), count)}

    return objective
