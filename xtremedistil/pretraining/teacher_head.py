"""A language-modelling head trained on a frozen encoder: for teachers that come without theirs."""

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
    """Variables of the head by layer, as the weight file has them."""
    return {"language_head": list(model.head.weights)}


def check_head(plan: PretrainPlan) -> None:
    """Raises InputError where the checkpoint's own head cannot be read, or the plan asks for another one."""
    if not predicts_tokens(plan.terms):
        return
    name = plan.teacher
    own = head_state(name, find_family(AUTO, read_config(name)["model_type"]))
    if plan.head.given and own is not None:
        given = ", ".join(f"`{argument}` {value}" for argument, value in plan.head.given.items())
        raise InputError(f"{given}: {name} has a head of its own, which is taken. Leave that away.")


def head_model(model: LanguageModel) -> tf_keras.Model:
    """The head over the encoder as a constant: inputs in, {"logits"} out."""
    inputs, top = language_inputs(), top_state(model.encoder)
    states = AsConstant(model.feature_model([top], logits=False), name="frozen_encoder")(inputs)[top]
    return tf_keras.Model(inputs, {"logits": model.head(AtPositions(name="at_predicted")(states, inputs[PREDICTED]))})


def train_head(
    model: LanguageModel,
    batches: CorpusBatches,
    settings: TrainingSettings,
    strategy: tf.distribute.Strategy,
    report=lambda state: None,
    snapshots: SnapshotManager | None = None,
) -> History:
    """Trains the head to predict the corpus's tokens; the encoder, its word embeddings too, stays as it is."""
    with strategy.scope():
        with_head = head_model(model)
    trainer = Trainer(with_head, model.head.weights, language_objective(LABELS_ALONE), strategy, settings)
    return fit(trainer, batches, None, report, snapshots)
