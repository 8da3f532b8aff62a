"""Checks columns of encoded rows, which come from outside, row by row; messages name the row and what it holds."""

from collections.abc import Iterable, Sequence

import numpy as np

from xtremedistil.arguments import shown

LARGEST = 2**31 - 1  # of int32


def whole_rows(name: str, values, like: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
    """Returns one array of whole numbers per row.

    Args:
        like: rows of the same lengths.

    Raises:
        ValueError: `values` are no rows of whole numbers, or of other lengths.
    """
    rows = [_whole(name, number, row) for number, row in enumerate(listed_rows(name, values))]
    if like is not None:
        require_fit(name, rows, like, by_row=False)
    return rows


def listed_rows(name: str, values) -> Iterable:
    """Returns a column, one entry per row; raises ValueError for anything else."""
    if isinstance(values, (str, bytes, dict, set)) or not _has_length(values):
        raise ValueError(f"{name} are {shown(values)}; one sequence per row is expected.")
    return values


def _has_length(values) -> bool:
    try:
        return len(values) >= 0
    except TypeError:  # arrays without axes have a length that raises
        return False


def masks_of(values, ids: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns the attention masks of rows, by default 1; raises ValueError for other values than 0 and 1, and for rows
    of which no token is left."""
    if values is None:
        return [np.ones(len(row), np.int32) for row in ids]
    given = listed_rows("attention_mask", values)
    masks = [array_of("attention_mask", number, row) for number, row in enumerate(given)]
    require_fit("attention_mask", masks, ids, by_row=False)
    for number, mask in enumerate(masks):
        if mask.size and not np.isin(mask, (0, 1)).all():
            wrong = mask[~np.isin(mask, (0, 1))][0]
            raise ValueError(f"Row {number} has {wrong} in its attention_mask; 1 marks a token and 0 padding.")
        if mask.size and not mask.any():
            raise ValueError(f"Row {number} has an attention_mask of zeros: it has no token. Leave the row out.")
    return [mask.astype(np.int32) for mask in masks]


def array_of(name: str, number: int, row) -> np.ndarray:
    """Returns a row as an array of numbers [S]; raises ValueError if it is something else."""
    array = _array(row)
    if array is None or array.ndim != 1 or (array.size and array.dtype.kind not in "biuf"):
        what = shown(row) if array is None or array.ndim == 0 else f"{array.dtype} {list(array.shape)}, {shown(row)}"
        raise ValueError(f"Row {number} of {name} is {what}; a sequence of numbers is expected.")
    return array


def _whole(name: str, number: int, row) -> np.ndarray:
    array = array_of(name, number, row)
    if not array.size:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise ValueError(f"Row {number} of {name} holds {array.dtype}, such as {array[0]}; whole numbers are expected.")
    if array.min() < -LARGEST or array.max() > LARGEST:
        raise ValueError(f"Row {number} of {name} holds {array[np.argmax(np.abs(array))]}, which is no int32.")
    return array


def are_whole(array: np.ndarray) -> bool:
    """Whether all values are whole numbers that int32 holds."""
    if array.dtype.kind not in "biuf":
        return array.size == 0
    return bool(np.isfinite(array).all() and (np.abs(array) <= LARGEST).all() and (array == np.trunc(array)).all())


def number_rows(values, each: str) -> np.ndarray:
    """Returns one number, or one sequence of numbers, per row as an array [N] or [N, L].

    Args:
        each: what is expected of each row.

    Raises:
        ValueError: entries are no numbers, or of different lengths.
    """
    rows = [_array(row) for row in listed_rows("labels", values)]
    first = next((row.shape for row in rows if row is not None), ())
    for number, row in enumerate(rows):
        if row is None or row.shape != first or row.dtype.kind not in "biuf":
            raise ValueError(f"{each}; row {number} has {shown(values[number])}.")
    return np.stack(rows) if rows else np.zeros(0)


def require_fit(name: str, values: Sequence, ids: Sequence, *, by_row: bool) -> None:
    """Raises ValueError if a column has another number of rows than `ids`, or a row another length."""
    if len(values) != len(ids):
        raise ValueError(f"There are {len(values)} {name} for {len(ids)} rows.")
    for number, (value, row) in enumerate(zip(values, ids, strict=True)):
        if not by_row and np.size(value) != len(row):
            raise ValueError(
                f"Row {number} has {len(row)} input_ids and {np.size(value)} {name}; one each is expected."
            )


def _array(row) -> np.ndarray | None:
    """Returns an array; None for a ragged list."""
    try:
        return np.asarray(row)
    except (ValueError, TypeError, OverflowError):
        return None
