"""The augmenter `masked_lm`: words replaced by what a masked-language model would write in their places.

TinyBERT's (Jiao et al., 2020, arXiv 1909.10351, section 4.2 and algorithm 1): each word, hidden alone in its own text,
is replaced with a probability of 0.4 by one of the 15 best predictions, any with the same chance. There, words of
several tokens are replaced by neighbours among GloVe vectors; here they stay, as there are no such vectors.
Punctuation and tokens that are only parts of words are neither replaced nor predicted.

Drawing comes first (`hide`), line by line; then the model is asked for many lines at once (`fill`). So what is drawn
does not depend on the model, nor on which lines share a batch.
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
NOT_OF_WORDS = "PSZC"  # Unicode's classes of punctuation, symbols, white space and control characters


class Hidden(NamedTuple):
    """A word that the model shall replace by the candidate at `draw`, a place from 0 to 1 in the list of them."""

    word: str
    draw: float


def hide(words: Sequence[str], rng: np.random.Generator, *, probability: float = PROBABILITY) -> list[str | Hidden]:
    """Each word is `Hidden` with `probability`, on its own; the model has still to say whether it can be replaced."""
    hits, draws = rng.random(len(words)) < probability, rng.random(len(words))
    return [Hidden(word, float(draw)) if hit else word for word, hit, draw in zip(words, hits, draws, strict=True)]


def shown(words: Sequence[str | Hidden]) -> list[str]:
    """The words with those that are still hidden as they were."""
    return [word.word if isinstance(word, Hidden) else word for word in words]


class Question(NamedTuple):
    """A text and the places of words in it that are to be predicted."""

    words: Sequence[str]
    places: Sequence[int]


# For each question: place -> the words that could stand there, the best first; places that cannot be predicted are left
# out.
Predict = Callable[[Sequence[Question]], list[dict[int, list[str]]]]


def fill(texts: Sequence[tuple[Sequence[str], Sequence[list]]], predict: Predict) -> list[list[list[str]]]:
    """Replaces the hidden words of many texts.

    Args:
        texts: words of each, and its copies with `Hidden` words, at the places that these have in the text.

    Returns:
        the copies of each text without any `Hidden`; each place is predicted once for all copies of a text.
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
    """A text in tokens with one word hidden: the one at `place` in question number `question`.

    Fields:
        ids: int32 [S]. mask: the position of the mask among them.
    """

    question: int
    place: int
    ids: np.ndarray
    mask: int


# Rows and the position of the mask in each -> ids of the best tokens there, the best first: int [N, K].
BestTokens = Callable[[Sequence[np.ndarray], Sequence[int]], np.ndarray]


@dataclass(frozen=True)
class MaskedWords:
    """Predicts words (`Predict`) by a model that predicts tokens.

    Fields:
        whole_words: by token id, the words that may be predicted or replaced (`replaceable`), else None.
        positions: longest row of the model; words behind that are not predicted.
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
        """A row for each wanted place whose word is one token; `places` and `ids` are of the units of the text."""
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
    """The same without those that have punctuation or symbols around them, or are nothing else."""
    return [word if word and around_core(word)[1] == word else None for word in whole_words]


def _units(words: Sequence[str]) -> list[tuple[int | None, str]]:
    """What the model reads: words (with their places) and, apart from them, the punctuation around them (None)."""
    units: list[tuple[int | None, str]] = []
    for place, word in enumerate(words):
        before, core, after = around_core(word)
        units += [(where, unit) for where, unit in ((None, before), (place, core), (None, after)) if unit]
    return units


def around_core(word: str) -> tuple[str, str, str]:
    """What stands before the letters and digits of a word, the word from the first to the last of them, the rest."""
    solid = [place for place, character in enumerate(word) if unicodedata.category(character)[0] not in NOT_OF_WORDS]
    if not solid:
        return word, "", ""
    return word[: solid[0]], word[solid[0] : solid[-1] + 1], word[solid[-1] + 1 :]
