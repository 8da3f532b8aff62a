"""What a distillation will do, as plain data. `planner.make_plan` makes it of flags; below it nobody reads flags.

Everything is settled here: files, shapes of both models, terms, stages with their batch sizes and learning rates, and
every choice that a command's flags stand for together.
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
        folder: holds train.tsv, dev.tsv, test.tsv. kind: what it holds.
        seq_len: longest row in tokens. class_weight: how gold labels are weighted, as `parse_class_weight` reads it.
        original_rows: rows are cut, padded and labelled as in the original release.
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
        file: one example a line. chunk_size: rows whose teacher outputs are held at a time.
        augment: names of the augmenters. augment_copies: lines made of each line. augment_seed: of their draws.
        augment_checkpoint: masked language model that predicts other words.
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
        checkpoint: folder or hub name; of an external teacher, the source of the student's tokenizer.
        class_name: its class, or "auto". folder: where the fine-tuned teacher is, or goes.
        logits_file, onnx_file: an external teacher, which gives logits alone.
        shape: None for an external teacher.
        epochs: at most, of its fine-tuning. learning_rate: peak. batch_size: rows per step and device.
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

    @property
    def is_external(self) -> bool:
        return bool(self.logits_file or self.onnx_file)


@dataclass(frozen=True)
class EmbeddingPlan:
    """Word embeddings that a student takes from its teacher, reduced to its width.

    Fields:
        method: "pca" or "svd". frozen: they stay as they are. factorized: trained as one matrix that all words share.
        spread: standard deviation that they are scaled to; None: as they come out.
        seed: of the factorisation.
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
        shape: its sizes; vocab_size is that of the tokenizer, which is 0 here, unless its checkpoint keeps its own.
        checkpoint: pre-trained weights to start from; None: random ones.
        dropout, attention_dropout: None: as its configuration says.
        embeddings: None: its own word embeddings.
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
        policy: "auto", "cache" or "live". folder: where they go. precision: of hidden states and attention maps.
        frozen_features: whether stages that leave the encoder alone run it once over their rows.
    """

    policy: str
    folder: str
    precision: str
    frozen_features: bool


@dataclass(frozen=True)
class DistillationPlan:
    """One run.

    Fields:
        model_dir: folder of the student and of all checkpoints. overwrite: whether it may take another run's place.
        terms: what is learnt; `stage_terms` gives a stage's share. counted: positions at which terms count.
        glorot_projections: new projections start as Keras starts dense layers, not with BERT's spread.
        blocks: names of what stages may unfreeze of the student.
        stages: in order. own_stages: whether a caller gave them.
        baseline: the same student on labels alone, if wanted.
        select_on: "dev" or "test", the set that chooses between stages.
        score_by_token: the original release's score, over tokens.
        strategy, tpu: devices.
        notices: lines that a person should read before the run.
        flags: the settled flags, for `xtremedistil-config.json` and to know the run again.
        measures: what the files hold, as `xtremedistil.plan` finds it.
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
        """Stages, terms and sizes; sizes need `measures`."""
        return plan_text(self, self.measures) if self.measures else repr(self)

    def student_shape(self, tokens: int) -> EncoderShape | BilstmShape:
        """Sizes of the student with a tokenizer of so many tokens."""
        shape = self.student.shape
        own_vocabulary = self.student.checkpoint and not self.student.embeddings
        return shape if own_vocabulary else dataclasses.replace(shape, vocab_size=tokens)

    def path(self, name: str) -> str:
        """Of a file in the model folder."""
        return os.path.join(self.model_dir, name)

    @property
    def objectives(self) -> set[str]:
        """Of all stages."""
        return {stage.objective for stage in self.stages}

    def stage_terms(self, objective: str) -> Terms:
        """The terms that a stage of that objective trains on."""
        terms = self.terms
        if objective == REPRESENTATION:
            return dataclasses.replace(terms, soft_labels=NO_SOFT_LABELS, hard_label_weight=0.0)
        if objective == LOGITS:
            return dataclasses.replace(terms, matches=(), hard_label_weight=0.0)
        if objective == LABELS:
            return Terms(NO_SOFT_LABELS, hard_label_weight=1.0)
        assert objective == JOINT
        return terms
