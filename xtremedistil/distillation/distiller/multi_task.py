"""Trains one encoder on several tasks, each with its own teachers and head."""

import math
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tf_keras
from transformers import PretrainedConfig

from xtremedistil.arguments import (
    require_function,
    require_kind,
    require_mapping,
    require_number,
    require_text,
    shown,
)
from xtremedistil.data.features import Features
from xtremedistil.distillation.distiller.distiller import Distiller
from xtremedistil.distillation.distiller.fit_inputs import FitInputs, ResumableFit, kept, output_writer
from xtremedistil.distillation.distiller.settings import FitSettings, settings_of
from xtremedistil.errors import require_known
from xtremedistil.training.batching import TrainingBatches
from xtremedistil.training.multi_task import TaskBatches, TaskTrainers, union
from xtremedistil.training.optimizer import computes_in_float16, make_optimizer
from xtremedistil.training.state import History
from xtremedistil.training.strategy import seed_everything, stage_seed
from xtremedistil.training.trainer import Trainer, TrainingSettings, new_dropout_seed
from xtremedistil.training.workers import Workers


def share_encoder(first, *others) -> None:
    """Makes Hugging Face models share the encoder of the first; each keeps its own head and pooler.

    Raises:
        ValueError: the models are of different families, or their encoders are configured differently, so that they
            could not be loaded once saved.
    """
    for model in (first, *others):
        if not isinstance(model, tf_keras.Model) or not hasattr(model, "base_model_prefix"):
            raise ValueError(f"{shown(model)} is no TensorFlow model of transformers, whose encoder could be shared.")
    for other in others:
        if differing := _differing(first.config, other.config):
            raise ValueError(
                f"{type(other).__name__} cannot take the encoder of {type(first).__name__}: their configurations "
                f"differ in {', '.join(differing)}. Build both with the same."
            )
        main, source = (getattr(model, model.base_model_prefix) for model in (other, first))
        for name, value in list(vars(source).items()):
            if _is_layers(value) and name != "pooler":
                setattr(main, name, value)


def _differing(first: PretrainedConfig, second: PretrainedConfig) -> list[str]:
    """Returns the fields in which two encoders' configurations differ; fields that every configuration has describe
    heads, labels and files."""
    one, two = first.to_dict(), second.to_dict()
    names = (one.keys() | two.keys()) - PretrainedConfig().to_dict().keys() - {"initializer_range"} | {"model_type"}
    return sorted(name for name in names if "drop" not in name and one.get(name) != two.get(name))


def _is_layers(value) -> bool:
    each = value if isinstance(value, (list, tuple)) else [value]
    return bool(len(each)) and all(isinstance(one, tf_keras.layers.Layer) for one in each)


