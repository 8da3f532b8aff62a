"""Rows that a `Distiller` reads, and those that it refuses."""

import numpy as np
import pytest

from tests.distillation.distiller.models import FIT, ONE_STEP, WORDS, of_problem, padded, pair, rows, tf
from xtremedistil.distillation.data.encoded_inputs import features_of
from xtremedistil.distillation.distiller.distiller import Distiller
from xtremedistil.terms.terms import Terms


def test_without_the_padding_or_with_it_rows_are_the_same():
    data = rows(6)
    bare, wide = features_of(data, by_position=False), features_of(padded(data), by_position=False)
    assert bare.fingerprint() == wide.fingerprint()


def test_rows_come_out_of_a_dataset_of_batches():
    data = rows(6)
    arrays = padded(data) | {"labels": np.arange(6) % 3}
    batches = tf.data.Dataset.from_tensor_slices(arrays).batch(4)
    pairs = batches.map(lambda batch: ({k: v for k, v in batch.items() if k != "labels"}, batch["labels"]))
    for dataset in (batches, pairs):
        found = features_of(dataset, by_position=False)
        assert found.labels.tolist() == [0, 1, 2, 0, 1, 2]
        assert found.fingerprint() == features_of(data, by_position=False).fingerprint()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"ids": [[1]]}, "input_ids are missing"),
        ([1, 2], "Rows are a list"),
        ({"input_ids": [[1, 2]], "labels": [[0]]}, "Row 0 has 2 input_ids and 1 labels"),
        ({"input_ids": [[1, 2]], "labels": [[0, 1], [1, 1]]}, "2 labels for 1 rows"),
        ({"input_ids": [[1, 2]], "label": [[0, 1]]}, "a column label; gold labels are read from labels"),
        ({"input_ids": [[1, 2]], "word_ids": [[0]]}, "Row 0 has 2 input_ids and 1 word_ids"),
    ],
)
def test_rows_that_do_not_fit(data, message):
    with pytest.raises(ValueError, match=message):
        features_of(data, by_position=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda dataset: dataset.batch(2).repeat(), "never ends"),
        (lambda dataset: dataset, "Add .batch"),
        (
            lambda dataset: dataset.batch(2).map(lambda row: (row, row["input_ids"], row["input_ids"])),
            "has weights after",
        ),
        (lambda dataset: dataset.batch(2).map(lambda row: row["input_ids"]), "holds a ndarray; a mapping"),
    ],
)
def test_datasets_that_give_no_batches_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        features_of(change(tf.data.Dataset.from_tensor_slices(padded(rows(4)))), by_position=False)


IDS = np.arange(24).reshape(4, 6)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"input_ids": IDS, "attention_mask": np.ones([4, 5])}, "Row 0 has 6 input_ids and 5 attention_mask"),
        ({"input_ids": IDS, "attention_mask": np.ones([3, 6])}, "There are 3 attention_mask for 4 rows"),
        ({"input_ids": IDS.reshape(4, 3, 2)}, "Row 0 of input_ids is int64 .3, 2., array"),
        ({"input_ids": IDS / 2}, "Row 0 of input_ids holds float64, such as 0.0; whole numbers are expected"),
        ({"input_ids": [1, 2]}, "Row 0 of input_ids is 1; a sequence of numbers is expected"),
        ({"input_ids": [[1], [2, [3]]]}, "Row 1 of input_ids is .2, .3..; a sequence of numbers"),
        ({"input_ids": [[1], None]}, "Row 1 of input_ids is None"),
        ({"input_ids": [["a"]]}, "Row 0 of input_ids is <U1"),
        ({"input_ids": [[1, None]]}, "Row 0 of input_ids is object"),
        ({"input_ids": [[True]]}, "Row 0 of input_ids holds bool"),
        ({"input_ids": [[1], [2**31]]}, "Row 1 of input_ids holds 2147483648, which is no int32"),
        ({"input_ids": "abc"}, "input_ids are 'abc'; one sequence per row"),
        ({"input_ids": 5}, "input_ids are 5; one sequence per row"),
        ({"input_ids": None}, "input_ids are missing"),
        ({"input_ids": [[1, 2]], "attention_mask": [[1, 2]]}, "Row 0 has 2 in its attention_mask"),
        ({"input_ids": [[1, 2]], "attention_mask": [[1, -1]]}, "Row 0 has -1 in its attention_mask"),
        ({"input_ids": [[1, 2]], "attention_mask": [[1, float("nan")]]}, "Row 0 has nan in its attention_mask"),
        ({"input_ids": [[1], [2]], "attention_mask": [[1], [0]]}, "Row 1 has an attention_mask of zeros"),
        ({"input_ids": [[1, 2]], "attention_mask": 1}, "attention_mask are 1"),
        ({"input_ids": [[1, 2]], "token_type_ids": [[0]]}, "Row 0 has 2 input_ids and 1 token_type_ids"),
        ({"input_ids": [[1, 2]], "token_type_ids": [[0, 0.5]]}, "Row 0 of token_type_ids holds float64"),
        ({"input_ids": [[1], [2]], "labels": [0]}, "There are 1 labels for 2 rows"),
        ({"input_ids": [[1], [2]], "labels": [0, [1]]}, "Each row needs one whole number .* row 1 has .1."),
        ({"input_ids": [[1], [2]], "labels": ["a", "b"]}, "Each row needs one whole number .* row 0 has 'a'"),
        ({"input_ids": [[1], [2]], "labels": [0, None]}, "Each row needs one whole number .* row 1 has None"),
        ({"input_ids": [[1], [2]], "labels": [0, float("nan")]}, "Each row needs one whole number .* row 1 has nan"),
        ({"input_ids": [[1], [2]], "labels": [0, 2.0**40]}, "Each row needs one whole number .* row 1 has 1"),
        ({"input_ids": [[1, 2]], "word_ids": [[0, -2]]}, "Row 0 has the word -2"),
        ({"input_ids": [[1, 2]], "word_ids": [[0, 0.5]]}, "Row 0 of word_ids holds float64"),
    ],
)
def test_columns_are_checked_against_each_other(columns, message):
    with pytest.raises(ValueError, match=message):
        features_of(columns, by_position=False)


