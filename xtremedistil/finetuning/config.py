"""Flags of the commands that train on labels only."""

from dataclasses import dataclass

from xtremedistil.flags import DATA, DEVICES, REQUIRED, RUN, TEACHER, TRAINING, TrainingFlags, flag, takes_old_names
from xtremedistil.tasks import KINDS
from xtremedistil.tasks.kind_settings import COMMA


@dataclass(kw_only=True)
class LabelTraining(TrainingFlags):
    """Flags of the commands that train on labels only."""

    learning_rate: float | str = flag("auto", "peak learning rate; auto: 3e-5", group=TRAINING, above=0)
    warmup_ratio: float = flag(
        0.1, "length of the warm-up, as a fraction of decay_epochs", group=TRAINING, least=0, most=1
    )
    decay_epochs: int = flag(10, "epochs in which the learning rate decays to 0 at the end", group=TRAINING, least=1)
    class_weight: str = flag(
        "none",
        "class weights in the loss on labels: none, balanced (rare classes weigh more), or a list such as "
        "O=0.5,B-PER=2",
        group=TRAINING,
    )


@takes_old_names
@dataclass(kw_only=True)
class ContinueConfig(LabelTraining):
    """Train a distilled student further on the labels of its task (run_xtreme_distil_ft.py)."""

    model_dir: str = flag(
        REQUIRED,
        "folder of the student, as distil writes it; xtremedistil-ft.h5 is written there",
        group=RUN,
        original=True,
    )
    batch_size: int = flag(128, "batch size per device", group=TRAINING, original=True, least=1)
    ft_epochs: int = flag(100, "maximum epochs", group=TRAINING, original=True, least=1)
    patience: int = flag(
        5, "epochs without a better dev score that end the training", group=TRAINING, original=True, least=1
    )
    opt_policy: str | None = flag(
        None,
        "precision of the training",
        group=DEVICES,
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
        original=True,
    )
    task: str | None = flag(None, "task folder; by default the student's own", group=DATA)
    pt_teacher_checkpoint: str | None = flag(
        None, "tokenizer for a folder that holds none (those of the original release)", group=DATA
    )


@takes_old_names
@dataclass(kw_only=True)
class BaselineConfig(LabelTraining):
    """Fine-tune a pre-trained model on a task, without distillation (run_model_ft.py)."""

    task: str = flag(
        REQUIRED, "task folder: train.tsv, dev.tsv, test.tsv (and labels.tsv with --do_NER)", group=DATA, original=True
    )
    model_dir: str = flag(REQUIRED, "folder for model-ft.h5 and metrics.json", group=RUN, original=True)
    seq_len: int = flag(
        REQUIRED,
        "maximum sequence length in tokens, special tokens included",
        group=DATA,
        original=True,
        least=3,
    )
    multilingual: bool = flag(
        False, "use the tokenizer of XLM-R (multilingual MiniLM); see --pt_tokenizer", group=DATA, original=True
    )
    pt_tokenizer: str | None = flag(
        None, "tokenizer, if it is not the checkpoint's own: folder or hub name", group=DATA
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
    pt_model: str = flag(
        "TFBertModel", "class of the model, or auto to read it from the checkpoint", group=TEACHER, original=True
    )
    pt_model_checkpoint: str = flag(
        "bert-base-multilingual-cased", "pre-trained model: folder or hub name", group=TEACHER, original=True
    )
    opt_policy: str | None = flag(
        None,
        "precision of the training",
        group=DEVICES,
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
        original=True,
    )
    batch_size: int = flag(128, "batch size per device", group=TRAINING, original=True, least=1)
    ft_epochs: int = flag(100, "maximum epochs", group=TRAINING, original=True, least=1)
    patience: int = flag(
        5, "epochs without a better dev score that end the training", group=TRAINING, original=True, least=1
    )
