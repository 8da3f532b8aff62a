"""Sequences of a corpus as padded rectangles: start token, slice, end token."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xtremedistil.data.features import slice_index
from xtremedistil.data.padding import WIDTH_STEP
from xtremedistil.pretraining.corpus.sequences import CorpusSequences
from xtremedistil.pretraining.corpus.token_store import TokenStore
from xtremedistil.storage.files import release_pages


@dataclass(frozen=True)
class CorpusReader:
    """Reads sequences out of a store. N sequences, V tokens of the store's vocabulary.

    Every sequence begins with the start token and ends with exactly one end token: a slice that ends where its line
    does has that token already. So there are at most `len(start_ids) + room + len(end_ids)` positions.

    Fields:
        sequences: slices of the store.
        start_ids, end_ids: around each sequence, at most one of either. pad_id: padding.
        token_map: int32 [V], the id in the batches of each token of the store; None: the same. The special tokens above
            have the ids of the batches.
    """

    store: TokenStore
    sequences: CorpusSequences
    start_ids: tuple[int, ...]
    end_ids: tuple[int, ...]
    pad_id: int
    token_map: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def lengths(self) -> np.ndarray:
        """Positions of each sequence, or one more where the slice has its end token: int64 [N]."""
        return self.sequences.lengths.astype(np.int64) + len(self.start_ids) + len(self.end_ids)

    @cached_property
    def longest(self) -> int:
        """Positions of the longest sequence."""
        return int(self.lengths.max())

    def read(self, numbers: np.ndarray, *, full: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The sequences of these numbers, padded to the longest of them.

        Args:
            full: let widths be multiples of 8, and never more than the longest sequence of all needs.

        Returns:
            input_ids: int32 [B, S]. attention_mask: bool [B, S], False for padding.
        """
        tokens, lengths = self._slices(numbers)
        begin = len(self.start_ids)
        ends_open = ~self._closed(tokens, lengths)
        stops = begin + lengths
        sizes = stops + ends_open * len(self.end_ids)
        width = self._width(int(sizes.max())) if full else int(sizes.max())
        column = np.arange(width)
        ids = np.full((len(numbers), width), self.pad_id, np.int32)
        ids[:, :begin] = self.start_ids
        ids[(column >= begin) & (column < stops[:, None])] = tokens
        if self.end_ids:
            ids[np.flatnonzero(ends_open), stops[ends_open]] = self.end_ids
        return ids, column < sizes[:, None]

    def _slices(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of some sequences, one after the other, and how many each has."""
        lengths = self.sequences.lengths[numbers].astype(np.int64)
        tokens = np.asarray(self.store.tokens)[slice_index(self.sequences.starts[numbers], lengths)]
        release_pages(self.store.tokens)
        return (tokens if self.token_map is None else self.token_map[tokens]), lengths

    def _closed(self, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Which sequences have their end token."""
        return tokens[np.cumsum(lengths) - 1] == (self.end_ids[-1] if self.end_ids else -1)

    def _width(self, longest: int) -> int:
        return min(-(-longest // WIDTH_STEP) * WIDTH_STEP, self.longest)
