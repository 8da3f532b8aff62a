"""Runs a model of any runtime over encoded rows, in batches of similar length."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from xtremedistil.data.features import Features
from xtremedistil.data.padding import Arrays, full_length_order, length_order, longest, pad_rows

# Takes named int32 [B, S] inputs, returns named float32 outputs.
PredictFunction = Callable[[Arrays], Arrays]


def predict_batches(
    predict: PredictFunction,
    features: Features,
    *,
    batch_size: int,
    pad_id: int,
    fill: bool = False,
    skip: int = 0,
) -> Iterator[tuple[np.ndarray, Arrays]]:
    """Yields row numbers and named outputs of batches by length: [B, S, ...], as wide as the longest row, or [B, ...].

    Args:
        fill: take more rows than `batch_size` if they are short, so that batches have similar numbers of tokens.
        skip: number of batches to skip.
    """
    order = (full_length_order if fill else length_order)(features.lengths, batch_size)
    for rows in itertools.islice(order, skip, None):
        yield rows, predict(pad_rows(features, rows, longest(features, rows), pad_id))


def predict_logits(
    predict: PredictFunction, features: Features, *, batch_size: int, pad_id: int, fill: bool = False
) -> list[np.ndarray]:
    """Returns logits of each row without padding, in row order: float32 [S, L] for tagging, [L] for classification."""
    logits: list[np.ndarray] = [np.empty(0)] * len(features)
    for rows, outputs in predict_batches(predict, features, batch_size=batch_size, pad_id=pad_id, fill=fill):
        for row, values in zip(rows, outputs["logits"], strict=True):
            logits[row] = values[: features.lengths[row]] if values.ndim == 2 else values
    return logits
