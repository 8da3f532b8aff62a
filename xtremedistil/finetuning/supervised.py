"""A fit on gold labels, scored after each epoch: the teacher, label stages, the baseline, continued training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xtremedistil.console.progress import Progress
from xtremedistil.data.features import Features
from xtremedistil.objectives.from_terms import LABELS_ALONE, LogitShape, terms_objective
from xtremedistil.training.batching import BatchReader, TrainingBatches
from xtremedistil.training.loop import fit
from xtremedistil.training.snapshots import SnapshotManager
from xtremedistil.training.state import History
from xtremedistil.training.trainer import Trainer, TrainingSettings
from xtremedistil.training.workers import Workers


@dataclass(frozen=True)
class LabelFit:
    """What a fit on labels needs besides the model.

    Fields:
        train: rows with labels. pad_id: what fills them up.
        workers: of the strategy. keeper: of where the fit is.
        batch_size: rows per batch and replica. batches_per_step: batches of one update.
        class_weights: float32 [L], factor of each gold label in the loss; None: all weigh the same.
    """

    train: Features
    pad_id: int
    batch_size: int
    recipe: TrainingSettings
    strategy: tf.distribute.Strategy
    workers: Workers
    progress: Progress
    keeper: SnapshotManager
    batches_per_step: int = 1
    class_weights: np.ndarray | None = None


def fit_on_labels(
    model: tf.keras.Model,
    variables: Sequence[tf.Variable],
    logits: LogitShape,
    setting: LabelFit,
    score: Callable[[], float],
    states: Sequence[BatchReader] = (),
) -> History:
    """Trains `variables` of `model` (outputs "logits") and leaves the weights of the best epoch in place.

    Args:
        logits: what the model's logits are of.
        score: of the weights as they stand, on dev; higher is better.
        states: what the model reads besides the encoded rows.
    """
    objective = terms_objective(LABELS_ALONE, (), logits, teachers=(), class_weights=setting.class_weights)
    trainer = Trainer(model, variables, objective, setting.strategy, setting.recipe)
    rows = setting.batch_size * setting.strategy.num_replicas_in_sync
    batches = TrainingBatches(
        setting.train, rows, setting.pad_id, setting.recipe.seed, states, setting.batches_per_step
    )
    return fit(
        trainer, batches, lambda: setting.workers.broadcast_from_chief(score()), setting.progress.step, setting.keeper
    )
