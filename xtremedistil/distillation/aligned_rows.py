"""A teacher with another tokenizer: what it says of a word, given to the student's first piece of that word."""

from dataclasses import dataclass

import numpy as np

from xtremedistil.distillation.targets import Targets
from xtremedistil.tasks.features import NO_WORD, Features
from xtremedistil.tasks.padding import Arrays, positions

NOWHERE = -1


def aligned_name(prefix: str) -> str:
    """In a batch: 1 where the student's position has a counterpart in the rows of the teacher of that prefix."""
    return f"{prefix}aligned"


@dataclass(frozen=True)
class AlignedTargets:
    """Outputs by position of a teacher that reads the same rows in other pieces; called as `Targets` are.

    Fields:
        features: the student's rows. targets: of the teacher's rows, in the same order. source: int64 [P], for each of
            the student's positions the teacher's, or -1.
    """

    features: Features
    targets: Targets
    source: np.ndarray

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        source = self._source(rows, width)
        found = (source != NOWHERE)[..., None]
        return {
            self.targets.prefix + name: np.where(found, array[np.maximum(source, 0)], 0).astype(np.float32)
            for name, array in self.targets.arrays.items()
        }

    def mask(self, rows: np.ndarray, width: int) -> Arrays:
        """Where there are outputs; losses count there alone."""
        found = self._source(rows, width) != NOWHERE
        return {aligned_name(self.targets.prefix): found.astype(np.int32)}  # of integers all axes are open

    def _source(self, rows: np.ndarray, width: int) -> np.ndarray:
        """int64 [B, S]."""
        index, inside = positions(self.features, rows, width)
        return np.where(inside, self.source[index], NOWHERE)


def aligned_targets(
    features: Features, targets: Targets, words: np.ndarray | None, their_words: np.ndarray | None
) -> AlignedTargets:
    """Pairs words by their number in a row; of each word, the first pieces of both sides.

    Args:
        words, their_words: the word of each position of the student's and the teacher's rows, int32 [P], or -1.

    Raises:
        ValueError: rows or words do not fit together, none is in both, or an output is not one of positions.
    """
    theirs = targets.features
    require_same_rows(features, theirs)
    if words is None or their_words is None:
        raise ValueError("Pieces of two tokenizers meet by words: give both sides word_ids, as fast tokenizers do.")
    if maps := [name for name in targets.arrays if name.startswith("attention")]:
        raise ValueError(f"{', '.join(maps)}: maps of other pieces cannot be compared; match states or logits.")
    source = np.full(len(features.input_ids), NOWHERE, np.int64)
    for row in range(len(features)):
        own, other = _first_pieces(features, words, row), _first_pieces(theirs, their_words, row)
        for word in own.keys() & other.keys():
            source[own[word]] = other[word]
    if (source == NOWHERE).all():
        raise ValueError(
            "No row of the student's has a word of the teacher's: word_ids count the words of a row alike."
        )
    return AlignedTargets(features, targets, source)


def require_same_rows(features: Features, theirs: Features) -> None:
    if len(features) != len(theirs):
        raise ValueError(f"The student has {len(features)} rows, the teacher {len(theirs)}; they must be the same.")


def _first_pieces(features: Features, words: np.ndarray, row: int) -> dict[int, int]:
    """Position of the first piece of each word of a row."""
    start, stop = int(features.offsets[row]), int(features.offsets[row + 1])
    found, places = np.unique(words[start:stop], return_index=True)
    return {int(word): start + int(place) for word, place in zip(found, places, strict=True) if word != NO_WORD}
