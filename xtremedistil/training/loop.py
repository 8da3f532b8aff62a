"""`fit`: the only training loop. One step under a strategy, one evaluation per epoch, the best weights kept.

Not here: what is learnt (an `objective` gives named losses), on which data (`TrainingBatches`), which metric decides
(`evaluate`), and where the result is written.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
import tf_keras

from xtremedistil.errors import InputError
from xtremedistil.tasks.padding import INPUT_NAMES, Arrays
from xtremedistil.training.batches import TrainingBatches
from xtremedistil.training.dropout import seed_dropout
from xtremedistil.training.learning_rate import LearningRate


@dataclass(frozen=True)
class Loss:
    """One term of an objective.

    Fields:
        value: float32 scalar, mean over what its mask leaves on this replica.
        count: float32 scalar, how many items that mean is over: replicas are weighted by it.
        weight: factor in the sum.
    """

    value: tf.Tensor
    count: tf.Tensor
    weight: float = 1.0


Objective = Callable[[dict, dict], dict[str, Loss]]


@dataclass
class History:
    """What a fit went through. `epochs` holds a dict per epoch: losses, "score", "seconds", "learning_rate"."""

    epochs: list[dict] = field(default_factory=list)
    best_score: float = -math.inf
    best_epoch: int = 0

    @property
    def seconds(self) -> float:
        return sum(epoch["seconds"] for epoch in self.epochs)


@dataclass(frozen=True)
class Recipe:
    """How a fit goes: rate, patience (epochs without a better score), clipping (0: none), seed."""

    learning_rate: LearningRate
    patience: int
    max_grad_norm: float
    seed: int

    @classmethod
    def of(cls, flags, peak: float, epochs: int, seed: int) -> "Recipe":
        """As the flags of a training command say, with a peak rate, epochs and a seed of the fit's own."""
        rate = LearningRate(peak, epochs, flags.decay_epochs, flags.warmup_ratio, flags.lr_schedule)
        return cls(rate, flags.patience, flags.max_grad_norm, seed)


class Trainer:
    """The optimizer and the compiled step for some variables of a model; lives as long as a stage.

    Args:
        model: inputs and targets in a batch dict; called with the three named inputs.
        variables: the only ones that change.
        objective: model outputs and batch in, named losses out.
        strategy: where steps run; the model was built under its scope.
    """

    def __init__(
        self,
        model: tf.keras.Model,
        variables: Sequence[tf.Variable],
        objective: Objective,
        strategy: tf.distribute.Strategy,
        recipe: Recipe,
    ):
        self.variables = list(variables)
        self.strategy = strategy
        self.recipe = recipe
        self.seed = recipe.seed
        self._model = model
        self._objective = objective
        with strategy.scope():
            self._dropout_seed = tf.Variable([recipe.seed, 0], dtype=tf.int32, trainable=False)
            # The step's graph is compiled as a whole or not at all; Adam compiling itself apart only costs time.
            adam = tf_keras.optimizers.Adam(recipe.learning_rate.peak, epsilon=1e-8, jit_compile=False)
            half = tf_keras.mixed_precision.global_policy().compute_dtype == "float16"
            self.optimizer = tf_keras.mixed_precision.LossScaleOptimizer(adam) if half else adam
            self.optimizer.build(self.variables)
        seed_dropout(model, self._dropout_seed)
        self._step = tf.function(self._distributed_step, reduce_retracing=True)

    def step(self, batch, step: int, rate: float) -> dict[str, tf.Tensor]:
        """One update; returns the losses over the global batch."""
        self._dropout_seed.assign([self.seed, step])
        self.optimizer.learning_rate.assign(rate)
        return self._step(batch)

    def _distributed_step(self, batch):
        losses = self.strategy.run(self._replica_step, args=(batch,))
        return {name: self.strategy.reduce("SUM", value, axis=None) for name, value in losses.items()}

    def _replica_step(self, batch):
        context = tf.distribute.get_replica_context()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.variables)
            outputs = self._model({name: batch[name] for name in INPUT_NAMES}, training=True)
            terms = self._objective(outputs, batch)
            shares = {}
            for name, term in terms.items():
                everywhere = context.all_reduce(tf.distribute.ReduceOp.SUM, term.count)
                shares[name] = tf.math.divide_no_nan(term.value * term.count, everywhere)
            total = tf.add_n([terms[name].weight * share for name, share in shares.items()])
            scaled = self._scaled(total)
        self._apply(tape.gradient(scaled, self.variables), context)
        return shares | {"loss": total}

    def _scaled(self, loss):
        return self.optimizer.get_scaled_loss(loss) if self._scales_loss else loss

    @property
    def _scales_loss(self) -> bool:
        return isinstance(self.optimizer, tf_keras.mixed_precision.LossScaleOptimizer)

    def _apply(self, gradients, context) -> None:
        pairs = [(g, v) for g, v in zip(gradients, self.variables, strict=True) if g is not None]
        # Dense, also for embeddings: the norm of a sparse gradient counts a word that occurs twice as two rows.
        dense = [tf.convert_to_tensor(g) for g, _ in pairs]
        summed = context.all_reduce(tf.distribute.ReduceOp.SUM, dense)
        if self._scales_loss:
            summed = self.optimizer.get_unscaled_gradients(summed)
        if self.recipe.max_grad_norm:
            summed, _ = tf.clip_by_global_norm(summed, self.recipe.max_grad_norm)
        self.optimizer.apply_gradients(zip(summed, [v for _, v in pairs], strict=True), skip_gradients_aggregation=True)


