"""What a teacher's trained head belongs to: a file beside it, for runs that take the head over."""

import hashlib
import os

import numpy as np

from xtremedistil.storage.declared import Object, Text
from xtremedistil.storage.files import write_json
from xtremedistil.storage.json_files import read_json
from xtremedistil.storage.model_folder import fingerprint_checkpoint

HEAD_WEIGHTS = "language-head.h5"
RECORD = Object({"teacher": Text(), "pieces": Text()}, required=("teacher", "pieces"))
REMOVE = "Copy it again, or remove it: the head is then taken as far as its shapes fit."


def head_path(model_dir: str) -> str:
    return os.path.join(model_dir, HEAD_WEIGHTS)


def head_record(checkpoint: str, kept: np.ndarray | None) -> dict[str, str]:
    """What a head belongs to: a teacher and the tokens that it predicts; `kept` None: all that the teacher has."""
    tokens = "all" if kept is None else hashlib.sha256(np.asarray(kept, np.int64).tobytes()).hexdigest()
    return {"teacher": fingerprint_checkpoint(checkpoint), "pieces": tokens}


def write_head_record(head: str, record: dict[str, str]) -> None:
    write_json(_record_path(head), record)


def read_head_record(head: str) -> dict[str, str] | None:
    """None where there is none: heads of earlier versions."""
    path = _record_path(head)
    return read_json(path, RECORD, REMOVE) if os.path.isfile(path) else None


def remove_head(model_dir: str) -> None:
    head = head_path(model_dir)
    for path in (head, _record_path(head)):
        if os.path.isfile(path):
            os.remove(path)


def _record_path(head: str) -> str:
    return f"{os.path.splitext(head)[0]}.json"
