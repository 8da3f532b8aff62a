"""A head trained on a frozen encoder: for teachers that come without theirs, and to see what encoders know of words."""

import tensorflow as tf
import tf_keras

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import AUTO, find_family
from xtremedistil.models.checkpoints.pretrained import read_config
from xtremedistil.models.features.extraction import top_state
from xtremedistil.models.language_model.language_head import head_state
from xtremedistil.models.language_model.language_model import (
    PREDICTED,
    AsConstant,
    AtPositions,
    LanguageModel,
    language_inputs,
)
from xtremedistil.objectives.from_terms import LABELS_ALONE
from xtremedistil.pretraining.corpus.batches import CorpusBatches
from xtremedistil.pretraining.language_objective import language_objective
from xtremedistil.pretraining.plan import PretrainPlan
from xtremedistil.pretraining.recipes import predicts_tokens
from xtremedistil.training.loop import fit
from xtremedistil.training.snapshots import SnapshotManager
from xtremedistil.training.state import History
from xtremedistil.training.trainer import Trainer, TrainingSettings


def head_parts(model: LanguageModel) -> dict:
    """For the weight file."""
    return {"language_head": list(model.head.weights)}


def check_head(plan: PretrainPlan) -> None:
    """Raises InputError where the checkpoint's own head cannot be read, or flags are given of another one."""
    if not predicts_tokens(plan.terms):
        return
    name = plan.teacher
    own = head_state(name, find_family(AUTO, read_config(name)["model_type"]))
    if plan.head.given and own is not None:
        flags = ", ".join(f"`{flag}` {value}" for flag, value in plan.head.given.items())
        raise InputError(f"{flags}: {name} has a head of its own, which is taken. Leave that away.")


def head_model(model: LanguageModel) -> tf_keras.Model:
    """The head over the encoder as a constant: inputs in, {"logits"} out."""
    inputs, top = language_inputs(), top_state(model.encoder)
    states = AsConstant(model.feature_model([top], logits=False), name="frozen_encoder")(inputs)[top]
    return tf_keras.Model(inputs, {"logits": model.head(AtPositions(name="asked")(states, inputs[PREDICTED]))})


def train_head(
    model: LanguageModel,
    batches: CorpusBatches,
    recipe: TrainingSettings,
    strategy: tf.distribute.Strategy,
    report=lambda state: None,
    keeper: SnapshotManager | None = None,
) -> History:
    """Trains the head on the words that are hidden in the corpus; the encoder, its word table too, stays as it is."""
    with strategy.scope():
        whole = head_model(model)
    trainer = Trainer(whole, model.head.weights, language_objective(LABELS_ALONE), strategy, recipe)
    return fit(trainer, batches, None, report, keeper)
