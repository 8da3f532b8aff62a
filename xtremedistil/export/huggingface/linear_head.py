"""Two linear layers with an activation between that compute one linear layer: the heads of PyTorch's text classifiers.

A student has one linear layer where these classes have two, with tanh, ReLU or GELU between.

Axes: H hidden, L labels.
"""

import math

import numpy as np

from xtremedistil.export.common.encoder_weights import Linear

TANH_REACH = 2.0**-9  # up to here, tanh(x) is x but for 1.3 parts in a million
STRAIGHT_FROM = 6.0  # from here on, relu(x) and gelu(x) are x in float32


def equivalent_linear_head(
    classifier: Linear, activation: str, gamma: np.ndarray, beta: np.ndarray
) -> tuple[Linear, Linear, str]:
    """Two layers that compute `classifier` although `activation` stands between.

    Args:
        classifier: [H, L]. gamma, beta: of the layer norm that its states come from, float [H].

    Returns:
        inner [H, H], outer [H, L], and how it is done.
    """
    hidden, labels = classifier.kernel.shape
    if activation == "tanh":
        return _scaled(classifier, largest_outputs(_identity(hidden), gamma, beta).max())
    if 2 * labels <= hidden:
        return _paired(classifier, activation)
    return _shifted(classifier, activation, gamma, beta)


def largest_outputs(linear: Linear, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """What no output of `linear` on a layer norm exceeds, either way, float [outputs].

    A normalised state is no longer than sqrt(H); the rest is Cauchy and Schwarz.
    """
    spread = math.sqrt(len(gamma)) * np.linalg.norm(gamma[:, None] * linear.kernel, axis=0)
    return spread + np.abs(beta @ linear.kernel + linear.bias)


def _scaled(classifier: Linear, reach: float) -> tuple[Linear, Linear, str]:
    """States made so small that tanh leaves them as they are; by a power of two, which rounds nothing."""
    scale = 2.0 ** math.floor(math.log2(TANH_REACH / reach))
    inner = _identity(len(classifier.kernel), scale)
    remark = f"{scale:.3g} x identity before tanh, which is straight there, and the classifier divided by that"
    return inner, Linear(classifier.kernel / np.float32(scale), classifier.bias), remark


def _paired(classifier: Linear, activation: str) -> tuple[Linear, Linear, str]:
    """Each logit z and its opposite: gelu(z) - gelu(-z) = relu(z) - relu(-z) = z."""
    hidden, labels = classifier.kernel.shape
    both = Linear(*(np.concatenate([array, -array], axis=-1) for array in (classifier.kernel, classifier.bias)))
    difference = np.concatenate([np.eye(labels), -np.eye(labels)]).astype(np.float32)
    inner, outer = _widened(both, difference, np.zeros(labels, np.float32), hidden)
    return inner, outer, f"{activation}(z) - {activation}(-z) = z for each logit z"


def _shifted(classifier: Linear, activation: str, gamma: np.ndarray, beta: np.ndarray) -> tuple[Linear, Linear, str]:
    """Logits (states, if there are more logits than these) so large that ReLU and GELU leave them as they are."""
    hidden, labels = classifier.kernel.shape
    first, second = (classifier, _identity(labels)) if labels <= hidden else (_identity(hidden), classifier)
    shift = (largest_outputs(first, gamma, beta) + STRAIGHT_FROM).astype(np.float32)
    bias = second.bias - shift.astype(np.float64) @ second.kernel
    raised = Linear(first.kernel, first.bias + shift)
    inner, outer = _widened(raised, second.kernel, bias.astype(np.float32), hidden)
    remark = f"up to {shift.max():.3g} is added before {activation}, which is straight there, and taken off behind it"
    return inner, outer, f"{remark} (in half precision that would cost digits)"


def _widened(inner: Linear, outer_kernel: np.ndarray, outer_bias: np.ndarray, hidden: int) -> tuple[Linear, Linear]:
    """Both layers with as many units between them as the class has, the additional ones being zero."""
    more = hidden - len(inner.bias)
    inner = Linear(np.pad(inner.kernel, ((0, 0), (0, more))), np.pad(inner.bias, (0, more)))
    return inner, Linear(np.pad(outer_kernel, ((0, more), (0, 0))), outer_bias)


def _identity(width: int, scale: float = 1.0) -> Linear:
    return Linear(scale * np.eye(width, dtype=np.float32), np.zeros(width, np.float32))
