"""Metrics on label strings: dicts of floats from 0 to 1, with "primary" naming the one that selects a model.

seqeval finds the chunks; they are counted here, since its report warns about every type without predictions and takes
seconds where dev sets are scored after each epoch. The tests compare the numbers with its.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from xtremedistil.tag_schemes import OUTSIDE, PREFIXES, find_scheme, is_chunk_tag

Chunk = tuple[str, int, int]  # type, first word, last word
Tags = Sequence[str]


def _without_language(label: str) -> str:
    rest = label.partition(":")[2]
    return rest if not is_chunk_tag(label) and is_chunk_tag(rest) else label


def tagging_scores(
    gold: Sequence[Tags],
    predicted: Sequence[Tags],
    *,
    labels: Sequence[str] | None = None,
    languages: Sequence[str | None] | None = None,
) -> dict:
    """Scores of tagged sentences.

    Args:
        gold, predicted: tags of each sentence, one per word.
        labels: all labels of the task; decides whether they mark chunks. By default those that occur.
        languages: of each sentence, or None where unknown.

    Returns:
        For chunk labels: "precision", "recall", "f1" (micro, whole chunks within a sentence, counted as conlleval
        does: a chunk may begin with I-), "f1_strict_iob2" (a chunk begins with B-), "accuracy" (of words), "f1.<type>"
        for each type, "f1.language.<language>" for each language; primary "f1".
        For other labels: "accuracy" and "accuracy.language.<language>"; primary "accuracy".
        What has nothing to count is 0.0.

    Raises:
        ValueError: the numbers of sentences, or of words in one of them, differ.
    """
    _check_shapes(gold, predicted)
    known = labels if labels is not None else {tag for tags in (*gold, *predicted) for tag in tags}
    gold = [[_without_language(tag) for tag in tags] for tags in gold]
    predicted = [[_without_language(tag) for tag in tags] for tags in predicted]
    right_words, name, measure, scores = accuracy(gold, predicted), "accuracy", accuracy, {}
    if scheme := find_scheme(map(_without_language, known)):
        gold = [[scheme.read(tag) for tag in tags] for tags in gold]
        predicted = [[scheme.read(tag) for tag in tags] for tags in predicted]
        name, measure, scores = "f1", f1, _chunk_scores(gold, predicted, scheme.canonical.values())
    scores |= {"accuracy": right_words}
    return scores | _by_language(name, measure, gold, predicted, languages) | {"primary": name}


def _check_shapes(gold: Sequence[Tags], predicted: Sequence[Tags]) -> None:
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold sentences but {len(predicted)} predicted ones.")
    for number, (truths, guesses) in enumerate(zip(gold, predicted, strict=True)):
        if len(truths) != len(guesses):
            raise ValueError(f"sentence {number}: {len(truths)} gold tags but {len(guesses)} predicted ones.")


def _chunk_scores(gold: Sequence[Tags], predicted: Sequence[Tags], labels: Iterable[str]) -> dict[str, float]:
    truths, guesses = _collect(gold, chunks), _collect(predicted, chunks)
    precision, recall, overall = precision_recall_f1(truths, guesses)
    scores = {"precision": precision, "recall": recall, "f1": overall}
    scores["f1_strict_iob2"] = precision_recall_f1(_collect(gold, iob2_chunks), _collect(predicted, iob2_chunks))[2]
    types = {label[2:] for label in labels} - {""}
    return scores | {f"f1.{kind}": _type_f1(truths, guesses, kind) for kind in sorted(types)}


def _type_f1(truths: set, guesses: set, kind: str) -> float:
    of_type = [{chunk for chunk in found if chunk[1] == kind} for found in (truths, guesses)]
    return precision_recall_f1(*of_type)[2]


def _by_language(
    name: str, measure: Callable, gold: Sequence[Tags], predicted: Sequence[Tags], languages: Sequence | None
) -> dict[str, float]:
    scores = {}
    for language in sorted({language for language in languages or () if language is not None}):
        rows = [number for number, other in enumerate(languages) if other == language]
        scores[f"{name}.language.{language}"] = measure([gold[i] for i in rows], [predicted[i] for i in rows])
    return scores


def f1(gold: Sequence[Tags], predicted: Sequence[Tags]) -> float:
    """Micro F1 of chunks."""
    return precision_recall_f1(_collect(gold, chunks), _collect(predicted, chunks))[2]


def accuracy(gold: Sequence[Tags], predicted: Sequence[Tags]) -> float:
    """Share of words with the right tag; 0.0 without words."""
    pairs = [pair for tags in zip(gold, predicted, strict=True) for pair in zip(*tags, strict=True)]
    return _share(sum(truth == guess for truth, guess in pairs), len(pairs))


def precision_recall_f1(truths: set, guesses: set) -> tuple[float, float, float]:
    """Of two sets; 0.0 where there is nothing to count."""
    right = len(truths & guesses)
    precision, recall = _share(right, len(guesses)), _share(right, len(truths))
    return precision, recall, _share(2 * precision * recall, precision + recall)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _collect(sentences: Sequence[Tags], find: Callable[[Tags], Iterator[Chunk]]) -> set:
    return {(number, *chunk) for number, tags in enumerate(sentences) for chunk in find(tags)}


def chunks(tags: Tags) -> Iterator[Chunk]:
    """Chunks as conlleval and seqeval's default mode find them: any change of type begins a new one."""
    from seqeval.metrics.sequence_labeling import get_entities  # brings scikit-learn, which takes a second

    yield from get_entities([PREFIXES.get(tag[0], tag[0]) + tag[1:] for tag in tags])


