"""The student that a run starts from: a checkpoint or random weights, with the teacher's word embeddings reduced."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xtremedistil.config import DistilConfig
from xtremedistil.distillation.corpus import Corpus
from xtremedistil.models.checkpoints import load_encoder, new_encoder, read_config
from xtremedistil.models.embeddings import factorize, word_embedding_variable
from xtremedistil.models.families import FAMILIES, find_family
from xtremedistil.models.student import Student, build_student
from xtremedistil.models.teacher import Teacher
from xtremedistil.training.strategy import seed_everything, stage_seed

STAGE = 1  # the student is born with stage 1, for seeds
LONGEST_ROW = 512  # positions of a student from scratch, as BERT has


@dataclass(frozen=True)
class InitialStudent:
    """A student and the word-embedding table that it starts from, float32 [V, H]."""

    student: Student
    word_embedding: np.ndarray

    def trainable_blocks(self, freeze_word_embedding: bool) -> dict[str, list[tf.Variable]]:
        """Variables by block, without the word embeddings if they are frozen."""
        blocks = {name: list(variables) for name, variables in self.student.blocks.items()}
        if freeze_word_embedding:
            table = word_embedding_variable(self.student.encoder)
            blocks["student"] = [variable for variable in blocks["student"] if variable is not table]
        return blocks


def initial_student(
    config: DistilConfig, corpus: Corpus, teacher: Teacher, strategy: tf.distribute.Strategy
) -> InitialStudent:
    """Builds the student of a run; the same settings give the same weights."""
    seed_everything(stage_seed(config.seed, STAGE))
    with strategy.scope():
        encoder, family = _encoder(config, corpus)
        student = build_student(
            encoder,
            family,
            kind=corpus.task.kind,
            num_labels=len(corpus.task.all_labels),
            teacher_hidden_size=teacher.encoder.config.hidden_size,
        )
    table = word_embedding_variable(encoder)
    if config.compress_word_embedding:
        full = word_embedding_variable(teacher.encoder).numpy()[: table.shape[0]]
        table.assign(factorize(full, table.shape[1], config.embedding_factorization, config.seed))
    return InitialStudent(student, table.numpy())


def _encoder(config: DistilConfig, corpus: Corpus):
    if config.pt_student_checkpoint is None:
        family = FAMILIES["TFBertModel"]
        encoder = new_encoder(
            family,
            name="student_2",
            vocab_size=corpus.tokenizer.size,
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            max_position_embeddings=max(LONGEST_ROW, config.seq_len),
            pad_token_id=corpus.tokenizer.pad_id,
            dropout=config.dropout,
        )
        return encoder, family
    family = find_family("auto", read_config(config.pt_student_checkpoint)["model_type"])
    size = corpus.tokenizer.size if config.compress_word_embedding else None
    return load_encoder(config.pt_student_checkpoint, family, name="student_2", vocab_size=size), family
