"""Checks that a model can read rows before it is run on them."""

import numpy as np

from xtremedistil.data.features import Features
from xtremedistil.models.adapters import AdaptedModel, TaskModel
from xtremedistil.models.architectures.families import BILSTM
from xtremedistil.models.architectures.shapes import encoder_shape
from xtremedistil.models.student import Student
from xtremedistil.models.teacher import Teacher


def check_rows(features: Features, model: TaskModel | AdaptedModel | Teacher | Student, whose: str) -> None:
    """Raises ValueError if there are no rows, or a row is empty, longer than the model's positions, or has unknown
    token ids.

    Args:
        whose: "the student" or "teacher 0". Positions and vocabulary of models with an adaptor are not known.
    """
    if not len(features):
        raise ValueError("There are no rows.")
    if not features.lengths.all():
        raise ValueError(f"Row {int(np.argmin(features.lengths))} is empty. Leave it out.")
    positions, vocabulary = _limits(model)
    longest, largest = int(features.lengths.max()), int(features.input_ids.max())
    if positions and longest > positions:
        raise ValueError(
            f"Row {int(np.argmax(features.lengths))} is {longest} tokens long; {whose} has positions for {positions}. "
            "Cut the texts short: tokenizer(texts, truncation=True)."
        )
    if vocabulary and largest >= vocabulary:
        raise ValueError(
            f"The rows have the token id {largest}; {whose} has {vocabulary} tokens, counted from 0. Encode rows with "
            "the student's tokenizer; give a teacher with another tokenizer its own rows as teacher_train="
        )


def _limits(model) -> tuple[int | None, int | None]:
    if isinstance(model, AdaptedModel):
        return None, None
    encoder = model.pretrained if isinstance(model, TaskModel) else model.encoder
    if model.family is BILSTM:
        return None, encoder.config.vocab_size
    shape = encoder_shape(encoder.config.to_dict(), type(encoder).__name__)
    return shape.positions if shape.positions and shape.positions > 0 else None, shape.vocab_size
