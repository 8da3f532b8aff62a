"""`fit`: the only training loop. It evaluates once per epoch and keeps the best weights.

`Trainer` makes a step, `TrainingBatches` the data, `evaluate` is the metric; callers write the result.
"""

import contextlib
import itertools
import math
import time
import weakref
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from xtremedistil.data.padding import Arrays
from xtremedistil.errors import InputError
from xtremedistil.training.batching import TrainingBatches
from xtremedistil.training.snapshots import SnapshotManager
from xtremedistil.training.state import History, TrainingState
from xtremedistil.training.trainer import Trainer

TakeStep = Callable[[int, float], dict[str, tf.Tensor]]  # number and rate in, losses out
StepsOf = Callable[[TrainingBatches, TrainingState], TakeStep]


def distributed(
    batches: TrainingBatches, state: TrainingState, strategy: tf.distribute.Strategy, *, full: bool = False
):
    """Returns an endless iterator over the distributed batches from a step on; each worker reads the shares of its
    devices. A whole fit uses one iterator, because replacing it takes half a second.

    Args:
        full: fill up the last batch and round widths up, so that fewer shapes occur.
    """
    replicas, first_epoch, first_step = strategy.num_replicas_in_sync, state.epoch, state.step
    signature = batch_signature(batches.sample())
    # TensorFlow never frees a generator's function; the rows of a chunk must be freed after its fit.
    held = weakref.ref(batches)

    def of_worker(context: tf.distribute.InputContext):
        per_worker = replicas // context.num_input_pipelines
        mine = slice(context.input_pipeline_id * per_worker, (context.input_pipeline_id + 1) * per_worker)

        def shares():
            for epoch in itertools.count(first_epoch):
                rows = held()
                if rows is None:  # the fit is over
                    return
                start = first_step if epoch == first_epoch else 0
                for step in rows.epoch(epoch, replicas, start, mine, full=full):
                    yield from step

        return without_autotune(
            tf.data.Dataset.from_generator(shares, output_signature=signature).prefetch(2 * per_worker)
        )

    if replicas == 1:
        return iter(of_worker(tf.distribute.InputContext()))
    return iter(strategy.distribute_datasets_from_function(of_worker))


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switches off the autotuning thread, which has no buffers to tune here.

    Closing an iterator with such a thread waits until the thread wakes, for up to a minute. Iterators for several
    devices always have one.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def batch_signature(sample: Arrays) -> dict[str, tf.TensorSpec]:
    """Returns the signature of batches like this one, with open axes."""
    return {name: tf.TensorSpec(_open_shape(array), array.dtype) for name, array in sample.items()}


def _open_shape(array: np.ndarray) -> list[int | None]:
    """Leaves batch and positions open, but not the heads of attention maps and the last axis of other float arrays."""
    if array.ndim == 4:
        return [None, array.shape[1], None, None]
    if array.ndim > 1 and array.dtype.kind == "f":
        return [None] * (array.ndim - 1) + [array.shape[-1]]
    return [None] * array.ndim


