"""Everything that a run reads: the task's files and the transfer file, encoded once."""

import os
from collections.abc import Sequence

from xtremedistil.data.features import LabelledSet
from xtremedistil.data.text_files import find_file, is_there
from xtremedistil.storage.files import fingerprint
from xtremedistil.tasks import Task
from xtremedistil.tokenization.tokenizer import Tokenizer

SETS = "train", "dev", "test"


def read_labelled_sets(
    task: Task, folder: str, tokenizer: Tokenizer, seq_len: int, original_rows: bool = False
) -> list[LabelledSet]:
    """Train, dev and test; the test file is read now, so that a fault in it does not show after hours.

    Args:
        original_rows: as `encode` of the task takes it.
    """
    sets = []
    for name in SETS:
        examples = task.read(os.path.join(folder, f"{name}.tsv"), labelled=True)
        sets.append(LabelledSet(examples, task.encode(examples, tokenizer, seq_len, original_rows=original_rows)))
    return sets


def described_sets(
    task: Task, sets: Sequence[LabelledSet], tokenizer: Tokenizer, seq_len: int, metric_note: str
) -> list[str]:
    """Lines on what was read: rows, labels and texts that were cut, for each of train, dev and test; and the metric."""
    lines = []
    for name, labelled in zip(SETS, sets, strict=True):
        cut = task.cut_rows(labelled.examples, labelled.features, tokenizer, seq_len)
        lines.append(task.counts(name, labelled.examples) + cut_note(cut, seq_len))
    return [*lines, f"scores are {metric_note}"]


def cut_note(cut: int, seq_len: int) -> str:
    """What to add to a line on rows, `cut` of which lost their end; nothing where none did."""
    return f"; {cut:,} of them cut to seq_len {seq_len}" if cut else ""


def task_fingerprint(folder: str) -> dict[str, str]:
    """sha256 of each file of a task, by its role."""
    names = [("train", "train.tsv"), ("dev", "dev.tsv"), ("test", "test.tsv")]
    names += [("labels", "labels.tsv")] if is_there(os.path.join(folder, "labels.tsv")) else []
    return {role: fingerprint(find_file(os.path.join(folder, name))) for role, name in names}
