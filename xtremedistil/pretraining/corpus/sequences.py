"""Which tokens of a corpus make a sequence: those of a line, or the stream of all lines cut into full sequences.

A sequence is a slice of the stream without the special tokens around it; `CorpusReader` puts these there.
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
TOKENS_AT_A_TIME = 4_000_000


@dataclass(frozen=True)
class CorpusSequences:
    """Slices of a store's tokens. N sequences.

    Fields:
        starts: int64 [N]. lengths: int32 [N]; sequence n is `tokens[starts[n]:starts[n] + lengths[n]]`.
    """

    starts: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, numbers: np.ndarray) -> "CorpusSequences":
        return CorpusSequences(self.starts[numbers], self.lengths[numbers])

    def split(self, seed: int) -> tuple["CorpusSequences", "CorpusSequences"]:
        """Sequences to train on, and held-out ones: a hundredth, at least one and at most 1,000; in the corpus's order.

        A single sequence has to serve as both.
        """
        order = np.random.default_rng([seed, 0, 3]).permutation(len(self))
        held_out = min(MOST_HELD_OUT, max(1, int(HELD_OUT_SHARE * len(self))))
        apart, rest = np.sort(order[:held_out]), np.sort(order[held_out:])
        return self.take(rest if len(rest) else apart), self.take(apart)


def line_sequences(
    store: TokenStore, room: int, shortest: int = SHORTEST, unk_id: int | None = None
) -> CorpusSequences:
    """One sequence a line, without the tokens that close it; longer lines are cut into several.

    Args:
        room: tokens that a sequence may have beside its special tokens (`Tokenizer.room`).
        shortest: sequences with fewer tokens are left out. DistilBERT's (Sanh et al., 2019) have 10 or more.
        unk_id: sequences of which half or more is this token are left out; None: none are.

    Raises:
        InputError: no sequence is left.
    """
    blocks = [
        _sequences_of_lines(store, first, last, room, shortest, unk_id) for first, last in _line_blocks(store.lines)
    ]
    sequences = CorpusSequences(*(np.concatenate(arrays) for arrays in zip(*blocks, strict=True)))
    if not len(sequences):
        raise InputError(
            f"No line of the corpus makes a sequence: all have fewer than {shortest} tokens, or half of them are "
            "unknown.\n"
            "Take whole sentences or paragraphs as lines, in a language that the tokenizer knows."
        )
    return sequences


def packed_sequences(store: TokenStore, room: int) -> CorpusSequences:
    """The stream of all lines, closing tokens too, cut into sequences of `room` tokens; the last may be shorter."""
    starts = np.arange(0, len(store.tokens), room, dtype=np.int64)
    return CorpusSequences(starts, np.minimum(room, len(store.tokens) - starts).astype(np.int32))


def require_sequences(sequences: CorpusSequences, of_a_step: int) -> None:
    """Raises InputError where there are fewer than a step takes, all its batches and devices together."""
    if len(sequences) < of_a_step:
        raise InputError(
            f"The corpus makes {len(sequences):,} sequences to train on, fewer than the {of_a_step:,} of one step.\n"
            "Give more text with `corpus`, or a lower `batch_size` or `gradient_accumulation_steps`."
        )


def _line_blocks(lines: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of lines that have so many tokens together, or one line that has more."""
    first, count = 0, len(lines) - 1
    while first < count:
        last = int(np.searchsorted(lines, lines[first] + TOKENS_AT_A_TIME, side="right")) - 1
        yield first, max(last, first + 1)
        first = max(last, first + 1)


def _sequences_of_lines(store: TokenStore, first: int, last: int, room: int, shortest: int, unk_id: int | None):
    """Starts and lengths of the sequences of some lines."""
    bounds = np.array(store.lines[first : last + 1])
    starts, lengths = _cut(bounds[:-1], np.diff(bounds) - len(store.end_ids), room)
    kept = lengths >= shortest
    if unk_id is not None:
        unknown = offsets_of(store.tokens[bounds[0] : bounds[-1]] == unk_id)
        release_pages(store.tokens)
        kept &= 2 * (unknown[starts + lengths - bounds[0]] - unknown[starts - bounds[0]]) < lengths
    return starts[kept], lengths[kept].astype(np.int32)


def _cut(starts: np.ndarray, lengths: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Slices cut into slices of at most `room`."""
    parts = -(-lengths // room)
    number = np.arange(parts.sum()) - np.repeat(offsets_of(parts)[:-1], parts)  # of each part in its slice
    return np.repeat(starts, parts) + number * room, np.minimum(room, np.repeat(lengths, parts) - number * room)
