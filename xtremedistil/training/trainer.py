"""Takes one training step under a strategy: losses of an `Objective`, gradients, optimizer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import tensorflow as tf
import tf_keras

from xtremedistil.data.padding import Arrays
from xtremedistil.training.dropout import seed_dropout
from xtremedistil.training.gradient_accumulation import GradientSums
from xtremedistil.training.learning_rate import LearningRate, require_not_negative
from xtremedistil.training.objectives import Objective
from xtremedistil.training.optimizer import computes_in_float16, make_optimizer
from xtremedistil.training.snapshots import Snapshot
from xtremedistil.training.state import TrainingState, restore_state, save_state
from xtremedistil.training.strategy import wants_static_shapes


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a fit.

    Fields:
        patience: epochs without a better score. max_grad_norm: 0 switches clipping off.
        jit_compile: compile losses and gradients with XLA; batches are filled up, so that few shapes occur.

    Raises:
        ValueError: max_grad_norm or weight_decay is not a finite number of at least 0.
    """

    learning_rate: LearningRate
    patience: int
    max_grad_norm: float
    seed: int
    weight_decay: float = 0.0
    jit_compile: bool = False

    def __post_init__(self):
        require_not_negative(max_grad_norm=self.max_grad_norm, weight_decay=self.weight_decay)

    @classmethod
    def of(cls, flags, peak: float, epochs: int, seed: int) -> "TrainingSettings":
        """Takes settings from the flags of a training command, and this fit's peak rate, epochs and seed."""
        rate = LearningRate(peak, epochs, flags.decay_epochs, flags.warmup_ratio, flags.lr_schedule)
        return cls(rate, flags.patience, flags.max_grad_norm, seed, flags.weight_decay, flags.jit_compile)


