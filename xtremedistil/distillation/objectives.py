"""What each kind of stage minimises: model outputs and a batch in, named losses out."""

from collections.abc import Sequence

import tensorflow as tf

from xtremedistil.distillation.layer_map import Match
from xtremedistil.distillation.losses import attention_mse, hidden_mse, label_cross_entropy, logits_mse
from xtremedistil.training.loop import Loss, Objective

PREFIX = "teacher_"  # of targets in a batch


REAL, ALL, FIRST = "real", "all", "first"  # positions that a loss counts


def _mask(batch, positions: str) -> tf.Tensor:
    """float32 [B, S]: 1 where a loss counts. The original counted padding, and of classified rows the first position."""
    attention_mask = batch["attention_mask"]
    if positions == REAL:
        mask = attention_mask
    elif positions == ALL:
        mask = tf.ones_like(attention_mask)
    else:
        mask = tf.one_hot(tf.zeros_like(attention_mask[:, 0]), tf.shape(attention_mask)[1], dtype=tf.int32)
    return tf.cast(mask, tf.float32) * batch["row_mask"][:, None]


def representation_objective(matches: Sequence[Match], states: str = REAL, maps: str = REAL) -> Objective:
    """Hidden states and attention maps of the matches (stage 1).

    Args:
        states, maps: positions that count, "real", "all" or "first".
    """

    def objective(outputs, batch):
        masks = {"hidden_states": _mask(batch, states), "attentions": _mask(batch, maps)}
        return {match.name: _match_loss(match, outputs[match.name], batch, masks[match.feature]) for match in matches}

    return objective


def _match_loss(match: Match, student: tf.Tensor, batch, mask: tf.Tensor) -> Loss:
    teacher = batch[PREFIX + match.teacher_name]
    if match.feature == "hidden_states":
        return Loss(hidden_mse(teacher=teacher, student=student, mask=mask), tf.reduce_sum(mask), match.weight)
    pairs = tf.reduce_sum(tf.square(tf.reduce_sum(mask, axis=-1)))
    return Loss(attention_mse(teacher=teacher, student=student, mask=mask), pairs, match.weight)


def logits_objective(positions: str = REAL) -> Objective:
    """Mean squared error with the teacher's logits, of rows or of their positions."""

    def objective(outputs, batch):
        student = outputs["logits"]
        mask = batch["row_mask"] if student.shape.rank == 2 else _mask(batch, positions)
        value = logits_mse(teacher=batch[PREFIX + "logits"], student=student, mask=mask)
        return {"logits": Loss(value, tf.reduce_sum(mask))}

    return objective


def labels_objective() -> Objective:
    """Cross-entropy with the gold labels."""

    def objective(outputs, batch):
        count = tf.reduce_sum(tf.cast(batch["labels"] >= 0, tf.float32))
        return {"labels": Loss(label_cross_entropy(labels=batch["labels"], logits=outputs["logits"]), count)}

    return objective
