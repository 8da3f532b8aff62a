"""A task: its files, its labels, and the way from text to arrays and back."""

import os
import re
from collections.abc import Sequence

from xtremedistil.data.text_files import is_there
from xtremedistil.errors import InputError
from xtremedistil.tasks.sequence_classification import LabelledText, SequenceClassification, class_labels
from xtremedistil.tasks.token_classification import CONTINUATION, TaggedSentence, TokenClassification, read_labels

__all__ = [
    "LabelledText",
    "SequenceClassification",
    "TaggedSentence",
    "Task",
    "TokenClassification",
    "open_task",
    "saved_task",
    "task_from_labels",
]


Task = TokenClassification | SequenceClassification

SPECIAL_TOKEN = re.compile(r"[\[<].*[\]>]")


def open_task(
    folder: str | os.PathLike, *, do_NER: bool = False, do_pairwise: bool = False, pseudo_labels: Sequence[str] = ()
) -> Task:
    """The task of a folder with train.tsv, dev.tsv, test.tsv (and labels.tsv for tagging), plain or .gz.

    Args:
        do_NER: tag words. do_pairwise: classify pairs. Neither: classify texts.
        pseudo_labels: for tagging as the original did it; see `tagging.pseudo_labels_of`.

    Raises:
        InputError: all missing files together, or a fault in the labels.
    """
    if problems := folder_problems(os.fspath(folder), do_NER, do_pairwise):
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise InputError(f"The task folder {folder} cannot be used ({count}):\n{lines}")
    if do_NER:
        return TokenClassification(read_labels(folder), pseudo_labels)
    return SequenceClassification(class_labels(folder, do_pairwise), pairs=do_pairwise)


def folder_problems(folder: str, do_NER: bool, do_pairwise: bool, role: str = "") -> list[str]:
    """Why a folder cannot hold such a task: a line for each fault, without reading its files.

    Args:
        role: what the flags begin with: "source_" for --source_task.
    """
    problems = [f"--{role}do_NER and --{role}do_pairwise exclude each other"] if do_NER and do_pairwise else []
    names = ["train.tsv", "dev.tsv", "test.tsv", *(["labels.tsv"] if do_NER else [])]
    if not os.path.isdir(folder):
        return [*problems, f"--{role}task {folder}: there is no such folder. It should hold {', '.join(names)}"]
    missing = [name for name in names if not is_there(os.path.join(folder, name))]
    if missing:
        there = ", ".join(sorted(os.listdir(folder))[:10]) or "nothing"
        problems.append(f"--{role}task {folder} lacks {', '.join(missing)} (there is: {there})")
    return problems


def task_from_labels(
    labels: Sequence[str | None],
    *,
    do_NER: bool = False,
    do_pairwise: bool = False,
    pseudo_labels: Sequence[str] | None = None,
) -> Task:
    """The task of a saved `label_list`, without its files.

    Args:
        labels: one per output of the model. For tagging the original's lists end with four pseudo-labels
            (pad, X, end, start), which are recognised.
        pseudo_labels: says which of them these are; None recognises them.
    """
    if not do_NER:
        return SequenceClassification([str(label) for label in labels], pairs=do_pairwise)
    count = len(pseudo_labels) if pseudo_labels is not None else 4 * _ends_with_pseudo_labels(labels)
    names = ["[PAD]" if label is None else label for label in labels]
    real = len(names) - count
    return TokenClassification(names[:real], names[real:])


def saved_task(saved: dict) -> Task:
    """The task of a saved `xtremedistil-config.json`."""
    labels, pseudo = saved["label_list"], saved.get("pseudo_labels")
    return task_from_labels(labels, do_NER=saved["do_NER"], do_pairwise=saved["do_pairwise"], pseudo_labels=pseudo)


def _ends_with_pseudo_labels(labels: Sequence[str | None]) -> bool:
    if len(labels) < 5 or labels[-3] != CONTINUATION:
        return False
    pad, _, end, start = labels[-4:]
    special = [SPECIAL_TOKEN.fullmatch(label or "") for label in (end, start)]
    return all(special) and (pad is None or bool(SPECIAL_TOKEN.fullmatch(pad)))
