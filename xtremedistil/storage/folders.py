"""Locks folders, writes them atomically, and measures them."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator

from xtremedistil.errors import InputError
from xtremedistil.storage import partials

LOCK = ".lock"
MOST_REPLACED = 9  # times that another process may put a folder in the way


@contextlib.contextmanager
def locked(folder: str, *, wait: bool = False) -> Iterator[None]:
    """Locks `folder` against other runs while the block runs; creates it, and removes it if it stays empty.

    Args:
        wait: wait for another run to unlock it, instead of refusing.

    Raises:
        InputError: another run holds the lock, or the folder cannot be created.
    """
    new = _missing_folders(folder)
    try:
        file = _lock(folder, wait)
    except BlockingIOError as error:
        raise InputError(
            f"Another run is at work in {folder}. Wait for it, or give this run another folder."
        ) from error
    except OSError as error:
        raise InputError(f"{folder} cannot be used as a folder to write to: {error.strerror}.") from error
    with file:
        try:
            yield
        finally:
            # A refused run leaves nothing behind.
            if new and os.listdir(folder) == [LOCK]:
                os.remove(os.path.join(folder, LOCK))
                _remove_empty(new)


def _lock(folder: str, wait: bool):
    """Returns an open file that holds the lock."""
    path = os.path.join(folder, LOCK)
    while True:
        os.makedirs(folder, exist_ok=True)
        file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - held open while locked
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # The previous run may have removed the folder while this one waited.
            if os.path.isfile(path) and os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except OSError:
            file.close()
            raise
        file.close()


def make_folder(folder: str) -> None:
    """Creates a folder, if it does not exist.

    Raises:
        InputError: the disk is full, or permission is denied.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}. What was there is intact.") from error


def _missing_folders(folder: str) -> list[str]:
    """Returns this folder and those above it that do not exist, deepest first."""
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
    """Returns the folder, or the nearest one above it that exists; it is on the same disk."""
    missing = _missing_folders(folder)
    return os.path.dirname(missing[-1]) if missing else folder


def same_disk(one: str, other: str) -> bool:
    """Whether two folders, which need not exist yet, are on one disk."""
    return os.stat(nearest_existing(one)).st_dev == os.stat(nearest_existing(other)).st_dev


def size_of(path: str) -> int:
    """Returns the bytes of a file, or of all files below a folder."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    files = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    return sum(map(_size_if_there, files))


def _size_if_there(path: str) -> int:
    """Returns a file's size, or 0 if another run has just removed it."""
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def new_folder(out: str) -> Iterator[str]:
    """Creates a folder that replaces `out` when the block ends; if the block fails, nothing is left of it.

    Raises:
        InputError: the disk is full, or the folder cannot be written to; an existing folder at `out` is untouched.
    """
    new = _missing_folders(os.path.dirname(os.path.abspath(out)))
    partials.remove_abandoned(out)
    partial = partials.new_name(out)
    try:
        os.makedirs(partial)
        with partials.held(partial):
            yield partial
            _replace(partial, out)
    except InputError as error:  # raised by the block, which only knows the partial folder
        raise InputError(str(error).replace(partial, out)) from error
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}. What was there is intact.") from error
    finally:
        partials.remove(partial)
        _remove_empty(new)


def _replace(partial: str, out: str) -> None:
    """Puts a folder in the place of another; what other processes put there meanwhile is replaced too."""
    for last in (False,) * MOST_REPLACED + (True,):
        replaced = partials.new_name(out, partials.REPLACED)
        try:
            _swap(partial, out, replaced)
            return
        except OSError as error:
            if last or error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                raise
        finally:
            partials.remove(replaced)


def _swap(partial: str, out: str, replaced: str) -> None:
    if not os.path.isdir(out):
        os.rename(partial, out)
        return
    with partials.held(out):
        os.rename(out, replaced)
        try:
            os.rename(partial, out)
        except OSError:
            if not os.path.isdir(out):
                os.rename(replaced, out)
            raise
