"""Reads arrays by name from the three kinds of weight files of Hugging Face checkpoints."""

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from xtremedistil.errors import InputError
from xtremedistil.models.checkpoints.h5_weights import read_weights

State = dict[str, np.ndarray]


def read_state(path: str) -> State:
    """Reads the arrays of a file whose name ends with `.safetensors`, `.h5` or `.bin`."""
    if path.endswith(".safetensors"):
        return read_safetensors(path)
    if path.endswith(".h5"):
        return {name: array for layer in read_weights(path).values() for name, array in layer.items()}
    return read_pytorch_bin(path)


def read_safetensors(path: str) -> State:
    """Reads the arrays of a safetensors file; bfloat16 becomes the type of `ml_dtypes`.

    Newer versions of transformers pass on the package's lazy object where a dict is needed.

    Raises:
        InputError: the file is truncated, or not a safetensors file.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: not a whole safetensors file ({error}). Expected a header and all of its tensors. "
            "Download or copy the file again."
        ) from error


def read_pytorch_bin(path: str) -> State:
    """Reads the arrays of a `pytorch_model.bin`, which is a pickle, by torch's restricted reader.

    Raises:
        InputError: torch is not installed, or the file holds anything but tensors.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{path}: reading this format needs torch. Install the extra `torch` (pip install 'xtremedistil[torch]'), "
            "or use a checkpoint with model.safetensors or tf_model.h5."
        ) from error
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.to(torch.float32).numpy() for name, tensor in tensors.items()}
    except Exception as error:  # torch raises pickle, zip and runtime errors of many kinds
        raise InputError(f"{path}: torch could not read weights from it ({error}). Download the file again.") from error