class Trainer:
    """The optimizer and the compiled step for some variables of a model; lives as long as a stage.

    Args:
        model: called with the entries of a batch that have the names of its inputs.
        variables: the only ones that are trained.
        objective: takes model outputs and a batch, returns named losses.
        strategy: that the model was built under.
        rate_factors: factor of each variable's learning rate; empty: 1 for all.
        optimizer: one that other trainers share; by default the trainer makes its own.
        dropout_seed: likewise, int32 [2]; dropout of shared layers draws its masks from it.
    """

    def __init__(
        self,
        model: tf.keras.Model,
        variables: Sequence[tf.Variable],
        objective: Objective,
        strategy: tf.distribute.Strategy,
        settings: TrainingSettings,
        rate_factors: Sequence[float] = (),
        optimizer=None,
        dropout_seed: tf.Variable | None = None,
    ):
        self.variables = list(variables)
        self.strategy = strategy
        self.settings = settings
        self.seed = settings.seed
        self.full_batches = settings.jit_compile or wants_static_shapes(strategy)
        self._model = model
        self._objective = objective
        with strategy.scope():
            self._dropout_seed = new_dropout_seed(settings.seed) if dropout_seed is None else dropout_seed
            self._progress = tf.Variable(0.0, trainable=False)
            peak = settings.learning_rate.peak
            self.optimizer = optimizer or make_optimizer(
                peak, settings.weight_decay, self.variables, rate_factors, scale_losses=computes_in_float16(model)
            )
        self._sums: GradientSums | None = None
        seed_dropout(model, self._dropout_seed)
        self._spec = self._add = None
        self._gradients = tf.function(self._share, jit_compile=True) if settings.jit_compile else self._share
        self._step = tf.function(self._distributed_step)
        self._update = tf.function(self._distributed_update)

    def expect(self, spec) -> None:
        """Sets the signature of batches, with open axes, before the first step.

        A graph traced for the shape of the first batch would round differently from one traced for another shape, and a
        resumed fit starts with another batch.
        """
        if spec == self._spec or wants_static_shapes(self.strategy):
            return
        self._spec = spec
        self._step = tf.function(self._distributed_step, input_signature=[spec])
        self._add = None

    def reach(self, progress: float) -> None:
        """Sets the progress, the fraction of steps that are done."""
        self._progress.assign(progress)

    def step(self, batch, step: int, rate: float) -> dict[str, tf.Tensor]:
        """Takes one step; returns the losses over the global batch."""
        self._dropout_seed.assign([self.seed, step])
        self.optimizer.learning_rate.assign(rate)
        return self._step(batch)

    def step_over(self, group: Iterable, counts: dict[str, tf.Tensor], first: int, rate: float) -> dict[str, tf.Tensor]:
        """Takes one step over several batches, equal to a step over all their rows; returns the losses over these.

        Args:
            group: the batches, read one after the other.
            counts: number of items that each loss averages over in all batches; see `counts_of`.
            first: number of the first batch; dropout of each batch depends on its number.
        """
        # Variables cannot be made while a graph is traced, and steps of one batch do not need these.
        self._sums = self._sums or GradientSums(self.variables, self.strategy)
        self.optimizer.learning_rate.assign(rate)
        losses: dict[str, tf.Tensor] = {}
        if self._add is None:
            scalars = {name: tf.TensorSpec([], tf.float32) for name in counts}
            signature = [self._spec, scalars] if self._spec else None
            self._add = tf.function(self._distributed_add, input_signature=signature)
        for number, batch in enumerate(group, start=first):
            self._dropout_seed.assign([self.seed, number])
            _add_to(losses, self._add(batch, counts))
        self._update()
        return losses

    def counts_of(self, group: Iterable[Arrays]) -> dict[str, tf.Tensor]:
        """Returns the number of items that each loss averages over in all these global batches together."""
        totals: dict[str, tf.Tensor] = {}
        with tf.device("/cpu:0"):
            for batch in group:
                _add_to(totals, self._objective.counts(batch))
        return totals

    def save_state(self, place: TrainingState) -> Snapshot:
        """Makes a snapshot of the fit."""
        return save_state(place, self.variables, self.optimizer)

    def restore_state(self, snapshot: Snapshot) -> TrainingState:
        """Restores variables and optimizer from a snapshot; returns the state."""
        return restore_state(snapshot, self.variables, self.optimizer)

    def _distributed_step(self, batch):
        return self._over_replicas(self.strategy.run(self._replica_step, args=(batch,)))

    def _distributed_add(self, batch, counts):
        return self._over_replicas(self.strategy.run(self._replica_add, args=(batch, counts)))

    def _distributed_update(self) -> None:
        self.strategy.run(self._replica_update)

    def _over_replicas(self, losses):
        return {name: self.strategy.reduce("SUM", value, axis=None) for name, value in losses.items()}

    def _replica_step(self, batch):
        context = tf.distribute.get_replica_context()
        counts = context.all_reduce(tf.distribute.ReduceOp.SUM, self._objective.counts(batch))
        gradients, losses = self._gradients(batch, counts)
        self._apply(gradients)
        return losses

    def _replica_add(self, batch, counts):
        gradients, losses = self._gradients(batch, counts)
        self._sums.add(gradients)
        return losses

    def _replica_update(self) -> None:
        self._apply(self._sums.take())

    def _share(self, batch, counts: dict[str, tf.Tensor]) -> tuple[list, dict]:
        """Returns this replica's share of gradients (None if the objective does not depend on a variable) and losses.

        Args:
            counts: number of items that each loss averages over in the whole step.
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.variables)
            outputs = self._model({name: batch[name] for name in self._model.input}, training=True)
            terms = self._objective(outputs, batch, self._progress)
            shares = {
                name: tf.math.divide_no_nan(term.value * term.count, counts[name]) for name, term in terms.items()
            }
            total = tf.add_n([terms[name].weight * share for name, share in shares.items()])
            scaled = self._scaled(total)
        # Dense, also for embeddings: the norm of a sparse gradient counts a token that occurs twice as two rows.
        gradients = tape.gradient(scaled, self.variables)
        dense = [None if gradient is None else tf.convert_to_tensor(gradient) for gradient in gradients]
        return dense, shares | {"loss": total}

    def _scaled(self, loss):
        return self.optimizer.get_scaled_loss(loss) if self._scales_loss else loss

    @property
    def _scales_loss(self) -> bool:
        return isinstance(self.optimizer, tf_keras.mixed_precision.LossScaleOptimizer)

    def _apply(self, gradients) -> None:
        context = tf.distribute.get_replica_context()
        pairs = [(g, v) for g, v in zip(gradients, self.variables, strict=True) if g is not None]
        summed = context.all_reduce(tf.distribute.ReduceOp.SUM, [g for g, _ in pairs])
        if self._scales_loss:
            summed = self.optimizer.get_unscaled_gradients(summed)
        if self.settings.max_grad_norm:
            summed, _ = tf.clip_by_global_norm(summed, self.settings.max_grad_norm)
        self.optimizer.apply_gradients(zip(summed, [v for _, v in pairs], strict=True), skip_gradients_aggregation=True)


def new_dropout_seed(seed: int) -> tf.Variable:
    """Returns the variable (seed of the fit, step) that dropout depends on; call it in the scope of a strategy."""
    return tf.Variable([seed, 0], dtype=tf.int32, trainable=False)


def _add_to(totals: dict[str, tf.Tensor], more: dict[str, tf.Tensor]) -> None:
    for name, value in more.items():
        totals[name] = totals[name] + value if name in totals else value
