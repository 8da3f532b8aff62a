"""How far an export is from the student that it was made of."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from xtremedistil.errors import InputError

LARGEST_DIFFERENCE = 1e-4  # of logits, for forms that compute in float32


@dataclass(frozen=True)
class Exported:
    """One export and how it compares; an entry of `export.json`.

    Fields:
        form: "onnx", "onnx_opt", "int8", "saved_model", "huggingface".
        path: file or folder, inside the model folder where it lies there. bytes: its size.
        rows: real rows that it was compared on.
        largest_difference: of logits. label_agreement: share of labels that are the same, 0 to 1.
        milliseconds: median of one row at a time, None where that was not measured.
        metric: the task's, "student" and "export", if the rows have labels.
        remarks: what a person should know.
    """

    form: str
    path: str
    bytes: int
    rows: int
    largest_difference: float
    label_agreement: float
    milliseconds: float | None = None
    metric: dict | None = None
    remarks: tuple[str, ...] = ()

    def to_dict(self) -> dict:
        return asdict(self)


def compare(
    expected: Sequence[np.ndarray], found: Sequence[np.ndarray], chosen: Callable[[np.ndarray], np.ndarray]
) -> tuple[float, float]:
    """Largest difference of logits, and the share of labels that agree.

    Args:
        expected, found: one array per row, float [S, L] or [L]. chosen: from logits, which labels they stand for.
    """
    flat = [np.concatenate([row.reshape(-1, row.shape[-1]) for row in rows]) for rows in (expected, found)]
    return float(np.abs(flat[0] - flat[1]).max()), float((chosen(flat[0]) == chosen(flat[1])).mean())


def refuse_difference(form: str, difference: float) -> None:
    """Raises InputError if a form that computes in float32 is further away than rounding explains."""
    if not difference <= LARGEST_DIFFERENCE:  # NaN too
        raise InputError(
            f"The {form} export differs from the student by {difference:.2g} in a logit, more than "
            f"{LARGEST_DIFFERENCE:g} allows; nothing was written. Please report this."
        )


def median_milliseconds(call, batches: Sequence) -> float:
    """Median time of `call(batch)`, after a warm-up of a tenth."""
    times = []
    for batch in batches:
        started = time.perf_counter()
        call(batch)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times[len(times) // 10 :]))
