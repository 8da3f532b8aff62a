"""The files of a corpus, line by line: one sentence or document a line, plain text or gzip.

Reading can continue after any line, so that work on a long corpus need not begin again when it was stopped.
"""

import codecs
import glob
import os
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from xtremedistil.data.text_files import find_file, open_binary, read_lines_after
from xtremedistil.errors import InputError

LONGEST_LINE = 1_000_000  # bytes
BEGINNING = 20  # lines


class Place(NamedTuple):
    """How far a corpus has been read: after line `line` of file number `file`, `offset` bytes of its text."""

    file: int = 0
    line: int = 0
    offset: int = 0


def corpus_paths(patterns: Sequence[str]) -> list[str]:
    """The files that are named, sorted, each once.

    Args:
        patterns: paths, and patterns as a shell knows them (`*`, `?`, `[...]`, and `**` for folders of any depth).

    Raises:
        MissingFileError: a file does not exist. InputError: no pattern, one that no file fits, or a folder.
    """
    if not patterns:
        raise InputError("No corpus is named. Give files of text with `corpus`, one sentence or document a line.")
    found = sorted(path for pattern in patterns for path in _matching(pattern))
    by_file: dict[str, str] = {}
    for path in found:
        by_file.setdefault(os.path.realpath(path), path)
    return list(by_file.values())


def _matching(pattern: str) -> list[str]:
    if os.path.isdir(pattern):
        raise InputError(
            f"{pattern} is a folder; files of a corpus are expected. Name those in it: {os.path.join(pattern, '*')}"
        )
    if os.path.exists(pattern) or not glob.has_magic(pattern):
        return [find_file(pattern)]
    files = [path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)]
    if not files:
        raise InputError(f"{pattern}: no file of a corpus has such a name. Correct the pattern.")
    return files


def check_beginnings(paths: Sequence[str]) -> None:
    """Raises InputError where a file is not text by its first lines; the last file's turn may come after hours."""
    for path in paths:
        for _ in islice(read_lines_after(path, longest=LONGEST_LINE), BEGINNING):
            pass


def check_lines(paths: Sequence[str]) -> None:
    """Raises InputError where a line of any file cannot be read.

    A corpus that is mended is another one, whose tokens are made from its first line on: what is wrong with its last
    line should be known before.
    """
    for path in paths:
        if not _is_sound(path):
            for _ in read_lines_after(path, longest=LONGEST_LINE):  # raises with the line and what is wrong with it
                pass


def _is_sound(path: str) -> bool:
    """Whether a file is UTF-8 without NUL characters, in lines that are short enough: found out block by block."""
    decoder, of_line = codecs.getincrementaldecoder("utf-8")(), 0  # bytes of the line that goes through blocks
    try:
        with open_binary(path) as file:
            while block := file.read(LONGEST_LINE):
                decoder.decode(block)
                first = block.find(b"\n")
                of_line += len(block) if first < 0 else first
                if of_line > LONGEST_LINE or b"\0" in block:
                    return False
                if first >= 0:
                    of_line = len(block) - block.rfind(b"\n") - 1
            decoder.decode(b"", final=True)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        return False
    return True


def read_corpus(paths: Sequence[str]) -> Iterator[tuple[str, int, str]]:
    """All lines that are not blank.

    Yields:
        (path, line number from 1, text without white space around it).

    Raises:
        InputError: no such line, one above 1 MB, or what `read_lines` raises.
    """
    return ((paths[place.file], place.line, text) for place, text in read_corpus_after(paths))


def read_corpus_after(paths: Sequence[str], place: Place | None = None) -> Iterator[tuple[Place, str]]:
    """The lines of `read_corpus` from a place on, each with the place after it."""
    start, empty = place or Place(), place is None
    for number in range(start.file, len(paths)):
        line, offset = (start.line, start.offset) if number == start.file else (0, 0)
        for line, offset, text in read_lines_after(paths[number], line, offset, LONGEST_LINE):  # noqa: B020
            if text := text.strip():
                empty = False
                yield Place(number, line, offset), text
    if empty:
        raise InputError(
            f"There is no text in {', '.join(paths)}: all lines are blank. Expected one sentence or document a line."
        )
