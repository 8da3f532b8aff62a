"""The student that a run starts from: a checkpoint or random weights, with the teacher's word embeddings reduced."""

import numpy as np
import tensorflow as tf

from xtremedistil.config import DistilConfig
from xtremedistil.distillation.corpus import Corpus
from xtremedistil.distillation.setting import Setting
from xtremedistil.models.checkpoints import load_encoder, new_encoder, read_config
from xtremedistil.models.embeddings import factorize, word_embedding_variable
from xtremedistil.models.families import FAMILIES, find_family
from xtremedistil.models.forward import make_predict_function
from xtremedistil.models.student import Student, build_student
from xtremedistil.models.teacher import Teacher
from xtremedistil.training.strategy import seed_everything, stage_seed

STAGE = 1  # the student is born with stage 1, for seeds
EMBEDDING_SPREAD = 0.025  # standard deviation; that of new position embeddings is 0.02
LONGEST_ROW = 512  # positions of a student from scratch, as BERT has


class InitialStudent:
    """A student on its way through the stages.

    Fields:
        student: the graph. predict: its inference function.
        trainable_blocks: variables by block, without the word embeddings if they are frozen.
        saved_parts: variables by layer of a weight file; frozen word embeddings stand in `word_embedding.npy` instead.
    """

    def __init__(self, student: Student, *, compressed: bool, frozen: bool):
        self.student = student
        self.predict = make_predict_function(student.model)
        self._table = word_embedding_variable(student.encoder)
        self._compressed_table = self._table.numpy() if compressed else None
        left_out = self._table if frozen else None
        self.trainable_blocks = _without(left_out, student.blocks)
        self.saved_parts = _without(left_out, student.parts)

    def word_embedding_to_save(self) -> np.ndarray:
        """float32 [V, H]: the teacher's embeddings as they were reduced; without reduction, the student's own."""
        return self._table.numpy() if self._compressed_table is None else self._compressed_table


def _without(left_out: tf.Variable | None, groups: dict[str, list]) -> dict[str, list[tf.Variable]]:
    return {name: [variable for variable in group if variable is not left_out] for name, group in groups.items()}


def initial_student(setting: Setting, teacher: Teacher) -> InitialStudent:
    """Builds the student of a run; the same settings give the same weights."""
    config, corpus = setting.config, setting.corpus
    seed_everything(stage_seed(config.seed, STAGE))
    with setting.strategy.scope():
        encoder, family = _encoder(config, corpus)
        student = build_student(
            encoder,
            family,
            kind=corpus.task.kind,
            num_labels=len(corpus.task.all_labels),
            teacher_hidden_size=teacher.encoder.config.hidden_size,
        )
    if config.compress_word_embedding:
        table = word_embedding_variable(encoder)
        full = word_embedding_variable(teacher.encoder).numpy()[: table.shape[0]]
        reduced = factorize(full, table.shape[1], config.embedding_factorization, config.seed)
        table.assign(reduced if config.legacy else reduced * (EMBEDDING_SPREAD / reduced.std()))
    return InitialStudent(student, compressed=config.compress_word_embedding, frozen=config.freeze_word_embedding)


def _encoder(config: DistilConfig, corpus: Corpus):
    # Maps come back after dropout: with it, a student would be pulled towards the teacher's maps plus noise.
    attention_dropout = 0.0 if config.distil_attention and not config.legacy else None
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
            attention_dropout=attention_dropout,
        )
        return encoder, family
    family = find_family("auto", read_config(config.pt_student_checkpoint)["model_type"])
    size = corpus.tokenizer.size if config.compress_word_embedding else None
    source = config.pt_student_checkpoint
    encoder = load_encoder(
        source, family, name="student_2", vocab_size=size, dropout=config.dropout, attention_dropout=attention_dropout
    )
    return encoder, family
