"""Training on labels only: a distilled student continued (`run_xtreme_distil_ft.py`), and the plain fine-tuning
baseline (`run_model_ft.py`)."""

import contextlib
import functools
import hashlib
import json
import os
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from xtremedistil.console.progress import Progress
from xtremedistil.data.features import LabelledSet
from xtremedistil.evaluation.report import Report
from xtremedistil.evaluation.scorer import Scorer, scored_row
from xtremedistil.evaluation.verdict import Scores, commonest_score, verdict
from xtremedistil.finetuning.plan import FineTuningPlan, LabelPlan
from xtremedistil.finetuning.supervised import LabelFit, fit_on_labels
from xtremedistil.models.architectures.families import find_family
from xtremedistil.models.architectures.shapes import encoder_shape
from xtremedistil.models.checkpoints.h5_weights import save_weights
from xtremedistil.models.checkpoints.pretrained import load_encoder, read_config
from xtremedistil.models.checkpoints.tuned_head import find_tuned_head
from xtremedistil.models.features.word_embeddings import word_embedding_variable
from xtremedistil.models.student import Student
from xtremedistil.models.student_folder import restore_student
from xtremedistil.models.teacher import Teacher, build_teacher
from xtremedistil.storage import files, model_folder
from xtremedistil.tasks import Task, open_task, saved_task
from xtremedistil.tasks.class_weights import class_weights
from xtremedistil.tasks.labelled_sets import described_sets, read_labelled_sets
from xtremedistil.tokenization.model_folder import load_tokenizer
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.tokenization.vocabulary import refuse_unknown_tokens
from xtremedistil.training.snapshots import SnapshotManager
from xtremedistil.training.state import History
from xtremedistil.training.strategy import make_strategy, precision, seed_everything, stage_seed
from xtremedistil.training.trainer import TrainingSettings
from xtremedistil.training.workers import Workers, folder_lock, told_of_lost_workers


def continue_training(plan: LabelPlan) -> Report:
    """Trains all blocks of a student on its task's labels; writes `xtremedistil-ft.h5`.

    Frozen word embeddings stay frozen. Folders of the original release can be continued.
    """
    saved = model_folder.read_config(plan.model_dir)
    strategy = make_strategy(plan.strategy, plan.tpu)
    workers = Workers(strategy)
    with told_of_lost_workers(workers), folder_lock(workers, plan.model_dir), precision(plan.precision):
        tokenizer = load_tokenizer(plan.model_dir, saved, plan.tokenizer)
        task = saved_task(saved)
        sets = read_labelled_sets(task, plan.task or saved["task"], tokenizer, saved["seq_len"])
        weights = class_weights(plan.class_weight, task.labels, sets[0].features)
        seed_everything(plan.options.seed)
        with strategy.scope():
            student = restore_student(plan.model_dir)
        started_from = files.fingerprint(model_folder.weight_file(plan.model_dir, model_folder.STUDENT_WEIGHTS))
        frozen = word_embedding_variable(student.encoder) if saved.get("freeze_word_embedding") else None
        parts = {name: [v for v in variables if v is not frozen] for name, variables in student.parts.items()}
        variables = [v for block in student.blocks.values() for v in block if v is not frozen]
        run = _LabelRun(plan, task, tokenizer, sets, strategy, workers, weights, started_from, saved["seq_len"])
        report = run.fit_and_report("student, continued", student, variables, parts)

        def save() -> None:
            save_weights(plan.path(model_folder.CONTINUED_WEIGHTS), parts)
            run.snapshots.clear()

        workers.on_chief(save)
    run.snapshots.stop_if_asked()
    return report


