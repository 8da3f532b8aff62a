"""A task with a sample of its labels: what there is to learn from where labelling is dear."""

import os
import shutil
from collections.abc import Sequence

import numpy as np

from xtremedistil.data.text_files import find_file, is_there, read_lines
from xtremedistil.errors import InputError
from xtremedistil.storage.files import atomic_file
from xtremedistil.storage.folders import new_folder
from xtremedistil.tasks import Task

TRAIN = "train.tsv"
COPIED = ("dev.tsv", "test.tsv", "labels.tsv")


def write_few_labels(out: str, folder: str, rows: Sequence[int]) -> None:
    """Writes the task of `folder` to `out` with some rows of `train.tsv` alone, in their order; all else is copied."""
    path = os.path.join(folder, TRAIN)
    lines = [line for _, line in read_lines(path) if line.strip()]
    with new_folder(out) as partial:
        for name in COPIED:
            if is_there(os.path.join(folder, name)):
                found = find_file(os.path.join(folder, name))
                shutil.copyfile(found, os.path.join(partial, os.path.basename(found)))
        with atomic_file(os.path.join(partial, TRAIN), "wb") as file:
            file.writelines(f"{lines[row]}\n".encode() for row in rows)


def few_rows(task: Task, folder: str, count: int, seed: int) -> list[int]:
    """`count` rows of a task's `train.tsv`, in order, drawn by the seed.

    Of a classification, each label that the file has is among them. With one seed, a smaller sample is part of a
    bigger one.

    Raises:
        InputError: there are fewer rows, or more labels.
    """
    path = find_file(os.path.join(folder, TRAIN))
    examples = task.read(path)
    labels = [task.labels_to_sample(example) for example in examples]
    different = len({label for row in labels for label in row})
    if not different <= count <= len(labels):
        fewest = f"at least {different}, one for each label, and " if different else ""
        raise InputError(
            f"`target_labels` {count}: {path} has {len(labels)} rows; give {fewest}at most {len(labels)}, or 0 for all."
        )
    return draw(labels, count, seed)


def draw(labels: Sequence[Sequence[str]], count: int, seed: int) -> list[int]:
    """Numbers of `count` rows, sorted: in a random order, those that bring a label, then the first of all others.

    Args:
        labels: of each row; none at all where it does not matter which rows are drawn.
    """
    order = np.random.default_rng(seed).permutation(len(labels)).tolist()
    seen: set[str] = set()
    firsts: list[int] = []
    for number in order:
        if not seen.issuperset(labels[number]):
            firsts.append(number)
            seen.update(labels[number])
    chosen = set(firsts)
    others = [number for number in order if number not in chosen]
    return sorted([*firsts, *others][:count])
