"""What all fits of a command share, as plain data; `TrainingSettings.of` and `SnapshotManager.of` read it."""

import dataclasses
from dataclasses import dataclass

from xtremedistil.flags import resolve_seed


@dataclass(frozen=True)
class FitOptions:
    """Options of training, whatever is trained.

    Fields:
        patience: epochs without a better score before a fit ends. decay_epochs: epochs over which the rate falls to 0.
        warmup_ratio: share of these over which it first rises. lr_schedule: "linear", "cosine" or "constant".
        max_grad_norm: 0 switches clipping off. weight_decay: of AdamW.
        gradient_accumulation_steps: batches of one update. jit_compile: compile steps with XLA.
        seed: of everything random. save_steps, save_minutes: between snapshots; 0: not by these.
    """

    patience: int
    decay_epochs: int
    warmup_ratio: float
    lr_schedule: str
    max_grad_norm: float
    weight_decay: float
    gradient_accumulation_steps: int
    jit_compile: bool
    seed: int
    save_steps: int
    save_minutes: float

    @classmethod
    def of(cls, config) -> "FitOptions":
        """Out of a command's dataclass that has fields of these names."""
        values = {entry.name: getattr(config, entry.name) for entry in dataclasses.fields(cls)}
        return cls(**values | {"seed": resolve_seed(config.seed)})
