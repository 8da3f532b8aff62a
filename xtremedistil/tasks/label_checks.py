"""Checks labels that are read off `train.tsv`: files of another layout parse too, and would train on nonsense."""

import re
from collections import Counter
from collections.abc import Sequence

from xtremedistil.data.text_files import shorten
from xtremedistil.errors import InputError
from xtremedistil.tag_schemes import OUTSIDE, find_scheme

# What the columns of a header are called; `docs/data_formats.md` lists them.
COLUMN_NAMES = frozenset(
    "id idx index guid text text1 text2 text_a text_b texts sentence sentence1 sentence2 title body content document "
    "comment review message tweet post utterance query question question1 question2 passage context premise "
    "hypothesis source target input output words tokens word token tags tag ner_tags labels label label1 gold_label "
    "gold class category topic intent emotion sentiment rating score stars answer y".split()
)
DECIMAL = re.compile(r"[+-]?[0-9]*\.[0-9]+")
MOST_NAMED = 5
MANY_LABELS = 50  # with more, and one for every other row, a column holds something else than labels
WAY_OUT = "If they are the classes, list them in labels.tsv, one a line."

Row = tuple[int, Sequence[str]]  # line number, cells


def check_class_rows(path: str, rows: Sequence[Row], *, several: bool = False) -> None:
    """Checks the rows of a task's train file whose labels are not listed in `labels.tsv`.

    Args:
        rows: texts and, in the last cell, the label or labels of each line. several: a row may have several labels.

    Raises:
        InputError: the first line is a header, a label is empty, or the last column does not look like classes.
    """
    labels = Counter(cells[-1].strip() for _, cells in rows)
    _refuse_header(path, rows[0], labels)
    if several:
        return
    if "" in labels:
        line = next(number for number, cells in rows if not cells[-1].strip())
        raise InputError(
            f"{path}, line {line}: the label is empty. Write one, or remove the line; where texts may have no label, "
            "give `task_kind` multi_label_classification."
        )
    if len(labels) == 1:
        only = next(iter(labels))
        raise InputError(f"{path}: all {len(rows):,} rows have the label '{only}'. Two classes are needed.")
    _refuse_tags(path, rows, labels)
    _refuse_scores(path, labels)
    _refuse_joined_labels(path, labels)
    if len(labels) > MANY_LABELS and 2 * len(labels) > len(rows):
        raise InputError(
            f"{path}: {len(labels):,} different labels in {len(rows):,} rows ({_few(labels)}). The last column does "
            f"not look like classes. {WAY_OUT}"
        )


def _refuse_header(path: str, first: Row, labels: Counter) -> None:
    number, cells = first
    names = [cell.strip().lower() for cell in cells]
    if labels[cells[-1].strip()] == 1 and all(name in COLUMN_NAMES for name in names):
        raise InputError(
            f"{path}, line {number}: this is a header ({', '.join(cells)}), which would be read as a row. Remove the "
            "line."
        )


def _refuse_tags(path: str, rows: Sequence[Row], labels: Counter) -> None:
    """Raises InputError for tags of words: one per word of the text, or one word per line."""
    per_word = all(len(cells[-1].split(" ")) == len(cells[0].split(" ")) for _, cells in rows)
    tags = {tag for label in labels for tag in label.split(" ")}
    if per_word and OUTSIDE in tags and find_scheme(tags):
        raise InputError(
            f"{path}: the last column holds a tag for each word ({_few(labels)}). To tag words, give `do_NER`, one "
            "sentence per line: words<TAB>tags."
        )


def _refuse_scores(path: str, labels: Counter) -> None:
    numbers = [label for label in labels if DECIMAL.fullmatch(label)]
    if len(numbers) * 2 > len(labels):
        raise InputError(
            f"{path}: the labels are numbers with fractions ({_few(numbers)}), which look like scores. Each would "
            f"become a class. Round them into a few classes. {WAY_OUT}"
        )


def _refuse_joined_labels(path: str, labels: Counter) -> None:
    """Raises InputError where labels are lists of others: `joy,surprise` beside `joy`."""
    parts = {label: [part.strip() for part in label.split(",")] for label in labels if "," in label}
    uses = Counter(part for several in parts.values() for part in set(several))
    joined = [label for label, several in parts.items() if all(uses[part] > 1 or part in labels for part in several)]
    if joined:
        raise InputError(
            f"{path}: the label '{shorten(joined[0])}' joins others. Where a text may have several labels, give "
            f"`task_kind` multi_label_classification. {WAY_OUT}"
        )


def check_sentence_rows(path: str, rows: Sequence[tuple[int, Sequence[str], Sequence[str]]], blank_lines: int) -> None:
    """Checks sentences of words and tags.

    Args:
        rows: line number, words and tags. blank_lines: how many empty lines the file has between others.

    Raises:
        InputError: each line has one word, and lines make sentences: a CoNLL file.
    """
    if len(rows) < 2 or any(len(words) > 1 for _, words, _ in rows):
        return
    scheme = find_scheme({tag for _, _, tags in rows for tag in tags} | {OUTSIDE})
    goes_on = [number for number, _, tags in rows if scheme and scheme.read(tags[0])[0] in "IE"]
    if blank_lines or goes_on:
        what = "empty lines between sentences" if blank_lines else f"a tag inside a chunk in line {goes_on[0]}"
        raise InputError(
            f"{path}: each of the {len(rows):,} lines has one word, and there are {what}: this is a CoNLL file. "
            "Expected one sentence per line: words<TAB>tags, both separated by single spaces."
        )


def counts_line(name: str, count: int, labels: Counter, order: Sequence[str]) -> str:
    """Returns what was read, with the labels and how often each occurs: `train: 420 rows; labels ham 300, spam 120`."""
    known = [label for label in order if labels[label]]
    shown = ", ".join(f"{label} {labels[label]:,}" for label in known[:MOST_COUNTED])
    more = f", and {len(known) - MOST_COUNTED} more" if len(known) > MOST_COUNTED else ""
    missing = [label for label in order if not labels[label]]
    none = f"; none of {shorten(', '.join(missing))}" if missing and len(order) <= MOST_COUNTED else ""
    return f"{name}: {count:,} rows; labels {shown or 'none'}{more}{none}"


MOST_COUNTED = 30


def _few(labels) -> str:
    named = list(labels)[:MOST_NAMED]
    return shorten(", ".join(named) + ", ..." * (len(labels) > MOST_NAMED))
