"""Stages on the transfer set: chunk by chunk, towards the teacher's states or logits."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from xtremedistil.distillation.data.joined_rows import joined_targets
from xtremedistil.distillation.data.transfer_set import chunk_name
from xtremedistil.distillation.pipeline.output_source import Source
from xtremedistil.distillation.pipeline.run_context import Setting
from xtremedistil.distillation.pipeline.student import InitialStudent
from xtremedistil.distillation.pipeline.student_states import frozen_features
from xtremedistil.distillation.planning.configured_terms import configured_matches, configured_soft_labels
from xtremedistil.distillation.planning.stages import Stage, checkpoint_name
from xtremedistil.distillation.teacher_outputs.cache import LiveTargets, Targets
from xtremedistil.distillation.teacher_outputs.disk_size import has_room_for_states
from xtremedistil.errors import InputError
from xtremedistil.models.projections import PROJECTION_SPREAD, projection_rates
from xtremedistil.objectives.gradient_check import require_reach
from xtremedistil.objectives.held_out_loss import HeldOutLoss
from xtremedistil.objectives.parts import (
    joined,
    labels_objective,
    logits_objective,
    matches_objective,
    original_representation_objective,
)
from xtremedistil.objectives.position_masks import ALL, FIRST, REAL, ROWS, WORDS, WordMask
from xtremedistil.terms.layer_map import teacher_names
from xtremedistil.terms.match import Match
from xtremedistil.training.batching import TrainingBatches
from xtremedistil.training.loop import fit
from xtremedistil.training.objectives import Objective
from xtremedistil.training.run_once import once, optimizer_parts
from xtremedistil.training.snapshots import Keeper
from xtremedistil.training.state import History
from xtremedistil.training.strategy import stage_seed
from xtremedistil.training.trainer import Trainer


class TransferFit:
    """One stage: a model, an objective and an optimizer over all chunks.

    Args:
        extra: parts of the checkpoint that belong to this stage alone, layer name -> variables.
        names: teacher outputs that the objective reads.
        score: of the weights as they stand, higher is better; decides when a fit ends and which chunk is kept.
    """

    def __init__(self, setting: Setting, student: InitialStudent, stage: Stage, source: Source):
        self._setting, self._student, self._stage, self._source = setting, student, stage, source
        self._frozen = frozen_features(setting, student, stage) if stage.objective == "logits" else None
        build = {"representation": self._representation, "logits": self._logits, "joint": self._joint}[stage.objective]
        self._rates: dict[str, float] = {}
        self._model, self._objective, self._names, extra = build()
        self.parts = student.checkpoint_parts | extra
        blocks = student.unfrozen(stage.unfrozen) | extra
        self.variables = [variable for block in blocks.values() for variable in block]
        factors = [self._rates.get(name, 1.0) for name, block in blocks.items() for _ in block]
        recipe = setting.recipe(stage.learning_rate, stage.epochs, stage.number)
        self._trainer = Trainer(self._model, self.variables, self._objective, setting.strategy, recipe, factors)
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
        if self._learns_labels:
            targets = joined_targets(targets, self._labelled)
        features = targets.features
        masks = [WordMask(features)] if self._by_word else []
        read = [targets, self._frozen.of(targets.features, chunk_name(start))] if self._frozen else [targets]
        batches = TrainingBatches(features, rows, setting.pad_id, seed, read, per_step, masks)
        if stage.trains_states_in_part:
            self._require_reach(batches)
        history = fit(self._trainer, batches, self._score, setting.progress.step, keeper)
        self._student.student.settle()
        return history

    def _require_reach(self, batches: TrainingBatches) -> None:
        """Raises InputError where a term would train nothing of the student; projections of matches do not count."""
        blocks = self._student.unfrozen(self._stage.unfrozen)
        own = [variable for block in blocks.values() for variable in block]
        try:
            require_reach(self._model, self._objective, batches.sample(), own, self._setting.strategy)
        except ValueError as error:
            raise InputError(f"stages: stage {self._stage.number}: {error}") from error

    def _finish_chunk(self, start: int) -> None:
        """Frees the disk of what no later fit will read."""
        if self._stage.objective != "logits":
            self._source.finish_chunk(start)
        if self._frozen and not self._states_stay:
            self._frozen.forget(chunk_name(start))

    @functools.cached_property
    def _states_stay(self) -> bool:
        """Whether the next stage on the layers above finds what the encoder makes of all chunks."""
        setting, width = self._setting, self._student.student.encoder.config.hidden_size
        room = has_room_for_states(
            setting.corpus, width, setting.config.teacher_outputs_precision, setting.config.model_dir
        )
        return bool(setting.workers.agree(len(setting.corpus.transfer.starts) == 1 or room))

    @property
    def _by_word(self) -> bool:
        """Whether the teacher has something to say at the first piece of each word alone."""
        return self._setting.config.logits_only and self._setting.corpus.task.kind == "token_classification"

    @functools.cached_property
    def _labelled(self) -> Targets | LiveTargets:
        """What the teacher says of the labelled rows: the same in all chunks."""
        return self._source.labelled(self._names)

    @property
    def _learns_labels(self) -> bool:
        return self._stage.objective == "joint" and self._setting.config.hard_label_weight > 0

    def _logits(self):
        model = self._frozen.model if self._frozen else self._student.student.training_model
        return model, self._logits_objective(), ["logits"], {}

    def _logits_objective(self) -> Objective:
        config = self._setting.config
        positions = ALL if config.legacy else WORDS if self._by_word else REAL
        tagging = self._setting.corpus.task.kind == "token_classification"
        return logits_objective(positions if tagging else ROWS, configured_soft_labels(config))

    def _representation(self):
        matches = self._matches()
        model, extra = self._matching_model(matches)
        return model, self._matches_objective(matches), teacher_names(matches), extra

    def _joint(self):
        config, matches = self._setting.config, self._matches()
        model, extra = self._matching_model(matches)
        parts = [matches_objective(matches), self._logits_objective()]
        if self._learns_labels:
            parts.append(labels_objective(self._setting.corpus.class_weights, config.hard_label_weight))
        return model, joined(*parts), sorted({"logits", *teacher_names(matches)}), extra

    def _matching_model(self, matches: Sequence[Match]):
        """The student with all tensors of the matches, and the variables that only this model has, by layer."""
        width, spread = self._teacher_width(matches), None if self._setting.config.legacy else PROJECTION_SPREAD
        with self._setting.strategy.scope():
            model, projections = self._student.student.matching_model(matches, width, spread)
        self._rates = projection_rates(matches, self._stage.learning_rate)
        return model, {layer.name: list(layer.variables) for layer in projections}

    def _teacher_width(self, matches: Sequence[Match]) -> Callable[[Match], int] | None:
        """Of the teacher's tensor of a match: what is inside a layer may be wider than its state."""
        names = teacher_names(matches)
        if not names:
            return None
        outputs = self._source.teacher.teacher.feature_model(names).output
        return lambda match: outputs[match.teacher_names[-1]].shape[-1]

    def _matches(self) -> list[Match]:
        config = self._setting.config
        if config.logits_only:
            return []
        teacher, student = (m.encoder.config for m in (self._source.teacher.teacher, self._student.student))
        matches = configured_matches(config, teacher.num_hidden_layers, student.num_hidden_layers)
        maps = any(match.feature.startswith("attention") for match in matches)
        if maps and teacher.num_attention_heads != student.num_attention_heads:
            self._setting.progress.say(
                f"attention: {teacher.num_attention_heads} heads in the teacher, {student.num_attention_heads} in the "
                "student; averages over heads are matched"
            )
        return matches

    def _matches_objective(self, matches: Sequence[Match]) -> Objective:
        if not self._setting.config.legacy:
            return matches_objective(matches)
        tagging = self._setting.corpus.task.kind == "token_classification"
        return original_representation_objective(matches, ALL if tagging else FIRST)

    def _score(self) -> float:
        """What the first worker finds: the dev metric; for states, which nobody reads, minus the held-out loss."""
        return self._setting.workers.agree(self._own_score())

    def _own_score(self) -> float:
        if self._frozen:
            return self._frozen.score(self._setting.corpus.dev)
        if self._stage.objective != "representation":
            return self._student.score(self._setting.scorer, self._setting.corpus.dev)
        if self._held_out is None:
            targets, pad_id = self._source.held_out(self._names), self._setting.pad_id
            self._held_out = HeldOutLoss(self._model, self._objective, targets.features, [targets], pad_id)
        return -self._held_out()
