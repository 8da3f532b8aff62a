"""Contradictions between the flags of prediction and export, reported together. Needs nothing but this package."""

import math
import os
from collections.abc import Collection
from functools import partial

from xtremedistil.arguments import require_number, require_path, require_text
from xtremedistil.data.text_files import find_file
from xtremedistil.errors import TENSORFLOW, Problems, missing_packages
from xtremedistil.export.common.config import ExportConfig
from xtremedistil.flag_values import add_value_problems, require_settings
from xtremedistil.storage.checksums import check_files
from xtremedistil.storage.model_folder import keras_files, read_config, weight_file


def check_export(config: ExportConfig) -> None:
    """The same for an export."""
    require_settings(config, ExportConfig)
    problems = Problems()
    add_value_problems(problems, config, title := "Cannot export with these settings")
    require_path("model_dir", config.model_dir)
    require_text("weights", config.weights)
    for name in ("task", "rows", "pt_teacher_checkpoint"):
        require_path(name, getattr(config, name), optional=True)
    require_number("max_metric_drop", config.max_metric_drop, -math.inf)
    forms = dict.fromkeys(config.to)
    needed = dict.fromkeys(package for form in forms for package in (*TENSORFLOW, *NEEDED_BY_EXPORTS[form]))
    problems.add(missing_packages(tuple(needed), f"Export to {' and '.join(forms)}"))
    if config.rows and config.task:
        problems.add(["`rows` and `task` exclude each other: both say what exports are compared on"])
    if config.rows:
        problems.attempt(find_file, config.rows)
    if config.task and not os.path.isdir(config.task):
        problems.add([f"`task` {config.task}: there is no such folder"])
    if saved := problems.attempt(read_config, config.model_dir):
        problems.add(_architecture_problems(saved, forms))
        problems.attempt(weight_file, config.model_dir, config.weights)
    files = partial(check_files, accept=config.accept_weights)
    problems.attempt(files, config.model_dir, keras_files(config.weights))
    if config.pt_teacher_checkpoint:
        problems.attempt(files, config.pt_teacher_checkpoint, ())
    problems.refuse(title)


def _architecture_problems(saved: dict, forms: Collection[str]) -> list[str]:
    model_type = (saved.get("student_config") or {}).get("model_type")
    if model_type != "bilstm" or "huggingface" not in forms:
        return []
    return ["--to huggingface: the student is a BiLSTM, and transformers has no such class; give onnx or saved_model"]


# Modules by form, and the extra that brings each.
NEEDED_BY_EXPORTS = {
    "onnx": ("tf2onnx", "onnx", "onnxruntime"),
    "int8": ("onnx", "onnxruntime"),
    "saved_model": ("tensorflow_text",),
    "huggingface": (),
}