def fine_tune(plan: FineTuningPlan) -> Report:
    """Fine-tunes a pre-trained model on the labels; writes `model-ft.h5`, `metrics.json` and the tokenizer."""
    strategy = make_strategy(plan.strategy, plan.tpu)
    workers = Workers(strategy)
    with told_of_lost_workers(workers), folder_lock(workers, plan.model_dir), precision(plan.precision):
        tokenizer, saved = Tokenizer.load(plan.tokenizer), read_config(plan.checkpoint)
        refuse_unknown_tokens(tokenizer, encoder_shape(saved, plan.checkpoint).vocab_size, plan.checkpoint)
        task = open_task(plan.task, plan.kind)
        sets = read_labelled_sets(task, plan.task, tokenizer, plan.seq_len)
        weights = class_weights(plan.class_weight, task.labels, sets[0].features)
        seed_everything(plan.options.seed)
        family = find_family(plan.class_name, saved["model_type"])
        head = {"by_position": task.by_position, "problem_type": task.problem_type}
        tuned = find_tuned_head(plan.checkpoint, family, task.labels, **head)
        if line := tuned.fate("training goes on from it"):
            Progress().log(f"model: {line}")
        with strategy.scope():
            encoder = load_encoder(plan.checkpoint, family, name="tf_model")
            teacher = build_teacher(encoder, family, **head, num_labels=len(task.all_labels), tuned=tuned.head)
        started_from = model_folder.fingerprint_checkpoint(plan.checkpoint)
        run = _LabelRun(plan, task, tokenizer, sets, strategy, workers, weights, started_from, plan.seq_len)
        report = run.fit_and_report("fine-tuned model", teacher, teacher.weights, teacher.parts)

        def save() -> None:
            with contextlib.suppress(FileNotFoundError):  # a record of weights that are replaced now
                os.remove(plan.path(model_folder.TEACHER_RECORD))
            save_weights(plan.path(model_folder.TEACHER_WEIGHTS), teacher.parts)
            tokenizer.save(plan.model_dir, vouched=True)
            files.write_json(plan.path(model_folder.METRICS), report.to_dict())
            run.snapshots.clear()

        workers.on_chief(save)
    run.snapshots.stop_if_asked()
    return report


@dataclass(frozen=True)
class _LabelRun:
    """What the two commands share: a fit on train, chosen by dev, scored once on test.

    Fields:
        starting_weights: fingerprint of the weights that training starts from.
    """

    plan: LabelPlan
    task: Task
    tokenizer: Tokenizer
    sets: list[LabelledSet]
    strategy: tf.distribute.Strategy
    workers: Workers
    class_weights: np.ndarray | None
    starting_weights: str
    seq_len: int

    @functools.cached_property
    def snapshots(self) -> SnapshotManager:
        """Snapshots of the fit; other settings or files make another fit of it."""
        flags = self.plan.settings | {"devices": self.strategy.num_replicas_in_sync}
        parts = [flags, self.starting_weights, list(self.task.labels), [_digest(entry) for entry in self.sets]]
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return SnapshotManager.of(self.plan.model_dir, self.plan.options, key, self.workers)

    def fit_and_report(self, name: str, trained: Student | Teacher, variables: list, parts: dict) -> Report:
        train, dev, test = self.sets
        scorer = Scorer(self.task, self.tokenizer.pad_id, self.plan.batch_size)
        progress = Progress()
        for line in described_sets(self.task, self.sets, self.tokenizer, self.seq_len, scorer.metric_note):
            progress.log(line)
        progress.begin(name, later=[])
        label_fit = LabelFit(
            train=train.features,
            pad_id=scorer.pad_id,
            batch_size=self.plan.batch_size,
            settings=self._training_settings(),
            strategy=self.strategy,
            workers=self.workers,
            progress=progress,
            snapshots=self.snapshots,
            batches_per_step=self.plan.options.gradient_accumulation_steps,
            class_weights=self.class_weights,
        )
        predict = trained.predict_function
        history = fit_on_labels(trained.model, variables, trained, label_fit, lambda: scorer.primary(predict, dev))
        row, metrics = scored_row(name, predict, parts, scorer, history.best_score, test)
        scores = Scores(commonest_score(self.task, train.examples, test.examples), row.test)
        notes = {"metric_note": scorer.metric_note, "verdict": verdict(scores)}
        return Report([row], {name: metrics}, [_stage_entry(name, history)], **notes)

    def _training_settings(self) -> TrainingSettings:
        plan = self.plan
        return TrainingSettings.of(plan.options, plan.learning_rate, plan.epochs, stage_seed(plan.options.seed))


def _digest(labelled: LabelledSet) -> str:
    """sha256 of examples and labels."""
    return hashlib.sha256(labelled.features.fingerprint().encode() + labelled.features.labels.tobytes()).hexdigest()


def _stage_entry(name: str, history: History) -> dict:
    """An entry of `Report.stages`."""
    return {
        "stage": name,
        "objective": "labels",
        "unfrozen": ["all"],
        "epochs": len(history.epochs),
        "dev": history.best_score,
        "score": history.best_score,
        "seconds": history.seconds,
    }
