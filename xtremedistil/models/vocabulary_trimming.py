"""Trims an encoder's vocabulary: its word embeddings keep fewer rows.

Axes: K kept tokens.
"""

import numpy as np

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import Family
from xtremedistil.models.architectures.shapes import OFFSET_POSITIONS
from xtremedistil.models.checkpoints.pretrained import new_encoder_from_config
from xtremedistil.models.features.word_embeddings import word_embedding_variable

ROBERTA_PAD = 1  # default of pad_token_id in a config.json


def with_vocabulary(encoder, family: Family, kept: np.ndarray, name: str):
    """Returns the encoder with some rows of its word embeddings.

    Args:
        kept: int64 [K], the old id of each token that is kept.

    Raises:
        InputError: as `trimmed_config`.
    """
    trimmed = new_encoder_from_config(trimmed_config(encoder.config.to_dict(), kept), family, name=name)
    table = word_embedding_variable(encoder)
    for old, new in zip(encoder.weights, trimmed.weights, strict=True):
        new.assign(old.numpy()[kept] if old is table else old)
    return trimmed


def trimmed_config(config: dict, kept: np.ndarray) -> dict:
    """Returns a teacher's `config.json` with the size of the trimmed vocabulary and its ids of special tokens.

    Ids of tokens that are not kept become None: configurations may name tokens that the tokenizer does not use.

    Args:
        kept: int64 [K], ids of the kept tokens.

    Raises:
        InputError: the id of the padding token would change, and the family counts positions from it.
    """
    places = {piece: place for place, piece in enumerate(kept.tolist())}
    _check_positions(config, places)
    special = {name: _place(value, places) for name, value in config.items() if name.endswith("_token_id")}
    return config | {"vocab_size": len(kept)} | special


def _place(value: int | list[int] | None, places: dict[int, int]) -> int | list[int] | None:
    if isinstance(value, list):
        return [places[number] for number in value if number in places]
    return places.get(value)


def _check_positions(config: dict, places: dict[int, int]) -> None:
    if config["model_type"] not in OFFSET_POSITIONS:
        return
    pad = config.get("pad_token_id", ROBERTA_PAD)
    if places.get(pad) != pad:
        found = f"would become {places[pad]}" if pad in places else "is not a special token of the tokenizer"
        raise InputError(
            f"config.json: pad_token_id {pad} {found}, but a {config['model_type']} counts its positions from there. "
            "Only vocabularies that begin with their special tokens can be trimmed. Leave `student_vocab` away: the "
            "student then has all tokens of its teacher."
        )
