"""What each kind of stage minimises: model outputs and a batch in, named losses out."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from xtremedistil.distillation.layer_map import Match
from xtremedistil.distillation.losses import (
    attention_mse,
    attention_squared_distance,
    hidden_mse,
    label_cross_entropy,
    label_weights,
    logits_mse,
)
from xtremedistil.training.trainer import Objective

PREFIX = "teacher_"  # of targets in a batch


ROWS = "rows"  # what a loss counts: rows, or positions of them
REAL, ALL, FIRST, LABELLED = "real", "all", "first", "labelled"


def _mask(batch, counted: str) -> tf.Tensor:
    """1 where a loss counts: float32 [B] for rows; [B, S] for real positions, all of real rows, their first, or those
    with a label."""
    if counted == ROWS:
        return batch["row_mask"]
    if counted == LABELLED:
        return label_weights(batch["labels"])
    attention_mask = batch["attention_mask"]
    if counted == REAL:
        mask = attention_mask
    elif counted == ALL:
        mask = tf.ones_like(attention_mask)
    else:
        mask = tf.one_hot(tf.zeros_like(attention_mask[:, 0]), tf.shape(attention_mask)[1], dtype=tf.int32)
    return tf.cast(mask, tf.float32) * batch["row_mask"][:, None]


def representation_objective(matches: Sequence[Match]) -> Objective:
    """Hidden states and attention maps of the matches, at real positions (stage 1)."""

    losses = {"hidden_states": hidden_mse, "attentions": attention_squared_distance}

    def values(outputs, batch):
        mask = _mask(batch, REAL)
        return {
            match.name: losses[match.feature](
                teacher=batch[PREFIX + match.teacher_name], student=outputs[match.name], mask=mask
            )
            for match in matches
        }

    def counts(batch):
        count = tf.reduce_sum(_mask(batch, REAL))
        return {match.name: count for match in matches}

    return Objective(values, counts, {match.name: match.weight for match in matches})


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
    teacher = batch[PREFIX + match.teacher_name]
    if match.feature == "hidden_states":
        return hidden_mse(teacher=teacher, student=student, mask=_mask(batch, states))
    return attention_mse(teacher=teacher, student=student, mask=_mask(batch, ALL))


def _original_count(match: Match, batch, states: str) -> tf.Tensor:
    if match.feature == "hidden_states":
        return tf.reduce_sum(_mask(batch, states))
    return tf.reduce_sum(tf.square(tf.reduce_sum(_mask(batch, ALL), axis=-1)))


def logits_objective(counted: str = REAL) -> Objective:
    """Mean squared error with the teacher's logits, of rows or of their positions."""

    def values(outputs, batch):
        student = outputs["logits"]
        # A teacher of the original release has four labels more, behind the real ones.
        teacher = batch[PREFIX + "logits"][..., : student.shape[-1]]
        return {"logits": logits_mse(teacher=teacher, student=student, mask=_mask(batch, counted))}

    def counts(batch):
        return {"logits": tf.reduce_sum(_mask(batch, counted))}

    return Objective(values, counts)


def labels_objective(class_weights: np.ndarray | None = None) -> Objective:
    """Cross-entropy with the gold labels.

    Args:
        class_weights: factor of each label, float32 [L]; what the mean is over is then their sum.
    """

    def values(outputs, batch):
        labels, logits = batch["labels"], outputs["logits"]
        return {"labels": label_cross_entropy(labels=labels, logits=logits, class_weights=class_weights)}

    def counts(batch):
        return {"labels": tf.reduce_sum(label_weights(batch["labels"], class_weights))}

    return Objective(values, counts)
