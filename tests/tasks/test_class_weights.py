import dataclasses

import numpy as np
import pytest

from xtremedistil.data.features import Features
from xtremedistil.errors import InputError
from xtremedistil.tasks.class_weights import class_weights, parse_class_weight

LABELS = ["O", "B-PER", "B-LOC"]


def rows() -> Features:
    """Six words of O, two of B-PER, none of B-LOC; two positions without a label."""
    labels = [[0, 0, 0, 1, -100], [0, 0, 0, 1, -100]]
    return Features.from_rows([[5] * 5] * 2, labels=labels, word_ids=[[0, 1, 2, 3, -1]] * 2)


def test_parse_reads_labels_and_weights():
    assert parse_class_weight("O=0.5, B-PER=2") == {"O": 0.5, "B-PER": 2.0}
    assert parse_class_weight("a=b=3") == {"a=b": 3.0}
    assert parse_class_weight("none") == parse_class_weight("balanced") == {}


@pytest.mark.parametrize(
    "text, words",
    [
        ("balance", "'balance' is not label=weight. Did you mean balanced?"),
        ("", "'' is not label=weight"),
        ("O=0.5,B-PER", "'B-PER' is not label=weight"),
        ("O=0.5,,B-PER=1", "'' is not label=weight"),
        ("=2", "'=2' is not label=weight"),
        ("O=much", "'much' is no weight of 'O'"),
        ("O=-1", "'-1' is no weight of 'O'. Give a number, at least 0"),
        ("O=nan", "'nan' is no weight"),
        ("O=inf", "'inf' is no weight"),
        ("O=1e60", "'1e60' is no weight"),
        ("O=1,O=2", "'O' has two weights"),
    ],
)
def test_parse_refuses_what_is_no_list_of_weights(text, words):
    with pytest.raises(InputError, match="`class_weight`") as error:
        parse_class_weight(text)
    assert words in str(error.value)


def test_none_is_no_weights():
    assert class_weights("none", LABELS, rows()) is None


def test_balanced_weighs_by_count_over_scored_labels():
    # N / (L * count): 8 scored words, 2 labels that occur: 8 / (2 * 6) and 8 / (2 * 2).
    weights = class_weights("balanced", LABELS, rows())
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [2 / 3, 2.0, 0.0], rtol=1e-6)


def test_weights_of_rows_that_may_have_several_labels_are_refused():
    train = dataclasses.replace(Features.from_rows([[5], [6]]), labels=np.array([[1, 0], [1, 1]], np.float32))
    assert class_weights("none", ["a", "b"], train) is None
    for text in ("balanced", "a=2"):
        with pytest.raises(InputError, match=f"`class_weight` {text} weighs .* may have several. Leave it away"):
            class_weights(text, ["a", "b"], train)


def test_balanced_of_texts_counts_rows():
    train = Features.from_rows([[5], [6], [7], [8]], labels=[1, 1, 1, 0])
    np.testing.assert_allclose(class_weights("balanced", ["a", "b"], train), [2.0, 2 / 3], rtol=1e-6)


def test_list_gives_labels_that_it_does_not_name_a_weight_of_1():
    assert class_weights("B-LOC=3,O=0.25", LABELS, rows()).tolist() == [0.25, 1.0, 3.0]


def test_list_with_an_unknown_label_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="the label 'B-PRE' is not among the task's. Did you mean 'B-PER'?"):
        class_weights("O=0.5,B-PRE=2", LABELS, rows())


def test_list_that_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(InputError, match="leaves nothing to train on"):
        class_weights("O=0,B-PER=0", LABELS, rows())
