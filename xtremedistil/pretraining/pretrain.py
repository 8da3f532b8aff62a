"""A whole pre-training run: corpus, teacher, its head, the student's fit, the Hugging Face folder.

Killed and started again with the same command, it continues from where it was last saved: (1) a finished run prints its
report; (2) the corpus, part by part; (3) the teacher's head; (4) in the middle of a fit, its newest snapshot.
"""

import dataclasses
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xtremedistil.console.progress import Progress
from xtremedistil.errors import InputError
from xtremedistil.flags import old_names
from xtremedistil.models.checkpoints.h5_weights import load_weights, save_weights
from xtremedistil.models.language_model.language_model import LanguageModel
from xtremedistil.models.projections import projection_rates
from xtremedistil.objectives.from_terms import LABELS_ALONE
from xtremedistil.pretraining.card import pretrain_card
from xtremedistil.pretraining.checkpoint_folder import check_place, remove_checkpoint, write_checkpoint
from xtremedistil.pretraining.config import ALL_OF_THE_CORPUS, PretrainConfig
from xtremedistil.pretraining.corpus.files import corpus_paths
from xtremedistil.pretraining.corpus.store_writer import store_key
from xtremedistil.pretraining.head_record import (
    head_path,
    head_record,
    read_head_record,
    remove_head,
    write_head_record,
)
from xtremedistil.pretraining.language_objective import language_objective
from xtremedistil.pretraining.language_score import LanguageScore
from xtremedistil.pretraining.live_teacher import student_with_teacher
from xtremedistil.pretraining.models import initial_student, open_teacher
from xtremedistil.pretraining.plan import PretrainPlan, StudentPlan, make_pretrain_plan
from xtremedistil.pretraining.recipes import needs_teacher, predicts_tokens
from xtremedistil.pretraining.report import REPORT, PretrainReport, read_pretrain_report
from xtremedistil.pretraining.run_corpus import PretrainCorpus, open_corpus
from xtremedistil.pretraining.teacher_head import check_head, head_parts, train_head
from xtremedistil.storage import files, model_folder, run_folder
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.training.learning_rate import LearningRate
from xtremedistil.training.loop import fit
from xtremedistil.training.snapshots import SnapshotManager
from xtremedistil.training.state import History
from xtremedistil.training.strategy import make_strategy, precision, seed_everything, stage_seed
from xtremedistil.training.trainer import Trainer, TrainingSettings
from xtremedistil.training.workers import Workers, folder_lock, told_of_lost_workers

CHECKPOINT = "checkpoint"  # the student's folder
CORPUS = "corpus"
NOT_SETTINGS = ("model_dir", "corpus_dir", "save_steps", "save_minutes", "overwrite", "verbose")
HEAD_PLACE, STUDENT_PLACE, FIT_PLACE = 1, 2, 3  # for seeds


def pretrain(config: PretrainConfig) -> PretrainReport:
    """Makes a small general model as `config` says; writes it into `config.model_dir`/checkpoint.

    Raises:
        InputError: something in the settings or files cannot be used; nothing half-written stays behind.
    """
    return run_plan(make_pretrain_plan(config))


def run_plan(plan: PretrainPlan) -> PretrainReport:
    """Carries out a plan. Raises as `pretrain`."""
    check_head(plan)
    strategy = make_strategy(plan.strategy, plan.tpu)
    workers = Workers(strategy)
    with told_of_lost_workers(workers):
        settings = run_settings(plan)
        if report := _finished(plan, settings, workers):  # only read, so that nobody is locked out
            return report
        with folder_lock(workers, plan.model_dir):
            if report := _finished(plan, settings, workers):  # another run may have ended meanwhile
                return report
            check_place(plan.path(CHECKPOINT))
            progress, replicas = Progress(), strategy.num_replicas_in_sync
            # All text is read before anything is removed.
            corpus = open_corpus(plan, plan.path(CORPUS), workers, replicas, progress)
            workers.on_chief(lambda: _begin(plan, settings))
            with precision(plan.precision):
                return Run(plan, corpus, strategy, workers, progress).whole()


