"""What a fit from Python needs besides the student, and where it keeps things."""

import contextlib
import hashlib
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
        targets: what the teachers say of `features`. key: of teachers and rows. replicas: devices that share a batch.
    """

    features: Features
    targets: Sequence[TargetReader]
    objective: Objective
    evaluate: Callable[[], float]
    key: str
    pad_id: int
    replicas: int

    def batches(self, per_replica: int, seed: int, per_step: int = 1) -> TrainingBatches:
        return TrainingBatches(self.features, per_replica * self.replicas, self.pad_id, seed, self.targets, per_step)


@contextlib.contextmanager
def kept(folder: str | None) -> Iterator[str]:
    """The folder, or one that goes afterwards."""
    with contextlib.nullcontext(folder) if folder else tempfile.TemporaryDirectory() as place:
        yield place


def fit_key(*parts) -> str:
    """sha256 of what makes a fit the same one."""
    return hashlib.sha256("|".join(map(repr, parts)).encode()).hexdigest()


def open_keeper(folder: str, key: str, minutes: float, workers: Workers, progress: Progress) -> Keeper:
    """Of the snapshots of a fit below `folder`."""
    places = os.path.join(folder, SNAPSHOTS)
    return Keeper(places, key, every_steps=0, every_minutes=minutes, say=progress.say, writes=workers.chief)
