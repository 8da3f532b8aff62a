"""Teacher outputs over encoded rows: computed once, kept on disk without padding, read by row.

A folder holds one `.npy` for each output, float16 (by choice float32) but for logits (float32), memory-mapped:
`logits` [N, L] or [P, L]; `hidden_states_i` [P, H]; `attentions_i` [sum over rows of S * S, A] (N rows, P positions of
all rows, S positions of a row, A heads). `targets.json` says of what they are, with a checksum for each.
"""

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xtremedistil.artefacts import fingerprint, read_json, write_json
from xtremedistil.distillation.objectives import PREFIX
from xtremedistil.errors import InputError
from xtremedistil.models.forward import make_predict_function
from xtremedistil.prediction import predict_batches
from xtremedistil.tasks.features import Features
from xtremedistil.tasks.padding import Arrays, pad_rows, positions

MANIFEST = "targets.json"


def _pair_offsets(features: Features) -> np.ndarray:
    """int64 [N + 1]: where each row's S x S attention maps begin."""
    return np.concatenate([[0], np.cumsum(features.lengths.astype(np.int64) ** 2)])


@dataclass(frozen=True)
class Targets:
    """Teacher outputs of `features`, one memory-mapped array a name.

    Called with rows and width, gives the arrays of a batch, padded with zeros, under the names `teacher_<output>`.
    """

    features: Features
    arrays: dict[str, np.ndarray]
    pair_offsets: np.ndarray
    by_row: bool  # logits are [N, L], not [P, L]

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        return {PREFIX + name: self._read(name, rows, width) for name in self.arrays}

    def select(self, names: Sequence[str]) -> "Targets":
        return Targets(self.features, {name: self.arrays[name] for name in names}, self.pair_offsets, self.by_row)

    def _read(self, name: str, rows: np.ndarray, width: int) -> np.ndarray:
        array = self.arrays[name]
        if name.startswith("attentions"):
            return self._read_maps(array, rows, width)
        if name == "logits" and self.by_row:
            return array[rows].astype(np.float32)
        index, inside = positions(self.features, rows, width)
        return np.where(inside[..., None], array[index], 0).astype(np.float32)

    def _read_maps(self, array: np.ndarray, rows: np.ndarray, width: int) -> np.ndarray:
        maps = np.zeros((len(rows), array.shape[1], width, width), np.float32)
        for place, row in enumerate(rows):
            length = int(self.features.lengths[row])
            flat = array[self.pair_offsets[row] : self.pair_offsets[row + 1]]
            maps[place, :, :length, :length] = flat.reshape(length, length, -1).transpose(2, 0, 1)
        return maps


class LiveTargets:
    """Teacher outputs of `features`, computed when a batch asks for them: no disk, but the teacher runs every epoch.

    Called as `Targets` are.
    """

    def __init__(self, model, features: Features, names: Sequence[str], pad_id: int):
        self.features = features
        self._predict, self._names, self._pad_id = make_predict_function(model), names, pad_id

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        outputs = self._predict(pad_rows(self.features, rows, width, self._pad_id))
        return {PREFIX + name: outputs[name] for name in self._names}


def compute_targets(
    model_of: Callable[[Sequence[str]], tf.keras.Model],
    features: Features,
    names: Sequence[str],
    folder: str,
    *,
    pad_id: int,
    batch_size: int,
    key: str,
    progress: Callable[[int, int], None],
    precision: str = "float16",
) -> Targets:
    """Runs the teacher over `features` once; what a finished folder of the same `key` holds is read instead.

    Args:
        model_of: a teacher's feature model for some of "logits", "hidden_states_i", "attentions_i".
        key: fingerprint of the teacher's weights and of the rows.
        progress: called with (rows done, rows in all).
        precision: of states and maps on disk, "float16" or "float32".
    """
    manifest = os.path.join(folder, MANIFEST)
    saved = _checked_manifest(manifest, folder, key, precision)
    missing = [name for name in names if name not in saved]
    if missing:
        os.makedirs(folder, exist_ok=True)
        _write(model_of(missing), features, missing, folder, pad_id, batch_size, progress, precision)
        saved |= {name: fingerprint(_path(folder, name)) for name in missing}
        write_json(manifest, {"key": key, "precision": precision, "sha256": saved})
    arrays = {name: np.load(_path(folder, name), mmap_mode="r") for name in names}
    return Targets(features, arrays, _pair_offsets(features), by_row=features.word_ids is None)


