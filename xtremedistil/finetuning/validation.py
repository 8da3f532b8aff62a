"""Contradictions between flags, files and checkpoints, found before any model is loaded and reported together."""

from functools import partial

from xtremedistil.errors import Problems
from xtremedistil.finetuning.config import BaselineConfig, ContinueConfig
from xtremedistil.flag_checks import device_problems, length_problems, open_checkpoint
from xtremedistil.flag_values import add_value_problems, require_settings
from xtremedistil.storage.checksums import check_files
from xtremedistil.storage.model_folder import STUDENT_WEIGHTS, keras_files
from xtremedistil.tasks import KindSettings, folder_problems
from xtremedistil.tasks.class_weights import parse_class_weight


def check_baseline(config: BaselineConfig) -> None:
    """Checks the settings of fine-tuning. Raises one InputError with all problems."""
    require_settings(config, BaselineConfig)
    problems = Problems()
    add_value_problems(problems, config, title := "Cannot fine-tune with these settings")
    problems.add(device_problems(config))
    problems.attempt(parse_class_weight, config.class_weight)
    problems.add(folder_problems(config.task, KindSettings.of(config)))
    family, shape = open_checkpoint(problems, "`pt_model_checkpoint`", config.pt_model_checkpoint, config.pt_model)
    problems.attempt(partial(check_files, accept=config.accept_weights), config.pt_model_checkpoint)
    if shape:
        problems.add(length_problems(config.seq_len, shape, config.pt_model_checkpoint))
    problems.refuse(title)


def check_continue(config: ContinueConfig) -> None:
    """Checks the settings of a student's continued training. Raises one InputError with all problems."""
    require_settings(config, ContinueConfig)
    problems = Problems()
    add_value_problems(problems, config, title := "Cannot train on with these settings")
    problems.add(device_problems(config))
    problems.attempt(parse_class_weight, config.class_weight)
    problems.attempt(partial(check_files, accept=config.accept_weights), config.model_dir, keras_files(STUDENT_WEIGHTS))
    problems.refuse(title)
