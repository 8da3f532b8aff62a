"""Aligns a teacher with another tokenizer: the student's first token of a word gets the outputs of the teacher's."""

from dataclasses import dataclass

import numpy as np

from xtremedistil.data.features import NO_WORD, Features
from xtremedistil.data.padding import Arrays, positions
from xtremedistil.distillation.data.encoded_inputs import NEXT_TEXT
from xtremedistil.distillation.teacher_outputs.cache import CachedOutputs
from xtremedistil.objectives.position_masks import aligned_name

NOWHERE = -1


@dataclass(frozen=True)
class AlignedOutputs:
    """Outputs per token of a teacher with another tokenizer; called as `CachedOutputs` are.

    Fields:
        features: the student's rows. targets: outputs of the teacher's rows, in the same order.
        source: int64 [P], the teacher's token for each of the student's tokens, or -1.
    """

    features: Features
    targets: CachedOutputs
    source: np.ndarray

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        source = self._source(rows, width)
        found = (source != NOWHERE)[..., None]
        return {
            self.targets.prefix + name: np.where(found, array[np.maximum(source, 0)], 0).astype(np.float32)
            for name, array in self.targets.arrays.items()
        }

    def mask(self, rows: np.ndarray, width: int) -> Arrays:
        """Marks the tokens that have outputs; losses count only these."""
        found = self._source(rows, width) != NOWHERE
        return {aligned_name(self.targets.prefix): found.astype(np.int32)}  # batches leave all axes of integers open

    def _source(self, rows: np.ndarray, width: int) -> np.ndarray:
        """int64 [B, S]."""
        index, inside = positions(self.features, rows, width)
        return np.where(inside, self.source[index], NOWHERE)


def aligned_outputs(
    features: Features, targets: CachedOutputs, words: np.ndarray | None, their_words: np.ndarray | None
) -> AlignedOutputs:
    """Pairs the first tokens of each word in the student's and the teacher's rows; words are matched by number.

    Args:
        words, their_words: the word of each token of the student's and the teacher's rows, int32 [P], or -1.

    Raises:
        ValueError: rows or words do not fit together, no word is in both, or an output is not per token.
    """
    theirs = targets.features
    require_same_rows(features, theirs)
    if words is None or their_words is None:
        raise ValueError(
            "Tokens of two tokenizers are paired by word: give both sides word_ids, as fast tokenizers do."
        )
    if maps := [name for name in targets.arrays if name.startswith("attention")]:
        raise ValueError(
            f"{', '.join(maps)}: attention maps over other tokens cannot be compared; match states or logits."
        )
    source = np.full(len(features.input_ids), NOWHERE, np.int64)
    for row in range(len(features)):
        own, other = _first_tokens(features, words, row), _first_tokens(theirs, their_words, row)
        if not (own.keys() == other.keys() or _has_gaps(own) or _has_gaps(other)):
            _require_cut_short(row, (own, features), (other, theirs))
        for word in own.keys() & other.keys():
            source[own[word]] = other[word]
    if (source == NOWHERE).all():
        raise ValueError(
            "No row has a word in common with the teacher's: word_ids must number the words of a row in the same way."
        )
    return AlignedOutputs(features, targets, source)


def _has_gaps(words: dict[int, int]) -> bool:
    """Whether word numbers are missing: then the caller numbered the words, not a tokenizer that split a text."""
    return any(word % NEXT_TEXT and word - 1 not in words for word in words)


def _require_cut_short(row: int, own: tuple[dict, Features], other: tuple[dict, Features]) -> None:
    """Raises ValueError if two tokenizers find different numbers of words in a row for another reason than truncation:
    the side with fewer must be as long as several of its longest rows."""
    fewer, features = min(own, other, key=lambda side: len(side[0]))
    longest = features.lengths.max()
    if features.lengths[row] < longest or (features.lengths == longest).sum() < 2:
        raise ValueError(
            f"Row {row} has {len(own[0])} words by the student's tokenizer and {len(other[0])} by the teacher's: they "
            "split texts differently, so words would be paired wrongly. Give both of them lists of words "
            "(is_split_into_words=True), or word_ids that number words in the same way."
        )


def require_same_rows(features: Features, theirs: Features) -> None:
    if len(features) != len(theirs):
        raise ValueError(f"The student has {len(features)} rows, the teacher {len(theirs)}; they must be the same.")


def _first_tokens(features: Features, words: np.ndarray, row: int) -> dict[int, int]:
    """Position of the first token of each word of a row."""
    start, stop = int(features.offsets[row]), int(features.offsets[row + 1])
    found, places = np.unique(words[start:stop], return_index=True)
    return {int(word): start + int(place) for word, place in zip(found, places, strict=True) if word != NO_WORD}
