"""What a distillation will do, as plain data: files, shapes of both models, terms, and stages with their batch sizes
and learning rates. `planner.make_plan` makes it from the flags; no code below it reads flags.
"""

import dataclasses
import os
from dataclasses import dataclass

from xtremedistil.distillation.planning.measures import Measures
from xtremedistil.distillation.planning.plan_text import plan_text
from xtremedistil.distillation.planning.stages import JOINT, LABELS, LOGITS, REPRESENTATION, Stage
from xtremedistil.models.architectures.shapes import BilstmShape, EncoderShape
from xtremedistil.tasks import KindSettings
from xtremedistil.terms.counted import Counted
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.terms.terms import Terms
from xtremedistil.training.fit_options import FitOptions

DEV, TEST = "dev", "test"
NO_SOFT_LABELS = SoftLabels(weight=0.0)


@dataclass(frozen=True)
class TaskPlan:
    """The labelled files.

    Fields:
        folder: holds train.tsv, dev.tsv, test.tsv. kind: the kind of task and its settings.
        seq_len: maximum sequence length in tokens. class_weight: weights of gold labels, for `parse_class_weight`.
        original_rows: sequences are truncated, padded and labelled as in the original release.
    """

    folder: str
    kind: KindSettings
    seq_len: int
    class_weight: str
    original_rows: bool


@dataclass(frozen=True)
class TransferPlan:
    """The unlabelled text.

    Fields:
        file: one example per line. chunk_size: examples whose teacher outputs are on disk at a time.
        augment: names of the augmenters. augment_copies: copies of each line. augment_seed: seed of the augmenters.
        augment_checkpoint: masked language model that predicts replacement words.
    """

    file: str
    chunk_size: int
    augment: tuple[str, ...] = ()
    augment_copies: int = 1
    augment_checkpoint: str | None = None
    augment_seed: int = 0


@dataclass(frozen=True)
class TeacherPlan:
    """The teacher.

    Fields:
        checkpoint: folder or hub name; with an external teacher, it only gives the student's tokenizer.
        class_name: its class, or "auto". folder: holds the fine-tuned teacher, or will.
        logits_file, onnx_file: an external teacher, which gives only logits.
        shape: None for an external teacher.
        epochs: most epochs of its fine-tuning. learning_rate: peak. batch_size: rows per step and device.
        epochs_given: whether the user asked for `epochs`; else a teacher that was tuned on the task is not tuned again.
        precision: policy of its fine-tuning and outputs; None: float32.
    """

    checkpoint: str
    class_name: str
    folder: str
    logits_file: str | None
    onnx_file: str | None
    shape: EncoderShape | None
    epochs: int
    learning_rate: float
    batch_size: int
    precision: str | None
    epochs_given: bool = False

    @property
    def is_external(self) -> bool:
        return bool(self.logits_file or self.onnx_file)


@dataclass(frozen=True)
class EmbeddingPlan:
    """Word embeddings that a student takes from its teacher, reduced to its width.

    Fields:
        method: "pca" or "svd". frozen: not trained. factorized: trained through one matrix that all tokens share.
        spread: standard deviation that they are scaled to; None: not scaled.
        seed: seed of the reduction.
    """

    method: str
    frozen: bool
    factorized: bool
    spread: float | None
    seed: int


@dataclass(frozen=True)
class StudentPlan:
    """The student.

    Fields:
        shape: its sizes; vocab_size is 0 until the tokenizer is known, unless the checkpoint keeps its own vocabulary.
        checkpoint: pre-trained weights to start from; None: random ones.
        dropout, attention_dropout: rates; None: those of its configuration.
        embeddings: None: the student keeps its own word embeddings.
        precision: policy of its training; None: float32.
    """

    shape: EncoderShape | BilstmShape
    checkpoint: str | None
    dropout: float | None
    attention_dropout: float | None
    embeddings: EmbeddingPlan | None
    precision: str | None

    @property
    def is_bilstm(self) -> bool:
        return isinstance(self.shape, BilstmShape)


@dataclass(frozen=True)
class OutputsPlan:
    """Outputs of the teacher, and of the student's frozen encoder, on disk.

    Fields:
        policy: "auto", "cache" or "live". folder: of cached teacher outputs. precision: type of cached hidden states
            and attention maps. frozen_features: whether stages with a frozen encoder run it once and cache its output.
    """

    policy: str
    folder: str
    precision: str
    frozen_features: bool


@dataclass(frozen=True)
class DistillationPlan:
    """One run.

    Fields:
        model_dir: folder of the student and of all checkpoints. overwrite: whether the run may replace another there.
        terms: losses of all stages together; `stage_terms` gives those of one stage. counted: positions that each
            loss averages over.
        glorot_projections: initialize new projections as Keras does (Glorot uniform), not as BERT does.
        blocks: names of the student's parts that stages may unfreeze.
        stages: in order. own_stages: whether a caller gave them.
        baseline: stage that trains the same student on labels only; None: no baseline.
        select_on: "dev" or "test", the set whose score selects the best stage.
        score_by_token: score tokens, not words, as the original release does.
        strategy, tpu: devices.
        notices: lines that are printed before the run.
        flags: the resolved flags, saved in `xtremedistil-config.json` and compared when a run is resumed.
        measures: counts and sizes of the data, which `xtremedistil.plan` measures.
    """

    model_dir: str
    overwrite: bool
    task: TaskPlan
    transfer: TransferPlan
    teacher: TeacherPlan
    student: StudentPlan
    terms: Terms
    counted: Counted
    glorot_projections: bool
    blocks: tuple[str, ...]
    stages: tuple[Stage, ...]
    own_stages: bool
    baseline: Stage | None
    outputs: OutputsPlan
    training: FitOptions
    select_on: str
    score_by_token: bool
    strategy: str
    tpu: str | None
    notices: tuple[str, ...]
    flags: dict
    measures: Measures | None = None

    def __str__(self) -> str:
        """The plan as text; without `measures`, its fields."""
        return plan_text(self, self.measures) if self.measures else repr(self)

    def student_shape(self, tokens: int) -> EncoderShape | BilstmShape:
        """Returns the student's sizes; `tokens` is the size of the tokenizer's vocabulary."""
        shape = self.student.shape
        own_vocabulary = self.student.checkpoint and not self.student.embeddings
        return shape if own_vocabulary else dataclasses.replace(shape, vocab_size=tokens)

    def path(self, name: str) -> str:
        """Returns the path of a file in the model folder."""
        return os.path.join(self.model_dir, name)

    @property
    def objectives(self) -> set[str]:
        """The objectives of all stages."""
        return {stage.objective for stage in self.stages}

    def stage_terms(self, objective: str) -> Terms:
        """Returns the losses that a stage with this objective trains on."""
        terms = self.terms
        if objective == REPRESENTATION:
            return dataclasses.replace(terms, soft_labels=NO_SOFT_LABELS, hard_label_weight=0.0)
        if objective == LOGITS:
            return dataclasses.replace(terms, matches=(), hard_label_weight=0.0)
        if objective == LABELS:
            return Terms(NO_SOFT_LABELS, hard_label_weight=1.0)
        assert objective == JOINT
        return terms
