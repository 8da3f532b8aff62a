"""Checks what a tokenizer is loaded from, and explains failures."""

import importlib.util
import os

from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.storage.json_files import read_json
from xtremedistil.tokenization.file_checks import check_vocabulary_file, read_settings, read_special_tokens
from xtremedistil.tokenization.serving_tokenizer import SETTINGS_FILE, SPECIAL_TOKENS_FILE, TOKENIZER_FILE

VOCABULARY_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
)

OPTIONAL_PACKAGES = ("sentencepiece", "sacremoses")


def check_source(source: str) -> None:
    """Raises InputError if a folder holds no usable tokenizer, MissingFileError if there is no such folder."""
    if not os.path.isdir(source):
        if os.path.exists(source):
            raise InputError(f"{source} is a file; the folder of a tokenizer, or a hub name, is expected.")
        if source.count("/") > 1 or source.startswith((".", "/", "~")):
            raise MissingFileError(f"There is no folder {source} to load a tokenizer from.")
        return
    if not any(os.path.isfile(os.path.join(source, name)) for name in VOCABULARY_FILES):
        raise InputError(f"{source} holds no tokenizer. It needs one of these files: {', '.join(VOCABULARY_FILES)}.")
    readers = {"config.json": read_json, SETTINGS_FILE: read_settings, SPECIAL_TOKENS_FILE: read_special_tokens}
    for name, read in readers.items():
        path = os.path.join(source, name)
        saved = read(path) if os.path.isfile(path) else {}
        refuse_transfo_xl(source, f"{saved.get('tokenizer_class')} {saved.get('model_type')}")
    if not os.path.isfile(os.path.join(source, TOKENIZER_FILE)):  # else nobody reads the other vocabularies
        check_vocabulary_file(source)


def refuse_transfo_xl(source: str, kind: str) -> None:
    if "transfoxl" in kind.lower().replace("-", ""):
        raise InputError(f"{source}: the vocabulary of Transformer-XL is a pickle, which is not loaded. Take another.")


def why_not_loaded(source: str, error: Exception) -> str:
    """Explains why a tokenizer could not be loaded."""
    for package in OPTIONAL_PACKAGES:
        if package in str(error).lower() and importlib.util.find_spec(package) is None:
            return f"The tokenizer of {source} needs the package {package}: pip install {package}"
    if not os.path.isdir(source):
        return f"{source} is neither a folder here nor a model that can be fetched from the hub ({first_line(error)})"
    return (
        f"The tokenizer in {source} cannot be loaded ({first_line(error)})\n"
        'Its kind is read from tokenizer_config.json ("tokenizer_class") or config.json ("model_type").'
    )


def first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
