"""What a task transfer will do, as plain data; made of flags here and nowhere else."""

import dataclasses
import os
from dataclasses import dataclass

from xtremedistil.distillation.planning.plan import DistillationPlan
from xtremedistil.distillation.planning.planner import plan_of
from xtremedistil.finetuning.plan import FineTuningPlan, unchecked_plan
from xtremedistil.flags import resolve_seed, saved_flags
from xtremedistil.task_transfer.config import TransferConfig
from xtremedistil.task_transfer.steps import BASELINE, CHECKPOINT, TARGET, UNTRAINED, target_config
from xtremedistil.task_transfer.validation import check_transfer


@dataclass(frozen=True)
class TaskTransferPlan:
    """One run: each step writes its own folder below `model_dir`.

    Fields:
        source: the distillation on the source task.
        target_task: folder of the target task. target_labels: examples of its train.tsv that are used; 0: all.
        reused: fine-tuning of the source student's encoder on the target task; the distillation makes its checkpoint.
        baseline: fine-tuning of an encoder that was not trained on the source task; None: not wanted.
        seed: of everything random. flags: the settled flags, to know the run again.
    """

    model_dir: str
    overwrite: bool
    source: DistillationPlan
    target_task: str
    target_labels: int
    reused: FineTuningPlan
    baseline: FineTuningPlan | None
    seed: int
    flags: dict

    @property
    def student_checkpoint(self) -> str | None:
        """Pre-trained weights that the source student starts from; None: random ones."""
        return self.source.student.checkpoint

    def path(self, *names: str) -> str:
        """Path of a file or folder in the model folder."""
        return os.path.join(self.model_dir, *names)


def make_task_transfer_plan(config: TransferConfig) -> TaskTransferPlan:
    """The plan of a run; reads configurations of checkpoints, no data.

    Raises:
        InputError: all problems of the settings together.
    """
    source = plan_of(check_transfer(config))
    config = dataclasses.replace(config, seed=resolve_seed(config.seed))
    return TaskTransferPlan(
        model_dir=config.model_dir,
        overwrite=config.overwrite,
        source=source,
        target_task=config.target_task,
        target_labels=config.target_labels,
        reused=_fine_tuning(config, CHECKPOINT, TARGET),
        baseline=_fine_tuning(config, UNTRAINED, BASELINE) if config.baseline else None,
        seed=config.seed,
        flags=saved_flags(config),
    )


def _fine_tuning(config: TransferConfig, checkpoint: str, model_dir: str) -> FineTuningPlan:
    """The fine-tuning of a checkpoint on the target task; both are names below `config.model_dir`.

    The checkpoint is not there yet; what `check_transfer` has found of task, lengths and numbers holds for it too.
    """
    return unchecked_plan(target_config(config, checkpoint=checkpoint, model_dir=model_dir))
