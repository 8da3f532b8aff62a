"""The flags of a distillation, in one dataclass as those of every command: they are the keys of
`xtremedistil-config.json`, too.

The names and defaults of the original release are kept. A flag that says `auto` or has no value is settled by
`resolve`, so that the rest of the code never asks where a number came from. The other commands':
`use_config.py`, `tuning_config.py`, `pretraining/pretrain_config.py`, `pretraining/transfer_config.py`.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from xtremedistil.augmentation.word_edits import MASKED_LM
from xtremedistil.flags import (
    LEGACY_LEARNING_RATE,
    REQUIRED,
    TrainingFlags,
    flag,
    given_flags,
    resolve_seed,
    takes_old_names,
)
from xtremedistil.losses.specs import LOGITS, losses_of

SCRATCH_LEARNING_RATE = 1e-3

LABELS_RATE_SHARE = 0.3  # of a network without pre-training, on labels

LEGACY_INTERMEDIATE_SIZE = 3072

ORIGINAL, JOINT, BEST = "original", "joint", "best"

RECIPES = (ORIGINAL, JOINT, BEST)

LAST_WITH_LAST = "last"  # the original's layer map

# Flags that say what is matched between inner tensors.
PAIRS = ("match", "layer_map", "distil_attention", "distil_multi_hidden_states", "distil_relations", "hidden_weight")


AUGMENTATIONS = ("masking", "deleting", "n_gram_sampling", "short_disorder", "long_disorder", MASKED_LM)


@takes_old_names
@dataclass(kw_only=True)
class DistilConfig(TrainingFlags):
    """`run_xtreme_distil.py`: distil a teacher into a student."""

    task: str = flag(REQUIRED, "folder with train.tsv, dev.tsv, test.tsv (and labels.tsv for NER)")
    model_dir: str = flag(
        REQUIRED, "folder for the student and all checkpoints; the same command again continues there"
    )
    seq_len: int = flag(REQUIRED, "longest row in word pieces, special tokens counted")
    transfer_file: str = flag(REQUIRED, "unlabelled text, one example a line; plain or .gz")
    teacher_model_dir: str = flag(REQUIRED, "folder of the fine-tuned teacher (model-ft.h5), made if it is not there")
    do_NER: bool = flag(False, "tag words (words<TAB>tags)")
    do_pairwise: bool = flag(False, "classify pairs (text<TAB>text<TAB>label)")
    augment: tuple[str, ...] = flag(
        (),
        "add lines to the transfer set that are made of its own, by one or several of these; masked_lm replaces "
        "words by those that the model of augment_checkpoint predicts",
        choices=AUGMENTATIONS,
    )
    augment_copies: int = flag(1, "lines that are made of each line, by augmenters drawn from those named")
    augment_checkpoint: str | None = flag(
        None, "masked-language model of --augment masked_lm, with its pre-training head: folder or hub name"
    )
    student_kind: str = flag("transformer", "what a student from scratch is", choices=("transformer", "bilstm"))
    hidden_size: int = flag(384, "width of a student from scratch; of a BiLSTM, the width of its word embeddings")
    num_attention_heads: int = flag(6, "attention heads of a student from scratch")
    num_hidden_layers: int = flag(6, "layers of a student from scratch")
    intermediate_size: int | None = flag(
        None, "feed-forward width of a student from scratch; by default 4 x hidden_size"
    )
    lstm_units: int | None = flag(
        None, "units of each direction of each layer of a BiLSTM; by default hidden_size (600 in the paper)"
    )
    pt_student_checkpoint: str | None = flag(None, "pre-trained student to start from: folder or hub name")
    distil_attention: bool = flag(False, "also match attention maps (implies --distil_multi_hidden_states)")
    distil_relations: bool = flag(
        False, "also match relations of queries, keys and values, last layer with last layer, as MiniLMv2 does"
    )
    relation_heads: int = flag(12, "parts that these are cut into for --distil_relations; divides both models' widths")
    distil_multi_hidden_states: bool = flag(False, "match the states of all student layers, not only the last")
    compress_word_embedding: bool = flag(
        False, "start from the teacher's word embeddings, reduced to the student's width"
    )
    freeze_word_embedding: bool = flag(False, "keep these embeddings fixed (implies --compress_word_embedding)")
    embedding_factorization: str = flag("pca", "how embeddings are reduced", choices=("pca", "svd"))
    embedding_training: str = flag(
        "map",
        "how compressed embeddings are trained: map, a matrix that all words share; table, each word on its own",
        choices=("map", "table"),
    )
    pt_teacher: str = flag("TFBertModel", "class of the teacher, or auto to read it from the checkpoint")
    pt_teacher_checkpoint: str = flag("bert-base-multilingual-cased", "the teacher: folder or hub name")
    teacher_logits: str | None = flag(
        None,
        "logits that a teacher gave elsewhere, in place of one here: .npz or .parquet, a row for each line of the "
        "transfer file (see README); pt_teacher_checkpoint then gives the student its tokenizer",
        aliases=("teacher_targets",),
    )
    teacher_onnx: str | None = flag(
        None, "an ONNX graph as the teacher, for the tokenizer of pt_teacher_checkpoint; it gives logits alone"
    )
    opt_policy: str | None = flag(
        None, "precision of the student's training", choices=("float32", "mixed_float16", "mixed_bfloat16")
    )
    teacher_opt_policy: str | None = flag(
        None,
        "precision of the teacher's tuning and outputs",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
    )
    student_distil_batch_size: int = flag(128, "rows of the transfer set per step and device")
    student_ft_batch_size: int = flag(32, "labelled rows per step and device")
    teacher_batch_size: int = flag(128, "rows per step and device when the teacher is tuned")
    ft_epochs: int = flag(100, "most epochs of each stage on the labels")
    teacher_epochs: int | None = flag(None, "most epochs of the teacher's tuning; by default ft_epochs")
    distil_epochs: int = flag(500, "most epochs of each stage on the transfer set")
    distil_chunk_size: int = flag(100000, "transfer rows whose teacher targets are held at a time")
    teacher_outputs: str = flag(
        "auto",
        "the teacher's outputs: cache, computed once and kept; live, computed in every epoch; auto, as the disk allows",
        choices=("auto", "cache", "live"),
        aliases=("targets",),
    )
    teacher_outputs_dir: str | None = flag(
        None,
        "folder for them, shared by runs with other students; by default teacher-targets in teacher_model_dir",
        aliases=("targets_dir",),
    )
    teacher_outputs_precision: str = flag(
        "float16",
        "how hidden states and attention maps are kept on disk",
        choices=("float16", "float32"),
        aliases=("targets_precision",),
    )
    frozen_features: str = flag(
        "cache",
        "stages that leave the encoder alone: cache, it runs once over their rows; recompute, in every step",
        choices=("cache", "recompute"),
    )
    patience: int = flag(5, "epochs (and chunks) without a better score before a stage ends")
    learning_rate: float | str = flag(
        "auto", "peak rate of the logit stages; auto: 3e-5 for a pre-trained student, 1e-3 for one from scratch"
    )
    representation_learning_rate: float | str = flag(
        "auto", "peak rate of the representation stage; auto: twice learning_rate from scratch, else the same"
    )
    label_learning_rate: float | str = flag(
        "auto", "peak rate of the stages on the labels; auto: 0.3 x learning_rate from scratch, else the same"
    )
    teacher_learning_rate: float | str = flag("auto", "peak rate of the teacher's tuning; auto: 3e-5")
    warmup_ratio: float = flag(0.1, "share of a stage's decay period over which the rate first rises")
    decay_epochs: int = flag(
        10, "epochs over which the rate falls to 0, at the end of a stage or when patience runs out"
    )
    class_weight: str = flag(
        "none",
        "weights of gold labels in the loss: none, balanced (rare labels weigh more), or a list as in O=0.5,B-PER=2",
    )
    dropout: float | None = flag(
        None, "dropout of the student; by default 0.1 from scratch, else that of its checkpoint"
    )
    hidden_weight: float = flag(1.0, "weight of the hidden-state loss in the representation stage")
    embedding_weight: float = flag(
        0.0,
        "weight of the hidden-state pair that begins with the student's embeddings; a layer_map that names layer 0 "
        "gives it that of the others",
    )
    attention_weight: float = flag(3.0, "weight of the attention loss in the representation stage")
    recipe: str = flag(
        "original",
        "stages: original, representation, then logits, then labels, these two with more of head, projection and "
        "encoder from stage to stage; joint, states, logits and (with --hard_label_weight) labels at once, then "
        "labels; best, the joint stage with what is ahead in docs/results.md: soft labels, gold labels and relations, "
        "or a BiLSTM's logits and states",
        choices=RECIPES,
    )
    soft_label_loss: str = flag(
        "logits_mse",
        "loss between the logits of teacher and student",
        choices=tuple(losses_of(LOGITS)),
        aliases=("loss",),
    )
    temperature: float = flag(1.0, "divides both logits in that loss")
    t_squared: bool = flag(
        True,
        "leave out the factor temperature^2, which makes up for the smaller gradients of softened labels, from the "
        "losses soft_label_kl, _ce and _bce and logit_standardized_kl, as TextBrewer does (logits_mse never has it, "
        "dist always)",
    )
    soft_label_weight: float = flag(
        1.0, "weight, in the joint stage, of the loss between logits, beside those of states and gold labels"
    )
    temperature_schedule: str = flag(
        "constant", "a temperature for each position: constant, flsw:BETA,GAMMA or cwsm:BETA (see README)"
    )
    hard_label_weight: float = flag(
        0.0, "weight of the gold labels in the joint stage, which then reads the labelled rows too"
    )
    probability_shift: bool = flag(False, "put the teacher's wrong first choices right where there is a gold label")
    layer_map: str = flag(
        LAST_WITH_LAST,
        "which teacher layer meets which student layer: last; uniform, skip, student:teacher as in 0:0,1:3,2:6 (these "
        "imply --distil_multi_hidden_states); or all meet all, as far as they fit: emd, sinkhorn",
    )
    match: tuple[str, ...] = flag(
        (),
        "what is matched instead of the layer map's states and maps: entries as in "
        "feature=values,teacher=5,student=1,loss=relation_kl,relation_heads=12,weight=1, or JSON or YAML files of "
        "them; a weight_schedule runs over each chunk of the transfer set anew",
    )
    unfreeze_order: str = flag("dense,student", "order in which blocks are unfrozen, top first")
    baseline: bool = flag(False, "also train the same student on the labels alone, for comparison")
    legacy: bool = flag(
        False,
        "the original's choices together: unmasked losses, feed-forward 3072, rate 3e-5, selection on the test file, "
        "predictions by word piece",
    )
    overwrite: bool = flag(False, "start again in a model_dir that holds another run")
    dry_run: bool = flag(False, "print the plan, sizes and estimates, and start nothing")

    @property
    def logits_only(self) -> bool:
        """Whether the teacher comes from elsewhere and has no states to match."""
        return bool(self.teacher_logits or self.teacher_onnx)


def spelled_out(config: DistilConfig, given: Iterable[str] | None = None) -> DistilConfig:
    """The flags that `--recipe best` stands for in its place; those that somebody gave stay.

    Pairs that are asked for take the place of relations, and what teacher or student cannot give is left out.

    Args:
        given: names of the flags that somebody gave; by default those with other values than their defaults.
    """
    if config.recipe != BEST or config.legacy:
        return config
    recurrent = config.student_kind == "bilstm"
    best: dict = {} if recurrent else {"soft_label_loss": "soft_label_kl", "temperature": 2.0, "hard_label_weight": 0.5}
    if config.teacher_logits:
        best.pop("hard_label_weight", None)
    given = set(given_flags(config, {*PAIRS, *best, "hard_label_weight"}) if given is None else given)
    if not config.logits_only and not given & set(PAIRS):
        best |= {"distil_multi_hidden_states": True} if recurrent else {"hidden_weight": 0.0, "distil_relations": True}
    return dataclasses.replace(config, recipe=JOINT, **{k: v for k, v in best.items() if k not in given})


def resolve(config: DistilConfig) -> DistilConfig:
    """Settles implied flags and `auto` values; the result says everything that the run will use."""
    config = spelled_out(config)
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
    settled = dataclasses.replace(config, **changes)
    return _legacy(settled, config) if config.legacy else _learning_rates(settled)


def _learning_rates(config: DistilConfig) -> DistilConfig:
    """A network without pre-training needs far higher rates than the 3e-5 of the original (docs/results.md)."""
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
