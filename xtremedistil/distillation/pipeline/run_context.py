"""Plan, data, devices and paths that all steps of a distillation share."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xtremedistil.console.progress import Progress
from xtremedistil.data.features import LabelledSet
from xtremedistil.distillation.data.corpus import Corpus, read_corpus, store_of
from xtremedistil.distillation.data.vocabulary import run_vocabulary
from xtremedistil.distillation.pipeline.teacher_head import teacher_head
from xtremedistil.distillation.planning.plan import TEST, DistillationPlan
from xtremedistil.distillation.teacher_outputs.cache_writer import OutputWriterConfig
from xtremedistil.evaluation.scorer import Scorer
from xtremedistil.finetuning.supervised import LabelFit
from xtremedistil.models.checkpoints.tuned_head import HeadOfCheckpoint
from xtremedistil.tasks.labelled_sets import cut_note, described_sets
from xtremedistil.training.snapshots import SnapshotManager
from xtremedistil.training.strategy import stage_seed
from xtremedistil.training.trainer import TrainingSettings
from xtremedistil.training.workers import Workers


@dataclass(frozen=True)
class RunContext:
    """What all steps of a distillation share; it does not change during the run.

    Fields:
        kept: ids of the tokens that the teacher keeps, from `run_vocabulary`; None: all.
        head: what the teacher's checkpoint has in the way of a classifier; None: an external teacher.
    """

    plan: DistillationPlan
    corpus: Corpus
    scorer: Scorer
    strategy: tf.distribute.Strategy
    workers: Workers
    progress: Progress
    kept: np.ndarray | None = None
    head: HeadOfCheckpoint | None = None

    @property
    def pad_id(self) -> int:
        return self.corpus.tokenizer.pad_id

    @property
    def stage_selection(self) -> LabelledSet:
        """The set that selects the best stage: dev; with `legacy`, test, as in the original."""
        return self.corpus.test if self.plan.select_on == TEST else self.corpus.dev

    def path(self, name: str) -> str:
        return self.plan.path(name)

    def global_batch(self, per_replica: int) -> int:
        return per_replica * self.strategy.num_replicas_in_sync

    def training_settings(self, peak: float, epochs: int, *position: int) -> TrainingSettings:
        """Returns the training settings of a fit; `position` (stage, chunk) determines its seed."""
        training = self.plan.training
        return TrainingSettings.of(training, peak, epochs, stage_seed(training.seed, *position))

    def snapshots(self, fit: str) -> SnapshotManager:
        """Returns the manager of a fit's snapshots; `fit` names it."""
        key = f"{fit}, {self.strategy.num_replicas_in_sync} devices"  # with other devices, steps have other rows
        return SnapshotManager.of(self.plan.model_dir, self.plan.training, key, self.workers, self.progress.log)

    def output_writer(self, title: str) -> OutputWriterConfig:
        """Returns how outputs of teacher or student are computed and kept; progress is reported under `title`."""
        return OutputWriterConfig(
            self.pad_id,
            self.plan.teacher.batch_size,
            self.workers,
            self.progress.count(title),
            self.plan.outputs.precision,
            every_minutes=self.plan.training.save_minutes,
        )

    def label_fit(self, settings: TrainingSettings, batch_size: int, snapshots: SnapshotManager) -> LabelFit:
        corpus = self.corpus
        return LabelFit(
            train=corpus.train.features,
            pad_id=self.pad_id,
            batch_size=batch_size,
            settings=settings,
            strategy=self.strategy,
            workers=self.workers,
            progress=self.progress,
            snapshots=snapshots,
            batches_per_step=self.plan.training.gradient_accumulation_steps,
            class_weights=corpus.class_weights,
        )


def open_run(plan: DistillationPlan, strategy: tf.distribute.Strategy, workers: Workers) -> RunContext:
    """Reads and encodes all files of a run.

    Raises:
        InputError: a file cannot be used.
    """
    tokenizer, kept = run_vocabulary(plan)
    corpus = read_corpus(plan, tokenizer, store_of(plan, tokenizer), workers.on_chief)
    scorer = Scorer(corpus.task, tokenizer.pad_id, plan.teacher.batch_size, plan.score_by_token)
    progress = Progress()
    sets = corpus.train, corpus.dev, corpus.test
    for line in described_sets(corpus.task, sets, tokenizer, plan.task.seq_len, scorer.metric_note):
        progress.log(line)
    if corpus.transfer.cut:
        progress.log(f"transfer: {corpus.transfer.rows:,} rows{cut_note(corpus.transfer.cut, plan.task.seq_len)}")
    if corpus.augmented:
        progress.log(f"augmented transfer set: {corpus.augmented}")
    head = None if plan.teacher.is_external else teacher_head(plan, corpus.task)
    return RunContext(plan, corpus, scorer, strategy, workers, progress, kept, head)
