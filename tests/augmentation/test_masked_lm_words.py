"""The augmenter `masked_lm`: drawing, rows for the model, words out of tokens; without TensorFlow."""

import numpy as np
import pytest

from xtremedistil.augmentation.masked_lm_words import (
    Hidden,
    MaskedWords,
    Question,
    around_core,
    fill,
    hide,
    replaceable,
    shown,
)
from xtremedistil.tokenization.tokenizer import Tokenizer

MANY = 20_000
TEXT = [str(number) for number in range(MANY)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("probability", [0.4, 0.1])
def test_hide_hits_the_share_of_words_that_was_asked_for(probability):
    result = hide(TEXT, rng(), probability=probability)
    hits = sum(isinstance(word, Hidden) for word in result)
    assert hits / MANY == pytest.approx(probability, abs=4 * (probability * (1 - probability) / MANY) ** 0.5)
    assert shown(result) == TEXT


def test_hide_draws_places_in_the_list_alike():
    draws = [word.draw for word in hide(TEXT, rng(), probability=1.0)]
    assert np.bincount([int(15 * draw) for draw in draws]) / MANY == pytest.approx([1 / 15] * 15, abs=0.01)


@pytest.mark.parametrize(
    "word, parts",
    [
        ("great", ("", "great", "")),
        ('"great!"', ('"', "great", '!"')),
        ("don't", ("", "don't", "")),
        ("--", ("--", "", "")),
        ("", ("", "", "")),
        ("हिन्दी।", ("", "हिन्दी", "।")),
        ("$5", ("$", "5", "")),
    ],
)
def test_core_of_a_word_is_without_the_punctuation_around_it(word, parts):
    assert around_core(word) == parts


def test_replaceable_words_have_no_punctuation_around_them():
    assert replaceable(["cat", None, ".", "don't", "a."]) == ["cat", None, None, "don't", None]


# Filling


def test_fill_takes_the_candidate_that_was_drawn():
    """Of three candidates, 0.0 to 0.33 is the first, 0.34 to 0.66 the second, 0.67 to 1 the third."""
    copies = [["a", Hidden("b", 0.0), Hidden("c", 0.5)], ["a", "b", Hidden("c", 0.99)]]
    answers = [{1: ["x", "y", "z"], 2: ["p", "q", "r"]}]
    assert fill([(["a", "b", "c"], copies)], lambda questions: answers) == [[["a", "x", "q"], ["a", "b", "r"]]]


def test_fill_leaves_words_that_the_model_cannot_predict():
    copies = [[Hidden("a", 0.7), Hidden("b", 0.7)]]
    assert fill([(["a", "b"], copies)], lambda questions: [{0: []}]) == [[["a", "b"]]]


def test_fill_asks_for_each_place_once_and_for_all_texts_together():
    asked = []

    def predict(questions):
        asked.append(questions)
        return [{} for _ in questions]

    texts = [
        (["a", "b", "c"], [["a", Hidden("b", 0.1), "c"], [Hidden("a", 0.2), Hidden("b", 0.3), "c"]]),
        (["d"], [["[MASK]"]]),
    ]
    fill(texts, predict)
    assert asked == [[Question(["a", "b", "c"], [0, 1]), Question(["d"], [])]]


# Rows


class Recorder:
    """Stands in for a model: its best tokens are always the same two; keeps the rows that it was given."""

    def __init__(self, tokenizer: Tokenizer, *words: str):
        self._tokenizer = tokenizer
        self._best = [tokenizer.encode_words([["a", word]])[0][1][0] for word in words]
        self.rows: list[list[str]] = []

    def __call__(self, rows, masks):
        assert all(row[mask] == self._tokenizer.mask_id for row, mask in zip(rows, masks, strict=True))
        self.rows = [self._tokenizer.tokens(row) for row in rows]
        return np.array([self._best] * len(rows))


@pytest.fixture
def predictor(word_piece_folder, byte_level_folder):
    def make(folder: str = word_piece_folder, positions: int = 32, best=("cat", "dog")) -> MaskedWords:
        tokenizer = Tokenizer.load(folder)
        words = replaceable(tokenizer.whole_words())
        return MaskedWords(tokenizer, words, positions, Recorder(tokenizer, *best))

    return make


def test_each_word_is_hidden_alone_in_its_own_text(predictor):
    masked_words = predictor()
    answers = masked_words([Question(["the", "cat", "ran"], [0, 2]), Question(["a", "mat"], [1])])
    assert masked_words.best_tokens.rows == [
        ["[CLS]", "[MASK]", "cat", "ran", "[SEP]"],
        ["[CLS]", "the", "cat", "[MASK]", "[SEP]"],
        ["[CLS]", "a", "[MASK]", "[SEP]"],
    ]
    assert answers == [{0: ["cat", "dog"], 2: ["cat", "dog"]}, {1: ["cat", "dog"]}]


def test_punctuation_around_a_word_is_read_and_stays(predictor):
    masked_words = predictor()
    answers = masked_words([Question(["'mat',", "."], [0, 1])])
    assert masked_words.best_tokens.rows == [["[CLS]", "'", "[MASK]", "'", ",", ".", "[SEP]"]]
    assert answers == [{0: ["'cat',", "'dog',"]}]


def test_words_of_several_pieces_and_unknown_words_are_left(predictor):
    masked_words = predictor()
    assert masked_words([Question(["running", "unbelievable", "zebra", "[SEP]", "mat"], [0, 1, 2, 3])]) == [{}]
    assert masked_words.best_tokens.rows == []


def test_words_behind_the_models_last_position_are_left(predictor):
    masked_words = predictor(positions=5)
    assert list(masked_words([Question("the cat sat on".split(), [0, 1, 2, 3])])[0]) == [0, 1, 2]
    assert masked_words.best_tokens.rows[2] == ["[CLS]", "the", "cat", "[MASK]", "[SEP]"]


def test_byte_level_words_are_predicted_with_the_space_before_them(predictor, byte_level_folder):
    masked_words = predictor(byte_level_folder, best=("the", "the"))
    [answer] = masked_words([Question(["the", "the"], [0, 1])])
    assert answer == {0: ["the", "the"], 1: ["the", "the"]}
    assert masked_words.best_tokens.rows == [["<s>", "<mask>", "Ġthe", "</s>"], ["<s>", "Ġthe", "<mask>", "</s>"]]


def test_no_question_asks_nothing_of_the_model(predictor):
    masked_words = predictor()
    assert masked_words([Question(["the"], []), Question([], [])]) == [{}, {}]
    assert masked_words([]) == []


# Words of the vocabulary


def test_whole_words_are_pieces_that_stand_for_a_word(word_piece_folder):
    tokenizer = Tokenizer.load(word_piece_folder)
    words = tokenizer.whole_words()
    assert len(words) == tokenizer.size
    assert {"the", "cat", ".", "b"} < {word for word in words if word}
    assert not {"ing", "##ing", "[MASK]", "[UNK]", "[CLS]"} & set(words)


def test_whole_words_of_byte_level_pieces_have_a_space_before_them(byte_level_folder):
    tokenizer = Tokenizer.load(byte_level_folder)
    words = dict(zip(tokenizer.tokens(range(tokenizer.size)), tokenizer.whole_words(), strict=True))
    assert words["Ġthe"] == "the"
    assert words["t"] is None and words["<mask>"] is None


def test_mask_piece_is_that_of_the_tokenizer(word_piece_folder, byte_level_folder, gpt2_folder):
    found = [Tokenizer.load(folder).mask_token for folder in (word_piece_folder, byte_level_folder, gpt2_folder)]
    assert found == ["[MASK]", "<mask>", None]
    assert Tokenizer.load(word_piece_folder).mask_id == 4
    assert Tokenizer.load(gpt2_folder).mask_id is None
