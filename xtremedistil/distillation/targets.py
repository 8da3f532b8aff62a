"""Teacher outputs over encoded rows: computed once, kept on disk without padding, read by row.

A folder holds one `.npy` for each output, float16 (by choice float32) but for logits (float32), memory-mapped:
`logits` [N, L] or [P, L]; maps (`attentions_i`, `attention_scores_i`) [sum over rows of S * S, A]; all else [P, H]
(N rows, P positions of all rows, S positions of a row, A heads). `targets.json` says of what they are, with a checksum
for each. Padding is not kept: it comes back as 0, also in scores, where a mask has to tell.
"""

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from xtremedistil.artefacts import fingerprint, forget_pages, read_json, reserved_array, write_json
from xtremedistil.distillation.objectives import PREFIX
from xtremedistil.distillation.target_size import array_file
from xtremedistil.errors import InputError
from xtremedistil.folders import locked
from xtremedistil.models.feature_names import LOGITS, MAPS, is_map
from xtremedistil.models.forward import make_predict_function
from xtremedistil.prediction import predict_batches
from xtremedistil.tasks.features import Features
from xtremedistil.tasks.padding import Arrays, pad_rows, positions
from xtremedistil.training.workers import Workers

MANIFEST = "targets.json"
ONE_A_ROW = ("logits", "state")  # of texts; hidden states have one for each position


def _pair_offsets(features: Features) -> np.ndarray:
    """int64 [N + 1]: where each row's S x S attention maps begin."""
    return np.concatenate([[0], np.cumsum(features.lengths.astype(np.int64) ** 2)])


@dataclass(frozen=True)
class Targets:
    """Teacher outputs of `features`, one memory-mapped array a name.

    Called with rows and width, gives the arrays of a batch, padded with zeros, under the names `<prefix><output>`.

    Fields:
        by_row: logits and states have one row for each of `features`, not for each position.
    """

    features: Features
    arrays: dict[str, np.ndarray]
    pair_offsets: np.ndarray
    by_row: bool
    prefix: str = PREFIX

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        batch = {self.prefix + name: self._read(name, rows, width) for name in self.arrays}
        for array in self.arrays.values():
            forget_pages(array)
        return batch

    def select(self, names: Sequence[str]) -> "Targets":
        return replace(self, arrays={name: self.arrays[name] for name in names})

    def is_by_row(self, name: str) -> bool:
        """Whether that output has one entry for each row, as all logits of texts have."""
        return self.by_row and (name in ONE_A_ROW or len(self.arrays[name]) < len(self.features.input_ids))

    def _read(self, name: str, rows: np.ndarray, width: int) -> np.ndarray:
        array = self.arrays[name]
        if is_map(name):
            return self._read_maps(array, rows, width)
        if self.is_by_row(name):
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


@dataclass(frozen=True)
class Computing:
    """How a model's outputs are computed and kept.

    Fields:
        batch_size: rows at a time, if they are long; more where they are short.
        workers: each runs the model over its share of the rows.
        progress: called with (rows done, rows in all).
        precision: of states and maps on disk, "float16" or "float32".
        exact: outputs that are float32 in any case.
    """

    pad_id: int
    batch_size: int
    workers: Workers
    progress: Callable[[int, int], None] = lambda done, total: None
    precision: str = "float16"
    exact: Sequence[str] = LOGITS


def compute_targets(
    model_of: Callable[[Sequence[str]], tf.keras.Model],
    features: Features,
    names: Sequence[str],
    folder: str,
    *,
    key: str,
    how: Computing,
) -> Targets:
    """Runs the teacher over `features` once; what a finished folder of the same `key` holds is read instead.

    Other runs that want the same folder wait meanwhile.

    Args:
        model_of: a teacher's feature model for some of "logits" and what `encoder_features` knows.
        key: fingerprint of the teacher's weights and of the rows.

    Raises:
        InputError: the disk is full.
    """
    workers = how.workers
    with locked(folder, wait=True) if workers.chief else contextlib.nullcontext():
        saved = _checked_manifest(folder, key, how.precision, names) if workers.chief else {}
        missing = [name for name in names if not workers.agree(name in saved)]
        if missing:
            shares = workers.shares(len(features))
            _write(model_of(missing), features.take(shares[workers.index]), missing, folder, how)
            workers.wait()
            parts = [number for number, share in enumerate(shares) if len(share)]
            workers.on_chief(lambda: _finish(folder, missing, parts, key, how.precision, saved))
        arrays = {name: np.load(_path(folder, name), mmap_mode="r") for name in names}
        workers.wait()  # another run may remove files when this one lets go of the folder
    return Targets(features, arrays, _pair_offsets(features), by_row=features.word_ids is None)


