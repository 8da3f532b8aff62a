"""Exported graphs in ONNX Runtime, with settings that suit small models on small machines."""

import os
import platform

import numpy as np

from xtremedistil.data.padding import INPUT_NAMES, Arrays
from xtremedistil.errors import InputError, MissingFileError, first_line
from xtremedistil.storage import files, model_folder
from xtremedistil.storage.declared import LABELS, Object, Text, faults
from xtremedistil.storage.json_files import parse_json
from xtremedistil.tasks import KINDS

MOST_THREADS = 4
RUNS_PER_SHRINK = 256  # the arena keeps the most that any call took; now and then it gives that back
NOTES = {"xtremedistil": Text(tuple(KINDS)), "weights": Text(), "labels": LABELS}
NOTES = Object(NOTES, required=tuple(NOTES))
ID_TYPES = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}


class OnnxFunction:
    """A graph as a predict function: named int32 [B, S] inputs in, {"logits": float32} out. Threads may share one.

    Args:
        model: path, or the bytes of a file. name: of the file, for messages.
        num_threads: by default as many as cores that this process may use, at most 4.

    Fields:
        notes: what the file says about itself; see `onnx_files.file_notes`.

    Raises:
        InputError: the file is damaged, or not an export of this package.
    """

    def __init__(self, model: str | bytes, name: str, num_threads: int | None = None):
        import onnxruntime

        self._source = model, name, num_threads
        session = open_session(model, name, num_threads)
        self.notes = _notes(session, name)
        self._types = {entry.name: ID_TYPES[entry.type] for entry in session.get_inputs()}
        self._session = session
        self._shrinking = onnxruntime.RunOptions()
        self._shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._runs = 0

    def __call__(self, batch: Arrays) -> Arrays:
        feed = {name: np.ascontiguousarray(batch[name], kind) for name, kind in self._types.items()}
        self._runs += 1
        options = self._shrinking if self._runs % RUNS_PER_SHRINK == 0 else None
        return {"logits": self._session.run(["logits"], feed, options)[0]}

    def __reduce__(self):
        """Makes copies and pickles open the model again: sessions of ONNX Runtime cannot be copied."""
        return type(self), self._source


def exported_file(model_dir: str, *, quantize: bool = False) -> str | None:
    """A model folder's int8 graph; or its fused one, else the plain one; None if it has none."""
    names = [model_folder.INT8_ONNX] if quantize else [model_folder.FUSED_ONNX, model_folder.ONNX]
    paths = [os.path.join(model_dir, name) for name in names]
    return next(filter(os.path.exists, paths), None)


def open_exported(
    model_dir: str,
    *,
    weights: str = model_folder.STUDENT_WEIGHTS,
    quantize: bool = False,
    num_threads: int | None = None,
) -> OnnxFunction:
    """The graph that `exported_file` finds.

    Args:
        weights: the weight file that the graph has to be made of. A folder may be served without it.

    Raises:
        MissingFileError: there is no graph, or no such weight file among others.
        InputError: the graph is damaged, of another maker, or of other weights.
    """
    path = exported_file(model_dir, quantize=quantize)
    command = f"xtremedistil export --model_dir {model_dir} --to {'int8' if quantize else 'onnx'}"
    if path is None:
        name = model_folder.INT8_ONNX if quantize else model_folder.FUSED_ONNX
        raise MissingFileError(f"{model_dir} holds no {name}. Write it: {command}")
    try:
        function = OnnxFunction(path, path, num_threads)
    except InputError as error:
        raise InputError(f"{error}\nWrite it again: {command}") from error
    _refuse_not_finite(function, path, command)
    if weights != model_folder.STUDENT_WEIGHTS or os.path.isfile(os.path.join(model_dir, weights)):
        source = model_folder.weight_file(model_dir, weights)
        if files.fingerprint(source) != function.notes["weights"]:
            raise InputError(
                f"{path} was made of other weights than {source} holds now. Name those with `weights`, or write it "
                f"again: {command} `weights` {weights}"
            )
    return function


def _refuse_not_finite(function: OnnxFunction, path: str, command: str) -> None:
    """Runs a graph on one short row. Raises InputError if its answer is infinite, NaN, or of another shape."""
    batch = {name: np.ones((1, 4), np.int32) for name in INPUT_NAMES}
    try:
        logits = function(batch)["logits"]
    except Exception as error:  # onnxruntime's own errors share no base but this
        raise InputError(f"{path} cannot be run ({first_line(error)}). Write it again: {command}") from error
    if logits.shape[-1] != len(function.notes["labels"]) or not np.isfinite(logits).all():
        raise InputError(f"{path} answers with NaN, infinite numbers, or another shape. Write it again: {command}")


def open_session(model: str | bytes, name: str, num_threads: int | None = None):
    """An `onnxruntime.InferenceSession`; arguments as those of `OnnxFunction`.

    Raises:
        InputError: it cannot be loaded.
    """
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(model, _options(num_threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors share no base but this
        raise InputError(f"{name} cannot be loaded by ONNX Runtime ({first_line(error)}).") from error


def _options(num_threads: int | None):
    import onnxruntime

    if num_threads is None:
        num_threads = min(available_cores(), MOST_THREADS)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # a plan for each shape ever seen would be kept
    options.log_severity_level = 4
    # Threads that spin while they wait double the latency on a busy small machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not has_vnni():  # 8-bit weights saturate there in the fast kernel
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_vnni() -> bool:
    """Whether 8-bit products are exact here: x86 with VNNI, or another architecture."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return "_vnni" in file.read()
    except OSError:
        return False


def _notes(session, name: str) -> dict:
    """The file's metadata; refuses graphs of other makers."""
    inputs = {entry.name: entry.type for entry in session.get_inputs()}
    outputs = [entry.name for entry in session.get_outputs()]
    notes = _read_notes(session.get_modelmeta().custom_metadata_map)
    own = next(faults(notes, NOTES), None) is None
    readable = inputs.keys() <= set(INPUT_NAMES) and set(inputs.values()) <= set(ID_TYPES) and outputs == ["logits"]
    if not own or not readable:
        found = f"inputs {', '.join(inputs)}; outputs {', '.join(outputs)}"
        raise InputError(f"{name} is not an export of this package ({found}).")
    return notes


def _read_notes(metadata: dict[str, str]) -> dict:
    """Values as they were before they became JSON; none at all if one of them is of another maker."""
    try:
        return {name: parse_json(value, name) for name, value in metadata.items()}
    except InputError:
        return {}
