"""Two layers with an activation between that compute one."""

import math

import numpy as np
import pytest

from xtremedistil.export.common.encoder_weights import Linear
from xtremedistil.export.huggingface.linear_head import equivalent_linear_head, largest_outputs

_erf = np.vectorize(math.erf, otypes=[np.float32])
ACTIVATIONS = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * (1 + _erf(x / np.float32(math.sqrt(2)))) / 2,
}
HEADS = [("tanh", 3), ("relu", 12), ("relu", 13), ("relu", 30), ("gelu", 12), ("gelu", 13), ("gelu", 30)]


@pytest.mark.parametrize(("activation", "labels"), HEADS)
def test_straightened_layers_compute_the_classifier_for_any_state(activation, labels):
    generator = np.random.default_rng(1)
    gamma, beta = generator.normal(1, 0.3, 24).astype(np.float32), generator.normal(0, 0.3, 24).astype(np.float32)
    normal = np.concatenate([np.eye(24), -np.eye(24), generator.normal(size=(50, 24))])  # first the furthest
    normal -= normal.mean(axis=1, keepdims=True)
    states = (normal / normal.std(axis=1, keepdims=True) * gamma + beta).astype(np.float32)
    classifier = Linear(*(generator.normal(size=shape).astype(np.float32) for shape in ((24, labels), labels)))
    expected = states @ classifier.kernel + classifier.bias
    assert (np.abs(expected) <= largest_outputs(classifier, gamma, beta)).all()

    inner, outer, _ = equivalent_linear_head(classifier, activation, gamma, beta)
    assert (inner.kernel.shape, outer.kernel.shape) == ((24, 24), (24, labels))
    assert all(array.dtype == np.float32 for layer in (inner, outer) for array in (layer.kernel, layer.bias))
    bent = ACTIVATIONS[activation](states @ inner.kernel + inner.bias)
    np.testing.assert_allclose(bent @ outer.kernel + outer.bias, expected, atol=6e-5)
