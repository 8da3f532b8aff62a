"""Runs the stages on the transfer set, chunk by chunk, on the teacher's hidden states or logits."""

import functools
from collections.abc import Callable

import numpy as np

from xtremedistil.distillation.data.joined_rows import joined_outputs
from xtremedistil.distillation.data.transfer_set import chunk_name
from xtremedistil.distillation.pipeline.output_source import Source
from xtremedistil.distillation.pipeline.run_context import RunContext
from xtremedistil.distillation.pipeline.student import InitialStudent
from xtremedistil.distillation.pipeline.student_states import frozen_features
from xtremedistil.distillation.planning.stages import JOINT, LOGITS, REPRESENTATION, Stage, checkpoint_name
from xtremedistil.distillation.teacher_outputs.cache import CachedOutputs, LiveOutputs
from xtremedistil.distillation.teacher_outputs.disk_size import has_room_for_states
from xtremedistil.errors import InputError
from xtremedistil.models.projections import PROJECTION_SPREAD, projection_rates
from xtremedistil.objectives.from_terms import terms_objective
from xtremedistil.objectives.gradient_check import require_gradients
from xtremedistil.objectives.held_out_loss import HeldOutLoss
from xtremedistil.objectives.position_masks import WordMask
from xtremedistil.terms.counted import WORDS
from xtremedistil.terms.layer_map import teacher_names
from xtremedistil.terms.match import Match
from xtremedistil.training.batching import TrainingBatches
from xtremedistil.training.loop import fit
from xtremedistil.training.run_once import optimizer_parts, run_once
from xtremedistil.training.snapshots import SnapshotManager
from xtremedistil.training.state import History
from xtremedistil.training.strategy import stage_seed
from xtremedistil.training.trainer import Trainer


