"""Everything that a run reads: the task's files and the transfer file, encoded once."""

import os

from xtremedistil.data.features import LabelledSet
from xtremedistil.data.text_files import find_file, is_there
from xtremedistil.storage.files import fingerprint
from xtremedistil.tasks import Task
from xtremedistil.tokenization.tokenizer import Tokenizer


def read_labelled_sets(
    task: Task, folder: str, tokenizer: Tokenizer, seq_len: int, original_rows: bool = False
) -> list[LabelledSet]:
    """Train, dev and test; the test file is read now, so that a fault in it does not show after hours.

    Args:
        original_rows: as `encode` of the task takes it.
    """
    sets = []
    for name in ("train", "dev", "test"):
        examples = task.read(os.path.join(folder, f"{name}.tsv"), labelled=True)
        sets.append(LabelledSet(examples, task.encode(examples, tokenizer, seq_len, original_rows=original_rows)))
    return sets


def task_fingerprint(folder: str) -> dict[str, str]:
    """sha256 of each file of a task, by its role."""
    names = [("train", "train.tsv"), ("dev", "dev.tsv"), ("test", "test.tsv")]
    names += [("labels", "labels.tsv")] if is_there(os.path.join(folder, "labels.tsv")) else []
    return {role: fingerprint(find_file(os.path.join(folder, name))) for role, name in names}
