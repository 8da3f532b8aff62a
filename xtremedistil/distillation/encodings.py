"""Rows that a Hugging Face tokenizer has encoded, in whatever wrapping they come, as `Features`."""

from collections.abc import Mapping, Sequence

import numpy as np

from xtremedistil.tasks.features import NO_WORD, NOT_SCORED, Features

LIKE_LABELS = ("label", "label_ids")  # what data sets call them
KNOWN = ("input_ids", "attention_mask", "token_type_ids", "labels", "word_ids", *LIKE_LABELS)
INFINITE = -1  # cardinality of a tf.data.Dataset that never ends


def features_of(rows, *, by_position: bool) -> Features:
    """Rows as flat arrays; padding at their ends goes.

    Args:
        rows: what a tokenizer returns, or any mapping of "input_ids" and, by choice, "attention_mask",
            "token_type_ids", "labels" and "word_ids" (None or -1: of no word) to lists or arrays [N, ...]; a
            `datasets.Dataset`; a `tf.data.Dataset` of batches of such mappings, or of pairs (mapping, labels);
            `Features`, which come back as they are.
        by_position: whether logits and labels are of positions, not of rows. Positions labelled -100 are not scored.

    Raises:
        ValueError: it is something else, or its columns do not fit together.
    """
    return encoded_rows(rows, by_position=by_position)[0]


def encoded_rows(rows, *, by_position: bool) -> tuple[Features, np.ndarray | None]:
    """`features_of` the rows; and the word that each position is of, int32 [P], of none: -1. None: nothing says it."""
    if isinstance(rows, Features):
        return rows, rows.word_ids
    columns = _columns(rows)
    _require_names(columns)
    masks = columns.get("attention_mask")
    ids = [np.asarray(row).reshape(-1) for row in columns["input_ids"]]
    masks = [np.ones(len(row), np.int32) for row in ids] if masks is None else [np.asarray(row) for row in masks]
    lengths = [int(np.flatnonzero(mask)[-1]) + 1 if mask.any() else 1 for mask in masks]

    def cut(name: str):
        if columns.get(name) is None:
            return None
        _require_fit(name, columns[name], ids, by_row=name == "labels" and not by_position)
        return [np.asarray(row)[:length] for row, length in zip(columns[name], lengths, strict=True)]

    labels, words = columns.get("labels"), _words(columns, ids, lengths)
    features = Features.from_rows(
        [row[:length] for row, length in zip(ids, lengths, strict=True)],
        attention_mask=[mask[:length] for mask, length in zip(masks, lengths, strict=True)],
        token_type_ids=cut("token_type_ids"),
        labels=None if labels is None else cut("labels") if by_position else _of_rows(labels),
        word_ids=(words or _places(columns, lengths)) if by_position else None,
    )
    return features, words and np.concatenate([np.zeros(0, np.int32), *words]).astype(np.int32)


def _require_names(columns: Mapping) -> None:
    if "input_ids" not in columns:
        raise ValueError(f"The rows have {', '.join(columns) or 'no columns'}; input_ids are missing.")
    if "labels" not in columns and (near := [name for name in LIKE_LABELS if name in columns]):
        raise ValueError(
            f"The rows have a column {near[0]}; gold labels are read from labels. Rename it, or leave it out where the "
            "student shall not see it."
        )


def _of_rows(labels) -> np.ndarray:
    """One whole number a row, [N] or [N, 1]."""
    array = np.asarray(labels)
    if array.size != len(array) or not np.array_equal(array, array.astype(np.int32)):
        raise ValueError(
            f"Gold labels of rows are one whole number each; these are {array.dtype} {list(array.shape)}. Scores, and "
            "several labels at once, are learnt from the teacher alone: leave labels away."
        )
    return array.reshape(-1)


def _columns(rows) -> dict:
    """Known columns by name, each a sequence with an entry a row."""
    if hasattr(rows, "as_numpy_iterator"):
        return _of_batches(rows)
    if isinstance(rows, Mapping) or hasattr(rows, "keys"):  # a tokenizer's BatchEncoding is no Mapping
        found = {name: rows[name] for name in KNOWN if name in rows.keys()}
        return found | _words_of_tokenizer(rows)
    if hasattr(rows, "column_names"):
        return {name: rows[name] for name in KNOWN if name in rows.column_names}
    raise ValueError(
        f"Rows are a {type(rows).__name__}; a mapping with input_ids, a tf.data.Dataset or a datasets.Dataset is "
        "expected."
    )


def _of_batches(dataset) -> dict:
    if hasattr(dataset, "cardinality") and int(dataset.cardinality()) == INFINITE:
        raise ValueError(
            "The tf.data.Dataset never ends; rows are read once, and fit repeats them. Leave repeat() out."
        )
    columns: dict[str, list] = {}
    for batch in dataset.as_numpy_iterator():
        inputs, *rest = batch if isinstance(batch, tuple) else (batch,)
        _require_batch(inputs)
        for name, values in (inputs | ({"labels": rest[0]} if rest else {})).items():
            if name in KNOWN:
                columns.setdefault(name, []).extend(values)
    return columns


def _require_batch(inputs) -> None:
    if not isinstance(inputs, Mapping):
        raise ValueError(
            f"A batch of the tf.data.Dataset holds a {type(inputs).__name__}; a mapping with input_ids is expected."
        )
    if np.ndim(inputs.get("input_ids", [[]])) < 2:
        raise ValueError("The tf.data.Dataset gives single rows; batches are expected. Add .batch(32).")


def _words_of_tokenizer(rows) -> dict:
    """The word of each piece, from a fast tokenizer's result."""
    if "word_ids" in rows.keys() or not getattr(rows, "is_fast", False):
        return {}
    return {"word_ids": [rows.word_ids(number) for number in range(len(rows["input_ids"]))]}


def _require_fit(name: str, values: Sequence, ids: Sequence, *, by_row: bool) -> None:
    if len(values) != len(ids):
        raise ValueError(f"There are {len(values)} {name} for {len(ids)} rows.")
    for number, (value, row) in enumerate(zip(values, ids, strict=True)):
        if not by_row and np.size(value) != len(row):
            raise ValueError(
                f"Row {number} has {len(row)} input_ids and {np.size(value)} {name}; one each is expected."
            )


def _words(columns: dict, ids: Sequence, lengths: Sequence[int]) -> list | None:
    """The word of each position, as given."""
    if columns.get("word_ids") is None:
        return None
    _require_fit("word_ids", columns["word_ids"], ids, by_row=False)
    rows = [[NO_WORD if word is None else word for word in row] for row in columns["word_ids"]]
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def _places(columns: dict, lengths: Sequence[int]) -> list:
    """Where no words are given: each position answers for itself, where it is scored."""
    if columns.get("labels") is None:
        return [np.arange(length) for length in lengths]
    labels = [np.asarray(row)[:length] for row, length in zip(columns["labels"], lengths, strict=True)]
    return [np.where(row == NOT_SCORED, NO_WORD, np.arange(len(row))) for row in labels]
