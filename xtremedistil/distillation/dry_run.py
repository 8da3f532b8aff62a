"""`--dry-run`: the plan, the sizes, and what it will take, without TensorFlow."""

import dataclasses
import os
import tempfile
from dataclasses import dataclass

from xtremedistil.config import DistilConfig, resolve
from xtremedistil.distillation.corpus import Corpus, read_corpus
from xtremedistil.distillation.example_logits import ExampleLogits
from xtremedistil.distillation.layer_map import Match, configured_matches
from xtremedistil.distillation.onnx_teacher import OnnxTeacher
from xtremedistil.distillation.outside_teacher import describe, open_outside_teacher
from xtremedistil.distillation.stages import Stage, plan_stages
from xtremedistil.distillation.target_size import TargetSize, megabytes, target_size
from xtremedistil.models.checkpoints import read_config
from xtremedistil.models.shapes import BilstmShape, EncoderShape, encoder_shape
from xtremedistil.reporting.report import aligned
from xtremedistil.tasks.tokenizer import Tokenizer


@dataclass(frozen=True)
class DryRun:
    """What a distillation would do.

    Fields:
        teacher: None if it gives logits alone; it is `outside` then.
        steps: at most, of each stage.
    """

    config: DistilConfig
    corpus: Corpus
    teacher: EncoderShape | None
    student: EncoderShape | BilstmShape
    stages: list[Stage]
    matches: list[Match]
    outside: ExampleLogits | OnnxTeacher | None

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
        return target_size(
            self.corpus.transfer,
            sorted({match.teacher_name for match in self.matches}),
            labels=len(self.corpus.task.all_labels),
            tagging=self.corpus.task.kind == "token_classification",
            hidden_size=self.teacher.hidden_size if self.teacher else 0,
            heads=self.teacher.num_attention_heads if self.teacher else 0,
            precision=self.config.targets_precision,
        )

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
                *self._teacher(),
                f"student {_describe(self.student)}",
                f"rows: train {len(self.corpus.train.features):,}, transfer {transfer.rows:,} "
                f"(mean length {mean:.1f} pieces), held out {transfer.held_out_rows:,}",
                f"teacher's outputs on disk: {self._disk()}",
                *self._label_weights(),
            ]
        )

    def _teacher(self) -> list[str]:
        if self.teacher is None:
            return [f"teacher {describe(self.outside, self.corpus.task.labels)}"]
        pairs = ", ".join(f"{m.feature} {m.teacher} -> {m.student} (x {m.weight:g})" for m in self.matches)
        return [f"matched in stage 1, teacher -> student: {pairs}", f"teacher {_describe(self.teacher)}"]

    def _disk(self) -> str:
        if isinstance(self.outside, ExampleLogits):
            return megabytes(self.outside.values.nbytes)
        return f"{megabytes(self.size.everything)}, or {megabytes(self.size.at_a_time)} at a time"

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
        corpus = read_corpus(config, Tokenizer.load(config.pt_teacher_checkpoint), os.path.join(folder, "store"))
        outside = open_outside_teacher(config, corpus)
    student = _student_shape(config, corpus)
    blocks = ["student", "head"]
    if outside:
        return DryRun(config, corpus, None, student, plan_stages(config, blocks), [], outside)
    teacher = encoder_shape(read_config(config.pt_teacher_checkpoint), config.pt_teacher_checkpoint)
    blocks += ["dense"] if student.hidden_size != teacher.hidden_size else []
    matches = configured_matches(config, teacher.num_hidden_layers, student.num_hidden_layers)
    return DryRun(config, corpus, teacher, student, plan_stages(config, blocks), matches, None)


def _student_shape(config: DistilConfig, corpus: Corpus) -> EncoderShape | BilstmShape:
    if config.student_kind == "bilstm":
        return BilstmShape(config.num_hidden_layers, corpus.tokenizer.size, config.hidden_size, config.lstm_units)
    if config.pt_student_checkpoint:
        shape = encoder_shape(read_config(config.pt_student_checkpoint), config.pt_student_checkpoint)
        words = corpus.tokenizer.size if config.compress_word_embedding else shape.vocab_size
        return dataclasses.replace(shape, vocab_size=words)
    return EncoderShape(
        config.hidden_size,
        config.num_hidden_layers,
        config.num_attention_heads,
        corpus.tokenizer.size,
        max(512, config.seq_len),
        config.intermediate_size,
        config.hidden_size,
    )


def _describe(shape: EncoderShape | BilstmShape) -> str:
    return f"{shape.outline}, {shape.vocab_size:,} words, about {shape.parameters / 1e6:.1f} M parameters"
