"""Encoders that have some of the pieces of another's vocabulary: its word table with fewer rows.

Axes: K kept pieces.
"""

import numpy as np

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import Family
from xtremedistil.models.architectures.shapes import OFFSET_POSITIONS
from xtremedistil.models.checkpoints.pretrained import new_encoder_from_config
from xtremedistil.models.features.word_embeddings import word_embedding_variable

ROBERTA_PAD = 1  # where a config.json does not say


def with_vocabulary(encoder, family: Family, kept: np.ndarray, name: str):
    """The same encoder with some rows of its word table.

    Args:
        kept: int64 [K], the number that each of its pieces had before.

    Raises:
        InputError: as of `trimmed_config`.
    """
    trimmed = new_encoder_from_config(trimmed_config(encoder.config.to_dict(), kept), family, name=name)
    table = word_embedding_variable(encoder)
    for old, new in zip(encoder.weights, trimmed.weights, strict=True):
        new.assign(old.numpy()[kept] if old is table else old)
    return trimmed


def trimmed_config(config: dict, kept: np.ndarray) -> dict:
    """A teacher's `config.json` with the size of the trimmed vocabulary and its numbers of special pieces.

    Numbers of pieces that were not kept are none of the tokenizer's special ones: configurations have stray ones, and
    they become None.

    Args:
        kept: int64 [K].

    Raises:
        InputError: the padding piece, from whose number the family counts positions, would get another.
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
        found = f"would become {places[pad]}" if pad in places else "is no special piece of the tokenizer"
        raise InputError(
            f"config.json: pad_token_id {pad} {found}, but a {config['model_type']} counts its positions from there. "
            "Only vocabularies that begin with their special pieces can be trimmed. Leave `student_vocab` away: the "
            "student then has all pieces of its teacher."
        )
