import numpy as np
import pytest
import tensorflow as tf

from xtremedistil.losses import (
    attention_mse,
    attention_squared_distance,
    hidden_mse,
    label_bce,
    label_cross_entropy,
    label_mse,
    label_weights,
    logits_mse,
    span_cross_entropy,
    span_weights,
)

MSE = [hidden_mse, logits_mse]


@pytest.mark.parametrize("loss", MSE)
def test_mse_of_two_rows_is_the_mean_over_elements(loss):
    # (0 + 4 + 1 + 1) / 4
    assert float(loss(teacher=[[1.0, 2.0], [0.0, 0.0]], student=[[1.0, 4.0], [1.0, -1.0]])) == pytest.approx(1.5)


@pytest.mark.parametrize("loss", MSE)
def test_mse_of_equal_tensors_is_zero(loss):
    tensor = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    assert float(loss(teacher=tensor, student=tensor)) == 0.0


@pytest.mark.parametrize("loss", MSE)
def test_mse_leaves_out_masked_positions_whatever_they_hold(loss):
    teacher = [[[1.0, 1.0], [np.inf, np.nan]]]
    student = [[[3.0, 1.0], [7.0, 7.0]]]
    assert float(loss(teacher=teacher, student=student, mask=[[1, 0]])) == pytest.approx(2.0)  # (4 + 0) / 2


@pytest.mark.parametrize("loss", MSE)
def test_mse_over_nothing_is_zero(loss):
    assert float(loss(teacher=[[1.0]], student=[[2.0]], mask=[0])) == 0.0


def test_mse_of_float16_does_not_overflow():
    # 400 squared is 160,000: more than float16 holds.
    far = tf.constant([[400.0]], tf.float16)
    assert float(hidden_mse(teacher=far, student=tf.zeros_like(far))) == pytest.approx(160000.0)


def test_no_gradient_flows_into_the_teacher():
    teacher, student = tf.Variable([[1.0, 2.0]]), tf.Variable([[2.0, 2.0]])
    with tf.GradientTape() as tape:
        loss = hidden_mse(teacher=teacher, student=student)
    gradients = tape.gradient(loss, [teacher, student])
    assert gradients[0] is None
    np.testing.assert_allclose(gradients[1], [[1.0, 0.0]])  # 2 * (2 - 1) / 2


def test_attention_mse_counts_pairs_of_real_positions():
    teacher = np.zeros((1, 1, 2, 2), "float32")
    student = np.array([[[[1.0, 5.0], [5.0, 5.0]]]], "float32")
    assert float(attention_mse(teacher=teacher, student=student, mask=[[1, 0]])) == pytest.approx(1.0)
    assert float(attention_mse(teacher=teacher, student=student)) == pytest.approx((1 + 3 * 25) / 4)


def test_attention_mse_of_other_head_counts_compares_averages():
    teacher = np.stack([np.full((2, 2), 0.2), np.full((2, 2), 0.6)])[None].astype("float32")
    student = np.full((1, 1, 2, 2), 0.4, "float32")
    assert float(attention_mse(teacher=teacher, student=student)) == pytest.approx(0.0, abs=1e-12)


def test_attention_squared_distance_sums_over_keys_and_averages_over_queries():
    teacher = np.array([[[[1.0, 0.0], [0.5, 0.5]]]], "float32")
    student = np.array([[[[0.0, 1.0], [0.5, 0.5]]]], "float32")
    assert float(attention_squared_distance(teacher=teacher, student=student)) == pytest.approx(1.0)  # (2 + 0) / 2


def test_attention_squared_distance_leaves_out_masked_queries_and_keys():
    teacher = np.array([[[[1.0, np.nan], [np.inf, 0.5]]]], "float32")
    student = np.array([[[[0.5, 9.0], [9.0, 9.0]]]], "float32")
    value = attention_squared_distance(teacher=teacher, student=student, mask=[[1, 0]])
    assert float(value) == pytest.approx(0.25)


def test_label_cross_entropy_of_even_logits_is_ln_of_the_labels():
    assert float(label_cross_entropy(labels=[0], logits=[[1.0, 1.0]])) == pytest.approx(np.log(2))


def test_label_cross_entropy_leaves_out_positions_without_a_label():
    logits = [[[1.0, 1.0], [-50.0, 50.0]]]
    assert float(label_cross_entropy(labels=[[1, -100]], logits=logits)) == pytest.approx(np.log(2))


def test_label_cross_entropy_is_weighted_by_the_gold_label():
    # Label 0 found with probability 1/2, label 1 with 3/4: (1 * ln 2 + 3 * ln 4/3) / (1 + 3).
    logits = [[0.0, 0.0], [0.0, np.log(3)]]
    value = label_cross_entropy(labels=[0, 1], logits=logits, class_weights=[1.0, 3.0])
    assert float(value) == pytest.approx((np.log(2) + 3 * np.log(4 / 3)) / 4)


def test_label_cross_entropy_of_tokens_is_weighted_over_scored_positions_only():
    # As above, in one row, with a position between them that has no label.
    logits = [[[0.0, 0.0], [90.0, -90.0], [0.0, np.log(3)]]]
    value = label_cross_entropy(labels=[[0, -100, 1]], logits=logits, class_weights=[1.0, 3.0])
    assert float(value) == pytest.approx((np.log(2) + 3 * np.log(4 / 3)) / 4)


