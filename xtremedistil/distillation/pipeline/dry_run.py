"""`--dry-run`: the plan, the sizes, and what it will take; without TensorFlow, unless a match names sub-layers."""

import os
import tempfile
from dataclasses import dataclass

from xtremedistil.console.quiet import import_tensorflow
from xtremedistil.distillation.data.augmented_set import no_model
from xtremedistil.distillation.data.corpus import Corpus, read_corpus
from xtremedistil.distillation.pipeline.term_table import term_table
from xtremedistil.distillation.planning.config import MASKED_LM, DistilConfig, resolve
from xtremedistil.distillation.planning.configured_terms import configured_matches
from xtremedistil.distillation.planning.model_shapes import student_blocks, student_shape, teacher_shape
from xtremedistil.distillation.planning.run_vocabulary import run_vocabulary
from xtremedistil.distillation.planning.stages import Stage, plan_stages
from xtremedistil.distillation.teacher_outputs.disk_size import TargetSize, frozen_size, megabytes, run_outputs
from xtremedistil.distillation.teacher_outputs.external_logits import ExampleLogits
from xtremedistil.distillation.teacher_outputs.external_teacher import describe, open_outside_teacher, outside_graph
from xtremedistil.distillation.teacher_outputs.onnx_teacher import OnnxTeacher
from xtremedistil.evaluation.report import aligned
from xtremedistil.models.architectures.shapes import BilstmShape, EncoderShape
from xtremedistil.storage.folders import size_of
from xtremedistil.terms.match import PATH, Match


@dataclass(frozen=True)
class DryRun:
    """What a distillation would do.

    Fields:
        teacher: None if it gives logits alone; it is `outside` then.
        path_widths: as `term_table` reads them.
        steps: at most, of each stage.
        rows_size: bytes of the encoded transfer set.
    """

    config: DistilConfig
    corpus: Corpus
    teacher: EncoderShape | None
    student: EncoderShape | BilstmShape
    stages: list[Stage]
    matches: list[Match]
    outside: ExampleLogits | OnnxTeacher | None
    rows_size: int
    path_widths: dict[str, tuple[int, int]]

    @property
    def steps(self) -> list[int]:
        transfer, train = self.corpus.transfer.rows, len(self.corpus.train.features)
        rows = [transfer if stage.on_transfer_set else train for stage in self.stages]
        batches = self.config.gradient_accumulation_steps
        pairs = zip(rows, self.stages, strict=True)
        return [stage.epochs * -(-count // (stage.batch_size * batches)) for count, stage in pairs]

    @property
    def size(self) -> TargetSize:
        """Of the teacher's outputs on disk."""
        return run_outputs(self.config, self.corpus, len(self.corpus.task.all_labels))[1]

    def __str__(self) -> str:
        lines = [["stage", "objective", "trained", "epochs", "rate", "batch", "steps"]]
        batches = self.config.gradient_accumulation_steps
        times = f" x {batches}" if batches > 1 else ""
        for stage, steps in zip(self.stages, self.steps, strict=True):
            trained = "+".join(stage.unfrozen)
            numbers = [f"{stage.epochs}", f"{stage.learning_rate:g}", f"{stage.batch_size}{times}", f"{steps:,}"]
            lines.append([str(stage.number), stage.objective, trained, *numbers])
        transfer = self.corpus.transfer
        mean = sum(transfer.positions.values()) / (transfer.rows + transfer.held_out_rows)
        return "\n".join(
            [
                aligned(lines),
                "Epochs and steps are the most; a stage ends earlier when its score no longer rises.",
                "",
                aligned(self._terms()),
                "",
                self._teacher(),
                f"student {_describe(self.student)}",
                f"rows: train {len(self.corpus.train.features):,}, transfer {transfer.rows:,} "
                f"(mean length {mean:.1f} pieces), held out {transfer.held_out_rows:,}",
                *self._augmented(),
                f"teacher's outputs on disk: {self._disk()}",
                f"besides: encoded rows {megabytes(self.rows_size)}, student's states {self._states()} at a time",
                *self._label_weights(),
            ]
        )

    def _terms(self) -> list[list[str]]:
        task = self.corpus.task
        return term_table(
            self.config,
            self.matches,
            labels=len(task.all_labels),
            tagging=task.kind == "token_classification",
            teacher=self.teacher,
            student=self.student,
            path_widths=self.path_widths,
        )

    def _teacher(self) -> str:
        if self.teacher is None:
            return f"teacher {describe(self.outside, self.corpus.task.labels)}"
        return f"teacher {_describe(self.teacher)}"

    def _augmented(self) -> list[str]:
        if self.corpus.augmented is None:
            return []
        guessed = "; copies by masked_lm are taken to be new" if MASKED_LM in self.config.augment else ""
        return [f"of these augmented: {self.corpus.augmented}{guessed}"]

    def _disk(self) -> str:
        if isinstance(self.outside, ExampleLogits):
            return megabytes(self.outside.values.nbytes)
        return f"{megabytes(self.size.everything)}, or {megabytes(self.size.at_a_time)} at a time"

    def _states(self) -> str:
        """What the student's encoder makes of rows, for stages that leave it alone."""
        kept = self.config.frozen_features == "cache"
        return megabytes(
            frozen_size(self.corpus, self.student.hidden_size, self.config.teacher_outputs_precision) if kept else 0
        )

    def _label_weights(self) -> list[str]:
        """A line, unless all weigh the same."""
        weights = self.corpus.class_weights
        if weights is None:
            return []
        pairs = zip(self.corpus.task.labels, weights, strict=True)
        return ["weights of labels: " + ", ".join(f"{label} {weight:.3g}" for label, weight in pairs)]


def dry_run(config: DistilConfig) -> DryRun:
    """Reads files and checkpoint configurations, and plans.

    Raises:
        InputError: a file cannot be used.
    """
    config = resolve(config)
    with tempfile.TemporaryDirectory() as folder:
        (tokenizer, _), store = run_vocabulary(config), os.path.join(folder, "store")
        corpus = read_corpus(config, tokenizer, store, open_model=no_model)
        rows_size = size_of(corpus.transfer.folder)
        outside = open_outside_teacher(config, corpus, outside_graph(config))
    student, teacher = student_shape(config, corpus.tokenizer.size), teacher_shape(config)
    blocks = student_blocks(config)
    if outside:
        return DryRun(config, corpus, None, student, plan_stages(config, blocks), [], outside, rows_size, {})
    matches = configured_matches(config, teacher.num_hidden_layers, student.num_hidden_layers)
    widths = _path_widths(config, matches)
    return DryRun(config, corpus, teacher, student, plan_stages(config, blocks), matches, None, rows_size, widths)


def _path_widths(config: DistilConfig, matches: list[Match]) -> dict[str, tuple[int, int]]:
    if all(match.feature != PATH for match in matches):
        return {}
    import_tensorflow(config.verbose)
    from xtremedistil.distillation.planning.path_checks import path_widths

    return path_widths(config, matches)


def _describe(shape: EncoderShape | BilstmShape) -> str:
    return f"{shape.outline}, {shape.vocab_size:,} words, about {shape.parameters / 1e6:.1f} M parameters"
