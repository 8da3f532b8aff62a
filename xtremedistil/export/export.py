"""`xtremedistil export`: one or several forms of a student, and `export.json`, which tells how each compares."""

import os

from xtremedistil.arguments import require_switch
from xtremedistil.errors import InputError
from xtremedistil.evaluation.report import aligned
from xtremedistil.export.common.config import INT32, ExportConfig
from xtremedistil.export.common.parity import Exported
from xtremedistil.export.common.source import Source, open_source
from xtremedistil.export.common.validation import check_export
from xtremedistil.storage import files, model_folder
from xtremedistil.storage.declared import MapOf, Object
from xtremedistil.storage.folders import locked
from xtremedistil.storage.json_files import read_json
from xtremedistil.tokenization.serving_tokenizer import FastTokenizer


def export(config: ExportConfig) -> list[Exported]:
    """Writes the forms that `config.to` names; `table` shows the result to a person.

    Raises:
        InputError: the folder cannot be exported so, or an export differs from the student; the exports that were made
            before it stay.
    """
    with locked(config.model_dir):
        source = open_source(
            config.model_dir,
            weights=config.weights,
            task=config.task,
            rows=config.rows,
            tokenizer=config.pt_teacher_checkpoint,
        )
        made = []
        for form in dict.fromkeys(config.to):
            made += _write(form, source, config)
            record(source, made)
            if not FastTokenizer.is_in(config.model_dir):  # the original's folders hold none
                source.tokenizer.save(config.model_dir, vouched=True)
    return made


def _write(form: str, source: Source, config: ExportConfig) -> list[Exported]:
    folder = config.model_dir
    if form == "onnx":
        from xtremedistil.export.onnx.onnx_files import GraphForm, write_onnx

        return write_onnx(source, GraphForm(config.onnx_input_type, config.opset))
    if form == "int8":
        from xtremedistil.export.onnx.onnx_files import GraphForm
        from xtremedistil.export.onnx.quantization import write_int8

        bounds = {"max_metric_drop": config.max_metric_drop, "reduce_range": config.reduce_range}
        return [write_int8(source, **bounds, form=GraphForm(config.onnx_input_type, config.opset))]
    if form == "saved_model":
        from xtremedistil.export.saved_model.saved_model import write_saved_model

        return [write_saved_model(source, os.path.join(folder, model_folder.SAVED_MODEL))]
    from xtremedistil.export.huggingface.huggingface import write_huggingface

    return [write_huggingface(source, os.path.join(folder, model_folder.HUGGING_FACE))]


def record(source: Source, made: list[Exported]) -> None:
    """Notes exports in `export.json`, beside those of the same weights that stand there already."""
    path = os.path.join(source.model_dir, model_folder.EXPORTS)
    weights = {source.weights: files.fingerprint(os.path.join(source.model_dir, source.weights))}
    try:
        before = read_json(path, Object({"exports": MapOf(Object({}))}))
    except InputError:  # none yet, or a damaged one, which the new one replaces
        before = {}
    exports = before.get("exports", {}) if before.get("weights") == weights else {}
    exports |= {exported.form: exported.to_dict() for exported in made}
    files.write_json(path, {"weights": weights, "exports": exports})


def table(made: list[Exported]) -> str:
    """The exports, aligned, and what a person should know about them."""
    lines = [["", "MB", "largest difference", "same labels", "ms/sentence", "metric"]]
    for exported in made:
        metric = exported.metric and f"{100 * exported.metric['export']:.1f} of {100 * exported.metric['student']:.1f}"
        speed = "" if exported.milliseconds is None else f"{exported.milliseconds:.2f}"
        size, difference = f"{exported.bytes / 1e6:.1f}", f"{exported.largest_difference:.1e}"
        agreement = f"{100 * exported.label_agreement:.2f} %"
        lines.append([exported.path, size, difference, agreement, speed, metric or ""])
    remarks = [f"{exported.form}: {remark}" for exported in made for remark in exported.remarks]
    return "\n".join([aligned(lines), *remarks])


def export_onnx(
    model_dir: str,
    *,
    quantize: bool = False,
    weights: str = model_folder.STUDENT_WEIGHTS,
    task: str | None = None,
    rows: str | None = None,
    max_metric_drop: float = 0.5,
    tokenizer: str | None = None,
    onnx_input_type: str = INT32,
    opset: int | None = None,
) -> list[Exported]:
    """Writes `xtremedistil.onnx` (plain) and `xtremedistil_opt.onnx` (fused) into a model folder.

    Args:
        quantize: `xtremedistil_int8.onnx` too.
        weights: weight file in the folder.
        task, rows: what to compare on; see `source.open_source`.
        max_metric_drop: most points (of 100) of the task's metric on dev that int8 may cost.
        tokenizer: folder or hub name, for folders of the original release, which hold none.
        onnx_input_type: of ids and masks, "int32" or "int64". opset: version of ONNX's operators, 17 or 18; by default
            18 for the plain graph and 17 for the others.

    Raises:
        InputError: the folder cannot be exported, or an export differs from the student.
    """
    require_switch("quantize", quantize)
    config = ExportConfig(
        model_dir=model_dir,
        to=("onnx", "int8") if quantize else ("onnx",),
        weights=weights,
        task=task,
        rows=rows,
        max_metric_drop=max_metric_drop,
        pt_teacher_checkpoint=tokenizer,
        onnx_input_type=onnx_input_type,
        opset=opset,
    )
    check_export(config)
    return export(config)