@pytest.mark.parametrize("shape", [(9,), (4, 5)])
def test_label_cross_entropy_is_its_formula_in_float64(shape):
    generator = np.random.default_rng(1)
    logits = (3 * generator.normal(size=(*shape, 4))).astype("float32")
    labels, weights = generator.integers(-1, 4, shape), np.array([0.5, 1.0, 0.0, 3.0])
    scored = [(row, label) for row, label in zip(logits.reshape(-1, 4), labels.reshape(-1), strict=True) if label >= 0]
    nats = [np.log(np.exp(row.astype("float64")).sum()) - float(row[label]) for row, label in scored]
    shares = [weights[label] for _, label in scored]
    plain, weighted = (label_cross_entropy(labels=labels, logits=logits, class_weights=w) for w in (None, weights))
    assert float(plain) == pytest.approx(np.mean(nats), rel=1e-5)
    assert float(weighted) == pytest.approx(np.average(nats, weights=shares), rel=1e-5)


def test_equal_class_weights_change_nothing():
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(4, 5, 3)).astype("float32"), generator.integers(-1, 3, (4, 5))
    plain = label_cross_entropy(labels=labels, logits=logits)
    assert float(label_cross_entropy(labels=labels, logits=logits, class_weights=[7.0] * 3)) == pytest.approx(
        float(plain)
    )


def test_label_weights_are_those_of_labels_and_0_without_one():
    assert label_weights([[1, -100], [0, 1]], [0.5, 2.0]).numpy().tolist() == [[2.0, 0.0], [0.5, 2.0]]
    assert label_weights([1, -100, 0]).numpy().tolist() == [1.0, 0.0, 1.0]


def test_label_cross_entropy_of_labels_that_weigh_nothing_is_zero():
    assert float(label_cross_entropy(labels=[0, -100], logits=[[1.0, 2.0]] * 2, class_weights=[0.0, 1.0])) == 0.0


def test_label_cross_entropy_has_no_gradient_where_there_is_no_label():
    logits = tf.constant([[[1.0, 1.0], [np.nan, np.inf]]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = label_cross_entropy(labels=[[1, -100]], logits=logits)
    assert float(loss) == pytest.approx(np.log(2))
    np.testing.assert_allclose(tape.gradient(loss, logits), [[[0.5, -0.5], [0.0, 0.0]]])


@pytest.mark.parametrize("loss", [hidden_mse, logits_mse, attention_mse, attention_squared_distance])
@pytest.mark.parametrize("junk", [np.inf, np.nan])
def test_gradients_are_those_of_real_positions_whatever_padding_holds(loss, junk):
    teacher, student = np.random.default_rng(0).normal(size=(2, 1, 1, 3, 3)).astype("float32")
    padded = np.array([[False, False, True]])
    if "attention" in loss.__name__:
        padding = padded[:, None, :, None] | padded[:, None, None, :]
    else:
        teacher, student, padding = teacher[:, 0], student[:, 0], padded[..., None]

    def gradient(teacher, student):
        student = tf.constant(student)
        with tf.GradientTape() as tape:
            tape.watch(student)
            value = loss(teacher=teacher, student=student, mask=~padded)
        return tape.gradient(value, student).numpy()

    expected = gradient(teacher, student)
    assert expected.any()
    found = gradient(*(np.where(padding, np.float32(junk), side) for side in (teacher, student)))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("loss", [hidden_mse, logits_mse])
def test_unequal_widths_are_refused(loss):
    with pytest.raises(ValueError, match="has shape .*Project the student"):
        loss(teacher=[[1.0, 2.0, 3.0]], student=[[1.0]])


def test_label_bce_is_a_mean_over_labels_and_rows_that_count():
    # (ln 2 + ln 4) / 2
    labels, logits = [[1.0, 0.0], [1.0, 1.0]], [[0.0, np.log(3)], [np.nan, 5.0]]
    assert float(label_bce(labels=labels, logits=logits, mask=[1, 0])) == pytest.approx(np.log(8) / 2)


def test_label_mse_is_a_mean_over_scores_and_rows_that_count():
    # (1 + 9) / 2
    assert float(label_mse(labels=[[1.0, 0.0], [0, 0]], logits=[[2.0, 3.0], [np.inf, 0]], mask=[1, 0])) == 5.0


def test_span_cross_entropy_is_over_real_positions_and_rows_that_hold_their_span():
    """Three even logits for the start, odds of 1 to 1 to 2 for the end; the other rows end in padding, or have none."""
    ends, mask = tf.constant([[0, 2], [0, 3], [-100, 1]]), tf.constant([[1, 1, 1, 0]] * 3)
    start = tf.tile(tf.constant([[[0.0], [0.0], [0.0], [9.0]]]), [3, 1, 1])
    end = tf.tile(tf.constant([[[0.0], [0.0], [np.log(2)], [9.0]]]), [3, 1, 1])
    assert span_weights(ends, mask).numpy().tolist() == [1.0, 0.0, 0.0]
    value = span_cross_entropy(ends=ends, start=start, end=end, mask=mask)
    assert float(value) == pytest.approx((np.log(3) + np.log(2)) / 2)
