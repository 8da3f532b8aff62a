"""`--dry-run`: the plan, the sizes, and what it will take, without TensorFlow."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from xtremedistil.config import DistilConfig, resolve
from xtremedistil.distillation.corpus import Corpus, read_corpus
from xtremedistil.distillation.layer_map import Match, configured_matches
from xtremedistil.distillation.stages import Stage, plan_stages
from xtremedistil.models.checkpoints import read_config
from xtremedistil.models.shapes import EncoderShape, encoder_shape
from xtremedistil.reporting.report import aligned
from xtremedistil.tasks.tokenizer import Tokenizer

STATE_BYTES, LOGIT_BYTES = 2, 4  # float16, float32; see targets.py


@dataclass(frozen=True)
class DryRun:
    """What a distillation would do.

    Fields:
        steps: at most, of each stage. target_bytes: most that the teacher's outputs take on disk at a time.
    """

    config: DistilConfig
    corpus: Corpus
    teacher: EncoderShape
    student: EncoderShape
    stages: list[Stage]
    matches: list[Match]

    @property
    def steps(self) -> list[int]:
        transfer, train = len(self.corpus.transfer), len(self.corpus.train.features)
        rows = [transfer if stage.on_transfer_set else train for stage in self.stages]
        return [stage.epochs * -(-count // stage.batch_size) for count, stage in zip(rows, self.stages, strict=True)]

    @property
    def target_bytes(self) -> int:
        """States and maps of a chunk go when it is done; those of the held-out rows and all logits stay to the end."""
        transfer, held_out = self.corpus.transfer.lengths, self.corpus.held_out.lengths
        chunk = transfer[: self.config.distil_chunk_size]
        return self._states(chunk) + self._states(held_out) + self._logits(transfer) + self._logits(held_out)

    def _logits(self, lengths: np.ndarray) -> int:
        entries = lengths.sum() if self.corpus.task.kind == "token_classification" else len(lengths)
        return int(entries) * len(self.corpus.task.all_labels) * LOGIT_BYTES

    def _states(self, lengths: np.ndarray) -> int:
        states = sum(match.feature == "hidden_states" for match in self.matches)
        maps = len(self.matches) - states
        pairs = int((lengths.astype(np.int64) ** 2).sum()) * maps * self.teacher.num_attention_heads
        return (int(lengths.sum()) * states * self.teacher.hidden_size + pairs) * STATE_BYTES

    def __str__(self) -> str:
        lines = [["stage", "objective", "trained", "epochs", "rate", "batch", "steps"]]
        for stage, steps in zip(self.stages, self.steps, strict=True):
            trained = "+".join(stage.unfrozen)
            numbers = [f"{stage.epochs}", f"{stage.learning_rate:g}", f"{stage.batch_size}", f"{steps:,}"]
            lines.append([str(stage.number), stage.objective, trained, *numbers])
        pairs = ", ".join(f"{m.feature} {m.teacher} -> {m.student} (x {m.weight:g})" for m in self.matches)
        transfer = self.corpus.transfer
        return "\n".join(
            [
                aligned(lines),
                "Epochs and steps are the most; a stage ends earlier when its score no longer rises.",
                f"matched in stage 1, teacher -> student: {pairs}",
                f"teacher {_describe(self.teacher)}",
                f"student {_describe(self.student)}",
                f"rows: train {len(self.corpus.train.features):,}, transfer {len(transfer):,} "
                f"(mean length {transfer.lengths.mean():.1f} pieces), held out {len(self.corpus.held_out):,}",
                f"teacher's outputs on disk: {self.target_bytes / 1e6:,.1f} MB",
            ]
        )


def dry_run(config: DistilConfig) -> DryRun:
    """Reads files and checkpoint configurations, and plans.

    Raises:
        InputError: a file cannot be used.
    """
    config = resolve(config)
    corpus = read_corpus(config, Tokenizer.load(config.pt_teacher_checkpoint))
    teacher = encoder_shape(read_config(config.pt_teacher_checkpoint), config.pt_teacher_checkpoint)
    student = _student_shape(config, corpus)
    blocks = ["student", "head"] + (["dense"] if student.hidden_size < teacher.hidden_size else [])
    matches = configured_matches(config, teacher.num_hidden_layers, student.num_hidden_layers)
    return DryRun(config, corpus, teacher, student, plan_stages(config, blocks), matches)


def _student_shape(config: DistilConfig, corpus: Corpus) -> EncoderShape:
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


def _describe(shape: EncoderShape) -> str:
    return (
        f"{shape.num_hidden_layers} layers x {shape.hidden_size}, {shape.num_attention_heads} heads, "
        f"{shape.vocab_size:,} words, about {shape.parameters / 1e6:.1f} M parameters"
    )
