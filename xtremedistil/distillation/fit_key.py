"""What makes a fit the same one, so that it goes on from its own snapshots: text that the next process writes alike."""

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Callable, Mapping

import numpy as np


def fit_key(*parts) -> str:
    """sha256 of what makes a fit the same one.

    Raises:
        ValueError: a function has no name by which the next process finds it.
    """
    return hashlib.sha256("|".join(map(_text, parts)).encode()).hexdigest()


def _text(value) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
        return f"{type(value).__qualname__}{_text(fields)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(sorted(f"{_text(key)}: {_text(one)}" for key, one in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(map(_text, value))) + "}"
    if isinstance(value, np.ndarray):  # whose repr leaves out digits, and the middle of long ones
        return f"{value.dtype}{_text(value.tolist())}"
    if isinstance(value, functools.partial):
        return f"partial{_text([value.func, value.args, value.keywords])}"
    return _name(value) if callable(value) or type(value).__repr__ is object.__repr__ else repr(value)


def _name(function: Callable | object) -> str:
    """Where a function stands: its address in memory, and an object's, is another in each process."""
    name = getattr(function, "__qualname__", "<")
    if "<" in name or inspect.ismethod(function):
        raise ValueError(
            f"With folder= a fit can go on in another process, which has to know {function!r} again. A lambda, a "
            "function in a function, or an object has no name to be known by: write it as a function of its own with "
            "def, as a functools.partial of one, or as a dataclass with __call__; or leave folder= away."
        )
    return f"{function.__module__}.{name}"


def known_as(function: Callable | None) -> str:
    """Name of a function that need not have one of its own: two lambdas of one place are alike here."""
    if function is None:
        return ""
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"
