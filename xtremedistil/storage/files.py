"""Reads and writes files: atomically, with checksums, and as memory-mapped arrays."""

import contextlib
import hashlib
import json
import mmap
import os
from collections.abc import Callable, Iterator

import numpy as np

from xtremedistil.errors import InputError
from xtremedistil.storage import partials
from xtremedistil.storage.declared import Object
from xtremedistil.storage.json_files import ANY_OBJECT, read_json


@contextlib.contextmanager
def atomic_file(path: str, mode: str = "w", announce: Callable[[str], None] = lambda partial: None) -> Iterator:
    """Opens a file that becomes `path` when the block ends; if the block fails, nothing is left of it.

    Of several processes that write `path` at once, each writes a file of its own; the last to end stays.

    Args:
        announce: called with the path of the finished file before it takes its place.

    Raises:
        InputError: the disk is full, or the folder cannot be written to; an existing file at `path` is untouched.
    """
    partials.remove_abandoned(path)
    partial = partials.new_name(path)
    try:
        with _open_held(partial, mode) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            announce(partial)
            os.replace(partial, path)
    except InputError:
        raise  # raised by the block
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}. The files before it are intact."
        ) from error
    finally:
        partials.remove(partial)


@contextlib.contextmanager
def _open_held(path: str, mode: str) -> Iterator:
    """Opens a file to be written and holds it, so that no other process takes it for abandoned."""
    while True:
        with open(path, mode, encoding=None if "b" in mode else "utf-8") as file:
            partials.hold(file.fileno())
            if os.path.exists(path):  # else removed before it was held
                yield file
                return


def write_json(path: str, value) -> None:
    with atomic_file(path) as file:
        file.write(json_text(value))


def json_text(value) -> str:
    """Returns a JSON value as files have it."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


SEAL = "sealed"  # key of a record's own checksum


def write_sealed(path: str, record: dict) -> None:
    """Writes a JSON object together with its checksum."""
    write_json(path, record | {SEAL: _seal(record)})


def read_sealed(path: str, shape: Object = ANY_OBJECT) -> dict | None:
    """Reads what `write_sealed` wrote; None if it is missing or damaged, has no checksum, or not the shape."""
    try:
        record = read_json(path, shape)
    except (InputError, OSError):  # MissingFileError too
        return None
    seal = record.pop(SEAL, None)
    return record if seal == _seal(record) else None


def _seal(record: dict) -> str:
    return hashlib.sha256(json.dumps(json.loads(json.dumps(record)), sort_keys=True).encode()).hexdigest()


def write_array(path: str, array: np.ndarray) -> None:
    with atomic_file(path, "wb") as file:
        np.save(file, array)


def reserved_array(path: str, kind: np.dtype | str, shape: tuple[int, ...]) -> np.memmap:
    """Creates a memory-mapped array and reserves its space: writing to a mapped file on a full disk kills the process.

    Raises:
        InputError: the disk is full.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)  # removed, not emptied: another process may still write into it
        array = np.lib.format.open_memmap(path, "w+", kind, shape)
        if hasattr(os, "posix_fallocate"):  # not on macOS
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
        return array
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
        size = int(np.prod(shape)) * np.dtype(kind).itemsize / 1e6
        raise InputError(
            f"{path}: {size:,.1f} MB of a model's outputs could not be written ({error.strerror}).\n"
            "Free some space and give the same command again. A new run takes less with a lower "
            "`distil_chunk_size`, or on another disk (`teacher_outputs_dir`); `dry_run` tells the size."
        ) from error


def release_pages(array: np.ndarray) -> None:
    """Releases the memory in which a mapped array was read or written; the system may keep it cached."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):  # Linux
        mapped.madvise(mmap.MADV_DONTNEED)


def fingerprint(*paths: str) -> str:
    """Returns the sha256 over the bytes of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        digest.update(b"\0end of file\0")
    return digest.hexdigest()
