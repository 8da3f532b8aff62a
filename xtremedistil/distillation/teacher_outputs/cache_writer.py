"""Writes a model's outputs to disk: each worker its part, batch by batch; then the parts are joined.

An interrupted part is continued: a file beside its arrays records how many batches are finished. It is written every
few minutes, and when the process is asked to end.
"""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from xtremedistil.data.features import Features
from xtremedistil.data.padding import positions
from xtremedistil.distillation.teacher_outputs.disk_size import array_file
from xtremedistil.errors import InputError
from xtremedistil.models.features.names import LOGITS, MAPS, is_map
from xtremedistil.models.forward import make_predict_function
from xtremedistil.models.prediction import predict_batches
from xtremedistil.storage.declared import Object, Text, Whole
from xtremedistil.storage.files import read_sealed, release_pages, reserved_array, write_sealed
from xtremedistil.storage.folders import make_folder
from xtremedistil.training.workers import Workers

MARK = "part-done-"  # followed by the worker's number


def pair_offsets_of(features: Features) -> np.ndarray:
    """Returns int64 [N + 1]: where each row's S x S attention maps begin."""
    return np.concatenate([[0], np.cumsum(features.lengths.astype(np.int64) ** 2)])


@dataclass(frozen=True)
class OutputWriterConfig:
    """How a model's outputs are computed and kept.

    Fields:
        batch_size: rows per batch if they are long; batches of short rows have more.
        workers: each runs the model over its share of the rows.
        progress: called with (rows done, rows in all).
        precision: type of hidden states and attention maps on disk, "float16" or "float32".
        exact: outputs that are always float32.
        every_minutes: time between two records of finished batches; 0: only when the process is asked to end.
    """

    pad_id: int
    batch_size: int
    workers: Workers
    progress: Callable[[int, int], None] = lambda done, total: None
    precision: str = "float16"
    exact: Sequence[str] = LOGITS
    every_minutes: float = 5.0


def output_path(folder: str, name: str) -> str:
    """Returns the path of an output of all rows."""
    return os.path.join(folder, array_file(name))


def _part_path(folder: str, name: str, number: int) -> str:
    """Returns the path of a worker's part of an output."""
    return f"{output_path(folder, name)}.part-{number}"


def is_mark(file: str) -> bool:
    return file.startswith(MARK)


def forget_marks(folder: str) -> None:
    """Removes the records of parts that have been joined."""
    for file in filter(is_mark, os.listdir(folder)):
        os.remove(os.path.join(folder, file))


RECORD = {"key": Text(), "done": Whole(), "rows": Whole(most=10**18)}
RECORD = Object(RECORD, required=tuple(RECORD))


@dataclass
class Part:
    """A worker's arrays, and how far they are written.

    Fields:
        key: names all that determines their bytes. done, rows: numbers of finished batches, and of their rows.
    """

    folder: str
    names: Sequence[str]
    number: int
    key: str
    done: int = 0
    rows: int = 0
    arrays: dict[str, np.memmap] = field(default_factory=dict)

    def __post_init__(self):
        saved = read_sealed(self._mark, RECORD)
        if saved and saved["key"] == self.key:
            with contextlib.suppress(OSError, ValueError):  # the arrays may be missing
                self.arrays = {name: np.load(self._path(name), mmap_mode="r+") for name in self.names}
                self.done, self.rows = saved["done"], saved["rows"]
        if not self.done:
            self.arrays = {}
            with contextlib.suppress(FileNotFoundError):  # the old record must not count for new arrays
                os.remove(self._mark)

    @property
    def _mark(self) -> str:
        return os.path.join(self.folder, f"{MARK}{self.number}")

    def _path(self, name: str) -> str:
        return _part_path(self.folder, name, self.number)

    def reserve(self, name: str, kind: np.dtype | str, shape: tuple[int, ...]) -> None:
        """Creates the array of an output, if it does not exist."""
        if name not in self.arrays:
            self.arrays[name] = reserved_array(self._path(name), kind, shape)

    def save(self) -> None:
        """Records the finished batches; raises InputError if the disk is full."""
        for array in self.arrays.values():
            array.flush()
        if self.done:
            write_sealed(self._mark, {"key": self.key, "done": self.done, "rows": self.rows})


