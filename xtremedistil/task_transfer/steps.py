"""The steps of a task transfer: their folders below `model_dir`, and their settings."""

import os

from xtremedistil.distillation.planning.config import LABELS_RATE_SHARE, SCRATCH_LEARNING_RATE, DistilConfig
from xtremedistil.finetuning.config import BaselineConfig
from xtremedistil.task_transfer.config import TransferConfig

TEACHER = "teacher"  # fine-tuned on the source task
SOURCE = "source"  # the student that was distilled on it
CHECKPOINT = "checkpoint"  # that student's encoder
FEW_LABELS = "target-task"  # the target task with a sample of its labels
TARGET = "target"  # the encoder, fine-tuned on the target task
UNTRAINED = "untrained"  # an encoder of the same sizes that was not trained on the source task
BASELINE = "baseline"  # the same, fine-tuned on the target task
STEPS = (SOURCE, CHECKPOINT, TARGET, UNTRAINED, BASELINE)  # with models that the next ones read
TARGET_LEARNING_RATE = LABELS_RATE_SHARE * SCRATCH_LEARNING_RATE  # as in the stages on the source task's labels


def source_config(config: TransferConfig) -> DistilConfig:
    """The distillation on the source task."""
    return DistilConfig(
        task=config.source_task,
        do_NER=config.source_do_NER,
        do_pairwise=config.source_do_pairwise,
        task_kind=config.source_task_kind,
        label_separator=config.source_label_separator,
        transfer_file=config.transfer_file or os.path.join(config.source_task, "train.tsv"),
        model_dir=os.path.join(config.model_dir, SOURCE),
        teacher_model_dir=config.teacher_model_dir or os.path.join(config.model_dir, TEACHER),
        seq_len=config.seq_len,
        pt_teacher=config.pt_teacher,
        pt_teacher_checkpoint=config.pt_teacher_checkpoint,
        pt_student_checkpoint=config.pt_student_checkpoint,
        hidden_size=config.hidden_size,
        num_attention_heads=config.num_attention_heads,
        num_hidden_layers=config.num_hidden_layers,
        intermediate_size=config.intermediate_size,
        distil_attention=config.distil_attention,
        distil_multi_hidden_states=config.distil_multi_hidden_states,
        compress_word_embedding=config.compress_word_embedding,
        teacher_epochs=config.teacher_epochs,
        distil_epochs=config.distil_epochs,
        ft_epochs=config.ft_epochs,
        patience=config.patience,
        teacher_batch_size=config.teacher_batch_size,
        student_distil_batch_size=config.student_distil_batch_size,
        student_ft_batch_size=config.student_ft_batch_size,
        opt_policy=config.opt_policy,
        seed=config.seed,
        strategy=config.strategy,
        tpu=config.tpu,
        accept_weights=config.accept_weights,
        verbose=config.verbose,
    )


def target_config(config: TransferConfig, *, checkpoint: str, model_dir: str) -> BaselineConfig:
    """The fine-tuning of a checkpoint on the target task; both are names below `config.model_dir`."""
    rate = config.target_learning_rate
    return BaselineConfig(
        task=os.path.join(config.model_dir, FEW_LABELS) if config.target_labels else config.target_task,
        do_NER=config.target_do_NER,
        do_pairwise=config.target_do_pairwise,
        task_kind=config.target_task_kind,
        label_separator=config.target_label_separator,
        model_dir=os.path.join(config.model_dir, model_dir),
        pt_model="auto",
        pt_model_checkpoint=os.path.join(config.model_dir, checkpoint),
        seq_len=config.seq_len,
        learning_rate=TARGET_LEARNING_RATE if rate == "auto" else rate,
        ft_epochs=config.target_epochs,
        patience=config.patience,
        batch_size=config.target_batch_size,
        opt_policy=config.opt_policy,
        seed=config.seed,
        strategy=config.strategy,
        tpu=config.tpu,
        accept_weights=config.accept_weights,
        verbose=config.verbose,
    )
