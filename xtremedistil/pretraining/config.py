"""The flags of `xtremedistil pretrain`, as those of other commands stand in `config.py`."""

from dataclasses import dataclass

from xtremedistil.flags import REQUIRED, TrainingFlags, flag, takes_old_names

ALL_OF_THE_CORPUS = "corpus"  # --student_vocab

OF_HEAD_TRAINING = ("teacher_head_steps", "teacher_head_learning_rate")

OF_THE_HEAD = ("teacher_head", *OF_HEAD_TRAINING)  # that a teacher gets which comes without one


@takes_old_names
@dataclass(kw_only=True)
class PretrainConfig(TrainingFlags):
    """`run_xtreme_pretrain.py`: make a small general model out of a big one and plain text."""

    pt_teacher_checkpoint: str = flag(REQUIRED, "the teacher: folder or hub name")
    corpus: tuple[str, ...] = flag(
        REQUIRED, "plain text, one sentence or document a line: files or patterns such as 'wiki/*.gz'"
    )
    model_dir: str = flag(
        REQUIRED, "folder for the student and all checkpoints; the same command again continues there"
    )
    corpus_dir: str | None = flag(
        None, "folder for the tokenised corpus, shared by runs with the same tokenizer; by default corpus in model_dir"
    )
    seq_len: int = flag(128, "longest row in word pieces, special tokens counted")
    recipe: str = flag(
        "distilbert",
        "what is learnt: distilbert, soft labels, masked words and the last states' direction; minilm, attention maps "
        "and relations of values; minilmv2, relations of queries, keys and values (both of rows as they are, where no "
        "weight asks for words); words, masked words alone",
        choices=("distilbert", "minilm", "minilmv2", "words"),
    )
    objective: str = flag(
        "mlm", "which words are asked for: mlm, hidden ones; clm, the next one (GPT-2)", choices=("mlm", "clm")
    )
    soft_label_weight: float | None = flag(None, "weight of the teacher's word on pieces; by default the recipe's")
    mlm_weight: float | None = flag(
        None, "weight of the pieces that stand there; by default the recipe's", aliases=("word_weight",)
    )
    logits_mse_weight: float | None = flag(
        None, "weight of the squared distance of logits, summed over the vocabulary; by default the recipe's"
    )
    cosine_weight: float | None = flag(None, "weight of the last states' direction; by default the recipe's")
    relation_weight: float | None = flag(None, "weight of each map or relation of MiniLM; by default the recipe's")
    temperature: float = flag(2.0, "of the soft labels")
    relation_heads: int = flag(48, "heads that queries, keys and values are cut into (minilmv2); divides both widths")
    relation_teacher_layer: int | None = flag(
        None, "teacher layer that the student's last one learns relations from, counted from 0; by default the last"
    )
    match: tuple[str, ...] = flag((), "further pairs of inner tensors: entries or files as of `xtremedistil distil`")
    soft_labels_on_all_tokens: bool = flag(
        False,
        "soft labels of all pieces, as DistilBERT's code has by default; without it, of those asked for alone",
        aliases=("predict_all",),
    )
    num_hidden_layers: int | None = flag(None, "layers of the student; by default half of the teacher's")
    hidden_size: int | None = flag(None, "width of the student; by default the teacher's")
    num_attention_heads: int | None = flag(None, "attention heads of the student; by default the teacher's")
    intermediate_size: int | None = flag(
        None, "feed-forward width of the student; by default the teacher's at its hidden_size, else 4 x hidden_size"
    )
    init_layers: str | None = flag(
        None, "begin with the teacher's embeddings and these of its layers: 0,2,4,7,9,11 or uniform (equal widths)"
    )
    pt_student_checkpoint: str | None = flag(None, "begin with this checkpoint: folder or hub name")
    student_vocab: str | None = flag(
        None,
        "leave pieces out of the vocabulary: corpus, all that the corpus does not use; or a file of the pieces to "
        "keep, one a line",
    )
    student_vocab_min_count: int = flag(1, "with --student_vocab corpus, how often a piece has to occur to be kept")
    teacher_head: str | None = flag(
        None, "language-head.h5 of an earlier run with this teacher and vocabulary, where the checkpoint has no head"
    )
    teacher_head_steps: int = flag(2000, "updates of a head that is trained on a teacher that comes without one")
    teacher_head_learning_rate: float = flag(1e-3, "peak rate of these")
    packed: bool = flag(False, "cut the text into full rows, whatever lines it has; by default a row is a line")
    mlm_probability: float = flag(0.15, "share of a batch's pieces that are asked for", aliases=("mlm_share",))
    mlm_smoothing: float = flag(0.7, "rare pieces are asked for more often: in proportion to count^-this; 0: alike")
    mlm_hide: float = flag(0.8, "share of these where the mask piece stands")
    mlm_random: float = flag(0.1, "share of these where another piece stands; at the rest nothing is changed")
    whole_word_mask: bool = flag(False, "hide all pieces of a word together", aliases=("whole_words",))
    freeze_pos_embs: bool = flag(False, "keep the student's position embeddings as they begin")
    freeze_token_type_embds: bool = flag(False, "keep the student's type embeddings as they begin")
    dropout: float | None = flag(None, "dropout of the student; by default that of its configuration")
    batch_size: int = flag(32, "rows per batch and device")
    epochs: float = flag(3.0, "passes over the corpus; a part of one, too")
    max_steps: int = flag(0, "updates, so many exactly, in place of --epochs", aliases=("steps",))
    eval_steps: int = flag(
        0, "updates between losses on held-out rows, of which the least chooses the weights; by default a tenth of all"
    )
    learning_rate: float = flag(5e-4, "peak rate")
    warmup_ratio: float = flag(0.05, "share of the updates over which the rate first rises")
    max_grad_norm: float = flag(5.0, "longest gradient; 0 switches clipping off")
    weight_decay: float = flag(0.01, "share of each weight, times the rate, that a step takes off (AdamW)")
    opt_policy: str | None = flag(
        None, "precision of both models", choices=("float32", "mixed_float16", "mixed_bfloat16")
    )
    overwrite: bool = flag(False, "start again in a model_dir that holds another run")
