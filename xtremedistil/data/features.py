"""Encoded rows in flat arrays, one slice per row, without padding."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

NOT_SCORED = -100
NO_WORD = -1


@dataclass(frozen=True)
class Features:
    """Rows of a model's input, one after the other: N rows with P tokens in all.

    Fields:
        input_ids, token_type_ids, attention_mask: int32 [P].
        offsets: int64 [N + 1]; row n is `offsets[n]:offsets[n + 1]`.
        example_ids: int32 [N]; windows of one sentence share one.
        labels: int32 [P] for tagging, [N] for classification, None if unlabelled; -100 is not scored. Labels of rows
            may also be float32 [N, L], several labels at once or scores, or int32 [N, 2], start and end of a span.
        word_ids: int32 [P] for tagging: the word that this token is scored for, else -1; None for classification.
    """

    input_ids: np.ndarray
    token_type_ids: np.ndarray
    attention_mask: np.ndarray
    offsets: np.ndarray
    example_ids: np.ndarray
    labels: np.ndarray | None = None
    word_ids: np.ndarray | None = None

    def __post_init__(self):
        positions, rows = int(self.offsets[-1]), len(self)
        by_position = {"input_ids", "token_type_ids", "attention_mask", "word_ids"} | self._label_fields()
        for name in ("input_ids", "token_type_ids", "attention_mask", "word_ids", "example_ids", "labels"):
            array, expected = getattr(self, name), positions if name in by_position else rows
            if array is not None and len(array) != expected:
                raise ValueError(f"Features.{name} has {len(array)} entries, expected {expected}.")

    def _label_fields(self) -> set[str]:
        return set() if self.word_ids is None else {"labels"}

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Number of tokens of each row, int64 [N]."""
        return np.diff(self.offsets)

    def row(self, number: int) -> dict[str, np.ndarray]:
        """Returns the arrays of one row by name; those that are None are left out."""
        start, stop = self.offsets[number], self.offsets[number + 1]
        arrays = {name: getattr(self, name) for name in self._positional()}
        found = {name: array[start:stop] for name, array in arrays.items() if array is not None}
        if self.word_ids is None and self.labels is not None:
            found["labels"] = self.labels[number : number + 1]
        return found

    def _positional(self) -> list[str]:
        return ["input_ids", "token_type_ids", "attention_mask", "word_ids", *self._label_fields()]

    def take(self, rows: Sequence[int] | np.ndarray) -> "Features":
        """Returns some rows, in the order given; a row may be taken more than once."""
        rows = np.asarray(rows, np.int64)
        lengths = self.lengths[rows]
        offsets = offsets_of(lengths)
        index = slice_index(self.offsets[rows], lengths)
        pick = {name: index for name in self._positional()}
        fields = ("input_ids", "token_type_ids", "attention_mask", "example_ids", "labels", "word_ids")
        arrays = {name: getattr(self, name) for name in fields}
        taken = {name: None if array is None else array[pick.get(name, rows)] for name, array in arrays.items()}
        return Features(offsets=offsets, **taken)

    @classmethod
    def from_rows(
        cls,
        input_ids: Sequence[Sequence[int]],
        *,
        example_ids: Sequence[int] | None = None,
        token_type_ids: Sequence[Sequence[int]] | None = None,
        attention_mask: Sequence[Sequence[int]] | None = None,
        labels: Sequence | None = None,
        word_ids: Sequence[Sequence[int]] | None = None,
    ) -> "Features":
        """Makes flat arrays from one sequence per row.

        Args:
            example_ids: by default the row's number.
            token_type_ids: by default 0. attention_mask: by default 1.
            labels: one sequence per row if `word_ids` are given (tagging), else one number per row.
        """
        offsets = offsets_of([len(row) for row in input_ids])
        positions = int(offsets[-1])
        numbers = range(len(input_ids)) if example_ids is None else example_ids
        return cls(
            input_ids=_flat(input_ids),
            token_type_ids=np.zeros(positions, np.int32) if token_type_ids is None else _flat(token_type_ids),
            attention_mask=np.ones(positions, np.int32) if attention_mask is None else _flat(attention_mask),
            offsets=offsets,
            example_ids=np.asarray(numbers, np.int32),
            labels=labels
            if labels is None
            else _flat(labels)
            if word_ids is not None
            else np.asarray(labels, np.int32),
            word_ids=None if word_ids is None else _flat(word_ids),
        )

    def fingerprint(self) -> str:
        """Returns the sha256 over a model's inputs for the rows."""
        digest = hashlib.sha256()
        for array in (self.offsets, self.input_ids, self.token_type_ids, self.attention_mask):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def padded_to(self, width: int, pad_id: int, pad_label: int = NOT_SCORED) -> "Features":
        """Pads every row to `width` tokens with attention mask 0, as the original release keeps rows."""
        lengths = self.lengths
        inside = np.arange(width) < lengths[:, None]

        def fill(array: np.ndarray | None, filler: int) -> np.ndarray | None:
            if array is None:
                return None
            wide = np.full(inside.shape, filler, np.int32)
            wide[inside] = array
            return wide.reshape(-1)

        return Features(
            input_ids=fill(self.input_ids, pad_id),
            token_type_ids=fill(self.token_type_ids, 0),
            attention_mask=fill(self.attention_mask, 0),
            offsets=np.arange(len(self) + 1, dtype=np.int64) * width,
            example_ids=self.example_ids,
            labels=self.labels if self.word_ids is None else fill(self.labels, pad_label),
            word_ids=fill(self.word_ids, NO_WORD),
        )


@dataclass(frozen=True)
class LabelledSet:
    """Examples of one file and their encoded rows."""

    examples: Sequence
    features: Features


def offsets_of(lengths: Sequence[int] | np.ndarray) -> np.ndarray:
    """Returns int64 [N + 1]: where consecutive slices of these lengths begin, and where the last ends."""
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, np.int64))]).astype(np.int64)


def slice_index(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns the positions `start, start + 1, ...` of all slices, one after the other: int64 [sum of lengths]."""
    offsets = offsets_of(lengths)
    return np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)


def _flat(rows: Iterable[Sequence[int]]) -> np.ndarray:
    return np.fromiter(chain.from_iterable(rows), np.int32)
