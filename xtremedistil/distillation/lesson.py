"""What a fit from Python needs besides the student, and where it keeps things."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from xtremedistil.artefacts import SNAPSHOTS
from xtremedistil.distillation.fit_key import fit_key
from xtremedistil.reporting.progress import Progress
from xtremedistil.tasks.features import Features
from xtremedistil.training.batches import TargetReader, TrainingBatches
from xtremedistil.training.loop import fit
from xtremedistil.training.place import History
from xtremedistil.training.snapshots import Keeper
from xtremedistil.training.trainer import Objective
from xtremedistil.training.workers import Workers


@dataclass(frozen=True)
class Lesson:
    """What a fit needs besides the student.

    Fields:
        targets: what the teachers say of `features`. masks: of which positions, where not of all.
        key: of teachers and rows, those of dev too, of the metric and of the sizes of the student.
        replicas: devices that share a batch.
        evaluate: score of the student as it stands; None: the latest weights are the best.
    """

    features: Features
    targets: Sequence[TargetReader]
    masks: Sequence[TargetReader]
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
class KeptFit:
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
        evaluate = score and (lambda: self.workers.agree(score()))
        report = progress.step if self.shown else lambda state: None
        history = fit(trainer, batches, evaluate, report, keeper, steps_of)
        if keeper:
            self.workers.on_chief(keeper.clear)
        return history

    def _keeper(self, key: str, progress: Progress) -> Keeper:
        often = {"every_steps": 0, "every_minutes": self.minutes}
        chief = {"writes": self.workers.chief, "agree": self.workers.agree}
        return Keeper(os.path.join(self.folder, SNAPSHOTS), key, **often, **chief, say=progress.say)
