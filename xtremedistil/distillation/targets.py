"""Teacher outputs over encoded rows: computed once, kept on disk without padding, read by row.

A folder holds one `.npy` for each output, float16 but for logits (float32), memory-mapped:
`logits` [N, L] or [P, L]; `hidden_states_i` [P, H]; `attentions_i` [sum over rows of S * S, A] (N rows, P positions of
all rows, S positions of a row, A heads).
"""

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil.artefacts import read_json, write_json
from xtremedistil.distillation.objectives import PREFIX
from xtremedistil.errors import InputError
from xtremedistil.models.forward import make_predict_function
from xtremedistil.prediction import predict_batches
from xtremedistil.tasks.features import Features
from xtremedistil.tasks.padding import Arrays, positions

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


def compute_targets(
    model, features: Features, names: Sequence[str], folder: str, *, pad_id: int, batch_size: int, key: str, progress
) -> Targets:
    """Runs the teacher over `features` once; a finished folder with the same `key` is read instead.

    Args:
        model: a teacher's feature model with outputs `names` (of "logits", "hidden_states_i", "attentions_i").
        key: fingerprint of the teacher's weights and of the rows.
        progress: called with (rows done, rows in all).
    """
    manifest = os.path.join(folder, MANIFEST)
    if not _finished(manifest, key, names):
        os.makedirs(folder, exist_ok=True)
        # What stands there is about to change: nothing may vouch for it until all is written.
        with contextlib.suppress(FileNotFoundError):
            os.remove(manifest)
        _write(model, features, names, folder, pad_id, batch_size, progress)
        write_json(manifest, {"key": key, "names": sorted(names)})
    arrays = {name: np.load(_path(folder, name), mmap_mode="r") for name in names}
    return Targets(features, arrays, _pair_offsets(features), by_row=features.word_ids is None)


def keep_only(folder: str, names: Sequence[str]) -> None:
    """Removes the outputs of a finished folder that are not among `names`."""
    manifest = os.path.join(folder, MANIFEST)
    if not os.path.isfile(manifest):
        return
    saved = read_json(manifest)
    write_json(manifest, saved | {"names": sorted(set(names) & set(saved["names"]))})
    for name in set(saved["names"]) - set(names):
        os.remove(_path(folder, name))


def _path(folder: str, name: str) -> str:
    return os.path.join(folder, f"{name}.npy")


def _finished(manifest: str, key: str, names: Sequence[str]) -> bool:
    try:
        with open(manifest, encoding="utf-8") as file:
            saved = json.load(file)
    except (OSError, ValueError):
        return False
    return saved["key"] == key and set(names) <= set(saved["names"])


def _write(model, features: Features, names, folder: str, pad_id: int, batch_size: int, progress) -> None:
    predict, pairs, files, done = make_predict_function(model), _pair_offsets(features), {}, 0
    for rows, outputs in predict_batches(predict, features, batch_size=batch_size, pad_id=pad_id):
        for name in names:
            values = outputs[name]
            if name not in files:
                files[name] = _create(_path(folder, name), name, values, features, int(pairs[-1]))
            _store(files[name], name, values, features, rows, pairs)
        done += len(rows)
        progress(done, len(features))
    for file in files.values():
        file.flush()


def _create(path: str, name: str, values: np.ndarray, features: Features, pair_count: int) -> np.memmap:
    """An empty array on disk, with all its space reserved: a mapped file that outgrows the disk kills the process.

    Raises:
        InputError: no space left.
    """
    if name.startswith("attentions"):
        kind, shape = np.float16, (pair_count, values.shape[1])
    else:
        rows = len(features) if values.ndim == 2 else len(features.input_ids)
        kind, shape = np.float32 if name == "logits" else np.float16, (rows, values.shape[-1])
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
