"""Flags of `xtremedistil task-transfer`."""

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
    accept_weights_flag,
    flag,
    takes_old_names,
)
from xtremedistil.tasks import KINDS
from xtremedistil.tasks.kind_settings import COMMA


@takes_old_names
@dataclass(kw_only=True)
class TransferConfig:
    """Distil on a source task, then fine-tune the student on a target task with few labels."""

    source_task: str = flag(REQUIRED, "task folder that the student is distilled on (as --task of distil)", group=DATA)
    target_task: str = flag(REQUIRED, "task folder that the student is fine-tuned on afterwards", group=DATA)
    model_dir: str = flag(
        REQUIRED, "folder for all results; the same command continues an interrupted run there", group=RUN
    )
    seq_len: int = flag(REQUIRED, "maximum sequence length in tokens, special tokens included", group=DATA, least=3)
    source_do_NER: bool = flag(False, "the source task is to tag words (words<TAB>tags)", group=DATA)
    source_do_pairwise: bool = flag(
        False, "the source task is to classify pairs of texts (text<TAB>text<TAB>label)", group=DATA
    )
    target_do_NER: bool = flag(False, "the target task is to tag words", group=DATA)
    target_do_pairwise: bool = flag(False, "the target task is to classify pairs of texts", group=DATA)
    source_task_kind: str | None = flag(
        None,
        "kind of the source task; by default as --source_do_NER and --source_do_pairwise say",
        group=DATA,
        choices=tuple(KINDS),
        left_out=True,
    )
    source_label_separator: str = flag(
        COMMA, "separator of the labels of a source example that may have several", group=DATA, left_out=True
    )
    target_task_kind: str | None = flag(
        None,
        "kind of the target task; by default as --target_do_NER and --target_do_pairwise say",
        group=DATA,
        choices=tuple(KINDS),
        left_out=True,
    )
    target_label_separator: str = flag(
        COMMA, "separator of the labels of a target example that may have several", group=DATA, left_out=True
    )
    transfer_file: str | None = flag(
        None, "unlabelled text of the source task, one example per line; by default its train.tsv", group=DATA
    )
    teacher_model_dir: str | None = flag(
        None, "folder of the teacher fine-tuned on the source task; by default teacher in model_dir", group=TEACHER
    )
    pt_teacher: str = flag("TFBertModel", "class of the teacher, or auto to read it from the checkpoint", group=TEACHER)
    pt_teacher_checkpoint: str = flag("bert-base-multilingual-cased", "teacher: folder or hub name", group=TEACHER)
    pt_student_checkpoint: str | None = flag(
        None, "pre-trained student to start from, such as the checkpoint of pretrain: folder or hub name", group=STUDENT
    )
    hidden_size: int = flag(384, "hidden size of a student from scratch", group=STUDENT, least=1)
    num_attention_heads: int = flag(6, "attention heads of a student from scratch", group=STUDENT, least=1)
    num_hidden_layers: int = flag(6, "layers of a student from scratch", group=STUDENT, least=1)
    intermediate_size: int | None = flag(
        None,
        "feed-forward size of a student from scratch; by default 4 x hidden_size",
        group=STUDENT,
        least=1,
    )
    distil_attention: bool = flag(
        False, "also match attention maps (implies --distil_multi_hidden_states)", group=LEARNT
    )
    distil_multi_hidden_states: bool = flag(
        False, "match the hidden states of all student layers, not only the last", group=LEARNT
    )
    compress_word_embedding: bool = flag(
        False, "start with the teacher's word embeddings, reduced to the student's size", group=STUDENT
    )
    target_labels: int = flag(
        0,
        "use so many labelled examples of the target task, drawn by the seed (each class at least once); 0: all",
        group=DATA,
        least=0,
    )
    target_learning_rate: float | str = flag(
        "auto",
        "peak learning rate on the target task; auto: 3e-4",
        group=TRAINING,
        above=0,
    )
    teacher_epochs: int | None = flag(
        None,
        "maximum epochs of the teacher's fine-tuning; 0: none; by default ft_epochs, or 0 if the classifier of the "
        "teacher's checkpoint has the task's labels",
        group=TRAINING,
        least=0,
    )
    distil_epochs: int = flag(500, "maximum epochs of each stage on the transfer set", group=TRAINING, least=1)
    ft_epochs: int = flag(100, "maximum epochs of each stage on the source task's labels", group=TRAINING, least=1)
    target_epochs: int = flag(100, "maximum epochs on the target task", group=TRAINING, least=1)
    patience: int = flag(5, "epochs without a better score that end a stage", group=TRAINING, least=1)
    teacher_batch_size: int = flag(128, "batch size per device of the teacher's fine-tuning", group=TRAINING, least=1)
    student_distil_batch_size: int = flag(128, "batch size per device on the transfer set", group=TRAINING, least=1)
    student_ft_batch_size: int = flag(
        32,
        "batch size per device on the source task's labelled examples",
        group=TRAINING,
        least=1,
    )
    target_batch_size: int = flag(
        32, "batch size per device on the target task's labelled examples", group=TRAINING, least=1
    )
    opt_policy: str | None = flag(
        None,
        "precision of the student's training",
        group=DEVICES,
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
    )
    seed: int | None = flag(
        None, "random seed; by default the environment variable PYTHONHASHSEED, else 42", group=RUN, least=0
    )
    strategy: str = flag(
        "auto",
        "devices to train on; auto: all GPUs of this machine if there are several, else one device",
        group=DEVICES,
        choices=("auto", "one_device", "mirrored", "tpu"),
    )
    tpu: str | None = flag(None, "name or address of the TPU, with --strategy tpu", group=DEVICES)
    baseline: bool = flag(
        False, "also train a student on the target task alone, which never saw the source task", group=RUN
    )
    overwrite: bool = flag(
        False, "start over in a model_dir that holds another run; a fine-tuned teacher stays", group=RUN
    )
    accept_weights: bool = accept_weights_flag()
    verbose: bool = flag(False, "show the messages of TensorFlow and transformers", group=RUN)
