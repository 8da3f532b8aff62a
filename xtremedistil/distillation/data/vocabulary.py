"""The tokenizer of a run: the teacher's, or that of a student whose vocabulary is a part of the teacher's."""

import numpy as np

from xtremedistil.distillation.planning.plan import DistillationPlan
from xtremedistil.errors import InputError
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.tokenization.vocabulary import tokens_among


def run_vocabulary(plan: DistillationPlan) -> tuple[Tokenizer, np.ndarray | None]:
    """The tokenizer of a run, and the teacher's number of each of its tokens, int64 [K]; None: it is the teacher's.

    A student checkpoint whose vocabulary was trimmed (`xtremedistil pretrain --student_vocab`) brings its tokenizer,
    and the teacher loses the other tokens.

    Raises:
        InputError: a tokenizer cannot be loaded.
    """
    teachers, source = Tokenizer.load(plan.teacher.checkpoint), plan.student.checkpoint
    if source is None or plan.teacher.is_external:
        return teachers, None
    try:
        students = Tokenizer.load(source)
    except InputError:  # a checkpoint without tokenizer files: it has the teacher's tokens, or is refused
        return teachers, None
    kept = tokens_among(students, teachers)
    return (teachers, None) if kept is None else (students, kept)
