"""Makes the objective of soft labels, which compares the student's logits with those of one or several teachers."""

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
    """Makes one term between a student's logits and those of some teachers.

    Args:
        mask_of: takes a batch; returns [B] or [B, S], 1 where the term counts.
        teachers: their numbers, as in the names of their outputs. weights: one each, relative; by default equal.
        combine: take the weighted mean of the teachers' "logits", of their "probabilities" at the temperature (You et
            al., 2017, equation 2), or of the "losses" with each of them.
        output: name of the logits, where a model has several. For span logits, a softmax is over the tokens of a row;
            losses without a softmax compare each token alone.
        ending: appended to the term's name, where several terms compare the same logits.
        positions_of: for spans, takes a batch; returns [B, S], 1 at the tokens that may be an end.

    Raises:
        ValueError: weights are negative, infinite or all 0, or `combine` is unknown.
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
        # A teacher of the original release has four more labels after the real ones.
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
    """Reshapes logits of a span's end from [B, S, 1] to [B, S]; tokens that cannot be an end get no probability."""
    return tf.where(positions > 0, logits[..., 0], EXCLUDED)


def teacher_shares(count: int, weights: Sequence[float] | None) -> list[float]:
    """Scales the weights so that they add up to 1."""
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
    """Computes the loss between logits [B, L] or [B, S, L] with a mask [B] or [B, S]."""
    if soft_labels.probability_shift and "labels" in batch:  # rows of the transfer set have none
        teacher = probability_shift(teacher, batch["labels"])
    temperature = soft_labels.temperature
    if soft_labels.temperature_of is not None:
        temperature = soft_labels.temperature_of(teacher=teacher, student=student, temperature=temperature, mask=mask)
    loss = LOSSES[soft_labels.loss]
    return loss(teacher=teacher, student=student, mask=mask, temperature=temperature, **soft_labels.options)
