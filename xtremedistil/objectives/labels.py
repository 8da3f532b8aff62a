"""Gold labels as a term, by what a model's logits say; and whether the labels of some rows go with a model."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from xtremedistil.data.features import NOT_SCORED, Features
from xtremedistil.losses import (
    label_bce,
    label_cross_entropy,
    label_mse,
    label_weights,
    span_cross_entropy,
    span_weights,
)
from xtremedistil.objectives.position_masks import loss_mask
from xtremedistil.tasks.problem_types import CLASSES, SCORES, SEVERAL_LABELS, SPAN
from xtremedistil.terms.counted import REAL, ROWS
from xtremedistil.training.objectives import Objective, scheduled

LABELS = "labels"  # name of the term
OF_NUMBERS = {SEVERAL_LABELS: label_bce, SCORES: label_mse}


def labels_objective(
    problem_type: str,
    weight: float = 1.0,
    schedule: str | Callable = "constant",
    class_weights: np.ndarray | None = None,
) -> Objective:
    """The loss that a problem type has for its gold labels: cross-entropy of classes and of a span's ends, binary
    cross-entropy of several labels at once, mean squared error of scores.

    Args:
        weight: factor of the loss. schedule: how it varies with training.
        class_weights: factor of each label of a class problem, float32 [L]; the mean is over their sum then.
    """

    def value(outputs, batch):
        labels = batch["labels"]
        if problem_type == CLASSES:
            return label_cross_entropy(labels=labels, logits=outputs["logits"], class_weights=class_weights)
        if problem_type == SPAN:
            logits = {"start": outputs["start_logits"], "end": outputs["end_logits"]}
            return span_cross_entropy(ends=labels, mask=loss_mask(batch, REAL), **logits)
        return OF_NUMBERS[problem_type](labels=labels, logits=outputs["logits"], mask=_row_mask(batch, problem_type))

    def counted(batch):
        if problem_type == CLASSES:
            return label_weights(batch["labels"], class_weights)
        if problem_type == SPAN:
            return span_weights(batch["labels"], loss_mask(batch, REAL))
        return _row_mask(batch, problem_type)

    return Objective(
        lambda outputs, batch: {LABELS: value(outputs, batch)},
        lambda batch: {LABELS: tf.reduce_sum(counted(batch))},
        {LABELS: weight},
        scheduled({LABELS: schedule}),
    )


def _row_mask(batch, problem_type: str) -> tf.Tensor:
    """1 for rows that count, float32 [B]; rows that nobody has labelled do not, where several labels may hold."""
    mask = loss_mask(batch, ROWS)
    if problem_type != SEVERAL_LABELS:  # a score may be any number
        return mask
    return mask * tf.cast(batch["labels"][:, 0] != NOT_SCORED, mask.dtype)


def are_scored(features: Features, problem_type: str) -> bool:
    """Whether any row, or position, has a label; of spans, whether any row has both ends within it."""
    labels = features.labels
    if labels is None:
        return False
    if problem_type == SPAN:
        return bool(((labels >= 0) & (labels < features.lengths[:, None])).all(axis=1).any())
    return bool((labels != NOT_SCORED).any())


def check_labels(features: Features, problem_type: str, logits: int) -> None:
    """Raises ValueError where there is a label that the model has no logit for.

    Args:
        logits: of a row or position.
    """
    labels = features.labels
    if problem_type in OF_NUMBERS and labels.shape[1:] != (logits,):
        raise ValueError(
            f"Labels of {problem_type} are {list(labels.shape)} over all rows; the student has {logits} logits a row: "
            f"[{len(labels)}, {logits}] are expected."
        )
    if problem_type == CLASSES and labels.max() >= logits:
        raise ValueError(f"The labels reach {int(labels.max())}; the student has {logits} logits, counted from 0.")
