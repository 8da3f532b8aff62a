"""Which tokens are hidden and what stands there instead, drawn anew for each batch.

As DistilBERT does it (Sanh et al., 2019, arXiv 1910.01108), after XLM (Lample and Conneau, 2019, arXiv 1901.07291):
rare tokens are hidden more often, by counts to the power of -0.7. What is drawn depends on the tokens and the generator
alone, not on how far rows are padded.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil.data.features import NOT_SCORED
from xtremedistil.errors import InputError
from xtremedistil.tokenization.tokenizer import Tokenizer

SMOOTHING = 0.7
HALF_UNIT = 1e-9  # 0.07 * 100 is a little more than 7


@dataclass(frozen=True)
class Hiding:
    """How tokens are hidden. V tokens of the vocabulary.

    Fields:
        weights: float64 [V]; the chance of a token to be drawn next is in proportion to it, and 0 never is hidden.
        mask_id: stands where a token is hidden.
        replacements: ids that may stand there by chance; all are alike.
        continues: bool [V] (`continues_word`), for whole words to be drawn; None: tokens are.
        share: of the tokens with a weight above 0, how many are hidden.
        mask, random: shares of these where the mask stands, and any token; at the rest, the token itself.
    """

    weights: np.ndarray
    mask_id: int
    replacements: np.ndarray
    continues: np.ndarray | None = None
    share: float = 0.15
    mask: float = 0.8
    random: float = 0.1

    def __post_init__(self):
        if min(self.mask, self.random) < 0 or self.mask + self.random > 1:
            raise ValueError(f"Shares of mask and random have to be 0 to 1 together: {self.mask, self.random}.")
        if not 0 < self.share <= 1:
            raise ValueError(f"The share of hidden tokens is {self.share}, expected more than 0 and at most 1.")


def hiding_of(
    tokenizer: Tokenizer,
    counts: np.ndarray,
    *,
    exponent: float = SMOOTHING,
    whole_words: bool = False,
    share: float = 0.15,
    mask: float = 0.8,
    random: float = 0.1,
) -> Hiding:
    """How the tokens of a tokenizer are hidden; see `Hiding`.

    Args:
        counts: int64 [V], how often each token occurs (`TokenStore.counts`).
        exponent: 0, all tokens are alike; 1, all different tokens are hidden equally often.

    Raises:
        InputError: the tokenizer has no mask, or whole words are wanted and its tokens do not tell them.
    """
    if tokenizer.mask_id is None:
        raise InputError(
            f"{tokenizer.name} has no mask token to stand for hidden words. Train on the next token instead, as "
            "GPT does, or take another tokenizer."
        )
    weights = token_weights(counts, tokenizer.special_ids, exponent)
    continues = continues_word(tokenizer) if whole_words else None
    return Hiding(weights, tokenizer.mask_id, np.flatnonzero(weights), continues, share, mask, random)


def token_weights(counts: np.ndarray, special_ids: Sequence[int], exponent: float = SMOOTHING) -> np.ndarray:
    """max(count, 1) ** -exponent, and 0 for special tokens: float64 [V]."""
    weights = np.maximum(counts, 1).astype(np.float64) ** -exponent
    weights[list(special_ids)] = 0.0
    return weights


SPACE_MARKS = ("Ġ", "▁")  # before the first token of a word: byte-level BPE, SentencePiece
CONTINUATION_MARK = "##"  # before all others: WordPiece
END_MARKS = ("</w>", "@@")  # behind a token: whether the next one continues its word


def continues_word(tokenizer: Tokenizer) -> np.ndarray:
    """Which tokens go on with the word of the token before: bool [V]; never special ones.

    Raises:
        InputError: the tokens tell it of the token behind them, as those of GPT-1, XLM and CTRL do.
    """
    tokens = [token or "" for token in tokenizer.tokens(range(tokenizer.size))]
    found = {mark: sum(token.startswith(mark) for token in tokens) for mark in (*SPACE_MARKS, CONTINUATION_MARK)}
    found |= {mark: sum(token.endswith(mark) for token in tokens) for mark in END_MARKS}
    mark = max(found, key=found.__getitem__)  # others occur as text
    if mark in END_MARKS:
        raise InputError(
            f"The tokens of {tokenizer.name} do not tell where a word begins: hide tokens, not whole words."
        )
    marked = np.array([token.startswith(mark) for token in tokens])
    continues = marked if mark == CONTINUATION_MARK else ~marked
    continues[tokenizer.special_ids] = False
    return continues


def hide(
    input_ids: np.ndarray, scored: np.ndarray, generator: np.random.Generator, hiding: Hiding
) -> tuple[np.ndarray, np.ndarray]:
    """Hides tokens of a batch: a share of all its rows together, drawn without replacement.

    Args:
        input_ids: int [B, S]. scored: bool [B, S], where there is text.

    Returns:
        shown: int32 [B, S], what a model sees. labels: int32 [B, S], the tokens where some are hidden, -100 elsewhere.
    """
    shown = np.array(input_ids, np.int32)
    labels = np.full(shown.shape, NOT_SCORED, np.int32)
    weights = np.where(scored, hiding.weights[input_ids], 0.0).reshape(-1)
    places = np.flatnonzero(weights)
    budget = max(1, math.ceil(hiding.share * len(places) - HALF_UNIT))
    if hiding.continues is None:
        drawn = places[_draw(weights[places], budget, generator)]
    else:
        words = _words(places, shown, hiding.continues)
        drawn = places[_draw_words(weights[places], words, budget, generator)]
    labels.flat[drawn] = shown.flat[drawn]
    shown.flat[drawn] = _instead(shown.flat[drawn], generator, hiding)
    return shown, labels


def _keys(weights: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Keys of which the smallest k are a draw of k by weight without replacement: Efraimidis and Spirakis (2006)."""
    return generator.standard_exponential(len(weights)) / weights


