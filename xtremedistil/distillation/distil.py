"""A whole distillation: teacher, stages, selection on dev, artefacts, report.

Killed and started again with the same command, it goes on after the last finished stage (or chunk of a stage) and ends
with the same bytes. Order of resuming: (1) the teacher's `model-ft.h5`; (2) each stage's checkpoint; a stage counts as
finished when both its weights and its history are there.
"""

import dataclasses
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xtremedistil import artefacts
from xtremedistil.config import DistilConfig, resolve
from xtremedistil.distillation.corpus import Corpus, LabelledSet, data_fingerprint, read_corpus
from xtremedistil.distillation.initial_student import InitialStudent, initial_student
from xtremedistil.distillation.layer_map import Match, last_layers
from xtremedistil.distillation.objectives import logits_objective, representation_objective
from xtremedistil.distillation.on_labels import LabelFit, fit_on_labels
from xtremedistil.distillation.stages import Stage, checkpoint_name, plan_stages
from xtremedistil.distillation.targets import Targets, compute_targets
from xtremedistil.distillation.tuned_teacher import TunedTeacher, tuned_teacher
from xtremedistil.models.embeddings import word_embedding_variable
from xtremedistil.models.forward import make_predict_function
from xtremedistil.reporting.progress import Progress, clock
from xtremedistil.reporting.report import Report, ReportRow
from xtremedistil.scoring import Scorer, milliseconds_per_row, parameter_count
from xtremedistil.tasks.features import Features
from xtremedistil.tasks.tokenizer import Tokenizer
from xtremedistil.training.batches import TrainingBatches
from xtremedistil.training.learning_rate import LearningRate
from xtremedistil.training.loop import History, Loss, Recipe, Trainer, fit
from xtremedistil.training.strategy import make_strategy, seed_everything, set_precision, stage_seed
from xtremedistil.weights import load_weights, save_weights

NOT_SETTINGS = ("model_dir", "teacher_model_dir", "overwrite", "dry_run", "verbose", "baseline")
PATHS = ("task", "transfer_file", "pt_teacher_checkpoint", "pt_student_checkpoint")


def distil(config: DistilConfig) -> Report:
    """Distils as `config` says; writes the student into `config.model_dir`.

    Raises:
        InputError: something in the settings or files cannot be used; nothing half-written stays behind.
    """
    config = resolve(config)
    with artefacts.locked(config.model_dir):
        artefacts.claim(config.model_dir, run_settings(config), config.overwrite)
        return _Run(config).to_the_end()


def run_settings(config: DistilConfig) -> dict:
    """What decides the result: flags, and the bytes of data and checkpoints in place of their paths."""
    settings = {
        name: value for name, value in dataclasses.asdict(config).items() if name not in (*NOT_SETTINGS, *PATHS)
    }
    settings["pt_teacher_checkpoint"] = artefacts.fingerprint_checkpoint(config.pt_teacher_checkpoint)
    if config.pt_student_checkpoint:
        settings["pt_student_checkpoint"] = artefacts.fingerprint_checkpoint(config.pt_student_checkpoint)
    return settings | data_fingerprint(config)


@dataclass(frozen=True)
class StageResult:
    """A finished stage: the variables it left are in place; `score` is dev (or minus held-out loss in stage 1)."""

    stage: Stage
    score: float
    dev: float | None
    epochs: int
    seconds: float


