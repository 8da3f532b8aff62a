"""Saves the state of a fit, so that a killed run resumes in the middle of an epoch.

A snapshot is a pair of files: `<number>.npz` with the arrays, then `<number>.json` with everything else, including the
checksums of both. The last two are kept: if the newest is damaged, the one before is used, and this is logged.
"""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from xtremedistil.console.sigterm import TERMINATED, on_sigterm
from xtremedistil.errors import InputError
from xtremedistil.storage.declared import Object, Text
from xtremedistil.storage.files import atomic_file, fingerprint, read_sealed, write_sealed
from xtremedistil.storage.folders import make_folder
from xtremedistil.storage.model_folder import SNAPSHOTS

GENERATIONS = 2
RECORD_NAME = re.compile(r"([1-9][0-9]{0,17})\.json")
RECORD = {"key": Text(), "sha256": Text(), "state": Object({})}
RECORD = Object(RECORD, required=tuple(RECORD))


class Terminated(SystemExit):
    """Raised after SIGTERM, once the state is saved."""

    def __init__(self):
        super().__init__(TERMINATED)


@dataclass(frozen=True)
class Snapshot:
    """The state of a fit: plain values, and arrays by name."""

    state: dict
    arrays: dict[str, np.ndarray]


class SnapshotManager:
    """Saves snapshots of one fit and finds the newest.

    Args:
        folder: used only for snapshots. key: identifies the fit; snapshots of other fits are not read.
        every_steps: steps between snapshots, 0: not by steps. every_minutes: likewise, of wall time.
        log: prints a line. writes: whether this process writes; one of several writes, and all read.
        broadcast_from_chief: takes a number; returns the number of the process that writes, in all of them.
    """

    def __init__(
        self,
        folder: str,
        key: str,
        *,
        every_steps: int,
        every_minutes: float,
        log: Callable[[str], None] = print,
        writes: bool = True,
        broadcast_from_chief: Callable[[float], float] = float,
    ):
        self.log, self._agree = log, broadcast_from_chief
        self._folder, self._key, self._writes = folder, key, writes
        self._every_steps, self._every_seconds = every_steps, 60 * every_minutes
        self._saved_at = time.monotonic()
        self._terminating = False

    @classmethod
    def of(cls, model_dir: str, training, key: str, workers, log: Callable[[str], None] = print) -> "SnapshotManager":
        """Makes a manager of snapshots below a model folder; the first worker writes.

        Args:
            training: settings with `save_steps` and `save_minutes`.
        """
        folder = os.path.join(model_dir, SNAPSHOTS)
        often = {"every_steps": training.save_steps, "every_minutes": training.save_minutes}
        return cls(
            folder, key, **often, log=log, writes=workers.chief, broadcast_from_chief=workers.broadcast_from_chief
        )

    def due(self, steps: int) -> bool:
        """Whether a snapshot is due after this many steps of the fit."""
        by_steps = self._every_steps and steps % self._every_steps == 0
        by_time = self._every_seconds and time.monotonic() - self._saved_at >= self._every_seconds
        return bool(by_steps or by_time or self._stops)

    def save(self, snapshot: Snapshot) -> None:
        """Writes a snapshot and removes the oldest.

        Raises:
            Terminated: SIGTERM has come.
            InputError: the snapshot cannot be written; earlier ones are intact.
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
        """Raises Terminated if SIGTERM has come; call it once everything is saved."""
        if self._stops:
            raise Terminated

    @property
    def _stops(self) -> bool:
        """Whether to stop; only the process that writes decides, or it would wait for the others forever."""
        return self._terminating and self._writes

    def load(self) -> Snapshot | None:
        """Returns the newest undamaged snapshot of this fit that the writing process finds, or None.

        Raises:
            InputError: this process does not see that snapshot.
        """
        number, saved = self._newest() if self._writes else (0, None)
        number = int(self._agree(number))
        if not number:
            return None
        arrays, _ = self._paths(number)
        saved = saved or self._whole(number)
        if saved is None:
            raise InputError(
                f"{arrays}, from which the first worker resumes, is missing or damaged here.\n"
                "All workers must see the same `model_dir`. Start the same command again on all of them."
            )
        with np.load(arrays, allow_pickle=False) as file:
            return Snapshot(saved["state"], dict(file))

    def _newest(self) -> tuple[int, dict | None]:
        """Returns number and record of the newest snapshot; 0 and None if there is none."""
        for number in sorted(self._numbers(), reverse=True):
            saved = self._whole(number)
            if saved is None:
                self.log(f"{self._paths(number)[0]} is damaged; going back to the snapshot before it.")
                self._remove(number)  # damaged snapshots must not count among those kept
            elif saved["key"] == self._key:
                return number, saved
        return 0, None

    def _whole(self, number: int) -> dict | None:
        """Returns the record of a snapshot; None if it is damaged."""
        arrays, record = self._paths(number)
        saved = read_sealed(record, RECORD)
        return saved if saved and os.path.isfile(arrays) and fingerprint(arrays) == saved["sha256"] else None

    def clear(self) -> None:
        """Removes all snapshots, once the fit is done."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def watching(self) -> AbstractContextManager[None]:
        """While active, SIGTERM makes a snapshot due instead of ending the process (in the main thread only)."""
        return on_sigterm(self._terminate)

    def _terminate(self) -> None:
        self._terminating = True

    def _numbers(self) -> list[int]:
        names = os.listdir(self._folder) if os.path.isdir(self._folder) else []
        return [int(found[1]) for found in map(RECORD_NAME.fullmatch, names) if found]

    def _paths(self, number: int) -> tuple[str, str]:
        return os.path.join(self._folder, f"{number}.npz"), os.path.join(self._folder, f"{number}.json")

    def _remove(self, number: int) -> None:
        arrays, record = self._paths(number)
        for path in (record, arrays):  # the record first: it must not outlive its arrays
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
