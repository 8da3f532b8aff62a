"""Which column of a foreign teacher's logits belongs to which label of the task."""

from collections.abc import Sequence

import numpy as np

from xtremedistil.errors import InputError


def label_columns(found: Sequence[str], labels: Sequence[str], where: str) -> np.ndarray:
    """The column of each label of the task, int64 [L], matched by name.

    Args:
        found: names of the columns. where: whose they are, for the message.

    Raises:
        InputError: these are not the task's labels, each of them once.
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
            "Order does not matter, names do: rename the columns as the task calls its labels, and leave out no other."
        )
    return np.array([list(found).index(label) for label in labels], np.int64)
