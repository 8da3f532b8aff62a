"""Compares a checkpoint's `config.json` with the shapes in its weight file, before anything is built or loaded."""

import os
import re
from collections.abc import Iterator

import h5py
from safetensors import SafetensorError, safe_open

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.shapes import EncoderShape
from xtremedistil.models.checkpoints.weight_files import WEIGHT_FILES, torn_safetensors

# The matrix of word embeddings in the families' files, with PyTorch's names or TensorFlow's.
TABLE = re.compile(r"(^|[./])(word_embeddings?|wte|tokens_embed|w|embeddings)[./](weight|embeddings)(:0)?$")
Shapes = Iterator[tuple[str, tuple[int, ...]]]


def check_weight_file(checkpoint: str, shape: EncoderShape) -> None:
    """Checks the weight file of a checkpoint's folder, if there is one that is not in shards.

    Raises:
        InputError: it is damaged, or `config.json` says other word embeddings or more weights than it can hold.
    """
    paths = (os.path.join(checkpoint, name) for name in WEIGHT_FILES)
    path = next(filter(os.path.isfile, paths), None)
    if path is None:
        return
    refuse_too_many(path, shape, os.path.join(checkpoint, "config.json"))
    tables = {size for name, size in _shapes(path) if TABLE.search(name)}
    expected = (shape.vocab_size, shape.embedding_size)
    if len(tables) == 1 and tables != {expected}:
        raise InputError(
            f"{path}: the word embeddings have shape {list(tables.pop())}, but by config.json it is {list(expected)}. "
            "The two files belong to different models."
        )


def refuse_too_many(path: str, shape: EncoderShape, config: str, *, has_table: bool = True) -> None:
    """Raises InputError if a weight file is too small for an encoder of that shape, even at a byte for each number.

    Args:
        config: where the shape was read. has_table: the file has the word embeddings too.
    """
    least = shape.num_hidden_layers * (4 * shape.hidden_size**2 + 2 * shape.hidden_size * shape.intermediate_size)
    least += has_table * shape.vocab_size * shape.embedding_size
    size = os.path.getsize(path)
    if least > size:
        raise InputError(
            f"{path} has {size:,} bytes, but {config} describes a model of at least {least:,} parameters "
            f"({shape.outline}). The two files belong to different models, or one is damaged."
        )


def _shapes(path: str) -> Shapes:
    """Yields names and shapes of a file's arrays; of a pickle, which cannot be looked into, none."""
    if path.endswith(".safetensors"):
        return _shapes_in_safetensors(path)
    return _shapes_in_h5(path) if path.endswith(".h5") else iter(())


def _shapes_in_safetensors(path: str) -> Shapes:
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                yield name, tuple(file.get_slice(name).get_shape())
    except (SafetensorError, OSError, ValueError) as error:
        raise torn_safetensors(path, error) from error


def _shapes_in_h5(path: str) -> Shapes:
    found: list[tuple[str, tuple[int, ...]]] = []

    def note(name: str, entry) -> None:
        if isinstance(entry, h5py.Dataset) and entry.shape is not None:
            found.append((name, entry.shape))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(note)
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not a readable weight file ({error}). Download or copy the file again.") from error
    return iter(found)
