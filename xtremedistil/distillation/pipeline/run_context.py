"""What the steps of one distillation share: settings, data, devices, and where things are written."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xtremedistil.console.progress import Progress
from xtremedistil.data.features import LabelledSet
from xtremedistil.distillation.data.corpus import Corpus, read_corpus, store_of
from xtremedistil.distillation.data.vocabulary import run_vocabulary
from xtremedistil.distillation.planning.plan import TEST, DistillationPlan
from xtremedistil.distillation.teacher_outputs.cache_writer import OutputWriterConfig
from xtremedistil.evaluation.scorer import Scorer
from xtremedistil.finetuning.supervised import LabelFit
from xtremedistil.training.snapshots import SnapshotManager
from xtremedistil.training.strategy import stage_seed
from xtremedistil.training.trainer import TrainingSettings
from xtremedistil.training.workers import Workers


@dataclass(frozen=True)
class RunContext:
    """A distillation's surroundings; nothing in it changes during the run.

    Fields:
        kept: the tokens that the teacher has in this run, as `run_vocabulary` gives them.
    """

    plan: DistillationPlan
    corpus: Corpus
    scorer: Scorer
    strategy: tf.distribute.Strategy
    workers: Workers
    progress: Progress
    kept: np.ndarray | None = None

    @property
    def pad_id(self) -> int:
        return self.corpus.tokenizer.pad_id

    @property
    def stage_selection(self) -> LabelledSet:
        """The set that decides between stages: dev; the original took the test file."""
        return self.corpus.test if self.plan.select_on == TEST else self.corpus.dev

    def path(self, name: str) -> str:
        return self.plan.path(name)

    def global_batch(self, per_replica: int) -> int:
        return per_replica * self.strategy.num_replicas_in_sync

    def recipe(self, peak: float, epochs: int, *place: int) -> TrainingSettings:
        """How a fit goes; `place` (stage, chunk) gives it a seed of its own."""
        training = self.plan.training
        return TrainingSettings.of(training, peak, epochs, stage_seed(training.seed, *place))

    def keeper(self, fit: str) -> SnapshotManager:
        """Of the snapshots of a fit; `fit` is its place in the run."""
        key = f"{fit}, {self.strategy.num_replicas_in_sync} devices"  # with others, steps are of other rows
        return SnapshotManager.of(self.plan.model_dir, self.plan.training, key, self.workers, self.progress.log)

    def output_writer(self, title: str) -> OutputWriterConfig:
        """How outputs of the teacher, or of the student's encoder, are computed; `title` is said to a person."""
        return OutputWriterConfig(
            self.pad_id,
            self.plan.teacher.batch_size,
            self.workers,
            self.progress.count(title),
            self.plan.outputs.precision,
            every_minutes=self.plan.training.save_minutes,
        )

    def label_fit(self, recipe: TrainingSettings, batch_size: int, keeper: SnapshotManager) -> LabelFit:
        corpus = self.corpus
        return LabelFit(
            train=corpus.train.features,
            pad_id=self.pad_id,
            batch_size=batch_size,
            settings=recipe,
            strategy=self.strategy,
            workers=self.workers,
            progress=self.progress,
            snapshots=keeper,
            batches_per_step=self.plan.training.gradient_accumulation_steps,
            class_weights=corpus.class_weights,
        )


def open_run(plan: DistillationPlan, strategy: tf.distribute.Strategy, workers: Workers) -> RunContext:
    """Reads and encodes all files.

    Raises:
        InputError: a file cannot be used.
    """
    tokenizer, kept = run_vocabulary(plan)
    corpus = read_corpus(plan, tokenizer, store_of(plan, tokenizer), workers.on_chief)
    scorer = Scorer(corpus.task, tokenizer.pad_id, plan.teacher.batch_size, plan.score_by_token)
    progress = Progress()
    if corpus.augmented:
        progress.log(f"augmented transfer set: {corpus.augmented}")
    return RunContext(plan, corpus, scorer, strategy, workers, progress, kept)