class TransferFit:
    """One stage: a model, an objective and an optimizer over all chunks.

    Fields:
        parts: variables of the stage's checkpoints by layer, including those of its projections.
        variables: those that it trains.
    """

    def __init__(self, run: RunContext, student: InitialStudent, stage: Stage, source: Source):
        self._run, self._student, self._stage, self._source = run, student, stage, source
        self._terms = run.plan.stage_terms(stage.objective)
        self._frozen = frozen_features(run, student, stage) if stage.objective == LOGITS else None
        self._names = teacher_names(self._terms.matches)
        if self._terms.soft_labels.weight:
            self._names = sorted({"logits", *self._names})
        self._model, own = self._build()
        self._objective = terms_objective(
            self._terms,
            self._terms.matches,
            student.student,
            counted=run.plan.counted,
            class_weights=run.corpus.class_weights,
        )
        self.parts = student.checkpoint_parts | own
        blocks = student.unfrozen(stage.unfrozen) | own
        self.variables = [variable for block in blocks.values() for variable in block]
        rates = projection_rates(self._terms.matches, stage.learning_rate)
        factors = [rates.get(name, 1.0) for name, block in blocks.items() for _ in block]
        settings = run.training_settings(stage.learning_rate, stage.epochs, stage.number)
        self._trainer = Trainer(self._model, self.variables, self._objective, run.strategy, settings, factors)
        if len(run.corpus.transfer.starts) > 1:
            self.parts |= optimizer_parts(self._trainer.optimizer)
        self._held_out: HeldOutLoss | None = None

    def _build(self) -> tuple:
        """Returns the model that is trained, and the variables that only this stage has, by layer."""
        student, matches = self._student.student, self._terms.matches
        if self._stage.objective == LOGITS:
            return self._frozen.model if self._frozen else student.training_model, {}
        spread = None if self._run.plan.glorot_projections else PROJECTION_SPREAD
        with self._run.strategy.scope():
            model, projections = student.matching_model(matches, self._teacher_width(), spread)
        self._log_heads()
        return model, {layer.name: list(layer.variables) for layer in projections}

    def _teacher_width(self) -> Callable[[Match], int] | None:
        """Returns a function that gives the width of a match's teacher tensor; sub-layers may be wider than layers."""
        names = teacher_names(self._terms.matches)
        if not names:
            return None
        outputs = self._source.teacher.teacher.feature_model(names).output
        return lambda match: outputs[match.teacher_names[-1]].shape[-1]

    def _log_heads(self) -> None:
        """Logs that averages over heads are matched if teacher and student have different numbers of heads."""
        if not any(match.feature.startswith("attention") for match in self._terms.matches):
            return
        teacher, student = self._source.teacher.teacher.encoder.config, self._student.student.encoder.config
        if teacher.num_attention_heads != student.num_attention_heads:
            self._run.progress.log(
                f"attention: {teacher.num_attention_heads} heads in the teacher, {student.num_attention_heads} in the "
                "student; averages over heads are matched"
            )

    def run(self) -> dict:
        """Trains on each chunk in turn until `patience` chunks bring no better score; keeps the best weights.

        Returns:
            "score" of these weights; "epochs" and "seconds" of all chunks together.
        """
        best, kept, waited, epochs, seconds = -np.inf, None, 0, 0, 0.0
        for start in self._run.corpus.transfer.starts:
            path = self._run.path(checkpoint_name(self._stage, start))
            snapshots = self._run.snapshots(f"stage {self._stage.number}, chunk {start}")
            fit_chunk = functools.partial(self._fit_chunk, start, snapshots)
            record = run_once(path, self.parts, snapshots, self._run.workers, fit_chunk)
            self._finish_chunk(start)
            epochs, seconds = epochs + record["epochs"], seconds + record["seconds"]
            if record["score"] > best:
                best, waited = record["score"], 0
                kept = [variable.numpy() for variable in self.variables]
                continue
            waited += 1
            for variable, value in zip(self.variables, kept, strict=True):
                variable.assign(value)
            self._student.student.sync_word_embeddings()
            if waited >= self._run.plan.training.patience:
                break
        return {"score": best, "epochs": epochs, "seconds": seconds}

    def _fit_chunk(self, start: int, snapshots: SnapshotManager) -> History:
        """Trains on one chunk; the optimizer keeps its state across chunks, so their checkpoints hold it."""
        run, stage = self._run, self._stage
        targets = self._source.chunk(start, self._names)
        seed = stage_seed(run.plan.training.seed, stage.number, start)
        self._trainer.seed = seed
        rows = run.global_batch(stage.batch_size)
        run.progress.restart()
        per_step = run.plan.training.gradient_accumulation_steps
        if self._learns_labels:
            targets = joined_outputs(targets, self._labelled)
        features = targets.features
        masks = [WordMask(features)] if self._by_word else []
        read = [targets, self._frozen.of(targets.features, chunk_name(start))] if self._frozen else [targets]
        batches = TrainingBatches(features, rows, run.pad_id, seed, read, per_step, masks)
        if stage.trains_states_in_part:
            self._require_gradients(batches)
        history = fit(self._trainer, batches, self._score, run.progress.step, snapshots)
        self._student.student.sync_word_embeddings()
        return history

    def _require_gradients(self, batches: TrainingBatches) -> None:
        """Raises InputError if a loss trains no variable of the student; projections of matches do not count."""
        blocks = self._student.unfrozen(self._stage.unfrozen)
        own = [variable for block in blocks.values() for variable in block]
        try:
            require_gradients(self._model, self._objective, batches.sample(), own, self._run.strategy)
        except ValueError as error:
            raise InputError(f"stages: stage {self._stage.number}: {error}") from error

    def _finish_chunk(self, start: int) -> None:
        """Removes cached outputs of a chunk that no later fit reads."""
        if self._stage.objective != LOGITS:
            self._source.finish_chunk(start)
        if self._frozen and not self._states_stay:
            self._frozen.forget(chunk_name(start))

    @functools.cached_property
    def _states_stay(self) -> bool:
        """Whether the student's hidden states of all chunks stay on disk for the next stage with a frozen encoder."""
        run, width = self._run, self._student.student.encoder.config.hidden_size
        room = has_room_for_states(run.corpus, width, run.plan.outputs.precision, run.plan.model_dir)
        return bool(run.workers.broadcast_from_chief(len(run.corpus.transfer.starts) == 1 or room))

    @property
    def _by_word(self) -> bool:
        """Whether the teacher has logits only for the first token of each word."""
        return self._run.plan.counted.logits == WORDS and self._student.student.by_position

    @functools.cached_property
    def _labelled(self) -> CachedOutputs | LiveOutputs:
        """Teacher outputs of the labelled rows, the same for all chunks."""
        return self._source.labelled(self._names)

    @property
    def _learns_labels(self) -> bool:
        return self._stage.objective == JOINT and self._terms.hard_label_weight > 0

    def _score(self) -> float:
        """The chief's score for all workers: the dev metric, or minus the held-out loss in the representation stage."""
        return self._run.workers.broadcast_from_chief(self._own_score())

    def _own_score(self) -> float:
        if self._frozen:
            return self._frozen.score(self._run.corpus.dev)
        if self._stage.objective != REPRESENTATION:
            return self._student.score(self._run.scorer, self._run.corpus.dev)
        if self._held_out is None:
            targets, pad_id = self._source.held_out(self._names), self._run.pad_id
            self._held_out = HeldOutLoss(self._model, self._objective, targets.features, [targets], pad_id)
        return -self._held_out()
