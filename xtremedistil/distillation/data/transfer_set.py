"""Encodes the transfer set once and keeps it on disk, shuffled by a seed and cut into chunks.

Lines are first encoded block by block, in their own order; then their rows are distributed to the chunks, again block
by block. In memory at a time: a block of lines, the order (8 bytes per row), and later one chunk.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from xtremedistil.data.features import Features, offsets_of
from xtremedistil.errors import InputError
from xtremedistil.storage.declared import MapOf, Object, Whole
from xtremedistil.storage.files import write_json
from xtremedistil.storage.json_files import read_json
from xtremedistil.tasks import Task
from xtremedistil.tokenization.tokenizer import Tokenizer

HELD_OUT_SHARE, MOST_HELD_OUT = 0.1, 1000
LINES_AT_A_TIME = 10_000
ROWS_AT_A_TIME = 10_000
HELD_OUT = "held-out"
SUMMARY = "rows.json"

# Fields with a value per token, and with a value per row.
POSITIONAL = {"input_ids": np.int32, "token_type_ids": np.uint8, "attention_mask": np.uint8, "word_ids": np.int32}
BY_ROW = {"lengths": np.int32, "example_ids": np.int32, "rank": np.int64}
COUNT = Whole(most=10**18)
SAVED = {"rows": COUNT, "held_out_rows": COUNT, "chunk_size": Whole(1, most=10**18)}
SAVED |= {"positions": MapOf(COUNT), "pairs": MapOf(COUNT)}


@dataclass(frozen=True)
class TransferRows:
    """An encoded transfer set in a folder.

    Fields:
        rows, held_out_rows: numbers of rows to train on, and of rows whose loss ends the representation stage.
        chunk_size: rows per chunk; the last may have fewer.
        cut: number of texts that did not fit into a row.
        positions, pairs: sums of the rows' lengths and of their squares, for each chunk and for "held-out".
    """

    folder: str
    rows: int
    held_out_rows: int
    chunk_size: int
    positions: dict[str, int]
    pairs: dict[str, int]
    cut: int = 0

    @property
    def starts(self) -> range:
        """First row of each chunk."""
        return range(0, self.rows, self.chunk_size)

    def chunk(self, start: int) -> Features:
        return _load(self.folder, chunk_name(start))

    @property
    def held_out(self) -> Features:
        return _load(self.folder, HELD_OUT)


def chunk_name(start: int) -> str:
    return f"chunk-{start}"


def open_transfer_rows(folder: str) -> TransferRows:
    """Opens what `write_transfer_rows` wrote. Raises InputError if it is damaged."""
    saved = read_json(os.path.join(folder, SUMMARY), Object(SAVED, required=SAVED), _written_anew(folder))
    return TransferRows(folder, **{name: saved[name] for name in SAVED})


def _written_anew(folder: str) -> str:
    return f"Remove the folder {folder} and give the same command again: it is written anew."


def write_transfer_rows(
    folder: str,
    task: Task,
    examples: Iterable,
    tokenizer: Tokenizer,
    seq_len: int,
    *,
    chunk_size: int,
    seed: int,
    original_rows: bool = False,
) -> TransferRows:
    """Encodes `examples` and distributes them to chunks; a tenth, at most 1,000, is held out.

    Args:
        folder: an empty folder.
        original_rows: encode as the original release; it pads texts to the longest of all, so all are encoded at once.

    Raises:
        InputError: an example cannot be read, or `seq_len` leaves no room for text.
    """
    unordered = os.path.join(folder, "unordered")
    os.makedirs(unordered)
    count = cut = 0
    for block in _blocks(examples, None if original_rows else LINES_AT_A_TIME):
        features = task.encode(block, tokenizer, seq_len, original_rows=original_rows)
        _append(unordered, features, count + features.example_ids, np.zeros(len(features), np.int64))
        count += len(block)
        cut += task.cut_rows(block, features, tokenizer, seq_len)
    summary = _deal(unordered, folder, chunk_size, seed) | {"cut": cut}
    shutil.rmtree(unordered)
    write_json(os.path.join(folder, SUMMARY), summary)
    return TransferRows(folder, **summary)


def _blocks(examples: Iterable, size: int | None) -> Iterator[list]:
    iterator = iter(examples)
    while block := list(islice(iterator, size)):
        yield block


def _deal(unordered: str, folder: str, chunk_size: int, seed: int) -> dict:
    lengths = _field(unordered, "lengths")
    order = np.random.default_rng([seed, 0]).permutation(len(lengths))
    held_out = min(MOST_HELD_OUT, max(1, int(HELD_OUT_SHARE * len(order))))
    alone = len(order) <= held_out  # a single row has to serve as both
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - (0 if alone else held_out)
    positions: dict[str, int] = {}
    pairs: dict[str, int] = {}
    for rows, features in _row_blocks(unordered, lengths):
        names = _place(rank[rows], chunk_size, alone)
        for name in dict.fromkeys(names.tolist()):
            chosen = np.flatnonzero(names == name)
            part = features.take(chosen)
            _append(os.path.join(folder, name), part, part.example_ids, rank[rows][chosen])
            positions[name] = positions.get(name, 0) + int(part.lengths.sum())
            pairs[name] = pairs.get(name, 0) + int((part.lengths**2).sum())
    if alone:
        shutil.copytree(os.path.join(folder, chunk_name(0)), os.path.join(folder, HELD_OUT))
        positions[HELD_OUT], pairs[HELD_OUT] = positions[chunk_name(0)], pairs[chunk_name(0)]
    rows = len(order) - (0 if alone else held_out)
    return {
        "rows": rows,
        "held_out_rows": held_out,
        "chunk_size": chunk_size,
        "positions": positions,
        "pairs": pairs,
    }


def _place(rank: np.ndarray, chunk_size: int, alone: bool) -> np.ndarray:
    """Returns the name of each row's chunk; rows of rank below 0 are held out."""
    starts = (rank // chunk_size) * chunk_size
    return np.array([HELD_OUT if start < 0 and not alone else chunk_name(start) for start in starts.tolist()])


def _append(folder: str, features: Features, example_ids: np.ndarray, rank: np.ndarray) -> None:
    os.makedirs(folder, exist_ok=True)
    arrays = {name: getattr(features, name) for name in POSITIONAL}
    arrays |= {"lengths": features.lengths, "example_ids": example_ids, "rank": rank}
    for name, kind in (POSITIONAL | BY_ROW).items():
        if arrays[name] is not None:
            with open(os.path.join(folder, name), "ab") as file:
                file.write(np.asarray(arrays[name]).astype(kind).tobytes())  # tofile may not notice that a disk is full


def _field(folder: str, name: str) -> np.ndarray | None:
    path = os.path.join(folder, name)
    return np.fromfile(path, (POSITIONAL | BY_ROW)[name]) if os.path.isfile(path) else None


def _row_blocks(folder: str, lengths: np.ndarray) -> Iterator[tuple[np.ndarray, Features]]:
    """Yields row numbers and rows of the unordered set, block by block."""
    offsets = offsets_of(lengths)
    for start in range(0, len(lengths), ROWS_AT_A_TIME):
        stop = min(start + ROWS_AT_A_TIME, len(lengths))
        fields = {name: _slice(folder, name, offsets[start], offsets[stop]) for name in POSITIONAL}
        example_ids = _slice(folder, "example_ids", start, stop)
        yield np.arange(start, stop), _features(fields, offsets[start : stop + 1] - offsets[start], example_ids)


def _slice(folder: str, name: str, start: int, stop: int) -> np.ndarray | None:
    path, kind = os.path.join(folder, name), np.dtype((POSITIONAL | BY_ROW)[name])
    if not os.path.isfile(path):
        return None
    return np.fromfile(path, kind, count=int(stop - start), offset=int(start) * kind.itemsize)


def _features(fields: dict, offsets: np.ndarray, example_ids: np.ndarray) -> Features:
    arrays = {name: None if array is None else array.astype(np.int32) for name, array in fields.items()}
    return Features(offsets=offsets, example_ids=example_ids.astype(np.int32), **arrays)


def _load(folder: str, name: str) -> Features:
    """Loads a chunk in the shuffled order."""
    prefix = os.path.join(folder, name)
    fields = {field: _field(prefix, field) for field in POSITIONAL}
    lengths, example_ids, rank = (_field(prefix, field) for field in BY_ROW)
    if _is_torn(fields, lengths, example_ids, rank):
        raise InputError(f"{prefix}: the encoded rows there are damaged. {_written_anew(folder)}")
    features = _features(fields, offsets_of(lengths), example_ids)
    return features.take(np.argsort(rank))


def _is_torn(fields: dict[str, np.ndarray | None], *by_row: np.ndarray | None) -> bool:
    """Whether arrays of a chunk are missing, or have not as many entries as there are rows or tokens."""
    if any(array is None for array in by_row) or fields["input_ids"] is None or (by_row[0] < 0).any():
        return True
    if len({len(array) for array in by_row}) != 1:
        return True
    tokens = int(by_row[0].sum(dtype=np.int64))
    return any(array is not None and len(array) != tokens for array in fields.values())
