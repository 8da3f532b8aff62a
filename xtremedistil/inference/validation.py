"""Contradictions between the flags of prediction and export, reported together. Needs nothing but this package."""

import os

from xtremedistil.data.text_files import find_file
from xtremedistil.errors import TENSORFLOW, Problems, missing_packages
from xtremedistil.flag_values import add_value_problems, require_settings
from xtremedistil.inference.config import OnnxPredictConfig, PredictConfig
from xtremedistil.storage.model_folder import read_config

TITLE = "Cannot predict with these settings"


def check_predict(config: PredictConfig) -> None:
    """Raises one InputError with all problems of a prediction's settings."""
    require_settings(config, PredictConfig)
    _check_prediction(config, missing_packages(TENSORFLOW, "Prediction through Keras"))


def check_predict_onnx(config: OnnxPredictConfig) -> None:
    """The same for prediction through ONNX Runtime."""
    require_settings(config, OnnxPredictConfig)
    _check_prediction(config, missing_packages(("onnxruntime",), "Prediction through ONNX Runtime"))


def _check_prediction(config: PredictConfig | OnnxPredictConfig, missing: list[str]) -> None:
    problems = Problems()
    problems.add(missing)
    add_value_problems(problems, config, TITLE)
    config.do_predict = config.do_predict or bool(config.pred_file)
    if not config.do_eval and not config.do_predict:
        problems.add(["nothing to do: give `pred_file` to label a file, `do_eval` to score the test file, or both"])
    if config.do_predict and not config.pred_file:
        problems.add(["`do_predict` needs `pred_file` FILE"])
    if config.do_predict and config.pred_file:
        problems.attempt(find_file, config.pred_file)
    if config.do_eval and config.task and not os.path.isdir(config.task):
        problems.add([f"`task` {config.task}: there is no such folder"])
    problems.attempt(read_config, config.model_dir)
    if config.output_dir and os.path.exists(config.output_dir) and not os.path.isdir(config.output_dir):
        problems.add([f"`output_dir` {config.output_dir}: there is a file of that name; a folder is expected"])
    if config.legacy and config.output_format == "json":
        problems.add(["`legacy` writes the original's text layout; leave `output_format` json away"])
    problems.refuse(TITLE)
