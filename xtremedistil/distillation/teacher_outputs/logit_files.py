"""A file of an external teacher's logits, in any format.

Logits are per example, or per word, so that the teacher may have any tokenizer. N rows, one per example of the transfer
file; W words of all rows, one after the other; L labels.

    .npz                                           .parquet
    row_ids          integers [N]                  column row_id: an integer
    logits           floats [N, L], tagging [W, L] column logits: L floats; tagging: a list for each word
    word_counts      integers [N], tagging only    (the length of that list)
    labels           texts [L]                     metadata of the schema: labels, a JSON list of texts
    transfer_sha256  a text, optional              metadata of the schema: transfer_sha256, optional
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

ROWS_AT_A_TIME = 20_000
LABELS, SHA256 = "labels", "transfer_sha256"


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a file.

    Fields:
        start: number of the first row in the file.
        counts: int64 [rows], vectors per row: its number of words; 1 for classification.
        logits: float32 [sum of counts, L].
    """

    start: int
    counts: np.ndarray
    logits: np.ndarray


@dataclass(frozen=True)
class LogitFile:
    """An open file of logits.

    Fields:
        labels: label of each column. transfer_sha256: of the transfer file that it was made from, or None.
        row_ids: int64 [N], the example of each row.
        blocks: reads and yields the rows in order; raises InputError if the file is damaged.
    """

    path: str
    labels: list[str]
    transfer_sha256: str | None
    row_ids: np.ndarray
    blocks: Callable[[], Iterator[Block]]


def described(kind, shape: tuple[int, ...]) -> str:
    """Formats type and shape of an array for a message: `int64 [3, 2]`."""
    return f"{kind} {list(shape)}"
