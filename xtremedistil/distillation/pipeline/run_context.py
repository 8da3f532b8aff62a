"""What the steps of one distillation share: settings, data, devices, and where things are written."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xtremedistil.console.progress import Progress
from xtremedistil.data.features import LabelledSet
from xtremedistil.distillation.data.corpus import Corpus, read_corpus, store_of
from xtremedistil.distillation.planning.config import DistilConfig
from xtremedistil.distillation.planning.run_vocabulary import run_vocabulary
from xtremedistil.distillation.planning.stages import Stage
from xtremedistil.distillation.teacher_outputs.cache_writer import Computing
from xtremedistil.evaluation.scorer import Scorer
from xtremedistil.finetuning.supervised import LabelFit
from xtremedistil.training.snapshots import Keeper
from xtremedistil.training.strategy import stage_seed
from xtremedistil.training.trainer import Recipe
from xtremedistil.training.workers import Workers


@dataclass(frozen=True)
class Setting:
    """A distillation's surroundings; nothing in it changes during the run.

    Fields:
        config: settled by `config.resolve`.
        stages: those that take the place of the recipe's, if any.
        kept: the pieces that the teacher has in this run, as of `run_vocabulary`.
    """

    config: DistilConfig
    corpus: Corpus
    scorer: Scorer
    strategy: tf.distribute.Strategy
    workers: Workers
    progress: Progress
    stages: Sequence[Stage] | None = None
    kept: np.ndarray | None = None

    @property
    def pad_id(self) -> int:
        return self.corpus.tokenizer.pad_id

    @property
    def stage_selection(self) -> LabelledSet:
        """The set that decides between stages: dev; the original took the test file."""
        return self.corpus.test if self.config.legacy else self.corpus.dev

    def path(self, name: str) -> str:
        return os.path.join(self.config.model_dir, name)

    def global_batch(self, per_replica: int) -> int:
        return per_replica * self.strategy.num_replicas_in_sync

    def recipe(self, peak: float, epochs: int, *place: int) -> Recipe:
        """How a fit goes; `place` (stage, chunk) gives it a seed of its own."""
        return Recipe.of(self.config, peak, epochs, stage_seed(self.config.seed, *place))

    def keeper(self, fit: str) -> Keeper:
        """Of the snapshots of a fit; `fit` is its place in the run."""
        key = f"{fit}, {self.strategy.num_replicas_in_sync} devices"  # with others, steps are of other rows
        return Keeper.of(self.config, key, self.workers, self.progress.say)

    def computing(self, title: str) -> Computing:
        """How outputs of the teacher, or of the student's encoder, are computed; `title` is said to a person."""
        config = self.config
        progress = self.progress.count(title)
        return Computing(
            self.pad_id,
            config.teacher_batch_size,
            self.workers,
            progress,
            config.teacher_outputs_precision,
            every_minutes=config.save_minutes,
        )

    def label_fit(self, recipe: Recipe, batch_size: int, keeper: Keeper) -> LabelFit:
        corpus = self.corpus
        return LabelFit(
            train=corpus.train.features,
            pad_id=self.pad_id,
            batch_size=batch_size,
            recipe=recipe,
            strategy=self.strategy,
            workers=self.workers,
            progress=self.progress,
            keeper=keeper,
            batches_per_step=self.config.gradient_accumulation_steps,
            class_weights=corpus.class_weights,
        )


def open_setting(
    config: DistilConfig, strategy: tf.distribute.Strategy, workers: Workers, stages: Sequence[Stage] | None = None
) -> Setting:
    """Reads and encodes all files.

    Raises:
        InputError: a file cannot be used.
    """
    tokenizer, kept = run_vocabulary(config)
    corpus = read_corpus(config, tokenizer, store_of(config, tokenizer), workers.on_chief)
    scorer = Scorer(corpus.task, tokenizer.pad_id, config.teacher_batch_size, config.legacy)
    progress = Progress()
    if corpus.augmented:
        progress.say(f"augmented transfer set: {corpus.augmented}")
    return Setting(config, corpus, scorer, strategy, workers, progress, stages, kept)
