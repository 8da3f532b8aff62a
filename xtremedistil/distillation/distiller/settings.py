"""Settings of a fit from Python, for `Distiller.fit` and `fit_tasks`."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from xtremedistil.arguments import require_kind, require_number, require_path, require_whole
from xtremedistil.distillation.teacher_outputs.disk_size import PRECISIONS
from xtremedistil.errors import Problems, require_known
from xtremedistil.flag_values import add_value_problems
from xtremedistil.training.learning_rate import LearningRate, planned_epochs
from xtremedistil.training.trainer import TrainingSettings

LARGEST_SEED = 2**32 - 1  # that NumPy and TensorFlow take


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Settings of a fit; `Distiller.fit` and `fit_tasks` also take each of them as a keyword.

    Fields:
        epochs: passes over the rows. steps: total number of steps, in place of `epochs`.
        steps_per_epoch: steps between two scores on the dev set; by default one pass over the rows, or, with `steps`,
            all of them.
        batch_size: rows per batch and device. Batch-similarity losses, such as "spkd", compare rows within one batch
            of one device.
        learning_rate: peak. warmup_ratio: share of the steps in which it rises. lr_schedule: "linear", "cosine" or
            "constant".
        patience: epochs without a better score before the fit ends; by default it never ends early.
        weight_decay: decoupled: each step subtracts it times learning rate times weight. max_grad_norm: 0 switches
            clipping off. gradient_accumulation_steps: batches per step. jit_compile: compile steps with XLA.
        seed: of everything random.
        folder: keeps teacher outputs, and snapshots until the fit is done, so that the same call resumes after an
            interruption; by default nothing is kept. With a folder, your own schedules must be named functions.
            save_minutes: between snapshots.
        targets_precision: type of hidden states and attention maps on disk, "float16" or "float32".
        verbose: report steps.

    Raises:
        ValueError: a number is out of range, or a name is unknown.
    """

    epochs: int = 3
    steps: int | None = None
    steps_per_epoch: int | None = None
    batch_size: int = 32
    learning_rate: float = 5e-5
    warmup_ratio: float = 0.1
    lr_schedule: str = "linear"
    patience: int | None = None
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    gradient_accumulation_steps: int = 1
    jit_compile: bool = False
    seed: int = 42
    folder: str | None = None
    save_minutes: float = 5.0
    targets_precision: str = "float16"
    verbose: bool = False

    def __post_init__(self):
        problems = Problems()
        add_value_problems(problems, self, title := "Cannot fit with these settings")
        problems.refuse(title)
        for name in ("epochs", "batch_size", "gradient_accumulation_steps"):
            require_whole(name, getattr(self, name), 1)
        for name in ("steps", "steps_per_epoch", "patience"):
            require_whole(name, getattr(self, name), 1, optional=True)
        require_whole("seed", self.seed, 0, LARGEST_SEED)
        for name in ("learning_rate", "weight_decay", "max_grad_norm", "save_minutes"):
            require_number(name, getattr(self, name))
        require_number("warmup_ratio", self.warmup_ratio, 0, 1)
        require_path("folder", self.folder, optional=True)
        require_known("targets_precision", self.targets_precision, PRECISIONS)
        _ = self.training  # which checks the rest

    def changed(self, **changes) -> "FitSettings":
        """Returns the settings with other values.

        Raises:
            ValueError: there is no such setting.
        """
        names = [entry.name for entry in dataclasses.fields(self)]
        for name in changes:
            require_known("training setting", name, names)
        return dataclasses.replace(self, **changes)

    @property
    def epochs_and_steps(self) -> tuple[int, int | None]:
        """Number of epochs, and of steps per epoch; None: a pass over the rows."""
        return planned_epochs(self.epochs, self.steps, self.steps_per_epoch)

    @property
    def training(self) -> TrainingSettings:
        """The settings of the trainer."""
        epochs, _ = self.epochs_and_steps
        rate = LearningRate(self.learning_rate, epochs, epochs, self.warmup_ratio, self.lr_schedule)
        patience, clip = self.patience or epochs, self.max_grad_norm
        return TrainingSettings(rate, patience, clip, self.seed, self.weight_decay, self.jit_compile)

    def most_rows(self, replicas: int) -> int | None:
        """Returns the maximum number of rows that the steps read; None if epochs are passes over the rows."""
        epochs, steps = self.epochs_and_steps
        return steps and epochs * steps * self.batch_size * replicas * self.gradient_accumulation_steps


def settings_of(settings: FitSettings | None, changes: Mapping) -> FitSettings:
    """Returns the settings of a fit, by default those of `FitSettings`, with changes; raises ValueError for others."""
    require_kind("settings", settings, FitSettings, "a FitSettings", optional=True)
    return (settings or FitSettings()).changed(**changes)
