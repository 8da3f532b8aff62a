"""Flags of `xtremedistil pretrain`."""

from dataclasses import dataclass

from xtremedistil.flags import (
    DATA,
    DEVICES,
    LEARNT,
    REQUIRED,
    RUN,
    STUDENT,
    TEACHER,
    TRAINING,
    TrainingFlags,
    flag,
    takes_old_names,
)

ALL_OF_THE_CORPUS = "corpus"  # --student_vocab
OF_HEAD_TRAINING = ("teacher_head_steps", "teacher_head_learning_rate")
OF_THE_HEAD = ("teacher_head", *OF_HEAD_TRAINING)  # that a teacher gets which comes without one


MOST_SMOOTHING = 5  # above, common tokens would never be masked


@takes_old_names
@dataclass(kw_only=True)
class PretrainConfig(TrainingFlags):
    """Pre-train a small general model on plain text, with a big one as its teacher (run_xtreme_pretrain.py)."""

    pt_teacher_checkpoint: str = flag(REQUIRED, "teacher: folder or hub name", group=TEACHER)
    corpus: tuple[str, ...] = flag(
        REQUIRED, "plain text, one sentence or document per line: files or patterns such as 'wiki/*.gz'", group=DATA
    )
    model_dir: str = flag(
        REQUIRED, "folder for the student; the same command continues an interrupted run there", group=RUN
    )
    corpus_dir: str | None = flag(
        None,
        "folder of the tokenized corpus, shared by runs with the same tokenizer; by default corpus in model_dir",
        group=DATA,
    )
    seq_len: int = flag(128, "maximum sequence length in tokens, special tokens included", group=DATA, least=3)
    recipe: str = flag(
        "distilbert",
        "distilbert: soft labels, masked language modelling (MLM), cosine of the last hidden states; minilm: "
        "attention maps and value relations; minilmv2: relations of queries, keys and values; words: MLM only",
        group=LEARNT,
        choices=("distilbert", "minilm", "minilmv2", "words"),
    )
    objective: str = flag(
        "mlm", "mlm: predict masked tokens; clm: predict the next token (GPT-2)", group=LEARNT, choices=("mlm", "clm")
    )
    soft_label_weight: float | None = flag(
        None, "weight of the soft-label loss; by default the recipe's", group=LEARNT, least=0
    )
    mlm_weight: float | None = flag(
        None,
        "weight of the cross-entropy on predicted tokens; by default the recipe's",
        group=LEARNT,
        aliases=("word_weight",),
        least=0,
    )
    logits_mse_weight: float | None = flag(
        None,
        "weight of the squared error of logits, summed over the vocabulary; by default the recipe's",
        group=LEARNT,
        least=0,
    )
    cosine_weight: float | None = flag(
        None,
        "weight of the cosine loss of the last hidden states; by default the recipe's",
        group=LEARNT,
        least=0,
    )
    relation_weight: float | None = flag(
        None,
        "weight of each attention or relation loss of MiniLM; by default the recipe's",
        group=LEARNT,
        least=0,
    )
    temperature: float = flag(2.0, "temperature of the soft-label loss", group=LEARNT, above=0)
    relation_heads: int = flag(
        48,
        "relation heads of minilmv2; must divide the hidden sizes of teacher and student",
        group=LEARNT,
        least=1,
    )
    relation_teacher_layer: int | None = flag(
        None,
        "teacher layer, from 0, whose relations the student's last layer learns; by default the last",
        group=LEARNT,
    )
    match: tuple[str, ...] = flag(
        (), "further pairs of hidden states, attention maps and others to match, as for distil", group=LEARNT
    )
    soft_labels_on_all_tokens: bool = flag(
        False,
        "soft labels on all tokens, as DistilBERT's code has by default; otherwise on predicted tokens only",
        group=LEARNT,
        aliases=("predict_all",),
    )
    num_hidden_layers: int | None = flag(
        None, "layers of the student; by default half of the teacher's", group=STUDENT, least=1
    )
    hidden_size: int | None = flag(None, "hidden size of the student; by default the teacher's", group=STUDENT, least=1)
    num_attention_heads: int | None = flag(
        None,
        "attention heads of the student; by default the teacher's",
        group=STUDENT,
        least=1,
    )
    intermediate_size: int | None = flag(
        None,
        "feed-forward size of the student; by default the teacher's at its hidden size, else 4 x hidden_size",
        group=STUDENT,
        least=1,
    )
    init_layers: str | None = flag(
        None, "start with the teacher's embeddings and these of its layers: 0,2,4,7,9,11, or uniform", group=STUDENT
    )
    pt_student_checkpoint: str | None = flag(
        None, "pre-trained student to start from: folder or hub name", group=STUDENT
    )
    student_vocab: str | None = flag(
        None,
        "smaller vocabulary: corpus, the tokens that occur in the corpus; or a file of tokens to keep, one per line",
        group=STUDENT,
    )
    student_vocab_min_count: int = flag(
        1,
        "with --student_vocab corpus, how often a token must occur to be kept",
        group=STUDENT,
        least=1,
    )
    teacher_head: str | None = flag(
        None,
        "MLM head for a checkpoint that has none: language-head.h5 of an earlier run with this teacher and vocabulary",
        group=TEACHER,
    )
    teacher_head_steps: int = flag(
        2000, "steps of training an MLM head for a teacher that has none", group=TEACHER, least=1
    )
    teacher_head_learning_rate: float = flag(1e-3, "peak learning rate of that training", group=TEACHER, above=0)
    packed: bool = flag(
        False, "pack sequences of full length across lines; otherwise each line is a sequence", group=DATA
    )
    mlm_probability: float = flag(
        0.15,
        "fraction of the tokens of a batch that are predicted",
        group=LEARNT,
        aliases=("mlm_share",),
        least=0,
        most=1,
    )
    mlm_smoothing: float = flag(
        0.7,
        "predict rare tokens more often, in proportion to count^-this; 0: all alike",
        group=LEARNT,
        least=0,
        most=MOST_SMOOTHING,
    )
    mlm_hide: float = flag(
        0.8, "fraction of the predicted tokens that are replaced by the mask token", group=LEARNT, least=0, most=1
    )
    mlm_random: float = flag(
        0.1,
        "fraction of the predicted tokens that are replaced by a random token; the rest stays as it is",
        group=LEARNT,
        least=0,
        most=1,
    )
    whole_word_mask: bool = flag(False, "mask all tokens of a word together", group=LEARNT, aliases=("whole_words",))
    freeze_pos_embs: bool = flag(False, "do not train the student's position embeddings", group=STUDENT)
    freeze_token_type_embds: bool = flag(False, "do not train the student's token type embeddings", group=STUDENT)
    dropout: float | None = flag(
        None, "dropout of the student; by default that of its configuration", group=STUDENT, least=0, below=1
    )
    batch_size: int = flag(32, "batch size per device", group=TRAINING, least=1)
    epochs: float = flag(3.0, "passes over the corpus; may be a fraction", group=TRAINING, least=0)
    max_steps: int = flag(
        0,
        "exact number of training steps, in place of --epochs; 0: as --epochs says",
        group=TRAINING,
        aliases=("steps",),
        least=0,
    )
    eval_steps: int = flag(
        0,
        "steps between evaluations on held-out sequences; the best weights are kept; by default a tenth of all steps",
        group=TRAINING,
        least=0,
    )
    learning_rate: float = flag(5e-4, "peak learning rate", group=TRAINING, above=0)
    warmup_ratio: float = flag(
        0.05, "length of the warm-up, as a fraction of all steps", group=TRAINING, least=0, most=1
    )
    max_grad_norm: float = flag(5.0, "clip gradients to this norm; 0: no clipping", group=TRAINING, least=0)
    weight_decay: float = flag(0.01, "weight decay of AdamW", group=TRAINING, least=0)
    opt_policy: str | None = flag(
        None, "precision of teacher and student", group=DEVICES, choices=("float32", "mixed_float16", "mixed_bfloat16")
    )
    overwrite: bool = flag(False, "start over in a model_dir that holds another run", group=RUN)
