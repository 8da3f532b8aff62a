"""Checksums of the files in a folder that later commands read, in `checksums.json` beside them.

The checksum of a new file is recorded before the file takes its place, beside that of the file that it replaces, which
is forgotten afterwards: after a kill at any moment, the record fits whichever of the two is there. A folder without
record (of the original release, of earlier versions, or copied without it) is accepted, and so are files that the
record does not name. Runs change a record while they hold the lock of its folder.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterator

import numpy as np

from xtremedistil.errors import InputError
from xtremedistil.storage.files import atomic_file, fingerprint, json_text, read_sealed, write_sealed

CHECKSUMS = "checksums.json"
NOW, BEFORE = "sha256", "replaced"  # keys of the record; the second is there while a file is being replaced
LARGE = (".h5", ".npy", ".onnx")  # endings of files that only some commands read
Record = dict[str, dict[str, str]]


@contextlib.contextmanager
def vouched_file(path: str, mode: str = "w") -> Iterator:
    """Opens a file as `atomic_file` does; its checksum is recorded in its folder."""

    def announce(partial: str) -> None:
        digest = fingerprint(partial)
        _change(path, lambda record, name: _announced(record, name, path, digest))

    with atomic_file(path, mode, announce) as file:
        yield file
    _change(path, _settled)


def write_vouched_json(path: str, value) -> None:
    """Writes a JSON value as `files.write_json` does; its checksum is recorded in its folder."""
    with vouched_file(path) as file:
        file.write(json_text(value))


def write_vouched_array(path: str, array: np.ndarray) -> None:
    """Writes an array as `files.write_array` does; its checksum is recorded in its folder."""
    with vouched_file(path, "wb") as file:
        np.save(file, array)


def vouch(folder: str, names: Collection[str]) -> None:
    """Records the checksums of those files of a folder that are there, as they are now."""
    there = {name: os.path.join(folder, name) for name in sorted(names)}
    digests = {name: fingerprint(path) for name, path in there.items() if os.path.isfile(path)}
    record = _read(folder)
    _write(folder, {NOW: record[NOW] | digests, BEFORE: _without(record[BEFORE], digests)})


def forget(folder: str, names: Collection[str]) -> None:
    """Removes files from a folder's record, if it has one."""
    if os.path.isfile(os.path.join(folder, CHECKSUMS)):
        _write(folder, {key: _without(digests, names) for key, digests in _read(folder).items()})


def check_files(folder: str, large: Collection[str] | None = None, *, accept: bool = False) -> None:
    """Checks the files of a folder against its record; those that are not there are passed over.

    Args:
        large: files of weights and graphs that are read, beside all small ones; None: all of them.
        accept: check nothing, because the files were changed on purpose.

    Raises:
        InputError: a file, or the record itself, is not as it was written.
    """
    if accept or not os.path.isfile(os.path.join(folder, CHECKSUMS)):
        return
    record = read_sealed(os.path.join(folder, CHECKSUMS))
    if not _is_record(record):
        raise InputError(
            f"{os.path.join(folder, CHECKSUMS)} is damaged: the files in {folder} cannot be checked against it.\n"
            "Copy the folder again. If you know that its files are right, give `accept_weights`."
        )
    wanted = [name for name in record[NOW] if large is None or name in large or not name.endswith(LARGE)]
    changed = [name for name in wanted if not _is_as_written(folder, name, record)]
    if changed:
        _refuse(folder, changed)


def check_file(path: str, *, accept: bool = False) -> None:
    """Checks one file against its folder's record, if there is one that names it. Raises as `check_files`."""
    folder, name = os.path.split(os.path.abspath(path))
    check_files(folder, (name,), accept=accept)


def _refuse(folder: str, changed: list[str]) -> None:
    paths = ", ".join(os.path.join(folder, name) for name in changed)
    are, them = ("is", "it") if len(changed) == 1 else ("are", "them")
    raise InputError(
        f"{paths} {are} not as written: the bytes are not those whose checksum {CHECKSUMS} holds.\n"
        f"The disk or a copy damaged {them}, or somebody changed {them}. Copy {them} again, or give the command again "
        f"that wrote {them}. If you changed {them} on purpose, give `accept_weights`."
    )


def _is_as_written(folder: str, name: str, record: Record) -> bool:
    path = os.path.join(folder, name)
    return not os.path.isfile(path) or fingerprint(path) in (record[NOW][name], record[BEFORE].get(name))


def _is_record(record: dict | None) -> bool:
    return record is not None and all(isinstance(record.get(key), dict) for key in (NOW, BEFORE))


def _announced(record: Record, name: str, path: str, digest: str) -> Record:
    """The record that fits both the file that is there and the one that replaces it."""
    before = record[NOW].get(name)
    if before is None and os.path.isfile(path):
        before = fingerprint(path)
    return {NOW: record[NOW] | {name: digest}, BEFORE: record[BEFORE] | ({name: before} if before else {})}


def _settled(record: Record, name: str) -> Record:
    return {NOW: record[NOW], BEFORE: _without(record[BEFORE], [name])}


def _change(path: str, change: Callable[[Record, str], Record]) -> None:
    folder, name = os.path.split(path)
    _write(folder, change(_read(folder), name))


def _read(folder: str) -> Record:
    """The record; an empty one where there is none, or a damaged one, which the new one replaces."""
    record = read_sealed(os.path.join(folder, CHECKSUMS))
    return record if _is_record(record) else {NOW: {}, BEFORE: {}}


def _write(folder: str, record: Record) -> None:
    path = os.path.join(folder, CHECKSUMS)
    if record[NOW]:
        write_sealed(path, {key: dict(sorted(digests.items())) for key, digests in record.items()})
        return
    with contextlib.suppress(FileNotFoundError):
        os.remove(path)


def _without(digests: dict[str, str], names: Collection[str]) -> dict[str, str]:
    return {name: digest for name, digest in digests.items() if name not in names}
