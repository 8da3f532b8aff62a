"""Builds a run's student from a checkpoint or random weights, with the teacher's reduced word embeddings if wanted."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from xtremedistil.data.features import LabelledSet
from xtremedistil.distillation.pipeline.run_context import RunContext
from xtremedistil.distillation.planning.plan import EmbeddingPlan, StudentPlan, TeacherPlan
from xtremedistil.distillation.planning.stages import ENCODER
from xtremedistil.errors import InputError
from xtremedistil.evaluation.scorer import Scorer
from xtremedistil.models.architectures.families import AUTO, BILSTM, FAMILIES, find_family
from xtremedistil.models.checkpoints.h5_weights import WORD_MAP
from xtremedistil.models.checkpoints.pretrained import (
    changed_config,
    load_encoder,
    new_encoder,
    new_encoder_from_config,
    read_config,
)
from xtremedistil.models.factorized_embedding import MappedEmbedding
from xtremedistil.models.features.sub_layers import find_sub_layer
from xtremedistil.models.features.word_embeddings import factorize, word_embedding_variable
from xtremedistil.models.student import ENCODER_NAME, Student, build_student
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.training.strategy import seed_everything, stage_seed

STAGE = 1  # the student is initialized with the seed of stage 1


class InitialStudent:
    """A student during the stages.

    Fields:
        student: the model.
        trainable_blocks: variables by block; for word embeddings, these are the embeddings themselves, the matrix that
            maps the teacher's embeddings to them, or (frozen) none.
        saved_parts: variables by layer of `xtremedistil.h5`; frozen word embeddings are in `word_embedding.npy`.
        checkpoint_parts: variables by layer of the stages' checkpoints, which also hold the matrix.
    """

    def __init__(self, student: Student, first_table: np.ndarray | None, *, frozen: bool):
        self.student = student
        self._first_table = first_table
        table, word_map = word_embedding_variable(student.encoder), student.word_map
        self.trainable_blocks = _without(table if frozen or word_map else None, student.blocks)
        self.saved_parts = _without(table if frozen else None, student.parts)
        self.checkpoint_parts = dict(self.saved_parts)
        if word_map:
            self.trainable_blocks["student"].append(word_map.kernel)
            self.checkpoint_parts[word_map.name] = [word_map.kernel]

    def unfrozen(self, names: Sequence[str]) -> dict[str, list[tf.Variable]]:
        """Returns the variables that a stage trains, by block or sub-layer of the encoder.

        The matrix of reduced word embeddings is trained only together with the whole encoder.

        Raises:
            InputError: a sub-layer has no trainable variables.
        """
        found = {name: self.trainable_blocks.get(name) or self._inside(name) for name in names}
        if nothing := [name for name, variables in found.items() if not variables]:
            raise InputError(f"stages: there is nothing to train in {', '.join(nothing)}; leave it away.")
        return found

    def _inside(self, path: str) -> list[tf.Variable]:
        inside = {id(variable) for variable in find_sub_layer(self.student.encoder, path).weights}
        return [variable for variable in self.trainable_blocks[ENCODER] if id(variable) in inside]

    def score(self, scorer: Scorer, labelled: LabelledSet) -> float:
        """Returns the task's metric, 0 to 1, with the current weights."""
        self.student.sync_word_embeddings()
        return scorer.primary(self.student.predict_function, labelled)

    def word_embedding_to_save(self) -> np.ndarray:
        """Returns float32 [V, H]: the teacher's reduced word embeddings before training, or else the student's."""
        return word_embedding_variable(self.student.encoder).numpy() if self._first_table is None else self._first_table


def _without(left_out: tf.Variable | None, groups: dict[str, list]) -> dict[str, list[tf.Variable]]:
    return {name: [variable for variable in group if variable is not left_out] for name, group in groups.items()}


def initial_student(run: RunContext, teacher) -> InitialStudent:
    """Builds the student of a run; the same plan gives the same weights.

    Args:
        teacher: the teacher's encoder; None for an external teacher: then there is no projection, and word embeddings
            come from the checkpoint of the tokenizer.
    """
    plan, task = run.plan.student, run.corpus.task
    seed_everything(stage_seed(run.plan.training.seed, STAGE))
    with run.strategy.scope():
        encoder, family = _encoder(run)
        word_map = _reduced_embeddings(run, plan.embeddings, encoder, teacher) if plan.embeddings else None
        first_table = word_map and word_map.product().numpy()
        if word_map:
            word_embedding_variable(encoder).assign(first_table)
        student = build_student(
            encoder,
            family,
            by_position=task.by_position,
            problem_type=task.problem_type,
            num_labels=len(task.all_labels),
            teacher_hidden_size=(teacher or encoder).config.hidden_size,
            word_map=word_map if word_map and plan.embeddings.factorized else None,
        )
    return InitialStudent(student, first_table, frozen=bool(plan.embeddings and plan.embeddings.frozen))


def _reduced_embeddings(run: RunContext, plan: EmbeddingPlan, encoder, teacher) -> MappedEmbedding:
    """Returns the teacher's word embeddings and the matrix that reduces them to the student's width."""
    rows, width = word_embedding_variable(encoder).shape
    table = word_embedding_variable(teacher or _tokenizers_encoder(run.plan.teacher)).numpy()[:rows]
    full, kernel = factorize(table, width, plan.method, plan.seed)
    scale = plan.spread / (full @ kernel).std() if plan.spread else 1.0
    return MappedEmbedding(full, kernel * np.float32(scale), name=WORD_MAP)


def _tokenizers_encoder(teacher: TeacherPlan):
    family = find_family(teacher.class_name, read_config(teacher.checkpoint)["model_type"])
    return load_encoder(teacher.checkpoint, family, name="tf_model")


def _encoder(run: RunContext) -> tuple:
    """Returns the student's encoder and its family."""
    plan, tokenizer = run.plan.student, run.corpus.tokenizer
    if plan.is_bilstm:
        return _bilstm(plan, tokenizer), BILSTM
    if plan.checkpoint:
        return _from_checkpoint(plan, tokenizer)
    family, shape = FAMILIES["TFBertModel"], plan.shape
    encoder = new_encoder(
        family,
        name=ENCODER_NAME,
        vocab_size=tokenizer.size,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.positions,
        pad_token_id=tokenizer.pad_id,
        dropout=plan.dropout,
        attention_dropout=plan.attention_dropout,
    )
    return encoder, family


def _from_checkpoint(plan: StudentPlan, tokenizer: Tokenizer) -> tuple:
    own = read_config(plan.checkpoint)
    family = find_family(AUTO, own["model_type"])
    size = tokenizer.size if plan.embeddings else None
    dropout = {"dropout": plan.dropout, "attention_dropout": plan.attention_dropout}
    changed = changed_config(own, family, vocab_size=size, **dropout)
    return load_encoder(plan.checkpoint, family, name=ENCODER_NAME, config=changed), family


def _bilstm(plan: StudentPlan, tokenizer: Tokenizer):
    shape = plan.shape
    sizes = {
        "vocab_size": tokenizer.size,
        "pad_token_id": tokenizer.pad_id,
        "embedding_size": shape.embedding_size,
        "lstm_units": shape.lstm_units,
        "num_hidden_layers": shape.num_hidden_layers,
    }
    return new_encoder_from_config(changed_config(sizes, BILSTM, dropout=plan.dropout), BILSTM, name=ENCODER_NAME)
