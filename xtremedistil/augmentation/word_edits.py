"""Augments texts by masking, deleting, cropping or moving words.

The five methods are TextBrewer's (Yang et al., 2020, arXiv 2002.12620; its `data_utils`). They are for transfer sets,
which the teacher labels afterwards: gold labels of words would not move with the words.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

# The orders of `short_disorder`, as indices into a group of words.
SHORT_ORDERS = ((0,), (1, 0), (2, 1, 0), (2, 0, 1), (1, 2, 0))


def masking(
    words: Sequence[str], rng: np.random.Generator, *, probability: float = 0.1, mask: str = "[MASK]"
) -> list[str]:
    """Replaces each word by `mask`, independently, with `probability`.

    Args:
        words: [W].

    Returns:
        [W].
    """
    hits = _hits(rng, len(words), probability)
    return [mask if hit else word for word, hit in zip(words, hits, strict=True)]


def deleting(words: Sequence[str], rng: np.random.Generator, *, probability: float = 0.1) -> list[str]:
    """Deletes each word, independently, with `probability`.

    If no word would be left, a random one stays (TextBrewer's returns an empty list).

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
    """Returns a random span of consecutive words.

    Args:
        lengths: in words; one is drawn. If it is longer than the text, the whole text is returned.
        probabilities: of the lengths, adding up to 1; None: all equal.

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
    """Reorders groups of two or three words, from left to right; no word moves twice.

    Args:
        probabilities: that the next words a, b, c stay or become bac, cba, cab, bca; adding up to 1. If only two words
            are left, each of the last four swaps them.

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
    """Swaps the halves of windows of words; the next window starts after a swapped one, else one word further.

    Args:
        probability: that a window is swapped.
        length: of the window in words, rounded up to an even number; up to 1: as a fraction of the text. If it is
            longer than the text, nothing is swapped.

    Returns:
        [W]: the same words.
    """
    if length <= 0:
        raise ValueError(f"length is {length}; give a fraction of the text up to 1, or a number of words.")
    half = (int(length * len(words) if length <= 1 else length) + 1) // 2
    hits = _hits(rng, len(words), probability)
    moved: list[str] = []
    while half and (place := len(moved)) + 2 * half <= len(words):
        middle, end = place + half, place + 2 * half
        moved += [*words[middle:end], *words[place:middle]] if hits[place] else [words[place]]
    return moved + list(words[len(moved) :])


MASKED_LM = "masked_lm"  # the augmenter of `masked_lm_words`, which needs a model

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
    """Augments lines one by one.

    The copies of a line depend only on `seed`, its number and its words. More copies do not change the first ones.

    Args:
        lines: line numbers (0 or more) with the words of one text, or of both texts of a pair; in any order.
        augmenters: from `AUGMENTERS`, with options set by `functools.partial`; for each copy a random one of them
            augments each text alone.

    Yields:
        (line number, texts of each copy), in the order of `lines`.
    """
    for number, sides in lines:
        rng = np.random.default_rng([seed, number])
        yield number, [_copy(sides, augmenters, rng) for _ in range(copies)]


def _copy(sides: Sequence[Sequence[str]], augmenters: Sequence[Augmenter], rng: np.random.Generator) -> Sides:
    augment = augmenters[int(rng.integers(len(augmenters)))]
    return [augment(words, rng) for words in sides]


def _hits(rng: np.random.Generator, count: int, probability: float) -> np.ndarray:
    """Returns bool [count], each true with `probability`."""
    if not 0 <= probability <= 1:
        raise ValueError(f"probability is {probability}; expected 0 to 1.")
    return rng.random(count) < probability