def keep_only(folder: str, names: Sequence[str]) -> None:
    """Removes the outputs of a finished folder that are not among `names`."""
    manifest = os.path.join(folder, MANIFEST)
    if not os.path.isfile(manifest):
        return
    saved = read_json(manifest)
    kept = {name: digest for name, digest in saved["sha256"].items() if name in names}
    write_json(manifest, saved | {"sha256": kept})
    for name in saved["sha256"].keys() - kept.keys():
        os.remove(_path(folder, name))


def _path(folder: str, name: str) -> str:
    return os.path.join(folder, f"{name}.npy")


def _checked_manifest(manifest: str, folder: str, key: str, precision: str) -> dict[str, str]:
    """Names and checksums of the outputs that are there and whole; of another teacher or other rows: none."""
    try:
        with open(manifest, encoding="utf-8") as file:
            saved = json.load(file)
    except (OSError, ValueError):
        return {}
    if saved["key"] != key or saved["precision"] != precision:
        return {}
    whole = {}
    for name, digest in saved["sha256"].items():
        if os.path.isfile(_path(folder, name)) and fingerprint(_path(folder, name)) == digest:
            whole[name] = digest
    return whole


def _write(
    model, features: Features, names, folder: str, pad_id: int, batch_size: int, progress, precision: str
) -> None:
    predict, pairs, files, done = make_predict_function(model), _pair_offsets(features), {}, 0
    for rows, outputs in predict_batches(predict, features, batch_size=batch_size, pad_id=pad_id):
        for name in names:
            values = outputs[name]
            if name not in files:
                files[name] = _create(_path(folder, name), name, values, features, int(pairs[-1]), precision)
            _store(files[name], name, values, features, rows, pairs)
        done += len(rows)
        progress(done, len(features))
    for file in files.values():
        file.flush()


def _create(path: str, name: str, values: np.ndarray, features: Features, pair_count: int, precision: str) -> np.memmap:
    """An empty array on disk, with all its space reserved: a mapped file that outgrows the disk kills the process.

    Raises:
        InputError: no space left.
    """
    if name.startswith("attentions"):
        kind, shape = precision, (pair_count, values.shape[1])
    else:
        rows = len(features) if values.ndim == 2 else len(features.input_ids)
        kind, shape = "float32" if name == "logits" else precision, (rows, values.shape[-1])
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    try:
        array = np.lib.format.open_memmap(path, "w+", kind, shape)
        if hasattr(os, "posix_fallocate"):  # not on macOS
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
        return array
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
        raise InputError(
            f"{path}: {size / 1e6:,.0f} MB of the teacher's outputs could not be written ({error.strerror}).\n"
            "Free some space, or hold fewer at a time with a lower --distil_chunk_size; --dry-run tells the size."
        ) from error


def _store(file: np.memmap, name: str, values: np.ndarray, features: Features, rows: np.ndarray, pairs) -> None:
    if values.ndim == 2:
        file[rows] = values
    elif name.startswith("attentions"):
        for place, row in enumerate(rows):
            length = int(features.lengths[row])
            maps = values[place, :, :length, :length].transpose(1, 2, 0)
            file[pairs[row] : pairs[row + 1]] = maps.reshape(length * length, -1)
    else:
        index, inside = positions(features, rows, values.shape[1])
        file[index[inside]] = values[inside]
