import numpy as np
import pytest
import tensorflow as tf

from tests.losses.formulas import softmax
from xtremedistil.losses import LOSSES, attention_ce, attention_ce_mean, attention_mse, attention_mse_sum

NAMES = ["attention_mse", "attention_mse_sum", "attention_ce", "attention_ce_mean"]


def scores(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_attention_ce_of_even_and_uneven_attention():
    # Teacher 1/2, 1/2; student 1/4, 3/4: -(ln 1/4 + ln 3/4) / 2.
    teacher, student = np.zeros((1, 1, 2, 2), "float32"), np.broadcast_to(np.float32([0, np.log(3)]), (1, 1, 2, 2))
    expected = -(np.log(1 / 4) + np.log(3 / 4)) / 2
    assert float(attention_ce(teacher=teacher, student=student)) == pytest.approx(expected)
    of_probabilities = attention_ce(
        teacher=teacher + 0.5, student=np.broadcast_to(np.float32([1 / 4, 3 / 4]), (1, 1, 2, 2)), from_logits=False
    )
    assert float(of_probabilities) == pytest.approx(expected)


@pytest.mark.parametrize("loss", [attention_ce, attention_ce_mean])
def test_attention_ce_of_scores_and_of_their_probabilities_is_the_same(loss):
    teacher, student = scores(2, 1, 4, 4), scores(2, 1, 4, 4, seed=1)
    expected = float(loss(teacher=teacher, student=student))
    found = loss(teacher=softmax(teacher), student=softmax(student), from_logits=False)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_attention_ce_of_a_student_probability_of_zero_is_finite():
    teacher, student = np.float32([[[[0.5, 0.5]]]]), tf.constant([[[[1.0, 0.0]]]])
    with tf.GradientTape() as tape:
        tape.watch(student)
        loss = attention_ce(teacher=teacher, student=student, from_logits=False)
    assert float(loss) == pytest.approx(-0.5 * np.log(1e-12), rel=1e-5)
    assert np.isfinite(tape.gradient(loss, student)).all()


@pytest.mark.parametrize("compat", [False, True])
def test_attention_ce_of_scores_that_were_masked_already_is_that_of_the_rest(compat):
    mask = np.array([[1, 1, 1, 0]])
    teacher, student = scores(1, 2, 4, 4), scores(1, 2, 4, 4, seed=1)
    expected = float(attention_ce(teacher=teacher[:, :, :3, :3], student=student[:, :, :3, :3]))
    added = np.float32([0, 0, 0, -10000])
    found = attention_ce(teacher=teacher + added, student=student + added, mask=mask, compat=compat)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_attention_ce_allows_minus_infinity_for_what_both_do_not_see():
    causal = np.where(np.tri(4) > 0, 0, -np.inf).astype("float32")
    teacher, student = scores(1, 2, 4, 4) + causal, tf.constant(scores(1, 2, 4, 4, seed=1) + causal)
    with tf.GradientTape() as tape:
        tape.watch(student)
        loss = attention_ce(teacher=teacher, student=student)
    assert float(loss) == pytest.approx(
        float(attention_ce(teacher=softmax(teacher), student=softmax(student.numpy()), from_logits=False)), rel=1e-5
    )
    assert np.isfinite(tape.gradient(loss, student)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mask", [None, np.array([[1, 1, 1], [1, 0, 0]])])
def test_maps_of_other_head_counts_are_averaged(name, mask):
    teacher, student = scores(2, 4, 3, 3), scores(2, 2, 3, 3, seed=1)
    found = LOSSES[name](teacher=teacher, student=student, mask=mask)
    averages = {"teacher": teacher.mean(1, keepdims=True), "student": student.mean(1, keepdims=True)}
    assert float(found) == pytest.approx(float(LOSSES[name](**averages, mask=mask)), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_maps_without_heads_are_those_of_one_head(name):
    teacher, student, mask = scores(2, 3, 3), scores(2, 3, 3, seed=1), [[1, 1, 1], [1, 1, 0]]
    expected = float(LOSSES[name](teacher=teacher[:, None], student=student[:, None], mask=mask))
    assert float(LOSSES[name](teacher=teacher, student=student, mask=mask)) == expected


def test_attention_mse_sum_adds_heads_first():
    # Sums 3 and 1 in every place: (3 - 1)^2.
    teacher, student = np.ones((1, 3, 2, 2), "float32"), np.full((1, 3, 2, 2), 1 / 3, "float32")
    assert float(attention_mse_sum(teacher=teacher, student=student)) == pytest.approx(4.0)


def test_compat_clamps_negative_scores_where_there_is_no_mask():
    teacher = -1 - np.abs(scores(2, 1, 3, 3))
    everything = np.ones((2, 3))
    for loss in (attention_mse, attention_mse_sum):
        assert float(loss(teacher=teacher, student=7 * teacher, compat=True)) == 0.0
        assert float(loss(teacher=teacher, student=7 * teacher, mask=everything, compat=True)) > 1.0
        assert float(loss(teacher=teacher, student=7 * teacher)) > 1.0
    assert float(attention_ce(teacher=teacher, student=7 * teacher, compat=True)) == 0.0


@pytest.mark.parametrize("loss", [attention_ce, attention_ce_mean])
def test_compat_of_probabilities_is_refused(loss):
    with pytest.raises(ValueError, match="compat is for scores"):
        loss(teacher=scores(1, 1, 2, 2), student=scores(1, 1, 2, 2), from_logits=False, compat=True)


def test_attention_mse_of_probabilities_has_nothing_to_clamp():
    teacher, student = (softmax(scores(2, 3, 4, 4, seed=seed)) for seed in (0, 1))
    plain = float(attention_mse(teacher=teacher, student=student, from_logits=False))
    assert float(attention_mse(teacher=teacher, student=student, from_logits=False, compat=True)) == plain
    assert float(attention_mse(teacher=teacher, student=student, compat=True)) == plain
