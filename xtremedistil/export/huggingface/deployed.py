"""A Hugging Face model with its own head as a model folder: predicted with and exported like every other student."""

import functools
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from xtremedistil.arguments import require_path, require_switch, require_text, require_texts, require_whole, shown
from xtremedistil.console.progress import Progress
from xtremedistil.data.padding import INPUT_NAMES
from xtremedistil.export.huggingface.huggingface import TOP_NORMS
from xtremedistil.models.adapters import TaskModel
from xtremedistil.models.architectures.shapes import encoder_shape
from xtremedistil.models.architectures.text_heads import TEXT_HEADS
from xtremedistil.models.checkpoints.h5_weights import relative_name, save_weights
from xtremedistil.models.checkpoints.pretrained import new_encoder_from_config
from xtremedistil.models.checkpoints.tuned_head import listed, unnamed
from xtremedistil.models.student import ENCODER_NAME, Student, build_student
from xtremedistil.models.student_folder import new_settings
from xtremedistil.storage import model_folder
from xtremedistil.storage.checksums import write_vouched_json
from xtremedistil.tasks import KINDS, KindSettings, Task
from xtremedistil.tasks.kind_settings import COMMA
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.training.strategy import precision

ROUNDING = {"float32": 1e-4}  # how far logits may be apart, in largest logits
HALF_ROUNDING = 5e-2
DEFAULT_SEED = 42


def write_model_folder(
    model: TaskModel,
    folder: str,
    tokenizer,
    *,
    labels: Sequence[str] | None = None,
    seq_len: int = 128,
    do_pairwise: bool = False,
    label_separator: str = COMMA,
    task: str = "",
) -> None:
    """Writes `xtremedistil.h5`, the tokenizer and, last, `xtremedistil-config.json`.

    Args:
        tokenizer: of the model, from transformers; or a folder or hub name. labels: by default the configuration's.
        seq_len: longest row. do_pairwise: texts come in pairs. label_separator: between labels of a text that may have
            several. task: folder with a dev file, on which exports compare.

    Raises:
        ValueError: the model has a head, a family or labels that no student has, or too few positions.
    """
    _check_arguments(folder, tokenizer, labels, seq_len, do_pairwise, label_separator, task)
    config = model.pretrained.config
    names = _names_of(model) if labels is None else list(labels)
    if len(names) != config.num_labels:
        raise ValueError(f"There are {len(names)} labels for {config.num_labels} logits.")
    loaded = Tokenizer.load(tokenizer) if isinstance(tokenizer, (str, os.PathLike)) else _tokenizer(tokenizer)
    if loaded.size > config.vocab_size:
        raise ValueError(f"The tokenizer has {loaded.size:,} tokens, the student knows {config.vocab_size:,}.")
    longest = encoder_shape(config.to_dict(), type(model.pretrained).__name__).positions
    if longest is not None and seq_len > longest:
        raise ValueError(f"seq_len is {seq_len}; the model has positions for {longest} tokens. Give at most that.")
    how = KindSettings(do_pairwise=do_pairwise, label_separator=label_separator, pseudo_labels=())
    learnt, student = _kind(model).from_labels(names, how), student_of(model)
    os.makedirs(folder, exist_ok=True)
    loaded.save(folder, vouched=True)
    save_weights(os.path.join(folder, model_folder.STUDENT_WEIGHTS), student.parts)
    settings = new_settings(student, learnt, folder=task, seq_len=seq_len, seed=DEFAULT_SEED)
    write_vouched_json(os.path.join(folder, model_folder.CONFIG), settings)


def _check_arguments(folder, tokenizer, labels, seq_len, do_pairwise, label_separator, task) -> None:
    """Raises ValueError if one of the arguments of `write_model_folder` is of another kind."""
    require_path("folder", folder)
    if not isinstance(tokenizer, (str, os.PathLike)) and not hasattr(tokenizer, "convert_tokens_to_ids"):
        raise ValueError(f"tokenizer is {shown(tokenizer)}; it is one of transformers, or a folder or hub name.")
    require_texts("labels", labels, optional=True)
    if labels is not None and (len(set(labels)) < len(labels) or not all(labels)):
        raise ValueError(f"labels is {shown(labels)}; each has a name of its own, which is not empty.")
    require_whole("seq_len", seq_len, 3)
    require_switch("do_pairwise", do_pairwise)
    require_text("label_separator", label_separator)
    require_text("task", task, empty=True)