def fit_tasks(
    distillers: Mapping[str, Distiller],
    train: Mapping[str, object],
    dev: Mapping[str, object] | None = None,
    settings: FitSettings | None = None,
    *,
    tau: float = 1.0,
    teachers: Mapping[str, Sequence[int]] | None = None,
    trained: Mapping[str, Sequence[str]] | None = None,
    metric: Mapping[str, Callable[[list, Features], float]] | None = None,
    **changes,
) -> History:
    """Trains the students of several distillers together; they share one encoder (see `share_encoder`).

    Args:
        distillers, train, dev: by task. The mean of the tasks' scores on `dev` selects the best epoch.
        settings, changes: as for `Distiller.fit`. An epoch has as many steps as all tasks together have batches;
            `steps_per_epoch` sets another number.
        tau: each step trains one task, drawn with probability proportional to its number of rows ** tau.
        teachers, trained, metric: by task, as for `Distiller.fit`; tasks left out use the defaults.

    Raises:
        ValueError: the arguments name different tasks, or strategies differ, or a loss would train nothing.
    """
    require_mapping("distillers", distillers)
    for name, one in distillers.items():
        require_text("The name of a task", name)
        require_kind(f"distillers[{name!r}]", one, Distiller, "a Distiller")
    require_mapping("train", train)
    require_mapping("dev", dev, optional=True)
    require_number("tau", tau, -math.inf)
    settings = settings_of(settings, changes)
    teachers, trained, metric = ({} if one is None else one for one in (teachers, trained, metric))
    _require_same_tasks(distillers, train, dev)
    _require_tasks(distillers, {"teachers": teachers, "trained": trained, "metric": metric})
    for one in distillers.values():
        one.check_fit(jit_compile=settings.jit_compile, resumable=bool(settings.folder))
    variables = {name: one.trained(trained.get(name), settings.learning_rate) for name, one in distillers.items()}
    seed_everything(settings.seed)
    strategy = next(iter(distillers.values())).strategy
    workers = Workers(strategy)
    with kept(settings.folder, workers) as root:
        inputs_by_task = {}
        for name, one in distillers.items():
            folder = os.path.join(root, name)  # tasks may have the same teacher
            own = {"teachers": teachers.get(name), "metric": metric.get(name), "folder": folder}
            inputs_by_task[name] = one.fit_inputs(
                train[name], dev and dev[name], how=output_writer(settings, workers), **own
            )
        tasks = {
            name: fit_inputs.batches(
                settings.batch_size, stage_seed(settings.seed, number), settings.gradient_accumulation_steps
            )
            for number, (name, fit_inputs) in enumerate(inputs_by_task.items())
        }
        _require_gradients(distillers, inputs_by_task, tasks, variables)
        recipe, (_, steps_per_epoch) = settings.training, settings.epochs_and_steps
        trainers = TaskTrainers(_trainers(distillers, inputs_by_task, variables, recipe, strategy))
        batches = TaskBatches(tasks, tau, settings.seed, steps_per_epoch)

        def score() -> float:
            return float(np.mean([fit_inputs.evaluate() for fit_inputs in inputs_by_task.values()]))

        parts = [
            (name, fit_inputs.key, distillers[name].terms, trained.get(name))
            for name, fit_inputs in inputs_by_task.items()
        ]
        key = parts, recipe, tau, [(one.batch_size, one.per_step) for one in tasks.values()], steps_per_epoch
        run = ResumableFit(settings.folder, settings.save_minutes, workers, settings.verbose)
        history = run(trainers, batches, score if dev else None, key, trainers.steps)
    for distiller in distillers.values():
        distiller.sync_word_embeddings()
    return history


Trained = Mapping[str, tuple[list, list[float]]]  # by task: variables, and the factor of each one's learning rate


def _require_gradients(
    distillers: Mapping[str, Distiller],
    inputs_by_task: Mapping[str, FitInputs],
    tasks: Mapping[str, TrainingBatches],
    trained: Trained,
) -> None:
    for name, one in distillers.items():
        try:
            one.require_gradients(inputs_by_task[name].objective, tasks[name].sample(), trained[name][0])
        except ValueError as error:
            raise ValueError(f"Task {name}: {error}") from error


def _trainers(
    distillers: Mapping[str, Distiller],
    inputs_by_task: Mapping[str, FitInputs],
    trained: Trained,
    recipe: TrainingSettings,
    strategy,
) -> dict[str, Trainer]:
    """Returns a trainer for each task; all share one optimizer and one dropout seed."""
    variables = union(own for own, _ in trained.values())
    factors = {
        id(variable): factor for own, given in trained.values() for variable, factor in zip(own, given, strict=True)
    }
    rates = [factors[id(variable)] for variable in variables]
    half = any(computes_in_float16(one.matching) for one in distillers.values())
    with strategy.scope():
        peak = recipe.learning_rate.peak
        optimizer = make_optimizer(peak, recipe.weight_decay, variables, rates, scale_losses=half)
        shared = {"optimizer": optimizer, "dropout_seed": new_dropout_seed(recipe.seed)}
    return {
        name: Trainer(one.matching, trained[name][0], inputs_by_task[name].objective, strategy, recipe, **shared)
        for name, one in distillers.items()
    }


def _require_tasks(distillers: Mapping, given: Mapping[str, Mapping]) -> None:
    for what, by_task in given.items():
        if not isinstance(by_task, Mapping):
            raise ValueError(f"{what} is {by_task!r}; give a mapping by task: {{{next(iter(distillers))!r}: ...}}.")
        for name in by_task:
            require_known(f"task of {what}", name, distillers)
    for name, one in given["metric"].items():
        require_function(f"metric[{name!r}]", one, optional=True)


def _require_same_tasks(distillers: Mapping, train: Mapping, dev: Mapping | None) -> None:
    if not distillers:
        raise ValueError("distillers is empty; give one Distiller per task, by its name.")
    for what, given in (("train", train), ("dev", dev if dev is not None else distillers)):
        if given.keys() != distillers.keys():
            raise ValueError(f"{what} has the tasks {', '.join(given)}; the distillers {', '.join(distillers)}.")
    if len({id(one.strategy) for one in distillers.values()}) > 1:
        raise ValueError("The students were built under different strategies.")
