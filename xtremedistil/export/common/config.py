"""Flags of `xtremedistil export`."""

from dataclasses import dataclass

from xtremedistil.flags import DATA, REQUIRED, RUN, STUDENT, accept_weights_flag, flag, takes_old_names

INT32, INT64 = INPUT_TYPES = "int32", "int64"
EXPORT_FORMS = ("onnx", "int8", "saved_model", "huggingface")


def onnx_input_type_flag():
    """The flag of exports to ONNX and of the command that makes one if there is none."""
    return flag(INT32, "type of ids and masks that ONNX graphs are fed with", group=RUN, choices=INPUT_TYPES)


@takes_old_names
@dataclass(kw_only=True)
class ExportConfig:
    """Write a student as ONNX, int8 ONNX, SavedModel or Hugging Face folder."""

    model_dir: str = flag(
        REQUIRED, "folder of the student, as distil writes it; the exports are written there", group=RUN
    )
    to: tuple[str, ...] = flag(("onnx",), "what to write", group=RUN, choices=EXPORT_FORMS)
    weights: str = flag("xtremedistil.h5", "weight file in model_dir, for example xtremedistil-ft.h5", group=STUDENT)
    task: str | None = flag(
        None, "task folder whose dev.tsv the exports are checked on; by default the student's own", group=DATA
    )
    rows: str | None = flag(
        None, "text file to check the exports on instead, one example per line; int8 then has no metric", group=DATA
    )
    max_metric_drop: float = flag(
        0.5, "points (of 100) of the task's metric on dev.tsv that int8 may lose", group=RUN, least=0
    )
    reduce_range: bool = flag(
        False, "7-bit weights for int8, exact on every CPU; chosen by itself on a CPU without VNNI", group=RUN
    )
    pt_teacher_checkpoint: str | None = flag(
        None, "tokenizer for a folder that holds none (those of the original release)", group=DATA
    )
    onnx_input_type: str = onnx_input_type_flag()
    opset: int | None = flag(
        None,
        "version of ONNX's operators; by default 18 for xtremedistil.onnx, 17 for the other graphs",
        group=RUN,
        least=17,
        most=18,
    )
    accept_weights: bool = accept_weights_flag()
    verbose: bool = flag(False, "show the messages of TensorFlow and transformers", group=RUN)
