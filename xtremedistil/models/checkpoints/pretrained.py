"""Loads configurations and encoders from checkpoint folders or the model hub.

Loading is strict: the file must hold every weight of the encoder, in its shape. Nothing is unpickled, no remote code
runs, and only `pytorch_model.bin` needs torch. Safetensors files, with PyTorch's names or TensorFlow's, load with every
version of transformers that still has TensorFlow classes.

Only building an encoder imports TensorFlow: flags are checked against `config.json` without it.
"""

import copy
import importlib
import os
import re

import numpy as np

from xtremedistil.errors import InputError, MissingFileError, first_line
from xtremedistil.models.architectures.config_checks import check_config
from xtremedistil.models.architectures.families import Family
from xtremedistil.models.architectures.shapes import encoder_shape
from xtremedistil.models.checkpoints.h5_weights import other_spelling, refuse_not_finite, relative_name
from xtremedistil.models.checkpoints.weight_files import WEIGHT_FILES, State, read_state
from xtremedistil.models.checkpoints.weight_headers import check_weight_file
from xtremedistil.models.features.word_embeddings import word_embedding_variable
from xtremedistil.storage.declared import MapOf, Object, Text
from xtremedistil.storage.json_files import read_json

CONFIG = "config.json"
COPY_AGAIN = "Copy it again from the checkpoint."
INDEX = Object({"weight_map": MapOf(Text(one_line=True))}, required=("weight_map",))
HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def read_config(checkpoint: str) -> dict:
    """Reads `config.json` of a folder or hub model, as plain values.

    Raises:
        MissingFileError: the folder or the file is missing, or the hub cannot be reached.
        InputError: the file is not JSON, does not name a model type, uses relative positions, or has values that no
            encoder can be built from.
    """
    path = _find_file(checkpoint, CONFIG)
    if path is None:
        raise MissingFileError(f"{checkpoint} holds no {CONFIG}. Name the folder of a Hugging Face checkpoint.")
    config = read_json(path, cure=COPY_AGAIN)
    if not isinstance(config.get("model_type"), str):
        raise InputError(
            f'{path} has no "model_type", so the architecture is unknown. Add it, for example "model_type": "bert".'
        )
    _refuse_relative_positions(path, config)
    return check_config(config, path)


def _refuse_relative_positions(path: str, config: dict) -> None:
    """The TensorFlow classes only support absolute positions, and would silently ignore others."""
    positions = config.get("position_embedding_type")
    if positions not in (None, "absolute"):
        raise InputError(
            f"{path} says position_embedding_type '{positions}', which transformers' TensorFlow classes cannot "
            "compute. Choose a checkpoint with absolute positions."
        )


def load_encoder(checkpoint: str, family: Family, *, name: str, config: dict | None = None):
    """Loads the encoder of a checkpoint with its weights, built and without a pooler.

    Args:
        checkpoint: folder or hub name.
        family: that `find_family` returns for the checkpoint's model type.
        name: of the Keras model; its variables are called `name`/...
        config: the checkpoint's own, changed (`changed_config`). If its `vocab_size` differs, the word embeddings keep
            their random initial values (the caller sets them); everything else is still loaded.

    Raises:
        InputError: files are missing, damaged, in an unsafe format, or of another architecture.
    """
    own = read_config(checkpoint)
    config = own if config is None else config
    if os.path.isdir(checkpoint):
        check_weight_file(checkpoint, encoder_shape(own, checkpoint))
    encoder = new_encoder_from_config(config, family, name=name)
    source, state = read_checkpoint(checkpoint)
    _load(encoder, source, state, may_resize=config.get("vocab_size") != own.get("vocab_size"))
    return encoder


def load_all(model, checkpoint: str) -> None:
    """Loads all weights of a built Hugging Face model, with any head, from a checkpoint.

    Raises:
        InputError: files are missing, damaged, in an unsafe format, or lack a weight.
    """
    source, state = read_checkpoint(checkpoint)
    _load(model, source, state, may_resize=False)


def new_encoder_from_config(config: dict, family: Family, *, name: str):
    """Makes an encoder with random weights (from the current seed), built and without a pooler.

    Args:
        config: plain values, from `read_config` or `encoder.config.to_dict()`.
    """
    return _build(_config_object(config, family), family, name)


def encoder_without_weights(config: dict, family: Family):
    """Makes an encoder with layers but no variables, which is fast for any size."""
    return _without_pooler(_encoder_class(family)(_config_object(config, family), name="encoder"))


def _config_object(config: dict, family: Family):
    """Returns the family's configuration; raises InputError where its class refuses a value."""
    config_class = getattr(importlib.import_module(family.module), family.config_class_name)
    try:
        return config_class.from_dict(copy.deepcopy(config))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise InputError(
            f"{family.config_class_name} refuses a value of the model's configuration ({first_line(error)}). "
            "Correct it, or leave it away."
        ) from error


