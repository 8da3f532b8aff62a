"""Loads and saves students in model folders: this package's, and those of the original release.

Sizes and vocabulary that the original's folders do not record are read from their weights.
"""

import os

import tensorflow as tf

from xtremedistil.arguments import require_path, require_switch, require_text
from xtremedistil.errors import InputError
from xtremedistil.models import original_release
from xtremedistil.models.architectures.config_checks import check_config
from xtremedistil.models.architectures.families import BILSTM, student_family
from xtremedistil.models.architectures.shapes import encoder_shape
from xtremedistil.models.checkpoints.h5_weights import load_weights, save_weights, weight_name
from xtremedistil.models.checkpoints.pretrained import new_encoder_from_config
from xtremedistil.models.checkpoints.weight_headers import refuse_too_many
from xtremedistil.models.features.word_embeddings import word_embedding_variable
from xtremedistil.models.student import ENCODER_NAME, Student, build_student
from xtremedistil.storage import model_folder
from xtremedistil.storage.checksums import check_files, write_vouched_array, write_vouched_json
from xtremedistil.tasks import Task, saved_task
from xtremedistil.tokenization.tokenizer import Tokenizer


def load_student(
    model_dir: str, weights: str = model_folder.STUDENT_WEIGHTS, *, accept_weights: bool = False
) -> tf.keras.Model:
    """Loads the student of a model folder as a Keras model.

    Args:
        model_dir: folder that distillation wrote (this package's, or the original release's).
        weights: weight file in it; may be a checkpoint of a stage or of the baseline.
        accept_weights: use files that were changed on purpose, though their checksums are others.

    Returns:
        A functional model: takes a dict of `input_ids`, `attention_mask`, `token_type_ids`, int32 [B, S]; returns
        {"logits": float32 [B, S, L] for tagging, [B, L] for classification}.

    Raises:
        MissingFileError: the folder or one of its files is missing. InputError: a file is damaged, or of another model.
    """
    require_path("model_dir", model_dir)
    require_text("weights", weights)
    require_switch("accept_weights", accept_weights)
    check_files(model_dir, model_folder.keras_files(weights), accept=accept_weights)
    return restore_student(model_dir, weights).model


def restore_student(model_dir: str, weights: str = model_folder.STUDENT_WEIGHTS) -> Student:
    """Loads a student with its parts; see `load_student`. Callers have checked its files."""
    saved = model_folder.read_config(model_dir)
    path = model_folder.weight_file(model_dir, weights)
    encoder_config = saved.get("student_config") or original_release.encoder_config(model_dir, saved, path)
    check_config(encoder_config, f"{os.path.join(model_dir, model_folder.CONFIG)}, student_config")
    family = student_family(encoder_config["model_type"])
    if family is not BILSTM:
        refuse_too_many(path, encoder_shape(encoder_config, model_dir), model_folder.CONFIG, has_table=False)
    encoder = new_encoder_from_config(encoder_config, family, name=ENCODER_NAME)
    task = saved_task(saved)
    student = build_student(
        encoder,
        family,
        by_position=task.by_position,
        problem_type=task.problem_type,
        num_labels=len(saved["label_list"]),
        teacher_hidden_size=saved["teacher_hidden_size"],
        projection_activation=saved.get("projection_activation"),
    )
    _load(student, model_dir, path)
    student.labels = () if task.pseudo_labels else tuple(task.labels)
    return student


def save_student(student: Student, folder: str, like: str) -> None:
    """Writes the model folder of a student that was trained further.

    Args:
        like: the folder that it was restored from; its settings, labels and tokenizer are copied.
    """
    os.makedirs(folder, exist_ok=True)
    Tokenizer.load(like).save(folder, vouched=True)
    write_vouched_array(
        os.path.join(folder, model_folder.WORD_EMBEDDING), word_embedding_variable(student.encoder).numpy()
    )
    save_weights(os.path.join(folder, model_folder.STUDENT_WEIGHTS), student.parts)
    write_vouched_json(os.path.join(folder, model_folder.CONFIG), model_folder.read_config(like))


def new_settings(student: Student, task: Task, *, folder: str, seq_len: int, seed: int) -> dict:
    """Returns `xtremedistil-config.json` for a student that was not made by a distillation run.

    Args:
        folder: of the task's files, for prediction and export.
    """
    return {
        "task": os.path.abspath(folder) if folder else folder,
        **task.saved_keys,
        "seq_len": seq_len,
        "seed": seed,
        "label_list": task.all_labels,
        "pseudo_labels": list(task.pseudo_labels),
        "teacher_hidden_size": student.teacher_hidden_size,
        "projection_activation": student.projection_activation,
        "compress_word_embedding": False,
        "freeze_word_embedding": False,
        "student_config": student.encoder.config.to_diff_dict() | {"model_type": student.family.model_type},
        "format_version": model_folder.FORMAT_VERSION,
    }


def _load(student: Student, model_dir: str, path: str) -> None:
    table = word_embedding_variable(student.encoder)
    if load_weights(path, student.parts, optional=[weight_name(ENCODER_NAME, table)], deployed_only=True):
        frozen = original_release.frozen_word_embedding(model_dir)
        if frozen.shape != tuple(table.shape):
            raise InputError(
                f"{os.path.join(model_dir, model_folder.WORD_EMBEDDING)} has shape {frozen.shape}; "
                f"the student needs {tuple(table.shape)}."
            )
        table.assign(frozen)
