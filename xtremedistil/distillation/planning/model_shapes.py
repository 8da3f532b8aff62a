"""Sizes of the two models of a run, before either is loaded."""

import dataclasses

from xtremedistil.distillation.planning.config import DistilConfig
from xtremedistil.distillation.planning.stages import ENCODER, HEAD, PROJECTION
from xtremedistil.models.architectures.shapes import BilstmShape, EncoderShape, encoder_shape
from xtremedistil.models.checkpoints.pretrained import read_config


def teacher_shape(config: DistilConfig) -> EncoderShape | None:
    """None of a teacher that gives logits alone."""
    if config.logits_only:
        return None
    return encoder_shape(read_config(config.pt_teacher_checkpoint), config.pt_teacher_checkpoint)


def student_shape(config: DistilConfig, words: int) -> EncoderShape | BilstmShape:
    """`words`: of the tokenizer."""
    if config.student_kind == "bilstm":
        return BilstmShape(config.num_hidden_layers, words, config.hidden_size, config.lstm_units)
    if config.pt_student_checkpoint:
        shape = encoder_shape(read_config(config.pt_student_checkpoint), config.pt_student_checkpoint)
        return dataclasses.replace(shape, vocab_size=words if config.compress_word_embedding else shape.vocab_size)
    return EncoderShape(
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        words,
        max(512, config.seq_len),
        config.intermediate_size,
        config.hidden_size,
    )


def student_blocks(config: DistilConfig) -> list[str]:
    """What of the run's student is unfrozen together, by name."""
    teacher, student = teacher_shape(config), student_shape(config, 0)
    projected = teacher is not None and student.hidden_size != teacher.hidden_size
    return [ENCODER, HEAD, *([PROJECTION] if projected else [])]
