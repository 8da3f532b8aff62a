"""Makes the plan of a run from its flags."""

import dataclasses
import os
from collections.abc import Sequence

from xtremedistil.distillation.planning.config import JOINT, DistilConfig
from xtremedistil.distillation.planning.plan import (
    DEV,
    TEST,
    DistillationPlan,
    EmbeddingPlan,
    OutputsPlan,
    StudentPlan,
    TaskPlan,
    TeacherPlan,
    TransferPlan,
)
from xtremedistil.distillation.planning.stages import (
    ENCODER,
    HEAD,
    LABELS,
    PROJECTION,
    Stage,
    check_stages,
    plan_stages,
)
from xtremedistil.distillation.planning.validation import Checked, check_distil
from xtremedistil.flags import saved_flags
from xtremedistil.storage.model_folder import TARGETS
from xtremedistil.tasks import KindSettings
from xtremedistil.terms.counted import ALL, FIRST, REAL, WORDS, Counted
from xtremedistil.terms.terms import Terms
from xtremedistil.training.fit_options import FitOptions

EMBEDDING_SPREAD = 0.025  # standard deviation of reduced word embeddings; new position embeddings have 0.02


def make_plan(config: DistilConfig, stages: Sequence[Stage] | None = None) -> DistillationPlan:
    """Makes the plan of a run; reads the configurations of checkpoints, but no data.

    Args:
        stages: replace the stages of `config.recipe`.

    Raises:
        InputError: lists all problems of the settings; or a problem of the stages.
    """
    return plan_of(check_distil(config), stages)


def plan_of(checked: Checked, stages: Sequence[Stage] | None = None) -> DistillationPlan:
    """The plan of settings that are checked. Raises InputError for stages that cannot be."""
    config = checked.config
    if stages is not None:
        check_stages(stages, logits_only=config.logits_only)
    blocks = student_blocks(checked)
    soft_labels, labels_too = checked.soft_labels, config.recipe == JOINT
    return DistillationPlan(
        model_dir=config.model_dir,
        overwrite=config.overwrite,
        task=_task(config),
        transfer=_transfer(config),
        teacher=_teacher(checked),
        student=_student(checked),
        terms=Terms(soft_labels, _matches(checked), config.hard_label_weight if labels_too else 0.0),
        counted=_counted(config),
        glorot_projections=config.legacy,
        blocks=tuple(blocks),
        stages=tuple(stages if stages is not None else plan_stages(config, blocks)),
        own_stages=stages is not None,
        baseline=_baseline(config, blocks) if config.baseline else None,
        outputs=_outputs(config),
        training=FitOptions.of(config),
        select_on=TEST if config.legacy else DEV,
        score_by_token=config.legacy,
        strategy=config.strategy,
        tpu=config.tpu,
        notices=_notices(checked),
        flags=saved_flags(config),
    )


def student_blocks(checked: Checked) -> list[str]:
    """Names the student's blocks that stages unfreeze; there is a projection if teacher and student differ in width."""
    projected = checked.teacher is not None and checked.student.hidden_size != checked.teacher.hidden_size
    return [ENCODER, HEAD, *([PROJECTION] if projected else [])]


def _task(config: DistilConfig) -> TaskPlan:
    return TaskPlan(
        folder=config.task,
        kind=KindSettings.of(config),
        seq_len=config.seq_len,
        class_weight=config.class_weight,
        original_rows=config.legacy,
    )


def _transfer(config: DistilConfig) -> TransferPlan:
    return TransferPlan(
        file=config.transfer_file,
        chunk_size=config.distil_chunk_size,
        augment=tuple(config.augment),
        augment_copies=config.augment_copies,
        augment_checkpoint=config.augment_checkpoint,
        augment_seed=config.seed,
    )


def _teacher(checked: Checked) -> TeacherPlan:
    config = checked.config
    return TeacherPlan(
        checkpoint=config.pt_teacher_checkpoint,
        class_name=config.pt_teacher,
        folder=config.teacher_model_dir,
        logits_file=config.teacher_logits,
        onnx_file=config.teacher_onnx,
        shape=checked.teacher,
        epochs=config.teacher_epochs,
        learning_rate=config.teacher_learning_rate,
        batch_size=config.teacher_batch_size,
        precision=config.teacher_opt_policy,
        epochs_given=checked.teacher_epochs_given,
    )


def _student(checked: Checked) -> StudentPlan:
    config = checked.config
    reads_maps = config.distil_attention or any(match.feature == "attentions" for match in checked.matches)
    embeddings = EmbeddingPlan(
        method=config.embedding_factorization,
        frozen=config.freeze_word_embedding,
        factorized=config.embedding_training == "map" and not config.freeze_word_embedding,
        spread=None if config.legacy else EMBEDDING_SPREAD,
        seed=config.seed,
    )
    return StudentPlan(
        shape=checked.student,
        checkpoint=None if config.student_kind == "bilstm" else config.pt_student_checkpoint,
        dropout=config.dropout,
        # The student returns its attention maps after dropout.
        attention_dropout=0.0 if reads_maps and not config.legacy else None,
        embeddings=embeddings if config.compress_word_embedding else None,
        precision=config.opt_policy,
    )


def _matches(checked: Checked) -> tuple:
    """The checked matches; with `legacy`, attention maps are compared by the plain mean."""
    if not checked.config.legacy:
        return checked.matches
    return tuple(
        dataclasses.replace(match, loss="attention_mse") if match.feature == "attentions" else match
        for match in checked.matches
    )


def _counted(config: DistilConfig) -> Counted:
    """With `legacy`, losses count padding too, and for classification only the hidden state of the first position."""
    if config.legacy:
        return Counted(ALL if config.do_NER else FIRST, ALL, ALL)
    return Counted(logits=WORDS if config.logits_only else REAL)


def _baseline(config: DistilConfig, blocks: Sequence[str]) -> Stage:
    """A stage on labels that trains all blocks at once, for as many epochs as the longest stage may have."""
    epochs = max(config.ft_epochs, config.distil_epochs)
    return Stage(0, LABELS, tuple(blocks), epochs, config.learning_rate, config.student_ft_batch_size)


def _outputs(config: DistilConfig) -> OutputsPlan:
    return OutputsPlan(
        policy=config.teacher_outputs,
        folder=config.teacher_outputs_dir or os.path.join(config.teacher_model_dir, TARGETS),
        precision=config.teacher_outputs_precision,
        frozen_features=config.frozen_features == "cache",
    )


def _notices(checked: Checked) -> tuple[str, ...]:
    lines = []
    if checked.config.legacy:
        lines.append("`legacy`: the TEST file chooses the best weights, so the test score will be too good.")
    return tuple(lines)
