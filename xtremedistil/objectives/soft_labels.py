"""Soft labels as an objective: the student's logits against those of one teacher, or of several together."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from xtremedistil.errors import require_known
from xtremedistil.losses import LOSSES
from xtremedistil.losses.masking import EXCLUDED
from xtremedistil.losses.probability_shift import probability_shift
from xtremedistil.models.adapters import SPANS
from xtremedistil.objectives.position_masks import target_prefix
from xtremedistil.terms.soft_labels import COMBINATIONS, OF_PROBABILITIES, SoftLabels
from xtremedistil.training.objectives import Objective, scheduled

SOFT_LABELS = "logits"  # name of the term
MEAN_LOGITS, MEAN_PROBABILITIES, MEAN_LOSSES = COMBINATIONS


def soft_labels_objective(
    mask_of: Callable[[dict], tf.Tensor],
    soft_labels: SoftLabels,
    *,
    teachers: Sequence[int] = (0,),
    weights: Sequence[float] | None = None,
    combine: str = MEAN_LOGITS,
    output: str = "logits",
    ending: str = "",
    positions_of: Callable[[dict], tf.Tensor] | None = None,
) -> Objective:
    """One term between a student's logits and those of some teachers.

    Args:
        mask_of: a batch in, [B] or [B, S] out, 1 where the term counts.
        teachers: their numbers, as in the names of their targets. weights: one each, by default equal; they count in
            proportion to each other.
        combine: "logits", the weighted mean of the teachers' logits; "probabilities", of their label distributions at
            the temperature (You et al., 2017, equation 2); "losses", of the losses with each of them.
        output: name of the logits, where a model has several; those of spans compete over the positions of a row, or
            are each compared for itself by losses without a softmax.
        ending: of the term's name, where several terms compare the same logits.
        positions_of: of spans, [B, S], 1 at the positions that take part.

    Raises:
        ValueError: weights that cannot be shares, or another `combine`.
    """
    require_known("way to combine teachers", combine, COMBINATIONS)
    shares = teacher_shares(len(teachers), weights)
    name = (SOFT_LABELS if output == "logits" else output) + ending
    compete = output in SPANS and soft_labels.loss in OF_PROBABILITIES

    def counted(batch):
        if output not in SPANS:
            return mask_of(batch)
        return tf.reduce_max(positions_of(batch), axis=-1) if compete else positions_of(batch)

    def values(outputs, batch):
        student, mask = outputs[output], counted(batch)
        # A teacher of the original release has four labels more, behind the real ones.
        logits = [batch[target_prefix(number) + output][..., : student.shape[-1]] for number in teachers]
        if compete:
            student, *logits = (_over_positions(one, positions_of(batch)) for one in (student, *logits))
        targets = logits if combine == MEAN_LOSSES else [_combined(logits, shares, combine, soft_labels.temperature)]
        losses = [_loss(soft_labels, target, student, batch, mask) for target in targets]
        factors = shares if combine == MEAN_LOSSES else [1.0]
        return {name: tf.add_n([factor * loss for factor, loss in zip(factors, losses, strict=True)])}

    def counts(batch):
        return {name: tf.reduce_sum(counted(batch))}

    return Objective(values, counts, {name: soft_labels.weight}, scheduled({name: soft_labels.weight_schedule}))


def _over_positions(logits: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """[B, S, 1] of a span's end as [B, S], with nothing for what is no position of it."""
    return tf.where(positions > 0, logits[..., 0], EXCLUDED)


def teacher_shares(count: int, weights: Sequence[float] | None) -> list[float]:
    """Of 1, in proportion to the weights."""
    given = np.ones(count) if weights is None else np.asarray(weights, float)
    if given.shape != (count,) or not np.isfinite(given).all() or (given < 0).any() or not given.sum():
        raise ValueError(
            f"teacher_weights are {weights}; {count} numbers of at least 0 are expected, not all of them 0."
        )
    return (given / given.sum()).tolist()


def _combined(logits: Sequence[tf.Tensor], shares: Sequence[float], combine: str, temperature: float) -> tf.Tensor:
    if len(logits) == 1:
        return logits[0]
    if combine == MEAN_LOGITS:
        return tf.add_n([share * one for share, one in zip(shares, logits, strict=True)])
    # Logits whose softmax at the temperature is the mean of all softmaxes.
    shifted = [
        tf.nn.log_softmax(one / temperature) + tf.math.log(share)
        for share, one in zip(shares, logits, strict=True)
        if share
    ]
    return temperature * tf.reduce_logsumexp(tf.stack(shifted), axis=0)


def _loss(soft_labels: SoftLabels, teacher, student, batch, mask) -> tf.Tensor:
    """One term between logits [B, L] or [B, S, L], under a mask [B] or [B, S]."""
    if soft_labels.probability_shift and "labels" in batch:  # rows of the transfer set have none
        teacher = probability_shift(teacher, batch["labels"])
    temperature = soft_labels.temperature
    if soft_labels.temperature_of is not None:
        temperature = soft_labels.temperature_of(teacher=teacher, student=student, temperature=temperature, mask=mask)
    loss = LOSSES[soft_labels.loss]
    return loss(teacher=teacher, student=student, mask=mask, temperature=temperature, **soft_labels.options)
