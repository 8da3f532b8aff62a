"""Reads and writes weight files by name: HDF5 in the layout of Keras' old `.h5` weights.

Root attributes `layer_names`, `backend`, `keras_version`; one group for each layer with the attribute `weight_names`
and a dataset under each of those names. The names are those of the original release ("student_2/bert/embeddings/...",
"dense_2/kernel:0", "dense/bias:0"; "tf_model/...", "final_logits/..."), so the same code reads its files. The original
reads them by position, which depends on what was frozen; we never do. The same weights give the same bytes.
"""

import io
import os
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import h5py
import numpy as np

from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.storage.checksums import vouched_file

if TYPE_CHECKING:
    import tensorflow as tf

KERAS_VERSION = "2.4.0"  # has this layout; constant, so that the bytes are the same with every Keras
ATTRIBUTE_LIMIT = 64512  # bytes; HDF5 refuses longer attributes, so Keras cuts them into numbered ones
LARGEST_RATIO = 1100  # of compressed data to what it unpacks to
UNREADABLE = (OSError, KeyError, RuntimeError, AttributeError, TypeError, ValueError, MemoryError)
UNNAMED_EMBEDDING = "Variable:0"  # the original's name for a compressed word embedding that was trained

# Layers of checkpoints that a deployed student does not need: the matrix of its word embeddings, projections of matches
# (endings of names), the optimizer's state (beginnings of names).
WORD_MAP, MATCHING, OPTIMIZER = "word_map", "_projection", "optimizer_"
Parts = Mapping[str, Sequence["tf.Variable"]]
Weights = dict[str, np.ndarray]


def weight_name(part: str, variable) -> str:
    """Returns the name of a variable in a file: its layer's, then its own; Keras' numbers of layers are left out."""
    return f"{part}/{relative_name(variable.name, part)}"


def relative_name(name: str, part: str) -> str:
    """Returns `name` without its layer: "student_2/bert/..." -> "bert/...", "dense_7/bias:0" -> "bias:0"."""
    _, found, inside = f"/{name}".partition(f"/{part}/")
    if found:
        return inside
    return name.split("/", 1)[-1]


def save_weights(path: str, parts: Parts) -> None:
    """Writes all variables of `parts`, layer name -> variables, atomically; records the file's checksum in its folder.

    Raises:
        ValueError: two variables of a part have one name.
        InputError: the file cannot be written (disk full, no permission); an existing file is untouched.
    """
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        _write_names(file, "layer_names", list(parts))
        file.attrs["backend"] = "tensorflow"
        file.attrs["keras_version"] = KERAS_VERSION
        for part, variables in parts.items():
            _write_part(file.create_group(part), _by_name(part, variables))
    with vouched_file(path, "wb") as file:
        file.write(memory.getbuffer())


def load_weights(path: str, parts: Parts, *, optional: Collection[str] = (), deployed_only: bool = False) -> set[str]:
    """Assigns the weights in `path` to the variables of `parts`, by name; assigns nothing unless everything fits.

    Files of the original release are supported, which differ in three ways: layers whose automatic name has another
    number, word embeddings called `Variable:0`, and pooler weights, which are ignored.

    Args:
        parts: layer name -> variables, as for `save_weights`.
        optional: names (from `weight_name`) that may be absent: frozen word embeddings have their own file.
        deployed_only: ignore layers that only training needs, which checkpoints hold too.

    Returns:
        the optional names that are not in the file.

    Raises:
        InputError: it is not a weight file, or its names or shapes are not those of the model.
    """
    wanted = {part: _by_name(part, variables) for part, variables in parts.items()}
    layers = {layer: held for layer, held in read_weights(path).items() if not (deployed_only and _only_trains(layer))}
    found = _match_layers(path, layers, wanted)
    variables = {name: variable for part in wanted.values() for name, variable in part.items()}
    values = {name: value for part in found.values() for name, value in part.items()}
    missing = variables.keys() - values.keys()
    left_over = values.keys() - variables.keys()
    _refuse_differences(path, sorted(missing - set(optional)), sorted(left_over), _wrong_shapes(values, variables))
    refuse_not_finite(path, values)
    for name in variables.keys() - missing:
        variables[name].assign(values[name])
    return set(missing)


def read_weights(path: str) -> dict[str, Weights]:
    """Returns layer name -> weight name -> array for all layers that have weights, in the order of the file.

    Raises:
        InputError: the file is missing, is not HDF5, is truncated, or has another layout.
    """
    if not os.path.isfile(path):
        raise MissingFileError(f"{path}: there is no such weight file.")
    try:
        with h5py.File(path, "r") as file:
            layers = {layer: _read_layer(file[layer]) for layer in _read_names(file, "layer_names")}
    except UNREADABLE as error:
        raise InputError(
            f"{path}: not a readable weight file ({error}). Expected HDF5 with the attributes layer_names and "
            "weight_names, as Keras' save_weights wrote them. Copy the file again, or train again."
        ) from error
    return {layer: weights for layer, weights in layers.items() if weights}


def _by_name(part: str, variables) -> dict:
    named = {weight_name(part, variable): variable for variable in variables}
    if len(named) != len(variables):
        raise ValueError(f"Part '{part}' has {len(variables)} variables but only {len(named)} names.")
    return named


