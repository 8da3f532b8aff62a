"""The augmenter `masked_lm`: replaces words by predictions of a masked language model.

As in TinyBERT (Jiao et al., 2020, arXiv 1909.10351, section 4.2 and algorithm 1), each word is masked alone in its text
and replaced, with probability 0.4, by one of the 15 best predictions, all equally likely. TinyBERT replaces words of
several tokens by neighbours among GloVe vectors; here they stay, as there are no such vectors. Punctuation and tokens
that are only parts of words are neither replaced nor predicted.

Words are drawn first (`hide`), line by line; then the model predicts them for many lines at once (`fill`). So the draws
depend neither on the model nor on which lines share a batch.
"""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from xtremedistil.tokenization.tokenizer import BEFORE, Tokenizer

PROBABILITY = 0.4  # p_t of the paper
CANDIDATES = 15  # K
NOT_OF_WORDS = "PSZC"  # Unicode categories of punctuation, symbols, white space and control characters


class Hidden(NamedTuple):
    """A masked word; `draw`, from 0 to 1, selects its replacement from the list of candidates."""

    word: str
    draw: float


def hide(words: Sequence[str], rng: np.random.Generator, *, probability: float = PROBABILITY) -> list[str | Hidden]:
    """Masks each word independently with `probability`; only the model tells whether it can be replaced."""
    hits, draws = rng.random(len(words)) < probability, rng.random(len(words))
    return [Hidden(word, float(draw)) if hit else word for word, hit, draw in zip(words, hits, draws, strict=True)]


def shown(words: Sequence[str | Hidden]) -> list[str]:
    """Returns the words, with masked ones as they were."""
    return [word.word if isinstance(word, Hidden) else word for word in words]


class Question(NamedTuple):
    """A text, and the indices of the words in it to predict."""

    words: Sequence[str]
    places: Sequence[int]


# Returns for each question: index of a word -> candidates for it, the best first; words that cannot be predicted are
# left out.
Predict = Callable[[Sequence[Question]], list[dict[int, list[str]]]]


def fill(texts: Sequence[tuple[Sequence[str], Sequence[list]]], predict: Predict) -> list[list[list[str]]]:
    """Replaces the masked words of many texts.

    Args:
        texts: words of each, and its copies, in which some words are `Hidden`.

    Returns:
        the copies of each text without any `Hidden`; each word is predicted once for all copies of a text.
    """
    questions = [Question(words, sorted(set().union(*map(_hidden_places, copies)))) for words, copies in texts]
    answers = predict(questions)
    return [
        [[_filled(word, found.get(place)) for place, word in enumerate(copy)] for copy in copies]
        for (_, copies), found in zip(texts, answers, strict=True)
    ]


def _hidden_places(words: Sequence[str | Hidden]) -> set[int]:
    return {place for place, word in enumerate(words) if isinstance(word, Hidden)}


def _filled(word: str | Hidden, candidates: list[str] | None) -> str:
    if not isinstance(word, Hidden):
        return word
    return candidates[int(word.draw * len(candidates))] if candidates else word.word


class MaskedRow(NamedTuple):
    """A tokenized text with one masked word: the one at index `place` of question number `question`.

    Fields:
        ids: int32 [S]. mask: position of the mask token.
    """

    question: int
    place: int
    ids: np.ndarray
    mask: int


# Takes rows and the position of the mask in each; returns ids of the best tokens there, the best first: int [N, K].
BestTokens = Callable[[Sequence[np.ndarray], Sequence[int]], np.ndarray]


@dataclass(frozen=True)
class MaskedWords:
    """Predicts words (`Predict`) with a model that predicts tokens.

    Fields:
        whole_words: by token id, the words that may be predicted or replaced (`replaceable`), else None.
        positions: maximum sequence length of the model; words after it are not predicted.
    """

    tokenizer: Tokenizer
    whole_words: Sequence[str | None]
    positions: int
    best_tokens: BestTokens

    def __call__(self, questions: Sequence[Question]) -> list[dict[int, list[str]]]:
        answers: list[dict[int, list[str]]] = [{} for _ in questions]
        rows = list(self._rows(questions))
        if not rows:
            return answers
        best = self.best_tokens([row.ids for row in rows], [row.mask for row in rows])
        for row, pieces in zip(rows, best.tolist(), strict=True):
            before, _, after = around_core(questions[row.question].words[row.place])
            answers[row.question][row.place] = [f"{before}{self.whole_words[piece]}{after}" for piece in pieces]
        return answers

    def _rows(self, questions: Sequence[Question]) -> Iterator[MaskedRow]:
        asked = [number for number, question in enumerate(questions) if question.places]
        texts = [_units(questions[number].words) for number in asked]
        pieces = self.tokenizer.encode_words([[BEFORE, *(unit for _, unit in text)] for text in texts])
        for number, text, (_, *ids) in zip(asked, texts, pieces, strict=True):
            places = [place for place, _ in text]
            yield from self._masked(number, set(questions[number].places), places, ids)

    def _masked(self, question: int, wanted: set[int], places: list[int | None], ids: list[list[int]]) -> Iterator:
        """Yields a row for each wanted word that is one token; `places` and `ids` are those of the text's units."""
        start, end = self.tokenizer.start_ids, self.tokenizer.end_ids
        inside = list(chain.from_iterable(ids))[: self.positions - len(start) - len(end)]
        row, position = np.array([*start, *inside, *end], np.int32), len(start)
        for place, pieces in zip(places, ids, strict=True):
            one_word = len(pieces) == 1 and self.whole_words[pieces[0]] is not None
            if place in wanted and one_word and position < len(start) + len(inside):
                masked = row.copy()
                masked[position] = self.tokenizer.mask_id
                yield MaskedRow(question, place, masked, position)
            position += len(pieces)


def replaceable(whole_words: Sequence[str | None]) -> list[str | None]:
    """Replaces words that have punctuation or symbols around them, or consist of these, by None."""
    return [word if word and around_core(word)[1] == word else None for word in whole_words]


def _units(words: Sequence[str]) -> list[tuple[int | None, str]]:
    """Splits words into units for the model: words with their index, and punctuation around them with None."""
    units: list[tuple[int | None, str]] = []
    for place, word in enumerate(words):
        before, core, after = around_core(word)
        units += [(where, unit) for where, unit in ((None, before), (place, core), (None, after)) if unit]
    return units


def around_core(word: str) -> tuple[str, str, str]:
    """Splits a word into what is before its first letter or digit, the part up to the last of them, and the rest."""
    solid = [place for place, character in enumerate(word) if unicodedata.category(character)[0] not in NOT_OF_WORDS]
    if not solid:
        return word, "", ""
    return word[: solid[0]], word[solid[0] : solid[-1] + 1], word[solid[-1] + 1 :]
