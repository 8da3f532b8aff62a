"""A whole pre-training run: corpus, teacher, its head, the student's fit, the Hugging Face folder.

Killed and started again with the same command, it goes on from where it was last saved: (1) a finished run prints its
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
from xtremedistil.flags import old_names, resolve_seed
from xtremedistil.models.architectures.shapes import encoder_shape
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
from xtremedistil.pretraining.live_teacher import taught_model
from xtremedistil.pretraining.models import initial_student, open_teacher
from xtremedistil.pretraining.recipes import configured_terms, masks_tokens, needs_teacher, predicts_tokens
from xtremedistil.pretraining.report import REPORT, PretrainReport
from xtremedistil.pretraining.run_corpus import PretrainCorpus, open_corpus
from xtremedistil.pretraining.student_shape import student_shape
from xtremedistil.pretraining.teacher_head import check_head, head_parts, train_head
from xtremedistil.pretraining.validation import check_pretrain
from xtremedistil.storage import files, model_folder, run_folder
from xtremedistil.terms.match_parsing import read_matches
from xtremedistil.terms.terms import Terms
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
HEAD_PLACE, STUDENT_PLACE, FIT_PLACE = 1, 2, 3  # in the run, for seeds
SCORES = 10  # of a run, by default
FROZEN = {"freeze_pos_embs": ("position_embeddings", "wpe"), "freeze_token_type_embds": ("token_type_embeddings",)}


def pretrain(config: PretrainConfig) -> PretrainReport:
    """Makes a small general model as `config` says; writes it into `config.model_dir`/checkpoint.

    Raises:
        InputError: something in the settings or files cannot be used; nothing half-written stays behind.
    """
    check_pretrain(config)
    check_head(config)
    strategy = make_strategy(config.strategy, config.tpu)
    workers = Workers(strategy)
    with told_of_lost_workers(workers), folder_lock(workers, config.model_dir):
        settings = run_settings(config)
        if not config.overwrite:
            run_folder.check_run(config.model_dir, settings, old_names(PretrainConfig))
            if report := _finished(config, workers):
                return report
        check_place(os.path.join(config.model_dir, CHECKPOINT))
        progress, replicas = Progress(), strategy.num_replicas_in_sync
        # All text is read before anything is removed.
        corpus = open_corpus(config, os.path.join(config.model_dir, CORPUS), workers, replicas, progress)
        workers.on_chief(lambda: _begin(config, settings))
        with precision(config.opt_policy):
            return Run(config, corpus, strategy, workers, progress).whole()


def run_settings(config: PretrainConfig) -> dict:
    """What decides the result: flags, checkpoints and files by their bytes, the corpus by names, sizes and times."""
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name not in NOT_SETTINGS}
    settings["seed"] = resolve_seed(config.seed)
    settings["corpus"] = store_key(Tokenizer.load(config.pt_teacher_checkpoint), corpus_paths(config.corpus))
    settings["match"] = [repr(match) for match in read_matches(config.match)]
    for name in ("pt_teacher_checkpoint", "pt_student_checkpoint"):
        if settings[name]:
            settings[name] = model_folder.fingerprint_checkpoint(settings[name])
    if config.teacher_head:
        settings["teacher_head"] = files.fingerprint(config.teacher_head)
    if config.student_vocab not in (None, ALL_OF_THE_CORPUS):
        settings["student_vocab"] = files.fingerprint(config.student_vocab)
    return settings


def _begin(config: PretrainConfig, settings: dict) -> None:
    if config.overwrite:
        remove_checkpoint(os.path.join(config.model_dir, CHECKPOINT))
        remove_head(config.model_dir)
    run_folder.bind_run(config.model_dir, settings, config.overwrite)


def _finished(config: PretrainConfig, workers: Workers) -> PretrainReport | None:
    path = os.path.join(config.model_dir, REPORT)
    if not workers.broadcast_from_chief(os.path.isfile(path)):
        return None
    Progress().log(f"This run has finished before: {config.model_dir}. `overwrite` starts it again.")
    return PretrainReport(**files.read_json(path))


@dataclass(frozen=True)
class Run:
    """What the steps of a run share."""

    config: PretrainConfig
    corpus: PretrainCorpus
    strategy: tf.distribute.Strategy
    workers: Workers
    progress: Progress

    @property
    def seed(self) -> int:
        return resolve_seed(self.config.seed)

    def whole(self) -> PretrainReport:
        teacher, has_head = self.teacher()
        shape = encoder_shape(teacher.encoder.config.to_dict(), self.config.pt_teacher_checkpoint)
        terms = configured_terms(self.config, shape, student_shape(self.config, shape))
        if terms.uses_logits and not has_head:
            self._give_head(teacher)
        elif not has_head:
            teacher = dataclasses.replace(teacher, head=None)
        student = self.student(teacher, terms)
        history, scores = self._fit(student, teacher, terms)
        report = self._report(student, teacher, scores, history)
        self.workers.on_chief(lambda: self._write(student, terms, report))
        return report

    def teacher(self) -> tuple[LanguageModel, bool]:
        """The teacher, with a head where words are asked for, and whether that is its own."""
        seed_everything(stage_seed(self.seed, HEAD_PLACE))
        with self.strategy.scope():
            asked = masks_tokens(self.config)
            return open_teacher(self.config.pt_teacher_checkpoint, self.corpus.kept, with_head=asked)

    def student(self, teacher: LanguageModel, terms: Terms) -> LanguageModel:
        seed_everything(stage_seed(self.seed, STUDENT_PLACE))
        with self.strategy.scope():
            return initial_student(self.config, teacher, self.corpus.kept, with_head=predicts_tokens(terms))

    def _give_head(self, teacher: LanguageModel) -> None:
        """A head that was trained before, or is now, for a teacher that came without its own."""
        own, given = head_path(self.config.model_dir), self.config.teacher_head
        record = head_record(self.config.pt_teacher_checkpoint, self.corpus.kept)
        if self.workers.broadcast_from_chief(os.path.isfile(own)):
            load_weights(own, head_parts(teacher))
            return  # the snapshots that are there now are the student's
        keeper = self._keeper("teacher's head")
        if given:
            if read_head_record(given) not in (None, record):
                raise InputError(f"`teacher_head` {given} was trained on other tokens of the teacher. Train one anew.")
            load_weights(given, head_parts(teacher))
        else:
            self._train_head(teacher, keeper)

        def save() -> None:
            write_head_record(own, record)
            save_weights(own, head_parts(teacher))
            if not given:
                keeper.clear()

        self.workers.on_chief(save)

    def _train_head(self, teacher: LanguageModel, keeper: SnapshotManager) -> None:
        config, steps = self.config, self.config.teacher_head_steps
        self.progress.log(
            f"{config.pt_teacher_checkpoint} comes without its head for words: one is trained on it, {steps:,} updates."
        )
        self.progress.begin("the teacher's head", later=[])
        recipe = self.recipe(steps, config.teacher_head_learning_rate, stage_seed(self.seed, HEAD_PLACE))
        batches = self.corpus.word_batches(period_of(steps, config.eval_steps), recipe.seed)
        train_head(teacher, batches, recipe, self.strategy, self.progress.step, keeper)

    def _fit(self, student: LanguageModel, teacher: LanguageModel, terms: Terms) -> tuple[History, dict]:
        """Trains the student; the history, and what it comes to on held-out rows."""
        wanted = {"predicts": predicts_tokens(terms), "taught": terms.uses_logits}
        with self.strategy.scope():
            asked = teacher if needs_teacher(terms) else None
            model, projections = taught_model(student, asked, terms.matches, **wanted)
        objective = language_objective(terms)
        recipe = self.recipe(self._steps, self.config.learning_rate, stage_seed(self.seed, FIT_PLACE))
        variables, factors = self._trained(student, projections, terms)
        trainer = Trainer(model, variables, objective, self.strategy, recipe, factors)
        batches = self.corpus.batches(period_of(self._steps, self.config.eval_steps), recipe.seed)
        score = LanguageScore(model, objective, self.corpus.held_out_batches())
        self.progress.begin("the student", later=[])
        history = fit(trainer, batches, self._evaluate(score), self.progress.step, self._keeper("student"))
        return history, score()

    def _trained(self, student: LanguageModel, projections: Sequence, terms: Terms) -> tuple[list, list[float]]:
        """The variables that change, and what multiplies the learning rate of each."""
        own = trained_variables(student, self.config)
        rates = projection_rates(terms.matches, self.config.learning_rate)
        projected = [(variable, rates.get(layer.name, 1.0)) for layer in projections for variable in layer.weights]
        return own + [variable for variable, _ in projected], [1.0] * len(own) + [rate for _, rate in projected]

    def _evaluate(self, score: LanguageScore):
        """Higher is better: minus the loss. Which words come first changes by leaps, on rows that are few."""
        return lambda: self.workers.broadcast_from_chief(-score()["loss"])

    @property
    def _steps(self) -> int:
        return self.config.max_steps or max(1, round(self.config.epochs * self.corpus.steps_per_pass))

    def recipe(self, steps: int, peak: float, seed: int) -> TrainingSettings:
        """Of so many updates, without an early end."""
        config = self.config
        periods = -(-steps // period_of(steps, config.eval_steps))
        rate = LearningRate(peak, periods, periods, config.warmup_ratio, config.lr_schedule, steps)
        return TrainingSettings(rate, periods, config.max_grad_norm, seed, config.weight_decay, config.jit_compile)

    def _keeper(self, what: str) -> SnapshotManager:
        """Of the snapshots of a fit; of other devices or text, they are not read."""
        key = f"{what}, {self.strategy.num_replicas_in_sync} devices, {self.corpus.key}"
        return SnapshotManager.of(self.config.model_dir, self.config, key, self.workers, self.progress.log)

    def _report(self, student: LanguageModel, teacher: LanguageModel, scores: dict, history: History) -> PretrainReport:
        taught = None
        if teacher.head is not None:
            model = teacher.feature_model([], logits=True)
            taught = LanguageScore(model, language_objective(LABELS_ALONE), self.corpus.held_out_batches())()[
                "accuracy"
            ]
        pieces = self._steps * self.corpus.pieces / self.corpus.steps_per_pass
        return PretrainReport(
            teacher_accuracy=taught,
            student_accuracy=scores["accuracy"] if student.head else None,
            loss=scores["loss"],
            parameters={"teacher": parameters(teacher), "student": parameters(student)},
            rows=len(self.corpus.train),
            pieces=self.corpus.pieces,
            steps=self._steps,
            seconds=history.seconds,
            pieces_per_second=pieces / history.seconds,
            history=history.epochs,
        )

    def _write(self, student: LanguageModel, terms: Terms, report: PretrainReport) -> None:
        config, head = self.config, student.head
        write_checkpoint(
            os.path.join(config.model_dir, CHECKPOINT),
            student.encoder,
            student.family,
            self.corpus.tokenizer,
            head=head.state() if head else {},
            architecture=head.pytorch_class if head else None,
            seq_len=config.seq_len,
            card=pretrain_card(config, student, terms, report),
        )
        files.write_json(os.path.join(config.model_dir, REPORT), report.to_dict())
        shutil.rmtree(os.path.join(config.model_dir, model_folder.SNAPSHOTS), ignore_errors=True)


def parameters(model: LanguageModel) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.weights)


def period_of(steps: int, eval_steps: int) -> int:
    """Updates before each score; there may be fewer before the last."""
    return min(steps, eval_steps) if eval_steps else -(-steps // SCORES)


def trained_variables(student: LanguageModel, config: PretrainConfig) -> list[tf.Variable]:
    """All of the student's but the embeddings that are to stay as they are."""
    kept = tuple(part for name, parts in FROZEN.items() if getattr(config, name) for part in parts)
    return [variable for variable in student.weights if not any(f"/{part}/" in variable.name for part in kept)]
