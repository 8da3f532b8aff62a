"""The flags of `xtremedistil task-transfer`, as those of other commands stand in `config.py`."""

from dataclasses import dataclass

from xtremedistil.flags import REQUIRED, flag, takes_old_names


@takes_old_names
@dataclass(kw_only=True)
class TransferConfig:
    """`xtremedistil task-transfer`: distil on a source task, and reuse the student on a target task with few labels."""

    source_task: str = flag(REQUIRED, "folder of the task that the student is distilled on (as for distil)")
    target_task: str = flag(REQUIRED, "folder of the task that it is reused on")
    model_dir: str = flag(REQUIRED, "folder for everything that is made; the same command again continues there")
    seq_len: int = flag(REQUIRED, "longest row in word pieces, special tokens counted")
    source_do_NER: bool = flag(False, "the source task tags words (words<TAB>tags)")
    source_do_pairwise: bool = flag(False, "the source task classifies pairs (text<TAB>text<TAB>label)")
    target_do_NER: bool = flag(False, "the target task tags words")
    target_do_pairwise: bool = flag(False, "the target task classifies pairs")
    transfer_file: str | None = flag(
        None, "unlabelled text of the source task, one example a line; by default its train.tsv"
    )
    teacher_model_dir: str | None = flag(
        None, "folder of the teacher that is tuned on the source task; by default teacher in model_dir"
    )
    pt_teacher: str = flag("TFBertModel", "class of the teacher, or auto to read it from the checkpoint")
    pt_teacher_checkpoint: str = flag("bert-base-multilingual-cased", "the teacher: folder or hub name")
    pt_student_checkpoint: str | None = flag(
        None, "pre-trained student to start from (folder or hub name), such as the checkpoint of xtremedistil pretrain"
    )
    hidden_size: int = flag(384, "width of a student from scratch")
    num_attention_heads: int = flag(6, "its attention heads")
    num_hidden_layers: int = flag(6, "its layers")
    intermediate_size: int | None = flag(None, "its feed-forward width; by default 4 x hidden_size")
    distil_attention: bool = flag(False, "also match attention maps (implies --distil_multi_hidden_states)")
    distil_multi_hidden_states: bool = flag(False, "match the states of all student layers, not only the last")
    compress_word_embedding: bool = flag(
        False, "start from the teacher's word embeddings, reduced to the student's width"
    )
    target_labels: int = flag(
        0, "rows of the target's train.tsv that are used, drawn by the seed; of texts, each label once at least; 0: all"
    )
    target_learning_rate: float | str = flag("auto", "peak rate on the target task; auto: 3e-4")
    teacher_epochs: int | None = flag(None, "most epochs of the teacher's tuning; by default ft_epochs")
    distil_epochs: int = flag(500, "most epochs of each stage on the transfer set")
    ft_epochs: int = flag(100, "most epochs of each stage on the source task's labels")
    target_epochs: int = flag(100, "most epochs on the target task")
    patience: int = flag(5, "epochs without a better score before any of these ends")
    teacher_batch_size: int = flag(128, "rows per step and device when the teacher is tuned")
    student_distil_batch_size: int = flag(128, "rows of the transfer set per step and device")
    student_ft_batch_size: int = flag(32, "the source task's labelled rows per step and device")
    target_batch_size: int = flag(32, "the target task's labelled rows per step and device")
    opt_policy: str | None = flag(
        None, "precision of the student's training", choices=("float32", "mixed_float16", "mixed_bfloat16")
    )
    seed: int | None = flag(None, "seed of everything random; by default PYTHONHASHSEED, else 42")
    strategy: str = flag("auto", "which devices train", choices=("auto", "one_device", "mirrored", "tpu"))
    tpu: str | None = flag(None, "name or address of the TPU, with --strategy tpu")
    baseline: bool = flag(
        False,
        "also train a student on the target task that the source task has taught nothing: from scratch, or the "
        "checkpoint of --pt_student_checkpoint",
    )
    overwrite: bool = flag(False, "start again in a model_dir that holds another run; a tuned teacher stays")
    verbose: bool = flag(False, "keep the messages of TensorFlow and transformers")
