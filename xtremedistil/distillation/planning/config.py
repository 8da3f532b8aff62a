"""The flags of a distillation, in one dataclass; its fields are also the keys of `xtremedistil-config.json`.

The names and defaults of the original release are kept. `resolve` replaces `auto` and missing values by numbers.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from xtremedistil.augmentation.word_edits import MASKED_LM
from xtremedistil.flags import (
    DATA,
    DEVICES,
    LEARNT,
    LEGACY_LEARNING_RATE,
    OUTPUTS,
    REQUIRED,
    RUN,
    STUDENT,
    TEACHER,
    TRAINING,
    TrainingFlags,
    flag,
    given_flags,
    resolve_seed,
    takes_old_names,
)
from xtremedistil.losses.specs import LOGITS, losses_of
from xtremedistil.tasks import KINDS, KindSettings, kind_of
from xtremedistil.tasks.kind_settings import COMMA
from xtremedistil.terms.terms import BY_PROBLEM

SCRATCH_LEARNING_RATE = 1e-3
LABELS_RATE_SHARE = 0.3  # learning rate on labels / on logits, for a student without pre-training
LEGACY_INTERMEDIATE_SIZE = 3072
ORIGINAL, JOINT, BEST = "original", "joint", "best"
RECIPES = (ORIGINAL, JOINT, BEST)
LAST_WITH_LAST = "last"  # the original's layer map

# Flags that choose which hidden states and attention maps are matched.
PAIRS = ("match", "layer_map", "distil_attention", "distil_multi_hidden_states", "distil_relations", "hidden_weight")
AUGMENTATIONS = ("masking", "deleting", "n_gram_sampling", "short_disorder", "long_disorder", MASKED_LM)


@takes_old_names
@dataclass(kw_only=True)
class DistilConfig(TrainingFlags):
    """Distil a teacher into a student (run_xtreme_distil.py)."""

    task: str = flag(
        REQUIRED, "task folder: train.tsv, dev.tsv, test.tsv (and labels.tsv with --do_NER)", group=DATA, original=True
    )
    model_dir: str = flag(
        REQUIRED,
        "folder for the student; the same command continues an interrupted run there",
        group=RUN,
        original=True,
    )
    seq_len: int = flag(
        REQUIRED,
        "maximum sequence length in tokens, special tokens included",
        group=DATA,
        original=True,
        least=3,
    )
    transfer_file: str = flag(
        REQUIRED, "unlabelled text, one example per line; plain or .gz", group=DATA, original=True
    )
    teacher_model_dir: str = flag(
        REQUIRED,
        "folder of the fine-tuned teacher (model-ft.h5); without that file, the teacher is fine-tuned first",
        group=TEACHER,
        original=True,
    )
    do_NER: bool = flag(False, "the task is to tag words (words<TAB>tags)", group=DATA, original=True)
    do_pairwise: bool = flag(
        False, "the task is to classify pairs of texts (text<TAB>text<TAB>label)", group=DATA, original=True
    )
    task_kind: str | None = flag(
        None,
        "kind of the task; by default as --do_NER and --do_pairwise say",
        group=DATA,
        choices=tuple(KINDS),
        left_out=True,
    )
    label_separator: str = flag(
        COMMA, "separator of the labels of an example that may have several", group=DATA, left_out=True
    )
    augment: tuple[str, ...] = flag(
        (),
        "augment the transfer set by these methods; masked_lm replaces words by predictions of --augment_checkpoint",
        group=DATA,
        choices=AUGMENTATIONS,
    )
    augment_copies: int = flag(
        1, "augmented copies of each line, each by one of the methods of --augment", group=DATA, least=1
    )
    augment_checkpoint: str | None = flag(
        None, "masked language model for --augment masked_lm: folder or hub name", group=DATA
    )
    student_kind: str = flag(
        "transformer", "architecture of a student from scratch", group=STUDENT, choices=("transformer", "bilstm")
    )
    hidden_size: int = flag(
        384,
        "hidden size of a student from scratch; size of the word embeddings of a BiLSTM",
        group=STUDENT,
        original=True,
        least=1,
    )
    num_attention_heads: int = flag(
        6, "attention heads of a student from scratch", group=STUDENT, original=True, least=1
    )
    num_hidden_layers: int = flag(6, "layers of a student from scratch", group=STUDENT, original=True, least=1)
    intermediate_size: int | None = flag(
        None,
        "feed-forward size of a student from scratch; by default 4 x hidden_size",
        group=STUDENT,
        least=1,
    )
    lstm_units: int | None = flag(
        None,
        "units of a BiLSTM in each layer and direction; by default hidden_size",
        group=STUDENT,
        least=1,
    )
    pt_student_checkpoint: str | None = flag(
        None, "pre-trained student to start from: folder or hub name", group=STUDENT, original=True
    )
    distil_attention: bool = flag(
        False, "also match attention maps (implies --distil_multi_hidden_states)", group=LEARNT, original=True
    )
    distil_relations: bool = flag(
        False, "also match the relations of queries, keys and values of the last layers (MiniLMv2)", group=LEARNT
    )
    relation_heads: int = flag(
        12,
        "relation heads for --distil_relations; must divide the hidden sizes of teacher and student",
        group=LEARNT,
        least=1,
    )
    distil_multi_hidden_states: bool = flag(
        False, "match the hidden states of all student layers, not only the last", group=LEARNT, original=True
    )
    compress_word_embedding: bool = flag(
        False, "start with the teacher's word embeddings, reduced to the student's size", group=STUDENT, original=True
    )
    freeze_word_embedding: bool = flag(
        False, "do not train the word embeddings (implies --compress_word_embedding)", group=STUDENT, original=True
    )
    embedding_factorization: str = flag(
        "pca", "how --compress_word_embedding reduces word embeddings", group=STUDENT, choices=("pca", "svd")
    )
    embedding_training: str = flag(
        "map",
        "how reduced word embeddings are trained: map, through one matrix shared by all tokens; table, one vector "
        "per token",
        group=STUDENT,
        choices=("map", "table"),
    )
    pt_teacher: str = flag(
        "TFBertModel", "class of the teacher, or auto to read it from the checkpoint", group=TEACHER, original=True
    )
    pt_teacher_checkpoint: str = flag(
        "bert-base-multilingual-cased", "teacher: folder or hub name", group=TEACHER, original=True
    )
    teacher_logits: str | None = flag(
        None,
        "file of logits of an external teacher, one row per line of the transfer file: .npz or .parquet; "
        "--pt_teacher_checkpoint then gives the tokenizer",
        group=TEACHER,
        aliases=("teacher_targets",),
    )
    teacher_onnx: str | None = flag(
        None,
        "ONNX model as the teacher, for the tokenizer of --pt_teacher_checkpoint; it gives logits only",
        group=TEACHER,
    )
    opt_policy: str | None = flag(
        None,
        "precision of the student's training",
        group=DEVICES,
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
        original=True,
    )
    teacher_opt_policy: str | None = flag(
        None,
        "precision of the teacher's fine-tuning and outputs",
        group=DEVICES,
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
    )
    student_distil_batch_size: int = flag(
        128,
        "batch size per device on the transfer set",
        group=TRAINING,
        original=True,
        least=1,
    )
    student_ft_batch_size: int = flag(
        32, "batch size per device on labelled examples", group=TRAINING, original=True, least=1
    )
    teacher_batch_size: int = flag(
        128,
        "batch size per device of the teacher's fine-tuning",
        group=TRAINING,
        original=True,
        least=1,
    )
    ft_epochs: int = flag(
        100, "maximum epochs of each stage on labelled examples", group=TRAINING, original=True, least=1
    )
    teacher_epochs: int | None = flag(
        None,
        "maximum epochs of the teacher's fine-tuning; 0: none; by default ft_epochs, or 0 if the classifier of the "
        "teacher's checkpoint has the task's labels",
        group=TRAINING,
        least=0,
    )
    distil_epochs: int = flag(
        500, "maximum epochs of each stage on the transfer set", group=TRAINING, original=True, least=1
    )
    distil_chunk_size: int = flag(
        100000,
        "examples of the transfer set whose teacher outputs are held at a time",
        group=OUTPUTS,
        original=True,
        least=1,
    )
    teacher_outputs: str = flag(
        "auto",
        "cache: compute teacher outputs once and keep them on disk; live: compute them again in each epoch; auto: as "
        "the disk allows",
        group=OUTPUTS,
        choices=("auto", "cache", "live"),
        aliases=("targets",),
    )
    teacher_outputs_dir: str | None = flag(
        None,
        "folder of cached teacher outputs, shared by runs with other students; by default teacher-targets in "
        "teacher_model_dir",
        group=OUTPUTS,
        aliases=("targets_dir",),
    )
    teacher_outputs_precision: str = flag(
        "float16",
        "precision of cached hidden states and attention maps",
        group=OUTPUTS,
        choices=("float16", "float32"),
        aliases=("targets_precision",),
    )
    frozen_features: str = flag(
        "cache",
        "cache: run a frozen student encoder once and keep its outputs; recompute: run it in each step",
        group=OUTPUTS,
        choices=("cache", "recompute"),
    )
    patience: int = flag(
        5,
        "epochs (and chunks) without a better score that end a stage",
        group=TRAINING,
        original=True,
        least=1,
    )
    learning_rate: float | str = flag(
        "auto",
        "peak learning rate of the logit stages; auto: 3e-5 for a pre-trained student, 1e-3 for one from scratch",
        group=TRAINING,
        above=0,
    )
    representation_learning_rate: float | str = flag(
        "auto",
        "peak learning rate of the representation stage; auto: twice learning_rate from scratch, else learning_rate",
        group=TRAINING,
        above=0,
    )
    label_learning_rate: float | str = flag(
        "auto",
        "peak learning rate of the stages on labels; auto: 0.3 x learning_rate from scratch, else learning_rate",
        group=TRAINING,
        above=0,
    )
    teacher_learning_rate: float | str = flag(
        "auto",
        "peak learning rate of the teacher's fine-tuning; auto: 3e-5",
        group=TRAINING,
        above=0,
    )
    warmup_ratio: float = flag(
        0.1, "length of the warm-up, as a fraction of decay_epochs", group=TRAINING, least=0, most=1
    )
    decay_epochs: int = flag(
        10,
        "epochs in which the learning rate decays to 0, at the end of a stage or once patience has run out",
        group=TRAINING,
        least=1,
    )
    class_weight: str = flag(
        "none",
        "class weights in the loss on labels: none, balanced (rare classes weigh more), or a list such as "
        "O=0.5,B-PER=2",
        group=TRAINING,
    )
    dropout: float | None = flag(
        None,
        "dropout of the student; by default 0.1 from scratch, else that of the checkpoint",
        group=STUDENT,
        least=0,
        below=1,
    )
    hidden_weight: float = flag(1.0, "weight of the hidden-state loss", group=LEARNT, least=0)
    embedding_weight: float = flag(
        0.0,
        "weight of the hidden-state loss at the student's embeddings (layer 0); a layer_map that names layer 0 uses "
        "hidden_weight",
        group=LEARNT,
        least=0,
    )
    attention_weight: float = flag(3.0, "weight of the attention loss", group=LEARNT, least=0)
    recipe: str = flag(
        "original",
        "original: stages on hidden states, logits, labels, unfreezing part by part; joint: all losses at once, then "
        "labels; best: joint with the losses of docs/results.md",
        group=LEARNT,
        choices=RECIPES,
    )
    soft_label_loss: str | None = flag(
        None,
        "loss between the logits of teacher and student; by default logits_mse, for several labels at once "
        "soft_label_bce",
        group=LEARNT,
        choices=tuple(losses_of(LOGITS)),
        aliases=("loss",),
    )
    temperature: float = flag(1.0, "temperature of soft_label_loss: divides both logits", group=LEARNT, above=0)
    t_squared: bool = flag(True, "do not multiply soft-label losses by temperature^2 (as TextBrewer)", group=LEARNT)
    soft_label_weight: float = flag(1.0, "weight of soft_label_loss in the joint stage", group=LEARNT, least=0)
    temperature_schedule: str = flag(
        "constant", "temperature of each position: constant, flsw:BETA,GAMMA or cwsm:BETA", group=LEARNT
    )
    hard_label_weight: float = flag(
        0.0,
        "weight of the cross-entropy on gold labels in the joint stage, which then reads train.tsv too",
        group=LEARNT,
        least=0,
    )
    probability_shift: bool = flag(
        False, "where the teacher is wrong, swap the logits of its prediction and of the gold label", group=LEARNT
    )
    layer_map: str = flag(
        LAST_WITH_LAST,
        "which teacher layer each student layer learns from: last, uniform, skip or student:teacher pairs "
        "(0:0,1:3,2:6); emd, sinkhorn: from all",
        group=LEARNT,
    )
    match: tuple[str, ...] = flag(
        (),
        "pairs to match in place of those above: "
        "feature=values,teacher=5,student=1,loss=relation_kl,relation_heads=12,weight=1, or JSON or YAML files of "
        "them",
        group=LEARNT,
    )
    unfreeze_order: str = flag("dense,student", "order in which parts of the student are unfrozen", group=TRAINING)
    baseline: bool = flag(False, "also train the same student on the labels only, to compare with", group=RUN)
    legacy: bool = flag(
        False,
        "reproduce the original: unmasked losses, feed-forward size 3072, learning rate 3e-5, selection on the test "
        "file, predictions for each token",
        group=RUN,
    )
    overwrite: bool = flag(False, "start over in a model_dir that holds another run", group=RUN)
    dry_run: bool = flag(False, "print the plan, sizes and estimates, then exit", group=RUN)

    @property
    def logits_only(self) -> bool:
        """Whether the teacher is external: it gives logits and no hidden states."""
        return bool(self.teacher_logits or self.teacher_onnx)


def expand_recipe(config: DistilConfig, given: Iterable[str] | None = None) -> DistilConfig:
    """Replaces `--recipe best` by the flags that it stands for; flags that the user gave keep their values.

    Relations are not matched if the user chose other pairs, nor what teacher or student does not have.

    Args:
        given: names of the flags that the user gave; by default those whose values differ from the defaults.
    """
    if config.recipe != BEST or config.legacy:
        return config
    recurrent = config.student_kind == "bilstm"
    soft = BY_PROBLEM[kind_of(KindSettings.of(config)).problem_type]
    best: dict = {"soft_label_loss": soft.loss, "temperature": soft.temperature, "hard_label_weight": 0.5}
    if recurrent:
        best = {}
    if config.teacher_logits:
        best.pop("hard_label_weight", None)
    given = set(given_flags(config, {*PAIRS, *best, "hard_label_weight"}) if given is None else given)
    if not config.logits_only and not given & set(PAIRS):
        best |= {"distil_multi_hidden_states": True} if recurrent else {"hidden_weight": 0.0, "distil_relations": True}
    return dataclasses.replace(config, recipe=JOINT, **{k: v for k, v in best.items() if k not in given})


def with_kind(config: DistilConfig) -> DistilConfig:
    """Fills in what the kind of task decides: its flags in their shortest form, and the default soft-label loss."""
    kind = kind_of(KindSettings.of(config))
    return dataclasses.replace(config, **kind.flags, soft_label_loss=config.soft_label_loss or kind.soft_label_loss)


def resolve(config: DistilConfig) -> DistilConfig:
    """Sets implied flags and replaces `auto` values; the result holds every value that the run uses."""
    config = with_kind(expand_recipe(config))
    changes = {
        "seed": resolve_seed(config.seed),
        "compress_word_embedding": config.compress_word_embedding or config.freeze_word_embedding,
        "distil_multi_hidden_states": config.distil_multi_hidden_states
        or config.distil_attention
        or config.layer_map != LAST_WITH_LAST,
        "teacher_epochs": config.ft_epochs if config.teacher_epochs is None else config.teacher_epochs,
        "intermediate_size": config.intermediate_size or 4 * config.hidden_size,
    }
    if config.student_kind == "bilstm":
        changes["lstm_units"] = config.lstm_units or config.hidden_size
    resolved = dataclasses.replace(config, **changes)
    return _legacy(resolved, config) if config.legacy else _learning_rates(resolved)


def _learning_rates(config: DistilConfig) -> DistilConfig:
    """A student without pre-training needs far higher learning rates than the original's 3e-5 (docs/results.md)."""
    pretrained = config.pt_student_checkpoint is not None
    known = LEGACY_LEARNING_RATE if pretrained else SCRATCH_LEARNING_RATE
    student = _given(config.learning_rate, known)
    return dataclasses.replace(
        config,
        learning_rate=student,
        representation_learning_rate=_given(config.representation_learning_rate, student * (1 if pretrained else 2)),
        label_learning_rate=_given(config.label_learning_rate, student * (1 if pretrained else LABELS_RATE_SHARE)),
        teacher_learning_rate=_given(config.teacher_learning_rate, LEGACY_LEARNING_RATE),
    )


def _given(rate: float | str, otherwise: float) -> float:
    return otherwise if rate == "auto" else rate


def _legacy(config: DistilConfig, given: DistilConfig) -> DistilConfig:
    return dataclasses.replace(
        config,
        intermediate_size=given.intermediate_size or LEGACY_INTERMEDIATE_SIZE,
        learning_rate=LEGACY_LEARNING_RATE,
        representation_learning_rate=LEGACY_LEARNING_RATE,
        label_learning_rate=LEGACY_LEARNING_RATE,
        teacher_learning_rate=LEGACY_LEARNING_RATE,
        embedding_training="table",
        embedding_weight=1.0,
        attention_weight=1.0,
        lr_schedule="constant",
        warmup_ratio=0.0,
        max_grad_norm=0.0,
        frozen_features="recompute",
    )
