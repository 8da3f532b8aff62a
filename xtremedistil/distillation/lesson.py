"""What a fit from Python needs besides the student, and where it keeps things."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from xtremedistil.artefacts import SNAPSHOTS
from xtremedistil.reporting.progress import Progress
from xtremedistil.tasks.features import Features
from xtremedistil.training.batches import TargetReader, TrainingBatches
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


def open_keeper(folder: str, key: str, minutes: float, workers: Workers, progress: Progress) -> Keeper:
    """Of the snapshots of a fit below `folder`."""
    places = os.path.join(folder, SNAPSHOTS)
    often = {"every_steps": 0, "every_minutes": minutes}
    return Keeper(places, key, **often, say=progress.say, writes=workers.chief, agree=workers.agree)