def run_settings(plan: PretrainPlan) -> dict:
    """What decides the result: flags, checkpoints and files by their bytes, the corpus by names, sizes and times."""
    settings = {name: value for name, value in plan.flags.items() if name not in NOT_SETTINGS}
    settings["corpus"] = store_key(Tokenizer.load(plan.teacher), corpus_paths(plan.corpus.files))
    settings["match"] = [repr(match) for match in plan.given_matches]
    for name in ("pt_teacher_checkpoint", "pt_student_checkpoint"):
        if settings[name]:
            settings[name] = model_folder.fingerprint_checkpoint(settings[name])
    if plan.head.file:
        settings["teacher_head"] = files.fingerprint(plan.head.file)
    if plan.corpus.vocabulary not in (None, ALL_OF_THE_CORPUS):
        settings["student_vocab"] = files.fingerprint(plan.corpus.vocabulary)
    return settings


def _begin(plan: PretrainPlan, settings: dict) -> None:
    if plan.overwrite:
        remove_checkpoint(plan.path(CHECKPOINT))
        remove_head(plan.model_dir)
    run_folder.bind_run(plan.model_dir, settings, plan.overwrite)


def _finished(plan: PretrainPlan, settings: dict, workers: Workers) -> PretrainReport | None:
    """The report of a finished run; None if there is none. Raises InputError where the folder is of another run."""
    if plan.overwrite:
        return None
    run_folder.check_run(plan.model_dir, settings, old_names(PretrainConfig))
    path = plan.path(REPORT)
    if not workers.broadcast_from_chief(os.path.isfile(path)):
        return None
    Progress().log(f"This run has finished before: {plan.model_dir}. `overwrite` starts it again.")
    return read_pretrain_report(path)


