"""A tokenizer with some of the tokens of another, which does the same with every text that these suffice for.

What is left out cannot disturb what stays. WordPiece takes the longest token that fits; a kept one that was the longest
still is. BPE does the first merge that it can; every merge on the way to a kept token is kept, in its order. Unigram
takes the best of all cuttings; there are fewer of them, with the scores that they had.
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
    """A tokenizer of the same class and name with the tokens `kept` only, numbered in their order.

    A text that `tokenizer` cuts into kept tokens alone becomes the same tokens. Others are cut into shorter ones; a
    character that only a longer token has is unknown without that.

    Its files hold no SentencePiece model, as that would still have all tokens: the folder is for fast tokenizers.

    Args:
        kept: int64 [K], from `kept_tokens` or `tokens_from_file`.

    Raises:
        InputError: the tokenizer has no fast form. ValueError: `kept` lacks tokens that must be there.
    """
    definition = read_definition(tokenizer)
    pieces = {number: piece for piece, number in ids_of_tokens(definition).items()}
    if not np.array_equal(kept, completed(definition, {pieces[number] for number in kept.tolist()})):
        raise ValueError("kept lacks tokens that others need. Take what kept_pieces or pieces_from_file gives.")
    places = {number: place for place, number in enumerate(kept.tolist())}
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        _replace_definition(Path(folder), trimmed_definition(definition, places))
        trimmed = Tokenizer.load(folder)
    trimmed.name = tokenizer.name
    return trimmed


def trimmed_definition(definition: dict, places: dict[int, int]) -> dict:
    """`definition` with the tokens that `places` has, under the numbers that it gives them."""
    added = [token | {"id": places[token["id"]]} for token in definition["added_tokens"]]
    return definition | {
        "truncation": None,  # both are left from the last call
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
    """A post-processor with the new numbers of the tokens that it puts around texts."""
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
    """Writes `tokenizer.json`; settings and the names of special tokens stay, other files have tokens that are gone."""
    for path in folder.iterdir():
        if path.name not in (SETTINGS_FILE, SPECIAL_TOKENS_FILE):
            path.unlink()
    (folder / TOKENIZER_FILE).write_text(json.dumps(definition), encoding="utf-8")
