"""Weights by the names and in the layout of PyTorch's transformers, and the file that holds them."""

import os

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from transformers.modeling_tf_pytorch_utils import convert_tf_weight_name_to_pt_weight_name

from xtremedistil.errors import InputError
from xtremedistil.models.checkpoints.h5_weights import relative_name
from xtremedistil.models.checkpoints.weight_files import State
from xtremedistil.storage import files

WEIGHTS = "model.safetensors"
MADE_BY = {"made_by": "xtremedistil"}  # in the weight file's metadata: how an earlier folder of ours is known


def state_in_pytorch(model) -> State:
    """All weights of a TensorFlow model of Hugging Face's, with or without a head, float32.

    Names begin with the family's prefix ("bert."). Linear layers are [out, in], but for GPT-2's, which are [in, out] in
    PyTorch too.
    """
    state = {}
    for variable in model.weights:
        name = f"{model.name}/{relative_name(variable.name, model.name)}"
        full, transpose = convert_tf_weight_name_to_pt_weight_name(name, tf_weight_shape=variable.shape)
        array = variable.numpy() if transpose.value == "no" else variable.numpy().T
        array = array.reshape(-1) if full.endswith(".bias") else array  # GPT-2's are [1, out] in TensorFlow
        state[full] = np.ascontiguousarray(array, np.float32)
    if len(state) != len(model.weights):
        raise InputError(f"Two of the {len(model.weights)} weights of {model.name} have one name in PyTorch.")
    return state


def write_state(folder: str, state: State) -> None:
    """Writes `model.safetensors`."""
    with files.atomic_file(os.path.join(folder, WEIGHTS), "wb") as file:  # save_file lets the owner alone read
        file.write(save(state, metadata={"format": "pt"} | MADE_BY))


def is_made_here(folder: str) -> bool:
    """Whether this package wrote the folder's `model.safetensors`."""
    try:
        with safe_open(os.path.join(folder, WEIGHTS), framework="numpy") as file:
            return MADE_BY.items() <= (file.metadata() or {}).items()
    except (OSError, SafetensorError):
        return False
