"""Declared shapes: what the values in a file have to be, written as data and checked before anything uses them.

A shape is one of the classes below; `Object({"seq_len": Whole(1), "labels": ListOf(Text())}, required=("labels",))`
is one. Keys that a shape does not name are left alone, so that files of later versions can be read.
"""

import itertools
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xtremedistil.errors import InputError

LARGEST = 2**31 - 1  # what NumPy, TensorFlow and ONNX take as a size everywhere
MOST_LISTED = 10
MOST_SHOWN = 60  # characters of a value
MOST_DIGITS = 10**18
LINE_ENDS = frozenset("\n\r\t\0\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")


@dataclass(frozen=True)
class Whole:
    """A whole number; true and false are none."""

    least: int = 0
    most: int = LARGEST

    def expected(self) -> str:
        return f"a whole number from {self.least:,} to {self.most:,}"

    def fits(self, value) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= self.most


@dataclass(frozen=True)
class Number:
    """A finite number."""

    least: float = -math.inf
    most: float = math.inf
    below: float = math.inf

    def expected(self) -> str:
        ends = {"at least": self.least, "at most": self.most, "below": self.below}
        words = [f"{word} {end:g}" for word, end in ends.items() if math.isfinite(end)]
        return " ".join(["a finite number", " and ".join(words)]).strip()

    def fits(self, value) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e300:  # NaN passes here
            return False
        return self.least <= value <= self.most and value < self.below


@dataclass(frozen=True)
class Text:
    """A text.

    Fields:
        choices: the texts that it may be; None: any. one_line: it has no line ends, tabs or NULs.
    """

    choices: Collection[str] | None = None
    one_line: bool = False

    def expected(self) -> str:
        if self.choices is not None:
            return f"one of {', '.join(self.choices)}"
        return "a text without line ends and tabs" if self.one_line else "a text"

    def fits(self, value) -> bool:
        if not isinstance(value, str) or (self.choices is not None and value not in self.choices):
            return False
        return is_encodable(value) and (not self.one_line or LINE_ENDS.isdisjoint(value))


@dataclass(frozen=True)
class Switch:
    """true or false."""

    def expected(self) -> str:
        return "true or false"

    def fits(self, value) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Anything:
    """Any value."""

    def expected(self) -> str:
        return "any value"

    def fits(self, value) -> bool:
        return True


@dataclass(frozen=True)
class ListOf:
    """A list. `distinct`: no entry may be there twice."""

    entry: "Shape"
    least: int = 0
    distinct: bool = False

    def expected(self) -> str:
        return f"a list of at least {self.least}" if self.least else "a list"

    def fits(self, value) -> bool:
        return isinstance(value, list) and len(value) >= self.least


@dataclass(frozen=True)
class MapOf:
    """An object of any keys whose values have one shape; `numbered`: its keys are "0", "1", ... without gaps."""

    value: "Shape"
    numbered: bool = False

    def expected(self) -> str:
        return 'an object with the keys "0", "1", ... without gaps' if self.numbered else "an object"

    def fits(self, value) -> bool:
        if not isinstance(value, Mapping):
            return False
        return not self.numbered or {str(key) for key in value} == {str(number) for number in range(len(value))}


@dataclass(frozen=True)
class Object:
    """An object with declared keys, of which `required` must be there."""

    keys: Mapping[str, "Shape"]
    required: Collection[str] = ()

    def expected(self) -> str:
        return "an object"

    def fits(self, value) -> bool:
        return isinstance(value, Mapping)


@dataclass(frozen=True)
class Either:
    """A value of one of several shapes."""

    shapes: tuple["Shape", ...]

    def expected(self) -> str:
        return " or ".join(shape.expected() for shape in self.shapes)

    def fits(self, value) -> bool:
        return any(next(faults(value, shape), None) is None for shape in self.shapes)


@dataclass(frozen=True)
class OrNull:
    """null, or a value of a shape."""

    shape: "Shape"

    def expected(self) -> str:
        return f"{self.shape.expected()}, or null"

    def fits(self, value) -> bool:
        return value is None or self.shape.fits(value)


Shape = Whole | Number | Text | Switch | Anything | ListOf | MapOf | Object | Either | OrNull
LABELS = ListOf(OrNull(Text(one_line=True)), least=1)  # the original release wrote null for a padding token it lacked


def check(value: Any, shape: Shape, where: str, cure: str = "") -> Any:
    """Returns `value`, if it has the shape.

    Args:
        where: the file, for the message. cure: what to do about it.

    Raises:
        InputError: it has not; the message lists each place, what is there and what is expected.
    """
    found = list(itertools.islice(faults(value, shape), MOST_LISTED + 1))
    if not found:
        return value
    if len(found) == 1:
        text = f"{where}: {found[0]}."
    else:
        lines = [*found[:MOST_LISTED], *(["..."] if len(found) > MOST_LISTED else [])]
        text = f"{where} holds values that cannot be used:\n" + "\n".join(f"  {line}" for line in lines)
    raise InputError(f"{text}\n{cure}" if cure else text)


def faults(value: Any, shape: Shape, place: str = "it") -> Iterator[str]:
    """Yields a line for each value that has not the declared shape."""
    if isinstance(shape, OrNull):
        if value is not None:
            yield from faults(value, shape.shape, place)
    elif not shape.fits(value):
        yield f"{place} is {shown(value)}; {shape.expected()} is expected"
    elif isinstance(shape, Object):
        yield from _object_faults(value, shape, place)
    elif isinstance(shape, ListOf):
        for number, entry in enumerate(value):
            yield from faults(entry, shape.entry, f"{place}[{number}]")
        yield from _repeated(value, place) if shape.distinct else ()
    elif isinstance(shape, MapOf):
        for name, entry in value.items():
            yield from faults(entry, shape.value, _inside(place, name))


def _object_faults(value: Mapping, shape: Object, place: str) -> Iterator[str]:
    for name in shape.required:
        if name not in value:
            yield f"{_inside(place, name)} is missing; {shape.keys[name].expected()} is expected"
    for name, declared in shape.keys.items():
        if name in value:
            yield from faults(value[name], declared, _inside(place, name))


def _repeated(value: list, place: str) -> Iterator[str]:
    first: dict[str, int] = {}
    for number, entry in enumerate(value):
        known = first.setdefault(repr(entry), number)
        if known != number:
            yield f"{place}[{number}] is {shown(entry)}, as {place}[{known}] is; each may be there once"


def _inside(place: str, name) -> str:
    quoted = shown(str(name))
    return quoted if place == "it" else f"{place}.{quoted}"


def shown(value: Any) -> str:
    """Returns a value as a message shows it: short, on one line, and printable everywhere."""
    if isinstance(value, Mapping):
        return f"an object of {len(value)}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    if isinstance(value, str):
        text = json.dumps(value[:MOST_SHOWN], ensure_ascii=not is_encodable(value))
        return text if len(value) <= MOST_SHOWN else f"{text[:-1]}...\""
    if isinstance(value, int) and abs(value) >= MOST_DIGITS:
        return f"a number of {value.bit_length()} bits"
    return json.dumps(value) if value is None or isinstance(value, (bool, int, float)) else type(value).__name__


def is_encodable(text: str) -> bool:
    """Whether a text can be written as UTF-8: halves of surrogate pairs, which JSON can hold, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
