"""Trims a tokenizer to some of its tokens; texts that only need these are encoded as before.

Removing tokens does not change how kept ones are found. WordPiece takes the longest token that fits, and a kept token
that was the longest still is. BPE applies the first possible merge, and all merges that lead to kept tokens stay, in
their order. Unigram takes the split with the best score, and scores stay.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from xtremedistil.tokenization.definition import AROUND, BPE, UNIGRAM, ids_of_tokens, merges, read_definition
from xtremedistil.tokenization.serving_tokenizer import SETTINGS_FILE, SPECIAL_TOKENS_FILE, TOKENIZER_FILE
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.tokenization.vocabulary import completed


def trimmed_tokenizer(tokenizer: Tokenizer, kept: np.ndarray) -> Tokenizer:
    """Returns a tokenizer of the same class and name with only the tokens `kept`, numbered in their order.

    Texts that `tokenizer` splits into kept tokens get the same tokens. Others are split into shorter ones; a character
    that occurs only in removed tokens becomes unknown.

    Its files hold no SentencePiece model, which would still have all tokens, so they are for fast tokenizers only.

    Args:
        kept: int64 [K], from `kept_tokens` or `tokens_from_file`.

    Raises:
        InputError: the tokenizer has no fast form. ValueError: `kept` lacks tokens that must be kept.
    """
    definition = read_definition(tokenizer)
    pieces = {number: piece for piece, number in ids_of_tokens(definition).items()}
    if not np.array_equal(kept, completed(definition, {pieces[number] for number in kept.tolist()})):
        raise ValueError("kept lacks tokens that others need. Take the result of kept_tokens or tokens_from_file.")
    places = {number: place for place, number in enumerate(kept.tolist())}
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        _replace_definition(Path(folder), trimmed_definition(definition, places))
        trimmed = Tokenizer.load(folder)
    trimmed.name = tokenizer.name
    return trimmed


def trimmed_definition(definition: dict, places: dict[int, int]) -> dict:
    """Returns `definition` with only the tokens in `places`, which maps their old ids to new ones."""
    added = [token | {"id": places[token["id"]]} for token in definition["added_tokens"]]
    return definition | {
        "truncation": None,  # left over from the last call, like padding
        "padding": None,
        "added_tokens": added,
        "post_processor": _renumbered(definition["post_processor"], places),
        "model": _trimmed_model(definition, places),
    }


def _trimmed_model(definition: dict, places: dict[int, int]) -> dict:
    model = definition["model"]
    if model["type"] == UNIGRAM:
        vocabulary = [entry for number, entry in enumerate(model["vocab"]) if number in places]
        return model | {"vocab": vocabulary, "unk_id": places.get(model["unk_id"])}
    vocabulary = {piece: places[number] for piece, number in model["vocab"].items() if number in places}
    if model["type"] != BPE:
        return model | {"vocab": vocabulary}
    kept_merges = [[left, right] for left, right, merged in merges(definition) if merged in vocabulary]
    return model | {"vocab": vocabulary, "merges": kept_merges}


def _renumbered(processor: dict | None, places: dict[int, int]) -> dict | None:
    """Returns a post-processor with the new ids of the tokens that it puts around texts."""
    if processor is None:
        return None
    changed = {name: [processor[name][0], places[processor[name][1]]] for name in AROUND if name in processor}
    if "processors" in processor:
        changed["processors"] = [_renumbered(part, places) for part in processor["processors"]]
    if "special_tokens" in processor:
        changed["special_tokens"] = {
            name: token | {"ids": [places[number] for number in token["ids"]]}
            for name, token in processor["special_tokens"].items()
        }
    return processor | changed


def _replace_definition(folder: Path, definition: dict) -> None:
    """Writes `tokenizer.json`; keeps settings and special tokens, and removes other files, which hold all tokens."""
    for path in folder.iterdir():
        if path.name not in (SETTINGS_FILE, SPECIAL_TOKENS_FILE):
            path.unlink()
    (folder / TOKENIZER_FILE).write_text(json.dumps(definition), encoding="utf-8")
