"""Flags of the commands that use a student: prediction and export."""

from dataclasses import dataclass

from xtremedistil.flags import REQUIRED, flag, takes_old_names

EXPORT_FORMS = ("onnx", "int8", "saved_model", "huggingface")


@takes_old_names
@dataclass(kw_only=True)
class ExportConfig:
    """`xtremedistil export`: write a student in the forms that people deploy."""

    model_dir: str = flag(REQUIRED, "folder that run_xtreme_distil.py wrote; the exports are written there")
    to: tuple[str, ...] = flag(("onnx",), "forms to write, one or several", choices=EXPORT_FORMS)
    weights: str = flag("xtremedistil.h5", "weight file inside model_dir, for example xtremedistil-ft.h5")
    task: str | None = flag(
        None, "task folder whose dev.tsv each export is compared on; by default the one the student was trained on"
    )
    rows: str | None = flag(None, "text file to compare on instead, one example a line (then int8 has no metric)")
    max_metric_drop: float = flag(0.5, "most points (of 100) of the task's metric on dev that int8 may cost")
    reduce_range: bool = flag(False, "7-bit int8 weights, right on every CPU; set by itself where the CPU has no VNNI")
    pt_teacher_checkpoint: str | None = flag(None, "tokenizer of a folder that holds none (the original's folders)")
    verbose: bool = flag(False, "keep the messages of TensorFlow and transformers")
