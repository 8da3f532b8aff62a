"""Loads the tokenizer of a model folder."""

import os

from xtremedistil.errors import InputError
from xtremedistil.storage import model_folder
from xtremedistil.storage.arrays import read_array
from xtremedistil.tokenization.serving_tokenizer import OWN_FILES, FastTokenizer
from xtremedistil.tokenization.tokenizer import Tokenizer


def load_tokenizer(model_dir: str, saved: dict, source: str | None = None) -> Tokenizer:
    """Loads the tokenizer of `source` if given, else the folder's own, else that of the teacher's checkpoint.

    Raises:
        InputError: none of them can be loaded, or it has more tokens than the student.
    """
    if not source and FastTokenizer.is_in(model_dir):
        return Tokenizer.load_saved(model_dir)
    loaded = _load_with_transformers(source) if source else _own_or_the_teachers(model_dir, saved)
    known = _vocabulary_size(model_dir, saved)
    if known is not None and loaded.size > known:
        raise InputError(
            f"The tokenizer of {loaded.name} has {loaded.size:,} tokens, the student in {model_dir} has {known:,}: "
            "it belongs to another model.\nName the teacher's with `pt_teacher_checkpoint`."
        )
    return loaded


def _own_or_the_teachers(model_dir: str, saved: dict) -> Tokenizer:
    try:
        return _load_with_transformers(model_dir)
    except InputError as own:
        try:
            return _load_with_transformers(saved.get("pt_teacher_checkpoint") or model_dir)
        except InputError as error:
            raise InputError(f"{own}\n{error}\nName the tokenizer's folder with `pt_teacher_checkpoint`.") from error


def _load_with_transformers(source: str) -> Tokenizer:
    try:
        return Tokenizer.load(source)
    except ImportError as error:
        raise InputError(
            f"The tokenizer of {source} needs transformers, which cannot be imported here ({error}).\n"
            f"A folder with {', '.join(OWN_FILES)} does not need it: copy these files too."
        ) from error


def _vocabulary_size(model_dir: str, saved: dict) -> int | None:
    """Returns the size of the student's vocabulary; None if neither configuration nor word_embedding.npy tells it."""
    if saved.get("student_config"):
        return saved["student_config"]["vocab_size"]
    path = os.path.join(model_dir, model_folder.WORD_EMBEDDING)
    try:
        return len(read_array(path, kinds="f", shape=[None, None], mapped=True))
    except InputError:  # code that needs the file reports it
        return None
