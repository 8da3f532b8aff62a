"""Exported graphs in ONNX Runtime, with settings that suit small models on small machines."""

import json
import os
import platform

import numpy as np

from xtremedistil import artefacts
from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.tasks.padding import Arrays

MOST_THREADS = 4
RUNS_PER_SHRINK = 256  # the arena keeps the most that any call took; now and then it gives that back
KINDS = ("token_classification", "sequence_classification")
ID_TYPES = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}


class OnnxFunction:
    """A graph as a predict function: named int32 [B, S] inputs in, {"logits": float32} out. Threads may share one.

    Args:
        model: path, or the bytes of a file. name: of the file, for messages.
        num_threads: by default as many as cores that this process may use, at most 4.

    Raises:
        InputError: the file is damaged, or not an export of this package.
    """

    def __init__(self, model: str | bytes, name: str, num_threads: int | None = None):
        import onnxruntime

        try:
            session = onnxruntime.InferenceSession(model, _options(num_threads), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors share no base but this
            raise InputError(f"{name} cannot be loaded by ONNX Runtime ({_first_line(error)}).") from error
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


def open_exported(model_dir: str, *, quantize: bool = False, num_threads: int | None = None) -> OnnxFunction:
    """The int8 graph of a model folder, or the fused one, or, where that is absent, the plain one.

    Raises:
        MissingFileError: there is none. InputError: it was made of other weights than the folder holds now.
    """
    names = [artefacts.INT8_ONNX] if quantize else [artefacts.FUSED_ONNX, artefacts.ONNX]
    for name in names:
        path = os.path.join(model_dir, name)
        if os.path.isfile(path):
            function = OnnxFunction(path, path, num_threads)
            _refuse_stale(model_dir, path, function.notes)
            return function
    form = "int8" if quantize else "onnx"
    raise MissingFileError(
        f"{model_dir} holds no {names[0]}. Write it: xtremedistil export --model_dir {model_dir} --to {form}"
    )


def _refuse_stale(model_dir: str, path: str, notes: dict) -> None:
    """A folder may be served without its `.h5` files; if it has any, one has to be what was exported."""
    files = [os.path.join(model_dir, name) for name in (artefacts.STUDENT_WEIGHTS, artefacts.CONTINUED_WEIGHTS)]
    there = [file for file in files if os.path.isfile(file)]
    if there and all(artefacts.fingerprint(file) != notes["weights"] for file in there):
        raise InputError(f"{path} was made of other weights than {model_dir} holds now. Export it again.")


def _options(num_threads: int | None):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads or min(available_cores(), MOST_THREADS)
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
    raw = session.get_modelmeta().custom_metadata_map
    kind = raw.get("xtremedistil", "").strip('"')
    outputs = [entry.name for entry in session.get_outputs()]
    types = {entry.type for entry in session.get_inputs()}
    if kind not in KINDS or outputs != ["logits"] or not types <= set(ID_TYPES):
        inputs = ", ".join(entry.name for entry in session.get_inputs())
        raise InputError(
            f"{name} is not an export of this package (inputs {inputs}; outputs {', '.join(outputs)}).\n"
            "Write it again: xtremedistil export --model_dir FOLDER --to onnx"
        )
    return {name: json.loads(value) for name, value in raw.items()}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
