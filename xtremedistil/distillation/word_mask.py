"""Which positions a teacher has something to say of, where it speaks of words alone."""

from dataclasses import dataclass

import numpy as np

from xtremedistil.tasks.features import NO_WORD, Features
from xtremedistil.tasks.padding import Arrays, positions

WORDS_MASK = "answers_for_word"  # in a batch


@dataclass(frozen=True)
class WordMask:
    """1 where a position of tagged rows answers for a word; read into batches as targets are."""

    features: Features

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        index, inside = positions(self.features, rows, width)
        answering = inside & (self.features.word_ids[index] != NO_WORD)
        return {WORDS_MASK: answering.astype(np.int32)}  # of integers all axes are open
