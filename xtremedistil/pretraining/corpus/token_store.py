"""A corpus as tokens on disk: tokenised once, however often it is read, and mapped into memory as one array.

A folder holds `pieces.bin`, `lines.bin`, `counts.npy` and `store.json`, which says of which tokenizer and corpus they
are and has a checksum of each part. Files of a corpus count as unchanged by name, size and time of change: reading all
of them to find that out would take too long.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.pretraining.corpus.store_parts import LINES, PIECES, Part
from xtremedistil.pretraining.corpus.store_writer import COUNTS, FORMAT, MANIFEST, RECORD, Progress, StoreWriter
from xtremedistil.storage.arrays import read_array
from xtremedistil.storage.folders import locked
from xtremedistil.storage.json_files import read_json
from xtremedistil.tokenization.tokenizer import Tokenizer

AGAIN = "Tokenise the corpus again; only what is damaged is made anew."


@dataclass(frozen=True)
class TokenStore:
    """The tokens of all lines, one after the other. P tokens, L lines, V tokens of the vocabulary.

    Fields:
        tokens: uint16 or uint32 [P], memory-mapped; each line is closed by the tokenizer's end token, if it has one.
        lines: int64 [L + 1], memory-mapped; line n is `lines[n]:lines[n + 1]`. Lines without any token are left out.
        counts: int64 [V]; how often each token occurs, those that close a line not counted.
        end_ids: what closes a line.
        key: sha256 of the tokenizer and the corpus.
    """

    tokens: np.ndarray
    lines: np.ndarray
    counts: np.ndarray
    end_ids: tuple[int, ...]
    key: str


def write_token_store(
    folder: str, tokenizer: Tokenizer, paths: Sequence[str], progress: Progress = lambda done, total: None
) -> TokenStore:
    """Tokenises the files of a corpus, but for those parts that the folder already holds; damaged ones are made again.

    A store of another tokenizer or corpus makes room for this one. Other runs that want the same folder wait meanwhile.

    Args:
        progress: called after each part with (bytes of the files done, bytes in all).

    Raises:
        InputError: the disk is full; the corpus is empty, changes meanwhile, or has a line that cannot be read.
    """
    with locked(folder, wait=True):
        try:
            StoreWriter(folder, tokenizer, paths, progress).make()
        except InputError:
            raise
        except OSError as error:
            raise InputError(
                f"The tokens of the corpus cannot be written to {folder} ({error.strerror or error}).\n"
                "Free some space and give the same command again: it continues after the last finished part."
            ) from error
    return open_token_store(folder)


def open_token_store(folder: str) -> TokenStore:
    """The store that `write_token_store` finished.

    Raises:
        MissingFileError: there is none. InputError: it is not finished, or its files are not as long as they should be.
    """
    manifest = _read_manifest(folder)
    last = Part.from_json(manifest["parts"][-1])
    kind = np.dtype(manifest["kind"])
    paths = {name: os.path.join(folder, name) for name in (PIECES, LINES, COUNTS)}
    expected = {PIECES: last.last_piece * kind.itemsize, LINES: 8 * (last.last_line + 1)}
    for name in paths:
        size = os.path.getsize(paths[name]) if os.path.isfile(paths[name]) else 0
        if size != expected.get(name, size or 1):
            raise InputError(
                f"{paths[name]} has {size:,} bytes, expected {expected.get(name, 'more'):,}: it is damaged. "
                f"{AGAIN}"
            )
    return TokenStore(
        np.memmap(paths[PIECES], kind, "r"),
        np.memmap(paths[LINES], np.int64, "r"),
        read_array(paths[COUNTS], kinds="i", shape=[None], cure=AGAIN),
        tuple(manifest["end_ids"]),
        manifest["key"],
    )


def _read_manifest(folder: str) -> dict:
    path = os.path.join(folder, MANIFEST)
    if not os.path.isfile(path):
        raise MissingFileError(f"{folder} holds no tokens of a corpus: {MANIFEST} is missing. Tokenise the corpus.")
    manifest = read_json(path, RECORD, AGAIN)
    if manifest.get("format") != FORMAT or not manifest.get("counts"):
        raise InputError(f"{path}: the tokens of the corpus are not all there. Tokenise it again: that goes on there.")
    return manifest
