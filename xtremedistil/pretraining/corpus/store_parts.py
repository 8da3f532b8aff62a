"""The two files of a token store, written part by part.

A part is a stretch of the corpus; its tokens and lines have fixed places in the files, with a checksum for both. So a
run that was killed continues after the last part that was recorded, and a damaged part is made again in its place.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil.pretraining.corpus.files import Place
from xtremedistil.storage.declared import ListOf, Object, Text, Whole

PIECES, LINES = "pieces.bin", "lines.bin"
BYTES_AT_A_TIME = 1 << 20
COUNT = Whole(most=10**18)
PART = {"start": ListOf(COUNT, least=3), "end": ListOf(COUNT, least=3), "sha256": Text()}
PART |= dict.fromkeys(("first_piece", "first_line", "pieces", "lines"), COUNT)
PART = Object(PART, required=tuple(PART))


@dataclass(frozen=True)
class Part:
    """A stretch of a corpus in the files. The names of its fields are keys of store.json, where tokens are pieces.

    Fields:
        start, end: places of the corpus.
        first_piece, first_line: how many tokens and lines stand before this part's. pieces, lines: how many it has.
        sha256: over its tokens and its lines, as they stand in the files.
    """

    start: Place
    end: Place
    first_piece: int
    first_line: int
    pieces: int
    lines: int
    sha256: str

    @property
    def last_piece(self) -> int:
        return self.first_piece + self.pieces

    @property
    def last_line(self) -> int:
        return self.first_line + self.lines

    @classmethod
    def from_json(cls, saved: dict) -> "Part":
        ends = {name: Place(*saved[name][:3]) for name in ("start", "end")}
        return cls(**{name: saved[name] for name in PART.keys} | ends)


class PartFiles:
    """The files of tokens (`kind` [P]) and of lines (int64 [L + 1], where each begins and the last ends), to write to.

    The first entry of the lines is 0; after it, each part has where its lines end.
    """

    def __init__(self, folder: str, kind: np.dtype):
        self._kind = np.dtype(kind)
        with contextlib.ExitStack() as opened:
            self._tokens, self._lines = (
                opened.enter_context(open(_made(os.path.join(folder, name)), "r+b")) for name in (PIECES, LINES)
            )
            self._opened = opened.pop_all()

    def __enter__(self) -> "PartFiles":
        return self

    def __exit__(self, *error) -> None:
        self._opened.close()

    def write(self, start: Place, end: Place, before: Part | None, tokens: np.ndarray, lengths: np.ndarray) -> Part:
        """Writes a part after another one; it is on disk when this returns."""
        first_piece, first_line = (before.last_piece, before.last_line) if before else (0, 0)
        stops = first_piece + np.cumsum(lengths, dtype=np.int64)
        written = tokens.astype(self._kind).tobytes(), stops.tobytes()
        part = Part(start, end, first_piece, first_line, len(tokens), len(lengths), _sha256(written))
        for file, (place, _), content in zip((self._tokens, self._lines), self._slices(part), written, strict=True):
            file.seek(place)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return part

    def is_whole(self, part: Part) -> bool:
        """Whether what stands in the files is what was written."""
        return part.sha256 == _sha256(
            block
            for file, (place, size) in zip((self._tokens, self._lines), self._slices(part), strict=True)
            for block in _blocks(file, place, size)
        )

    def cut_behind(self, last: Part | None) -> None:
        """Truncates both files after a part: an unfinished one may follow."""
        self._lines.seek(0)
        self._lines.write(np.zeros(1, np.int64).tobytes())
        self._lines.flush()
        self._tokens.truncate(last.last_piece * self._kind.itemsize if last else 0)
        self._lines.truncate(8 * (1 + (last.last_line if last else 0)))

    def _slices(self, part: Part) -> list[tuple[int, int]]:
        """Where its bytes begin and how many they are, in each of the files."""
        width = self._kind.itemsize
        return [(part.first_piece * width, part.pieces * width), (8 * (1 + part.first_line), 8 * part.lines)]


def remove_files(folder: str) -> None:
    """Removes the files, instead of emptying them: another run may still read what stood in them."""
    for name in (PIECES, LINES):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(folder, name))


def _made(path: str) -> str:
    with open(path, "ab"):
        return path


def _blocks(file, place: int, size: int):
    file.seek(place)
    while size > 0 and (block := file.read(min(size, BYTES_AT_A_TIME))):
        size -= len(block)
        yield block


def _sha256(blocks: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()
