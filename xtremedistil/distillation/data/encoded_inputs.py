"""Converts sequences that a Hugging Face tokenizer encoded (dict, `datasets`, `tf.data`) to `Features`."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from xtremedistil.arguments import shown
from xtremedistil.data.features import NO_WORD, NOT_SCORED, Features
from xtremedistil.distillation.data.row_columns import (
    are_whole,
    array_of,
    listed_rows,
    masks_of,
    number_rows,
    require_fit,
    whole_rows,
)
from xtremedistil.tasks.problem_types import CLASSES, SCORES, SEVERAL_LABELS, SPAN

LIKE_LABELS = ("label", "label_ids")  # other names of the column "labels"
SPAN_ENDS = ("start_positions", "end_positions")
KNOWN = ("input_ids", "attention_mask", "token_type_ids", "labels", "word_ids", *SPAN_ENDS, *LIKE_LABELS)
NEXT_TEXT = 1 << 20  # number of the first word of a pair's second text
INFINITE, UNKNOWN = -1, -2  # special cardinalities of a tf.data.Dataset


def features_of(rows, *, by_position: bool, problem_type: str = CLASSES) -> Features:
    """Converts rows to flat arrays and drops padding at their ends.

    Args:
        rows: a tokenizer's result, or any mapping from "input_ids" and optionally "attention_mask", "token_type_ids",
            "labels" and "word_ids" (None or -1: part of no word) to lists or arrays [N, ...]; a `datasets.Dataset`; a
            `tf.data.Dataset` of batches of such mappings, or of pairs (mapping, labels); `Features`, returned as they
            are.
        by_position: whether each token has logits and a label, not each row. Tokens labelled -100 are not scored.
        problem_type: of the model. Labels of "multi_label_classification" are 0 or 1 [N, L], those of "regression"
            numbers [N] or [N, L]; "question_answering" has "start_positions" and "end_positions" [N].

    Raises:
        ValueError: rows are of another type, or their columns do not fit together.
    """
    return encoded_rows(rows, by_position=by_position, problem_type=problem_type)[0]


def encoded_rows(
    rows, *, by_position: bool, problem_type: str = CLASSES, most: int | None = None
) -> tuple[Features, np.ndarray | None]:
    """Returns `features_of` the rows, and the word of each token, int32 [P] (-1: no word); None without word_ids.

    Args:
        most: maximum number of rows to read of a `tf.data.Dataset` of infinite or unknown size.
    """
    if isinstance(rows, Features):
        return rows, rows.word_ids
    columns = _columns(rows, most)
    _require_names(columns)
    ids = whole_rows("input_ids", columns["input_ids"])
    masks = masks_of(columns.get("attention_mask"), ids)
    lengths = [int(np.flatnonzero(mask)[-1]) + 1 if mask.any() else len(mask) for mask in masks]
    tagged, words = by_position and problem_type != SPAN, _words(columns, ids, lengths)
    types, tags = columns.get("token_type_ids"), _tags(columns, ids) if tagged else None
    features = Features.from_rows(
        _cut(ids, lengths),
        attention_mask=_cut(masks, lengths),
        token_type_ids=None if types is None else _cut(whole_rows("token_type_ids", types, ids), lengths),
        labels=None if tags is None else _cut(tags, lengths),
        word_ids=(words or _places(tags, lengths)) if tagged else None,
    )
    if not tagged:
        features = dataclasses.replace(features, labels=_labels_of_rows(columns, problem_type))
    return features, words and np.concatenate([np.zeros(0, np.int32), *words]).astype(np.int32)


def _cut(rows: Sequence[np.ndarray], lengths: Sequence[int]) -> list[np.ndarray]:
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def _require_names(columns: Mapping) -> None:
    if columns.get("input_ids") is None:
        raise ValueError(f"The rows have {', '.join(columns) or 'no columns'}; input_ids are missing.")
    if "labels" not in columns and (near := [name for name in LIKE_LABELS if name in columns]):
        raise ValueError(
            f"The rows have a column {near[0]}; gold labels are read from labels. Rename the column, or drop it if the "
            "student must not train on it."
        )


def _labels_of_rows(columns: Mapping, problem_type: str) -> np.ndarray | None:
    """Returns labels of rows: int32 [N] for classes, [N, 2] for spans; float32 [N, L] for all else."""
    if problem_type == SPAN:
        return _span_ends(columns)
    labels = columns.get("labels")
    if labels is None:
        return None
    require_fit("labels", listed_rows("labels", labels), columns["input_ids"], by_row=True)
    return _numbers(labels, problem_type) if problem_type in (SEVERAL_LABELS, SCORES) else _classes(labels)


def _classes(labels) -> np.ndarray:
    """Returns int32 [N]; `labels` are whole numbers [N] or [N, 1]."""
    array = number_rows(labels, "Each row needs one whole number as its gold label")
    if array.size != len(array) or not are_whole(array):
        wrong = next((number for number, row in enumerate(array) if np.size(row) != 1 or not are_whole(row)), 0)
        raise ValueError(
            f"Each row needs one whole number as its gold label; row {wrong} has {array[wrong]}. If they are scores, "
            f'or several labels per row, set the student\'s config.problem_type to "{SCORES}" or "{SEVERAL_LABELS}".'
        )
    _require_classes(array.reshape(-1, 1))
    return array.reshape(-1).astype(np.int32)


def _tags(columns: Mapping, ids: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """Returns labels of tokens; raises ValueError if they are no classes."""
    if columns.get("labels") is None:
        return None
    rows = [array_of("labels", number, row) for number, row in enumerate(listed_rows("labels", columns["labels"]))]
    require_fit("labels", rows, ids, by_row=False)
    for number, row in enumerate(rows):
        if not are_whole(row):
            wrong = next(value for value in row if not are_whole(np.asarray(value)))
            raise ValueError(f"Each token needs a whole number as its gold label; row {number} has {wrong}.")
    _require_classes(rows)
    return [row.astype(np.int32) for row in rows]


def _require_classes(rows: Sequence[np.ndarray]) -> None:
    """Raises ValueError for labels below 0 other than -100."""
    for number, row in enumerate(rows):
        if (wrong := row[(row < 0) & (row != NOT_SCORED)]).size:
            raise ValueError(
                f"Row {number} has the label {wrong[0]}. Labels count from 0; {NOT_SCORED} means that there is none. "
                "If your data has -1 in place of all labels, drop the column."
            )


def _numbers(labels, problem_type: str) -> np.ndarray:
    """Returns float32 [N, L]; `labels` are [N] or [N, L]."""
    array = number_rows(labels, "Each row needs the same number of numbers as labels").astype(np.float32)
    array = array.reshape(len(array), -1) if array.size else array.reshape(len(array), 1)
    if not np.isfinite(array).all():
        raise ValueError(f"Row {int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])} has no finite score as label.")
    if problem_type == SEVERAL_LABELS and not ((array >= 0) & (array <= 1)).all():
        raise ValueError(
            f"Labels of {SEVERAL_LABELS} are 0 or 1 for each label of a row; these reach from {array.min():g} to "
            f"{array.max():g}. Give [N, L], 1 where a label holds."
        )
    return array


def _span_ends(columns: Mapping) -> np.ndarray | None:
    given = [name for name in SPAN_ENDS if columns.get(name) is not None]
    if len(given) == 1:
        raise ValueError(f"The rows have {given[0]} alone; a span has {' and '.join(SPAN_ENDS)}.")
    ends = []
    for name in given:
        array = number_rows(columns[name], f"{name} need one whole number per row")
        require_fit(name, array, columns["input_ids"], by_row=True)
        if array.size != len(array) or not are_whole(array):
            raise ValueError(f"{name} need one whole number per row; these are {array.dtype}, {shown(array.tolist())}.")
        ends.append(array.reshape(-1).astype(np.int32))
    return np.stack(ends, axis=1) if ends else None


def _columns(rows, most: int | None) -> dict:
    """Returns the known columns by name, each a sequence with one entry per row."""
    if hasattr(rows, "as_numpy_iterator"):
        return _of_batches(rows, most)
    if isinstance(rows, Mapping) or hasattr(rows, "keys"):  # a tokenizer's BatchEncoding is no Mapping
        found = {name: rows[name] for name in KNOWN if name in rows.keys()}
        return found | _words_of_tokenizer(rows)
    if hasattr(rows, "column_names"):
        return {name: rows[name] for name in KNOWN if name in rows.column_names}
    raise ValueError(
        f"Rows are a {type(rows).__name__}; a mapping with input_ids, a tf.data.Dataset or a datasets.Dataset is "
        "expected."
    )


def _of_batches(dataset, most: int | None) -> dict:
    size = int(dataset.cardinality()) if hasattr(dataset, "cardinality") else UNKNOWN
    if size == INFINITE and most is None:
        raise ValueError(
            "The tf.data.Dataset never ends, but rows are read once; fit repeats them. Leave repeat() out, or take(n) "
            "batches. Only training data of Distiller.fit with steps= may be infinite."
        )
    wanted = most if size < 0 else None
    columns: dict[str, list] = {}
    for batch in dataset.as_numpy_iterator():
        inputs, *rest = batch if isinstance(batch, tuple) and batch else (batch,)
        _require_batch(inputs)
        if len(rest) > 1:
            raise ValueError(
                "A batch of the tf.data.Dataset has weights after its labels; no loss uses them. Drop them."
            )
        for name, values in (dict(inputs) | dict(_gold(*rest))).items():
            if name in KNOWN:
                columns.setdefault(name, []).extend(_of_batch(name, values))
        if wanted is not None and len(columns.get("input_ids", ())) >= wanted:
            break
    return {name: values[:wanted] for name, values in columns.items()}


def _gold(given=None) -> Mapping:
    """Returns the labels of a pair (inputs, labels) by column name."""
    if given is None or isinstance(given, Mapping):
        return given or {}
    return {"labels": given}


def _require_batch(inputs) -> None:
    if not isinstance(inputs, Mapping):
        raise ValueError(
            f"A batch of the tf.data.Dataset holds a {type(inputs).__name__}; a mapping with input_ids is expected."
        )
    ids = np.asarray(inputs.get("input_ids", [[]]))
    if ids.ndim < 2 and not (ids.ndim == 1 and ids.dtype == object):  # that is a ragged tensor
        raise ValueError("The tf.data.Dataset gives single rows; batches are expected. Add .batch(32).")


def _of_batch(name: str, values) -> Sequence:
    """Returns a column of a batch, one entry per row."""
    if np.ndim(values) < 1:
        raise ValueError(f"A batch of the tf.data.Dataset has {shown(values)} as its {name}; one per row is expected.")
    return values


def _words_of_tokenizer(rows) -> dict:
    """Returns the column "word_ids" of a fast tokenizer's result."""
    if "word_ids" in rows.keys() or not getattr(rows, "is_fast", False):
        return {}
    return {"word_ids": [_counted_on(rows, number) for number in range(len(rows["input_ids"]))]}


