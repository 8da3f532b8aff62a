"""Makes batches of encoded rows: order, padding, teacher outputs, and a share for each replica.

The order of an epoch depends only on (seed, epoch). Rows are shuffled, then sorted by length within windows of many
batches, so that batches hold rows of similar length and little padding; then the batches are shuffled. With gradient
accumulation, the batches of a step are the parts of one big batch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil.data.features import NOT_SCORED, Features
from xtremedistil.data.padding import WIDTH_STEP, Arrays, longest, pad_rows, padded_width

BATCHES_PER_WINDOW = 64
BatchReader = Callable[[np.ndarray, int], Arrays]


def epoch_order(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Returns the rows of each batch of an epoch; only the last batch before shuffling may be smaller."""
    generator = np.random.default_rng([seed, epoch])
    shuffled = generator.permutation(len(lengths))
    window = batch_size * BATCHES_PER_WINDOW
    batches = []
    for start in range(0, len(shuffled), window):
        rows = shuffled[start : start + window]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


@dataclass(frozen=True)
class TrainingBatches:
    """The batches of a fit.

    Fields:
        features: encoded rows.
        batch_size: rows of a global batch (all replicas together).
        pad_id: token id of padding in `input_ids`; it is masked, but some families derive positions from it.
        seed: determines the order of every epoch.
        targets: functions of rows and width that return arrays [B, ...], which are added to the batch.
        masks: likewise, for masks of the tokens that count.
        per_step: batches per step; the step with the last rows may have fewer.
        steps_per_epoch: if an epoch is not one pass over the rows; passes follow each other.
    """

    features: Features
    batch_size: int
    pad_id: int
    seed: int
    targets: Sequence[BatchReader] = ()
    per_step: int = 1
    masks: Sequence[BatchReader] = ()
    steps_per_epoch: int | None = None

    @property
    def steps(self) -> int:
        return self.steps_per_epoch or self._steps_of_a_pass

    @property
    def _steps_of_a_pass(self) -> int:
        return -(-len(self.features) // (self.batch_size * self.per_step))

    def arrays(self, rows: np.ndarray, width: int | None = None) -> Arrays:
        """Returns a batch of these rows, by default as wide as the longest."""
        batch = self.arrays_without_targets(rows, width)
        for read in self.targets:
            batch |= read(rows, batch["input_ids"].shape[1])
        return batch

    def arrays_without_targets(self, rows: np.ndarray, width: int | None = None) -> Arrays:
        """Returns inputs, labels and masks of a batch without teacher outputs, which may be costly to read."""
        batch = pad_rows(self.features, rows, width or longest(self.features, rows), self.pad_id)
        for read in self.masks:
            batch |= read(rows, batch["input_ids"].shape[1])
        return batch | {"row_mask": np.ones(len(rows), np.float32)}

    def sample(self) -> Arrays:
        """Returns a batch of one row, with the names and types of all batches."""
        return self.arrays(np.zeros(1, np.int64))

    def groups(self, epoch: int) -> list[list[np.ndarray]]:
        """Returns the rows of each batch of each step of an epoch."""
        first, length = epoch * self.steps, self._steps_of_a_pass
        passes = range(first // length, -(-(first + self.steps) // length))
        groups = [group for number in passes for group in self._pass(number)]
        start = first - passes[0] * length
        return groups[start : start + self.steps]

    def _pass(self, number: int) -> list[list[np.ndarray]]:
        """Returns the rows of each batch of each step of a pass over all rows."""
        order = epoch_order(self.features.lengths, self.batch_size * self.per_step, self.seed, number)
        size = self.batch_size
        return [[rows[start : start + size] for start in range(0, len(rows), size)] for rows in order]

    def epoch(
        self, epoch: int, replicas: int, first_step: int = 0, mine: slice = slice(None), *, full: bool = False
    ) -> Iterator[list[Arrays]]:
        """Yields the shares of all replicas for each batch from a step on; all shares of a batch have one shape.

        Args:
            mine: the replicas whose shares are read.
            full: fill up the last batch and round widths up to multiples of 8, so that fewer shapes occur.
        """
        for group in self.groups(epoch)[first_step:]:
            for rows in group:
                size = -(-(self.batch_size if full else len(rows)) // replicas)
                width = padded_width(self.features, rows, WIDTH_STEP if full else 1)
                yield [self._share(rows, number * size, size, width) for number in range(replicas)[mine]]

    def _share(self, rows: np.ndarray, start: int, size: int, width: int) -> Arrays:
        """Returns `size` rows of a batch; missing ones are filled with masked rows."""
        own = rows[start : start + size]
        if len(own) == size:
            return self.arrays(own, width)
        read = self.arrays(own if len(own) else rows[:1], width)
        return {name: _fill(name, array[: len(own)], size) for name, array in read.items()}


def _fill(name: str, array: np.ndarray, rows: int) -> np.ndarray:
    filler = NOT_SCORED if name == "labels" else 0
    return np.concatenate([array, np.full((rows - len(array), *array.shape[1:]), filler, array.dtype)])
