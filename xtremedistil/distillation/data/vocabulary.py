"""Chooses the tokenizer of a run: the teacher's, or that of a student with part of the teacher's vocabulary."""

import numpy as np

from xtremedistil.distillation.planning.plan import DistillationPlan
from xtremedistil.errors import InputError
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.tokenization.vocabulary import refuse_unknown_tokens, tokens_among


def run_vocabulary(plan: DistillationPlan) -> tuple[Tokenizer, np.ndarray | None]:
    """Returns the tokenizer of a run, and the teacher's id of each of its tokens, int64 [K]; None: all of them.

    If the student checkpoint has a trimmed vocabulary (`xtremedistil pretrain --student_vocab`), teacher and student
    both use it.

    Raises:
        InputError: a tokenizer cannot be loaded, or has more tokens than its teacher.
    """
    teachers, source = Tokenizer.load(plan.teacher.checkpoint), plan.student.checkpoint
    if plan.teacher.shape:
        refuse_unknown_tokens(teachers, plan.teacher.shape.vocab_size, plan.teacher.checkpoint)
    if source is None or plan.teacher.is_external:
        return teachers, None
    try:
        students = Tokenizer.load(source)
    except InputError:  # without tokenizer files the checkpoint has the teacher's tokens; other checks refuse it if not
        return teachers, None
    kept = tokens_among(students, teachers)
    return (teachers, None) if kept is None else (students, kept)