def _counted_on(rows, number: int) -> list[int | None]:
    """Returns the word of each token of a row; the second text's words count on from `NEXT_TEXT`."""
    pairs = zip(rows.word_ids(number), rows.sequence_ids(number), strict=True)
    return [None if word is None else word + NEXT_TEXT * text for word, text in pairs]


def _words(columns: dict, ids: Sequence, lengths: Sequence[int]) -> list | None:
    """Returns the given word_ids of each row, -1 for None."""
    if columns.get("word_ids") is None:
        return None
    given = [listed_rows(f"word_ids of row {number}", row) for number, row in enumerate(columns["word_ids"])]
    rows = whole_rows("word_ids", [[NO_WORD if word is None else word for word in row] for row in given], ids)
    for number, row in enumerate(rows):
        if row.size and row.min() < NO_WORD:
            raise ValueError(f"Row {number} has the word {row.min()}; words count from 0, {NO_WORD} means none.")
    return _cut(rows, lengths)


def _places(tags: Sequence[np.ndarray] | None, lengths: Sequence[int]) -> list:
    """Without word_ids, each scored token is a word of its own."""
    if tags is None:
        return [np.arange(length) for length in lengths]
    return [np.where(row == NOT_SCORED, NO_WORD, np.arange(len(row))) for row in _cut(tags, lengths)]
