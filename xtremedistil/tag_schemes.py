"""Schemes of tags that mark chunks (entities): B-PER and I-PER, BMES, BILOU, PER-B, B_PER, B and I without types."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from xtremedistil.errors import InputError

OUTSIDE = "O"
# Letters of a scheme, and those of IOBES that mean the same: begin, inside, end, single.
PREFIXES = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "W": "S"}
CHUNK_TAG = re.compile(r"[BIMELSUW]-.+", re.DOTALL)
SPECIAL_LABEL = re.compile(r"[\[<].*[\]>]|X|x")  # of a tokenizer, or the original's mark of continuation tokens
NAMES = {"B I": "IOB", "B": "IOB", "I": "IO", "E I": "IOE", "B E I S": "IOBES", "B E M S": "BMES", "B I L U": "BILOU"}
SHOWN = 6


@dataclass(frozen=True)
class TagScheme:
    """How the labels of a task mark chunks.

    Fields:
        canonical: for each label, the same as `seqeval` reads it: O, or B, I, E or S, a hyphen and the type.
        left_out: labels that mark nothing, as [CLS] and X; they count as O.
    """

    canonical: dict[str, str]
    left_out: tuple[str, ...] = ()

    @cached_property
    def name(self) -> str:
        """Returns the usual name, and how tags are written where that is unusual."""
        letters = sorted({letter for label in self.canonical if (letter := _letter(label))})
        known = NAMES.get(" ".join(letters)) or "".join(["O", *letters])
        example = next(label for label in self.canonical if _letter(label))
        return known if CHUNK_TAG.fullmatch(example) else f"{known}, written as {example}"

    def read(self, tag: str) -> str:
        """Returns a tag as `seqeval` reads it; O for one of another scheme."""
        return self.canonical.get(tag, OUTSIDE)


def is_chunk_tag(tag: str) -> bool:
    """Whether a tag is `O`, or a prefix, a hyphen and a type."""
    return tag == OUTSIDE or CHUNK_TAG.fullmatch(tag) is not None


def find_scheme(labels: Iterable[str]) -> TagScheme | None:
    """Returns the scheme of a task's labels; None if they are tags of single words (parts of speech).

    Labels of which only some mark chunks are read as tags of single words, too; `require_scheme` refuses them.
    """
    labels = list(dict.fromkeys(labels))
    special = [label for label in labels if SPECIAL_LABEL.fullmatch(label)]
    others = [label for label in labels if label not in special]
    if _are_untyped(others):
        return TagScheme({label: _canonical(label, "_") for label in others}, tuple(special))
    read = {label: _parsed(label) for label in others}
    if None in read.values() or set(read.values()) <= {OUTSIDE}:
        return None
    return TagScheme(read, tuple(special))


def require_scheme(labels: Iterable[str], path: str) -> TagScheme | None:
    """Returns `find_scheme` of the labels in `path`.

    Raises:
        InputError: most of them mark chunks and others do not, so that chunks cannot be counted.
    """
    labels = list(labels)
    scheme = find_scheme(labels)
    if scheme is not None:
        return scheme
    plain = [label for label in labels if label != OUTSIDE and not SPECIAL_LABEL.fullmatch(label)]
    odd = [label for label in plain if _parsed(label) is None]
    chunks = [label for label in plain if label not in odd]
    if len(chunks) <= len(odd):
        return None
    raise InputError(
        f"{path}: {len(chunks)} labels mark chunks ({_few(chunks)}), but not {_few(odd)}, so that F1 of chunks cannot "
        "be computed.\nWrite all tags in one scheme, for example O, B-PER, I-PER, or remove the label that is not used."
    )


def _few(labels: list[str]) -> str:
    return ", ".join(labels[:SHOWN]) + ", ..." * (len(labels) > SHOWN)


def _are_untyped(labels: list[str]) -> bool:
    """Whether they are letters of a scheme alone: B, I and O, or B, M, E and S."""
    letters = set(labels) - {OUTSIDE}
    return letters <= set(PREFIXES) and (letters >= {"B", "I"} or letters >= {"B", "M", "E", "S"})


def _parsed(label: str) -> str | None:
    """Returns a label as seqeval reads it; None if it marks no chunk."""
    if label.upper() == OUTSIDE:
        return OUTSIDE
    letter = _letter(label)
    if letter is None or len(label) < 3:
        return None
    kind = label[2:] if label[0].upper() == letter and label[1] in "-_" else label[:-2]
    return _canonical(letter, kind)


def _canonical(letter: str, kind: str) -> str:
    return OUTSIDE if letter.upper() == OUTSIDE else f"{PREFIXES[letter.upper()]}-{kind}"


def _letter(label: str) -> str | None:
    """Returns a label's letter: in front (B-PER, B_PER, b-per), at the end (PER-B), or alone."""
    if label in PREFIXES:
        return label
    if len(label) > 2 and label[1] in "-_" and label[0].upper() in PREFIXES:
        return label[0].upper()
    if len(label) > 2 and label[-2] in "-_" and label[-1] in PREFIXES:
        return label[-1]
    return None
