"""Temporary names beside a file or folder that is being written.

No two writers share a name. Each holds a lock on what it writes, so that what a killed writer left behind is known by
being unlocked, and goes when the same file or folder is written next.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator

PARTIAL, REPLACED = ".partial", ".replaced"


def new_name(path: str, ending: str = PARTIAL) -> str:
    """Returns a name beside `path` that no other writer uses."""
    return f"{path}.{secrets.token_hex(4)}{ending}"


def hold(descriptor: int) -> None:
    """Locks an open file until it is closed, where the file system knows locks."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def held(folder: str) -> Iterator[None]:
    """Locks a folder while the block runs."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        hold(descriptor)
        yield
    finally:
        os.close(descriptor)


def remove_abandoned(path: str) -> None:
    """Removes what killed writers of `path` left beside it; leaves alone what is being written."""
    folder, name = os.path.split(os.path.abspath(path))
    left = re.compile(re.escape(name) + r"\.[0-9a-f]{8}\.(partial|replaced)")
    with contextlib.suppress(OSError):
        for found in filter(left.fullmatch, os.listdir(folder)):
            _remove_if_unlocked(os.path.join(folder, found))


def _remove_if_unlocked(path: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(path)
        finally:
            os.close(descriptor)


def remove(path: str) -> None:
    """Removes a file or folder, if it is there."""
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        os.remove(path)
