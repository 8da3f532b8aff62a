"""The state of a fit on disk, so that a run that was killed goes on in the middle of an epoch.

A snapshot is a pair of files: `<number>.npz` with the arrays, then `<number>.json` with all else, the checksum of
the first and one of its own. The last two whole ones stay: if the newest is damaged, the one before counts, and that
is said.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from xtremedistil.console.sigterm import TERMINATED, on_sigterm
from xtremedistil.errors import InputError
from xtremedistil.storage.files import atomic_file, fingerprint, read_sealed, write_sealed
from xtremedistil.storage.folders import make_folder
from xtremedistil.storage.model_folder import SNAPSHOTS

GENERATIONS = 2


class Terminated(SystemExit):
    """SIGTERM has come, and what had to be saved is saved."""

    def __init__(self):
        super().__init__(TERMINATED)


@dataclass(frozen=True)
class Snapshot:
    """Plain values and arrays of a fit."""

    state: dict
    arrays: dict[str, np.ndarray]


class Keeper:
    """Saves snapshots of one fit and finds the newest.

    Args:
        folder: for nothing else. key: what the fit is; snapshots of others are not read.
        every_steps: updates between snapshots, 0: not by steps. every_minutes: likewise, of wall time.
        say: tells a person. writes: whether this process writes; of several, one does, and all read.
        agree: a number in, that of the process that writes out, in all of them.
    """

    def __init__(
        self,
        folder: str,
        key: str,
        *,
        every_steps: int,
        every_minutes: float,
        say: Callable[[str], None] = print,
        writes: bool = True,
        agree: Callable[[float], float] = float,
    ):
        self.say, self._agree = say, agree
        self._folder, self._key, self._writes = folder, key, writes
        self._every_steps, self._every_seconds = every_steps, 60 * every_minutes
        self._saved_at = time.monotonic()
        self._terminating = False

    @classmethod
    def of(cls, model_dir: str, training, key: str, workers, say: Callable[[str], None] = print) -> "Keeper":
        """Below a model folder; the first of the workers writes.

        Args:
            training: has `save_steps` and `save_minutes`.
        """
        folder = os.path.join(model_dir, SNAPSHOTS)
        often = {"every_steps": training.save_steps, "every_minutes": training.save_minutes}
        return cls(folder, key, **often, say=say, writes=workers.chief, agree=workers.agree)

    def due(self, steps: int) -> bool:
        """Whether a snapshot is due after this many updates of the fit."""
        by_steps = self._every_steps and steps % self._every_steps == 0
        by_time = self._every_seconds and time.monotonic() - self._saved_at >= self._every_seconds
        return bool(by_steps or by_time or self._stops)

    def save(self, snapshot: Snapshot) -> None:
        """Writes a snapshot; the oldest goes.

        Raises:
            Terminated: SIGTERM has come meanwhile.
            InputError: it cannot be written; those before it are intact.
        """
        if self._writes:
            self._write(snapshot)
        self._saved_at = time.monotonic()
        self.stop_if_asked()

    def _write(self, snapshot: Snapshot) -> None:
        make_folder(self._folder)
        number = max(self._numbers(), default=0) + 1
        arrays, record = self._paths(number)
        with atomic_file(arrays, "wb") as file:
            np.savez(file, **snapshot.arrays)
        write_sealed(record, {"key": self._key, "sha256": fingerprint(arrays), "state": snapshot.state})
        for old in sorted(self._numbers())[:-GENERATIONS]:
            self._remove(old)

    def stop_if_asked(self) -> None:
        """Raises Terminated if SIGTERM has come; what there is to save has to be saved."""
        if self._stops:
            raise Terminated

    @property
    def _stops(self) -> bool:
        """Of several processes, the one that writes decides: the others would leave it waiting for them."""
        return self._terminating and self._writes

    def load(self) -> Snapshot | None:
        """The newest whole snapshot of this fit, if there is any: the one that the process that writes finds.

        Raises:
            InputError: this process does not see that one.
        """
        number, saved = self._newest() if self._writes else (0, None)
        number = int(self._agree(number))
        if not number:
            return None
        arrays, _ = self._paths(number)
        saved = saved or self._whole(number)
        if saved is None:
            raise InputError(
                f"{arrays}, where the first worker goes on, is not here, or damaged.\n"
                "All workers have to see the same `model_dir`. Start the same command again on all of them."
            )
        with np.load(arrays, allow_pickle=False) as file:
            return Snapshot(saved["state"], dict(file))

    def _newest(self) -> tuple[int, dict | None]:
        """Number and record; 0 where there is none."""
        for number in sorted(self._numbers(), reverse=True):
            saved = self._whole(number)
            if saved is None:
                self.say(f"{self._paths(number)[0]} is damaged; going back to the snapshot before it.")
                self._remove(number)  # of those that stay, each is to be whole
            elif saved["key"] == self._key:
                return number, saved
        return 0, None

    def _whole(self, number: int) -> dict | None:
        """The record of a snapshot, unless it is damaged."""
        arrays, record = self._paths(number)
        saved = read_sealed(record)
        return saved if saved and os.path.isfile(arrays) and fingerprint(arrays) == saved["sha256"] else None

    def clear(self) -> None:
        """Removes all snapshots: the fit has ended."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def watching(self) -> AbstractContextManager[None]:
        """Within, SIGTERM makes a snapshot due instead of ending the process at once (in the main thread only)."""
        return on_sigterm(self._terminate)

    def _terminate(self) -> None:
        self._terminating = True

    def _numbers(self) -> list[int]:
        names = os.listdir(self._folder) if os.path.isdir(self._folder) else []
        return [int(name.removesuffix(".json")) for name in names if name.endswith(".json")]

    def _paths(self, number: int) -> tuple[str, str]:
        return os.path.join(self._folder, f"{number}.npz"), os.path.join(self._folder, f"{number}.json")

    def _remove(self, number: int) -> None:
        arrays, record = self._paths(number)
        for path in (record, arrays):  # in this order: nothing may vouch for what is going
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
