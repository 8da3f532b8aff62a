"""Weights of gold labels in the loss, out of `class_weight`."""

import difflib
import math
from collections.abc import Sequence

import numpy as np

from xtremedistil.data.features import Features
from xtremedistil.data.text_files import shorten
from xtremedistil.errors import InputError

NONE, BALANCED = "none", "balanced"
LARGEST = float(np.finfo(np.float32).max)


def parse_class_weight(text: str) -> dict[str, float]:
    """The weights that `text` names, label -> weight; none of them for "none" and "balanced".

    Args:
        text: "none", "balanced", or a list as in "O=0.5,B-PER=2". A label may hold "=" but no comma.

    Raises:
        InputError: an entry that is not label=weight, a label twice, or a weight below 0 or not finite.
    """
    weights: dict[str, float] = {}
    for entry in [] if text in (NONE, BALANCED) else text.split(","):
        label, equals, number = (part.strip() for part in entry.rpartition("="))
        if not equals or not label:
            raise InputError(_not_an_entry(text, entry.strip()))
        if label in weights:
            raise InputError(f"`class_weight` {shorten(text)}: '{label}' has two weights; keep one of them")
        weights[label] = _weight(number, label)
    return weights


def _weight(text: str, label: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < LARGEST:
        raise InputError(f"`class_weight`: '{shorten(text)}' is no weight of '{label}'. Give a number, at least 0")
    return weight


def _not_an_entry(text: str, entry: str) -> str:
    near = difflib.get_close_matches(text.lower(), (NONE, BALANCED), n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]}?" if near else ""
    return (
        f"`class_weight` {shorten(text)}: '{shorten(entry)}' is not label=weight.{hint}\n"
        f"Give {NONE}, {BALANCED}, or a list such as O=0.5,B-PER=2"
    )


def class_weights(text: str, labels: Sequence[str], train: Features) -> np.ndarray | None:
    """The weight of each label, float32 [L]; None if all weigh the same.

    `balanced` is scikit-learn's formula: N / (L * count of the label) over the N scored labels of `train`, of which L
    are different. Labels that never occur there are not among the L, and weigh 0: nothing asks for their weight.

    Args:
        text: `class_weight`; labels that a list does not name weigh 1.
        labels: of the task. train: rows that are trained on.

    Raises:
        InputError: as `parse_class_weight`; a list that names an unknown label, or leaves nothing to train on; or rows
            may have several labels.
    """
    named = parse_class_weight(text)
    if text == NONE:
        return None
    if train.labels.ndim > 1:
        raise InputError(
            f"`class_weight` {shorten(text)} weighs labels of which a row has one; rows of this task may have several. "
            "Leave it away."
        )
    counts = np.bincount(train.labels[train.labels >= 0], minlength=len(labels))[: len(labels)]
    if text == BALANCED:
        return _balanced(counts)
    if unknown := [label for label in named if label not in labels]:
        raise InputError(_unknown_label(unknown[0], labels))
    weights = np.array([named.get(label, 1.0) for label in labels], np.float32)
    if not (weights * counts).any():
        raise InputError(
            f"`class_weight` {shorten(text)}: every label of train.tsv weighs 0, which leaves nothing to train on.\n"
            "Give at least one label that occurs there a weight above 0."
        )
    return weights


def _balanced(counts: np.ndarray) -> np.ndarray:
    """float32 [L] from int [L]."""
    occurs = counts > 0
    return np.where(occurs, counts.sum() / np.maximum(occurs.sum() * counts, 1), 0.0).astype(np.float32)


def _unknown_label(label: str, labels: Sequence[str]) -> str:
    near = difflib.get_close_matches(label, labels, n=1, cutoff=0.0)
    return (
        f"`class_weight`: the label '{shorten(label)}' is not among the task's. Did you mean '{near[0]}'?\n"
        f"  labels: {shorten(', '.join(labels))}"
    )
