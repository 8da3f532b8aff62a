"""Arrays by name from the three kinds of weight file that a Hugging Face checkpoint can have."""

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from xtremedistil.errors import InputError
from xtremedistil.models.checkpoints.h5_weights import read_weights

State = dict[str, np.ndarray]


def read_state(path: str) -> State:
    """The arrays of one file, by the ending of its name: `.safetensors`, `.h5` or `.bin`."""
    if path.endswith(".safetensors"):
        return read_safetensors(path)
    if path.endswith(".h5"):
        return {name: array for layer in read_weights(path).values() for name, array in layer.items()}
    return read_pytorch_bin(path)


def read_safetensors(path: str) -> State:
    """The arrays of a safetensors file, bfloat16 as that of `ml_dtypes`.

    Newer versions of transformers pass the package's lazy object on where a dict is needed.

    Raises:
        InputError: the file is cut off, or is something else.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: not a whole safetensors file ({error}). Expected a header and all of its tensors. "
            "Download or copy the file again."
        ) from error


def read_pytorch_bin(path: str) -> State:
    """The arrays of a `pytorch_model.bin`, which is a pickle: only torch's restricted reader may open it.

    Raises:
        InputError: torch is not installed, or the file holds something else than tensors.
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
