"""Reads arrays by name from the three kinds of weight files of Hugging Face checkpoints."""

from collections.abc import Iterable

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from xtremedistil.errors import InputError
from xtremedistil.models.checkpoints.h5_weights import read_weights

WEIGHT_FILES = ("model.safetensors", "tf_model.h5", "pytorch_model.bin")  # in order of preference
SAFE_TORCH = 2, 6  # versions before read weights with `weights_only` unsafely (CVE-2025-32434)
State = dict[str, np.ndarray]
TENSORFLOW = ":0"  # ending of TensorFlow's names of variables


def read_state(path: str) -> State:
    """Reads the arrays of a file whose name ends with `.safetensors`, `.h5` or `.bin`."""
    if path.endswith(".safetensors"):
        return read_safetensors(path)
    if path.endswith(".h5"):
        return {name: array for layer in read_weights(path).values() for name, array in layer.items()}
    return read_pytorch_bin(path)


def read_safetensors(path: str) -> State:
    """Reads the arrays of a safetensors file; bfloat16 becomes the type of `ml_dtypes`.

    Newer versions of transformers pass on the package's lazy object where a dict is needed. Files that TensorFlow wrote
    leave out the model's name, with which names in its `.h5` begin; here it is added.

    Raises:
        InputError: the file is truncated, or not a safetensors file.
    """
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, MemoryError) as error:
        raise torn_safetensors(path, error) from error
    return {_as_in_h5(name): array for name, array in state.items()} if _by_tensorflow(state) else state


def _by_tensorflow(names: Iterable[str]) -> bool:
    """Whether these are TensorFlow's names of variables; PyTorch's have dots."""
    return any("/" in name or name.endswith(TENSORFLOW) for name in names)


def _as_in_h5(name: str) -> str:
    return f"model/{name.removesuffix(TENSORFLOW)}{TENSORFLOW}"


def in_pytorch(state: State) -> State:
    """Converts arrays to PyTorch's names and layout, whichever file they came from."""
    from transformers.modeling_tf_pytorch_utils import convert_tf_weight_name_to_pt_weight_name

    renamed = {}
    for name, array in state.items():
        if name.endswith(TENSORFLOW):
            name, transpose = convert_tf_weight_name_to_pt_weight_name(name, tf_weight_shape=array.shape)
            array = array if transpose.value == "no" else array.T
        renamed[name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")] = array
    return renamed


def torn_safetensors(path: str, error: Exception) -> InputError:
    """Returns what to raise for a file that cannot be read."""
    return InputError(
        f"{path}: not a whole safetensors file ({error}). Expected a header and all of its tensors. "
        "Download or copy the file again."
    )


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
    if tuple(map(int, torch.__version__.split(".")[:2])) < SAFE_TORCH:
        raise InputError(
            f"{path} is a pickle, and torch {torch.__version__} may run code in it. Install torch 2.6 or later (pip "
            "install 'xtremedistil[torch]'), or use a checkpoint with model.safetensors or tf_model.h5."
        )
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.to(torch.float32).numpy() for name, tensor in tensors.items()}
    except Exception as error:  # torch raises pickle, zip and runtime errors of many kinds
        raise InputError(f"{path}: torch could not read weights from it ({error}). Download the file again.") from error