def write_part(
    model: tf.keras.Model, features: Features, names: Sequence[str], folder: str, owner: str, how: OutputWriterConfig
) -> None:
    """Writes a worker's part of the outputs.

    Args:
        features: its rows. owner: names rows, model and worker.
    """
    make_folder(folder)
    key = f"{owner}, {', '.join(names)}, {how.precision}, {how.batch_size} rows at a time"
    part = Part(folder, names, how.workers.index, key)
    try:
        _go_on(part, model, features, how)
    except BaseException:  # SIGTERM and Ctrl-C come as such
        with contextlib.suppress(InputError):
            part.save()
        raise
    part.save()


def _go_on(part: Part, model: tf.keras.Model, features: Features, how: OutputWriterConfig) -> None:
    pairs, saved_at, sizes = pair_offsets_of(features), time.monotonic(), {"batch_size": how.batch_size, "fill": True}
    predict = make_predict_function(model)
    for rows, outputs in predict_batches(predict, features, **sizes, pad_id=how.pad_id, skip=part.done):
        for name in part.names:
            part.reserve(name, *_kind_and_shape(name, outputs[name], features, int(pairs[-1]), how))
            _refuse_overflow(name, outputs[name], part.arrays[name].dtype)
            _store(part.arrays[name], name, outputs[name], features, rows, pairs)
            release_pages(part.arrays[name])
        part.done, part.rows = part.done + 1, part.rows + len(rows)
        how.progress(part.rows, len(features))
        if how.every_minutes and time.monotonic() - saved_at > 60 * how.every_minutes:
            part.save()
            saved_at = time.monotonic()


def _refuse_overflow(name: str, values: np.ndarray, kind: np.dtype) -> None:
    """Raises InputError for values that would be stored as NaN or infinity."""
    largest = np.abs(values).max()
    if not largest <= np.finfo(kind).max:  # NaN too
        raise InputError(
            f"The model's {name} reach {largest:g}, which {kind} cannot hold.\n"
            "Give `teacher_outputs_precision` float32; if it is nan, leave `teacher_opt_policy` away, or "
            "repair the teacher."
        )


def _kind_and_shape(name: str, values: np.ndarray, features: Features, pair_count: int, how: OutputWriterConfig):
    """Returns type and shape of an output on disk, given a batch of it."""
    if is_map(name):
        return how.precision, (pair_count, values.shape[1])
    if values.ndim > 3:
        raise ValueError(f"{name} is {list(values.shape)}: only {', '.join(MAPS)} are kept as attention maps.")
    rows = len(features) if values.ndim == 2 else len(features.input_ids)
    return "float32" if name in how.exact else how.precision, (rows, values.shape[-1])


def _store(file: np.memmap, name: str, values: np.ndarray, features: Features, rows: np.ndarray, pairs) -> None:
    if values.ndim == 2:
        file[rows] = values
    elif is_map(name):
        for position, row in enumerate(rows):
            length = int(features.lengths[row])
            maps = values[position, :, :length, :length].transpose(1, 2, 0)
            file[pairs[row] : pairs[row + 1]] = maps.reshape(length * length, -1)
    else:
        index, inside = positions(features, rows, values.shape[1])
        file[index[inside]] = values[inside]


def join_parts(folder: str, name: str, numbers: Sequence[int]) -> None:
    """Joins the workers' parts of an output; another run may still be reading an older file at its path.

    Raises:
        InputError: the disk is full.
    """
    path, parts = output_path(folder, name), [_part_path(folder, name, number) for number in numbers]
    if len(parts) > 1:
        arrays = [np.load(part, mmap_mode="r") for part in parts]
        shape = (sum(len(array) for array in arrays), *arrays[0].shape[1:])
        whole = reserved_array(f"{path}.whole", arrays[0].dtype, shape)
        np.concatenate(arrays, out=whole)
        whole.flush()
    try:
        os.replace(f"{path}.whole" if len(parts) > 1 else parts[0], path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}. Its parts are intact.") from error
    for part in parts[1:] and parts:  # a single part was renamed
        os.remove(part)
