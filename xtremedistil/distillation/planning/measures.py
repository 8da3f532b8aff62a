"""What a plan's files hold, in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measures:
    """Read off the files of a run.

    Fields:
        labels: of the task. outputs: of the classifier; more than labels where there are pseudo-labels.
        by_position: whether there are logits for each position. label_loss: the loss of gold labels.
        tokens: size of the tokenizer's vocabulary.
        train_rows, transfer_rows, held_out_rows: rows. mean_length: of transfer rows, in tokens.
        augmented: what augmentation added; None without it.
        rows_bytes: of the encoded transfer set on disk. outputs_bytes: of all teacher outputs, and those that are
            needed at a time. frozen_bytes: of the student's hidden states for stages that leave its encoder alone.
        class_weights: factor of each label; None: all weigh the same.
        external_teacher: what a person should know of it; None where the teacher runs here.
        path_widths: width of the teacher's and the student's tensor, by name of each match by path.
    """

    labels: tuple[str, ...]
    outputs: int
    by_position: bool
    label_loss: str
    tokens: int
    train_rows: int
    transfer_rows: int
    held_out_rows: int
    mean_length: float
    augmented: str | None
    rows_bytes: int
    outputs_bytes: int
    outputs_bytes_at_a_time: int
    frozen_bytes: int
    class_weights: tuple[float, ...] | None
    external_teacher: str | None = None
    path_widths: Mapping[str, tuple[int, int]] = field(default_factory=dict)
