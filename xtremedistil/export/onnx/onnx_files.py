"""`export_onnx`: the plain graph and the fused one, each compared with the student before it is written."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from xtremedistil.export.common.config import INT32
from xtremedistil.export.common.parity import Exported, compare, median_milliseconds, refuse_difference
from xtremedistil.export.common.source import Source
from xtremedistil.export.onnx.canonical import with_input_type, with_opset
from xtremedistil.export.onnx.standard_graph import OPSET, convert
from xtremedistil.export.onnx.student_graph import build_student_graph, weights_of
from xtremedistil.models.architectures.families import BILSTM
from xtremedistil.serving.onnx_runtime import OnnxFunction
from xtremedistil.storage import files as files_module
from xtremedistil.storage import model_folder
from xtremedistil.storage.checksums import vouched_file

PLAIN, FUSED, INT8 = "onnx", "onnx_opt", "int8"  # forms, as export.json names them


@dataclass(frozen=True)
class GraphForm:
    """How graphs are written.

    Fields:
        input_type: of ids and masks, "int32" or "int64". opset: version of ONNX's operators; None: the newest
            that tf2onnx writes for the plain graph, 17 for ours.
    """

    input_type: str = INT32
    opset: int | None = None

    def of(self, graph: onnx.ModelProto) -> onnx.ModelProto:
        """Returns a graph of ours in this form."""
        return with_input_type(with_opset(graph, self.opset) if self.opset else graph, self.input_type)


def write_onnx(source: Source, form: GraphForm) -> list[Exported]:
    """Both graphs; neither is written unless both agree with the student and there is room for both."""
    notes = file_notes(source)
    built = form.of(build_student_graph(weights_of(source.student), notes=notes))
    # A BiLSTM's has standard operators only; tf2onnx would make loops of it.
    plain = built if source.student.family is BILSTM else _converted(source, notes, form)
    graphs = {PLAIN: plain, FUSED: built}
    names = {PLAIN: model_folder.ONNX, FUSED: model_folder.FUSED_ONNX}
    made = []
    for kind, graph in graphs.items():
        exported = measured(source, kind, names[kind], graph)
        refuse_difference(names[kind], exported.largest_difference)
        made.append(exported)
    write_graphs({os.path.join(source.model_dir, names[kind]): graph for kind, graph in graphs.items()})
    return made


def _converted(source: Source, notes: dict, form: GraphForm) -> onnx.ModelProto:
    return with_input_type(convert(source.student.model, notes, form.opset or OPSET), form.input_type)


def measured(source: Source, form: str, name: str, graph: onnx.ModelProto) -> Exported:
    """Runs a graph on the source's rows, one row at a time, in ONNX Runtime as the predictor would."""
    data = graph.SerializeToString()
    function = OnnxFunction(data, name)
    logits = source.logits_of(function)
    difference, agreement = compare(source.logits, logits, source.task.chosen)
    return Exported(
        form=form,
        path=name,
        bytes=len(data),
        rows=len(source.rows.features),
        largest_difference=difference,
        label_agreement=agreement,
        milliseconds=median_milliseconds(function, source.single_rows()),
        metric=metric_of(source, logits),
    )


def metric_of(source: Source, logits: list[np.ndarray]) -> dict | None:
    """The task's metric on the rows: of the student, and of an export that gave `logits`."""
    if not source.labelled:
        return None
    student, export = source.score(source.logits), source.score(logits)
    primary = student["primary"]
    return {"name": primary, "student": student[primary], "export": export[primary]}


def write_graphs(graphs: Mapping[str, onnx.ModelProto]) -> None:
    """Writes graphs by path; none takes its place before all are on disk."""
    with contextlib.ExitStack() as stack:
        files = {path: stack.enter_context(vouched_file(path, "wb")) for path in graphs}
        for path, graph in graphs.items():
            files[path].write(graph.SerializeToString())
            files[path].flush()


def file_notes(source: Source) -> dict:
    """What a reader of the file alone should know."""
    return {
        "xtremedistil": source.task.kind,
        "labels": source.task.all_labels,
        "seq_len": source.saved["seq_len"],
        "pad_id": source.tokenizer.pad_id,
        "weights": files_module.fingerprint(os.path.join(source.model_dir, source.weights)),
    }
