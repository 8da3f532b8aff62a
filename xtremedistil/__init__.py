"""Distil big pre-trained transformers into small students, on TensorFlow and Keras."""

import importlib
import os
import sys

_HOME = {
    "AdaptedModel": "xtremedistil.models.task_model",
    "DistilConfig": "xtremedistil.config",
    "Distiller": "xtremedistil.distillation.distiller",
    "InputError": "xtremedistil.errors",
    "Match": "xtremedistil.distillation.match",
    "Predictor": "xtremedistil.inference",
    "PretrainConfig": "xtremedistil.pretraining.pretrain_config",
    "SequenceClassification": "xtremedistil.tasks",
    "SoftLabels": "xtremedistil.distillation.soft_labels",
    "Stage": "xtremedistil.distillation.stages",
    "Terms": "xtremedistil.distillation.terms",
    "TokenClassification": "xtremedistil.tasks",
    "TransferConfig": "xtremedistil.pretraining.transfer_config",
    "distil": "xtremedistil.distillation.distil",
    "export_onnx": "xtremedistil.export.onnx_files",
    "export_saved_model": "xtremedistil.export.saved_model",
    "fit_tasks": "xtremedistil.distillation.several_tasks",
    "load_predictor": "xtremedistil.inference",
    "load_student": "xtremedistil.models.restored",
    "losses": "xtremedistil.distillation",
    "parameter_summary": "xtremedistil.reporting.parameter_summary",
    "plan_stages": "xtremedistil.distillation.stages",
    "pretrain": "xtremedistil.pretraining.pretrain",
    "save_pretrained": "xtremedistil.export.huggingface",
    "share_encoder": "xtremedistil.distillation.several_tasks",
    "transfer": "xtremedistil.pretraining.task_transfer",
}
__all__ = sorted(_HOME)


def _choose_legacy_keras() -> None:
    """Hugging Face's TensorFlow classes are Keras 2; TensorFlow asks this variable when its Keras is first touched."""
    if os.environ.get("TF_USE_LEGACY_KERAS", "1") in ("0", "False", "false"):
        raise ImportError(
            "TF_USE_LEGACY_KERAS is set to 0, but the TensorFlow classes of transformers need Keras 2. "
            "Unset it, or set it to 1, before TensorFlow is imported."
        )
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    if "keras.src" in sys.modules and "tensorflow" in sys.modules:
        raise ImportError(
            "Keras 3 was loaded by TensorFlow before xtremedistil. Import xtremedistil before tensorflow, "
            "or set the environment variable TF_USE_LEGACY_KERAS=1 first."
        )


_choose_legacy_keras()


def __getattr__(name: str):
    """Loads a public name when it is first asked for: TensorFlow takes seconds to import."""
    if name not in _HOME:
        raise AttributeError(f"xtremedistil has no {name}; it has {', '.join(__all__)}.")
    module = importlib.import_module(_HOME[name])
    return importlib.import_module(f"{_HOME[name]}.{name}") if name == "losses" else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
