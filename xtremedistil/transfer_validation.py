"""Contradictions between the flags, files and checkpoints of `xtremedistil transfer`."""

from xtremedistil.pretraining.transfer_config import TransferConfig
from xtremedistil.pretraining.transfer_steps import source_config
from xtremedistil.problems import Problems
from xtremedistil.tasks import folder_problems
from xtremedistil.tasks.files import is_there
from xtremedistil.validation import add_distil_problems, not_finite, too_small


def check_transfer(config: TransferConfig) -> None:
    """Raises one InputError with all problems of a task transfer's settings."""
    problems = Problems()
    problems.add(folder_problems(config.source_task, config.source_do_NER, config.source_do_pairwise, "source_"))
    problems.add(folder_problems(config.target_task, config.target_do_NER, config.target_do_pairwise, "target_"))
    if config.transfer_file and not is_there(config.transfer_file):
        problems.add([f"--transfer_file {config.transfer_file}: there is no such file"])
    problems.add(too_small(config, ("target_epochs", "target_batch_size")))
    if config.target_labels < 0:
        problems.add([f"--target_labels {config.target_labels}: give a number of rows, or 0 for all"])
    problems.add(not_finite(config))
    add_distil_problems(problems, source_config(config))
    problems.refuse("Cannot transfer with these settings")
