"""What a fit from Python needs besides the student, and how it is resumed."""

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
        targets: teacher outputs of `features`. masks: tokens that count, where not all do.
        key: names teachers, rows (dev included), metric and the student's sizes.
        replicas: devices that share a batch.
        evaluate: scores the student's current weights; None: the latest weights are kept.
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
    """Returns how teacher outputs of a fit are computed and kept; each teacher sets its own padding token."""
    precision, minutes = settings.targets_precision, settings.save_minutes
    return OutputWriterConfig(0, settings.batch_size, workers, precision=precision, every_minutes=minutes)


@contextlib.contextmanager
def kept(folder: str | None, workers: Workers) -> Iterator[str]:
    """Yields the folder, or a temporary one.

    Raises:
        ValueError: no folder is given, and several workers need one that all of them see.
    """
    if workers.count > 1 and not folder:
        raise ValueError(f"Give folder=, one that all {workers.count} workers see.")
    with contextlib.nullcontext(folder) if folder else tempfile.TemporaryDirectory() as place:
        yield place


@dataclass(frozen=True)
class ResumableFit:
    """Runs a fit with snapshots below `folder`, which are removed at its end; without a folder there are none.

    Fields:
        minutes: between snapshots. shown: whether steps are reported.
    """

    folder: str | None
    minutes: float
    workers: Workers
    shown: bool

    def __call__(self, trainer, batches, score: Callable[[], float] | None, key: tuple, steps_of=None) -> History:
        """Trains; other arguments as for `training.loop.fit`.

        Args:
            key: values that identify the fit; snapshots of another key are not used.
        """
        progress = Progress()
        snapshots = self._snapshots(fit_key(*key), progress) if self.folder else None
        evaluate = score and (lambda: self.workers.broadcast_from_chief(score()))
        report = progress.step if self.shown else lambda state: None
        history = fit(trainer, batches, evaluate, report, snapshots, steps_of)
        if snapshots:
            self.workers.on_chief(snapshots.clear)
        return history

    def _snapshots(self, key: str, progress: Progress) -> SnapshotManager:
        often = {"every_steps": 0, "every_minutes": self.minutes}
        chief = {"writes": self.workers.chief, "broadcast_from_chief": self.workers.broadcast_from_chief}
        return SnapshotManager(os.path.join(self.folder, SNAPSHOTS), key, **often, **chief, log=progress.log)


def fit_key(*parts) -> str:
    """Returns the sha256 of values that identify a fit.

    Raises:
        ValueError: a function among them has no name that identifies it in another process.
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
    if isinstance(value, np.ndarray):  # its repr leaves out digits, and the middle of long arrays
        return f"{value.dtype}{_text(value.tolist())}"
    if isinstance(value, functools.partial):
        return f"partial{_text([value.func, value.args, value.keywords])}"
    return _name(value) if callable(value) or type(value).__repr__ is object.__repr__ else repr(value)


def _name(function: Callable | object) -> str:
    """Returns module and name of a function; addresses in memory differ between processes."""
    name = getattr(function, "__qualname__", "<")
    if "<" in name or inspect.ismethod(function):
        raise ValueError(
            f"With folder= a fit can continue in another process, which must recognize {function!r}. A lambda, a "
            "nested function or an object has no name for that: write a function at the top of a module, a "
            "functools.partial of one, or a dataclass with __call__; or leave folder= away."
        )
    return f"{function.__module__}.{name}"


def known_as(function: Callable | None) -> str:
    """Returns module and name of any function; two lambdas of one function have the same name here."""
    if function is None:
        return ""
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"
