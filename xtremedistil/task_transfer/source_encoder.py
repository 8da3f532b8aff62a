"""The two checkpoints that a task transfer compares: the source student's encoder, and one without that training."""

import os

from xtremedistil.models.architectures.families import student_family
from xtremedistil.models.checkpoints.pretrained import load_encoder, new_encoder_from_config
from xtremedistil.models.student import ENCODER_NAME
from xtremedistil.models.student_folder import restore_student
from xtremedistil.pretraining.checkpoint_folder import write_checkpoint
from xtremedistil.storage import model_folder
from xtremedistil.task_transfer.plan import TaskTransferPlan
from xtremedistil.task_transfer.steps import CHECKPOINT, UNTRAINED
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.training.strategy import seed_everything, stage_seed

SEED_PLACE = 98  # after every stage of the distillation

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


def write_source_encoder(plan: TaskTransferPlan) -> None:
    """Writes the encoder of the source task's student."""
    student = restore_student(plan.source.model_dir)
    _write(plan, CHECKPOINT, student.encoder, student.family, "The encoder of a student that was distilled on `{}`.")


def write_untrained_encoder(plan: TaskTransferPlan) -> None:
    """Writes what that student started from: its checkpoint, or random weights by the seed."""
    sizes = model_folder.read_config(plan.source.model_dir)["student_config"]
    family = student_family(sizes["model_type"])
    if source := plan.student_checkpoint:
        encoder = load_encoder(source, family, name=ENCODER_NAME, config=sizes)
        _write(plan, UNTRAINED, encoder, family, "The checkpoint that the student of `{}` began with.")
        return
    seed_everything(stage_seed(plan.seed, SEED_PLACE))
    encoder = new_encoder_from_config(sizes, family, name=ENCODER_NAME)
    _write(plan, UNTRAINED, encoder, family, "Random weights, to compare the student of `{}` with.")


def _write(plan: TaskTransferPlan, name: str, encoder, family, origin: str) -> None:
    source = plan.source
    tokenizer = Tokenizer.load(source.model_dir)
    task, teacher = (os.path.basename(os.path.normpath(p)) for p in (source.task.folder, source.teacher.checkpoint))
    card = CARD.format(origin=origin.format(task), teacher=teacher, seq_len=source.task.seq_len)
    write_checkpoint(plan.path(name), encoder, family, tokenizer, seq_len=source.task.seq_len, card=card)
