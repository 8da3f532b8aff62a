"""Writes a token store: parts of a corpus, tokenised and recorded one after the other.

`store.json` is written anew after each part. A run finds there what was finished, looks whether it is whole, makes
again what is not, and goes on after it. In memory at a time: a part of the text (32 million characters), its tokens.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from xtremedistil.data.features import slice_index
from xtremedistil.errors import InputError
from xtremedistil.pretraining.corpus.files import Place, check_lines, read_corpus_after
from xtremedistil.pretraining.corpus.store_parts import PART, PIECES, Part, PartFiles, remove_files
from xtremedistil.storage.declared import ListOf, Object, OrNull, Text, Whole
from xtremedistil.storage.files import fingerprint, release_pages, write_array, write_json
from xtremedistil.storage.json_files import read_json
from xtremedistil.tokenization.tokenizer import Tokenizer

MANIFEST, COUNTS = "store.json", "counts.npy"
FORMAT = 1
RECORD = {"format": Whole(), "key": Text(), "kind": Text(("uint16", "uint32")), "end_ids": ListOf(Whole())}
RECORD |= {"counts": OrNull(Text()), "parts": ListOf(PART)}
RECORD = Object(RECORD, required=tuple(RECORD))
PART_CHARACTERS = 32_000_000  # what a killed run may have to do again
BLOCK_CHARACTERS = 1_000_000  # of one call of the tokenizer: 116 MB if they are Chinese
TOKENS_AT_A_TIME = 4_000_000
GZIP_RATIO = 3  # about; only the progress line goes by it
Progress = Callable[[int, int], None]


def store_key(tokenizer: Tokenizer, paths: Sequence[str]) -> str:
    """sha256 over what the tokenizer does and the names, sizes and times of change of the files."""
    stats = [os.stat(path) for path in paths]
    files = [(os.path.basename(path), stat.st_size, stat.st_mtime_ns) for path, stat in zip(paths, stats, strict=True)]
    return hashlib.sha256(json.dumps([FORMAT, tokenizer.fingerprint(), files]).encode()).hexdigest()


class StoreWriter:
    """A store in the making: what is there already, and what is missing."""

    def __init__(self, folder: str, tokenizer: Tokenizer, paths: Sequence[str], progress: Progress):
        self._folder, self._tokenizer, self._paths, self._progress = folder, tokenizer, paths, progress
        self._key = store_key(tokenizer, paths)
        self._kind = np.dtype(np.uint16 if tokenizer.size <= 1 << 16 else np.uint32)
        self._sizes = [os.path.getsize(path) for path in paths]

    def make(self) -> None:
        """Makes the store, or what is missing or damaged of it.

        Raises:
            InputError: the corpus is empty, changed meanwhile, or has a line that cannot be read.
            OSError: the disk is full.
        """
        parts, counts = self._recorded()
        if not (parts and self._mend(parts)):
            parts, counts = self._anew(), None
        if counts and self._is_whole(counts):
            return
        self._go_on(parts)
        if store_key(self._tokenizer, self._paths) != self._key:
            raise InputError(f"{', '.join(self._paths)}: the corpus changed while it was read. Start again.")
        if not parts[-1].last_piece:
            raise InputError(f"The tokenizer of {self._tokenizer.name} finds no token in {', '.join(self._paths)}.")
        self._finish(parts)

    def _recorded(self) -> tuple[list[Part], str | None]:
        """The parts that were finished, and the checksum of the counts if all were."""
        try:
            saved = read_json(os.path.join(self._folder, MANIFEST), RECORD)
        except InputError:  # none, or a damaged one
            return [], None
        same = saved["key"] == self._key
        return (list(map(Part.from_json, saved["parts"])), saved["counts"]) if same else ([], None)

    def _anew(self) -> list[Part]:
        check_lines(self._paths)
        self._record([])
        remove_files(self._folder)
        return []

    def _record(self, parts: Sequence[Part], counts: str | None = None) -> None:
        about = {"format": FORMAT, "key": self._key, "kind": self._kind.name, "end_ids": self._tokenizer.end_ids}
        saved = [dataclasses.asdict(part) for part in parts]
        write_json(os.path.join(self._folder, MANIFEST), about | {"counts": counts, "parts": saved})

    def _mend(self, parts: Sequence[Part]) -> bool:
        """Makes damaged parts again; whether they came out as they were."""
        with PartFiles(self._folder, self._kind) as files:
            files.cut_behind(parts[-1])
            for before, part in pairwise([None, *parts]):
                if not files.is_whole(part):
                    tokens, lengths = self._tokenised(list(self._texts_of(part)))
                    if files.write(part.start, part.end, before, tokens, lengths) != part:
                        return False
        return True

    def _texts_of(self, part: Part) -> Iterator[str]:
        for place, text in read_corpus_after(self._paths, part.start):
            yield text
            if place == part.end:
                return

    def _go_on(self, parts: list[Part]) -> None:
        """Adds the parts that are missing."""
        place = parts[-1].end if parts else None
        with PartFiles(self._folder, self._kind) as files:
            files.cut_behind(parts[-1] if parts else None)
            for end, texts in _stretches(read_corpus_after(self._paths, place)):
                tokens, lengths = self._tokenised(texts)
                before = parts[-1] if parts else None
                parts.append(files.write(place or Place(), end, before, tokens, lengths))
                self._record(parts)
                self._progress(self._bytes_before(end), sum(self._sizes))
                place = end

    def _bytes_before(self, place: Place) -> int:
        read = place.offset // (GZIP_RATIO if self._paths[place.file].endswith(".gz") else 1)
        return sum(self._sizes[: place.file]) + min(read, self._sizes[place.file])

    def _tokenised(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of all texts, each closed, and how many each has; texts without any are left out."""
        blocks = [_closed(self._tokenizer, block, self._kind) for block in _blocks(texts)]
        return np.concatenate([tokens for tokens, _ in blocks]), np.concatenate([lengths for _, lengths in blocks])

    def _is_whole(self, counts: str) -> bool:
        path = os.path.join(self._folder, COUNTS)
        return os.path.isfile(path) and fingerprint(path) == counts

    def _finish(self, parts: Sequence[Part]) -> None:
        """Counts the tokens, and records that all parts are there."""
        path, lines = os.path.join(self._folder, COUNTS), parts[-1].last_line
        tokens = np.memmap(os.path.join(self._folder, PIECES), self._kind, "r")
        write_array(path, _counts(tokens, self._tokenizer.size, self._tokenizer.end_ids, lines))
        self._record(parts, fingerprint(path))
        self._progress(sum(self._sizes), sum(self._sizes))


