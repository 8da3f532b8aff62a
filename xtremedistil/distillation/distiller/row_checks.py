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
    token ids or token types.

    Args:
        whose: "the student" or "teacher 0". Sizes of models with an adaptor are not known.
    """
    if not len(features):
        raise ValueError("There are no rows.")
    if not features.lengths.all():
        raise ValueError(f"Row {int(np.argmin(features.lengths))} is empty. Leave it out.")
    positions, vocabulary, types = _limits(model)
    longest = int(features.lengths.max())
    if positions and longest > positions:
        raise ValueError(
            f"Row {int(np.argmax(features.lengths))} is {longest} tokens long; {whose} has positions for {positions}. "
            "Cut the texts short: tokenizer(texts, truncation=True)."
        )
    others = (
        "Encode rows with the student's tokenizer; give a teacher with another tokenizer its own rows as teacher_train="
    )
    _check_range(features, "input_ids", vocabulary, f"{whose} has {vocabulary} tokens, counted from 0. {others}")
    what = f"{whose} has {types} kinds, counted from 0. Leave token_type_ids out, or encode with the model's tokenizer"
    _check_range(features, "token_type_ids", types, what)


def _check_range(features: Features, name: str, count: int | None, expected: str) -> None:
    """Raises ValueError if a value is negative, or at least `count`."""
    values = getattr(features, name)
    wrong = (values < 0) | (values >= count) if count else values < 0
    if wrong.any():
        place = int(np.argmax(wrong))
        row, what = int(np.searchsorted(features.offsets, place, "right")) - 1, {"input_ids": "token id"}
        said = expected if values[place] >= 0 else "they count from 0"
        raise ValueError(f"Row {row} has the {what.get(name, 'token type')} {values[place]}; {said}.")


def _limits(model) -> tuple[int | None, int | None, int | None]:
    """Returns the numbers of positions, tokens and token types of a model; None where there is no limit."""
    if isinstance(model, AdaptedModel):
        return None, None, None
    encoder = model.pretrained if isinstance(model, TaskModel) else model.encoder
    if model.family is BILSTM:
        return None, encoder.config.vocab_size, None
    shape = encoder_shape(encoder.config.to_dict(), type(encoder).__name__)
    types = getattr(encoder.config, "type_vocab_size", None) if model.family.takes_token_types else None
    positions = shape.positions if shape.positions and shape.positions > 0 else None
    return positions, shape.vocab_size, types if types and types > 1 else None  # a model of one kind is given none
