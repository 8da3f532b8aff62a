"""The chunk F1 of the original release, over the tags of word pieces: used under `--legacy`, and to compare with.

All sentences stand in one flat list, so a chunk may cross the end of a sentence. A continuation piece (`X`) goes on
with the chunk of the piece before it; at the very beginning of the list it looks at the list's last tag, as there.
Two things differ: `X` is matched exactly (the original took every tag with an X in it, so that B-TAX vanished), and a
type with a hyphen is kept whole. New work should use `evaluation`, which scores words within sentences.
"""

from collections.abc import Sequence

from xtremedistil.evaluation import OUTSIDE, chunks, is_chunk_tag, precision_recall_f1

CONTINUATION = "X"


def chunk_scores(gold: Sequence[str], predicted: Sequence[str]) -> tuple[float, float, float]:
    """Precision, recall and F1, in percent, of two flat lists of piece tags (`X` for continuation pieces).

    Raises:
        ValueError: the lists differ in length.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold tags but {len(predicted)} predicted ones.")
    truths, guesses = set(chunks(without_continuation(gold))), set(chunks(without_continuation(predicted)))
    precision, recall, f1 = precision_recall_f1(truths, guesses)
    return 100 * precision, 100 * recall, 100 * f1


def without_continuation(tags: Sequence[str]) -> list[str]:
    """`X` becomes `I-` with the type of the tag before it, or `O`."""
    resolved = list(tags)
    for position, tag in enumerate(resolved):
        if tag == CONTINUATION:
            before = resolved[position - 1]
            resolved[position] = OUTSIDE if before in (OUTSIDE, CONTINUATION) else f"I-{before.partition('-')[2]}"
    return resolved


def scored_tags(
    gold_rows: Sequence[Sequence[str]], predicted_rows: Sequence[Sequence[str]], special: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The flat lists that are scored.

    Args:
        gold_rows, predicted_rows: tags of every position of every row. special: names of the pad, end and start labels.

    Returns:
        gold and predicted tags without the positions whose gold tag is special. A special tag predicted elsewhere is
        `O`; a `lang:` before a tag is dropped.
    """
    gold, predicted = [], []
    for truths, guesses in zip(gold_rows, predicted_rows, strict=True):
        kept = [pair for pair in zip(truths, guesses, strict=True) if pair[0] not in special]
        gold += [_plain(truth) for truth, _ in kept]
        predicted += [OUTSIDE if guess in special else _plain(guess) for _, guess in kept]
    return gold, predicted


def _plain(tag: str) -> str:
    rest = tag.partition(":")[2]
    return rest if is_chunk_tag(rest) else tag


def piece_scores(
    gold_rows: Sequence[Sequence[str]], predicted_rows: Sequence[Sequence[str]], special: Sequence[str]
) -> dict:
    """The original's scores as a metrics dict: "precision", "recall", "f1" from 0 to 1; primary "f1".

    See `scored_tags` for the arguments.
    """
    precision, recall, f1 = (value / 100 for value in chunk_scores(*scored_tags(gold_rows, predicted_rows, special)))
    return {"precision": precision, "recall": recall, "f1": f1, "primary": "f1"}