def changed_config(
    config: dict,
    family: Family,
    *,
    vocab_size: int | None = None,
    dropout: float | None = None,
    attention_dropout: float | None = None,
) -> dict:
    """Returns `config` with another vocabulary size, rate of all dropout, or rate of dropout on attention maps."""
    changes = {} if vocab_size is None else {"vocab_size": vocab_size}
    if dropout is not None:
        changes |= dict.fromkeys(family.dropout_fields, dropout)
    if attention_dropout is not None:
        changes[family.attention_dropout] = attention_dropout
    return config | changes


def new_encoder(
    family: Family,
    *,
    name: str,
    vocab_size: int,
    hidden_size: int,
    num_hidden_layers: int,
    num_attention_heads: int,
    intermediate_size: int,
    max_position_embeddings: int,
    type_vocab_size: int = 2,
    pad_token_id: int = 0,
    dropout: float | None = None,
    attention_dropout: float | None = None,
    seed: int | None = None,
):
    """Makes the encoder of a student from scratch, of the given sizes with random weights, built.

    Args:
        max_position_embeddings: maximum sequence length; RoBERTa families, which number positions from the padding id
            on, get the additional ones that they need.
        seed: sets Keras' global seed first; by default the current seed is used.

    Raises:
        ValueError: the family cannot be a student, or the number of heads does not divide the width.
    """
    if not family.can_be_student:
        raise ValueError(f"{family.class_name} cannot be a student from scratch.")
    if hidden_size % num_attention_heads:
        raise ValueError(f"hidden_size {hidden_size} is not a multiple of {num_attention_heads} attention heads.")
    sizes = {
        "model_type": family.model_type,
        "vocab_size": vocab_size,
        "pad_token_id": pad_token_id,
        "max_position_embeddings": max_position_embeddings,
    }
    if family.model_type == "distilbert":
        sizes |= {"dim": hidden_size, "hidden_dim": intermediate_size}
        sizes |= {"n_layers": num_hidden_layers, "n_heads": num_attention_heads}
    else:
        sizes |= {"hidden_size": hidden_size, "intermediate_size": intermediate_size}
        sizes |= {"num_hidden_layers": num_hidden_layers, "num_attention_heads": num_attention_heads}
        sizes["type_vocab_size"] = type_vocab_size
    if family.model_type == "electra":
        sizes["embedding_size"] = hidden_size
    if family.model_type in ("roberta", "xlm-roberta"):
        sizes["max_position_embeddings"] += pad_token_id + 1
    if seed is not None:
        import tf_keras

        tf_keras.utils.set_random_seed(seed)
    sizes = changed_config(sizes, family, dropout=dropout, attention_dropout=attention_dropout)
    return new_encoder_from_config(sizes, family, name=name)


def hidden_dropout(encoder, family: Family) -> float:
    """Returns the dropout rate of an encoder's hidden states, whatever its name in the family."""
    return float(getattr(encoder.config, family.dropout_fields[0]))


def _build(config, family: Family, name: str):
    import tf_keras

    precision = tf_keras.mixed_precision.global_policy().compute_dtype
    if family.float32_only and precision != "float32":
        raise InputError(
            f"{family.class_name} cannot compute in {precision}: its TensorFlow code needs float32. Leave the "
            "precision policy (`opt_policy`) away, or take another model."
        )
    encoder_class = _encoder_class(family)
    if precision != "float32":
        from xtremedistil.models.architectures.half_precision import softmax_in_float32

        softmax_in_float32(encoder_class)
    encoder = _without_pooler(encoder_class(config, name=name))
    encoder.build_in_name_scope()
    return encoder


def _encoder_class(family: Family):
    return getattr(importlib.import_module(family.module), family.class_name)


def _without_pooler(encoder):
    main_layer = getattr(encoder, encoder.base_model_prefix, encoder)
    if getattr(main_layer, "pooler", None) is not None:
        main_layer.pooler = None  # not used: it would be saved untrained, and warn in each step
    return encoder


# Files


def _find_file(checkpoint: str, name: str) -> str | None:
    """Returns the path of a checkpoint's file, fetched from the hub if needed; None if there is no such file."""
    if os.path.isdir(checkpoint):
        path = os.path.join(checkpoint, name)
        return path if os.path.isfile(path) else None
    if not HUB_NAME.fullmatch(checkpoint):
        raise MissingFileError(f"{checkpoint}: there is no such folder, and it is not the name of a hub model.")
    return _fetch(checkpoint, name)


