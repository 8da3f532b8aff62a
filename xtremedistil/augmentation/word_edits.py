"""More text out of a text: words masked, left out, cut to a span or moved.

The five are TextBrewer's (Yang et al., 2020, arXiv 2002.12620; its `data_utils`). They are for transfer sets, which a
teacher labels afterwards: labels of words would not follow the words.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

# The orders of `short_disorder`, as places in the group of words that it looks at.
SHORT_ORDERS = ((0,), (1, 0), (2, 1, 0), (2, 0, 1), (1, 2, 0))


def masking(
    words: Sequence[str], rng: np.random.Generator, *, probability: float = 0.1, mask: str = "[MASK]"
) -> list[str]:
    """Each word is `mask` with `probability`, on its own.

    Args:
        words: [W]; left as it is.

    Returns:
        [W].
    """
    hits = _hits(rng, len(words), probability)
    return [mask if hit else word for word, hit in zip(words, hits, strict=True)]


def deleting(words: Sequence[str], rng: np.random.Generator, *, probability: float = 0.1) -> list[str]:
    """Each word is left out with `probability`, on its own.

    Where none would be left, one of them stays, any with the same chance (TextBrewer's gives an empty list).

    Returns:
        [1 to W] in their order; empty only if `words` is.
    """
    hits = _hits(rng, len(words), probability)
    if len(words) and hits.all():
        hits[rng.integers(len(words))] = False
    return [word for word, hit in zip(words, hits, strict=True) if not hit]


def n_gram_sampling(
    words: Sequence[str],
    rng: np.random.Generator,
    *,
    lengths: Sequence[int] = (1, 2, 3, 4, 5),
    probabilities: Sequence[float] | None = None,
) -> list[str]:
    """One span of neighbouring words, anywhere with the same chance.

    Args:
        lengths: in words, one is drawn; one that is longer than the text gives the text.
        probabilities: of the lengths, sum 1; None: all alike.

    Returns:
        [length drawn], or [W] if that is less.
    """
    length = min(int(rng.choice(lengths, p=probabilities)), len(words))
    start = int(rng.integers(len(words) - length + 1))
    return list(words[start : start + length])


def short_disorder(
    words: Sequence[str],
    rng: np.random.Generator,
    *,
    probabilities: Sequence[float] = (0.9, 0.1, 0.0, 0.0, 0.0),
) -> list[str]:
    """Two or three neighbours change places, from left to right; none is moved twice.

    Args:
        probabilities: that words a, b, c from here on stay, become bac, cba, cab, bca; sum 1. With only two words left
            each of the last four swaps them.

    Returns:
        [W]: the same words.
    """
    kinds = rng.choice(len(SHORT_ORDERS), size=len(words), p=probabilities)
    moved: list[str] = []
    while (place := len(moved)) < len(words) - 1:
        order = SHORT_ORDERS[kinds[place]]
        if place + len(order) > len(words):
            order = (1, 0)
        moved += [words[place + step] for step in order]
    return moved + list(words[len(moved) :])


def long_disorder(
    words: Sequence[str], rng: np.random.Generator, *, probability: float = 0.1, length: float = 20
) -> list[str]:
    """The two halves of a window change places; the next window begins behind it, or one word on if these stayed.

    Args:
        probability: that the window which begins here is hit.
        length: of the window in words, rounded up to an even number; up to 1: as a share of the text. A window that is
            longer than the text leaves it alone.

    Returns:
        [W]: the same words.
    """
    if length <= 0:
        raise ValueError(f"length is {length}, but a window has words. Give a share up to 1, or a number of words.")
    half = (int(length * len(words) if length <= 1 else length) + 1) // 2
    hits = _hits(rng, len(words), probability)
    moved: list[str] = []
    while half and (place := len(moved)) + 2 * half <= len(words):
        middle, end = place + half, place + 2 * half
        moved += [*words[middle:end], *words[place:middle]] if hits[place] else [words[place]]
    return moved + list(words[len(moved) :])


MASKED_LM = "masked_lm"  # the augmenter that a model makes: `masked_lm_words`

AUGMENTERS = {
    "masking": masking,
    "deleting": deleting,
    "n_gram_sampling": n_gram_sampling,
    "short_disorder": short_disorder,
    "long_disorder": long_disorder,
}


Augmenter = Callable[[Sequence[str], np.random.Generator], list]
Sides = list[list[str]]


def augment_lines(
    lines: Iterable[tuple[int, Sequence[Sequence[str]]]],
    augmenters: Sequence[Augmenter],
    *,
    seed: int,
    copies: int = 1,
) -> Iterator[tuple[int, list[Sides]]]:
    """Augments lines one by one as they are asked for.

    What becomes of a line depends on `seed`, its number and its words alone: neither on its neighbours nor on where
    the reading began. With more copies, the first of them stay as they are.

    Args:
        lines: line numbers (0 or more) with the words of each side: one, or two of a pair of texts; in any order.
        augmenters: of `AUGMENTERS`, and `functools.partial` sets their options; for each copy one of them is drawn, any
            with the same chance, which augments each side for itself.

    Returns:
        (line number, sides of each copy), in the order of `lines`.
    """
    for number, sides in lines:
        rng = np.random.default_rng([seed, number])
        yield number, [_copy(sides, augmenters, rng) for _ in range(copies)]


def _copy(sides: Sequence[Sequence[str]], augmenters: Sequence[Augmenter], rng: np.random.Generator) -> Sides:
    augment = augmenters[int(rng.integers(len(augmenters)))]
    return [augment(words, rng) for words in sides]


def _hits(rng: np.random.Generator, count: int, probability: float) -> np.ndarray:
    """bool [count], each true with `probability`."""
    if not 0 <= probability <= 1:
        raise ValueError(f"probability is {probability}; expected 0 to 1.")
    return rng.random(count) < probability
