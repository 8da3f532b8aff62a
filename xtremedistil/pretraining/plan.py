"""What a pre-training run will do, as plain data; made of flags here and nowhere else."""

import dataclasses
import os
from dataclasses import dataclass

from xtremedistil.flags import given_flags, resolve_seed, saved_flags
from xtremedistil.models.architectures.shapes import EncoderShape
from xtremedistil.pretraining.config import OF_THE_HEAD, PretrainConfig
from xtremedistil.pretraining.recipes import predicts_any, recipe_matches
from xtremedistil.pretraining.student_shape import picked_layers
from xtremedistil.pretraining.validation import check_pretrain
from xtremedistil.terms.match import Match
from xtremedistil.terms.terms import Terms

SCORES = 10  # of a run, by default
FROZEN = {"freeze_pos_embs": ("position_embeddings", "wpe"), "freeze_token_type_embds": ("token_type_embeddings",)}


@dataclass(frozen=True)
class MaskingPlan:
    """Which tokens are masked: the arguments of `corpus.masking.masking_config`."""

    exponent: float
    whole_words: bool
    share: float
    mask: float
    random: float


@dataclass(frozen=True)
class CorpusPlan:
    """The text.

    Fields:
        files: paths or patterns. folder: of the tokenised corpus, shared with other runs; None: in the model folder.
        seq_len: longest sequence in tokens. packed: sequences are cut from the stream of all lines, not from each line.
        vocabulary: None, the teacher's; "corpus", the tokens that the corpus uses `min_count` times; or a file.
        masking: None where no token is masked. predicts: whether a term predicts tokens.
        on_all_tokens: soft labels at all tokens.
    """

    files: tuple[str, ...]
    folder: str | None
    seq_len: int
    packed: bool
    vocabulary: str | None
    min_count: int
    masking: MaskingPlan | None
    predicts: bool
    on_all_tokens: bool


@dataclass(frozen=True)
class StudentPlan:
    """The student before training.

    Fields:
        checkpoint: weights to start from; None: random ones, or those of some of the teacher's layers.
        shape: sizes, with the teacher's vocabulary. layers: numbers of the teacher's layers that it starts with.
        dropout, attention_dropout: None: as its configuration says.
        frozen: parts of names of variables that stay as they are.
    """

    checkpoint: str | None
    shape: EncoderShape
    layers: tuple[int, ...] | None
    dropout: float | None
    attention_dropout: float | None
    frozen: tuple[str, ...]


@dataclass(frozen=True)
class HeadPlan:
    """The language-modelling head of a teacher that comes without one.

    Fields:
        file: one that was trained before. steps, learning_rate: of training one.
        given: arguments that ask for such a head, with the values that somebody gave.
    """

    file: str | None
    steps: int
    learning_rate: float
    given: dict


@dataclass(frozen=True)
class UpdatesPlan:
    """How the student is trained.

    Fields:
        batch_size: sequences per device. epochs: passes over the corpus; steps: in their place, unless 0.
        eval_steps: updates between scores; 0: a tenth of all. learning_rate: peak.
    """

    batch_size: int
    epochs: float
    steps: int
    eval_steps: int
    learning_rate: float
    warmup_ratio: float
    lr_schedule: str
    max_grad_norm: float
    weight_decay: float
    gradient_accumulation_steps: int
    jit_compile: bool
    save_steps: int
    save_minutes: float


@dataclass(frozen=True)
class PretrainPlan:
    """One run.

    Fields:
        teacher: checkpoint. objective: "mlm" or "clm". title: of the terms, for the model card.
        given_matches: those of `terms` that somebody gave, beside the recipe's.
        precision: of both models; None: float32. flags: the settled flags, to know the run again.
    """

    model_dir: str
    overwrite: bool
    teacher: str
    student: StudentPlan
    terms: Terms
    given_matches: tuple[Match, ...]
    objective: str
    title: str
    head: HeadPlan
    corpus: CorpusPlan
    updates: UpdatesPlan
    seed: int
    precision: str | None
    strategy: str
    tpu: str | None
    flags: dict

    def path(self, name: str) -> str:
        """Path of a file in the model folder."""
        return os.path.join(self.model_dir, name)

    def period(self, steps: int) -> int:
        """Updates before each score; there may be fewer before the last."""
        every = self.updates.eval_steps
        return min(steps, every) if every else -(-steps // SCORES)


def make_pretrain_plan(config: PretrainConfig) -> PretrainPlan:
    """The plan of a run; reads configurations of checkpoints, and of the corpus only its beginnings.

    Raises:
        InputError: all problems of the settings together.
    """
    checked = check_pretrain(config)
    return PretrainPlan(
        model_dir=config.model_dir,
        overwrite=config.overwrite,
        teacher=config.pt_teacher_checkpoint,
        student=_student(config, checked.teacher, checked.student, checked.terms),
        terms=checked.terms,
        given_matches=checked.terms.matches[len(recipe_matches(config, checked.teacher, checked.student)) :],
        objective=config.objective,
        title=config.recipe,
        head=_head(config),
        corpus=corpus_plan(config),
        updates=_updates(config),
        seed=resolve_seed(config.seed),
        precision=config.opt_policy,
        strategy=config.strategy,
        tpu=config.tpu,
        flags=saved_flags(config) | {"seed": resolve_seed(config.seed)},
    )


def _student(config: PretrainConfig, teacher: EncoderShape, shape: EncoderShape, terms: Terms) -> StudentPlan:
    reads_maps = any(match.feature == "attentions" for match in terms.matches)
    return StudentPlan(
        checkpoint=config.pt_student_checkpoint,
        shape=shape,
        layers=tuple(picked_layers(config, teacher)) if config.init_layers else None,
        dropout=config.dropout,
        attention_dropout=0.0 if reads_maps else None,  # maps are returned after dropout
        frozen=tuple(part for name, parts in FROZEN.items() if getattr(config, name) for part in parts),
    )


def _head(config: PretrainConfig) -> HeadPlan:
    given = {name: getattr(config, name) for name in given_flags(config, OF_THE_HEAD)}
    return HeadPlan(config.teacher_head, config.teacher_head_steps, config.teacher_head_learning_rate, given)


def corpus_plan(config: PretrainConfig) -> CorpusPlan:
    """What is read of the corpus, and what is masked in it."""
    predicts = predicts_any(config)
    masking = MaskingPlan(
        exponent=config.mlm_smoothing,
        whole_words=config.whole_word_mask,
        share=config.mlm_probability,
        mask=config.mlm_hide,
        random=config.mlm_random,
    )
    return CorpusPlan(
        files=tuple(config.corpus),
        folder=config.corpus_dir,
        seq_len=config.seq_len,
        packed=config.packed,
        vocabulary=config.student_vocab,
        min_count=config.student_vocab_min_count,
        masking=masking if config.objective == "mlm" and predicts else None,
        predicts=predicts,
        on_all_tokens=config.soft_labels_on_all_tokens,
    )


def _updates(config: PretrainConfig) -> UpdatesPlan:
    names = [entry.name for entry in dataclasses.fields(UpdatesPlan) if entry.name != "steps"]
    return UpdatesPlan(**{name: getattr(config, name) for name in names}, steps=config.max_steps)
