"""Which tokens are masked and what replaces them, drawn anew for each batch.

As DistilBERT does it (Sanh et al., 2019, arXiv 1910.01108), after XLM (Lample and Conneau, 2019, arXiv 1901.07291):
rare tokens are masked more often, by counts to the power of -0.7. What is drawn depends on the tokens and the generator
alone, not on how far the batch is padded.
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
class MaskingConfig:
    """How tokens are masked, and with that predicted. V tokens of the vocabulary.

    Fields:
        weights: float64 [V]; the chance of a token to be drawn next is in proportion to it, so that 0 means
            never.
        mask_id: the mask token.
        replacements: ids that a random token is drawn from, all alike.
        continues: bool [V] (`continues_word`), to draw whole words; None: to draw tokens.
        share: fraction of the tokens with a weight above 0 that is drawn.
        mask, random: fractions of these that the mask token, and a random token, replace; the rest stays as it is.
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
            raise ValueError(f"The share of masked tokens is {self.share}, expected more than 0 and at most 1.")


def masking_config(
    tokenizer: Tokenizer,
    counts: np.ndarray,
    *,
    exponent: float = SMOOTHING,
    whole_words: bool = False,
    share: float = 0.15,
    mask: float = 0.8,
    random: float = 0.1,
) -> MaskingConfig:
    """How the tokens of a tokenizer are masked; see `MaskingConfig`.

    Args:
        counts: int64 [V], how often each token occurs (`TokenStore.counts`).
        exponent: 0: all tokens of a text are alike; 1: all tokens of the vocabulary are masked equally often.

    Raises:
        InputError: the tokenizer has no mask token, or whole words are wanted and its tokens do not tell them.
    """
    if tokenizer.mask_id is None:
        raise InputError(
            f"{tokenizer.name} has no mask token, so that nothing can be masked. Predict the next token instead, as "
            "GPT does, or take another tokenizer."
        )
    weights = token_weights(counts, tokenizer.special_ids, exponent)
    continues = continues_word(tokenizer) if whole_words else None
    return MaskingConfig(weights, tokenizer.mask_id, np.flatnonzero(weights), continues, share, mask, random)


def token_weights(counts: np.ndarray, special_ids: Sequence[int], exponent: float = SMOOTHING) -> np.ndarray:
    """max(count, 1) ** -exponent, and 0 for special tokens: float64 [V]."""
    weights = np.maximum(counts, 1).astype(np.float64) ** -exponent
    weights[list(special_ids)] = 0.0
    return weights


SPACE_MARKS = ("Ġ", "▁")  # before the first token of a word: byte-level BPE, SentencePiece
CONTINUATION_MARK = "##"  # before all others: WordPiece
END_MARKS = ("</w>", "@@")  # at the end of a token: whether the next one continues its word


def continues_word(tokenizer: Tokenizer) -> np.ndarray:
    """Which tokens continue the word of the token before: bool [V]; never special ones.

    Raises:
        InputError: a token tells it of the token after it, as those of GPT-1, XLM and CTRL do.
    """
    tokens = [token or "" for token in tokenizer.tokens(range(tokenizer.size))]
    found = {mark: sum(token.startswith(mark) for token in tokens) for mark in (*SPACE_MARKS, CONTINUATION_MARK)}
    found |= {mark: sum(token.endswith(mark) for token in tokens) for mark in END_MARKS}
    mark = max(found, key=found.__getitem__)  # others occur as text
    if mark in END_MARKS:
        raise InputError(
            f"The tokens of {tokenizer.name} do not tell where a word begins: mask tokens, not whole words."
        )
    marked = np.array([token.startswith(mark) for token in tokens])
    continues = marked if mark == CONTINUATION_MARK else ~marked
    continues[tokenizer.special_ids] = False
    return continues


def mask_tokens(
    input_ids: np.ndarray, attention_mask: np.ndarray, generator: np.random.Generator, masking: MaskingConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Masks tokens of a batch: a fraction of those of all its rows together, drawn without replacement.

    Args:
        input_ids: int [B, S]. attention_mask: bool [B, S], False for padding.

    Returns:
        corrupted: int32 [B, S], the input of the model. labels: int32 [B, S], the tokens that were masked, -100
            elsewhere.
    """
    corrupted = np.array(input_ids, np.int32)
    labels = np.full(corrupted.shape, NOT_SCORED, np.int32)
    weights = np.where(attention_mask, masking.weights[input_ids], 0.0).reshape(-1)
    positions = np.flatnonzero(weights)
    budget = max(1, math.ceil(masking.share * len(positions) - HALF_UNIT))
    if masking.continues is None:
        drawn = positions[_draw(weights[positions], budget, generator)]
    else:
        words = _words(positions, corrupted, masking.continues)
        drawn = positions[_draw_words(weights[positions], words, budget, generator)]
    labels.flat[drawn] = corrupted.flat[drawn]
    corrupted.flat[drawn] = _replaced(corrupted.flat[drawn], generator, masking)
    return corrupted, labels


def _keys(weights: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Keys of which the smallest k are a draw of k by weight without replacement: Efraimidis and Spirakis (2006)."""
    return generator.standard_exponential(len(weights)) / weights


def _draw(weights: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Indices of `count` of the weights, in their order."""
    keys = _keys(weights, generator)
    return np.sort(np.argpartition(keys, count)[:count]) if count < len(keys) else np.arange(len(keys))


def _words(positions: np.ndarray, tokens: np.ndarray, continues: np.ndarray) -> np.ndarray:
    """The number of the word that each position belongs to, from 0; the first token of a row begins one."""
    begins = ~continues[tokens.flat[positions]]
    begins |= np.diff(positions, prepend=-2) > 1  # after a special token
    begins |= positions % tokens.shape[1] == 0
    if len(begins):
        begins[0] = True
    return np.cumsum(begins) - 1


def _draw_words(weights: np.ndarray, words: np.ndarray, budget: int, generator: np.random.Generator) -> np.ndarray:
    """Indices of all tokens of words that are drawn, by the mean weight of their tokens, until `budget` is reached."""
    sizes = np.bincount(words)
    order = np.argsort(_keys(np.bincount(words, weights) / sizes, generator))
    enough = np.searchsorted(np.cumsum(sizes[order]), budget) + 1
    drawn = np.zeros(len(sizes), bool)
    drawn[order[:enough]] = True
    return np.flatnonzero(drawn[words])


def _replaced(tokens: np.ndarray, generator: np.random.Generator, masking: MaskingConfig) -> np.ndarray:
    """What the model reads at masked tokens."""
    draws = generator.random(len(tokens))
    by_chance = masking.replacements[generator.integers(len(masking.replacements), size=len(tokens))]
    replaced = np.where(draws < masking.mask + masking.random, by_chance, tokens)
    return np.where(draws < masking.mask, masking.mask_id, replaced)


def next_tokens(input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
    """What a causal model predicts at each position: the token after it, -100 where there is none.

    Args:
        input_ids: int [B, S]. attention_mask: bool [B, S], False for padding, which stands at the end.

    Returns:
        labels: int32 [B, S].
    """
    labels = np.full(input_ids.shape, NOT_SCORED, np.int32)
    labels[:, :-1] = np.where(attention_mask[:, 1:], input_ids[:, 1:], NOT_SCORED)
    return labels