def _draw(weights: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Places of `count` of the weights, in their order."""
    keys = _keys(weights, generator)
    return np.sort(np.argpartition(keys, count)[:count]) if count < len(keys) else np.arange(len(keys))


def _words(places: np.ndarray, pieces: np.ndarray, continues: np.ndarray) -> np.ndarray:
    """The number of the word that each place belongs to, from 0; a row's first token begins one."""
    begins = ~continues[pieces.flat[places]]
    begins |= np.diff(places, prepend=-2) > 1  # behind a special token
    begins |= places % pieces.shape[1] == 0
    if len(begins):
        begins[0] = True
    return np.cumsum(begins) - 1


def _draw_words(weights: np.ndarray, words: np.ndarray, budget: int, generator: np.random.Generator) -> np.ndarray:
    """Places of all tokens of words that are drawn, by the mean weight of their tokens, until `budget` is reached."""
    sizes = np.bincount(words)
    order = np.argsort(_keys(np.bincount(words, weights) / sizes, generator))
    enough = np.searchsorted(np.cumsum(sizes[order]), budget) + 1
    drawn = np.zeros(len(sizes), bool)
    drawn[order[:enough]] = True
    return np.flatnonzero(drawn[words])


def _instead(pieces: np.ndarray, generator: np.random.Generator, hiding: Hiding) -> np.ndarray:
    """What stands where tokens are hidden."""
    draws = generator.random(len(pieces))
    by_chance = hiding.replacements[generator.integers(len(hiding.replacements), size=len(pieces))]
    replaced = np.where(draws < hiding.mask + hiding.random, by_chance, pieces)
    return np.where(draws < hiding.mask, hiding.mask_id, replaced)


def next_tokens(input_ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What a causal model predicts at each position: the token behind it, -100 where there is none.

    Args:
        input_ids: int [B, S]. mask: bool [B, S], False for padding, which stands at the end of rows.

    Returns:
        labels: int32 [B, S].
    """
    labels = np.full(input_ids.shape, NOT_SCORED, np.int32)
    labels[:, :-1] = np.where(mask[:, 1:], input_ids[:, 1:], NOT_SCORED)
    return labels
