"""Joins the transfer set and the labelled set, for stages that learn from the teacher and from labels together."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil.data.features import NOT_SCORED, Features, offsets_of
from xtremedistil.data.padding import Arrays
from xtremedistil.training.batching import BatchReader

FIELDS = ("input_ids", "token_type_ids", "attention_mask", "example_ids", "labels", "word_ids")


@dataclass(frozen=True)
class JoinedOutputs:
    """Teacher outputs of several parts of a set; called as `CachedOutputs` are.

    Fields:
        features: rows of all parts, one part after the other; rows without labels are not scored.
        parts: teacher outputs of each part, with their `features`.
    """

    features: Features
    parts: Sequence

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        ends = np.cumsum([len(part.features) for part in self.parts])
        owners = np.searchsorted(ends, rows, side="right")
        batch: Arrays = {}
        for number, part in enumerate(self.parts):
            places = np.flatnonzero(owners == number)
            if len(places):
                _put(batch, part, rows[places] - (ends[number] - len(part.features)), width, places, len(rows))
        return batch


def _put(batch: Arrays, read: BatchReader, rows: np.ndarray, width: int, places: np.ndarray, size: int) -> None:
    for name, array in read(rows, width).items():
        if name not in batch:
            batch[name] = np.zeros((size, *array.shape[1:]), array.dtype)
        batch[name][places] = array


def joined_outputs(*parts) -> JoinedOutputs:
    """Joins the rows of all parts, one part after the other."""
    known = next(part.features.labels for part in parts if part.features.labels is not None)
    each = [_labelled(part.features, known) for part in parts]
    arrays = {}
    for name in FIELDS:
        values = [getattr(features, name) for features in each]
        arrays[name] = None if values[0] is None else np.concatenate(values)
    lengths = np.concatenate([features.lengths for features in each])
    return JoinedOutputs(Features(offsets=offsets_of(lengths), **arrays), parts)


def _labelled(features: Features, known: np.ndarray) -> Features:
    """Adds labels that are not scored to features without labels; they take shape and type of `known`."""
    if features.labels is not None:
        return features
    count = len(features) if features.word_ids is None else len(features.input_ids)
    return dataclasses.replace(features, labels=np.full((count, *known.shape[1:]), NOT_SCORED, known.dtype))
