"""Cuts the tokens of sentences into rows: whole sentences, or overlapping windows of long ones."""

from collections.abc import Iterator

import numpy as np

from xtremedistil.data.features import NO_WORD, NOT_SCORED, Features, offsets_of, slice_index
from xtremedistil.tokenization.tokenizer import Tokenizer


class TokenStream:
    """The tokens of all sentences one after the other, and how rows are cut from them.

    Cuts are int64 [N, 5], one line per row: the example, the slice of tokens, and the slice in which words are owned.
    """

    def __init__(self, tokenizer: Tokenizer, sentences: list[list[str]]):
        self._start, self._end, self._pad_id = tokenizer.start_ids, tokenizer.end_ids, tokenizer.pad_id
        self._ids, counts = tokenizer.encode_flat(sentences)
        self._first_words = offsets_of([len(words) for words in sentences])
        word_starts = offsets_of(counts)
        self._offsets = word_starts[self._first_words]
        self._owners = np.full(len(self._ids), NO_WORD)  # words are numbered through all sentences
        seen = np.flatnonzero(counts)
        self._owners[word_starts[seen]] = seen

    def cut(self, room: int) -> np.ndarray:
        """One row per sentence, without what does not fit."""
        starts = self._offsets[:-1]
        stops = np.minimum(self._offsets[1:], starts + room)
        return np.stack([np.arange(len(starts)), starts, stops, starts, stops], axis=1)

    def in_windows(self, room: int) -> np.ndarray:
        """One row per sentence, or windows where it does not fit."""
        long = np.diff(self._offsets) > room
        cuts = [window for example in np.flatnonzero(long).tolist() for window in self._windows(example, room)]
        cuts = np.concatenate([self.cut(room)[~long], np.array(cuts, np.int64).reshape(-1, 5)])
        return cuts[np.argsort(cuts[:, 0], kind="stable")]

    def _windows(self, example: int, room: int) -> Iterator[tuple[int, ...]]:
        start, stop = self._offsets[example : example + 2].tolist()
        firsts = np.flatnonzero(self._owners[start:stop] != NO_WORD)
        for shown, owned in windows(firsts, stop - start, room):
            yield example, start + shown, start + shown + room, start + owned[0], start + owned[-1] + 1

    def features(self, cuts: np.ndarray, label_ids: np.ndarray | None) -> Features:
        """The rows with their special tokens; `label_ids` are those of all words."""
        examples, starts, stops, owned_from, owned_to = cuts.T
        texts, before, after = stops - starts, len(self._start), len(self._end)
        # A row without any position cannot be computed: without text and special tokens it has one pad.
        offsets = offsets_of(np.maximum(before + texts + after, 1))
        source, target = slice_index(starts, texts), slice_index(offsets[:-1] + before, texts)
        ids = np.full(offsets[-1], self._pad_id, np.int32)
        ids[target] = self._ids[source]
        ids[slice_index(offsets[:-1], np.full(len(cuts), before))] = self._start * len(cuts)
        ids[slice_index(offsets[1:] - after, np.full(len(cuts), after))] = self._end * len(cuts)
        row = np.repeat(np.arange(len(cuts)), texts)
        owner = self._owners[source]
        shown = np.flatnonzero((owner != NO_WORD) & (source >= owned_from[row]) & (source < owned_to[row]))
        owner, answering = owner[shown], target[shown]
        words = _sparse(answering, owner - self._first_words[examples[row[shown]]], len(ids), NO_WORD)
        labels = None if label_ids is None else _sparse(answering, label_ids[owner], len(ids), NOT_SCORED)
        return Features(ids, np.zeros_like(ids), np.ones_like(ids), offsets, examples.astype(np.int32), labels, words)


def _sparse(positions: np.ndarray, values: np.ndarray, size: int, filler: int) -> np.ndarray:
    array = np.full(size, filler, np.int32)
    array[positions] = values
    return array


def windows(firsts: np.ndarray, total: int, room: int) -> Iterator[tuple[int, np.ndarray]]:
    """Windows of `room` tokens over a stream of `total`, half a window apart; the last ends with the stream.

    Args:
        firsts: positions of the words' first tokens, ascending.

    Yields:
        (where the window starts, the `firsts` that it owns). A first token is owned by the window that shows the most
        context on its poorer side; of two alike, by the earlier one. Windows that own nothing are left out.
    """
    stride = max(1, room // 2)
    starts = np.minimum(np.arange(0, total - room + stride, stride), total - room)
    # All windows are equally wide, so the border between two is half-way between their middles.
    borders = (starts[:-1] + starts[1:] + room - 1) // 2
    owner = np.searchsorted(borders, firsts, side="left")
    cuts = np.searchsorted(owner, np.arange(len(starts) + 1))
    for number, start in enumerate(starts.tolist()):
        if cuts[number] < cuts[number + 1]:
            yield start, firsts[cuts[number] : cuts[number + 1]]
