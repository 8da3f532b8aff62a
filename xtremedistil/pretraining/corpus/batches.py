"""Batches of a corpus, read by `fit` as `TrainingBatches` are: an endless order, tokens hidden anew each time.

A corpus is gone through as often as there are steps for; what `fit` takes for an epoch is a number of steps between two
evaluations. The order of a pass is a function of (seed, pass), what is hidden one of (seed, number of the batch): it is
drawn for the global batch, before that is cut into shares, so that it does not depend on the number of devices.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from xtremedistil.data.features import NOT_SCORED
from xtremedistil.data.padding import Arrays, length_order
from xtremedistil.pretraining.corpus.masking import Hiding, hide, next_tokens
from xtremedistil.pretraining.corpus.reader import CorpusReader
from xtremedistil.training.batching import epoch_order

TRAINING, EVALUATION = 1, 2  # behind seed and number, so that no two things are drawn alike
SPARE_SHARE = 8  # an eighth more for predictions, where shapes are fixed and a share got more than its part


@dataclass(frozen=True)
class CorpusBatch:
    """Rows of a global batch, and its number in the whole fit, from 0."""

    rows: np.ndarray
    number: int


@dataclass(frozen=True)
class CorpusBatches:
    """What pre-training draws its batches from.

    A batch, or the share of one, has B rows, S positions and M predictions:
        input_ids, attention_mask, token_type_ids: int32 [B, S].
        row_mask: float32 [B]; 0: filled up.
        predicted: int32 [M], row * S + position of each prediction. predicted_mask: float32 [M]; 0: filled up.
        labels: int32 [M], the token that stands there; -100: not scored.

    Fields:
        reader: the rows. batch_size: rows of a global batch (all replicas together).
        steps: of what `fit` takes for an epoch. per_step: batches of a step; that with the last rows may have fewer.
        seed: fixes order and hidden tokens.
        hiding: how tokens are hidden; None: a causal model predicts the next token at every position that has one.
        everywhere: predictions are asked for at all positions that are not padding, with labels only where tokens are
            hidden: a teacher may be asked there, too.
        intact: nothing is hidden nor asked for: the rows are for what goes on inside models.
    """

    reader: CorpusReader
    batch_size: int
    steps: int
    seed: int
    hiding: Hiding | None
    per_step: int = 1
    everywhere: bool = False
    intact: bool = False
    _orders: dict[int, list[np.ndarray]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def steps_per_pass(self) -> int:
        """Steps in which every row is seen once."""
        return -(-len(self.reader) // (self.batch_size * self.per_step))

    def groups(self, epoch: int) -> list[list[CorpusBatch]]:
        """The batches of each step of an epoch."""
        return [self._group(epoch * self.steps + step) for step in range(self.steps)]

    def epoch(
        self, epoch: int, replicas: int, first_step: int = 0, mine: slice = slice(None), *, full: bool = False
    ) -> Iterator[list[Arrays]]:
        """One entry per batch from a step on: a share for each replica, all of the same shape.

        Args:
            mine: the replicas whose shares are read.
            full: fill up rows and predictions, and let widths be multiples of 8, so that few shapes occur.
        """
        for step in range(first_step, self.steps):
            for batch in self._group(epoch * self.steps + step):
                size = -(-(self.batch_size if full else len(batch.rows)) // replicas)
                yield self._shares(batch, TRAINING, size, replicas, full)[mine]

    def arrays_without_targets(self, batch: CorpusBatch) -> Arrays:
        """A whole batch."""
        return self._whole(batch, TRAINING)

    def sample(self) -> Arrays:
        """A batch that looks like all others."""
        return self.arrays_without_targets(CorpusBatch(np.zeros(1, np.int64), 0))

    def evaluation_batches(self, *, full: bool = False) -> list[Arrays]:
        """All rows once, the longest first; the same tokens are hidden whenever this is asked."""
        order = length_order(self.reader.lengths, self.batch_size)
        return [self._whole(CorpusBatch(rows, number), EVALUATION, full) for number, rows in enumerate(order)]

    def _group(self, step: int) -> list[CorpusBatch]:
        """The batches of a step, counted from the first of the fit."""
        number, place = divmod(step, self.steps_per_pass)
        rows, size = self._order(number)[place], self.batch_size
        cuts = [rows[start : start + size] for start in range(0, len(rows), size)]
        return [CorpusBatch(cut, step * self.per_step + part) for part, cut in enumerate(cuts)]

    def _order(self, number: int) -> list[np.ndarray]:
        """Rows of each step of a pass; the last one asked for is kept, as it takes seconds for millions of rows."""
        found = self._orders.get(number)
        if found is None:
            found = epoch_order(self.reader.lengths, self.batch_size * self.per_step, self.seed, number)
            self._orders.clear()
            self._orders[number] = found
        return found

    def _whole(self, batch: CorpusBatch, purpose: int, full: bool = False) -> Arrays:
        (share,) = self._shares(batch, purpose, self.batch_size if full else len(batch.rows), 1, full)
        return share

    def _shares(self, batch: CorpusBatch, purpose: int, size: int, replicas: int, full: bool) -> list[Arrays]:
        """A batch in shares of `size` rows; the last are filled up with rows that every mask leaves out."""
        generator = np.random.default_rng([self.seed, batch.number, purpose])
        ids, inside = self.reader.read(batch.rows, full=full)
        shown, labels, asked = self._lesson(ids, inside, generator)
        rows = size * replicas
        shown, inside = _fill(shown, rows, self.reader.pad_id), _fill(inside, rows, False)
        labels, asked = _fill(labels, rows, NOT_SCORED), _fill(asked, rows, False)
        row_mask = (np.arange(rows) < len(batch.rows)).astype(np.float32)
        cuts = [slice(first, first + size) for first in range(0, rows, size)]
        room = self._room(max(int(asked[cut].sum()) for cut in cuts), size * ids.shape[1], full)
        return [
            _inputs(shown[cut], inside[cut], row_mask[cut]) | _predictions(asked[cut], labels[cut], room)
            for cut in cuts
        ]

    def _lesson(self, ids: np.ndarray, inside: np.ndarray, generator: np.random.Generator):
        """What is shown, the labels, and where predictions are asked for: each [B, S]."""
        if self.intact:
            return ids, np.full(ids.shape, NOT_SCORED, np.int32), np.zeros(ids.shape, bool)
        if self.hiding is None:
            labels = next_tokens(ids, inside)
            return ids, labels, labels != NOT_SCORED
        shown, labels = hide(ids, inside, generator, self.hiding)
        return shown, labels, inside if self.everywhere else labels != NOT_SCORED

    def _room(self, asked: int, positions: int, full: bool) -> int:
        """Predictions of each share: as many as the largest has; at least one, and of few sizes if `full`."""
        if not full or self.intact:
            return max(asked, 1)
        if self.hiding is None or self.everywhere:
            return positions
        usual = math.ceil(self.hiding.share * positions)
        spare = -(-usual // SPARE_SHARE)
        return usual + -(-max(asked - usual, 0) // spare) * spare


def _fill(array: np.ndarray, rows: int, filler) -> np.ndarray:
    return np.pad(array, ((0, rows - len(array)), (0, 0)), constant_values=filler)


def _inputs(shown: np.ndarray, inside: np.ndarray, row_mask: np.ndarray) -> Arrays:
    zeros = np.zeros(shown.shape, np.int32)
    return {
        "input_ids": shown.astype(np.int32),
        "attention_mask": inside.astype(np.int32),
        "token_type_ids": zeros,
        "row_mask": row_mask,
    }


def _predictions(asked: np.ndarray, labels: np.ndarray, room: int) -> Arrays:
    """Where predictions are asked for and what is right there, filled up to `room`."""
    places = np.flatnonzero(asked)
    missing = room - len(places)
    return {
        "predicted": np.pad(places, (0, missing)).astype(np.int32),
        "predicted_mask": np.pad(np.ones(len(places), np.float32), (0, missing)),
        "labels": np.pad(labels.reshape(-1)[places], (0, missing), constant_values=NOT_SCORED).astype(np.int32),
    }
