"""Pads rows of `Features` to rectangular arrays, and orders them for inference."""

from collections.abc import Iterator

import numpy as np

from xtremedistil.data.features import NOT_SCORED, Features

INPUT_NAMES = ("input_ids", "attention_mask", "token_type_ids")
WIDTH_STEP = 8  # widths are rounded up to multiples of this where few shapes should occur
Arrays = dict[str, np.ndarray]


def padded_width(features: Features, rows: np.ndarray, step: int = WIDTH_STEP) -> int:
    """Returns the width that `rows` are padded to: a multiple of `step`, but at most the longest of all rows."""
    return min(-(-longest(features, rows) // step) * step, int(features.lengths.max()))


def longest(features: Features, rows: np.ndarray) -> int:
    """Returns the number of tokens of the longest of `rows`."""
    return int(features.lengths[rows].max())


def positions(features: Features, rows: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns where the tokens of `rows` are in the flat arrays.

    Returns:
        index: int64 [B, width], clipped for padding; inside: bool [B, width], False for padding.
    """
    lengths = features.offsets[rows + 1] - features.offsets[rows]
    column = np.arange(width)
    inside = column < lengths[:, None]
    index = features.offsets[rows][:, None] + np.where(inside, column, 0)
    return np.minimum(index, len(features.input_ids) - 1), inside


def pad_rows(features: Features, rows: np.ndarray, width: int, pad_id: int) -> Arrays:
    """Returns the three named inputs of `rows`, int32 [B, width], and their labels if there are any: int32, or float32
    for scores."""
    index, inside = positions(features, rows, width)
    arrays = {
        "input_ids": np.where(inside, features.input_ids[index], pad_id).astype(np.int32),
        "attention_mask": np.where(inside, features.attention_mask[index], 0).astype(np.int32),
        "token_type_ids": np.where(inside, features.token_type_ids[index], 0).astype(np.int32),
    }
    if features.labels is not None:
        tagged = features.word_ids is not None
        labels = np.where(inside, features.labels[index], NOT_SCORED) if tagged else features.labels[rows]
        arrays["labels"] = labels if labels.dtype == np.float32 else labels.astype(np.int32)
    return arrays


def length_order(lengths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Yields batches of rows by length, for inference; the longest first, so that a lack of memory shows at once."""
    rows = np.argsort(-lengths, kind="stable")
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]


def full_length_order(lengths: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Like `length_order`, but batches of short rows have more rows, up to as many tokens as the first batch.

    Matrix products with few rows leave much of a processor idle.
    """
    rows, start = np.argsort(-lengths, kind="stable"), 0
    while start < len(rows):
        longest_here = max(int(lengths[rows[start]]), 1)
        stop = start + max(batch_size, batch_size * int(lengths[rows[0]]) // longest_here)
        yield rows[start:stop]
        start = stop
