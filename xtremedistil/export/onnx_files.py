"""`export_onnx`: the plain graph and the fused one, each compared with the student before it is written."""

import contextlib
import os
from collections.abc import Mapping

import numpy as np
import onnx

from xtremedistil import artefacts
from xtremedistil.export.parity import Exported, compare, median_milliseconds, refuse_difference
from xtremedistil.export.plain_graph import convert
from xtremedistil.export.source import Source
from xtremedistil.export.student_graph import build_student_graph, weights_of
from xtremedistil.models.families import BILSTM
from xtremedistil.onnx_session import OnnxFunction
from xtremedistil.use_config import ExportConfig
from xtremedistil.use_validation import check_export

PLAIN, FUSED, INT8 = "onnx", "onnx_opt", "int8"  # forms, as export.json names them


def export_onnx(
    model_dir: str,
    *,
    quantize: bool = False,
    weights: str = artefacts.STUDENT_WEIGHTS,
    task: str | None = None,
    rows: str | None = None,
    max_metric_drop: float = 0.5,
    tokenizer: str | None = None,
) -> list[Exported]:
    """Writes `xtremedistil.onnx` (plain) and `xtremedistil_opt.onnx` (fused) into a model folder.

    Args:
        quantize: `xtremedistil_int8.onnx` too.
        weights: weight file in the folder.
        task, rows: what to compare on; see `source.open_source`.
        max_metric_drop: most points (of 100) of the task's metric on dev that int8 may cost.
        tokenizer: folder or hub name, for folders of the original release, which hold none.

    Raises:
        InputError: the folder cannot be exported, or an export differs from the student.
    """
    from xtremedistil.export.command import export

    config = ExportConfig(
        model_dir=model_dir,
        to=("onnx", "int8") if quantize else ("onnx",),
        weights=weights,
        task=task,
        rows=rows,
        max_metric_drop=max_metric_drop,
        pt_teacher_checkpoint=tokenizer,
    )
    check_export(config)
    return export(config)


def write_onnx(source: Source) -> list[Exported]:
    """Both graphs; neither is written unless both agree with the student and there is room for both."""
    notes = file_notes(source)
    built = build_student_graph(weights_of(source.student), notes=notes)
    # A BiLSTM's has standard operators only; tf2onnx would make loops of it.
    plain = built if source.student.family is BILSTM else convert(source.student.model, notes)
    graphs = {PLAIN: plain, FUSED: built}
    names = {PLAIN: artefacts.ONNX, FUSED: artefacts.FUSED_ONNX}
    made = []
    for form, graph in graphs.items():
        exported = measured(source, form, names[form], graph)
        refuse_difference(names[form], exported.largest_difference)
        made.append(exported)
    write_graphs({os.path.join(source.model_dir, names[form]): graph for form, graph in graphs.items()})
    return made


def measured(source: Source, form: str, name: str, graph: onnx.ModelProto) -> Exported:
    """Runs a graph on the source's rows, one row at a time, in ONNX Runtime as the predictor would."""
    data = graph.SerializeToString()
    function = OnnxFunction(data, name)
    logits = source.logits_of(function)
    difference, agreement = compare(source.logits, logits)
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
        files = {path: stack.enter_context(artefacts.atomic_file(path, "wb")) for path in graphs}
        for path, graph in graphs.items():
            files[path].write(graph.SerializeToString())
            files[path].flush()


def file_notes(source: Source) -> dict:
    """What a reader of the file alone should know."""
    return {
        "xtremedistil": source.student.kind,
        "labels": source.task.all_labels,
        "seq_len": source.saved["seq_len"],
        "pad_id": source.tokenizer.pad_id,
        "weights": artefacts.fingerprint(os.path.join(source.model_dir, source.weights)),
    }
