"""The quick start's task: named entities in generated sentences, the same bytes for the same seed on every Python.

What makes it a task for distillation rather than a list to learn by heart:

- **Unseen names.** Of each list of names, `train.tsv` draws from 40 %; `dev.tsv` and the unlabelled text from 80 %,
  `test.tsv` from all: a fifth of what it draws was seen nowhere. Sentence patterns are held out in the same way.
- **Ambiguous names.** Washington is a person, a town and a team; Ford a person and a company; Chelsea a given name, a
  district and a club. Only the context decides. Companies, streets and colleges carry names of people and places.
- **Noise.** Lower-cased sentences, typing errors, dropped articles everywhere; a few wrong labels in `train.tsv` only.

The names are of the real world, so a pre-trained teacher knows more about them than 400 sentences tell.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from xtremedistil.quickstart.sample_facts import CLAUSES, ENDINGS, ENTITIES, LISTS, OPENINGS

LABELS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
TYPES = ("PER", "ORG", "LOC")


# Of ten neighbouring entries of a list, how many a file may use: (names, sentence patterns).
REACH = {"train": (4, 6), "dev": (8, 8), "unlabeled": (8, 8), "test": (10, 10)}
OPENING_SHARE, ENDING_SHARE, FULL_STOP_SHARE = 0.3, 0.35, 0.85
LOWER_CASE_SHARE, TYPO_SHARE, NO_ARTICLES_SHARE = 0.08, 0.10, 0.15
WRONG_LABEL_SHARE = 0.03
Sentence = tuple[list[str], list[str]]


class Entity(NamedTuple):
    """A token of a sentence: its words and its type, `None` for words that are no name."""

    words: list[str]
    type: str | None


class Dice:
    """Random draws made of `random.random()` only, whose sequence Python guarantees for a seed; `choice` is not."""

    def __init__(self, seed: int, name: str):
        # Seeding by text is guaranteed too, and gives each file its own sequence, whatever the sizes of the others.
        self._random = random.Random(f"{seed} {name}").random

    def below(self, bound: int) -> int:
        return int(self._random() * bound)

    def pick(self, items: Sequence):
        return items[self.below(len(items))]

    def chance(self, share: float) -> bool:
        return self._random() < share


class SentenceMaker:
    """Draws sentences for one file out of the part of the lists that this file may use."""

    def __init__(self, seed: int, file: str):
        names, patterns = REACH[file]
        self.dice = Dice(seed, file)
        self.wrong_labels = WRONG_LABEL_SHARE if file == "train" else 0.0
        self.lists = {name: within_reach(entries, names) for name, entries in LISTS.items()}
        self.openings, self.clauses, self.endings = (
            within_reach(entries, patterns) for entries in (OPENINGS, CLAUSES, ENDINGS)
        )

    def sentence(self) -> Sentence:
        """One sentence: words and tags of equal number."""
        pieces = [piece for pattern in self._patterns() for piece in self._fill(pattern)]
        if self.dice.chance(FULL_STOP_SHARE):
            pieces.append(Entity(["."], None))
        words, tags = tag(self._with_label_noise(pieces))
        return self._with_text_noise([words[0][:1].upper() + words[0][1:], *words[1:]], tags)

    def _patterns(self) -> Iterator[str]:
        if self.dice.chance(OPENING_SHARE):
            yield self.dice.pick(self.openings)
        yield self.dice.pick(self.clauses)
        if self.dice.chance(ENDING_SHARE):
            yield self.dice.pick(self.endings)

    def _fill(self, pattern: str) -> Iterator[Entity]:
        for word in pattern.split():
            slot = word[1:-1] if word.startswith("{") else None
            if slot in ENTITIES:
                kind, forms = ENTITIES[slot]
                yield Entity(self._words(self.dice.pick(forms)), kind)
            else:
                yield Entity(self._words(word), None)

    def _words(self, form: str) -> list[str]:
        """The words of a form such as `{last} Street`, its lists drawn from."""
        words = []
        for word in form.split():
            words += self.dice.pick(self.lists[word[1:-1]]).split() if word.startswith("{") else [word]
        return words

    def _with_label_noise(self, pieces: list[Entity]) -> list[Entity]:
        """Some names with a wrong type or none, as hurried annotators leave them."""
        noisy = []
        for piece in pieces:
            wrong = piece.type is not None and self.dice.chance(self.wrong_labels)
            noisy.append(piece._replace(type=self.dice.pick((None, *TYPES))) if wrong else piece)
        return noisy

    def _with_text_noise(self, words: list[str], tags: list[str]) -> Sentence:
        if self.dice.chance(NO_ARTICLES_SHARE):
            words, tags = without_articles(words, tags)
        if self.dice.chance(TYPO_SHARE):
            position = self.dice.below(len(words))
            words = [*words[:position], self._misspelt(words[position]), *words[position + 1 :]]
        if self.dice.chance(LOWER_CASE_SHARE):
            words = [word.lower() for word in words]
        return words, tags

    def _misspelt(self, word: str) -> str:
        """`word` with two inner letters swapped or one lost; short words stay."""
        if len(word) < 5:
            return word
        at = 1 + self.dice.below(len(word) - 3)
        swapped = word[at + 1] + word[at] if self.dice.chance(0.5) else word[at]
        return word[:at] + swapped + word[at + 2 :]


def within_reach(entries: Sequence[str], reach: int) -> list[str]:
    """Of every ten entries the first `reach`: a file of smaller reach sees a part of what one of larger reach sees."""
    return [entry for index, entry in enumerate(entries) if index % 10 < reach]


def tag(pieces: Sequence[Entity]) -> Sentence:
    """The words of all tokens, and their tags."""
    words, tags = [], []
    for piece in pieces:
        words += piece.words
        if piece.type is None:
            tags += ["O"] * len(piece.words)
        else:
            tags += [f"B-{piece.type}"] + [f"I-{piece.type}"] * (len(piece.words) - 1)
    return words, tags


def without_articles(words: list[str], tags: list[str]) -> Sentence:
    """Drops articles outside names; a sentence keeps at least its other words."""
    kept = [
        (word, label)
        for word, label in zip(words, tags, strict=True)
        if label != "O" or word.lower() not in ("the", "a", "an")
    ]
    return [word for word, _ in kept], [label for _, label in kept]


def generate(file: str, count: int, *, seed: int, taken: set[str]) -> list[Sentence]:
    """`count` sentences for `file`, none of them in `taken`, to which they are added."""
    maker, sentences = SentenceMaker(seed, file), []
    while len(sentences) < count:
        words, tags = maker.sentence()
        text = " ".join(words).lower()
        if text not in taken:
            taken.add(text)
            sentences.append((words, tags))
    return sentences


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode("utf-8"))


def write_sample_task(
    folder: str | Path, *, seed: int = 7, train: int = 400, dev: int = 200, test: int = 400, unlabeled: int = 4000
) -> Path:
    """Writes train.tsv, dev.tsv, test.tsv, labels.tsv and unlabeled.txt; returns the folder.

    Args:
        folder: made if it is not there; files of these names are replaced.
        seed: another seed, another task of the same kind.
        train, dev, test, unlabeled: sentences in each file. No sentence is in two of them.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    # Test first: its sentences do not depend on the sizes of the other files.
    for file, count in (("test", test), ("dev", dev), ("train", train)):
        rows = generate(file, count, seed=seed, taken=taken)
        _write(folder / f"{file}.tsv", [f"{' '.join(words)}\t{' '.join(tags)}" for words, tags in rows])
    rows = generate("unlabeled", unlabeled, seed=seed, taken=taken)
    _write(folder / "unlabeled.txt", [" ".join(words) for words, _ in rows])
    _write(folder / "labels.tsv", LABELS)
    return folder
