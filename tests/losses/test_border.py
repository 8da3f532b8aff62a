"""What a loss cannot be computed of is refused by name and value, not by TensorFlow."""

import numpy as np
import pytest

from xtremedistil import losses
from xtremedistil.losses.specs import LOGITS, LOSS_KINDS, MAPS

GOOD = {LOGITS: (2, 3, 4), MAPS: (2, 2, 3, 3)}
NO_TENSORS = ["abc", None, [[1.0], [2.0, 3.0]], {"a": 1}, object(), [["a"]], 1.5, np.zeros([2, 2, 2, 2, 2])]


def good(name: str):
    kind = LOSS_KINDS[name]
    tensor = np.ones(GOOD.get(kind.compares, (2, 3, 4)), np.float32)
    return tensor if kind.layers == 1 else (tensor, tensor)


def required(name: str) -> dict:
    return {"relation_heads": 2} if name == "relation_kl" else {}


@pytest.mark.parametrize("name", LOSS_KINDS)
def test_every_loss_refuses_what_it_cannot_compare(name):
    loss, options = losses.LOSSES[name], required(name)
    loss(teacher=good(name), student=good(name), **options)
    other = np.ones([5, 3, 4] if LOSS_KINDS[name].compares != MAPS else [5, 2, 3, 3], np.float32)
    other_rows = other if LOSS_KINDS[name].layers == 1 else (other, other)
    for wrong in [*NO_TENSORS, other_rows]:
        with pytest.raises(ValueError, match=f"^{name}: (teacher|student|the teacher's|the student's)"):
            loss(teacher=wrong, student=good(name), **options)
        with pytest.raises(ValueError, match=f"^{name}: (teacher|student|the teacher's|the student's)"):
            loss(teacher=good(name), student=wrong, **options)
    for mask in ("abc", [1, [2]], np.ones([7, 7]), np.ones([2, 3, 4, 5, 6])):
        with pytest.raises(ValueError, match=f"^{name}: (mask|A mask)"):
            loss(teacher=good(name), student=good(name), mask=mask, **options)
    with pytest.raises(ValueError, match=f"no option of {name}"):
        loss(teacher=good(name), student=good(name), typo=1, **options)


OPTIONS = [(name, key) for name, kind in LOSS_KINDS.items() for key in kind.options]


@pytest.mark.parametrize("name, key", OPTIONS)
def test_every_option_of_a_loss_is_checked(name, key):
    for wrong in (None, "abc", -1, float("nan"), {}):
        with pytest.raises(ValueError, match=f"^{key} of {name} is"):
            losses.LOSSES[name](teacher=good(name), student=good(name), **(required(name) | {key: wrong}))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.label_cross_entropy(labels=[0.5], logits=[[1.0, 2.0]]), "labels are of type float32"),
        (lambda: losses.label_cross_entropy(labels=[2], logits=[[1.0, 2.0]]), "labels reach 2; there are 2 logits"),
        (lambda: losses.label_cross_entropy(labels=[0, 1], logits=[[1.0, 2.0]]), "labels has the shape .2.; .1. is"),
        (lambda: losses.label_cross_entropy(labels="a", logits=[[1.0, 2.0]]), "labels is of type string"),
        (lambda: losses.label_cross_entropy(labels=[0], logits=None), "logits is None"),
        (
            lambda: losses.label_cross_entropy(labels=[0], logits=[[1.0, 2.0]], class_weights=[1.0]),
            "class_weights has the shape .1.; .2.",
        ),
        (lambda: losses.label_weights([[[0]]]), "labels has the shape"),
        (lambda: losses.label_bce(labels=[1.0], logits=[[1.0]]), "labels has the shape .1.; .B, L."),
        (lambda: losses.label_mse(labels=[[1.0]], logits=[[1.0, 2.0]]), "labels has the shape .1, 1.; .1, 2."),
        (lambda: losses.label_mse(labels=[[1.0]], logits=[[1.0]], mask=[1, 1]), "mask has the shape .2.; .1."),
        (lambda: losses.span_weights([0, 1], [[1, 1]]), "ends has the shape .2.; .B, 2."),
        (lambda: losses.span_weights([[0.5, 1]], [[1, 1]]), "ends are of type float32"),
        (
            lambda: losses.span_cross_entropy(ends=[[0, 1]], start=[[1.0, 2.0]], end=[[[1.0], [2.0]]], mask=[[1, 1]]),
            "start has the shape .1, 2.; .B, S, 1.",
        ),
        (lambda: losses.masked_mean("a"), "values is of type string"),
        (lambda: losses.masked_mean([1.0, 2.0], [1]), "mask has the shape .1.; .2."),
        (lambda: losses.pair_mask([1, 1]), "mask has the shape .2.; .B, S."),
    ],
)
def test_losses_of_gold_labels_and_masks_check_their_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
