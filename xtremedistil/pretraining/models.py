"""The two models of a pre-training run before it begins."""

import copy

import numpy as np
import transformers

from xtremedistil.models.architectures.families import AUTO, Family, find_family
from xtremedistil.models.architectures.shapes import resized
from xtremedistil.models.checkpoints.pretrained import (
    changed_config,
    load_encoder,
    new_encoder_from_config,
    read_config,
)
from xtremedistil.models.language_model.language_head import LanguageHead, head_state
from xtremedistil.models.language_model.language_model import LanguageModel
from xtremedistil.models.layer_initialization import pick_layers
from xtremedistil.models.vocabulary_trimming import with_vocabulary
from xtremedistil.pretraining.plan import StudentPlan

STUDENT_NAME = "tf_model"


def whole_config(checkpoint: str) -> tuple[Family, dict]:
    """Family and configuration of a checkpoint, with what its `config.json` leaves to defaults."""
    saved = read_config(checkpoint)
    family = find_family(AUTO, saved["model_type"])
    return family, getattr(transformers, family.config_class_name).from_dict(copy.deepcopy(saved)).to_dict()


def open_teacher(checkpoint: str, kept: np.ndarray | None, *, with_head: bool) -> tuple[LanguageModel, bool]:
    """The model of a checkpoint, and whether it has a head of its own; one that is wanted and missing is made new.

    Args:
        kept: the tokens that stay in its vocabulary, int64 [K]; None: all.
    """
    return _opened(checkpoint, kept, name="teacher_model", with_head=with_head)


def _opened(
    checkpoint: str,
    kept: np.ndarray | None,
    *,
    name: str,
    with_head: bool,
    dropout: float | None = None,
    attention_dropout: float | None = None,
) -> tuple[LanguageModel, bool]:
    family, config = whole_config(checkpoint)
    config = changed_config(config, family, dropout=dropout, attention_dropout=attention_dropout)
    encoder = load_encoder(checkpoint, family, name=name, config=config)
    if kept is not None:
        encoder = with_vocabulary(encoder, family, kept, name)
    if not with_head:
        return LanguageModel(encoder, family), False
    head, state = LanguageHead(encoder, family), head_state(checkpoint, family)
    if state:
        head.load(state if kept is None else _trimmed(state, head, kept), checkpoint)
    return LanguageModel(encoder, family, head), state is not None


def _trimmed(state: dict, head: LanguageHead, kept: np.ndarray) -> dict:
    return {name: array[kept] if name == head.bias_name else array for name, array in state.items()}


def initial_student(plan: StudentPlan, teacher: LanguageModel, kept: np.ndarray | None, *, with_head: bool):
    """The student: a checkpoint, layers of the teacher, or random weights (a function of the seed set before).

    Returns:
        LanguageModel, of the teacher's family unless it is a checkpoint; its head comes from where its layers do.
    """
    dropouts = {"dropout": plan.dropout, "attention_dropout": plan.attention_dropout}
    if plan.checkpoint:
        return _opened(plan.checkpoint, kept, name=STUDENT_NAME, with_head=with_head, **dropouts)[0]
    sizes = resized(teacher.encoder.config.to_dict(), plan.shape)
    family = teacher.family
    encoder = new_encoder_from_config(changed_config(sizes, family, **dropouts), family, name=STUDENT_NAME)
    if plan.layers:
        pick_layers(teacher.encoder, encoder, list(plan.layers))
    if not with_head:
        return LanguageModel(encoder, family)
    head = LanguageHead(encoder, family)
    if plan.layers and teacher.head is not None:
        for own, theirs in zip(head.weights, teacher.head.weights, strict=True):
            own.assign(theirs)
    return LanguageModel(encoder, family, head)
