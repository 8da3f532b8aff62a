"""An encoder, with or without its language-model head, as a plain Hugging Face folder.

PyTorch's transformers, its TensorFlow classes and `pt_student_checkpoint` read it. Encoders here have no pooler, and
none is written: of the families with one, `AutoModel` warns that it makes the pooler anew (at random, to be
fine-tuned), and gives the same hidden states; `add_pooling_layer=False` and the classes with a language-model head do
without.
"""

import os
import shutil
from collections.abc import Iterable

import transformers

from xtremedistil.errors import InputError
from xtremedistil.export.common.earlier_export import refuse_foreign
from xtremedistil.export.huggingface.checkpoint_files import (
    OWN_FILES,
    READ_FILES,
    input_names_of,
    write_card,
    write_config,
    write_tokenizer,
)
from xtremedistil.export.huggingface.pytorch_state import is_made_here, state_in_pytorch, write_state
from xtremedistil.models.architectures.families import Family
from xtremedistil.models.checkpoints.pretrained import load_all, load_encoder, read_config
from xtremedistil.models.checkpoints.weight_files import State
from xtremedistil.storage.checksums import vouch
from xtremedistil.storage.folders import new_folder
from xtremedistil.tokenization.tokenizer import Tokenizer
from xtremedistil.training.strategy import precision

TENSORFLOW_WEIGHTS = "tf_model.h5"
FILES = OWN_FILES | {TENSORFLOW_WEIGHTS}
LANGUAGE_MODELS = {"gpt2": "GPT2LMHeadModel"}  # else ...ForMaskedLM


def write_checkpoint(
    out: str,
    encoder,
    family: Family,
    tokenizer: Tokenizer,
    *,
    head: State | None = None,
    architecture: str | None = None,
    seq_len: int,
    card: str,
) -> None:
    """Writes `encoder` to the folder `out`, which appears whole, once it was read back, or not at all.

    Args:
        encoder: a TensorFlow model as `new_encoder` and `load_encoder` give it, without pooler.
        head: weights of its language-model head by PyTorch's names ("cls.predictions.bias"), linear layers [out, in];
            without what is tied to the word embeddings.
        architecture: PyTorch's class; by default the family's language model if there is a head, else its bare one.
            GPT-2's language model has no weights of its own: name it to have it.
        seq_len: longest sequence that the model was trained on, for the tokenizer's configuration.
        card: `README.md`.

    Raises:
        InputError: `out` holds something else, or the head does not belong to that class.
    """
    out = os.path.abspath(out)
    architecture = architecture or (language_model(family) if head else bare_class(family))
    with_head = architecture != bare_class(family)
    if head and not with_head:
        raise InputError(f"{architecture} has no head, but weights of one were given: {_first(head)}.")
    _refuse_unknown(architecture)
    check_place(out)
    state = state_in_pytorch(encoder) | (head or {})
    prefix = "" if with_head else f"{encoder.base_model_prefix}."
    with new_folder(out) as folder:
        write_state(folder, {name.removeprefix(prefix): array for name, array in state.items()})
        write_config(folder, encoder.config, architecture, {})
        write_tokenizer(folder, tokenizer, input_names_of(encoder, family), seq_len)
        write_card(folder, card)
        with precision(None):  # what is read back has the precision of the file
            model = _read_back(folder, family, architecture if with_head else None)
            _refuse_differences(model, state)
            model.save_weights(os.path.join(folder, TENSORFLOW_WEIGHTS))
        vouch(folder, READ_FILES | {TENSORFLOW_WEIGHTS})


def check_place(out: str) -> None:
    """Raises InputError where `out` holds anything but an earlier folder of `write_checkpoint`."""
    refuse_foreign(os.path.abspath(out), FILES, is_made_here)


def remove_checkpoint(out: str) -> None:
    """Removes an earlier folder of `write_checkpoint`, if there is one.

    Raises:
        InputError: it holds something else.
    """
    check_place(out)
    shutil.rmtree(out, ignore_errors=True)


def bare_class(family: Family) -> str:
    """PyTorch's class of a family's encoder: "BertModel"."""
    return family.class_name.removeprefix("TF")


def language_model(family: Family) -> str:
    """PyTorch's class of an encoder with its language-model head: "BertForMaskedLM"."""
    return LANGUAGE_MODELS.get(family.model_type, bare_class(family).removesuffix("Model") + "ForMaskedLM")


def _refuse_unknown(architecture: str) -> None:
    if not hasattr(transformers, f"TF{architecture}"):
        raise InputError(
            f"{architecture} cannot be written: transformers has no TensorFlow class TF{architecture} to check it with."
        )


def _read_back(folder: str, family: Family, architecture: str | None):
    """The model in a folder, with every weight that its class has; None: the bare encoder."""
    if architecture is None:
        return load_encoder(folder, family, name="encoder")
    model_class = getattr(transformers, f"TF{architecture}")
    model = model_class(model_class.config_class.from_dict(read_config(folder)), name="language_model")
    model.build_in_name_scope()
    load_all(model, folder)
    return model


def _refuse_differences(model, written: State) -> None:
    """Raises InputError if a model has other weights than were written, or other numbers in them."""
    found, name = state_in_pytorch(model), type(model).__name__
    if left_over := [entry for entry in written if entry not in found]:
        raise InputError(
            f"{name} has no weights called {_first(left_over)}. Give a head by the names that PyTorch's class has, "
            "without what is tied to the word embeddings."
        )
    if differing := [entry for entry in found if found[entry].tobytes() != written[entry].tobytes()]:
        raise InputError(f"{name} does not read what was written: {_first(differing)} differ. Is the disk sound?")


def _first(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
