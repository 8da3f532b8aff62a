"""Teacher outputs of encoded rows: computed once, kept on disk without padding, read by row.

A folder holds one memory-mapped `.npy` per output, float16 (or float32; logits always): `logits` [N, L] or [P, L];
attention maps (`attentions_i`, `attention_scores_i`) [sum over rows of S * S, A]; all else [P, H] (N rows, P tokens of
all rows, S tokens of a row, A heads). `targets.json` names teacher and rows, with a checksum of each output. Padding is
not kept and is read as 0, in attention scores too: losses need the attention mask.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from xtremedistil.data.features import Features
from xtremedistil.data.padding import Arrays, pad_rows, positions
from xtremedistil.distillation.teacher_outputs.cache_writer import (
    OutputWriterConfig,
    forget_marks,
    is_mark,
    join_parts,
    output_path,
    pair_offsets_of,
    write_part,
)
from xtremedistil.errors import InputError
from xtremedistil.models.features.names import is_map
from xtremedistil.models.forward import make_predict_function
from xtremedistil.objectives.position_masks import TEACHER_PREFIX
from xtremedistil.storage.arrays import read_array
from xtremedistil.storage.declared import MapOf, Object, Text
from xtremedistil.storage.files import fingerprint, release_pages, write_json
from xtremedistil.storage.folders import locked
from xtremedistil.storage.json_files import read_json

MANIFEST = "targets.json"
RECORD = {"key": Text(), "precision": Text(), "sha256": MapOf(Text())}
ONE_A_ROW = ("logits", "state")  # for classification; hidden states have one entry per token


@dataclass(frozen=True)
class CachedOutputs:
    """Teacher outputs of `features`, one memory-mapped array per name.

    Called with rows and width, it returns the arrays of a batch, padded with zeros, named `<prefix><output>`.

    Fields:
        by_row: logits have one entry per row of `features`, not per token.
    """

    features: Features
    arrays: dict[str, np.ndarray]
    pair_offsets: np.ndarray
    by_row: bool
    prefix: str = TEACHER_PREFIX

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        batch = {self.prefix + name: self._read(name, rows, width) for name in self.arrays}
        for array in self.arrays.values():
            release_pages(array)
        return batch

    def select(self, names: Sequence[str]) -> "CachedOutputs":
        return replace(self, arrays={name: self.arrays[name] for name in names})

    def is_by_row(self, name: str) -> bool:
        """Whether an output has one entry per row, as logits of classification and pooled outputs have."""
        fewer = len(self.arrays[name]) < len(self.features.input_ids)  # than there are tokens
        return fewer or (self.by_row and name in ONE_A_ROW)

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
        for position, row in enumerate(rows):
            length = int(self.features.lengths[row])
            flat = array[self.pair_offsets[row] : self.pair_offsets[row + 1]]
            maps[position, :, :length, :length] = flat.reshape(length, length, -1).transpose(2, 0, 1)
        return maps


class LiveOutputs:
    """Computes teacher outputs of `features` batch by batch: no disk space, but the teacher runs in every epoch.

    Called as `CachedOutputs` are.
    """

    def __init__(self, model, features: Features, names: Sequence[str], pad_id: int):
        self.features = features
        self._predict, self._names, self._pad_id = make_predict_function(model), names, pad_id

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        outputs = self._predict(pad_rows(self.features, rows, width, self._pad_id))
        return {TEACHER_PREFIX + name: outputs[name] for name in self._names}


def cached_outputs(
    model_of: Callable[[Sequence[str]], tf.keras.Model],
    features: Features,
    names: Sequence[str],
    folder: str,
    *,
    key: str,
    how: OutputWriterConfig,
) -> CachedOutputs:
    """Runs the teacher over `features` once; outputs that the folder already has for this `key` are only read.

    Other runs that use the same folder wait.

    Args:
        model_of: returns the teacher's feature model for names of outputs: "logits" and those of `encoder_features`.
        key: fingerprint of the teacher's weights and of the rows.

    Raises:
        InputError: the disk is full; finished batches stay, and the same call continues after them.
    """
    workers = how.workers
    with locked(folder, wait=True) if workers.chief else contextlib.nullcontext():
        saved = _checked_manifest(folder, key, how.precision, names) if workers.chief else {}
        missing = [name for name in names if not workers.broadcast_from_chief(name in saved)]
        if missing:
            shares = workers.shares(len(features))
            rows, owner = features.take(shares[workers.index]), f"{key}, {workers.index} of {workers.count} workers"
            write_part(model_of(missing), rows, missing, folder, owner, how)
            workers.wait()
            parts = [number for number, share in enumerate(shares) if len(share)]
            workers.on_chief(lambda: _finish(folder, missing, parts, key, how.precision, saved))
        arrays = {name: read_array(output_path(folder, name), mapped=True) for name in names}
        workers.wait()  # another run may remove files once this one unlocks the folder
    return CachedOutputs(features, arrays, pair_offsets_of(features), by_row=features.word_ids is None)


def _finish(folder: str, names, parts: Sequence[int], key: str, precision: str, saved: dict[str, str]) -> None:
    """Joins the workers' parts and records their checksums."""
    for name in names:
        join_parts(folder, name, parts)
    saved = saved | {name: fingerprint(output_path(folder, name)) for name in names}
    write_json(os.path.join(folder, MANIFEST), {"key": key, "precision": precision, "sha256": saved})
    forget_marks(folder)


def keep_only(folder: str, names: Sequence[str]) -> None:
    """Removes the outputs of a finished folder that are not among `names`."""
    manifest = os.path.join(folder, MANIFEST)
    if not os.path.isfile(manifest):
        return
    with locked(folder, wait=True):
        saved = _saved_manifest(folder)
        if saved is None:
            return
        kept = {name: digest for name, digest in saved["sha256"].items() if name in names}
        write_json(manifest, saved | {"sha256": kept})
        whole = {os.path.basename(output_path(folder, name)) for name in kept}
        for file in os.listdir(folder):
            if (".npy" in file or is_mark(file)) and file not in whole:  # also parts of a killed run
                os.remove(os.path.join(folder, file))


def _checked_manifest(folder: str, key: str, precision: str, names: Sequence[str]) -> dict[str, str]:
    """Returns names and checksums of the saved outputs; empty if they are of another teacher or other rows.

    Args:
        names: outputs whose checksums are verified; others are returned unverified.
    """
    saved = _saved_manifest(folder)
    if saved is None or saved["key"] != key or saved["precision"] != precision:
        return {}
    whole = {}
    for name, digest in saved["sha256"].items():
        if name not in names or (
            os.path.isfile(output_path(folder, name)) and fingerprint(output_path(folder, name)) == digest
        ):
            whole[name] = digest
    return whole


def _saved_manifest(folder: str) -> dict | None:
    """Returns the record of a folder; None if there is none, or a damaged one, whose outputs are computed again."""
    try:
        return read_json(os.path.join(folder, MANIFEST), Object(RECORD, required=RECORD))
    except InputError:
        return None
