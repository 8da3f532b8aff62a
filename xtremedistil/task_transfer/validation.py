"""Contradictions between the flags, files and checkpoints of `xtremedistil task-transfer`."""

import os
from functools import partial

from xtremedistil.data.text_files import is_there
from xtremedistil.distillation.planning.validation import Checked, add_distil_problems
from xtremedistil.errors import Problems
from xtremedistil.flag_values import add_value_problems, require_settings
from xtremedistil.flags import given_flags
from xtremedistil.storage.checksums import check_files
from xtremedistil.task_transfer.config import TransferConfig
from xtremedistil.task_transfer.steps import STEPS, source_config
from xtremedistil.tasks import KindSettings, folder_problems

TITLE = "Cannot transfer with these settings"
SIZES = ("hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size")


def check_transfer(config: TransferConfig) -> Checked:
    """What a plan of the source task's distillation is made of.

    Raises:
        InputError: all problems of a task transfer's settings together.
    """
    require_settings(config, TransferConfig)
    problems = Problems()
    add_value_problems(problems, config, TITLE)
    problems.add(folder_problems(config.source_task, KindSettings.of(config, "source_"), "source_"))
    problems.add(folder_problems(config.target_task, KindSettings.of(config, "target_"), "target_"))
    if config.transfer_file and not is_there(config.transfer_file):
        problems.add([f"`transfer_file` {config.transfer_file}: there is no such file"])
    problems.add(_checkpoint_problems(config))
    for step in () if config.overwrite else STEPS:
        folder = os.path.join(config.model_dir, step)
        problems.attempt(partial(check_files, accept=config.accept_weights), folder)
    checked = add_distil_problems(problems, source_config(config))
    problems.refuse(TITLE)
    return checked


def _checkpoint_problems(config: TransferConfig) -> list[str]:
    """Flags that say nothing, or nothing sensible, of a student that is a checkpoint."""
    if not config.pt_student_checkpoint:
        return []
    lines = [
        f"`{name}`: `pt_student_checkpoint` says what the student is; leave it away"
        for name in given_flags(config, SIZES)
    ]
    if config.baseline and config.compress_word_embedding:
        lines.append(
            "`baseline` trains the checkpoint of `pt_student_checkpoint` as it is; the student begins with other word "
            "embeddings where there is `compress_word_embedding`. Leave one of the two away"
        )
    return lines
