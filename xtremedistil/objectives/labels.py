"""Makes the objective of gold labels for each problem type, and checks that labels fit a model."""

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
    """Makes the loss on gold labels of a problem type: cross-entropy for classes and for a span's ends, binary
    cross-entropy if several labels may hold, mean squared error for scores.

    Args:
        weight: factor of the loss. schedule: how the weight varies over training.
        class_weights: factor of each class, float32 [L]; the loss is then divided by the sum of factors.
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
    """Returns float32 [B], 1 for rows that count; where several labels may hold, unlabelled rows do not."""
    mask = loss_mask(batch, ROWS)
    if problem_type != SEVERAL_LABELS:  # a score may be any number
        return mask
    return mask * tf.cast(batch["labels"][:, 0] != NOT_SCORED, mask.dtype)


def are_scored(features: Features, problem_type: str) -> bool:
    """Whether any row, or token, has a label; for spans, whether any row contains both ends of its span."""
    labels = features.labels
    if labels is None:
        return False
    if problem_type == SPAN:
        return bool(((labels >= 0) & (labels < features.lengths[:, None])).all(axis=1).any())
    return bool((labels != NOT_SCORED).any())


def check_labels(features: Features, problem_type: str, logits: int) -> None:
    """Raises ValueError if there is a label that the model has no logit for.

    Args:
        logits: number of logits per row or token.
    """
    labels = features.labels
    if problem_type in OF_NUMBERS and labels.shape[1:] != (logits,):
        raise ValueError(
            f"Labels of {problem_type} have the shape {list(labels.shape)}; the student has {logits} logits per row, "
            f"so [{len(labels)}, {logits}] is expected."
        )
    if problem_type == CLASSES and labels.max() >= logits:
        raise ValueError(f"The labels reach {int(labels.max())}; the student has {logits} logits, counted from 0.")
