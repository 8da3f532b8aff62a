"""A task: its files, its labels, and the way from text to arrays and back. A kind of task is one class in one file.

What a class says of its kind, for all that other rooms ask (they never compare its name):
    kind: its name, which exported graphs carry. by_position: logits are of positions [B, S, L], else of rows [B, L].
    problem_type: what logits say, of `problem_types`. required_files: of a task folder, besides the three sets.
    purpose, pipeline and what begins with it, huggingface_ending: for model cards and Hugging Face's classes.
"""

import os
from collections.abc import Sequence

from xtremedistil.data.text_files import is_there
from xtremedistil.errors import InputError
from xtremedistil.tasks.kind_settings import KindSettings
from xtremedistil.tasks.sequence_classification import LabelledText, SequenceClassification
from xtremedistil.tasks.token_classification import TaggedSentence, TokenClassification

__all__ = [
    "KINDS",
    "LabelledText",
    "SequenceClassification",
    "TaggedSentence",
    "Task",
    "TokenClassification",
    "kind_of",
    "open_task",
    "saved_task",
    "task_from_labels",
]


Task = TokenClassification | SequenceClassification

KINDS: dict[str, type[Task]] = {kind.kind: kind for kind in (TokenClassification, SequenceClassification)}


def kind_of(do_NER: bool) -> type[Task]:
    """The kind of task that flags, or a saved configuration, name."""
    return TokenClassification if do_NER else SequenceClassification


def open_task(
    folder: str | os.PathLike, *, do_NER: bool = False, do_pairwise: bool = False, pseudo_labels: Sequence[str] = ()
) -> Task:
    """The task of a folder with train.tsv, dev.tsv, test.tsv (and labels.tsv for tagging), plain or .gz.

    Args:
        do_NER: tag words. do_pairwise: classify pairs. Neither: classify texts.
        pseudo_labels: for tagging as the original did it; see `token_classification.pseudo_labels_of`.

    Raises:
        InputError: all missing files together, or a fault in the labels.
    """
    if problems := folder_problems(os.fspath(folder), do_NER, do_pairwise):
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise InputError(f"The task folder {folder} cannot be used ({count}):\n{lines}")
    return kind_of(do_NER).open(folder, KindSettings(do_pairwise, tuple(pseudo_labels)))


def folder_problems(folder: str, do_NER: bool, do_pairwise: bool, role: str = "") -> list[str]:
    """Why a folder cannot hold such a task: a line for each fault, without reading its files.

    Args:
        role: what the flags begin with: "source_" for --source_task.
    """
    problems = [f"--{role}do_NER and --{role}do_pairwise exclude each other"] if do_NER and do_pairwise else []
    names = ["train.tsv", "dev.tsv", "test.tsv", *kind_of(do_NER).required_files]
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
    pseudo = None if pseudo_labels is None else tuple(pseudo_labels)
    return kind_of(do_NER).from_labels(labels, KindSettings(do_pairwise, pseudo))


def saved_task(saved: dict) -> Task:
    """The task of a saved `xtremedistil-config.json`."""
    labels, pseudo = saved["label_list"], saved.get("pseudo_labels")
    return task_from_labels(labels, do_NER=saved["do_NER"], do_pairwise=saved["do_pairwise"], pseudo_labels=pseudo)
