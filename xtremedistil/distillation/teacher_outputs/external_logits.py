"""Checks a file of logits against the transfer file and rewrites it in the transfer file's order.

This happens once, block by block; in memory at a time: a block, and a few numbers per example.
"""

import hashlib
import json
import os
from dataclasses import dataclass

import numpy as np

from xtremedistil.data.features import offsets_of, slice_index
from xtremedistil.data.text_files import find_file
from xtremedistil.distillation.data.corpus import KEY_LETTERS, OnChief, at_once
from xtremedistil.distillation.teacher_outputs.logit_checks import (
    check_finite,
    check_row_ids,
    check_source,
    check_words,
    label_columns,
)
from xtremedistil.distillation.teacher_outputs.npz_logits import open_npz
from xtremedistil.distillation.teacher_outputs.parquet_logits import open_parquet
from xtremedistil.storage.arrays import read_array
from xtremedistil.storage.files import fingerprint, release_pages, reserved_array, write_array
from xtremedistil.storage.folders import locked, new_folder
from xtremedistil.tasks import Task

FORMS = {".npz": open_npz, ".parquet": open_parquet}
VALUES, STARTS = "logits.npy", "starts.npy"


@dataclass(frozen=True)
class ExternalLogits:
    """Logits of every example of a transfer file, memory-mapped.

    Fields:
        path: of the file of logits.
        values: float32 [V, L]: one vector per example, for tagging one per word; labels in the task's order.
        starts: int64 [N + 1]; the vectors of example n are `starts[n]:starts[n + 1]`.
    """

    path: str
    values: np.ndarray
    starts: np.ndarray


def open_external_logits(
    path: str, task: Task, transfer_file: str, store: str, on_chief: OnChief = at_once
) -> ExternalLogits:
    """Reads a file of logits, or what an earlier run has made of it.

    Examples are the lines of the transfer file that are not blank, counted from 0.

    Args:
        store: folder of the transfer set. on_chief: runs a function in one of several processes.

    Raises:
        InputError: the file is damaged, or does not fit the transfer file or the task.
    """
    parts = [fingerprint(path), task.labels]
    folder = os.path.join(store, "file-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:KEY_LETTERS])

    def write() -> None:
        with locked(store, wait=True):
            if not os.path.isdir(folder):
                with new_folder(folder) as partial:
                    _write(partial, path, task, find_file(transfer_file))

    on_chief(write)
    cure = f"Remove the folder {folder} and give the same command again: it is written anew."
    starts = read_array(os.path.join(folder, STARTS), kinds="i", shape=[None], mapped=True, cure=cure)
    shape = [int(starts[-1]) if len(starts) else 0, len(task.labels)]
    values = read_array(os.path.join(folder, VALUES), kinds="f", shape=shape, mapped=True, cure=cure)
    return ExternalLogits(path, values, starts)


def _write(folder: str, path: str, task: Task, transfer_file: str) -> None:
    tagging = task.by_position
    file = FORMS[os.path.splitext(path)[1]](path, tagging)
    columns = label_columns(file.labels, task.labels, path)
    check_source(file, transfer_file)
    sizes = (len(example.words) if tagging else 1 for example in task.iter_unlabelled(transfer_file))
    counts = np.fromiter(sizes, np.int64)
    check_row_ids(file, len(counts), transfer_file)
    starts = offsets_of(counts)
    values = reserved_array(os.path.join(folder, VALUES), np.float32, (int(starts[-1]), len(columns)))
    for block in file.blocks():
        examples = file.row_ids[block.start : block.start + len(block.counts)]
        check_words(file, examples, block, counts, transfer_file)
        check_finite(file, examples, block)
        values[slice_index(starts[examples], block.counts)] = block.logits[:, columns]
        release_pages(values)
    values.flush()
    write_array(os.path.join(folder, STARTS), starts)
