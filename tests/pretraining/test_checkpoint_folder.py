"""An encoder's folder: what is in it, and that PyTorch, TensorFlow and this package read the same model."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.model_fixtures import HIDDEN, VOCABULARY, rows

pytest.importorskip("tensorflow")

import tf_keras  # noqa: E402
import transformers  # noqa: E402

from xtremedistil.errors import InputError  # noqa: E402
from xtremedistil.export.huggingface.pytorch_state import state_in_pytorch  # noqa: E402
from xtremedistil.models.architectures.families import FAMILIES  # noqa: E402
from xtremedistil.models.checkpoints.pretrained import load_encoder  # noqa: E402
from xtremedistil.models.checkpoints.weight_files import read_state  # noqa: E402
from xtremedistil.pretraining.checkpoint_folder import language_model, write_checkpoint  # noqa: E402
from xtremedistil.tokenization.tokenizer import Tokenizer  # noqa: E402
from xtremedistil.training.strategy import precision  # noqa: E402

NAMES = ["TFBertModel", "TFDistilBertModel", "TFRobertaModel", "TFElectraModel", "TFGPT2Model"]
NAMES.append(pytest.param("TFXLMRobertaModel", marks=pytest.mark.slow))  # RoBERTa's weights by another name
CARD = "# A small encoder\n"
FILES = {"config.json", "model.safetensors", "tf_model.h5", "README.md"}
TOKENIZER_FILES = {"vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"}
EMBEDDING = 8  # of the tiny ELECTRA, whose head works at this width
# Shapes of the weights of each head, by PyTorch's names: linear layers are [out, in].
HEADS = {
    "TFBertModel": {
        "cls.predictions.transform.dense.weight": (HIDDEN, HIDDEN),
        "cls.predictions.transform.dense.bias": (HIDDEN,),
        "cls.predictions.transform.LayerNorm.weight": (HIDDEN,),
        "cls.predictions.transform.LayerNorm.bias": (HIDDEN,),
        "cls.predictions.bias": (VOCABULARY,),
    },
    "TFDistilBertModel": {
        "vocab_transform.weight": (HIDDEN, HIDDEN),
        "vocab_transform.bias": (HIDDEN,),
        "vocab_layer_norm.weight": (HIDDEN,),
        "vocab_layer_norm.bias": (HIDDEN,),
        "vocab_projector.bias": (VOCABULARY,),
    },
    "TFRobertaModel": {
        "lm_head.dense.weight": (HIDDEN, HIDDEN),
        "lm_head.dense.bias": (HIDDEN,),
        "lm_head.layer_norm.weight": (HIDDEN,),
        "lm_head.layer_norm.bias": (HIDDEN,),
        "lm_head.bias": (VOCABULARY,),
    },
    "TFElectraModel": {
        "generator_predictions.dense.weight": (EMBEDDING, HIDDEN),
        "generator_predictions.dense.bias": (EMBEDDING,),
        "generator_predictions.LayerNorm.weight": (EMBEDDING,),
        "generator_predictions.LayerNorm.bias": (EMBEDDING,),
        "generator_lm_head.bias": (VOCABULARY,),
    },
    "TFGPT2Model": {},
}
HEADS["TFXLMRobertaModel"] = HEADS["TFRobertaModel"]
POOLED = ("TFBertModel", "TFRobertaModel", "TFXLMRobertaModel")


def random_head(class_name: str) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in HEADS[class_name].items()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, tiny_encoders, word_piece_folder, gpt2_folder):
    """(class name, with a head) -> folder, made on first use; tests must not change it."""
    root, made = tmp_path_factory.mktemp("folders"), {}

    def make(class_name: str, with_head: bool = False) -> Path:
        if (class_name, with_head) not in made:
            family = FAMILIES[class_name]
            tokenizer = Tokenizer.load(gpt2_folder if class_name == "TFGPT2Model" else word_piece_folder)
            out = root / f"{class_name}-{with_head}"
            head = {"head": random_head(class_name), "architecture": language_model(family)} if with_head else {}
            write_checkpoint(str(out), tiny_encoders(class_name), family, tokenizer, seq_len=24, card=CARD, **head)
            made[class_name, with_head] = out
        return made[class_name, with_head]

    return make


def fed() -> dict[str, np.ndarray]:
    inputs = rows(lengths=(6, 6), width=6)
    return {name: inputs[name] for name in ("input_ids", "attention_mask")}


def last_state(encoder) -> np.ndarray:
    return encoder({name: array.copy() for name, array in fed().items()}).last_hidden_state.numpy()


# The folder


def test_folder_holds_exactly_these_files(folders):
    folder = folders("TFBertModel")
    assert {path.name for path in folder.iterdir()} == FILES | TOKENIZER_FILES | {"checksums.json"}
    assert {path.name for path in folder.parent.iterdir() if path.name.startswith(folder.name)} == {folder.name}
    assert (folder / "README.md").read_text() == CARD


@pytest.mark.parametrize(
    "class_name, with_head, architecture",
    [
        ("TFBertModel", False, "BertModel"),
        ("TFBertModel", True, "BertForMaskedLM"),
        ("TFGPT2Model", False, "GPT2Model"),
        ("TFGPT2Model", True, "GPT2LMHeadModel"),
        ("TFXLMRobertaModel", True, "XLMRobertaForMaskedLM"),
    ],
)
def test_configuration_names_the_class(folders, class_name, with_head, architecture):
    config = json.loads((folders(class_name, with_head) / "config.json").read_text())
    assert config["architectures"] == [architecture]
    assert config["torch_dtype"] == "float32"
    assert "_name_or_path" not in config


def test_tokenizer_is_told_rows_and_inputs(folders):
    settings = json.loads((folders("TFDistilBertModel") / "tokenizer_config.json").read_text())
    assert settings["model_input_names"] == ["input_ids", "attention_mask"]
    assert (settings["model_max_length"], settings["padding_side"]) == (24, "right")


@pytest.mark.parametrize("with_head", [False, True])
@pytest.mark.parametrize("class_name", NAMES)
def test_our_own_reader_gives_every_weight_bit_by_bit(folders, tiny_encoders, class_name, with_head):
    expected = tiny_encoders(class_name)
    found = load_encoder(str(folders(class_name, with_head)), FAMILIES[class_name], name="tf_model")
    for one, other in zip(expected.weights, found.weights, strict=True):
        assert one.name == other.name and one.numpy().tobytes() == other.numpy().tobytes()


# TensorFlow


@pytest.mark.slow
@pytest.mark.parametrize("safetensors", [True, False])
@pytest.mark.parametrize("class_name", NAMES)
def test_tensorflow_gives_the_same_states_from_either_file(folders, tiny_encoders, class_name, safetensors):
    folder = str(folders(class_name))
    model, info = transformers.TFAutoModel.from_pretrained(
        folder, use_safetensors=safetensors, output_loading_info=True
    )
    assert all("pooler" in name for name in info["missing_keys"])
    assert not info["unexpected_keys"] and not info["mismatched_keys"]
    np.testing.assert_allclose(last_state(model), last_state(tiny_encoders(class_name)), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("class_name", NAMES)
def test_tensorflow_reads_head_and_encoder_from_its_own_file(folders, class_name):
    folder = folders(class_name, True)
    name = f"TF{language_model(FAMILIES[class_name])}"
    model, info = getattr(transformers, name).from_pretrained(
        str(folder), use_safetensors=False, output_loading_info=True
    )
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    state, head = state_in_pytorch(model), random_head(class_name)
    assert [name for name in head if not np.array_equal(state[name], head[name])] == []


# PyTorch


def pytorch_model(kind: str, folder: Path) -> tuple:
    pytest.importorskip("torch", reason="the extra `torch` is not installed")
    model, info = getattr(transformers, kind).from_pretrained(str(folder), output_loading_info=True)
    return model.eval(), info


def pytorch_outputs(model):
    import torch

    with torch.no_grad():
        return model(**{name: torch.tensor(array).long() for name, array in fed().items()})


@pytest.mark.parametrize("with_head", [False, True])
@pytest.mark.parametrize("class_name", NAMES)
def test_pytorch_gives_the_same_states(folders, tiny_encoders, class_name, with_head):
    model, info = pytorch_model("AutoModel", folders(class_name, with_head))
    pooler = {"pooler.dense.weight", "pooler.dense.bias"} if class_name in POOLED else set()
    assert set(info["missing_keys"]) == pooler and not info["mismatched_keys"]
    assert set(info["unexpected_keys"]) == (set(HEADS[class_name]) if with_head else set())
    found = pytorch_outputs(model).last_hidden_state.numpy()
    expected = last_state(tiny_encoders(class_name))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_pytorch_without_pooler_misses_nothing(folders):
    pytest.importorskip("torch", reason="the extra `torch` is not installed")
    _, info = transformers.AutoModel.from_pretrained(
        str(folders("TFBertModel")), add_pooling_layer=False, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]


@pytest.mark.parametrize("class_name", NAMES)
def test_pytorch_and_tensorflow_language_models_give_the_same_logits(folders, class_name):
    folder = folders(class_name, True)
    ending = "CausalLM" if class_name == "TFGPT2Model" else "MaskedLM"
    model, info = pytorch_model(f"AutoModelFor{ending}", folder)
    assert not any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    expected = getattr(transformers, f"TF{language_model(FAMILIES[class_name])}").from_pretrained(str(folder))
    np.testing.assert_allclose(pytorch_outputs(model).logits.numpy(), expected(fed()).logits, rtol=0, atol=1e-4)


def test_writing_in_the_middle_of_a_mixed_run_changes_nothing(tiny_encoders, word_piece_folder, tmp_path):
    with precision("mixed_bfloat16"):
        write(tmp_path / "out", tiny_encoders("TFBertModel"), word_piece_folder, head=random_head("TFBertModel"))
        assert tf_keras.mixed_precision.global_policy().name == "mixed_bfloat16"
    assert {array.dtype for array in read_state(str(tmp_path / "out/model.safetensors")).values()} == {np.dtype("f4")}
    assert {array.dtype for array in read_state(str(tmp_path / "out/tf_model.h5")).values()} == {np.dtype("f4")}


# What is refused


def write(folder: Path, encoder, tokenizer: str, class_name: str = "TFBertModel", **changes) -> None:
    options = {"seq_len": 24, "card": CARD} | changes
    write_checkpoint(str(folder), encoder, FAMILIES[class_name], Tokenizer.load(tokenizer), **options)


def test_head_that_lacks_a_weight_leaves_nothing_behind(tiny_encoders, word_piece_folder, tmp_path):
    head = random_head("TFBertModel")
    del head["cls.predictions.transform.dense.bias"]
    with pytest.raises(InputError, match="lacks 1 of the .* weights of TFBertForMaskedLM"):
        write(tmp_path / "out", tiny_encoders("TFBertModel"), word_piece_folder, head=head)
    assert not os.listdir(tmp_path)


def test_head_with_a_weight_that_the_class_has_not_is_refused(tiny_encoders, word_piece_folder, tmp_path):
    head = random_head("TFBertModel") | {"cls.predictions.decoder.weight": np.zeros((VOCABULARY, HIDDEN), np.float32)}
    with pytest.raises(InputError, match="TFBertForMaskedLM has no weights called cls.predictions.decoder.weight"):
        write(tmp_path / "out", tiny_encoders("TFBertModel"), word_piece_folder, head=head)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "architecture, words", [("BertModel", "BertModel has no head"), ("BertForDreams", "no TensorFlow class TFBertFor")]
)
def test_class_that_does_not_fit_is_refused(tiny_encoders, word_piece_folder, tmp_path, architecture, words):
    options = {"head": random_head("TFBertModel"), "architecture": architecture}
    with pytest.raises(InputError, match=words):
        write(tmp_path / "out", tiny_encoders("TFBertModel"), word_piece_folder, **options)


def test_earlier_folder_is_replaced_and_another_is_not(tiny_encoders, word_piece_folder, tmp_path):
    encoder = tiny_encoders("TFBertModel")
    write(tmp_path / "out", encoder, word_piece_folder, card="old")
    write(tmp_path / "out", encoder, word_piece_folder, card="new")
    assert (tmp_path / "out/README.md").read_text() == "new"
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds notes.txt, too"):
        write(tmp_path / "out", encoder, word_piece_folder)
    assert (tmp_path / "out/notes.txt").read_text() == "mine"
