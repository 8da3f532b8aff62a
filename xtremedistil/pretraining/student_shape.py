"""Sizes of a student that is made from a teacher's: what flags leave open is the teacher's."""

import dataclasses

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.shapes import EncoderShape, encoder_shape
from xtremedistil.models.checkpoints.pretrained import read_config
from xtremedistil.models.layer_initialization import parse_layers
from xtremedistil.pretraining.config import PretrainConfig


def student_shape(config: PretrainConfig, teacher: EncoderShape) -> EncoderShape:
    """The student's sizes; with the teacher's vocabulary, which may be trimmed later.

    Raises:
        InputError: layers are picked by a student of another width, or that the teacher has not.
    """
    if config.pt_student_checkpoint:
        return encoder_shape(read_config(config.pt_student_checkpoint), config.pt_student_checkpoint)
    width = config.hidden_size or teacher.hidden_size
    changed = width != teacher.hidden_size
    inner = config.intermediate_size or (4 * width if changed else teacher.intermediate_size)
    shape = dataclasses.replace(
        teacher,
        hidden_size=width,
        num_hidden_layers=config.num_hidden_layers or max(1, teacher.num_hidden_layers // 2),
        num_attention_heads=config.num_attention_heads or teacher.num_attention_heads,
        intermediate_size=inner,
        embedding_size=width if changed else teacher.embedding_size,
    )
    return shape if config.init_layers is None else _picked(config, shape, teacher)


def _picked(config: PretrainConfig, shape: EncoderShape, teacher: EncoderShape) -> EncoderShape:
    layers = picked_layers(config, teacher)
    for name in ("hidden_size", "num_attention_heads", "intermediate_size"):
        own, theirs = getattr(shape, name), getattr(teacher, name)
        if own != theirs:
            raise InputError(
                f"`init_layers` {config.init_layers}: a student that begins with the teacher's layers has its widths; "
                f"`{name}` is {own}, the teacher's {theirs}. Leave `{name}` away, or `init_layers`"
            )
    return dataclasses.replace(shape, num_hidden_layers=len(layers))


def picked_layers(config: PretrainConfig, teacher: EncoderShape) -> list[int]:
    """The teacher's layers that a student with `init_layers` begins with.

    Raises:
        InputError: see `parse_layers`.
    """
    try:
        return parse_layers(config.init_layers, teacher.num_hidden_layers, config.num_hidden_layers)
    except InputError as error:
        raise InputError(f"`init_layers` {error}") from error
