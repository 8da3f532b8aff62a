"""Reads a tokenizer's definition, the content of its `tokenizer.json`.

Vocabularies are trimmed on this file only: it holds everything about a fast tokenizer, with final ids, in the same form
for every family.
"""

import os
import re
import tempfile
from collections.abc import Iterator

from xtremedistil.errors import InputError
from xtremedistil.storage.json_files import read_json
from xtremedistil.tokenization.serving_tokenizer import TOKENIZER_FILE
from xtremedistil.tokenization.tokenizer import Tokenizer

WORD_PIECE, BPE, UNIGRAM = "WordPiece", "BPE", "Unigram"
AROUND = ("cls", "sep")  # keys of the post-processors of BERT and RoBERTa, with values [token, id]
BYTE = re.compile("<0x[0-9A-F]{2}>")  # token for a byte of a character that has no token


def read_definition(tokenizer: Tokenizer) -> dict:
    """Returns the content of the `tokenizer.json` that `tokenizer` saves.

    Raises:
        InputError: it saves none, or its kind is not one of the three known here.
    """
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        path = os.path.join(folder, TOKENIZER_FILE)
        definition = read_json(path) if os.path.isfile(path) else None
    if definition is None:
        raise InputError(
            f"The tokenizer of {tokenizer.name} has no fast form ({TOKENIZER_FILE}), and only that can be trimmed. "
            "Leave `student_vocab` away; the student then has all tokens of its teacher."
        )
    kind = definition["model"]["type"]
    if kind not in (WORD_PIECE, BPE, UNIGRAM):
        raise InputError(
            f"The tokenizer of {tokenizer.name} is of the kind {kind}; {WORD_PIECE}, {BPE} and {UNIGRAM} can be "
            "trimmed. Leave `student_vocab` away; the student then has all tokens of its teacher."
        )
    return definition


def ids_of_tokens(definition: dict) -> dict[str, int]:
    """Returns the id of each token, added tokens included."""
    vocabulary = definition["model"]["vocab"]
    if definition["model"]["type"] == UNIGRAM:
        vocabulary = {piece: number for number, (piece, _) in enumerate(vocabulary)}
    return vocabulary | {token["content"]: token["id"] for token in definition["added_tokens"]}


def merges(definition: dict) -> Iterator[tuple[str, str, str]]:
    """Yields (left part, right part, merged token) of each BPE merge, in the order in which they apply."""
    model = definition["model"]
    mark = model.get("continuing_subword_prefix") or ""
    for merge in model["merges"]:
        left, right = merge.split(" ") if isinstance(merge, str) else merge  # text before tokenizers 0.20
        yield left, right, left + right.removeprefix(mark)


def indispensable(definition: dict) -> set[str]:
    """Returns the tokens that every student keeps, so that it can spell any word and handles unknown text alike.

    These are special and added tokens, those put around texts, those of one character or byte, and `_unknown`.
    """
    model = definition["model"]
    added = {token["content"] for token in definition["added_tokens"]}
    around = set(_around(definition["post_processor"] or {}))
    return added | around | _unknown(model) | {piece for piece in ids_of_tokens(definition) if _is_letter(piece, model)}


def _is_letter(piece: str, model: dict) -> bool:
    bare = piece.removeprefix(model.get("continuing_subword_prefix") or "")
    return len(bare.removesuffix(model.get("end_of_word_suffix") or "")) == 1 or BYTE.fullmatch(piece) is not None


def _unknown(model: dict) -> set[str]:
    """Returns the unknown token; for Unigram also the token of the lowest score, which sets the unknown token's."""
    if model["type"] != UNIGRAM:
        return {model["unk_token"]} - {None}
    pieces = [] if model["unk_id"] is None else [model["vocab"][model["unk_id"]]]
    return {piece for piece, _ in [*pieces, min(model["vocab"], key=lambda entry: entry[1])]}


def _around(processor: dict) -> Iterator[str]:
    """Yields the tokens that a post-processor puts around texts."""
    for part in processor.get("processors", ()):
        yield from _around(part)
    for token in processor.get("special_tokens", {}).values():
        yield from token["tokens"]
    yield from (processor[name][0] for name in AROUND if name in processor)