def _names_of(model: TaskModel) -> list[str]:
    """Returns the labels of the model's configuration; says where they have no names."""
    if model.labels:
        return list(model.labels)
    names = unnamed(model.pretrained.config.num_labels)
    Progress().log(
        f"The model's labels have no names; predictions will say {listed(names)}. Give labels=[...], by column, or "
        "set id2label in its configuration."
    )
    return names


def _tokenizer(hugging_face) -> Tokenizer:
    return Tokenizer(hugging_face.name_or_path, hugging_face)


def student_of(model: TaskModel) -> Student:
    """A student with the same weights, which says the same.

    Raises:
        ValueError: the model has a head or a family that no student has, or its logits differ.
    """
    pretrained, family, kind = model.pretrained, model.family, _kind(model)
    text_head = None if kind.by_position else TEXT_HEADS[family.model_type]
    with precision(None):
        encoder = new_encoder_from_config(pretrained.config.to_dict(), family, name=ENCODER_NAME)
        student = build_student(
            encoder,
            family,
            by_position=kind.by_position,
            problem_type=kind.problem_type,
            num_labels=pretrained.config.num_labels,
            teacher_hidden_size=encoder.config.hidden_size,
            projection_activation=text_head and text_head.activation,
        )
    _copy_encoder(pretrained, encoder)
    _copy_layer(pretrained, text_head.outer if text_head else "classifier", student.head)
    if text_head:
        _copy_layer(pretrained, text_head.inner, student.projection)
    _require_same_logits(model, student)
    return student


def _kind(model: TaskModel) -> type[Task]:
    name = type(model.pretrained).__name__
    kinds = [
        kind
        for kind in KINDS.values()
        if name.endswith(kind.huggingface_ending) and kind.problem_type == model.problem_type
    ]
    if not kinds or model.family.model_type not in TOP_NORMS:
        raise ValueError(
            f"{name} ({model.problem_type}) has no form as a model folder: these are of classes, of texts or of words, "
            f"by {', '.join(TOP_NORMS)}. Save it as a Hugging Face folder: save(folder)."
        )
    return kinds[0]


def _copy_encoder(pretrained, encoder) -> None:
    prefix = pretrained.base_model_prefix
    found = {relative_name(variable.name, prefix): variable for variable in pretrained.weights}
    for variable in encoder.weights:
        source = found.get(relative_name(variable.name, prefix))
        if source is None:
            raise ValueError(f"{type(pretrained).__name__} has no weight {variable.name}.")
        variable.assign(source.numpy())


def _copy_layer(pretrained, path: str, layer) -> None:
    source = functools.reduce(getattr, path.split("."), pretrained)
    layer.kernel.assign(source.kernel.numpy())
    layer.bias.assign(source.bias.numpy())


def _require_same_logits(model: TaskModel, student: Student) -> None:
    ids = np.random.default_rng(0).integers(0, model.pretrained.config.vocab_size, (2, 8))
    batch = {name: tf.zeros(ids.shape, tf.int32) for name in INPUT_NAMES}
    batch |= {"input_ids": tf.constant(ids, tf.int32), "attention_mask": tf.ones(ids.shape, tf.int32)}
    expected, found = (one.model(batch, training=False)["logits"].numpy() for one in (model, student))
    difference = np.abs(expected - found).max() / max(1.0, np.abs(expected).max())
    if not difference <= ROUNDING.get(model.pretrained.compute_dtype, HALF_ROUNDING):
        raise ValueError(
            f"{type(model.pretrained).__name__} computes other logits than a student with its weights (by "
            f"{difference:g} of the largest): its head is not the usual one. Save it as a Hugging Face folder: "
            "save(folder)."
        )
