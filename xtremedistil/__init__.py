"""Distil big pre-trained transformers into small students, on TensorFlow and Keras."""

import importlib
import os
import sys

_HOME = {
    "AdaptedModel": "xtremedistil.models.adapters",
    "DistilConfig": "xtremedistil.distillation.planning.config",
    "Distiller": "xtremedistil.distillation.distiller.distiller",
    "FitSettings": "xtremedistil.distillation.distiller.settings",
    "InputError": "xtremedistil.errors",
    "Match": "xtremedistil.terms.match",
    "MultiLabelClassification": "xtremedistil.tasks",
    "Predictor": "xtremedistil.serving.predictor",
    "PretrainConfig": "xtremedistil.pretraining.config",
    "SequenceClassification": "xtremedistil.tasks",
    "SoftLabels": "xtremedistil.terms.soft_labels",
    "Stage": "xtremedistil.distillation.planning.stages",
    "Terms": "xtremedistil.terms.terms",
    "TokenClassification": "xtremedistil.tasks",
    "TransferConfig": "xtremedistil.task_transfer.config",
    "distil": "xtremedistil.distillation.pipeline.distil",
    "export_onnx": "xtremedistil.export.export",
    "export_saved_model": "xtremedistil.export.saved_model.saved_model",
    "fit_tasks": "xtremedistil.distillation.distiller.multi_task",
    "load_predictor": "xtremedistil.serving.predictor",
    "load_student": "xtremedistil.models.student_folder",
    "losses": "xtremedistil",
    "parameter_summary": "xtremedistil.evaluation.parameter_summary",
    "plan": "xtremedistil.distillation.pipeline.measure",
    "plan_stages": "xtremedistil.distillation.planning.stages",
    "pretrain": "xtremedistil.pretraining.pretrain",
    "save_pretrained": "xtremedistil.export.huggingface.huggingface",
    "share_encoder": "xtremedistil.distillation.distiller.multi_task",
    "transfer": "xtremedistil.task_transfer.task_transfer",
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
