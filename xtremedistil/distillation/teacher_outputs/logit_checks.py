"""Checks that a file of logits fits the transfer file; each problem is an InputError that names both files."""

import hashlib
from collections.abc import Sequence
from itertools import islice

import numpy as np

from xtremedistil.data.text_files import read_lines, shorten
from xtremedistil.distillation.teacher_outputs.logit_files import Block, LogitFile
from xtremedistil.errors import InputError

MOST_LISTED = 5


def check_source(file: LogitFile, transfer_file: str) -> None:
    """Refuses a file of logits that was made from another transfer file, if it records which."""
    if file.transfer_sha256 is None:
        return
    found = _sha256(transfer_file)
    if file.transfer_sha256.lower() != found:
        raise InputError(
            f"{file.path} was made from another transfer file: its transfer_sha256 is {file.transfer_sha256},\n"
            f"that of {transfer_file} {found}.\nGive the transfer file that it was made from, or make it again."
        )


def _sha256(path: str) -> str:
    """As `sha256sum` prints it."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_row_ids(file: LogitFile, examples: int, transfer_file: str) -> None:
    """Refuses a file without exactly one row for each of the `examples`."""
    ids = file.row_ids
    inside, times = np.unique(ids[(ids >= 0) & (ids < examples)], return_counts=True)
    faults = {
        "missing": np.setdiff1d(np.arange(examples), inside, assume_unique=True),
        "repeated": inside[times > 1],
        "unknown": np.unique(ids[(ids < 0) | (ids >= examples)]),
    }
    lines = [f"  {fault}: {_some(numbers)}" for fault, numbers in faults.items() if len(numbers)]
    if lines:
        raise InputError(
            f"{file.path}: its row ids are not those of {transfer_file}:\n" + "\n".join(lines) + "\n"
            f"That file has {examples} examples, numbered from 0 to {examples - 1} (blank lines are skipped and have "
            "no number); each needs one row, in any order."
        )


def _some(numbers: np.ndarray) -> str:
    more = f", ... ({len(numbers)} of them)" if len(numbers) > MOST_LISTED else ""
    return ", ".join(map(str, numbers[:MOST_LISTED].tolist())) + more


def check_words(file: LogitFile, examples: np.ndarray, block: Block, counts: np.ndarray, transfer_file: str) -> None:
    """Refuses rows with more or fewer vectors than their examples have words.

    Args:
        examples: of the block's rows. counts: int64, words of each example.
    """
    wrong = np.flatnonzero(block.counts != counts[examples])
    if len(wrong):
        example = int(examples[wrong[0]])
        number, words = _words_of(transfer_file, example)
        raise InputError(
            f"{file.path}: row id {example} has vectors of {block.counts[wrong[0]]} words, and "
            f"{transfer_file}, line {number}, has {counts[example]}.\n  words: {shorten(words)}\n"
            "Words are separated by single spaces; give each of them a vector of logits, empty ones too."
        )


def _words_of(transfer_file: str, example: int) -> tuple[int, str]:
    """Returns an example's line number and first column."""
    lines = ((number, line) for number, line in read_lines(transfer_file) if line.strip())
    number, line = next(islice(lines, example, None))
    return number, line.partition("\t")[0]


def check_finite(file: LogitFile, examples: np.ndarray, block: Block) -> None:
    """Refuses vectors with NaN or infinity."""
    wrong = np.flatnonzero(~np.isfinite(block.logits).all(axis=1))
    if len(wrong):
        example = examples[np.searchsorted(np.cumsum(block.counts), wrong[0], side="right")]
        values = ", ".join(f"{value:g}" for value in block.logits[wrong[0]])
        raise InputError(
            f"{file.path}: a vector of row id {example} is not finite: {shorten(values)}.\n"
            "Make it again with finite numbers; values above 65,504 need float32, not float16."
        )


def label_columns(found: Sequence[str], labels: Sequence[str], where: str) -> np.ndarray:
    """Returns the column of each of the task's labels, int64 [L], matched by name.

    Args:
        found: names of the columns. where: the file, for the message.

    Raises:
        InputError: the names are not the task's labels, each once.
    """
    repeated = [label for label in dict.fromkeys(found) if list(found).count(label) > 1]
    faults = {
        "missing": [label for label in labels if label not in found],
        "not among the task's": [label for label in dict.fromkeys(found) if label not in labels],
        "more than once": repeated,
    }
    lines = [f"  {fault}: {', '.join(names)}" for fault, names in faults.items() if names]
    if lines:
        raise InputError(
            f"{where} has columns for other labels than the task ({', '.join(labels)}):\n" + "\n".join(lines) + "\n"
            "Give exactly one column for each of the task's labels, under its name; their order does not matter."
        )
    return np.array([list(found).index(label) for label in labels], np.int64)
