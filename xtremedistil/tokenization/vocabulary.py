"""Chooses the tokens of a small student: those that its corpus uses.

A multilingual teacher's word embeddings would be most of a small student's weights, and most of its tokens never occur
in the student's texts. A student's tokens are always a subset of its teacher's, so that the teacher has outputs for
each of them; any word can still be spelt with them.

Axes: V tokens of the teacher, K kept tokens. A kept token's id in the student is its index among the kept ones.
"""

import difflib
import os

import numpy as np

from xtremedistil.data.text_files import find_file, read_lines, shorten
from xtremedistil.errors import InputError
from xtremedistil.tokenization.definition import BPE, ids_of_tokens, indispensable, merges, read_definition
from xtremedistil.tokenization.tokenizer import Tokenizer


def kept_tokens(tokenizer: Tokenizer, counts: np.ndarray, min_count: int = 1) -> np.ndarray:
    """Returns ids of the tokens that occur, of those that they are merged from, and of those to spell any word.

    Args:
        counts: int64 [V], how often each token occurs in the corpus.
        min_count: rarer tokens are left out; their words are split into shorter tokens.

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
    """Returns ids of the tokens in a file, one per line, completed as in `kept_tokens`; empty lines are skipped.

    Returns:
        int64 [K], ascending.

    Raises:
        InputError: a line is not a token of the tokenizer, there are no tokens, or the tokenizer has no fast form; and
            what `read_lines` raises.
    """
    definition = read_definition(tokenizer)
    known = ids_of_tokens(definition)
    listed = {piece: number for number, piece in reversed(list(read_lines(path))) if piece}
    if not listed:
        raise InputError(f"{find_file(path)} names no token. Expected tokens of {tokenizer.name}, one per line.")
    unknown = sorted((number, piece) for piece, number in listed.items() if piece not in known)
    if unknown:
        raise InputError(_unknown_message(find_file(path), unknown, tokenizer.name, list(known)))
    return completed(definition, set(listed))


def refuse_unknown_tokens(tokenizer: Tokenizer, count: int, model: str) -> None:
    """Raises InputError if the tokenizer has ids above those of a model with `count` word embeddings."""
    ids = max([tokenizer.size - 1, *tokenizer.pieces().values()]) + 1
    if ids > count:
        raise InputError(
            f"{model}: its config.json says vocab_size {count}, but there are {ids} tokens in the tokenizer of "
            f"{tokenizer.name}. They belong to different models. Copy both from one checkpoint, or correct vocab_size."
        )


def completed(definition: dict, pieces: set[str]) -> np.ndarray:
    """Returns ids of the tokens and of all others that they need, int64 [K], ascending."""
    pieces = pieces | indispensable(definition)
    if definition["model"]["type"] == BPE:
        pieces = _with_parts(definition, pieces)
    ids = ids_of_tokens(definition)
    return np.array(sorted({ids[piece] for piece in pieces}), np.int64)


def piece_map(kept: np.ndarray, size: int, unk_id: int) -> np.ndarray:
    """Returns int32 [size]: the student's id for each of the teacher's tokens, `unk_id` for tokens that it lacks.

    Args:
        kept: int64 [K]. size: number of ids to map, at least the tokenizer's; word embeddings may have more.
        unk_id: an id of the student's.
    """
    places = np.full(size, unk_id, np.int32)
    places[kept] = np.arange(len(kept))
    return places


def _with_parts(definition: dict, pieces: set[str]) -> set[str]:
    """Returns the tokens and, recursively, all parts that they may be merged from."""
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
        "A student's tokens must be tokens of its teacher, which has no outputs for others. Correct or "
        f"delete the line.{others}"
    )


def tokens_among(students: Tokenizer, teachers: Tokenizer) -> np.ndarray | None:
    """Returns the second tokenizer's ids of the first's tokens, int64 [K]; None unless these are a proper subset."""
    own, known = students.pieces(), teachers.pieces()
    if len(own) >= len(known) or not own.keys() <= known.keys() or sorted(own.values()) != list(range(len(own))):
        return None
    return np.array([known[piece] for piece in sorted(own, key=own.__getitem__)], np.int64)
