"""Gives the logits of a file to the stages, batch by batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil.data.features import NO_WORD, Features
from xtremedistil.data.padding import Arrays, positions
from xtremedistil.distillation.data.transfer_set import TransferRows
from xtremedistil.distillation.teacher_outputs.external_logits import ExternalLogits
from xtremedistil.objectives.position_masks import TEACHER_PREFIX
from xtremedistil.storage.files import release_pages


@dataclass(frozen=True)
class LogitFileOutputs:
    """Logits of the examples of `features`; called as `CachedOutputs` are.

    For tagging, the scored token of each word gets the word's logits; other tokens get zeros.
    """

    features: Features
    logits: ExternalLogits

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        batch = {TEACHER_PREFIX + "logits": self._values(rows, width)}
        for array in (self.logits.values, self.logits.starts):
            release_pages(array)
        return batch

    def _values(self, rows: np.ndarray, width: int) -> np.ndarray:
        first = self.logits.starts[self.features.example_ids[rows]]
        if self.features.word_ids is None:
            return self.logits.values[first]
        index, inside = positions(self.features, rows, width)
        words = np.where(inside, self.features.word_ids[index], NO_WORD)
        answering = words != NO_WORD
        values = self.logits.values[np.where(answering, first[:, None] + words, 0)]
        return np.where(answering[..., None], values, np.float32(0))


@dataclass(frozen=True)
class LogitFileSource:
    """Replaces an `OutputSource` in stages on logits, and in a joint stage without hidden states."""

    transfer: TransferRows
    logits: ExternalLogits

    def chunk(self, start: int, names: Sequence[str]) -> LogitFileOutputs:
        """Returns logits of the chunk that begins with row `start`; the only name is "logits"."""
        return LogitFileOutputs(self.transfer.chunk(start), self.logits)

    def finish_chunk(self, start: int) -> None:
        """Does nothing: the file holds all chunks."""
