"""Rows of a corpus as padded rectangles: start token, slice, end token."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xtremedistil.data.features import slice_index
from xtremedistil.data.padding import WIDTH_STEP
from xtremedistil.pretraining.corpus.rows import CorpusRows
from xtremedistil.pretraining.corpus.token_store import TokenStore
from xtremedistil.storage.files import release_pages


@dataclass(frozen=True)
class CorpusReader:
    """Reads rows out of a store. N rows, V tokens of the store's vocabulary.

    Every row begins with the start token and ends with exactly one end token: a slice that ends where its line does has
    that token already. So rows have at most `len(start_ids) + room + len(end_ids)` positions.

    Fields:
        rows: slices of the store.
        start_ids, end_ids: around each row, at most one of either. pad_id: fills rows.
        piece_map: int32 [V], what each token of the store is called in the batches; None: the same. The special tokens
            above are already called so.
    """

    store: TokenStore
    rows: CorpusRows
    start_ids: tuple[int, ...]
    end_ids: tuple[int, ...]
    pad_id: int
    piece_map: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> np.ndarray:
        """Positions of each row, or one more where the slice has its end token: int64 [N]."""
        return self.rows.lengths.astype(np.int64) + len(self.start_ids) + len(self.end_ids)

    @cached_property
    def longest(self) -> int:
        """Positions of the longest row."""
        return int(self.lengths.max())

    def read(self, rows: np.ndarray, *, full: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Some rows, as wide as the longest of them.

        Args:
            full: let widths be multiples of 8, and never more than the longest row of all needs.

        Returns:
            input_ids: int32 [B, S]. inside: bool [B, S], False for padding.
        """
        pieces, lengths = self._slices(rows)
        begin = len(self.start_ids)
        ends_open = ~self._closed(pieces, lengths)
        stops = begin + lengths
        sizes = stops + ends_open * len(self.end_ids)
        width = self._width(int(sizes.max())) if full else int(sizes.max())
        column = np.arange(width)
        ids = np.full((len(rows), width), self.pad_id, np.int32)
        ids[:, :begin] = self.start_ids
        ids[(column >= begin) & (column < stops[:, None])] = pieces
        if self.end_ids:
            ids[np.flatnonzero(ends_open), stops[ends_open]] = self.end_ids
        return ids, column < sizes[:, None]

    def _slices(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pieces of some rows, one row after the other, and how many each has."""
        lengths = self.rows.lengths[rows].astype(np.int64)
        pieces = np.asarray(self.store.pieces)[slice_index(self.rows.starts[rows], lengths)]
        release_pages(self.store.pieces)
        return (pieces if self.piece_map is None else self.piece_map[pieces]), lengths

    def _closed(self, pieces: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Which rows have their end token."""
        return pieces[np.cumsum(lengths) - 1] == (self.end_ids[-1] if self.end_ids else -1)

    def _width(self, longest: int) -> int:
        return min(-(-longest // WIDTH_STEP) * WIDTH_STEP, self.longest)
