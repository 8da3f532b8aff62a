"""Several tasks, each with its teachers and a head of its own, and one encoder for all."""

import os
from collections.abc import Mapping

import numpy as np
import tf_keras

from xtremedistil.distillation.distiller import Distiller
from xtremedistil.distillation.lesson import fit_key, kept, open_keeper
from xtremedistil.distillation.targets import Computing
from xtremedistil.reporting.progress import Progress
from xtremedistil.training.learning_rate import LearningRate
from xtremedistil.training.loop import fit
from xtremedistil.training.optimizer import computes_in_float16, make_optimizer
from xtremedistil.training.place import History
from xtremedistil.training.strategy import seed_everything, stage_seed
from xtremedistil.training.task_mix import TaskBatches, TaskTrainers, union
from xtremedistil.training.trainer import Recipe, Trainer
from xtremedistil.training.workers import Workers


def share_encoder(first, *others) -> None:
    """Puts the encoder of one Hugging Face model into others of the same kind; their heads and poolers stay their own.

    Raises:
        ValueError: the models are of different families or sizes.
    """
    for other in others:
        if (other.base_model_prefix, _sizes(other)) != (first.base_model_prefix, _sizes(first)):
            raise ValueError(
                f"{type(other).__name__} cannot take the encoder of {type(first).__name__}: they are of different "
                "families or sizes."
            )
        main, source = (getattr(model, model.base_model_prefix) for model in (other, first))
        for name, value in list(vars(source).items()):
            if _is_layers(value) and name != "pooler":
                setattr(main, name, value)


def _sizes(model) -> tuple[int, ...]:
    config = model.config
    return config.vocab_size, config.hidden_size, config.num_hidden_layers, config.num_attention_heads


def _is_layers(value) -> bool:
    each = value if isinstance(value, (list, tuple)) else [value]
    return bool(len(each)) and all(isinstance(one, tf_keras.layers.Layer) for one in each)


def fit_tasks(
    distillers: Mapping[str, Distiller],
    train: Mapping[str, object],
    dev: Mapping[str, object] | None = None,
    *,
    tau: float = 1.0,
    epochs: int = 3,
    batch_size: int = 32,
    learning_rate: float = 5e-5,
    warmup_ratio: float = 0.1,
    lr_schedule: str = "linear",
    patience: int | None = None,
    weight_decay: float = 0.0,
    max_grad_norm: float = 1.0,
    seed: int = 42,
    folder: str | None = None,
    save_minutes: float = 5.0,
    targets_precision: str = "float16",
    verbose: bool = False,
) -> History:
    """Trains the students of several distillers, whose encoder is one (see `share_encoder`), together.

    Args:
        distillers, train, dev: by task. The mean of the tasks' scores on `dev` decides.
        tau: a step is of a task with a chance in proportion to its rows ** tau.
        epochs: each has as many steps as all tasks have batches.
        All others: as of `Distiller.fit`.

    Raises:
        ValueError: the tasks of the arguments differ, or their strategies.
    """
    _require_same_tasks(distillers, train, dev)
    seed_everything(seed)
    strategy = next(iter(distillers.values())).strategy
    workers, progress = Workers(strategy), Progress()
    with kept(folder, workers) as root:
        how = Computing(0, batch_size, workers, precision=targets_precision)
        lessons = {}
        for name, one in distillers.items():
            place = os.path.join(root, name)  # of its own: tasks may have the same teacher
            rows = train[name], dev and dev[name]
            lessons[name] = one.lesson(*rows, teachers=None, metric=None, place=place, how=how)
        rate = LearningRate(learning_rate, epochs, epochs, warmup_ratio, lr_schedule)
        recipe = Recipe(rate, patience or epochs, max_grad_norm, seed, weight_decay)
        trainers = TaskTrainers(_trainers(distillers, lessons, recipe, strategy))
        tasks = {
            name: lesson.batches(batch_size, stage_seed(seed, number))
            for number, (name, lesson) in enumerate(lessons.items())
        }
        batches = TaskBatches(tasks, tau, seed)
        keeper = None
        if folder:
            parts = [(name, lesson.key, distillers[name].terms) for name, lesson in lessons.items()]
            key = fit_key(parts, recipe, tau, [one.batch_size for one in tasks.values()])
            keeper = open_keeper(folder, key, save_minutes, workers, progress)
        report = progress.step if verbose else lambda state: None

        def evaluate() -> float:
            return workers.agree(float(np.mean([lesson.evaluate() for lesson in lessons.values()])))

        history = fit(trainers, batches, evaluate if dev else None, report, keeper, trainers.steps)
        if keeper:
            workers.on_chief(keeper.clear)
    for distiller in distillers.values():
        distiller.settle()
    return history


def _trainers(distillers: Mapping[str, Distiller], lessons: Mapping, recipe: Recipe, strategy) -> dict[str, Trainer]:
    """One a task, all with the same optimizer."""
    trained = {name: one.trained(None, recipe.learning_rate.peak) for name, one in distillers.items()}
    variables = union(own for own, _ in trained.values())
    factors = {
        id(variable): factor for own, given in trained.values() for variable, factor in zip(own, given, strict=True)
    }
    rates = [factors[id(variable)] for variable in variables]
    half = any(computes_in_float16(one.matching) for one in distillers.values())
    with strategy.scope():
        peak = recipe.learning_rate.peak
        optimizer = make_optimizer(peak, recipe.weight_decay, variables, rates, scale_losses=half)
    return {
        name: Trainer(one.matching, trained[name][0], lessons[name].objective, strategy, recipe, optimizer=optimizer)
        for name, one in distillers.items()
    }


def _require_same_tasks(distillers: Mapping, train: Mapping, dev: Mapping | None) -> None:
    for what, given in (("train", train), ("dev", dev if dev is not None else distillers)):
        if given.keys() != distillers.keys():
            raise ValueError(f"{what} has the tasks {', '.join(given)}; the distillers {', '.join(distillers)}.")
    if len({id(one.strategy) for one in distillers.values()}) > 1:
        raise ValueError("The students were built under different strategies.")
