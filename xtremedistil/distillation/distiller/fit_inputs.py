"""What a fit from Python needs besides the student, and where it keeps things."""

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil.console.progress import Progress
from xtremedistil.data.features import Features
from xtremedistil.distillation.distiller.settings import FitSettings
from xtremedistil.distillation.teacher_outputs.cache_writer import OutputWriterConfig
from xtremedistil.storage.model_folder import SNAPSHOTS
from xtremedistil.training.batching import BatchReader, TrainingBatches
from xtremedistil.training.loop import fit
from xtremedistil.training.objectives import Objective
from xtremedistil.training.snapshots import SnapshotManager
from xtremedistil.training.state import History
from xtremedistil.training.workers import Workers


@dataclass(frozen=True)
class FitInputs:
    """What a fit needs besides the student.

    Fields:
        targets: what the teachers say of `features`. masks: of which positions, where not of all.
        key: of teachers and rows, those of dev too, of the metric and of the sizes of the student.
        replicas: devices that share a batch.
        evaluate: score of the student as it stands; None: the latest weights are the best.
    """

    features: Features
    targets: Sequence[BatchReader]
    masks: Sequence[BatchReader]
    objective: Objective
    evaluate: Callable[[], float] | None
    key: str
    pad_id: int
    replicas: int

    def batches(
        self, per_replica: int, seed: int, per_step: int = 1, steps_per_epoch: int | None = None
    ) -> TrainingBatches:
        rows = per_replica * self.replicas
        read = {"targets": self.targets, "masks": self.masks}
        return TrainingBatches(
            self.features, rows, self.pad_id, seed, per_step=per_step, steps_per_epoch=steps_per_epoch, **read
        )


def output_writer(settings: FitSettings, workers: Workers) -> OutputWriterConfig:
    """How the teachers' outputs are computed and kept for a fit; each teacher pads with its own token."""
    precision, minutes = settings.targets_precision, settings.save_minutes
    return OutputWriterConfig(0, settings.batch_size, workers, precision=precision, every_minutes=minutes)


@contextlib.contextmanager
def kept(folder: str | None, workers: Workers) -> Iterator[str]:
    """The folder, or one that goes afterwards.

    Raises:
        ValueError: there is none, and several workers need one that all of them see.
    """
    if workers.count > 1 and not folder:
        raise ValueError(f"Give folder=, one that all {workers.count} workers see.")
    with contextlib.nullcontext(folder) if folder else tempfile.TemporaryDirectory() as place:
        yield place


@dataclass(frozen=True)
class ResumableFit:
    """A fit whose snapshots are below `folder` while it goes on; without a folder there are none.

    Fields:
        minutes: between snapshots. shown: whether steps are reported.
    """

    folder: str | None
    minutes: float
    workers: Workers
    shown: bool

    def __call__(self, trainer, batches, score: Callable[[], float] | None, key: tuple, steps_of=None) -> History:
        """Trains; arguments as of `training.loop.fit`.

        Args:
            key: parts of what makes the fit the same one.
        """
        progress = Progress()
        keeper = self._keeper(fit_key(*key), progress) if self.folder else None
        evaluate = score and (lambda: self.workers.broadcast_from_chief(score()))
        report = progress.step if self.shown else lambda state: None
        history = fit(trainer, batches, evaluate, report, keeper, steps_of)
        if keeper:
            self.workers.on_chief(keeper.clear)
        return history

    def _keeper(self, key: str, progress: Progress) -> SnapshotManager:
        often = {"every_steps": 0, "every_minutes": self.minutes}
        chief = {"writes": self.workers.chief, "broadcast_from_chief": self.workers.broadcast_from_chief}
        return SnapshotManager(os.path.join(self.folder, SNAPSHOTS), key, **often, **chief, log=progress.log)


def fit_key(*parts) -> str:
    """sha256 of what makes a fit the same one.

    Raises:
        ValueError: a function has no name by which the next process finds it.
    """
    return hashlib.sha256("|".join(map(_text, parts)).encode()).hexdigest()


def _text(value) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
        return f"{type(value).__qualname__}{_text(fields)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(sorted(f"{_text(key)}: {_text(one)}" for key, one in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(map(_text, value))) + "}"
    if isinstance(value, np.ndarray):  # whose repr leaves out digits, and the middle of long ones
        return f"{value.dtype}{_text(value.tolist())}"
    if isinstance(value, functools.partial):
        return f"partial{_text([value.func, value.args, value.keywords])}"
    return _name(value) if callable(value) or type(value).__repr__ is object.__repr__ else repr(value)


def _name(function: Callable | object) -> str:
    """Where a function stands: its address in memory, and an object's, is another in each process."""
    name = getattr(function, "__qualname__", "<")
    if "<" in name or inspect.ismethod(function):
        raise ValueError(
            f"With folder= a fit can go on in another process, which has to know {function!r} again. A lambda, a "
            "function in a function, or an object has no name to be known by: write it as a function of its own with "
            "def, as a functools.partial of one, or as a dataclass with __call__; or leave folder= away."
        )
    return f"{function.__module__}.{name}"


def known_as(function: Callable | None) -> str:
    """Name of a function that need not have one of its own: two lambdas of one place are alike here."""
    if function is None:
        return ""
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"
