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
        ({"input_ids": [[1], [WORDS]]}, "the token id 40; the student has 40 tokens, counted from 0"),
        ({"input_ids": [[1], []]}, "Row 1 is empty"),
        ({"input_ids": []}, "There are no rows"),
    ],
)
def test_rows_that_a_model_cannot_read(untrained, data, message):
    with pytest.raises(ValueError, match=message):
        untrained.fit(data, **FIT)