def _fetch(checkpoint: str, name: str) -> str | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        return hf_hub_download(checkpoint, name)
    except LocalEntryNotFoundError as error:
        if name != CONFIG:  # the configuration is there, so this file was never fetched
            return None
        reason = error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = error
    raise MissingFileError(
        f"{checkpoint} is not a folder here, and {name} could not be fetched from the hub ({type(reason).__name__}: "
        f"{str(reason).splitlines()[0]}).\nGive the folder of a checkpoint that is on this disk."
    ) from reason


def read_checkpoint(checkpoint: str) -> tuple[str, State]:
    """Returns path and arrays of the preferred weight file of a checkpoint; a file in shards counts as one."""
    for name in WEIGHT_FILES:
        path = _find_file(checkpoint, name)
        if path is not None:
            return path, read_state(path)
        index = _find_file(checkpoint, f"{name}.index.json")
        if index is not None:
            return index, _read_shards(checkpoint, index)
    raise MissingFileError(
        f"{checkpoint} holds no weights. Looked for {', '.join(WEIGHT_FILES)}, whole or in shards with an index."
    )


def _read_shards(checkpoint: str, index: str) -> State:
    places = read_json(index, INDEX, f"It names the file of each weight. {COPY_AGAIN}")["weight_map"]
    state: State = {}
    for name in sorted(set(places.values())):
        path = _find_file(checkpoint, name) if os.path.basename(name) == name else None
        if path is None:
            raise MissingFileError(
                f"{index} names the file {name}, which is missing. Copy all files of the checkpoint."
            )
        state |= read_state(path)
    return state


# Weights


def _load(encoder, source: str, state: State, may_resize: bool) -> None:
    """Assigns every weight of `encoder` from `state`.

    Args:
        may_resize: do not load word embeddings if their number differs.
    """
    table = word_embedding_variable(encoder)
    find = _tensorflow_array if any(name.endswith(":0") for name in state) else _pytorch_array
    known = {_usual_name(name, encoder.base_model_prefix): array for name, array in state.items()}
    found = [(variable, find(known, encoder, variable)) for variable in encoder.weights]
    missing = [relative_name(variable.name, encoder.name) for variable, array in found if array is None]
    if missing:
        raise InputError(_missing_message(encoder, source, state, missing))
    refuse_not_finite(source, {variable.name: array for variable, array in found})
    for variable, array in found:
        if not (may_resize and variable is table and array.shape[0] != table.shape[0]):
            variable.assign(_fitted(array, variable, source))


def _usual_name(name: str, prefix: str) -> str:
    """Returns the name of a weight as in current files.

    TensorFlow's `.h5` has the model's name before the encoder's `prefix`; until 2019, weights of PyTorch's layer norms
    were called gamma and beta.
    """
    if name.endswith(":0"):
        return name if name.startswith(f"{prefix}/") else name.partition("/")[2]
    return re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name))


def _tensorflow_array(state: State, encoder, variable) -> np.ndarray | None:
    name = relative_name(variable.name, encoder.name)
    return state.get(name, state.get(other_spelling(name)))


def _pytorch_array(state: State, encoder, variable) -> np.ndarray | None:
    """Finds an array by name, with the encoder's prefix (checkpoints with a head) or without; transposes kernels."""
    from transformers.modeling_tf_pytorch_utils import convert_tf_weight_name_to_pt_weight_name

    name = f"{encoder.name}/{relative_name(variable.name, encoder.name)}"
    full, transpose = convert_tf_weight_name_to_pt_weight_name(name, tf_weight_shape=variable.shape)
    array = state.get(full, state.get(full.removeprefix(f"{encoder.base_model_prefix}.")))
    return array if array is None or transpose.value == "no" else array.T


def _fitted(array: np.ndarray, variable, source: str) -> np.ndarray:
    """Returns the array in the variable's type and shape; only axes of length 1 may differ."""
    wanted = tuple(variable.shape)
    if [size for size in array.shape if size != 1] != [size for size in wanted if size != 1]:
        raise InputError(
            f"{source}: {variable.name} has shape {list(array.shape)}, but by config.json it is {list(wanted)}. "
            "The two files belong to different models."
        )
    return np.array(array, variable.dtype.as_numpy_dtype).reshape(
        wanted
    )  # a copy, since TensorFlow may keep the memory


def _missing_message(encoder, source: str, state: State, missing: list[str]) -> str:
    shown = "\n".join(f"  {name}" for name in missing[:10])
    more = f"\n  and {len(missing) - 10} more" if len(missing) > 10 else ""
    there = f" It holds, among others, {', '.join(sorted(state)[:5])}." if len(missing) == len(encoder.weights) else ""
    return (
        f"{source} lacks {len(missing)} of the {len(encoder.weights)} weights of {type(encoder).__name__}:\n"
        f"{shown}{more}\nThey would stay random.{there} Check that config.json and weights belong together."
    )
