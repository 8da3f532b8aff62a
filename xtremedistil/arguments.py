"""Checks arguments of Python functions at the border: messages name the argument, what it is and what is expected."""

import math
import numbers
import os
from collections.abc import Mapping, Sequence

from xtremedistil.flag_values import shown

LARGEST_WHOLE = 2**31 - 1


def is_whole(value) -> bool:
    """Whether a value is a whole number; True, 3.0 and "3" are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value) -> bool:
    """Whether a value is a finite number; texts and booleans are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def require_whole(name: str, value, least: int = 0, most: int = LARGEST_WHOLE, *, optional: bool = False) -> None:
    """Raises ValueError if a value is no whole number from `least` to `most`, or None where that is allowed."""
    if not (optional and value is None) and not (is_whole(value) and least <= value <= most):
        bound = f" of at least {least}" if most == LARGEST_WHOLE else f" from {least} to {most}"
        raise ValueError(f"{name} is {shown(value)}; it is a whole number{bound}{_or_none(optional)}.")


def require_number(
    name: str, value, least: float = 0.0, most: float = math.inf, *, above: bool = False, optional: bool = False
) -> None:
    """Raises ValueError if a value is no finite number from `least` (or above it) to `most`."""
    if optional and value is None:
        return
    if not (is_number(value) and (value > least if above else value >= least) and value <= most):
        bound = f" above {least:g}" if above else f" of at least {least:g}"
        bound = f" from {least:g} to {most:g}" if most < math.inf else bound
        raise ValueError(
            f"{name} is {shown(value)}; it is a finite number{bound if least > -math.inf else ''}{_or_none(optional)}."
        )


def require_switch(name: str, value) -> None:
    """Raises ValueError if a value is neither True nor False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {shown(value)}; it is True or False.")


def require_text(name: str, value, *, optional: bool = False, empty: bool = False) -> None:
    """Raises ValueError if a value is no text; an empty one only where that is allowed."""
    if not (optional and value is None) and not (isinstance(value, str) and (value or empty)):
        raise ValueError(f"{name} is {shown(value)}; it is a text{'' if empty else ' that is not empty'}.")


def require_path(name: str, value, *, optional: bool = False) -> None:
    """Raises ValueError if a value is no path of a file or folder."""
    if optional and value is None:
        return
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value) or "\0" in os.fsdecode(value):
        raise ValueError(f"{name} is {shown(value)}; it is the path of a file or folder{_or_none(optional)}.")


def require_texts(name: str, value, *, optional: bool = False) -> None:
    """Raises ValueError if a value is no list of texts."""
    if optional and value is None:
        return
    listed = isinstance(value, (Sequence, set, frozenset)) and not isinstance(value, (str, bytes))
    if not listed or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{name} is {shown(value)}; it is a list of texts{_or_none(optional)}.")


def require_mapping(name: str, value, *, optional: bool = False) -> None:
    """Raises ValueError if a value is no mapping."""
    if not (optional and value is None) and not isinstance(value, Mapping):
        raise ValueError(f"{name} is {shown(value)}; it is a mapping, as {{...}}{_or_none(optional)}.")


def require_function(name: str, value, *, optional: bool = False) -> None:
    """Raises ValueError if a value cannot be called."""
    if not (optional and value is None) and not callable(value):
        raise ValueError(f"{name} is {shown(value)}; it is a function{_or_none(optional)}.")


def require_kind(name: str, value, kind, what: str, *, optional: bool = False) -> None:
    """Raises ValueError if a value is no instance of `kind` (a class or several); `what`: how a message calls these."""
    if not (optional and value is None) and not isinstance(value, kind):
        raise ValueError(f"{name} is {shown(value)}; it is {what}{_or_none(optional)}.")


def _or_none(optional: bool) -> str:
    return ", or None" if optional else ""
