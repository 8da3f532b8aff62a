"""A task: its files, its labels, and the way from text to arrays and back. A kind of task is one class in one file.

What a class says of its kind, for all that other rooms ask (they never compare its name):
    kind: its name, which exported graphs carry. by_position: logits are of positions [B, S, L], else of rows [B, L].
    problem_type: what logits say, of `problem_types`. soft_label_loss: between logits, where no other is asked for.
    flags: those that name the kind. required_files: of a task folder, besides the three sets.
    purpose, pipeline and what begins with it, huggingface_ending: for model cards and Hugging Face's classes.
"""

import os
import typing
from collections.abc import Mapping, Sequence

from xtremedistil.data.text_files import is_there
from xtremedistil.errors import InputError
from xtremedistil.tasks.kind_settings import COMMA, TEXTS, KindSettings
from xtremedistil.tasks.multi_label_classification import MultiLabelClassification
from xtremedistil.tasks.problem_types import SEVERAL_LABELS
from xtremedistil.tasks.sequence_classification import LabelledText, SequenceClassification
from xtremedistil.tasks.token_classification import TaggedSentence, TokenClassification

__all__ = [
    "KINDS",
    "KindSettings",
    "LabelledText",
    "MultiLabelClassification",
    "SequenceClassification",
    "TaggedSentence",
    "Task",
    "TokenClassification",
    "kind_of",
    "open_task",
    "saved_task",
    "task_from_labels",
]


Task = TokenClassification | SequenceClassification | MultiLabelClassification
KINDS: dict[str, type[Task]] = {kind.kind: kind for kind in typing.get_args(Task)}


def kind_of(settings: KindSettings) -> type[Task]:
    """The kind of task that settings name.

    Raises:
        InputError: there is no such kind.
    """
    if settings.task_kind is None:
        return TokenClassification if settings.do_NER else SequenceClassification
    if settings.task_kind not in KINDS:
        raise InputError(f"The task_kind '{settings.task_kind}' is unknown. Known: {', '.join(KINDS)}.")
    return KINDS[settings.task_kind]


def open_task(folder: str | os.PathLike, settings: KindSettings = TEXTS) -> Task:
    """The task of a folder with train.tsv, dev.tsv, test.tsv (and labels.tsv for tagging), plain or .gz.

    Raises:
        InputError: contradictions in the settings and missing files, all together; or a fault in the labels.
    """
    if problems := folder_problems(os.fspath(folder), settings):
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise InputError(f"The task folder {folder} cannot be used ({count}):\n{lines}")
    return kind_of(settings).open(folder, settings)


def folder_problems(folder: str, settings: KindSettings, role: str = "") -> list[str]:
    """Why a folder cannot hold such a task: a line for each fault, without reading its files.

    Args:
        role: what the flags begin with: "source_" for `source_task`.
    """
    problems = _contradictions(settings, role)
    names = ["train.tsv", "dev.tsv", "test.tsv", *kind_of(settings).required_files]
    if not os.path.isdir(folder):
        return [*problems, f"`{role}task` {folder}: there is no such folder. It should hold {', '.join(names)}"]
    missing = [name for name in names if not is_there(os.path.join(folder, name))]
    if missing:
        there = ", ".join(sorted(os.listdir(folder))[:10]) or "nothing"
        problems.append(f"`{role}task` {folder} lacks {', '.join(missing)} (there is: {there})")
    return problems


def _contradictions(settings: KindSettings, role: str) -> list[str]:
    """Between the flags that say which kind of task there is."""
    kind, separator = kind_of(settings), settings.label_separator
    named = f"`{role}task_kind` {settings.task_kind}" if settings.task_kind else f"`{role}do_NER`"
    problems = []
    if settings.do_NER and not kind.by_position:
        problems.append(f"`{role}do_NER` and {named} exclude each other")
    if settings.do_pairwise and kind.by_position:
        problems.append(f"{named} and `{role}do_pairwise` exclude each other")
    if separator != COMMA and kind.problem_type != SEVERAL_LABELS:
        problems.append(f"`{role}label_separator` {separator!r}: rows have one label each; leave it away")
    if not separator or set(separator) & set("\t\r\n"):
        problems.append(f"`{role}label_separator` {separator!r}: give one or several characters, no tab or line end")
    return problems


def task_from_labels(labels: Sequence[str | None], settings: KindSettings = TEXTS) -> Task:
    """The task of a saved `label_list`, without its files.

    Args:
        labels: one per output of the model. For tagging the original's lists end with four pseudo-labels
            (pad, X, end, start), which are recognised, unless the settings say which of them these are.
    """
    return kind_of(settings).from_labels(labels, settings)


def saved_task(saved: Mapping) -> Task:
    """The task of a saved `xtremedistil-config.json`."""
    names = ("do_NER", "do_pairwise", "task_kind", "label_separator", "pseudo_labels")
    found = {name: saved[name] for name in names if saved.get(name) is not None}
    if "pseudo_labels" in found:
        found["pseudo_labels"] = tuple(found["pseudo_labels"])
    return task_from_labels(saved["label_list"], KindSettings(**found))
