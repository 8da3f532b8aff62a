"""Distil big pre-trained transformers into small students, on TensorFlow and Keras."""

import importlib
import os
import sys
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:  # what `__getattr__` below gives, for type checkers and editors
    from xtremedistil import losses as losses
    from xtremedistil.distillation.distiller.distiller import Distiller as Distiller
    from xtremedistil.distillation.distiller.multi_task import fit_tasks as fit_tasks
    from xtremedistil.distillation.distiller.multi_task import share_encoder as share_encoder
    from xtremedistil.distillation.distiller.settings import FitSettings as FitSettings
    from xtremedistil.distillation.pipeline.distil import distil as distil
    from xtremedistil.distillation.pipeline.measure import plan as plan
    from xtremedistil.distillation.planning.config import DistilConfig as DistilConfig
    from xtremedistil.distillation.planning.stages import Stage as Stage
    from xtremedistil.distillation.planning.stages import plan_stages as plan_stages
    from xtremedistil.errors import InputError as InputError
    from xtremedistil.evaluation.parameter_summary import parameter_summary as parameter_summary
    from xtremedistil.export.export import export_onnx as export_onnx
    from xtremedistil.export.huggingface.huggingface import save_pretrained as save_pretrained
    from xtremedistil.export.saved_model.saved_model import export_saved_model as export_saved_model
    from xtremedistil.models.adapters import AdaptedModel as AdaptedModel
    from xtremedistil.models.student import load_keras_model as load_keras_model
    from xtremedistil.models.student_folder import load_student as load_student
    from xtremedistil.pretraining.config import PretrainConfig as PretrainConfig
    from xtremedistil.pretraining.pretrain import pretrain as pretrain
    from xtremedistil.serving.predictor import Predictor as Predictor
    from xtremedistil.serving.predictor import load_predictor as load_predictor
    from xtremedistil.task_transfer.config import TransferConfig as TransferConfig
    from xtremedistil.task_transfer.task_transfer import transfer as transfer
    from xtremedistil.tasks import MultiLabelClassification as MultiLabelClassification
    from xtremedistil.tasks import SequenceClassification as SequenceClassification
    from xtremedistil.tasks import TokenClassification as TokenClassification
    from xtremedistil.terms.match import Match as Match
    from xtremedistil.terms.soft_labels import SoftLabels as SoftLabels
    from xtremedistil.terms.terms import Terms as Terms

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
    "load_keras_model": "xtremedistil.models.student",
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
    tensorflow = sys.modules.get("tensorflow")
    if "keras.src" in sys.modules and tensorflow and tensorflow.keras.Model.__module__.startswith("keras."):
        raise ImportError(
            "tf.keras is Keras 3 in this process: TensorFlow chose it before xtremedistil was imported. Import "
            "xtremedistil before tf.keras is used, or set the environment variable TF_USE_LEGACY_KERAS=1 first. "
            "Keras 3 itself (`import keras`) may be used beside it."
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