def distributed(batches: TrainingBatches, epoch: int, strategy: tf.distribute.Strategy):
    """Iterator over the distributed batches of an epoch."""
    replicas = strategy.num_replicas_in_sync
    signature = _signature(batches)

    def of_worker(context: tf.distribute.InputContext):
        per_worker = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * per_worker

        def shares():
            for step in batches.epoch(epoch, replicas):
                yield from step[first : first + per_worker]

        return tf.data.Dataset.from_generator(shares, output_signature=signature).prefetch(2 * per_worker)

    return iter(strategy.distribute_datasets_from_function(of_worker))


def _signature(batches: TrainingBatches) -> dict[str, tf.TensorSpec]:
    sample: Arrays = batches.arrays(np.zeros(1, np.int64))
    return {name: tf.TensorSpec(_open_shape(array), array.dtype) for name, array in sample.items()}


def _open_shape(array: np.ndarray) -> list[int | None]:
    """Batch and positions are open; heads of maps [B, A, S, S] and the last axis of other float arrays are not."""
    if array.ndim == 4:
        return [None, array.shape[1], None, None]
    if array.ndim > 1 and array.dtype.kind == "f":
        return [None] * (array.ndim - 1) + [array.shape[-1]]
    return [None] * array.ndim


def fit(
    trainer: Trainer,
    batches: TrainingBatches,
    evaluate: Callable[[], float],
    report: Callable[[dict], None] = lambda state: None,
) -> History:
    """Trains until the epochs or patience run out, and leaves the best weights in place.

    Args:
        evaluate: score of the weights as they stand, higher is better; called once an epoch.
        report: called after each step with a dict: "step", "steps" (at most), "epoch", "loss".

    Raises:
        InputError: the loss is no longer a number.
    """
    rate, patience = trainer.recipe.learning_rate, trainer.recipe.patience
    history, best, waited = History(), None, 0
    decay_start = rate.latest_decay_start
    epoch = 0
    while epoch < decay_start + rate.decay_length:
        entry = _run_epoch(trainer, batches, epoch, decay_start, report)
        entry["score"] = float(evaluate())
        _refuse_nan({"the score": entry["score"]}, epoch)
        history.epochs.append(entry)
        if entry["score"] > history.best_score:
            history.best_score, history.best_epoch, waited = entry["score"], epoch, 0
            best = [variable.numpy() for variable in trainer.variables]
        else:
            waited += 1
        epoch += 1
        if waited >= patience:
            if rate.shape == "constant" or epoch > decay_start:
                break
            _assign(trainer.variables, best)
            decay_start, waited = epoch, 0
    _assign(trainer.variables, best)
    return history


def _assign(variables: Sequence[tf.Variable], values: Sequence[np.ndarray] | None) -> None:
    for variable, value in zip(variables, values or [], strict=values is not None):
        variable.assign(value)


def _run_epoch(trainer: Trainer, batches: TrainingBatches, epoch: int, decay_start: int, report) -> dict:
    started, sums, rate = time.monotonic(), {}, trainer.recipe.learning_rate
    steps_at_most = (decay_start + rate.decay_length) * batches.steps
    iterator = distributed(batches, epoch, trainer.strategy)
    for number in range(batches.steps):
        step = epoch * batches.steps + number
        now = rate.at(step, batches.steps, decay_start)
        losses = trainer.step(next(iterator), step, now)
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value)
        report({"step": step + 1, "steps": steps_at_most, "epoch": epoch + 1, "loss": sums["loss"] / (number + 1)})
    means = {name: total / batches.steps for name, total in sums.items()}
    _refuse_nan(means, epoch)
    return means | {"seconds": time.monotonic() - started, "learning_rate": now}


def _refuse_nan(losses: dict[str, float], epoch: int) -> None:
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise InputError(
            f"Training went astray in epoch {epoch + 1}: {', '.join(bad)} is not a finite number.\n"
            "Use a lower --learning_rate, or leave --opt_policy away."
        )
