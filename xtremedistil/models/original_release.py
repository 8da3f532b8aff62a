"""Reads model folders of the original release; sizes that they do not record are taken from their weights."""

import os

import numpy as np

from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.models.checkpoints.h5_weights import UNNAMED_EMBEDDING, read_weights, refuse_not_finite
from xtremedistil.storage.arrays import read_array
from xtremedistil.storage.model_folder import CONFIG, WORD_EMBEDDING


def encoder_config(model_dir: str, saved: dict, weights_path: str) -> dict:
    """Returns the student's BERT configuration, with Hugging Face's keys.

    The original saved only the sizes given by flags; vocabulary, positions and feed-forward width came from a
    checkpoint that may be gone, so they are read from the shapes of the weights.

    Args:
        saved: its `xtremedistil-config.json`, which has the number of heads: no weight shows it.

    Raises:
        InputError: the weights are not those of a BERT student.
    """
    layers = read_weights(weights_path)
    student = next((weights for layer, weights in layers.items() if layer.startswith("student")), {})
    shapes = {name.split("/bert/")[-1]: array.shape for name, array in student.items()}
    try:
        positions, width = shapes["embeddings/position_embeddings/embeddings:0"]
        types, _ = shapes["embeddings/token_type_embeddings/embeddings:0"]
        _, inner = shapes["encoder/layer_._0/intermediate/dense/kernel:0"]
    except (KeyError, ValueError) as error:  # absent, or of other axes
        raise InputError(f"{weights_path} holds no weights of a BERT student ({error} is missing).") from error
    if saved.get("num_attention_heads") is None:
        raise InputError(f"{os.path.join(model_dir, CONFIG)} lacks num_attention_heads, which no weight shows. Add it.")
    return {
        "model_type": "bert",
        "vocab_size": _vocabulary(model_dir, shapes),
        "hidden_size": width,
        "num_hidden_layers": sum(name.endswith("intermediate/dense/kernel:0") for name in shapes),
        "num_attention_heads": saved["num_attention_heads"],
        "intermediate_size": inner,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
    }


def _vocabulary(model_dir: str, shapes: dict) -> int:
    for name in ("embeddings/word_embeddings/weight:0", UNNAMED_EMBEDDING):
        if name in shapes:
            return shapes[name][0]
    return len(frozen_word_embedding(model_dir))


def frozen_word_embedding(model_dir: str) -> np.ndarray:
    """Reads `word_embedding.npy`, float32 [V, H], the only file with a student's frozen word embeddings.

    Raises:
        MissingFileError: the file does not exist. InputError: it is not a NumPy array of that kind.
    """
    path = os.path.join(model_dir, WORD_EMBEDDING)
    if not os.path.isfile(path):
        raise MissingFileError(f"{path} does not exist: the student's word embeddings are kept there.")
    table = read_array(path, kinds="f", shape=[None, None], cure="Copy it again from the model folder.")
    refuse_not_finite(path, {"the table": table})
    return table
