"""Reads NumPy arrays whose headers may lie: size, type and axes are checked before memory is taken. Nothing is
unpickled."""

import math
import os
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from xtremedistil.errors import InputError, MissingFileError

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_array(
    path: str, *, kinds: str = "fiu", shape: Sequence[int | None] | None = None, mapped: bool = False, cure: str = ""
) -> np.ndarray:
    """Reads a `.npy` file.

    Args:
        kinds: letters of NumPy's kinds that it may be of. shape: its axes, None: any size; by default any axes.
        mapped: map it into memory, to be read only.
        cure: what to do about a damaged file.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is no NumPy array, of another type or shape, or its size is not what its header says.
    """
    if not os.path.isfile(path):
        raise MissingFileError(f"{path} does not exist.")
    ending = f"\n{cure}" if cure else ""
    try:
        with open(path, "rb") as file:
            found = read_header(file)
            check_header(found, os.path.getsize(path) - file.tell(), kinds, shape)
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise InputError(f"{path} is not a NumPy array that can be used ({error}).{ending}") from error


def read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Reads shape, order (whether by column) and type of an array. Raises ValueError if that cannot be done."""
    try:
        return HEADERS[np.lib.format.read_magic(file)](file)
    except Exception as error:  # headers are Python literals: parsing them raises errors of many kinds
        raise ValueError(f"its header cannot be read: {error}") from error


def check_header(
    found: tuple[tuple[int, ...], bool, np.dtype], size: int, kinds: str, shape: Sequence[int | None] | None = None
) -> None:
    """Raises ValueError if a header is not of the kinds and shape, or says another number of bytes than `size`."""
    axes, _, kind = found
    if kind.kind not in kinds or kind.hasobject:
        raise ValueError(f"its type is {kind}")
    fits = shape is None or (
        len(axes) == len(shape) and all(want in (None, have) for have, want in zip(axes, shape, strict=True))
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise ValueError(f"its shape is {list(axes)}, expected [{wanted}]")
    said = math.prod(axes) * kind.itemsize
    if min(axes, default=0) < 0 or said != size:
        raise ValueError(f"its header says {kind} {list(axes)}, {said:,} bytes, but it has {size:,}")
