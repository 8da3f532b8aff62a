"""The two checkpoints that a task transfer compares: what the source task taught, and nothing."""

import os

from xtremedistil.models.architectures.families import student_family
from xtremedistil.models.checkpoints.pretrained import load_encoder, new_encoder_from_config
from xtremedistil.models.student import ENCODER_NAME
from xtremedistil.models.student_folder import restore_student
from xtremedistil.pretraining.checkpoint_folder import write_checkpoint
from xtremedistil.storage import model_folder
from xtremedistil.task_transfer.config import TransferConfig
from xtremedistil.task_transfer.steps import CHECKPOINT, SOURCE, UNTRAINED
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.training.strategy import seed_everything, stage_seed

SEED_PLACE = 98  # in the plan of the distillation: behind every stage

CARD = """\
---
library_name: transformers
tags:
- xtremedistil
- distillation
---

# A small encoder

{origin} Made with xtremedistil; the tokenizer is that of `{teacher}`.

Rows of up to {seq_len} tokens were seen in training. There is no pooler: PyTorch's classes make one at random.
"""


def write_source_encoder(config: TransferConfig) -> None:
    """The encoder of the source task's student."""
    folder = os.path.join(config.model_dir, SOURCE)
    student = restore_student(folder)
    _write(config, CHECKPOINT, student.encoder, student.family, "The encoder of a student that was distilled on `{}`.")


def write_untrained_encoder(config: TransferConfig) -> None:
    """What it began with, before the source task: its checkpoint, or random weights by the seed."""
    sizes = model_folder.read_config(os.path.join(config.model_dir, SOURCE))["student_config"]
    family = student_family(sizes["model_type"])
    if source := config.pt_student_checkpoint:
        encoder = load_encoder(source, family, name=ENCODER_NAME, config=sizes)
        _write(config, UNTRAINED, encoder, family, "The checkpoint that the student of `{}` began with.")
        return
    seed_everything(stage_seed(config.seed, SEED_PLACE))
    encoder = new_encoder_from_config(sizes, family, name=ENCODER_NAME)
    _write(config, UNTRAINED, encoder, family, "Random weights, to compare the student of `{}` with.")


def _write(config: TransferConfig, name: str, encoder, family, origin: str) -> None:
    tokenizer = Tokenizer.load(os.path.join(config.model_dir, SOURCE))
    task, teacher = (os.path.basename(os.path.normpath(p)) for p in (config.source_task, config.pt_teacher_checkpoint))
    card = CARD.format(origin=origin.format(task), teacher=teacher, seq_len=config.seq_len)
    out = os.path.join(config.model_dir, name)
    write_checkpoint(out, encoder, family, tokenizer, seq_len=config.seq_len, card=card)