@pytest.mark.parametrize(
    ("problem_type", "columns", "message"),
    [
        ("multi_label_classification", {"labels": [[0, 1], [1]]}, "the same number of numbers as labels; row 1"),
        ("multi_label_classification", {"labels": [[0, 1], [1, float("nan")]]}, "Row 1 has no finite score"),
        ("regression", {"labels": ["good", "bad"]}, "row 0 has 'good'"),
        ("question_answering", {"start_positions": [0, 0.5], "end_positions": [1, 1]}, "start_positions need"),
        ("question_answering", {"start_positions": [0], "end_positions": [1, 1]}, "There are 1 start_positions for 2"),
    ],
)
def test_labels_of_other_kinds_are_checked_row_by_row(problem_type, columns, message):
    with pytest.raises(ValueError, match=message):
        features_of({"input_ids": [[1, 2], [3]]} | columns, by_position=False, problem_type=problem_type)


def test_masks_of_other_types_and_ragged_batches_are_read():
    data = {"input_ids": [[1, 2, 3], [4, 5, 6]]}
    for mask in ([[True, True, False], [1, 1, 1]], np.array([[1.0, 1, 0], [1, 1, 1]])):
        assert features_of(data | {"attention_mask": mask}, by_position=False).lengths.tolist() == [2, 3]
    ragged = tf.data.Dataset.from_tensors({"input_ids": tf.ragged.constant([[1, 2], [3]])})
    assert features_of(ragged, by_position=False).lengths.tolist() == [2, 1]


@pytest.mark.parametrize("labels", [[2.5, 1.0], [[0, 1], [1, 1]]])
def test_labels_that_are_no_classes_are_refused(labels):
    with pytest.raises(ValueError, match="Each row needs one whole number"):
        features_of({"input_ids": [[1, 2], [3]], "labels": labels}, by_position=False)


@pytest.mark.parametrize(
    ("by_position", "labels", "message"),
    [
        (False, [-1, 0], "Row 0 has the label -1"),
        (True, [[0, 0], [-1]], "Row 1 has the label -1"),
        (True, [[0, 0.7], [1]], "Each token needs a whole number"),
    ],
)
def test_labels_that_are_none_are_refused(by_position, labels, message):
    with pytest.raises(ValueError, match=message):
        features_of({"input_ids": [[1, 2], [3]], "labels": labels}, by_position=by_position)


@pytest.mark.parametrize(
    ("problem_type", "columns", "message"),
    [
        ("multi_label_classification", {"labels": [[0, 2]]}, "reach from 0 to 2"),
        ("regression", {"labels": [float("nan")]}, "Row 0 has no finite score"),
        ("question_answering", {"start_positions": [0]}, "a span has start_positions and end_positions"),
        ("regression", {"labels": [1.0, 2.0]}, "2 labels for 1 rows"),
    ],
)
def test_labels_of_other_kinds_that_do_not_fit(problem_type, columns, message):
    with pytest.raises(ValueError, match=message):
        features_of({"input_ids": [[1, 2]]} | columns, by_position=False, problem_type=problem_type)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem_type", "labels", "message"),
    [
        ("multi_label_classification", [[0, 1]] * 4, r"shape \[4, 2\]; the student has 3"),
        (None, [0, 1, 2, 3], "labels reach 3; the student has 3 logits"),
    ],
)
def test_labels_that_the_student_has_no_logits_for(problem_type, labels, message):
    distiller = Distiller(of_problem(problem_type, 1), of_problem(problem_type, 2), Terms(hard_label_weight=1.0))
    with pytest.raises(ValueError, match=message):
        distiller.fit(rows(4, labels=labels), **ONE_STEP)


@pytest.mark.slow
def test_dev_rows_without_the_labels_of_a_term_are_refused():
    with pytest.raises(ValueError, match="hard_label_weight needs gold labels, and the dev rows have none"):
        Distiller(*pair(), Terms(hard_label_weight=1.0)).fit(rows(4, labels=[0] * 4), rows(4), **ONE_STEP)


@pytest.mark.slow
def test_unlabelled_rows_for_gold_labels_are_refused():
    teacher, student = pair()
    with pytest.raises(ValueError, match="hard_label_weight needs gold labels"):
        Distiller(teacher, student, Terms(hard_label_weight=1.0)).fit(rows(8), **FIT)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"input_ids": [[1] * 17]}, "Row 0 is 17 tokens long; the student has positions for 16"),
        ({"input_ids": [[1], [WORDS]]}, "Row 1 has the token id 40; the student has 40 tokens, counted from 0"),
        ({"input_ids": [[1], [2, -3]]}, "Row 1 has the token id -3; they count from 0"),
        ({"input_ids": [[1], [2, 3]], "token_type_ids": [[0], [1, 2]]}, "Row 1 has the token type 2; the student"),
        ({"input_ids": [[1], []]}, "Row 1 is empty"),
        ({"input_ids": []}, "There are no rows"),
    ],
)
def test_rows_that_a_model_cannot_read(untrained, data, message):
    with pytest.raises(ValueError, match=message):
        untrained.fit(data, **FIT)
