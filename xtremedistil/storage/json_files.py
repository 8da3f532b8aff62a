"""Reads JSON files that a person or a damaged disk may have changed: bounded in size and depth, strictly UTF-8, and
checked against a declared shape."""

import json
import os
from collections.abc import Collection, Mapping
from typing import Any

from xtremedistil.errors import InputError, MissingFileError, first_line
from xtremedistil.storage.declared import Object, check, shown

MOST_BYTES = 512 << 20  # the largest, tokenizers of a million tokens, take 100 MB
MOST_LEVELS = 100
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
ANY_OBJECT = Object({})


def read_json(path: str, shape: Object = ANY_OBJECT, cure: str = "") -> dict:
    """Reads a JSON object.

    Args:
        shape: what its values have to be. cure: what to do if they are not.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is not UTF-8 or not JSON, gives a key two values, is not an object, or has not the shape.
    """
    return check_object(parse_json(read_text(path), path, cure), shape, path, cure)


def check_object(value: Any, shape: Object, where: str, cure: str = "") -> dict:
    """Returns a value that was read from JSON, if it is an object of the shape. Raises InputError if not."""
    if not isinstance(value, dict):
        raise InputError(_cured(f"{where} holds {type(value).__name__}, expected a JSON object.", cure))
    return check(value, shape, where, cure)


def read_text(path: str, most: int = MOST_BYTES) -> str:
    """Reads a text file of at most `most` bytes.

    Raises:
        MissingFileError: there is no such file. InputError: it is no file, too long, or not UTF-8.
    """
    if not os.path.exists(path):
        raise MissingFileError(f"{path} does not exist.")
    if not os.path.isfile(path):
        raise InputError(f"{path} is not a file.")
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > most:
        raise InputError(f"{path} is longer than {most / 1e6:,.0f} MB; no file of its kind is. Copy it again.")
    return decoded(data, path)


def decoded(data: bytes, where: str) -> str:
    """Returns UTF-8 as text. Raises InputError if it is not, or begins with a byte order mark."""
    if data.startswith(BYTE_ORDER_MARK):
        raise InputError(f"{where} begins with a byte order mark. Save it as UTF-8 without one.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{where}, line {line}: the byte 0x{data[error.start]:02x} is not UTF-8. Save the file as UTF-8, or copy "
            "it again."
        ) from error


def parse_json(text: str, where: str, cure: str = "") -> Any:
    """Parses JSON of any kind, at most `MOST_LEVELS` deep.

    Raises:
        InputError: it is not JSON, is nested too deeply, or gives a key two values.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except InputError as error:
        raise InputError(_cured(f"{where}: {error}", cure)) from error
    except ValueError as error:  # also numbers of thousands of digits
        raise InputError(_cured(f"{where} is not valid JSON ({first_line(error)}).", cure)) from error
    except RecursionError as error:
        raise InputError(_cured(_too_deep(where), cure)) from error
    check_depth(value, where, cure)
    return value


def check_depth(value: Any, where: str, cure: str = "", most_values: int | None = None) -> None:
    """Raises InputError if lists and objects are nested too deeply, or there are more than `most_values` of them."""
    waiting, seen = [(value, 1)], 0
    while waiting:
        inside, level = waiting.pop()
        if not isinstance(inside, (Mapping, list)):
            continue
        seen += 1
        if level > MOST_LEVELS or (most_values is not None and seen > most_values):
            raise InputError(_cured(_too_deep(where), cure))
        entries = inside.values() if isinstance(inside, Mapping) else inside
        waiting += [(entry, level + 1) for entry in entries if isinstance(entry, (Mapping, list))]


def _object(pairs: Collection[tuple[str, Any]]) -> dict:
    """Makes an object; a key may be repeated, but not with another value: readers differ on which of them counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for name, value in pairs:
            if repr(value) != repr(found[name]):
                raise InputError(f"the key {shown(name)} is there twice, with different values. Remove one of them.")
    return found


def _too_deep(where: str) -> str:
    return f"{where} is nested more than {MOST_LEVELS} levels deep, or too large."


def _cured(text: str, cure: str) -> str:
    return f"{text}\n{cure}" if cure else text
