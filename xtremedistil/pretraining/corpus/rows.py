"""Which tokens of a corpus make a row: those of a line, or the stream of all lines cut into full rows.

A row is a slice of the stream without the special tokens around it; `CorpusReader` puts these there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xtremedistil.data.features import offsets_of
from xtremedistil.errors import InputError
from xtremedistil.pretraining.corpus.token_store import TokenStore
from xtremedistil.storage.files import release_pages

HELD_OUT_SHARE, MOST_HELD_OUT = 0.01, 1000
SHORTEST = 3
PIECES_AT_A_TIME = 4_000_000


@dataclass(frozen=True)
class CorpusRows:
    """Slices of a store's tokens. N rows.

    Fields:
        starts: int64 [N]. lengths: int32 [N]; row n is `tokens[starts[n]:starts[n] + lengths[n]]`.
    """

    starts: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: np.ndarray) -> "CorpusRows":
        return CorpusRows(self.starts[rows], self.lengths[rows])

    def split(self, seed: int) -> tuple["CorpusRows", "CorpusRows"]:
        """Rows to learn from, and rows apart: a hundredth, at least one and at most 1,000; both in the corpus's order.

        A single row has to serve as both.
        """
        order = np.random.default_rng([seed, 0, 3]).permutation(len(self))
        held_out = min(MOST_HELD_OUT, max(1, int(HELD_OUT_SHARE * len(self))))
        apart, rest = np.sort(order[:held_out]), np.sort(order[held_out:])
        return self.take(rest if len(rest) else apart), self.take(apart)


def line_rows(store: TokenStore, room: int, shortest: int = SHORTEST, unk_id: int | None = None) -> CorpusRows:
    """One row a line, without the tokens that close it; longer lines are cut into several.

    Args:
        room: tokens that a row may have beside its special tokens (`Tokenizer.room`).
        shortest: rows with fewer tokens are left out. DistilBERT's (Sanh et al., 2019) have 10 or more.
        unk_id: rows of which half or more is this token are left out; None: none are.

    Raises:
        InputError: no row is left.
    """
    blocks = [_rows_of_lines(store, first, last, room, shortest, unk_id) for first, last in _line_blocks(store.lines)]
    rows = CorpusRows(*(np.concatenate(arrays) for arrays in zip(*blocks, strict=True)))
    if not len(rows):
        raise InputError(
            f"No line of the corpus makes a row: all have fewer than {shortest} tokens, or half of these are unknown.\n"
            "Take whole sentences or paragraphs as lines, in a language that the tokenizer knows."
        )
    return rows


def packed_rows(store: TokenStore, room: int) -> CorpusRows:
    """The stream of all lines, closing tokens too, cut into rows of `room` tokens; the last may be shorter."""
    starts = np.arange(0, len(store.pieces), room, dtype=np.int64)
    return CorpusRows(starts, np.minimum(room, len(store.pieces) - starts).astype(np.int32))


def require_rows(rows: CorpusRows, of_a_step: int) -> None:
    """Raises InputError where there are fewer rows than a step takes, all its batches and devices together."""
    if len(rows) < of_a_step:
        raise InputError(
            f"The corpus makes {len(rows):,} rows to learn from, fewer than the {of_a_step:,} of one step.\n"
            "Give more text with `corpus`, or a lower `batch_size` or `gradient_accumulation_steps`."
        )


def _line_blocks(lines: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of lines that have so many tokens together, or one line that has more."""
    first, count = 0, len(lines) - 1
    while first < count:
        last = int(np.searchsorted(lines, lines[first] + PIECES_AT_A_TIME, side="right")) - 1
        yield first, max(last, first + 1)
        first = max(last, first + 1)


def _rows_of_lines(store: TokenStore, first: int, last: int, room: int, shortest: int, unk_id: int | None):
    """Starts and lengths of the rows of some lines."""
    bounds = np.array(store.lines[first : last + 1])
    starts, lengths = _cut(bounds[:-1], np.diff(bounds) - len(store.end_ids), room)
    kept = lengths >= shortest
    if unk_id is not None:
        unknown = offsets_of(store.pieces[bounds[0] : bounds[-1]] == unk_id)
        release_pages(store.pieces)
        kept &= 2 * (unknown[starts + lengths - bounds[0]] - unknown[starts - bounds[0]]) < lengths
    return starts[kept], lengths[kept].astype(np.int32)


def _cut(starts: np.ndarray, lengths: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Slices cut into slices of at most `room`."""
    parts = -(-lengths // room)
    number = np.arange(parts.sum()) - np.repeat(offsets_of(parts)[:-1], parts)  # of each part in its slice
    return np.repeat(starts, parts) + number * room, np.minimum(room, np.repeat(lengths, parts) - number * room)
