"""The model folder: names of its files, and reading of its configuration."""

import os

from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.flags import current_names
from xtremedistil.storage.checksums import CHECKSUMS
from xtremedistil.storage.declared import LABELS, ListOf, Object, OrNull, Switch, Text, Whole
from xtremedistil.storage.files import fingerprint
from xtremedistil.storage.json_files import check_object, read_json

STUDENT_WEIGHTS = "xtremedistil.h5"
CONTINUED_WEIGHTS = "xtremedistil-ft.h5"
BASELINE_WEIGHTS = "baseline.h5"
BASELINE_HISTORY = "baseline-history.json"
CONFIG = "xtremedistil-config.json"
WORD_EMBEDDING = "word_embedding.npy"
TEACHER_WEIGHTS = "model-ft.h5"
TEACHER_RECORD = "model-ft.json"
REPORT = "report.json"
METRICS = "metrics.json"
PREDICTIONS = "predictions.txt"
JSON_PREDICTIONS = "predictions.jsonl"
TARGETS = "teacher-targets"
SNAPSHOTS = "snapshots"
FROZEN_FEATURES = "frozen-features"
ONNX = "xtremedistil.onnx"
FUSED_ONNX = "xtremedistil_opt.onnx"
INT8_ONNX = "xtremedistil_int8.onnx"
SAVED_MODEL = "saved_model"
HUGGING_FACE = "huggingface"
EXPORTS = "export.json"
FORMAT_VERSION = 2  # of the model folder; the original's has none

# Keys that the original release saves too, and without which a student cannot be used.
ALWAYS_SAVED = ("task", "do_NER", "do_pairwise", "seq_len", "label_list", "teacher_hidden_size")

LARGEST_WIDTH, LARGEST_VOCABULARY, LARGEST_LENGTH = 1 << 16, 10_000_000, 1 << 20
ACTIVATIONS = ("elu", "gelu", "linear", "mish", "relu", "selu", "sigmoid", "silu", "softplus", "swish", "tanh")
# Settings that students are rebuilt from; `student_config` is looked at more closely where its encoder is built.
SETTINGS = Object(
    {
        "task": Text(one_line=True),
        "do_NER": OrNull(Switch()),
        "do_pairwise": OrNull(Switch()),
        "seq_len": Whole(1, LARGEST_LENGTH),
        "label_list": LABELS,
        "teacher_hidden_size": Whole(1, LARGEST_WIDTH),
        "task_kind": OrNull(Text()),
        "label_separator": OrNull(Text()),
        "pseudo_labels": OrNull(ListOf(OrNull(Text(one_line=True)))),
        "projection_activation": OrNull(Text(ACTIVATIONS)),
        "num_attention_heads": OrNull(Whole(0, LARGEST_WIDTH)),
        "freeze_word_embedding": OrNull(Switch()),
        "compress_word_embedding": OrNull(Switch()),
        "pt_teacher_checkpoint": OrNull(Text(one_line=True)),
        "format_version": OrNull(Whole()),
        "student_config": OrNull(
            Object(
                {"model_type": Text(), "vocab_size": Whole(1, LARGEST_VOCABULARY)},
                required=("model_type", "vocab_size"),
            )
        ),
    }
)
COPY_AGAIN = "Copy the model folder's files again, or distil again."

# Old names of flags of `distil` in the settings of finished runs.
OLD_KEYS = {
    "targets": "teacher_outputs",
    "targets_dir": "teacher_outputs_dir",
    "targets_precision": "teacher_outputs_precision",
    "teacher_targets": "teacher_logits",
    "loss": "soft_label_loss",
}


def read_config(model_dir: str) -> dict:
    """Reads `xtremedistil-config.json` of a finished run; old names of flags become the current ones.

    Raises:
        MissingFileError: the folder or the file is missing.
        InputError: the file lacks required keys, or holds values that no distillation writes.
    """
    if not os.path.isdir(model_dir):
        raise MissingFileError(f"`model_dir` {model_dir}: there is no such folder.")
    path = os.path.join(model_dir, CONFIG)
    if not os.path.isfile(path):
        raise MissingFileError(
            f"`model_dir` {model_dir} holds no {CONFIG}: no distillation has finished there.\n"
            "Name the folder that run_xtreme_distil.py wrote, or run its command again to let it finish."
        )
    saved = current_names(OLD_KEYS, read_json(path))
    missing = [key for key in ALWAYS_SAVED if key not in saved]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}: it is not what a distillation wrote. Copy it again.")
    return check_object(saved, SETTINGS, path, COPY_AGAIN)


def keras_files(weights: str) -> tuple[str, str]:
    """Returns the large files that a student's Keras model is made of."""
    return weights, WORD_EMBEDDING


def weight_file(model_dir: str, name: str) -> str:
    """Returns the path of a weight file in a model folder.

    Raises:
        MissingFileError: the file does not exist.
    """
    path = os.path.join(model_dir, name)
    if not os.path.isfile(path):
        there = ", ".join(sorted(name for name in os.listdir(model_dir) if name.endswith(".h5"))) or "none"
        raise MissingFileError(f"{path} does not exist. Weight files in {model_dir}: {there}.")
    return path


def fingerprint_checkpoint(checkpoint: str) -> str:
    """Returns the sha256 of a checkpoint folder's configuration, weights and tokenizer; a hub name as it is."""
    if not os.path.isdir(checkpoint):
        return checkpoint
    kinds = (".json", ".safetensors", ".h5", ".bin", ".txt", ".model")
    names = sorted(name for name in os.listdir(checkpoint) if name.endswith(kinds) and name != CHECKSUMS)
    return fingerprint(*(os.path.join(checkpoint, name) for name in names))
