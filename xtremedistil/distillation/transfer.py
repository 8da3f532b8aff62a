"""Stages on the transfer set: chunk by chunk, towards the teacher's states or logits."""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from xtremedistil.distillation.checkpoints import once, optimizer_parts
from xtremedistil.distillation.frozen_features import frozen_features
from xtremedistil.distillation.initial_student import InitialStudent
from xtremedistil.distillation.layer_map import Match, configured_matches
from xtremedistil.distillation.objectives import (
    ALL,
    FIRST,
    LABELLED,
    REAL,
    ROWS,
    logits_objective,
    original_representation_objective,
    representation_objective,
)
from xtremedistil.distillation.setting import Setting
from xtremedistil.distillation.stages import Stage, checkpoint_name
from xtremedistil.distillation.target_source import Source
from xtremedistil.distillation.targets import LiveTargets, Targets
from xtremedistil.distillation.transfer_rows import chunk_name
from xtremedistil.distillation.tuned_teacher import TunedTeacher
from xtremedistil.tasks.padding import INPUT_NAMES
from xtremedistil.training.batches import TrainingBatches
from xtremedistil.training.loop import batch_signature, fit
from xtremedistil.training.place import History
from xtremedistil.training.snapshots import Keeper
from xtremedistil.training.strategy import stage_seed
from xtremedistil.training.trainer import Loss, Objective, Trainer

HELD_OUT_BATCH = 64


class TransferFit:
    """One stage: a model, an objective and an optimizer over all chunks.

    Args:
        extra: parts of the checkpoint that belong to this stage alone, layer name -> variables.
        names: teacher outputs that the objective reads.
        score: of the weights as they stand, higher is better; decides when a fit ends and which chunk is kept.
    """

    def __init__(self, setting: Setting, student: InitialStudent, stage: Stage, source: Source):
        self._setting, self._student, self._stage, self._source = setting, student, stage, source
        self._frozen = frozen_features(setting, student, stage)
        build = self._representation if stage.objective == "representation" else self._logits
        self._model, self._objective, self._names, extra = build()
        self.parts = student.checkpoint_parts | extra
        blocks = [student.trainable_blocks[name] for name in stage.unfrozen] + list(extra.values())
        self.variables = [variable for block in blocks for variable in block]
        recipe = setting.recipe(stage.learning_rate, stage.epochs, stage.number)
        self._trainer = Trainer(self._model, self.variables, self._objective, setting.strategy, recipe)
        if len(setting.corpus.transfer.starts) > 1:
            self.parts |= optimizer_parts(self._trainer.optimizer)
        self._held_out: HeldOutLoss | None = None

    def run(self) -> dict:
        """Chunk after chunk, until the score has not risen for `patience` of them; the best one's weights stay.

        Returns:
            "score" of these weights; "epochs" and "seconds" of all chunks together.
        """
        best, kept, waited, epochs, seconds = -np.inf, None, 0, 0, 0.0
        for start in self._setting.corpus.transfer.starts:
            path = self._setting.path(checkpoint_name(self._stage, start))
            keeper = self._setting.keeper(f"stage {self._stage.number}, chunk {start}")
            fit_chunk = functools.partial(self._fit_chunk, start, keeper)
            record = once(path, self.parts, keeper, self._setting.workers, fit_chunk)
            self._finish_chunk(start)
            epochs, seconds = epochs + record["epochs"], seconds + record["seconds"]
            if record["score"] > best:
                best, waited = record["score"], 0
                kept = [variable.numpy() for variable in self.variables]
                continue
            waited += 1
            for variable, value in zip(self.variables, kept, strict=True):
                variable.assign(value)
            self._student.student.settle()
            if waited >= self._setting.config.patience:
                break
        return {"score": best, "epochs": epochs, "seconds": seconds}

    def _fit_chunk(self, start: int, keeper: Keeper) -> History:
        """Trains on one chunk; the optimizer's state goes on from chunk to chunk (and so is in their checkpoints)."""
        setting, stage = self._setting, self._stage
        targets = self._source.chunk(start, self._names)
        seed = stage_seed(setting.config.seed, stage.number, start)
        self._trainer.seed = seed
        rows = setting.global_batch(stage.batch_size)
        setting.progress.restart()
        per_step = setting.config.gradient_accumulation_steps
        features = targets.features.with_words_labelled() if self._by_word else targets.features
        read = [targets, self._frozen.of(targets.features, chunk_name(start))] if self._frozen else [targets]
        batches = TrainingBatches(features, rows, setting.pad_id, seed, read, per_step)
        history = fit(self._trainer, batches, self._score, setting.progress.step, keeper)
        self._student.student.settle()
        return history

    def _finish_chunk(self, start: int) -> None:
        """Frees the disk of what no later fit will read."""
        if self._stage.objective == "representation":
            self._source.finish_chunk(start)
        if self._frozen and len(self._setting.corpus.transfer.starts) > 1:
            self._frozen.forget(chunk_name(start))

    @property
    def _by_word(self) -> bool:
        """Whether the teacher has something to say at the first piece of each word alone."""
        return self._setting.config.logits_only and self._setting.corpus.task.kind == "token_classification"

    def _logits(self):
        positions = ALL if self._setting.config.legacy else LABELLED if self._by_word else REAL
        tagging = self._setting.corpus.task.kind == "token_classification"
        model = self._frozen.model if self._frozen else self._student.student.training_model
        return model, logits_objective(positions if tagging else ROWS), ["logits"], {}

    def _representation(self):
        config = self._setting.config
        matches = _matches(config, self._source.teacher, self._student)
        heads = self._source.teacher.teacher.encoder.config.num_attention_heads
        own_heads = self._student.student.encoder.config.num_attention_heads
        if config.distil_attention and heads != own_heads:
            self._setting.progress.say(
                f"attention: {heads} heads in the teacher, {own_heads} in the student; averages over heads are matched"
            )
        with self._setting.strategy.scope():
            model, projections = self._student.student.matching_model(matches)
        extra = {layer.name: list(layer.variables) for layer in projections}
        objective = _objective(matches, self._setting)
        return model, objective, sorted({match.teacher_name for match in matches}), extra

    def _score(self) -> float:
        """What the first worker finds: the dev metric; for states, which nobody reads, minus the held-out loss."""
        return self._setting.workers.agree(self._own_score())

    def _own_score(self) -> float:
        if self._frozen:
            return self._frozen.score(self._setting.corpus.dev)
        if self._stage.objective == "logits":
            return self._student.score(self._setting.scorer, self._setting.corpus.dev)
        if self._held_out is None:
            targets = self._source.held_out(self._names)
            self._held_out = HeldOutLoss(self._model, self._objective, targets, self._setting.pad_id)
        return -self._held_out()


