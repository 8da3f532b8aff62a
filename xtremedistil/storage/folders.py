"""Folders: locks, folders that appear whole or not at all, sizes."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator

from xtremedistil.errors import InputError

LOCK = ".lock"


@contextlib.contextmanager
def locked(folder: str, *, wait: bool = False) -> Iterator[None]:
    """Keeps other runs out of `folder` while the block runs; makes the folder, and removes it if nothing came into it.

    Args:
        wait: for another run to leave, instead of refusing.

    Raises:
        InputError: another run holds it, or the folder cannot be made.
    """
    new = _missing_folders(folder)
    try:
        file = _lock(folder, wait)
    except BlockingIOError as error:
        raise InputError(
            f"Another run is at work in {folder}. Wait for it, or give this one a folder of its own."
        ) from error
    except OSError as error:
        raise InputError(f"{folder} cannot be used as a folder to write to: {error.strerror}.") from error
    with file:
        try:
            yield
        finally:
            # A run that was refused leaves nothing behind.
            if new and os.listdir(folder) == [LOCK]:
                os.remove(os.path.join(folder, LOCK))
                _remove_empty(new)


def _lock(folder: str, wait: bool):
    """An open file that holds the lock."""
    path = os.path.join(folder, LOCK)
    while True:
        os.makedirs(folder, exist_ok=True)
        file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - held open while locked
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # The run before may have removed the folder while this one waited.
            if os.path.isfile(path) and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except OSError:
            file.close()
            raise
        file.close()


def make_folder(folder: str) -> None:
    """Makes a folder, if it is not there.

    Raises:
        InputError: no space left, or no permission.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}. What was there is intact.") from error


def _missing_folders(folder: str) -> list[str]:
    """The folders that have to be made for this one, the deepest first."""
    missing, folder = [], os.path.abspath(folder)
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def _remove_empty(folders: list[str]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            os.rmdir(folder)


def nearest_existing(folder: str) -> str:
    """The folder itself or the nearest above it that exists: on the same disk."""
    missing = _missing_folders(folder)
    return os.path.dirname(missing[-1]) if missing else folder


def same_disk(one: str, other: str) -> bool:
    """Whether two folders, there or not yet, share their room."""
    return os.stat(nearest_existing(one)).st_dev == os.stat(nearest_existing(other)).st_dev


def size_of(path: str) -> int:
    """Bytes of a file, or of all files below a folder."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    files = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    return sum(map(_size_if_there, files))


def _size_if_there(path: str) -> int:
    """Of a file that another run may have removed meanwhile."""
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def new_folder(out: str) -> Iterator[str]:
    """A folder that takes the place of `out` when the block ends, and leaves nothing behind when it fails.

    Raises:
        InputError: no space left, or the folder cannot be written to; what stood at `out` is untouched.
    """
    partial, new = f"{out}.partial", _missing_folders(os.path.dirname(os.path.abspath(out)))
    try:
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial)
        yield partial
        _take_place(partial, out)
    except InputError as error:  # of the block itself, which knows the partial folder only
        raise InputError(str(error).replace(partial, out)) from error
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}. What was there is intact.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        _remove_empty(new)


def _take_place(partial: str, out: str) -> None:
    replaced = f"{out}.replaced"
    shutil.rmtree(replaced, ignore_errors=True)
    if os.path.isdir(out):
        os.rename(out, replaced)
    try:
        os.rename(partial, out)
    except OSError:
        if os.path.isdir(replaced):
            os.rename(replaced, out)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
