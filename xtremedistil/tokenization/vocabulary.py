"""The tokens that a corpus uses: the vocabulary of a small student.

The embedding table of a multilingual teacher is most of what a small student would weigh, and most of its tokens never
occur in the texts that the student is for. A student's tokens are always some of its teacher's, so that the teacher can
say of each what it means; and any word can still be spelt with them.

Axes: V tokens of the teacher, K kept ones. A kept token has its place among the kept as its number in the student.
"""

import difflib
import os

import numpy as np

from xtremedistil.data.text_files import find_file, read_lines, shorten
from xtremedistil.errors import InputError
from xtremedistil.tokenization.definition import BPE, ids_of_tokens, indispensable, merges, read_definition
from xtremedistil.tokenization.tokenizer import Tokenizer


def kept_tokens(tokenizer: Tokenizer, counts: np.ndarray, min_count: int = 1) -> np.ndarray:
    """Ids of the tokens that occur, and of those without which the tokenizer could not reach them or spell a word.

    Args:
        counts: int64 [V], how often each token occurs in the corpus.
        min_count: rarer tokens are left out; their words become shorter tokens.

    Returns:
        int64 [K], ascending.

    Raises:
        InputError: the tokenizer has no fast form. ValueError: fewer counts than tokens.
    """
    definition = read_definition(tokenizer)
    ids = ids_of_tokens(definition)
    if len(counts) <= max(ids.values()):
        raise ValueError(f"{len(counts)} counts, expected {max(ids.values()) + 1}, one for each token.")
    return completed(definition, {piece for piece, number in ids.items() if counts[number] >= min_count})


def tokens_from_file(path: str | os.PathLike, tokenizer: Tokenizer) -> np.ndarray:
    """Ids of the tokens in a file, one a line, completed as those of `kept_tokens` are; empty lines are skipped.

    Returns:
        int64 [K], ascending.

    Raises:
        InputError: a line is no token of the tokenizer, there is none, or the tokenizer has no fast form; and what
            `read_lines` raises.
    """
    definition = read_definition(tokenizer)
    known = ids_of_tokens(definition)
    listed = {piece: number for number, piece in reversed(list(read_lines(path))) if piece}
    if not listed:
        raise InputError(f"{find_file(path)} names no token. Expected tokens of {tokenizer.name}, one a line.")
    unknown = sorted((number, piece) for piece, number in listed.items() if piece not in known)
    if unknown:
        raise InputError(_unknown_message(find_file(path), unknown, tokenizer.name, list(known)))
    return completed(definition, set(listed))


def completed(definition: dict, pieces: set[str]) -> np.ndarray:
    """Ids of `tokens` and of all others that must come with them, int64 [K], ascending."""
    pieces = pieces | indispensable(definition)
    if definition["model"]["type"] == BPE:
        pieces = _with_parts(definition, pieces)
    ids = ids_of_tokens(definition)
    return np.array(sorted({ids[piece] for piece in pieces}), np.int64)


def piece_map(kept: np.ndarray, size: int, unk_id: int) -> np.ndarray:
    """int32 [size]: the student's number of each of the teacher's tokens, `unk_id` for those that it lacks.

    Args:
        kept: int64 [K]. size: numbers to translate, at least the tokenizer's; a table may have more rows than that.
        unk_id: a number of the student's.
    """
    places = np.full(size, unk_id, np.int32)
    places[kept] = np.arange(len(kept))
    return places


def _with_parts(definition: dict, pieces: set[str]) -> set[str]:
    """The tokens, the parts that they are merged from, in whatever way, and so on."""
    parts: dict[str, list[str]] = {}
    for left, right, merged in merges(definition):
        parts.setdefault(merged, []).extend((left, right))
    found, waiting = set(pieces), list(pieces)
    while waiting:
        new = set(parts.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


def _unknown_message(path: str, unknown: list[tuple[int, str]], name: str, known: list[str]) -> str:
    number, piece = unknown[0]
    near = difflib.get_close_matches(piece, known, n=1)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    count = len(unknown) - 1
    others = f"\n{count} other {'token is' if count == 1 else 'tokens are'} unknown, too." if count else ""
    return (
        f'{path}, line {number}: the tokenizer of {name} has no token "{shorten(piece)}".{hint}\n'
        "A student's tokens must be some of its teacher's: what the teacher says of others is unknown. Correct or "
        f"delete the line.{others}"
    )


def tokens_among(students: Tokenizer, teachers: Tokenizer) -> np.ndarray | None:
    """Where all of the first one's tokens are among the more of the second: their numbers there, int64 [K]."""
    own, known = students.pieces(), teachers.pieces()
    if len(own) >= len(known) or not own.keys() <= known.keys() or sorted(own.values()) != list(range(len(own))):
        return None
    return np.array([known[piece] for piece in sorted(own, key=own.__getitem__)], np.int64)