def _finish(folder: str, names, parts: Sequence[int], key: str, precision: str, saved: dict[str, str]) -> None:
    """Puts the workers' parts together, and vouches for them."""
    for name in names:
        _join([_part(folder, name, number) for number in parts], _path(folder, name))
    saved = saved | {name: fingerprint(_path(folder, name)) for name in names}
    write_json(os.path.join(folder, MANIFEST), {"key": key, "precision": precision, "sha256": saved})


def _join(parts: Sequence[str], path: str) -> None:
    """One array out of arrays that follow each other; another run may still be reading what stood at `path`."""
    if len(parts) > 1:
        arrays = [np.load(part, mmap_mode="r") for part in parts]
        shape = (sum(len(array) for array in arrays), *arrays[0].shape[1:])
        whole = reserved_array(f"{path}.whole", arrays[0].dtype, shape)
        np.concatenate(arrays, out=whole)
        whole.flush()
        for part in parts:
            os.remove(part)
    os.replace(f"{path}.whole" if len(parts) > 1 else parts[0], path)


def keep_only(folder: str, names: Sequence[str]) -> None:
    """Removes the outputs of a finished folder that are not among `names`."""
    manifest = os.path.join(folder, MANIFEST)
    if not os.path.isfile(manifest):
        return
    with locked(folder, wait=True):
        saved = read_json(manifest)
        kept = {name: digest for name, digest in saved["sha256"].items() if name in names}
        write_json(manifest, saved | {"sha256": kept})
        whole = {os.path.basename(_path(folder, name)) for name in kept}
        for file in os.listdir(folder):
            if ".npy" in file and file not in whole:  # parts of a run that was killed, too
                os.remove(os.path.join(folder, file))


def _path(folder: str, name: str) -> str:
    return os.path.join(folder, array_file(name))


def _part(folder: str, name: str, number: int) -> str:
    """Where a worker writes its share."""
    return f"{_path(folder, name)}.part-{number}"


def _checked_manifest(folder: str, key: str, precision: str, names: Sequence[str]) -> dict[str, str]:
    """Names and checksums of the outputs that are there; of another teacher or other rows: none.

    Args:
        names: those that have to be whole; the others are not looked at.
    """
    try:
        with open(os.path.join(folder, MANIFEST), encoding="utf-8") as file:
            saved = json.load(file)
    except (OSError, ValueError):
        return {}
    if saved["key"] != key or saved["precision"] != precision:
        return {}
    whole = {}
    for name, digest in saved["sha256"].items():
        if name not in names or (os.path.isfile(_path(folder, name)) and fingerprint(_path(folder, name)) == digest):
            whole[name] = digest
    return whole


def _write(model: tf.keras.Model, features: Features, names: Sequence[str], folder: str, how: Computing) -> None:
    """This worker's part of the outputs."""
    os.makedirs(folder, exist_ok=True)
    predict, pairs, files, done = make_predict_function(model), _pair_offsets(features), {}, 0
    for rows, outputs in predict_batches(predict, features, batch_size=how.batch_size, pad_id=how.pad_id, fill=True):
        for name in names:
            if name not in files:
                kind, shape = _kind_and_shape(name, outputs[name], features, int(pairs[-1]), how)
                files[name] = reserved_array(_part(folder, name, how.workers.index), kind, shape)
            _refuse_overflow(name, outputs[name], files[name].dtype)
            _store(files[name], name, outputs[name], features, rows, pairs)
            forget_pages(files[name])
        done += len(rows)
        how.progress(done, len(features))
    for file in files.values():
        file.flush()


def _refuse_overflow(name: str, values: np.ndarray, kind: np.dtype) -> None:
    """Raises InputError for what would be kept as NaN or infinity."""
    largest = np.abs(values).max()
    if not largest <= np.finfo(kind).max:  # NaN too
        raise InputError(
            f"The model's {name} reach {largest:g}, which {kind} cannot hold.\n"
            "Give --targets_precision float32; if it is nan, leave --teacher_opt_policy away, or mend the teacher."
        )


def _kind_and_shape(name: str, values: np.ndarray, features: Features, pair_count: int, how: Computing):
    """Of an output on disk, from a batch of it."""
    if is_map(name):
        return how.precision, (pair_count, values.shape[1])
    if values.ndim > 3:
        raise ValueError(f"{name} is {list(values.shape)}: only {', '.join(MAPS)} are kept as maps.")
    rows = len(features) if values.ndim == 2 else len(features.input_ids)
    return "float32" if name in how.exact else how.precision, (rows, values.shape[-1])


def _store(file: np.memmap, name: str, values: np.ndarray, features: Features, rows: np.ndarray, pairs) -> None:
    if values.ndim == 2:
        file[rows] = values
    elif is_map(name):
        for place, row in enumerate(rows):
            length = int(features.lengths[row])
            maps = values[place, :, :length, :length].transpose(1, 2, 0)
            file[pairs[row] : pairs[row + 1]] = maps.reshape(length * length, -1)
    else:
        index, inside = positions(features, rows, values.shape[1])
        file[index[inside]] = values[inside]