def _stretches(lines: Iterator[tuple[Place, str]]) -> Iterator[tuple[Place, list[str]]]:
    """Texts of one part after the other, and the place after them."""
    texts, characters = [], 0
    for place, text in lines:
        texts.append(text)
        characters += len(text)
        if characters >= PART_CHARACTERS:
            yield place, texts
            texts, characters = [], 0
    if texts:
        yield place, texts


def _blocks(texts: Sequence[str]) -> Iterator[list[str]]:
    block, characters = [], 0
    for text in texts:
        block.append(text)
        characters += len(text)
        if characters >= BLOCK_CHARACTERS:
            yield block
            block, characters = [], 0
    yield block


def _closed(tokenizer: Tokenizer, texts: Sequence[str], kind: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    ids, counts = tokenizer.encode_flat([[text] for text in texts])
    if ids.max(initial=0) >= tokenizer.size:
        raise InputError(
            f"{tokenizer.name} gives token {ids.max()}, but has {tokenizer.size} tokens. Mend its vocabulary."
        )
    counts = counts[counts > 0]
    lengths = counts + len(tokenizer.end_ids)
    stops = np.cumsum(lengths, dtype=np.int64)
    tokens = np.empty(int(lengths.sum()), kind)
    tokens[slice_index(stops - lengths, counts)] = ids
    for place, end_id in enumerate(tokenizer.end_ids):
        tokens[stops - len(tokenizer.end_ids) + place] = end_id
    return tokens, lengths


def _counts(tokens: np.ndarray, size: int, end_ids: Sequence[int], lines: int) -> np.ndarray:
    counts = np.zeros(size, np.int64)
    for start in range(0, len(tokens), TOKENS_AT_A_TIME):
        counts += np.bincount(tokens[start : start + TOKENS_AT_A_TIME], minlength=size)
        release_pages(tokens)
    for end_id in end_ids:
        counts[end_id] -= lines
    return counts