def iob2_chunks(tags: Tags) -> Iterator[Chunk]:
    """Chunks that begin with B- and go on with I- of the same type; other I- tags count for nothing.

    seqeval's strict mode finds the same; it makes several objects of each tag, and dev sets are scored every epoch.
    """
    begun, kind = None, ""
    for position, tag in enumerate([*tags, OUTSIDE]):
        if begun is not None and tag != f"I-{kind}":
            yield kind, begun, position - 1
            begun = None
        if tag.startswith("B-"):
            begun, kind = position, tag[2:]


def classification_scores(gold: Tags, predicted: Tags, *, labels: Sequence[str]) -> dict:
    """Scores of classified texts.

    Args:
        gold, predicted: one label per text. labels: all classes, in the model's order.

    Returns:
        "accuracy" (primary), "f1_macro" (mean over classes that occur in gold or predictions) and, for two classes,
        "f1" (of the second class) and "matthews". What has nothing to count is 0.0.

    Raises:
        ValueError: the numbers of labels differ.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold labels but {len(predicted)} predicted ones.")
    counts = Counter(zip(gold, predicted, strict=True))
    occurring = [label for label in labels if any(label in pair for pair in counts)]
    by_class = {label: _class_f1(counts, label) for label in labels}
    scores = {
        "accuracy": _share(sum(count for (truth, guess), count in counts.items() if truth == guess), len(gold)),
        "f1_macro": _share(sum(by_class[label] for label in occurring), len(occurring)),
    }
    if len(labels) == 2:
        scores |= {"f1": by_class[labels[1]], "matthews": _matthews(counts, *labels)}
    return scores | {"primary": "accuracy"}


def _class_f1(counts: Counter, label: str) -> float:
    right = counts[label, label]
    wrong = sum(count for pair, count in counts.items() if label in pair) - right
    return _share(2 * right, 2 * right + wrong)


def _matthews(counts: Counter, negative: str, positive: str) -> float:
    true_positive, true_negative = counts[positive, positive], counts[negative, negative]
    false_positive, false_negative = counts[negative, positive], counts[positive, negative]
    product = (
        (true_positive + false_positive)
        * (true_positive + false_negative)
        * (true_negative + false_positive)
        * (true_negative + false_negative)
    )
    return _share(true_positive * true_negative - false_positive * false_negative, product**0.5)


CONTINUATION = "X"


def chunk_scores(gold: Sequence[str], predicted: Sequence[str]) -> tuple[float, float, float]:
    """Precision, recall and F1, in percent, of two flat lists of token tags (`X` for continuation tokens).

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


def token_scores(
    gold_rows: Sequence[Sequence[str]], predicted_rows: Sequence[Sequence[str]], special: Sequence[str]
) -> dict:
    """The original's scores as a metrics dict: "precision", "recall", "f1" from 0 to 1; primary "f1".

    See `scored_tags` for the arguments.
    """
    precision, recall, f1 = (value / 100 for value in chunk_scores(*scored_tags(gold_rows, predicted_rows, special)))
    return {"precision": precision, "recall": recall, "f1": f1, "primary": "f1"}
