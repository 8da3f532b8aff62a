"""Reads lines and columns of text files, plain or gzip; every error names file and line."""

import codecs
import difflib
import gzip
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

from xtremedistil.errors import InputError, MissingFileError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# First bytes of files of other kinds, and what to do.
SIGNATURES = {
    b"\x1f\x8b": "It looks like gzip: name it .gz.",
    b"\xff\xfe": "It looks like UTF-16: save it as UTF-8.",
    b"\xfe\xff": "It looks like UTF-16: save it as UTF-8.",
    b"PK\x03\x04": "It looks like a zip archive: unpack it.",
}

MOST_LISTED = 8
SHOWN_CHARACTERS = 120
BLOCK = 1 << 20
MOST_MEASURED = 64 << 20  # bytes up to which the length of a too long line is measured


def find_file(path: str | os.PathLike) -> str:
    """Returns `path`, or `path`.gz if only that exists.

    Raises:
        MissingFileError: neither exists; the message lists similar names in the folder.
        InputError: it is a folder.
    """
    path = os.fspath(path)
    for candidate in (path, f"{path}.gz"):
        if os.path.isdir(candidate):
            raise InputError(f"{candidate} is a folder; a text file is expected.")
        if os.path.exists(candidate):
            return candidate
    raise MissingFileError(f"{path} does not exist. {_nearby(path)}")


def is_there(path: str) -> bool:
    """Whether `path` or `path`.gz is a file."""
    return os.path.isfile(path) or os.path.isfile(f"{path}.gz")


def _nearby(path: str) -> str:
    folder, name = os.path.split(path)
    folder = folder or "."
    if not os.path.isdir(folder):
        return f"There is no folder {folder} either."
    names = sorted(entry for entry in os.listdir(folder) if not entry.startswith("."))
    similar = difflib.get_close_matches(name, names, n=MOST_LISTED, cutoff=0.5) or names[:MOST_LISTED]
    more = ", ..." if len(similar) == MOST_LISTED < len(names) else ""
    return f"In {folder}: {', '.join(similar)}{more}." if similar else f"The folder {folder} is empty."


def read_lines(path: str | os.PathLike) -> Iterator[tuple[int, str]]:
    r"""Yields every line of a UTF-8 file with its number, empty lines too.

    Only \n and \r\n end a line (U+2028 and the like are text). A byte order mark at the start is dropped.

    Args:
        path: plain text, or gzip if the name ends in .gz; `path`.gz is read if only that exists.

    Yields:
        (number from 1, text without its line end).

    Raises:
        MissingFileError: there is no such file. InputError: not UTF-8, a NUL character, or damaged gzip.
    """
    return ((number, text) for number, _, text in read_lines_after(path))


def read_lines_after(
    path: str | os.PathLike, number: int = 0, offset: int = 0, longest: int | None = None
) -> Iterator[tuple[int, int, str]]:
    """Yields the lines of `read_lines` after a given one.

    Args:
        number, offset: of the last line to skip, as they were yielded.
        longest: maximum bytes of a line.

    Yields:
        (number from 1, bytes of text up to the end of this line, text without its line end).

    Raises:
        MissingFileError and InputError: as `read_lines`; InputError: a line is longer.
    """
    path = find_file(path)
    try:
        with open_binary(path) as file:
            file.seek(offset)
            while line := file.readline(-1 if longest is None else longest + 1):
                number, offset = number + 1, offset + len(line)
                if longest is not None and len(line) > longest and not line.endswith(b"\n"):
                    _refuse_long(line, file, path, number, longest)
                yield number, offset, _decode(line, path, number)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is not a complete gzip file ({error}). Make or copy it again.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error


def _refuse_long(begin: bytes, file: BinaryIO, path: str, number: int, longest: int) -> None:
    """Raises InputError for a line with this beginning, without reading all of it into memory."""
    _decode(begin.decode("utf-8", "ignore").encode() if _is_cut_text(begin) else begin, path, number)
    size, block = len(begin), begin
    while block and not block.endswith(b"\n") and size < MOST_MEASURED:
        block = file.readline(BLOCK)
        size += len(block)
    found = f"{size / 1e6:,.1f} MB" if size < MOST_MEASURED else f"more than {MOST_MEASURED / 1e6:,.0f} MB"
    raise InputError(
        f"{path}, line {number}: the line has {found}, but at most {longest / 1e6:,.1f} MB are read.\n"
        "Expected one sentence or document per line: split long documents into sentences or paragraphs."
    )


def _is_cut_text(begin: bytes) -> bool:
    """Whether the beginning of a line is UTF-8, except for an incomplete last character."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        return False
    return True


def open_binary(path: str) -> BinaryIO:
    """Opens a file for reading bytes, unpacked if its name ends in .gz."""
    return gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")


def _decode(line: bytes, path: str, number: int) -> str:
    content = line.removesuffix(b"\n").removesuffix(b"\r") if line.endswith(b"\n") else line
    if number == 1:
        content = content.removeprefix(BYTE_ORDER_MARK)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(_not_utf8(path, number, content, error)) from error
    if "\0" in text:
        raise InputError(f"{path}, line {number}: a NUL character at position {text.index(chr(0)) + 1}. Remove it.")
    return text


def _not_utf8(path: str, number: int, content: bytes, error: UnicodeDecodeError) -> str:
    hints = [hint for signature, hint in SIGNATURES.items() if number == 1 and content.startswith(signature)]
    found = f"byte 0x{content[error.start]:02x} at position {error.start + 1}"
    return f"{path}, line {number}: not UTF-8 ({found}). {(hints or ['Save the file as UTF-8.'])[0]}"


def read_table(
    path: str | os.PathLike, columns: Sequence[str], at_least: bool = False, hints: Mapping[int, str] | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Yields rows of a tab-separated file without header or quoting (quotes are text); skips blank lines.

    Args:
        columns: what the columns hold, for example ("words", "tags").
        at_least: rows may have more columns; these are dropped.
        hints: what to do where a row has so many columns.

    Yields:
        (line number from 1, as many texts as `columns`).

    Raises:
        InputError: a row has another number of columns, or there are no rows; and what `read_lines` raises.
    """
    rows = 0
    for number, line in read_lines(path):
        if not line.strip():
            continue
        values = line.split("\t")
        if len(values) < len(columns) or (len(values) > len(columns) and not at_least):
            hint = (hints or {}).get(len(values), "")
            raise InputError(_wrong_columns(find_file(path), number, line, columns, at_least) + hint)
        rows += 1
        yield number, values[: len(columns)]
    if not rows:
        raise InputError(f"{find_file(path)} has no rows. Expected lines of {describe(columns)}.")


def describe(columns: Sequence[str]) -> str:
    """Formats the columns of a row for a message: `"words<TAB>tags"`."""
    return '"' + "<TAB>".join(columns) + '"'


def shorten(text: str) -> str:
    """Shortens a text for an error message."""
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def _wrong_columns(path: str, number: int, line: str, columns: Sequence[str], at_least: bool) -> str:
    found = line.count("\t") + 1
    wanted = f"{'at least ' if at_least else ''}{len(columns)}"
    return (
        f"{path}, line {number}: {found} column{'s' if found > 1 else ''}, expected {wanted}.\n"
        f"  line: {shorten(line)}\n"
        f"Expected {describe(columns)}, separated by tabs, without header or quoting."
    )
