"""Checks the values of a command's settings: types, choices and ranges, alike from Python and from the command line."""

import dataclasses
import math
import os
import types
import typing

from xtremedistil.errors import InputError, Problems
from xtremedistil.flags import did_you_mean, nearest

LARGEST = 2**31 - 1  # whole numbers become int32 in TensorFlow, seeds too
LONGEST_SHOWN = 60
TEXTS = tuple[str, ...]
EXPECTED = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", TEXTS: "a list of texts"}
AUTO = "auto"  # what a rate may be in place of a number


def plain_values(config) -> None:
    """Turns values of a dataclass into the types of its fields where nothing is lost: paths into texts, lists into
    tuples, whole numbers of a field of numbers into floats, NumPy's scalars into Python's."""
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        plain = _plain(value, _kinds(entry))
        if plain is not value:
            object.__setattr__(config, entry.name, plain)  # settings of a fit are frozen


def _plain(value, kinds: tuple):
    if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if TEXTS in kinds and isinstance(value, list | tuple):
        return tuple(os.fspath(one) if isinstance(one, os.PathLike) else one for one in value)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return float(value)
    return value


def add_value_problems(problems: Problems, config, title: str) -> None:
    """Adds a line for each value out of range.

    Raises:
        InputError: a value has a wrong type or is none of the choices; the other checks could not read it. The message
            has `title` and all lines so far.
    """
    plain_values(config)
    lines = [_type_problem(entry, getattr(config, entry.name)) for entry in dataclasses.fields(config)]
    wrong = [line for line in lines if line]
    problems.add(wrong)
    problems.add(range_problems(config))
    if wrong:
        problems.refuse(title)


def require_settings(config, kind: type) -> None:
    """Raises InputError if `config` is no `kind`."""
    if not isinstance(config, kind):
        raise InputError(f"{shown(config)} is no {kind.__name__}. Make one: xtremedistil.{kind.__name__}(...)")


def range_problems(config) -> list[str]:
    """Returns a line for each number, of those of the right type, that is out of its range."""
    values = [(entry, getattr(config, entry.name)) for entry in dataclasses.fields(config)]
    numbers = [(entry, value) for entry, value in values if _is_number(value) and not _type_problem(entry, value)]
    return [line for entry, value in numbers if (line := _range_problem(entry, value))]


def shown(value) -> str:
    """Returns a value as messages show it: of any length and any type."""
    try:
        text = repr(value)
    except Exception as error:  # somebody's own class
        text = f"a {type(value).__name__} ({type(error).__name__} where it is written)"
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 4] + " ..."


def _kinds(entry: dataclasses.Field) -> tuple:
    return typing.get_args(entry.type) if isinstance(entry.type, types.UnionType) else (entry.type,)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _type_problem(entry: dataclasses.Field, value) -> str | None:
    """Returns a line on a value of a wrong type, or none of the choices."""
    kinds = _kinds(entry)
    if value is None and type(None) in kinds:
        return None
    if set(kinds) == {float, str}:
        fits = _is_number(value) or value == AUTO
        return None if fits else f'`{entry.name}` {shown(value)}: a number above 0, or "{AUTO}", is expected'
    if not any(_fits(value, kind) for kind in kinds if kind is not type(None)):
        expected = " or ".join("None" if kind is type(None) else EXPECTED[kind] for kind in kinds)
        return f"`{entry.name}` {shown(value)}: {expected} is expected"
    texts = value if isinstance(value, tuple) else [value] if isinstance(value, str) else []
    lines = [_text_problem(entry, text) for text in texts]
    return next((f"`{entry.name}` {line}" for line in lines if line), None)


def _fits(value, kind) -> bool:
    if kind == TEXTS:
        return isinstance(value, tuple) and all(isinstance(text, str) for text in value)
    if kind in (int, float):
        return _is_number(value) and (kind is float or isinstance(value, int))
    return isinstance(value, kind)


def _text_problem(entry: dataclasses.Field, text: str) -> str | None:
    choices = entry.metadata.get("choices")
    if choices:
        near = did_you_mean(nearest(text, choices)) if text else ""
        return None if text in choices else f"{shown(text)}: there are {', '.join(choices)}{near}"
    if not text and entry.default != "":
        return "is empty: give a value, or leave it away"
    if "\0" in text:
        return f"{shown(text)}: a text without NUL characters is expected"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return f"{shown(text)}: it holds bytes that are not UTF-8, which settings cannot be saved with"
    return None


def _range_problem(entry: dataclasses.Field, value: int | float) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"`{entry.name}` {value}: must be a finite number"
    least, most, above, below = (entry.metadata.get(name) for name in ("least", "most", "above", "below"))
    too_low = (least is not None and value < least) or (above is not None and value <= above)
    too_high = (most is not None and value > most) or (below is not None and value >= below)
    if too_low or too_high:
        return f"`{entry.name}` {value}: must {_range(least, most, above, below)}"
    if abs(value) > LARGEST:
        return f"`{entry.name}` {shown(value)}: must be at most {LARGEST}"
    return None


def _range(least, most, above, below) -> str:
    if least is not None and most is not None:
        return f"be from {least} to {most}"
    if least == 0 and below is None:
        return "not be negative"
    bounds = {"at least": least, "greater than": above, "at most": most, "below": below}
    return "be " + " and ".join(f"{words} {bound}" for words, bound in bounds.items() if bound is not None)