# Writing


def _write_part(group: h5py.Group, variables: dict) -> None:
    _write_names(group, "weight_names", list(variables))
    for name, variable in variables.items():
        group.create_dataset(name, data=variable.numpy(), track_times=False)


def _write_names(group: h5py.Group, attribute: str, names: list[str]) -> None:
    encoded = np.array([name.encode() for name in names])
    pieces = -(-encoded.nbytes // ATTRIBUTE_LIMIT)
    if pieces <= 1:
        group.attrs[attribute] = encoded
        return
    for number, piece in enumerate(np.array_split(encoded, pieces)):
        group.attrs[f"{attribute}{number}"] = piece


# Reading


def _read_layer(group: h5py.Group) -> Weights:
    return {name: _array(group[name], name) for name in _read_names(group, "weight_names")}


def _array(dataset, name: str) -> np.ndarray:
    """Reads a dataset of numbers. Raises ValueError if it is none, or declares more than the file holds."""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "fiub":
        raise ValueError(f"{name} is no array of numbers")
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > stored * (LARGEST_RATIO if dataset.chunks else 1):  # only chunks are ever compressed
        raise ValueError(f"{name} declares {dataset.nbytes:,} bytes, but {stored:,} are there")
    return np.asarray(dataset)


def _read_names(group: h5py.Group, attribute: str) -> list[str]:
    if attribute in group.attrs:
        names = list(group.attrs[attribute])
    else:
        numbered = [name for name in group.attrs if name.startswith(attribute) and name[len(attribute) :].isdigit()]
        if not numbered:
            raise KeyError(f"no attribute {attribute}")
        numbered.sort(key=lambda name: int(name[len(attribute) :]))
        names = [entry for name in numbered for entry in group.attrs[name]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _only_trains(layer: str) -> bool:
    return layer == WORD_MAP or layer.endswith(MATCHING) or layer.startswith(OPTIMIZER)


def _match_layers(path: str, layers: dict[str, Weights], wanted: dict[str, dict]) -> dict[str, Weights]:
    """Returns the file's weights under the names of `wanted`: layers of the same name, then the others in order.

    The names of the original's last layer and of its students end with numbers that vary: "dense_1", "student_1".
    """
    partners = {layer: layer for layer in layers if layer in wanted}
    other_layers = [layer for layer in layers if layer not in wanted]
    other_parts = [part for part in wanted if part not in layers and wanted[part]]
    if len(other_layers) != len(other_parts):
        raise InputError(
            f"{path}: holds the layers {', '.join(layers)}; expected {', '.join(wanted)}. The file belongs to another "
            "kind of model."
        )
    partners |= dict(zip(other_layers, other_parts, strict=True))
    return {part: _rename(layers[layer], layer, part, wanted[part]) for layer, part in partners.items()}


def _rename(weights: Weights, layer: str, part: str, variables: dict) -> Weights:
    """Returns the weights of one layer under the model's names, without those of a pooler that the model lacks."""
    renamed = {}
    for name, value in weights.items():
        new = f"{part}/{relative_name(name, layer)}"
        if name == UNNAMED_EMBEDDING:
            new = next((known for known in variables if "word_embeddings/" in known), name)
        if new not in variables and other_spelling(new) in variables:
            new = other_spelling(new)
        if new in variables or "/pooler/" not in new:
            renamed[new] = value
    return renamed


def other_spelling(name: str) -> str:
    """Returns the other name of word embeddings: versions of transformers call them "weight" or "embeddings"."""
    for ending, other in (("/weight:0", "/embeddings:0"), ("/embeddings:0", "/weight:0")):
        if name.endswith(ending):
            return name[: -len(ending)] + other
    return name


def _refuse_differences(path: str, missing: list[str], left_over: list[str], wrong: list[str]) -> None:
    problems = []
    if missing:
        problems.append(f"  missing in the file: {_first(missing)}")
    if left_over:
        problems.append(f"  in the file only: {_first(left_over)}")
    problems += [f"  {line}" for line in wrong[:5]]
    if problems:
        lines = "\n".join(problems)
        raise InputError(
            f"{path}: its weights are not those of this model.\n{lines}\n"
            "Give the checkpoint and the sizes that the file was trained with."
        )


def refuse_not_finite(path: str, values: Weights) -> None:
    """Raises InputError where a weight is infinite, NaN, or no number at all."""
    wrong = [name for name, array in values.items() if array.dtype.kind not in "fiubV" or not np.isfinite(array).all()]
    if wrong:
        raise InputError(
            f"{path}: {_first(sorted(wrong))} {'holds' if len(wrong) == 1 else 'hold'} infinite numbers, NaN, or no "
            "numbers. The file is damaged, or its training went wrong. Copy it again, or train again."
        )


def _wrong_shapes(values: Weights, variables: dict) -> list[str]:
    return [
        f"{name} is {list(values[name].shape)} in the file and {list(variable.shape)} in the model"
        for name, variable in variables.items()
        if name in values and values[name].shape != tuple(variable.shape)
    ]


def _first(names: list[str], count: int = 5) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
