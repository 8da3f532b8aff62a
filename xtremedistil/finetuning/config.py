"""Flags of the commands that train on labels only."""

from dataclasses import dataclass

from xtremedistil.flags import REQUIRED, TrainingFlags, flag, takes_old_names


@dataclass(kw_only=True)
class LabelTraining(TrainingFlags):
    """Flags of the commands that train on labels only."""

    learning_rate: float | str = flag("auto", "peak rate; auto: 3e-5")
    warmup_ratio: float = flag(0.1, "share of the decay period over which the rate first rises")
    decay_epochs: int = flag(10, "epochs over which the rate falls to 0 at the end")
    class_weight: str = flag(
        "none",
        "weights of labels in the loss: none, balanced (rare labels weigh more), or a list as in O=0.5,B-PER=2",
    )


@takes_old_names
@dataclass(kw_only=True)
class ContinueConfig(LabelTraining):
    """`run_xtreme_distil_ft.py`: train a distilled student further on its task's labels."""

    model_dir: str = flag(REQUIRED, "folder that run_xtreme_distil.py wrote; xtremedistil-ft.h5 is written there")
    batch_size: int = flag(128, "rows per step and device")
    ft_epochs: int = flag(100, "most epochs")
    patience: int = flag(5, "epochs without a better dev score before training ends")
    opt_policy: str | None = flag(None, "precision", choices=("float32", "mixed_float16", "mixed_bfloat16"))
    task: str | None = flag(None, "task folder; by default the one the student was distilled on")
    pt_teacher_checkpoint: str | None = flag(None, "tokenizer of a folder that holds none (the original's folders)")


@takes_old_names
@dataclass(kw_only=True)
class BaselineConfig(LabelTraining):
    """`run_model_ft.py`: fine-tune a pre-trained model, without distillation."""

    task: str = flag(REQUIRED, "folder with train.tsv, dev.tsv, test.tsv (and labels.tsv for NER)")
    model_dir: str = flag(REQUIRED, "folder for model-ft.h5 and metrics.json")
    seq_len: int = flag(REQUIRED, "longest row in word pieces, special tokens counted")
    multilingual: bool = flag(False, "use the XLM-R tokenizer (multilingual MiniLM); see --pt_tokenizer")
    pt_tokenizer: str | None = flag(None, "tokenizer if it is not the checkpoint's own: folder or hub name")
    do_NER: bool = flag(False, "tag words (words<TAB>tags)")
    do_pairwise: bool = flag(False, "classify pairs (text<TAB>text<TAB>label)")
    pt_model: str = flag("TFBertModel", "class of the model, or auto to read it from the checkpoint")
    pt_model_checkpoint: str = flag("bert-base-multilingual-cased", "the model: folder or hub name")
    opt_policy: str | None = flag(None, "precision", choices=("float32", "mixed_float16", "mixed_bfloat16"))
    batch_size: int = flag(128, "rows per step and device")
    ft_epochs: int = flag(100, "most epochs")
    patience: int = flag(5, "epochs without a better dev score before training ends")
