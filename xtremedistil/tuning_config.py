"""Flags of the commands that train on labels only."""

from dataclasses import dataclass

from xtremedistil.config import REQUIRED, flag


@dataclass(kw_only=True)
class LabelTraining:
    """Flags of the commands that train on labels only."""

    learning_rate: float | str = flag("auto", "peak rate; auto: 3e-5")
    lr_schedule: str = flag("linear", "shape of the decay", choices=("linear", "cosine", "constant"))
    warmup_ratio: float = flag(0.1, "share of the decay period over which the rate first rises")
    decay_epochs: int = flag(10, "epochs over which the rate falls to 0 at the end")
    max_grad_norm: float = flag(1.0, "longest gradient; 0 switches clipping off")
    weight_decay: float = flag(0.0, "share of each weight, times the rate, that a step takes off (AdamW)")
    gradient_accumulation_steps: int = flag(1, "batches that make one step, as one batch of all their rows would")
    jit_compile: bool = flag(False, "compile training steps with XLA, once for each shape of a batch")
    class_weight: str = flag(
        "none",
        "weights of labels in the loss: none, balanced (rare labels weigh more), or a list as in O=0.5,B-PER=2",
    )
    seed: int | None = flag(None, "seed of everything random; by default PYTHONHASHSEED, else 42")
    save_steps: int = flag(0, "save where training is after every so many steps; 0: by time only")
    save_minutes: float = flag(5.0, "save where training is after so many minutes; 0: not by time")
    strategy: str = flag(
        "auto", "which devices train", choices=("auto", "one_device", "mirrored", "multi_worker", "tpu")
    )
    tpu: str | None = flag(None, "name or address of the TPU, with --strategy tpu")
    verbose: bool = flag(False, "keep the messages of TensorFlow and transformers")


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
