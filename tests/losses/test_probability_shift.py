import numpy as np
import pytest
import tensorflow as tf

from xtremedistil.losses.probability_shift import probability_shift


def test_first_choice_and_gold_label_exchange_their_logits():
    logits = [[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [0.0, 5.0, -1.0]]
    assert probability_shift(logits, [1, 0, 2]).numpy().tolist() == [[1, 3, 2], [3, 1, 2], [0, -1, 5]]


def test_positions_without_a_label_keep_their_logits():
    logits = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    logits[1, 2] = np.nan
    labels = np.array([[0, -100, 3], [2, -1, -100]])
    found = probability_shift(logits, labels).numpy()
    np.testing.assert_array_equal(found[labels < 0], logits[labels < 0])
    assert (found.argmax(-1)[labels >= 0] == labels[labels >= 0]).all()
    np.testing.assert_array_equal(np.sort(found), np.sort(logits))


def test_shifted_logits_are_those_of_a_loop():
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(size=(20, 5)).astype("float32"), generator.integers(0, 5, 20)
    expected = logits.copy()
    for row, label in enumerate(labels):
        first = logits[row].argmax()
        expected[row, [first, label]] = logits[row, [label, first]]
    np.testing.assert_array_equal(probability_shift(logits, labels), expected)


@pytest.mark.parametrize("kind", [tf.constant, tf.Variable, np.array])
def test_the_teachers_logits_are_left_as_they_are(kind):
    logits = kind(np.array([[3.0, 1.0]], "float16"))
    found = probability_shift(logits, [1])
    assert found.dtype == tf.float16 and found.numpy().tolist() == [[1.0, 3.0]]
    assert np.asarray(logits).tolist() == [[3.0, 1.0]]


def test_shifting_twice_restores_what_was():
    logits = np.random.default_rng(2).normal(size=(4, 3)).astype("float32")
    first = logits.argmax(-1)
    np.testing.assert_array_equal(probability_shift(probability_shift(logits, [0, 1, 2, 0]), first), logits)


def test_shift_in_a_graph_of_unknown_batch_and_length_is_the_same():
    signature = [tf.TensorSpec([None, None, 3]), tf.TensorSpec([None, None], tf.int32)]
    logits, labels = np.random.default_rng(3).normal(size=(2, 4, 3)).astype("float32"), [[0, 1, 2, -100]] * 2
    graph = tf.function(probability_shift, input_signature=signature)
    np.testing.assert_array_equal(graph(logits, labels), probability_shift(logits, labels))
