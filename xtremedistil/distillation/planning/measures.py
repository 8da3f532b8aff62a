"""Counts and sizes of the files that a plan reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measures:
    """Counts and sizes of a run's data.

    Fields:
        labels: the task's labels. outputs: size of the classifier's output; more than labels with pseudo-labels.
        by_position: whether there are logits for each token. label_loss: name of the loss on gold labels.
        tokens: size of the tokenizer's vocabulary.
        train_rows, transfer_rows, held_out_rows: numbers of examples. mean_length: tokens per transfer example.
        augmented: summary of the augmented lines; None without augmentation.
        rows_bytes: encoded transfer set on disk. outputs_bytes, outputs_bytes_at_a_time: all teacher outputs, and the
            most that is on disk at a time. frozen_bytes: the student's hidden states for stages with a frozen encoder.
        class_weights: factor of each label in the loss; None: all weigh the same.
        data: lines on rows and labels of train, dev and test, and on the metric.
        external_teacher: description of an external teacher; None where the teacher runs here.
        teacher_head: what becomes of the classifier of the teacher's checkpoint; empty if it has none.
        path_widths: widths of the teacher's and the student's tensor, by name of each match by path.
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
    data: tuple[str, ...] = ()
    external_teacher: str | None = None
    teacher_head: str = ""
    path_widths: Mapping[str, tuple[int, int]] = field(default_factory=dict)
