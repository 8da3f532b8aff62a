"""`augment`: appends augmented copies of its lines to the transfer set.

Lines are streamed: one block of lines and its copies is in memory at a time.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain, islice

from xtremedistil.augmentation.masked_lm_words import Predict, fill, hide, shown
from xtremedistil.augmentation.word_edits import AUGMENTERS, MASKED_LM, Augmenter, augment_lines
from xtremedistil.console.progress import Progress
from xtremedistil.distillation.planning.plan import TransferPlan
from xtremedistil.errors import InputError
from xtremedistil.storage.declared import Object, Whole
from xtremedistil.storage.files import write_json
from xtremedistil.storage.json_files import read_json
from xtremedistil.storage.model_folder import fingerprint_checkpoint
from xtremedistil.tasks import Task
from xtremedistil.tokenization.tokenizer import Tokenizer

LINES_AT_A_TIME = 100  # a masked language model fills in these together
SUMMARY = "augmented.json"
SAVED = Object({"lines": Whole(most=10**15), "left_out": Whole(most=10**15)}, required=("lines", "left_out"))


@dataclass
class Augmented:
    """Number of augmented lines, and of copies that were left out because they are empty or not new."""

    lines: int = 0
    left_out: int = 0

    def __str__(self) -> str:
        return f"{self.lines:,} lines, {self.left_out:,} left out (empty, or nothing new)"

    def save(self, folder: str) -> None:
        write_json(os.path.join(folder, SUMMARY), asdict(self))


def open_augmented(folder: str) -> Augmented | None:
    """Reads what `save` wrote into a folder; None if nothing was augmented.

    Raises:
        InputError: the file is damaged.
    """
    path = os.path.join(folder, SUMMARY)
    if not os.path.isfile(path):
        return None
    saved = read_json(path, SAVED, f"Remove the folder {folder} and give the same command again: it is written anew.")
    return Augmented(saved["lines"], saved["left_out"])


OpenModel = Callable[[str], Predict | None]


def open_masked_lm(checkpoint: str) -> Predict:
    """Loads the model of `augment_checkpoint`; only this imports TensorFlow."""
    from xtremedistil.augmentation.masked_lm import open_masked_lm

    return open_masked_lm(checkpoint)


def no_model(checkpoint: str) -> None:
    """Replaces `open_masked_lm` where lines are only counted: masked words stay masked; their copies count as new."""


def augmentation_settings(transfer: TransferPlan) -> dict:
    """Returns what determines the augmented lines besides transfer file and seed; empty without augmentation."""
    if not transfer.augment:
        return {}
    settings = {"augment": " ".join(transfer.augment), "augment_copies": transfer.augment_copies}
    if MASKED_LM not in transfer.augment:
        return settings
    return settings | {"augment_checkpoint": fingerprint_checkpoint(transfer.augment_checkpoint)}


def augmented_examples(
    transfer: TransferPlan, task: Task, tokenizer: Tokenizer, open_model: OpenModel, counts: Augmented
) -> Iterator:
    """Yields `augment_copies` augmented copies of each example of the transfer file, in its order.

    They depend only on the seed, the line's number (from 1, blank lines not counted) and its words.

    Args:
        open_model: called if `masked_lm` is among the augmenters.
        counts: updated as examples are yielded.

    Raises:
        InputError: the file, or the masked language model, cannot be used.
    """
    augmenters = [_augmenter(name, tokenizer) for name in transfer.augment]
    predict = open_model(transfer.augment_checkpoint) if MASKED_LM in transfer.augment else None
    done = _progress(transfer, task) if predict else lambda number: None
    blocks = _blocks(_numbered_sides(transfer, task))
    draw = partial(augment_lines, augmenters=augmenters, seed=transfer.augment_seed, copies=transfer.augment_copies)
    made = chain.from_iterable(_augmented_block(block, draw, predict, done) for block in blocks)
    return map(task.from_texts, chain.from_iterable(_new(sides, copies, counts) for sides, copies in made))


def _augmented_block(block: list, draw: Callable, predict: Predict | None, done: Callable[[int], None]) -> list[tuple]:
    """Returns (texts, copies) for each line of a block."""
    lines, copies = [sides for _, sides in block], [copies for _, copies in draw(block)]
    if predict:
        copies = _filled(lines, copies, predict)
    done(block[-1][0])
    return list(zip(lines, copies, strict=True))


def _augmenter(name: str, tokenizer: Tokenizer) -> Augmenter:
    if name == MASKED_LM:
        return hide
    if name != "masking":
        return AUGMENTERS[name]
    if tokenizer.mask_token is None:
        raise InputError(f"`augment` masking: the tokenizer {tokenizer.name} has no mask token. Take other augmenters.")
    return partial(AUGMENTERS[name], mask=tokenizer.mask_token)


def _numbered_sides(transfer: TransferPlan, task: Task) -> Iterator[tuple[int, list[list[str]]]]:
    return enumerate(map(task.texts_of, task.iter_unlabelled(transfer.file)), start=1)


def _progress(transfer: TransferPlan, task: Task) -> Callable[[int], None]:
    """Returns a function that reports how many lines are done: with a masked language model this may take hours."""
    total = sum(1 for _ in task.iter_unlabelled(transfer.file))
    report = Progress().count("lines augmented by the masked language model")
    return lambda number: report(number, total)


def _blocks(lines: Iterable) -> Iterator[list]:
    iterator = iter(lines)
    while block := list(islice(iterator, LINES_AT_A_TIME)):
        yield block


def _filled(lines: list[list], copies: list[list], predict: Predict) -> list[list]:
    """Replaces masked words by predicted ones in the copies of all lines; [copies][texts] for each line."""
    texts = [
        (words, [copy[side] for copy in line])
        for sides, line in zip(lines, copies, strict=True)
        for side, words in enumerate(sides)
    ]
    found = iter(fill(texts, predict))
    return [list(zip(*islice(found, len(sides)), strict=True)) for sides in lines]


def _new(sides: list[list[str]], copies: list, counts: Augmented) -> Iterator[list[list[str]]]:
    """Yields a line's copies, but those with an emptied text and those that equal the line or an earlier copy."""
    seen = {_key(sides)}
    for copy in copies:
        emptied = any(_blank(words) and not _blank(before) for words, before in zip(copy, sides, strict=True))
        if emptied or _key(copy) in seen:
            counts.left_out += 1
            continue
        seen.add(_key(copy))
        counts.lines += 1
        yield [shown(words) for words in copy]


def _key(sides) -> tuple:
    return tuple(map(tuple, sides))


def _blank(words) -> bool:
    return not "".join(shown(words)).strip()
