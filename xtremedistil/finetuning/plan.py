"""What training on labels will do, as plain data; made of flags here and nowhere else."""

import os
from dataclasses import dataclass

from xtremedistil.finetuning.config import BaselineConfig, ContinueConfig
from xtremedistil.finetuning.validation import check_baseline, check_continue
from xtremedistil.flags import LEGACY_LEARNING_RATE, saved_flags
from xtremedistil.tasks import KindSettings
from xtremedistil.training.fit_options import FitOptions

NOT_SETTINGS = ("save_steps", "save_minutes", "verbose")
XLM_R_TOKENIZER = "xlm-roberta-base"


@dataclass(frozen=True)
class LabelPlan:
    """Training on labels alone.

    Fields:
        model_dir: folder that is written. task: its folder; None: the student's own.
        class_weight: how labels are weighted, as `parse_class_weight` reads it.
        batch_size: examples per step and device. epochs: at most. learning_rate: peak. precision: None: float32.
        tokenizer: folder or hub name; None: that of the student's folder.
        settings: the settled flags; with others, snapshots of an interrupted run are not read.
    """

    model_dir: str
    task: str | None
    class_weight: str
    batch_size: int
    epochs: int
    learning_rate: float
    precision: str | None
    strategy: str
    tpu: str | None
    tokenizer: str | None
    options: FitOptions
    settings: dict

    def path(self, name: str) -> str:
        """Path of a file in the model folder."""
        return os.path.join(self.model_dir, name)


@dataclass(frozen=True)
class FineTuningPlan(LabelPlan):
    """Fine-tuning of a pre-trained model.

    Fields:
        checkpoint: folder or hub name. class_name: of the model, or "auto". kind: of the task. seq_len: longest
            sequence in tokens.
    """

    checkpoint: str
    class_name: str
    kind: KindSettings
    seq_len: int


def continuation_plan(config: ContinueConfig) -> LabelPlan:
    """The plan of a distilled student's further training. Raises InputError with all problems of the settings."""
    check_continue(config)
    return LabelPlan(**_shared(config), tokenizer=config.pt_teacher_checkpoint)


def fine_tuning_plan(config: BaselineConfig) -> FineTuningPlan:
    """The plan of fine-tuning a pre-trained model. Raises InputError with all problems of the settings."""
    check_baseline(config)
    return unchecked_plan(config)


def unchecked_plan(config: BaselineConfig) -> FineTuningPlan:
    """The same for settings that a caller has checked, where the checkpoint or the task is made later."""
    own = XLM_R_TOKENIZER if config.multilingual else config.pt_model_checkpoint
    return FineTuningPlan(
        **_shared(config),
        tokenizer=config.pt_tokenizer or own,
        checkpoint=config.pt_model_checkpoint,
        class_name=config.pt_model,
        kind=KindSettings.of(config),
        seq_len=config.seq_len,
    )


def _shared(config: ContinueConfig | BaselineConfig) -> dict:
    options = FitOptions.of(config)
    flags = {name: value for name, value in saved_flags(config).items() if name not in NOT_SETTINGS}
    return {
        "model_dir": config.model_dir,
        "task": config.task,
        "class_weight": config.class_weight,
        "batch_size": config.batch_size,
        "epochs": config.ft_epochs,
        "learning_rate": LEGACY_LEARNING_RATE if config.learning_rate == "auto" else config.learning_rate,
        "precision": config.opt_policy,
        "strategy": config.strategy,
        "tpu": config.tpu,
        "options": options,
        "settings": flags | {"seed": options.seed},
    }