class _Run:
    """What the steps of one distillation share."""

    def __init__(self, config: DistilConfig):
        self.config = config
        self.progress = Progress()
        self.strategy = make_strategy(config.strategy, config.tpu)
        self.tokenizer = Tokenizer.load(config.pt_teacher_checkpoint)
        self.corpus: Corpus = read_corpus(config, self.tokenizer)
        self.scorer = Scorer(self.corpus.task, self.tokenizer.pad_id, config.teacher_batch_size, config.legacy)
        self.report = Report()

    def to_the_end(self) -> Report:
        set_precision(None)
        self.teacher: TunedTeacher = self._teacher()
        set_precision(self.config.opt_policy)
        if self.config.baseline:
            self._baseline()
        self.initial: InitialStudent = self._new_student()
        self.blocks = self.initial.trainable_blocks(self.config.freeze_word_embedding)
        self.parts = _saved_parts(self.initial, self.config.freeze_word_embedding)
        self.predict = make_predict_function(self.initial.student.model)
        best = self._run_stages()
        self._save_student(best)
        return self.report

    def path(self, name: str) -> str:
        return os.path.join(self.config.model_dir, name)

    # Teacher and baseline

    def _teacher(self) -> TunedTeacher:
        folder = self.config.teacher_model_dir
        same = os.path.realpath(folder) == os.path.realpath(self.config.model_dir)
        with _nothing() if same else artefacts.locked(folder):
            teacher = tuned_teacher(self.config, self.corpus, self.scorer, self.strategy, self.progress)
        self._add_row("teacher", teacher.teacher.model, teacher.teacher.parts, teacher.seconds, teacher.epochs)
        return teacher

    def _new_student(self) -> InitialStudent:
        return initial_student(self.config, self.corpus, self.teacher.teacher, self.strategy)

    def _baseline(self) -> None:
        """The same student on the labels alone, all blocks at once."""
        initial = self._new_student()
        path, parts = self.path(artefacts.BASELINE_WEIGHTS), initial.student.parts
        blocks = initial.trainable_blocks(self.config.freeze_word_embedding)
        seconds, epochs = 0.0, 0
        if os.path.isfile(path):
            load_weights(path, parts)
        else:
            rate = self._rate(self.config.learning_rate, self.config.ft_epochs)
            self.progress.begin("student on labels alone", later=[])
            setting = self._label_fit(rate, self.config.student_ft_batch_size, place=(99,))
            history = fit_on_labels(initial.student.model, _flat(blocks), setting)
            save_weights(path, parts)
            seconds, epochs = history.seconds, len(history.epochs)
        self._add_row("student, labels only", initial.student.model, parts, seconds, epochs)

    # Stages

    def _run_stages(self) -> int:
        """Runs the plan; returns the number of the best stage, whose weights are in place."""
        stages = plan_stages(self.config, list(self.blocks))
        best_score, best_stage, best = -np.inf, None, None
        for place, stage in enumerate(stages):
            later = [self._most_steps(other) for other in stages[place + 1 :]]
            result = self._run_stage(stage, later)
            self._note(result)
            # The latest of equals wins, as in the original.
            if result.dev is not None and result.dev >= best_score:
                best_score, best_stage = result.dev, stage.number
                best = [variable.numpy() for variable in _flat(self.parts)]
        for variable, value in zip(_flat(self.parts), best, strict=True):
            variable.assign(value)
        return best_stage

    def _run_stage(self, stage: Stage, later: list[int]) -> StageResult:
        seed_everything(stage_seed(self.config.seed, stage.number))
        self.progress.begin(f"stage {stage.number} ({stage.objective}: {', '.join(stage.unfrozen)})", later)
        if not stage.on_transfer_set:
            return self._label_stage(stage)
        if stage.objective == "logits":
            return self._transfer_stage(stage, _LogitsFit(self, stage))
        return self._transfer_stage(stage, _RepresentationFit(self, stage))

    def _label_stage(self, stage: Stage) -> StageResult:
        path = self.path(checkpoint_name(stage, None))
        rate = self._rate(stage.learning_rate, stage.epochs)
        setting = self._label_fit(rate, stage.batch_size, place=(stage.number,))
        variables = [variable for name in stage.unfrozen for variable in self.blocks[name]]
        record = _once(path, self.parts, lambda: fit_on_labels(self.initial.student.model, variables, setting))
        return StageResult(stage, record["score"], self._dev(), record["epochs"], record["seconds"])

    def _transfer_stage(self, stage: Stage, work: "_TransferFit") -> StageResult:
        """Chunk after chunk, until the score has not risen for `patience` chunks; the best chunk's weights stay."""
        best, kept, waited, epochs, seconds = -np.inf, None, 0, 0, 0.0
        for start in range(0, len(self.corpus.transfer), self.config.distil_chunk_size):
            path = self.path(checkpoint_name(stage, start))
            record = _once(path, work.parts, lambda start=start: work.fit_chunk(start))
            epochs, seconds = epochs + record["epochs"], seconds + record["seconds"]
            if record["score"] > best:
                best, waited = record["score"], 0
                kept = [variable.numpy() for variable in work.variables]
                continue
            waited += 1
            for variable, value in zip(work.variables, kept, strict=True):
                variable.assign(value)
            if waited >= self.config.patience:
                break
        dev = self._dev() if stage.objective != "representation" else None
        return StageResult(stage, best, dev, epochs, seconds)

    def targets(self, start: int, names: list[str]) -> Targets:
        """Teacher outputs of the chunk that begins with row `start`."""
        end = min(start + self.config.distil_chunk_size, len(self.corpus.transfer))
        return self.targets_of(self.corpus.transfer.take(np.arange(start, end)), f"chunk-{start}", names)

    def targets_of(self, rows: Features, name: str, names: list[str]) -> Targets:
        teacher = self.teacher.teacher
        wanted = sorted({"logits", *names})
        targets = compute_targets(
            teacher.feature_model(wanted),
            rows,
            wanted,
            os.path.join(self.path(artefacts.TARGETS), name),
            pad_id=self.tokenizer.pad_id,
            batch_size=self.config.teacher_batch_size,
            key=f"{self.teacher.key} {len(rows)} rows",
            progress=self.progress.count(f"teacher's outputs ({name})"),
        )
        return targets.select(names)

    def matches(self) -> list[Match]:
        config, student = self.config, self.initial.student
        return last_layers(
            teacher_layers=self.teacher.teacher.encoder.config.num_hidden_layers,
            student_layers=student.encoder.config.num_hidden_layers,
            multi_hidden_states=config.distil_multi_hidden_states,
            attention=config.distil_attention,
            hidden_weight=config.hidden_weight,
            attention_weight=config.attention_weight,
        )

    # Settings of a fit

    def _rate(self, peak: float, epochs: int) -> LearningRate:
        config = self.config
        return LearningRate(peak, epochs, config.decay_epochs, config.warmup_ratio, config.lr_schedule)

    def recipe(self, rate: LearningRate, *place: int) -> Recipe:
        return Recipe(rate, self.config.patience, self.config.max_grad_norm, stage_seed(self.config.seed, *place))

    def stage_recipe(self, stage: Stage) -> Recipe:
        return self.recipe(self._rate(stage.learning_rate, stage.epochs), stage.number)

    def _label_fit(self, rate: LearningRate, batch_size: int, place: tuple[int, ...]) -> LabelFit:
        return LabelFit(
            self.corpus.train.features,
            self._selection,
            self.scorer,
            batch_size,
            self.recipe(rate, *place),
            self.strategy,
            self.progress,
        )

    @property
    def _selection(self) -> LabelledSet:
        """What decides between stages: dev; the original took the test file."""
        return self.corpus.test if self.config.legacy else self.corpus.dev

    def _dev(self) -> float:
        return self.scorer.primary(self.predict, self._selection)

    def dev_score(self) -> Callable[[], float]:
        return self._dev

    def _most_steps(self, stage: Stage) -> int:
        rows = len(self.corpus.transfer) if stage.on_transfer_set else len(self.corpus.train.features)
        return stage.epochs * -(-rows // (stage.batch_size * self.strategy.num_replicas_in_sync))

    # Results

    def _note(self, result: StageResult) -> None:
        stage = result.stage
        score = f"dev {100 * result.dev:.1f}" if result.dev is not None else f"held-out loss {-result.score:.4g}"
        self.progress.say(
            f"stage {stage.number} {stage.objective:<14} trained {'+'.join(stage.unfrozen):<18} "
            f"{score}  {result.epochs} epochs in {clock(result.seconds)}"
        )
        entry = {"stage": stage.number, "objective": stage.objective, "unfrozen": list(stage.unfrozen)}
        entry |= {"epochs": result.epochs, "dev": result.dev, "score": result.score, "seconds": result.seconds}
        self.report.stages.append(entry)

    def _add_row(self, name: str, model: tf.keras.Model, parts: dict, seconds: float, epochs: int) -> None:
        predict = make_predict_function(model)
        dev = self.scorer.primary(predict, self.corpus.dev)
        metrics = self.scorer.metrics(predict, self.corpus.test)
        primary = metrics["primary"]
        speed = milliseconds_per_row(model, self.corpus.test.features, self.tokenizer.pad_id)
        self.report.rows.append(ReportRow(name, parameter_count(parts), primary, dev, metrics[primary], speed))
        self.report.metrics[name] = metrics
        if epochs:
            entry = {"stage": name, "objective": "labels", "unfrozen": ["all"], "epochs": epochs, "dev": dev}
            self.report.stages.append(entry | {"score": dev, "seconds": seconds})
        self.progress.say(f"{name}: dev {100 * dev:.1f}, {epochs} epochs in {clock(seconds)}")

    def _save_student(self, best_stage: int) -> None:
        student = self.initial.student
        self.report.best_stage = best_stage
        self._add_row("student", student.model, student.parts, 0.0, 0)
        self.tokenizer.save(self.config.model_dir)
        frozen = self.config.compress_word_embedding
        table = self.initial.word_embedding if frozen else word_embedding_variable(student.encoder).numpy()
        artefacts.write_array(self.path(artefacts.WORD_EMBEDDING), table)
        save_weights(self.path(artefacts.STUDENT_WEIGHTS), self.parts)
        artefacts.write_json(self.path(artefacts.REPORT), self.report.to_dict())
        artefacts.write_json(self.path(artefacts.CONFIG), saved_config(self.config, self.corpus, student))
        shutil.rmtree(self.path(artefacts.TARGETS), ignore_errors=True)
        self.progress.say(f"stage {best_stage} was best on dev; the student is in {self.config.model_dir}")


def saved_config(config: DistilConfig, corpus: Corpus, student) -> dict:
    """`xtremedistil-config.json`: the original's keys, and what makes the folder stand alone."""
    task = corpus.task
    return dataclasses.asdict(config) | {
        "hidden_size": student.encoder.config.hidden_size,
        "num_hidden_layers": student.encoder.config.num_hidden_layers,
        "num_attention_heads": student.encoder.config.num_attention_heads,
        "teacher_hidden_size": student.teacher_hidden_size,
        "label_list": list(task.all_labels),
        "pseudo_labels": list(task.pseudo_labels) if task.kind == "token_classification" else [],
        "student_config": student.encoder.config.to_diff_dict() | {"model_type": student.family.model_type},
        "format_version": 2,
    }


class _TransferFit:
    """A stage on the transfer set: one model and optimizer over all its chunks."""

    def __init__(self, run: _Run, stage: Stage, model, extra: dict, objective, names: list[str]):
        self.run, self.stage, self.names = run, stage, names
        self.parts = run.parts | extra
        blocks = [run.blocks[name] for name in stage.unfrozen] + list(extra.values())
        self.variables = [variable for block in blocks for variable in block]
        self._model, self._objective = model, objective
        self._trainer = None

    def fit_chunk(self, start: int) -> History:
        """Trains on one chunk; the optimizer's state is kept from chunk to chunk."""
        run, recipe = self.run, self.run.stage_recipe(self.stage)
        if self._trainer is None:
            self._trainer = Trainer(self._model, self.variables, self._objective, run.strategy, recipe)
        targets = run.targets(start, self.names)
        rows = self.stage.batch_size * run.strategy.num_replicas_in_sync
        seed = stage_seed(run.config.seed, self.stage.number, start)
        batches = TrainingBatches(targets.features, rows, run.tokenizer.pad_id, seed, targets)
        return fit(self._trainer, batches, self.score, run.progress.step)

    def score(self) -> float:
        raise NotImplementedError


class _LogitsFit(_TransferFit):
    def __init__(self, run: _Run, stage: Stage):
        student = run.initial.student
        super().__init__(run, stage, student.model, {}, logits_objective(run.config.legacy), ["logits"])

    def score(self) -> float:
        return self.run._dev()


class _RepresentationFit(_TransferFit):
    def __init__(self, run: _Run, stage: Stage):
        matches = run.matches()
        with run.strategy.scope():
            model, projections = run.initial.student.matching_model(matches)
        extra = {layer.name: list(layer.variables) for layer in projections}
        objective = representation_objective(matches, run.config.legacy)
        super().__init__(run, stage, model, extra, objective, sorted({match.teacher_name for match in matches}))
        self._held_out = None

    def score(self) -> float:
        """Minus the loss on the held-out slice."""
        if self._held_out is None:
            targets = self.run.targets_of(self.run.corpus.held_out, "held-out", self.names)
            self._held_out = HeldOutLoss(self._model, self._objective, targets, self.run.tokenizer.pad_id)
        return -self._held_out()


class HeldOutLoss:
    """An objective over fixed rows in inference mode: the weighted sum of its terms, each averaged over all rows."""

    def __init__(self, model: tf.keras.Model, objective, targets: Targets, pad_id: int, batch_size: int = 64):
        self._batches = TrainingBatches(targets.features, batch_size, pad_id, seed=0, targets=targets)
        self._terms = tf.function(
            lambda batch: _sums(objective(model({n: batch[n] for n in model.input_names}, training=False), batch)),
            reduce_retracing=True,
        )

    def __call__(self) -> float:
        sums: dict[str, np.ndarray] = {}
        for (batch,) in self._batches.epoch(0, replicas=1):
            for name, value in self._terms(batch).items():
                sums[name] = sums.get(name, 0.0) + value.numpy()
        return float(sum(weighted / max(count, 1.0) for weighted, count in sums.values()))


def _sums(terms: dict[str, Loss]) -> dict[str, tf.Tensor]:
    return {name: tf.stack([term.weight * term.value * term.count, term.count]) for name, term in terms.items()}


def _once(path: str, parts: dict, work: Callable[[], History]) -> dict:
    """Does `work` and saves weights and history, or loads them if both are there; returns the saved record."""
    history_path = path.removesuffix(".h5") + "-history.json"
    if os.path.isfile(path) and os.path.isfile(history_path):
        load_weights(path, parts)
        return artefacts.read_json(history_path)
    started = time.monotonic()
    history = work()
    record = {"score": history.best_score, "best_epoch": history.best_epoch, "epochs": len(history.epochs)}
    record |= {"seconds": time.monotonic() - started, "history": history.epochs}
    save_weights(path, parts)
    artefacts.write_json(history_path, record)
    return record


def _saved_parts(initial: InitialStudent, frozen: bool) -> dict[str, list[tf.Variable]]:
    """The student's parts in a weight file: frozen word embeddings stand in `word_embedding.npy` instead."""
    if not frozen:
        return initial.student.parts
    table = word_embedding_variable(initial.student.encoder)
    return {name: [v for v in variables if v is not table] for name, variables in initial.student.parts.items()}


def _flat(blocks: dict[str, list[tf.Variable]]) -> list[tf.Variable]:
    return [variable for variables in blocks.values() for variable in variables]


def _nothing():
    import contextlib

    return contextlib.nullcontext()
