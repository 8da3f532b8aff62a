"""Reads a file of logits in `.npz` format, see `logit_files`, without unpickling anything."""

import contextlib
import functools
import zipfile
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from xtremedistil.data.features import offsets_of
from xtremedistil.distillation.teacher_outputs.logit_files import (
    LABELS,
    ROWS_AT_A_TIME,
    SHA256,
    Block,
    LogitFile,
    described,
)
from xtremedistil.errors import InputError
from xtremedistil.storage.arrays import check_header, read_header

UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, OSError, RuntimeError, ValueError, MemoryError)
LARGE, LARGEST_RATIO = 1 << 30, 100  # an array that unpacks to more bytes, by a larger factor, is no array of logits


def open_npz(path: str, tagging: bool) -> LogitFile:
    """Reads everything but the logits.

    Raises:
        InputError: the file is damaged or not an .npz file, or an array is missing or has a wrong shape.
    """
    names = _names(path)
    needed = ["row_ids", "logits", LABELS] + ["word_counts"] * tagging
    if missing := [name for name in needed if name not in names]:
        raise InputError(f"{path} lacks {', '.join(missing)}; its arrays are {', '.join(names) or 'none'}.")
    if "word_counts" in names and not tagging:
        raise InputError(
            f"{path} has word_counts, which are for tagging. Give `do_NER`, or make a file of logits per text."
        )
    row_ids = _integers(path, "row_ids")
    counts = _integers(path, "word_counts") if tagging else np.ones(len(row_ids), np.int64)
    if len(counts) != len(row_ids) or (counts < 1).any():
        raise InputError(
            f"{path}: word_counts must hold a number of at least 1 for each of the {len(row_ids)} row_ids."
        )
    labels = _texts(path, LABELS)
    sha256 = _texts(path, SHA256)[0] if SHA256 in names else None
    return LogitFile(path, labels, sha256, row_ids, functools.partial(_blocks, path, counts, len(labels)))


def _names(path: str) -> list[str]:
    with _readable(path, "it"), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def _array(path: str, name: str) -> np.ndarray:
    with _readable(path, name), zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
        header = read_header(member)
        _check_size(archive.getinfo(f"{name}.npy"), member, header)
        return _in_order(member.read(), *header)


def _check_size(info: zipfile.ZipInfo, member, header: tuple) -> None:
    """Raises ValueError if an array holds objects, has another size than its header says, or unpacks to far more than
    the file holds."""
    check_header(header, info.file_size - member.tell(), "fiubU")
    if info.file_size > LARGE and info.file_size > LARGEST_RATIO * info.compress_size:
        raise ValueError(f"it unpacks from {info.compress_size:,} to {info.file_size:,} bytes")


def _in_order(data: bytes, shape: tuple[int, ...], by_column: bool, kind: np.dtype) -> np.ndarray:
    flat = np.frombuffer(data, kind)
    return flat.reshape(shape[::-1]).T if by_column else flat.reshape(shape)


def _integers(path: str, name: str) -> np.ndarray:
    array = _array(path, name)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InputError(f"{path}: {name} is {described(array.dtype, array.shape)}; integers [N] are expected.")
    return array.astype(np.int64)


def _texts(path: str, name: str) -> list[str]:
    array = _array(path, name)
    if array.dtype.kind not in "Uiu" or array.ndim > 1 or not array.size:
        raise InputError(f"{path}: {name} is {described(array.dtype, array.shape)}; texts are expected.")
    return [str(value) for value in array.reshape(-1).tolist()]


def _blocks(path: str, counts: np.ndarray, labels: int) -> Iterator[Block]:
    offsets = offsets_of(counts)
    with _readable(path, "logits"), zipfile.ZipFile(path) as archive, archive.open("logits.npy") as member:
        header = read_header(member)
        _check_size(archive.getinfo("logits.npy"), member, header)
        read = _reader(path, member, header, (int(offsets[-1]), labels))
        for start in range(0, len(counts), ROWS_AT_A_TIME):
            stop = min(start + ROWS_AT_A_TIME, len(counts))
            yield Block(start, counts[start:stop], read(offsets[start], offsets[stop]))


def _reader(path: str, member, header: tuple, expected: tuple[int, int]) -> Callable[[int, int], np.ndarray]:
    """Returns a function that reads slices of the array, float32; they must be read one after the other."""
    shape, by_column, kind = header
    if shape != expected or kind.kind != "f":
        raise InputError(
            f"{path}: logits is {described(kind, shape)}; floats {list(expected)} are expected: a row for each of the "
            "row_ids (tagging: for each of their words), a column for each of the labels."
        )
    if by_column:  # stored column by column, so rows cannot be read alone
        whole = _in_order(member.read(), *header)
        return lambda start, stop: whole[start:stop].astype(np.float32)

    def read(start: int, stop: int) -> np.ndarray:
        values = np.frombuffer(member.read((stop - start) * shape[1] * kind.itemsize), kind)
        return values.reshape(stop - start, shape[1]).astype(np.float32)

    return read


@contextlib.contextmanager
def _readable(path: str, name: str) -> Iterator[None]:
    """Turns the errors of zipfile and NumPy for damaged files into an InputError."""
    try:
        yield
    except InputError:
        raise
    except UNREADABLE as error:
        cure = "Write it again with numpy.savez; texts as numpy.array(labels, dtype=str), not as Python objects."
        raise InputError(f"{path}: {name} cannot be read as part of an .npz file ({error}). {cure}") from error