def fit(
    trainer: Trainer,
    batches: TrainingBatches,
    evaluate: Callable[[], float] | None,
    report: Callable[[dict], None] = lambda progress: None,
    snapshots: SnapshotManager | None = None,
    steps_of: StepsOf | None = None,
) -> History:
    """Trains until epochs or patience run out, and restores the best weights.

    Args:
        evaluate: scores the current weights, higher is better; called once per epoch. None: the latest weights are the
            best, and the score is the number of the epoch.
        report: called after each step with a dict: "step", "steps" (at most), "epoch", "loss".
        snapshots: saves snapshots; if it has one, the fit resumes from it and ends with the same weights.
        steps_of: takes batches and a state; returns the function that takes the steps from there on. By default
            `step_function`.

    Raises:
        InputError: the loss is not finite.
        Terminated: SIGTERM came, and the state of the fit was saved.
    """
    rate, patience = trainer.settings.learning_rate, trainer.settings.patience
    saved = snapshots and snapshots.load()
    state = TrainingState(rate.latest_decay_start) if saved is None else trainer.restore_state(saved)
    history = state.history
    take_step = steps_of(batches, state) if steps_of else step_function(trainer, batches, state)
    with snapshots.watching() if snapshots else contextlib.nullcontext():
        while state.epoch < state.decay_start + rate.decay_length:
            entry = _run_epoch(trainer, batches, state, take_step, report, snapshots)
            entry["score"] = float(evaluate() if evaluate else state.epoch)
            _refuse_nan({"the score": entry["score"]}, state.epoch)
            history.epochs.append(entry)
            if entry["score"] > history.best_score:
                history.best_score, history.best_epoch, state.waited = entry["score"], state.epoch, 0
                state.best = [variable.numpy() for variable in trainer.variables]
            else:
                state.waited += 1
            state.next_epoch()
            if state.waited >= patience:
                if rate.shape == "constant" or state.epoch > state.decay_start:
                    break
                _assign(trainer.variables, state.best)
                state.decay_start, state.waited = state.epoch, 0
    _assign(trainer.variables, state.best)
    return history


def _assign(variables: Sequence[tf.Variable], values: Sequence[np.ndarray] | None) -> None:
    for variable, value in zip(variables, values or [], strict=values is not None):
        variable.assign(value)


def _run_epoch(
    trainer: Trainer, batches, state: TrainingState, take_step: TakeStep, report, snapshots: SnapshotManager | None
) -> dict:
    """Takes the remaining steps of an epoch; returns mean losses, duration and learning rate of the whole epoch."""
    started, rate = time.monotonic() - state.seconds, trainer.settings.learning_rate
    before, steps_at_most = state.epoch * batches.steps, rate.last_step(batches.steps, state.decay_start)
    while state.step < min(batches.steps, steps_at_most - before):
        step = before + state.step
        trainer.reach(step / steps_at_most)
        losses = take_step(step, rate.at(step, batches.steps, state.decay_start))
        for name, value in losses.items():
            state.sums[name] = state.sums.get(name, 0.0) + float(value)
        state.step, state.seconds = state.step + 1, time.monotonic() - started
        mean = state.sums["loss"] / state.step
        report({"step": step + 1, "steps": steps_at_most, "epoch": state.epoch + 1, "loss": mean})
        if snapshots and snapshots.due(step + 1):
            snapshots.save(trainer.save_state(state))
    means = {name: total / state.step for name, total in state.sums.items()}
    _refuse_nan(means, state.epoch)
    last = rate.at(before + state.step - 1, batches.steps, state.decay_start)
    return means | {"seconds": state.seconds, "learning_rate": last}


def step_function(trainer: Trainer, batches: TrainingBatches, state: TrainingState) -> TakeStep:
    """Returns a function that takes the next step: takes its number and rate, returns its losses."""
    iterator = distributed(batches, state, trainer.strategy, full=trainer.full_batches)
    trainer.expect(iterator.element_spec)
    if batches.per_step == 1:
        return lambda step, rate: trainer.step(next(iterator), step, rate)
    groups = _groups_from(batches, state.epoch, state.step)

    def over_a_group(step: int, rate: float) -> dict[str, tf.Tensor]:
        group = next(groups)
        counts = trainer.counts_of(batches.arrays_without_targets(rows) for rows in group)
        return trainer.step_over(itertools.islice(iterator, len(group)), counts, step * batches.per_step, rate)

    return over_a_group


def _groups_from(batches: TrainingBatches, first_epoch: int, first_step: int) -> Iterator[list]:
    """Yields the rows of each step's batches, epoch after epoch."""
    for epoch in itertools.count(first_epoch):
        yield from batches.groups(epoch)[first_step if epoch == first_epoch else 0 :]


def _refuse_nan(losses: dict[str, float], epoch: int) -> None:
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise InputError(
            f"Training diverged in epoch {epoch + 1}: {', '.join(bad)} is not a finite number.\n"
            "Use a lower `learning_rate`, or leave `opt_policy` away."
        )
