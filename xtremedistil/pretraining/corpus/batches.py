"""Batches of a corpus, read by `fit` as `TrainingBatches` are: an endless order, tokens masked anew each time.

Training passes over a corpus as often as there are steps for; an epoch of `fit` is a number of steps between two
evaluations. The order of a pass is a function of (seed, pass); which tokens are masked is one of (seed, number of the
batch), drawn for the global batch before that is cut into shares, so that it does not depend on the number of devices.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from xtremedistil.data.features import NOT_SCORED
from xtremedistil.data.padding import Arrays, length_order
from xtremedistil.pretraining.corpus.masking import MaskingConfig, mask_tokens, next_tokens
from xtremedistil.pretraining.corpus.reader import CorpusReader
from xtremedistil.training.batching import epoch_order

TRAINING, EVALUATION = 1, 2  # after seed and number, so that no two things are drawn alike
SPARE_SHARE = 8  # an eighth more predicted tokens, where shapes are fixed and a share got more than its part


@dataclass(frozen=True)
class CorpusBatch:
    """Numbers of the sequences of a global batch, and its own number in the whole fit, from 0."""

    rows: np.ndarray
    number: int


@dataclass(frozen=True)
class CorpusBatches:
    """The batches of a corpus.

    A batch, or the share of one, has B rows, S positions and M predicted tokens:
        input_ids, attention_mask, token_type_ids: int32 [B, S].
        row_mask: float32 [B]; 0: filled up.
        predicted: int32 [M], row * S + position of each predicted token. predicted_mask: float32 [M]; 0: filled up.
        labels: int32 [M], the token of the text; -100: not scored.

    Fields:
        reader: the sequences. batch_size: sequences of a global batch (all replicas together).
        steps: of an epoch of `fit`. per_step: batches of a step; the step with the last sequences may have
            fewer.
        seed: fixes order and masked tokens.
        masking: how tokens are masked; None: a causal model predicts the next token at every position that has one.
        on_all_tokens: both models give logits for all tokens that are not padding; only masked ones have labels.
        predicts: False: no token is masked or predicted; losses are between hidden states and attention maps.
    """

    reader: CorpusReader
    batch_size: int
    steps: int
    seed: int
    masking: MaskingConfig | None
    per_step: int = 1
    on_all_tokens: bool = False
    predicts: bool = True
    _orders: dict[int, list[np.ndarray]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def steps_per_pass(self) -> int:
        """Steps in which every sequence is seen once."""
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
            full: fill up rows and predicted tokens, and let widths be multiples of 8, so that few shapes occur.
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
        """All sequences once, the longest first; each call masks the same tokens."""
        order = length_order(self.reader.lengths, self.batch_size)
        return [self._whole(CorpusBatch(rows, number), EVALUATION, full) for number, rows in enumerate(order)]

    def _group(self, step: int) -> list[CorpusBatch]:
        """The batches of a step, counted from the first of the fit."""
        number, place = divmod(step, self.steps_per_pass)
        rows, size = self._order(number)[place], self.batch_size
        cuts = [rows[start : start + size] for start in range(0, len(rows), size)]
        return [CorpusBatch(cut, step * self.per_step + part) for part, cut in enumerate(cuts)]

    def _order(self, number: int) -> list[np.ndarray]:
        """Sequences of each step of a pass; the latest pass is kept: the order of millions takes seconds."""
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
        """A batch in shares of `size` rows; those missing at the end are padding that every mask leaves out."""
        generator = np.random.default_rng([self.seed, batch.number, purpose])
        ids, attention_mask = self.reader.read(batch.rows, full=full)
        corrupted, labels, predicted = self._masked(ids, attention_mask, generator)
        rows = size * replicas
        corrupted, attention_mask = _fill(corrupted, rows, self.reader.pad_id), _fill(attention_mask, rows, False)
        labels, predicted = _fill(labels, rows, NOT_SCORED), _fill(predicted, rows, False)
        row_mask = (np.arange(rows) < len(batch.rows)).astype(np.float32)
        cuts = [slice(first, first + size) for first in range(0, rows, size)]
        room = self._room(max(int(predicted[cut].sum()) for cut in cuts), size * ids.shape[1], full)
        return [
            _inputs(corrupted[cut], attention_mask[cut], row_mask[cut])
            | _predictions(predicted[cut], labels[cut], room)
            for cut in cuts
        ]

    def _masked(self, ids: np.ndarray, attention_mask: np.ndarray, generator: np.random.Generator):
        """The corrupted input, the labels, and which tokens are predicted: each [B, S]."""
        if not self.predicts:
            return ids, np.full(ids.shape, NOT_SCORED, np.int32), np.zeros(ids.shape, bool)
        if self.masking is None:
            labels = next_tokens(ids, attention_mask)
            return ids, labels, labels != NOT_SCORED
        corrupted, labels = mask_tokens(ids, attention_mask, generator, self.masking)
        return corrupted, labels, attention_mask if self.on_all_tokens else labels != NOT_SCORED

    def _room(self, predicted: int, positions: int, full: bool) -> int:
        """Predicted tokens of each share: as many as the largest has; at least one, and of few sizes if `full`."""
        if not full or not self.predicts:
            return max(predicted, 1)
        if self.masking is None or self.on_all_tokens:
            return positions
        usual = math.ceil(self.masking.share * positions)
        spare = -(-usual // SPARE_SHARE)
        return usual + -(-max(predicted - usual, 0) // spare) * spare


def _fill(array: np.ndarray, rows: int, filler) -> np.ndarray:
    return np.pad(array, ((0, rows - len(array)), (0, 0)), constant_values=filler)


def _inputs(corrupted: np.ndarray, attention_mask: np.ndarray, row_mask: np.ndarray) -> Arrays:
    zeros = np.zeros(corrupted.shape, np.int32)
    return {
        "input_ids": corrupted.astype(np.int32),
        "attention_mask": attention_mask.astype(np.int32),
        "token_type_ids": zeros,
        "row_mask": row_mask,
    }


def _predictions(predicted: np.ndarray, labels: np.ndarray, room: int) -> Arrays:
    """Positions and labels of predicted tokens, filled up to `room`."""
    positions = np.flatnonzero(predicted)
    missing = room - len(positions)
    return {
        "predicted": np.pad(positions, (0, missing)).astype(np.int32),
        "predicted_mask": np.pad(np.ones(len(positions), np.float32), (0, missing)),
        "labels": np.pad(labels.reshape(-1)[positions], (0, missing), constant_values=NOT_SCORED).astype(np.int32),
    }
