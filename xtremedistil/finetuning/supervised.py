"""Training on gold labels, scored after each epoch: the teacher, label stages, baselines, continued training."""

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
    """What training on labels needs besides the model.

    Fields:
        train: examples with labels. pad_id: padding token.
        workers: of the strategy. snapshots: of this fit.
        batch_size: examples per batch and replica. batches_per_step: batches of one update.
        class_weights: float32 [L], factor of each gold label in the loss; None: all weigh the same.
    """

    train: Features
    pad_id: int
    batch_size: int
    settings: TrainingSettings
    strategy: tf.distribute.Strategy
    workers: Workers
    progress: Progress
    snapshots: SnapshotManager
    batches_per_step: int = 1
    class_weights: np.ndarray | None = None


def fit_on_labels(
    model: tf.keras.Model,
    variables: Sequence[tf.Variable],
    logits: LogitShape,
    label_fit: LabelFit,
    score: Callable[[], float],
    states: Sequence[BatchReader] = (),
) -> History:
    """Trains `variables` of `model` (outputs "logits") and leaves the weights of the best epoch in place.

    Args:
        logits: what terms have to know of the model's logits.
        score: of the present weights, on dev; higher is better.
        states: what the model reads besides the encoded examples.
    """
    objective = terms_objective(LABELS_ALONE, (), logits, teachers=(), class_weights=label_fit.class_weights)
    trainer = Trainer(model, variables, objective, label_fit.strategy, label_fit.settings)
    rows = label_fit.batch_size * label_fit.strategy.num_replicas_in_sync
    batches = TrainingBatches(
        label_fit.train, rows, label_fit.pad_id, label_fit.settings.seed, states, label_fit.batches_per_step
    )
    return fit(
        trainer,
        batches,
        lambda: label_fit.workers.broadcast_from_chief(score()),
        label_fit.progress.step,
        label_fit.snapshots,
    )
