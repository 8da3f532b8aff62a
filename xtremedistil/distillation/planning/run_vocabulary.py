"""The pieces that a run reads its texts in: the teacher's, or, of a student that has some of them alone, these."""

import numpy as np

from xtremedistil.distillation.planning.config import DistilConfig
from xtremedistil.errors import InputError
from xtremedistil.tokenization.tokenizer import Tokenizer


def run_vocabulary(config: DistilConfig) -> tuple[Tokenizer, np.ndarray | None]:
    """The tokenizer of a run, and the teacher's number of each of its pieces, int64 [K]; None: it is the teacher's.

    A student checkpoint whose vocabulary was trimmed (`xtremedistil pretrain --student_vocab`) brings its tokenizer,
    and the teacher loses the other pieces.

    Raises:
        InputError: a tokenizer cannot be loaded.
    """
    teachers, source = Tokenizer.load(config.pt_teacher_checkpoint), config.pt_student_checkpoint
    if source is None or config.logits_only or config.student_kind == "bilstm":
        return teachers, None
    try:
        students = Tokenizer.load(source)
    except InputError:  # a checkpoint without tokenizer files: it has the teacher's pieces, or is refused
        return teachers, None
    kept = pieces_among(students, teachers)
    return (teachers, None) if kept is None else (students, kept)


def pieces_among(students: Tokenizer, teachers: Tokenizer) -> np.ndarray | None:
    """Where all of the first one's pieces are among the more of the second: their numbers there, int64 [K]."""
    own, known = students.pieces(), teachers.pieces()
    if len(own) >= len(known) or not own.keys() <= known.keys() or sorted(own.values()) != list(range(len(own))):
        return None
    return np.array([known[piece] for piece in sorted(own, key=own.__getitem__)], np.int64)
