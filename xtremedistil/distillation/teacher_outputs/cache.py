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
from xtremedistil.models.features.names import is_map
from xtremedistil.models.forward import make_predict_function
from xtremedistil.objectives.position_masks import TEACHER_PREFIX
from xtremedistil.storage.files import fingerprint, read_json, release_pages, write_json
from xtremedistil.storage.folders import locked

MANIFEST = "targets.json"
ONE_A_ROW = ("logits", "state")  # of texts; hidden states have one for each position


@dataclass(frozen=True)
class CachedOutputs:
    """Teacher outputs of `features`, one memory-mapped array a name.

    Called with rows and width, gives the arrays of a batch, padded with zeros, under the names `<prefix><output>`.

    Fields:
        by_row: logits have one row for each of `features`, not for each position.
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
        """Whether that output has one entry for each row, as logits of texts and a pooler's vectors have."""
        fewer = len(self.arrays[name]) < len(self.features.input_ids)  # than there are positions
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
        for place, row in enumerate(rows):
            length = int(self.features.lengths[row])
            flat = array[self.pair_offsets[row] : self.pair_offsets[row + 1]]
            maps[place, :, :length, :length] = flat.reshape(length, length, -1).transpose(2, 0, 1)
        return maps


class LiveOutputs:
    """Teacher outputs of `features`, computed when a batch asks for them: no disk, but the teacher runs every epoch.

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
    """Runs the teacher over `features` once; what a finished folder of the same `key` holds is read instead.

    Other runs that want the same folder wait meanwhile.

    Args:
        model_of: a teacher's feature model for some of "logits" and what `encoder_features` knows.
        key: fingerprint of the teacher's weights and of the rows.

    Raises:
        InputError: the disk is full; what is done so far stays, and the same call goes on from there.
    """
    workers = how.workers
    with locked(folder, wait=True) if workers.chief else contextlib.nullcontext():
        saved = _checked_manifest(folder, key, how.precision, names) if workers.chief else {}
        missing = [name for name in names if not workers.broadcast_from_chief(name in saved)]
        if missing:
            shares = workers.shares(len(features))
            rows, whose = features.take(shares[workers.index]), f"{key}, {workers.index} of {workers.count} workers"
            write_part(model_of(missing), rows, missing, folder, whose, how)
            workers.wait()
            parts = [number for number, share in enumerate(shares) if len(share)]
            workers.on_chief(lambda: _finish(folder, missing, parts, key, how.precision, saved))
        arrays = {name: np.load(output_path(folder, name), mmap_mode="r") for name in names}
        workers.wait()  # another run may remove files when this one lets go of the folder
    return CachedOutputs(features, arrays, pair_offsets_of(features), by_row=features.word_ids is None)


def _finish(folder: str, names, parts: Sequence[int], key: str, precision: str, saved: dict[str, str]) -> None:
    """Puts the workers' parts together, and vouches for them."""
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
        saved = read_json(manifest)
        kept = {name: digest for name, digest in saved["sha256"].items() if name in names}
        write_json(manifest, saved | {"sha256": kept})
        whole = {os.path.basename(output_path(folder, name)) for name in kept}
        for file in os.listdir(folder):
            if (".npy" in file or is_mark(file)) and file not in whole:  # parts of a run that was killed, too
                os.remove(os.path.join(folder, file))


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
        if name not in names or (
            os.path.isfile(output_path(folder, name)) and fingerprint(output_path(folder, name)) == digest
        ):
            whole[name] = digest
    return whole
