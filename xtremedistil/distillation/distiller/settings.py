"""How a fit from Python goes: one dataclass for `Distiller.fit` and `fit_tasks`."""

import dataclasses
from dataclasses import dataclass

from xtremedistil.distillation.teacher_outputs.disk_size import PRECISIONS
from xtremedistil.errors import require_known
from xtremedistil.training.learning_rate import LearningRate, planned_epochs, require_at_least_one
from xtremedistil.training.trainer import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Settings of a fit; `Distiller.fit` and `fit_tasks` also take each of them as a keyword.

    Fields:
        epochs: passes over the rows. steps: updates in all, in place of `epochs`.
        steps_per_epoch: updates between two scores on the dev set; by default one pass over the rows, or, with
            `steps`, all of them.
        batch_size: rows per batch and device. Losses between the rows of a batch, such as "spkd", see those of one
            device and one part of a step.
        learning_rate: peak. warmup_ratio: share of the updates over which it first rises. lr_schedule: "linear",
            "cosine" or "constant".
        patience: epochs without a better score before the fit ends; by default it never ends early.
        weight_decay: share of each weight, times the rate, that a step takes off. max_grad_norm: 0 switches clipping
            off. gradient_accumulation_steps: batches that make one update. jit_compile: compile steps with XLA.
        seed: of everything random.
        folder: where teacher outputs and snapshots are kept, so that the same call goes on after an interruption;
            snapshots go when it is done. By default nothing stays. With it, schedules of your own are functions with a
            name. save_minutes: between snapshots.
        targets_precision: of hidden states and attention maps on disk, "float16" or "float32".
        verbose: report steps.

    Raises:
        ValueError: a number is out of range, or a name is not known.
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
        batches = self.gradient_accumulation_steps
        require_at_least_one(patience=self.patience, batch_size=self.batch_size, gradient_accumulation_steps=batches)
        require_known("targets_precision", self.targets_precision, PRECISIONS)
        _ = self.training  # which checks the rest

    def changed(self, **changes) -> "FitSettings":
        """The same with other values.

        Raises:
            ValueError: there is no such setting.
        """
        names = [entry.name for entry in dataclasses.fields(self)]
        for name in changes:
            require_known("training setting", name, names)
        return dataclasses.replace(self, **changes)

    @property
    def epochs_and_steps(self) -> tuple[int, int | None]:
        """How many epochs there are, and how many updates each has; None: a pass over the rows."""
        return planned_epochs(self.epochs, self.steps, self.steps_per_epoch)

    @property
    def training(self) -> TrainingSettings:
        """What the trainer takes of these."""
        epochs, _ = self.epochs_and_steps
        rate = LearningRate(self.learning_rate, epochs, epochs, self.warmup_ratio, self.lr_schedule)
        patience, clip = self.patience or epochs, self.max_grad_norm
        return TrainingSettings(rate, patience, clip, self.seed, self.weight_decay, self.jit_compile)

    def most_rows(self, replicas: int) -> int | None:
        """Rows that the updates read at most; None where epochs are passes over the rows."""
        epochs, steps = self.epochs_and_steps
        return steps and epochs * steps * self.batch_size * replicas * self.gradient_accumulation_steps
