"""What a tokenizer does to single characters, tried on all of Unicode and kept as a small table.

Normalisers and splitters of word-token tokenizers look at one character at a time. So a table of what becomes of each
is all that a graph needs, and it says what the tokenizer's own tables say, whatever version of Unicode these are of.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

CODE_POINTS = 0x110000
SURROGATES = range(0xD800, 0xE000)
PAGE = 256
ITSELF = -1
CHARACTERS_PER_CALL = 50_000


@dataclass(frozen=True)
class CharacterTable:
    """Replacements of all code points. R distinct replacements, U distinct pages, V code points in all replacements.

    Fields:
        pages: int32 [CODE_POINTS / PAGE]: which line of `rows` a page of code points has.
        rows: int32 [U, PAGE]: the replacement of each code point of a page, 0 to R - 1.
        values: int32 [V]: code points of the replacements; ITSELF stands for the one that is replaced.
        splits: int64 [R + 1]: replacement r is `values[splits[r]:splits[r + 1]]`.
    """

    pages: np.ndarray
    rows: np.ndarray
    values: np.ndarray
    splits: np.ndarray


def character_table(normalize: Callable[[str], str], pre_tokenizer=None) -> CharacterTable:
    """The table of a normaliser and of the pre-tokenizer after it, whose borders between words become spaces.

    Args:
        normalize: what becomes of a text; asked about each character alone.
        pre_tokenizer: of the `tokenizers` package, one that looks at single characters only; None splits nothing.
    """
    normalized = ["" if code in SURROGATES else normalize(chr(code)) for code in range(CODE_POINTS)]
    spaced = {} if pre_tokenizer is None else dict(_spaced(sorted(set("".join(normalized))), pre_tokenizer))
    numbers = {(ITSELF,): 0}
    by_code = np.zeros(CODE_POINTS, np.int32)
    for code, text in enumerate(normalized):
        if text in spaced or text != chr(code):
            codes = [ord(character) for part in text for character in spaced.get(part, part)]
            key = tuple(ITSELF if other == code else other for other in codes)
            by_code[code] = numbers.setdefault(key, len(numbers))
    rows, pages = np.unique(by_code.reshape(-1, PAGE), axis=0, return_inverse=True)
    splits = np.cumsum([0, *map(len, numbers)])
    values = np.fromiter(chain.from_iterable(numbers), np.int32)
    return CharacterTable(pages.reshape(-1).astype(np.int32), rows, values, splits)


def _spaced(characters: list[str], pre_tokenizer) -> Iterator[tuple[str, str]]:
    """Characters that end a word, with the spaces that say so: " " for one that is left out, " , " for one alone."""
    for start in range(0, len(characters), CHARACTERS_PER_CALL):
        block = characters[start : start + CHARACTERS_PER_CALL]
        between_letters = f"a{'a'.join(block)}a"
        borders = [border for _, border in pre_tokenizer.pre_tokenize_str(between_letters)]
        kept = np.zeros(len(between_letters) + 1, np.int64)
        for first, last in borders:
            kept[first] += 1
            kept[last] -= 1
        kept = np.cumsum(kept)[1::2]
        alone = {first for first, last in borders if last - first == 1}
        for number, character in enumerate(block):
            if not kept[number]:
                yield character, " "
            elif 2 * number + 1 in alone:
                yield character, f" {character} "