@dataclass(frozen=True)
class Run:
    """What the steps of a run share."""

    plan: PretrainPlan
    corpus: PretrainCorpus
    strategy: tf.distribute.Strategy
    workers: Workers
    progress: Progress

    def whole(self) -> PretrainReport:
        teacher, has_head = self.teacher()
        if self.plan.terms.uses_logits and not has_head:
            self._give_head(teacher)
        elif not has_head:
            teacher = dataclasses.replace(teacher, head=None)
        student = self.student(teacher)
        history, scores = self._fit(student, teacher)
        report = self._report(student, teacher, scores, history)
        self.workers.on_chief(lambda: self._write(student, report))
        return report

    def teacher(self) -> tuple[LanguageModel, bool]:
        """The teacher, with a head where tokens are predicted, and whether that is its own."""
        seed_everything(stage_seed(self.plan.seed, HEAD_PLACE))
        with self.strategy.scope():
            predicts = predicts_tokens(self.plan.terms)
            return open_teacher(self.plan.teacher, self.corpus.kept, with_head=predicts)

    def student(self, teacher: LanguageModel) -> LanguageModel:
        seed_everything(stage_seed(self.plan.seed, STUDENT_PLACE))
        with self.strategy.scope():
            predicts = predicts_tokens(self.plan.terms)
            return initial_student(self.plan.student, teacher, self.corpus.kept, with_head=predicts)

    def _give_head(self, teacher: LanguageModel) -> None:
        """A head that was trained before, or is now, for a teacher that came without its own."""
        own, given = head_path(self.plan.model_dir), self.plan.head.file
        record = head_record(self.plan.teacher, self.corpus.kept)
        if self.workers.broadcast_from_chief(os.path.isfile(own)):
            load_weights(own, head_parts(teacher))
            return  # the snapshots that are there now are the student's
        snapshots = self._snapshots("teacher's head")
        if given:
            if read_head_record(given) not in (None, record):
                raise InputError(f"`teacher_head` {given} was trained on other tokens of the teacher. Train one anew.")
            load_weights(given, head_parts(teacher))
        else:
            self._train_head(teacher, snapshots)

        def save() -> None:
            write_head_record(own, record)
            save_weights(own, head_parts(teacher))
            if not given:
                snapshots.clear()

        self.workers.on_chief(save)

    def _train_head(self, teacher: LanguageModel, snapshots: SnapshotManager) -> None:
        steps = self.plan.head.steps
        self.progress.log(
            f"{self.plan.teacher} comes without a language-modelling head: one is trained on it, {steps:,} updates."
        )
        self.progress.begin("the teacher's head", later=[])
        settings = self.training_settings(steps, self.plan.head.learning_rate, stage_seed(self.plan.seed, HEAD_PLACE))
        batches = self.corpus.labelled_batches(self.plan.period(steps), settings.seed)
        train_head(teacher, batches, settings, self.strategy, self.progress.step, snapshots)

    def _fit(self, student: LanguageModel, teacher: LanguageModel) -> tuple[History, dict]:
        """Trains the student; the history, and its scores on held-out sequences."""
        terms = self.plan.terms
        logits = {"student_logits": predicts_tokens(terms), "teacher_logits": terms.uses_logits}
        with self.strategy.scope():
            used = teacher if needs_teacher(terms) else None
            model, projections = student_with_teacher(student, used, terms.matches, **logits)
        objective = language_objective(terms)
        seed = stage_seed(self.plan.seed, FIT_PLACE)
        settings = self.training_settings(self._steps, self.plan.updates.learning_rate, seed)
        variables, factors = self._trained(student, projections)
        trainer = Trainer(model, variables, objective, self.strategy, settings, factors)
        batches = self.corpus.batches(self.plan.period(self._steps), settings.seed)
        score = LanguageScore(model, objective, self.corpus.held_out_batches())
        self.progress.begin("the student", later=[])
        history = fit(trainer, batches, self._evaluate(score), self.progress.step, self._snapshots("student"))
        return history, score()

    def _trained(self, student: LanguageModel, projections: Sequence) -> tuple[list, list[float]]:
        """The variables that are trained, and the factor of each one's learning rate."""
        own = trained_variables(student, self.plan.student)
        rates = projection_rates(self.plan.terms.matches, self.plan.updates.learning_rate)
        projected = [(variable, rates.get(layer.name, 1.0)) for layer in projections for variable in layer.weights]
        return own + [variable for variable, _ in projected], [1.0] * len(own) + [rate for _, rate in projected]

    def _evaluate(self, score: LanguageScore):
        """Higher is better: minus the loss. Accuracy changes by leaps, on so few sequences."""
        return lambda: self.workers.broadcast_from_chief(-score()["loss"])

    @property
    def _steps(self) -> int:
        updates = self.plan.updates
        return updates.steps or max(1, round(updates.epochs * self.corpus.steps_per_pass))

    def training_settings(self, steps: int, peak: float, seed: int) -> TrainingSettings:
        """For so many updates, without an early end."""
        updates, periods = self.plan.updates, -(-steps // self.plan.period(steps))
        rate = LearningRate(peak, periods, periods, updates.warmup_ratio, updates.lr_schedule, steps)
        return TrainingSettings(rate, periods, updates.max_grad_norm, seed, updates.weight_decay, updates.jit_compile)

    def _snapshots(self, what: str) -> SnapshotManager:
        """Snapshots of a fit; those of other devices or text are not read."""
        key = f"{what}, {self.strategy.num_replicas_in_sync} devices, {self.corpus.key}"
        return SnapshotManager.of(self.plan.model_dir, self.plan.updates, key, self.workers, self.progress.log)

    def _report(self, student: LanguageModel, teacher: LanguageModel, scores: dict, history: History) -> PretrainReport:
        accuracy = None
        if teacher.head is not None:
            model = teacher.feature_model([], logits=True)
            accuracy = LanguageScore(model, language_objective(LABELS_ALONE), self.corpus.held_out_batches())()[
                "accuracy"
            ]
        tokens = self._steps * self.corpus.tokens / self.corpus.steps_per_pass
        return PretrainReport(
            teacher_accuracy=accuracy,
            student_accuracy=scores["accuracy"] if student.head else None,
            loss=scores["loss"],
            parameters={"teacher": parameters(teacher), "student": parameters(student)},
            rows=len(self.corpus.train),
            pieces=self.corpus.tokens,
            steps=self._steps,
            seconds=history.seconds,
            pieces_per_second=tokens / history.seconds,
            history=history.epochs,
        )

    def _write(self, student: LanguageModel, report: PretrainReport) -> None:
        plan, head = self.plan, student.head
        write_checkpoint(
            plan.path(CHECKPOINT),
            student.encoder,
            student.family,
            self.corpus.tokenizer,
            head=head.state() if head else {},
            architecture=head.pytorch_class if head else None,
            seq_len=plan.corpus.seq_len,
            card=pretrain_card(plan, student, plan.terms, report),
        )
        files.write_json(plan.path(REPORT), report.to_dict())
        shutil.rmtree(plan.path(model_folder.SNAPSHOTS), ignore_errors=True)


def parameters(model: LanguageModel) -> int:
    """How many numbers its weights have."""
    return sum(int(np.prod(variable.shape)) for variable in model.weights)


def trained_variables(student: LanguageModel, plan: StudentPlan) -> list[tf.Variable]:
    """All of the student's but the embeddings that stay as they are."""
    return [variable for variable in student.weights if not any(f"/{part}/" in variable.name for part in plan.frozen)]