def _objective(matches: Sequence[Match], setting: Setting) -> Objective:
    if not setting.config.legacy:
        return representation_objective(matches)
    tagging = setting.corpus.task.kind == "token_classification"
    return original_representation_objective(matches, ALL if tagging else FIRST)


def _matches(config, teacher: TunedTeacher, student: InitialStudent) -> list[Match]:
    depths = (model.encoder.config.num_hidden_layers for model in (teacher.teacher, student.student))
    return configured_matches(config, *depths)


class HeldOutLoss:
    """An objective over fixed rows in inference mode: the weighted sum of its terms, each averaged over all rows."""

    def __init__(self, model: tf.keras.Model, objective: Objective, targets: Targets | LiveTargets, pad_id: int):
        self._batches = TrainingBatches(targets.features, HELD_OUT_BATCH, pad_id, seed=0, targets=[targets])

        def sums(batch):
            outputs = model({name: batch[name] for name in INPUT_NAMES}, training=False)
            return {name: _weighted(term) for name, term in objective(outputs, batch).items()}

        self._sums = tf.function(sums, input_signature=[batch_signature(self._batches)])

    def __call__(self) -> float:
        totals: dict[str, np.ndarray] = {}
        for (batch,) in self._batches.epoch(0, replicas=1):
            for name, value in self._sums(batch).items():
                totals[name] = totals.get(name, 0.0) + value.numpy()
        return float(sum(weighted / max(count, 1.0) for weighted, count in totals.values()))


def _weighted(term: Loss) -> tf.Tensor:
    return tf.stack([term.weight * term.value * term.count, term.count])
