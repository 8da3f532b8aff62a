"""Runs an ONNX graph as a teacher, which gives only logits, through ONNX Runtime."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil.data.features import Features
from xtremedistil.data.padding import INPUT_NAMES, Arrays, longest, pad_rows
from xtremedistil.distillation.teacher_outputs.logit_checks import label_columns
from xtremedistil.errors import InputError, first_line
from xtremedistil.models.prediction import PredictFunction
from xtremedistil.serving.onnx_runtime import ID_TYPES, available_cores, open_session
from xtremedistil.storage.files import fingerprint
from xtremedistil.storage.json_files import parse_json
from xtremedistil.tasks import Task


@dataclass(frozen=True)
class Weight:
    """Shape of a constant of a graph."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """An ONNX file.

    Fields:
        fingerprint: sha256 of the file and of its external weight files.
    """

    path: str
    fingerprint: str
    weights: list[Weight]


@dataclass(frozen=True)
class OnnxTeacher:
    """An ONNX graph with the interface of a `Teacher`, but without hidden states.

    Fields:
        model: takes `input_ids`, `attention_mask`, `token_type_ids`, int32 [B, S]; returns {"logits": float32
            [B, S, L] for tagging, [B, L] for classification}, labels in the task's order.
        parts: its weights. key: fingerprint of its files and of the order of its outputs.
        names_labels: whether the file names the labels of its outputs; if not, they are assumed to be in the task's
            order.
    """

    path: str
    model: PredictFunction
    parts: dict[str, list[Weight]]
    key: str
    names_labels: bool

    def feature_model(self, names: Sequence[str]) -> PredictFunction:
        """Returns the function that computes the outputs `names`; the only one is "logits"."""
        return self.model


def open_onnx_teacher(graph: Graph, task: Task, sample: Features, pad_id: int) -> OnnxTeacher:
    """Loads a graph and runs it on two rows.

    Args:
        sample: encoded rows of the task.

    Raises:
        InputError: the graph cannot be loaded, has other inputs or outputs, or other labels than the task.
    """
    path = graph.path
    session = open_session(path, path, available_cores())
    run = _logits_function(path, session)
    names = _label_names(session)
    columns = np.arange(len(task.labels)) if names is None else label_columns(names, task.labels, path)
    rows = np.arange(min(2, len(sample)))
    batch = pad_rows(sample, rows, longest(sample, rows), pad_id)
    _check_logits(path, run(batch), batch["input_ids"].shape, task)
    key = hashlib.sha256(json.dumps([graph.fingerprint, columns.tolist()]).encode()).hexdigest()

    def model(batch: Arrays) -> Arrays:
        return {"logits": run(batch)[..., columns]}

    return OnnxTeacher(path, model, {"graph": graph.weights}, key, names is not None)


def _logits_function(path: str, session) -> Callable[[Arrays], np.ndarray]:
    """Returns a function from named int32 [B, S] inputs to the output "logits", or else the first, float32."""
    types = {entry.name: entry.type for entry in session.get_inputs()}
    if "input_ids" not in types or not types.keys() <= set(INPUT_NAMES) or not set(types.values()) <= set(ID_TYPES):
        found = ", ".join(f"{name} {kind}" for name, kind in types.items())
        raise InputError(
            f"{path} takes {found}. A teacher takes input_ids, attention_mask and optionally token_type_ids,\n"
            "int32 or int64 [rows, tokens]. Export the graph with these inputs."
        )
    outputs = [entry.name for entry in session.get_outputs()]
    output = "logits" if "logits" in outputs else outputs[0]

    def run(batch: Arrays) -> np.ndarray:
        feed = {name: np.ascontiguousarray(batch[name], ID_TYPES[kind]) for name, kind in types.items()}
        try:
            return session.run([output], feed)[0].astype(np.float32, copy=False)
        except Exception as error:  # onnxruntime's own errors share no base but this
            rows, tokens = batch["input_ids"].shape
            raise InputError(
                f"{path} cannot compute {rows} rows of {tokens} tokens ({first_line(error)}).\n"
                "It needs dynamic axes for rows and tokens, the vocabulary of `pt_teacher_checkpoint`, and positions "
                "for `seq_len` tokens."
            ) from error

    return run


def _check_logits(path: str, logits: np.ndarray, batch: tuple[int, int], task: Task) -> None:
    axes = batch if task.by_position else batch[:1]
    expected = (*axes, len(task.labels))
    if logits.shape != expected:
        names = ("rows", "tokens")[: len(axes)]
        raise InputError(
            f"{path} gives logits {list(logits.shape)} for {batch[0]} rows of {batch[1]} tokens; {list(expected)} is "
            f"expected ({', '.join(names)}, labels).\nThe task's labels are {', '.join(task.labels)}. Name a graph "
            "that was made for such a task."
        )


def _label_names(session) -> list[str] | None:
    """Returns the labels that our exports store in a graph's metadata; None if there are none."""
    try:
        names = parse_json(session.get_modelmeta().custom_metadata_map["labels"], "labels")
    except (KeyError, InputError):
        return None
    return [str(name) for name in names] if isinstance(names, list) else None


def read_graph(path: str) -> Graph:
    """Reads an ONNX file without ONNX Runtime.

    Raises:
        InputError: it is not an ONNX file, or an external weight file is missing.
    """
    tensors = _tensors(path)
    beside = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    paths = [os.path.join(os.path.dirname(path), name) for name in sorted(beside)]
    if missing := [name for name in paths if not os.path.isfile(name)]:
        raise InputError(f"{path} has weights in {', '.join(missing)}, which is missing. Copy it beside the graph.")
    return Graph(path, fingerprint(path, *paths), _weights(tensors))


def _weights(tensors: list) -> list[Weight]:
    """Returns all constants but integers of 32 or 64 bits, which are shapes and indices."""
    from onnx import TensorProto

    counts = (TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL, TensorProto.STRING)
    return [Weight(tuple(tensor.dims)) for tensor in tensors if tensor.data_type not in counts]


def _tensors(path: str) -> list:
    import onnx

    try:
        return list(onnx.load(path, load_external_data=False).graph.initializer)
    except Exception as error:  # protobuf's DecodeError is not always the same class
        raise InputError(f"{path} is not an ONNX file ({first_line(error)}).") from error
