"""Temperatures of soft labels that differ by row or token.

The temperature is lower, so that labels are sharper, where the student is far from the teacher (dynamic temperature
distillation, Wen et al., 2019, arXiv 1911.07471). Temperatures vary around the mean of one batch on one device; each
device, and each accumulated batch, has its own mean.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from xtremedistil.arguments import require_number
from xtremedistil.losses.masking import competing, masked_mean, real

NORM_FLOOR = 1e-4  # added to the norms of flsw
CONFIDENCE_FLOOR = 1e-3  # added to the probabilities of cwsm
MIN_TEMPERATURE = 1e-2


@dataclass(frozen=True)
class ConstantTemperature:
    """The same temperature for all."""

    def __call__(self, *, teacher, student, temperature, mask=None) -> tf.Tensor:
        """Args: as `Flsw`. Returns: `temperature` in float32."""
        return tf.stop_gradient(tf.cast(temperature, tf.float32))


@dataclass(frozen=True)
class Flsw:
    """Focal-loss-style weights: lower where the directions of the two logit vectors differ.

    temperature + beta * (mean(w) - w) with w = (1 - cosine) ** gamma.

    Fields:
        beta: size of the variation. gamma: exponent; larger values stress large differences.
        min_temperature: lower bound; with a large beta, the formula alone would fall below 0.
    """

    beta: float
    gamma: float
    min_temperature: float = MIN_TEMPERATURE

    def __post_init__(self):
        require_number("beta", self.beta, -math.inf)
        require_number("gamma", self.gamma)
        require_number("min_temperature", self.min_temperature, above=True)

    def __call__(self, *, teacher, student, temperature, mask=None) -> tf.Tensor:
        """Returns the temperature of each row or token; no gradient flows through it.

        Args:
            teacher, student: logits [B, L] or [B, S, L].
            temperature: the mean temperature, a number.
            mask: optional [B] or [B, S]. Masked positions do not enter the mean.

        Returns:
            float32 [B] or [B, S]; arbitrary, but finite and positive, where the mask is 0.
        """
        cosine = tf.reduce_sum(_shortened(real(teacher, mask)) * _shortened(real(student, mask)), axis=-1)
        weights = tf.maximum(1.0 - cosine, 0.0) ** self.gamma
        return _around(temperature, weights, mask, self.beta, self.min_temperature)


@dataclass(frozen=True)
class Cwsm:
    """Confidence-weighted by the student's maximum: lower where the student is unsure.

    temperature + beta * (mean(w) - w) with w = 1 / (the student's largest probability, at temperature 1, + 0.001).

    Fields: as `Flsw`.
    """

    beta: float
    min_temperature: float = MIN_TEMPERATURE

    def __post_init__(self):
        require_number("beta", self.beta, -math.inf)
        require_number("min_temperature", self.min_temperature, above=True)

    def __call__(self, *, teacher, student, temperature, mask=None) -> tf.Tensor:
        """Args, returns: as `Flsw`. The teacher's logits are not used."""
        confidence = tf.reduce_max(tf.nn.softmax(real(student, mask)), axis=-1)
        return _around(temperature, 1.0 / (confidence + CONFIDENCE_FLOOR), mask, self.beta, self.min_temperature)


TEMPERATURES: dict[str, Callable[..., Callable[..., tf.Tensor]]] = {
    "constant": ConstantTemperature,
    "flsw": Flsw,
    "cwsm": Cwsm,
}


def _shortened(logits: tf.Tensor) -> tf.Tensor:
    logits = tf.where(competing(logits) > 0, logits, 0.0)
    return logits / (tf.norm(logits, axis=-1, keepdims=True) + NORM_FLOOR)


def _around(temperature, weights: tf.Tensor, mask, beta: float, min_temperature: float) -> tf.Tensor:
    shifted = tf.cast(temperature, tf.float32) + beta * (masked_mean(weights, mask) - weights)
    return tf.stop_gradient(tf.maximum(shifted, min_temperature))
