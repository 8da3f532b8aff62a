"""Arrays by name from the three kinds of weight file that a Hugging Face checkpoint can have."""

import json
import math
import os
import struct

import ml_dtypes
import numpy as np

from xtremedistil.errors import InputError
from xtremedistil.models.checkpoints.h5_weights import read_weights

State = dict[str, np.ndarray]


_SAFETENSORS_TYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read_state(path: str) -> State:
    """The arrays of one file, by the ending of its name: `.safetensors`, `.h5` or `.bin`."""
    if path.endswith(".safetensors"):
        return read_safetensors(path)
    if path.endswith(".h5"):
        return {name: array for layer in read_weights(path).values() for name, array in layer.items()}
    return read_pytorch_bin(path)


def read_safetensors(path: str) -> State:
    """The arrays of a safetensors file, mapped into memory and not yet read.

    The `safetensors` package gives NumPy no bfloat16, and newer versions of transformers pass its lazy object where a
    dict is needed.

    Raises:
        InputError: the file is cut off, or is something else.
    """
    try:
        with open(path, "rb") as file:
            (header_size,) = struct.unpack("<Q", file.read(8))
            if header_size > os.path.getsize(path):
                raise ValueError("its header is longer than the file")
            header = json.loads(file.read(header_size))
        data = np.memmap(path, np.uint8, mode="r", offset=8 + header_size)
        return {name: _tensor(data, name, entry) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise InputError(
            f"{path}: not a whole safetensors file ({error}). Expected a header and all of its tensors. "
            "Download or copy the file again."
        ) from error


def _tensor(data: np.ndarray, name: str, entry: dict) -> np.ndarray:
    kind, shape, (start, end) = np.dtype(_SAFETENSORS_TYPES[entry["dtype"]]), entry["shape"], entry["data_offsets"]
    if not 0 <= start <= end <= len(data):
        raise ValueError(f"'{name}' ends at byte {end} of {len(data)}")
    if end - start != math.prod(shape) * kind.itemsize:
        raise ValueError(f"'{name}' has {end - start} bytes for shape {shape} of {entry['dtype']}")
    return data[start:end].view(kind).reshape(shape)


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
