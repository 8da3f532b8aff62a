"""Masked-language models out of checkpoints: weights, predictions, refusals."""

import os
import shutil

import numpy as np
import pytest

import xtremedistil  # noqa: F401 - chooses legacy Keras
from tests.conftest import slow
from tests.model_fixtures import BERT_FIRST, masked_lm_state, shaken_masked_lm, tiny_config, write_checkpoint
from xtremedistil.augmentation.masked_lm_words import Hidden, Question, fill
from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.models.architectures.families import FAMILIES

tf = pytest.importorskip("tensorflow")

from xtremedistil.augmentation import masked_lm  # noqa: E402
from xtremedistil.augmentation.masked_lm import best_tokens, load_masked_lm, open_masked_lm  # noqa: E402

VOCABULARY = 60


@pytest.mark.parametrize("class_name", BERT_FIRST)
def test_checkpoint_of_every_family_loads_with_its_head(class_name, tmp_path):
    model, family = shaken_masked_lm(class_name), FAMILIES[class_name]
    folder = write_checkpoint(tmp_path / "lm", tiny_config(class_name), masked_lm_state(model))
    loaded = load_masked_lm(folder, family, tiny_config(class_name))
    assert len(loaded.weights) == len(model.weights)
    for one, other in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_checkpoint_that_transformers_writes_loads(tmp_path):
    model = shaken_masked_lm("TFBertModel")
    model.save_pretrained(tmp_path)
    loaded = load_masked_lm(str(tmp_path), FAMILIES["TFBertModel"], tiny_config("TFBertModel"))
    for one, other in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_checkpoint_of_2018_loads(tmp_path):
    """Layer norms had other names, the word embedding stood there twice, and a second head told neighbours apart."""
    model = shaken_masked_lm("TFBertModel")
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): array
        for name, array in masked_lm_state(model).items()
    }
    assert "cls.predictions.transform.LayerNorm.gamma" in state
    state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]
    state["cls.seq_relationship.bias"] = np.zeros(2, np.float32)
    folder = write_checkpoint(tmp_path / "lm", tiny_config("TFBertModel"), state)
    loaded = load_masked_lm(folder, FAMILIES["TFBertModel"], tiny_config("TFBertModel"))
    for one, other in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("class_name", ["TFBertModel", *slow("TFRobertaModel")])
def test_best_pieces_are_those_of_the_highest_scores_that_are_words(class_name, monkeypatch):
    model, family = shaken_masked_lm(class_name), FAMILIES[class_name]
    rows = [np.array(row, np.int32) for row in ([6, 7, 8, 9, 10, 11], [7, 8, 9], [12, 13, 14, 15])]
    masks = [1, 2, 0]
    words = np.arange(40) % 2 == 0
    expected = []
    for row, mask in zip(rows, masks, strict=True):
        scores = model({"input_ids": row[None], "attention_mask": np.ones_like(row[None])}).logits.numpy()[0, mask]
        expected.append(sorted(np.flatnonzero(words), key=lambda piece: -scores[piece])[:3])
    pad_id = tiny_config(class_name).get("pad_token_id", 0)
    find = best_tokens(model, family, words, pad_id, candidates=3)
    np.testing.assert_array_equal(find(rows, masks), expected)
    monkeypatch.setattr(masked_lm, "SCORES_AT_A_TIME", 1)  # a batch for each row
    np.testing.assert_array_equal(find(rows, masks), expected)


@pytest.fixture
def checkpoint(word_piece_folder, tmp_path):
    """A random Bert with its head, for the tokenizer of the tests."""

    def write(state=None, **changes) -> str:
        model = shaken_masked_lm("TFBertModel", vocab_size=VOCABULARY)
        folder = shutil.copytree(word_piece_folder, tmp_path / f"lm-{len(os.listdir(tmp_path))}")
        config = tiny_config("TFBertModel") | {"vocab_size": VOCABULARY} | changes
        return write_checkpoint(folder, config, (state or (lambda state: state))(masked_lm_state(model)))

    return write


def test_words_are_replaced_by_words(checkpoint):
    model = open_masked_lm(checkpoint())
    words = "the cat sat on the running mat .".split()
    [[copy]] = fill([(words, [[Hidden(word, 0.5) for word in words]])], model)
    changed = [place for place, (one, other) in enumerate(zip(copy, words, strict=True)) if one != other]
    assert len(changed) > 3 and not {5, 7} & set(changed)
    vocabulary = {word for word in model.whole_words if word}
    assert set(copy) <= vocabulary | {"running", "."}
    assert fill([(words, [[Hidden(word, 0.5) for word in words]])], model) == [[copy]]


def test_predictions_do_not_depend_on_batch_mates(checkpoint):
    model = open_masked_lm(checkpoint())
    questions = [
        Question(text.split(), [1]) for text in ("the cat sat", "a dog ran in the park and sat", "john is big")
    ]
    assert model(questions) == [model([question])[0] for question in questions]
    assert len(model(questions)[0][1]) == 15


def test_checkpoint_without_the_head_is_refused(checkpoint):
    folder = checkpoint(lambda state: {name: array for name, array in state.items() if "cls." not in name})
    with pytest.raises(
        InputError, match=r"cannot be read as a masked language model(?s:.*)lacks 5 of the(?s:.*)mlm___cls"
    ):
        open_masked_lm(folder)


def test_checkpoint_of_another_tokenizer_is_refused(checkpoint):
    with pytest.raises(InputError, match="has 45 tokens, its config.json says vocab_size 30"):
        open_masked_lm(checkpoint(vocab_size=30))


def test_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(MissingFileError, match="there is no such folder"):
        open_masked_lm(str(tmp_path / "no" / "folder" / "here"))


def test_left_to_right_model_is_refused(gpt2_folder):
    with pytest.raises(InputError, match="a gpt2 does not predict masked tokens"):
        load_masked_lm(gpt2_folder, FAMILIES["TFGPT2Model"], {"model_type": "gpt2"})
