"""What stands beside the weights in a Hugging Face folder: configuration, tokenizer, card."""

import os

from xtremedistil.export.huggingface.pytorch_state import WEIGHTS
from xtremedistil.models.architectures.families import Family
from xtremedistil.storage import files
from xtremedistil.storage.checksums import CHECKSUMS
from xtremedistil.storage.json_files import read_json
from xtremedistil.tokenization.loading import VOCABULARY_FILES
from xtremedistil.tokenization.serving_tokenizer import ALL_FILES, SETTINGS_FILE
from xtremedistil.tokenization.tokenizer import Tokenizer

CONFIG = "config.json"
CARD = "README.md"
READ_FILES = {CONFIG, WEIGHTS, *ALL_FILES, *VOCABULARY_FILES}  # by programs
OWN_FILES = {*READ_FILES, CARD, CHECKSUMS}

# Paths of another machine, code of another model, and what TensorFlow's classes do not heed: positions are absolute.
NOT_COPIED = ("_name_or_path", "auto_map", "position_embedding_type")


def write_config(folder: str, config, architecture: str, values: dict) -> None:
    """Writes `config.json`: an encoder's configuration with the name of the class that reads the folder.

    Args:
        values: what that class wants to know besides.
    """
    kept = {name: value for name, value in config.to_dict().items() if name not in NOT_COPIED}
    said = {"architectures": [architecture], "torch_dtype": "float32"}
    type(config).from_dict(kept | values | said).save_pretrained(folder)


def write_tokenizer(folder: str, tokenizer: Tokenizer, input_names: list[str], seq_len: int) -> None:
    """The tokenizer, told which inputs the model reads, how long its rows are, and that padding comes last."""
    tokenizer.save(folder)
    path = os.path.join(folder, SETTINGS_FILE)
    settings = read_json(path)
    settings["model_input_names"] = input_names
    settings["model_max_length"] = seq_len
    settings["padding_side"] = "right"
    files.write_json(path, settings)


def write_card(folder: str, card: str) -> None:
    """Writes the folder's `README.md`."""
    with files.atomic_file(os.path.join(folder, CARD)) as file:
        file.write(card)


def input_names_of(encoder, family: Family) -> list[str]:
    """What an encoder reads, by the names of transformers."""
    reads_types = family.takes_token_types and getattr(encoder.config, "type_vocab_size", 2) > 1
    return ["input_ids", *(["token_type_ids"] if reads_types else []), "attention_mask"]
