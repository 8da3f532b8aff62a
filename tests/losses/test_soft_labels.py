import numpy as np
import pytest
import tensorflow as tf

from xtremedistil.losses import (
    LOSSES,
    dist,
    logit_standardized_kl,
    logits_mse,
    soft_label_bce,
    soft_label_ce,
    soft_label_kl,
)

SOFT = [soft_label_ce, soft_label_kl, soft_label_bce, logit_standardized_kl]
TEMPERED = [*SOFT, logits_mse, dist]


def logits(*shape, seed=0):
    generator = np.random.default_rng(seed)
    return {side: 2 * generator.normal(size=shape).astype("float32") for side in ("teacher", "student")}


def gradient(loss, teacher, student, **options):
    student = tf.constant(student)
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = loss(teacher=teacher, student=student, **options)
    return tape.gradient(value, student).numpy()


def test_soft_label_ce_of_even_and_uneven_labels():
    # Teacher 1/2, 1/2; student 1/4, 3/4.
    found = soft_label_ce(teacher=[[0.0, 0.0]], student=[[0.0, np.log(3)]])
    assert float(found) == pytest.approx(-(np.log(1 / 4) + np.log(3 / 4)) / 2)


def test_soft_label_kl_is_cross_entropy_less_entropy():
    # ln 2 - H(0.881, 0.119) = 0.693 - 0.365.
    assert float(soft_label_kl(teacher=[[2.0, 0.0]], student=[[0.0, 0.0]])) == pytest.approx(0.328, abs=1e-3)


def test_soft_label_bce_takes_each_label_by_itself():
    # Teacher 1/2, student 3/4 for the first label; both sure of the second.
    found = soft_label_bce(teacher=[[0.0, 50.0]], student=[[np.log(3), 50.0]])
    assert float(found) == pytest.approx(-(np.log(3 / 4) + np.log(1 / 4)) / 2 / 2)


def test_gradient_of_kl_is_that_of_ce():
    for options in ({}, {"temperature": 4.0}, {"temperature": 4.0, "t_squared": False}, {"mask": [1, 0, 1]}):
        sides = logits(3, 5)
        np.testing.assert_allclose(
            gradient(soft_label_kl, **sides, **options), gradient(soft_label_ce, **sides, **options), atol=1e-7
        )


def test_gradient_of_kl_is_the_difference_of_probabilities():
    sides = logits(3, 5)
    expected = (tf.nn.softmax(sides["student"]) - tf.nn.softmax(sides["teacher"])) / 3
    np.testing.assert_allclose(gradient(soft_label_kl, **sides), expected, atol=1e-7)


@pytest.mark.parametrize("loss", SOFT)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0, 7.0])
def test_t_squared_multiplies_by_the_square_of_the_temperature(loss, temperature):
    sides = logits(2, 3, 4)
    plain = loss(**sides, temperature=temperature, t_squared=False)
    assert float(loss(**sides, temperature=temperature)) == float(np.float32(temperature**2) * plain)


@pytest.mark.parametrize("loss", SOFT)
def test_t_squared_holds_the_size_of_gradients(loss):
    sides = logits(4, 6)
    sizes = [np.abs(gradient(loss, **sides, temperature=float(t))).mean() for t in (20, 40)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


def test_logits_mse_shrinks_by_the_square_of_the_temperature():
    sides = logits(2, 3, 4)
    assert float(logits_mse(**sides, temperature=4.0)) == pytest.approx(float(logits_mse(**sides)) / 16)


@pytest.mark.parametrize("loss", [*SOFT, logits_mse])
def test_temperature_by_position_is_that_of_each(loss):
    sides, temperatures = logits(2, 3, 4), np.float32([[1, 2, 3], [4, 5, 6]])
    each = [
        float(loss(**{side: value[row, place][None] for side, value in sides.items()}, temperature=temperature))
        for (row, place), temperature in np.ndenumerate(temperatures)
    ]
    assert float(loss(**sides, temperature=temperatures)) == pytest.approx(np.mean(each), rel=1e-5)
    assert float(loss(**sides, temperature=tf.constant(temperatures))) == pytest.approx(np.mean(each), rel=1e-5)


@pytest.mark.parametrize("loss", [*SOFT, logits_mse])
def test_temperature_by_row_is_that_of_its_positions(loss):
    sides, by_row = logits(2, 3, 4), np.float32([2, 5])
    expected = float(loss(**sides, temperature=np.repeat(by_row[:, None], 3, axis=1)))
    assert float(loss(**sides, temperature=by_row)) == pytest.approx(expected)


@pytest.mark.parametrize("loss", [*SOFT, logits_mse])
def test_temperature_of_padding_changes_nothing(loss):
    sides, mask = logits(1, 3, 4), [[1, 1, 0]]
    expected = float(loss(**sides, mask=mask, temperature=np.float32([[2, 3, 1]])))
    for junk in (0.0, np.inf, np.nan):
        temperature = tf.constant([[2.0, 3.0, junk]])
        assert float(loss(**sides, mask=mask, temperature=temperature)) == pytest.approx(expected)
        assert np.isfinite(gradient(loss, **sides, mask=mask, temperature=temperature)).all()


@pytest.mark.parametrize("loss", TEMPERED)
@pytest.mark.parametrize("temperature", [0, -1.0])
def test_temperature_that_is_not_positive_is_refused(loss, temperature):
    with pytest.raises(ValueError, match="temperature of .* is .*; give number above 0"):
        loss(**logits(2, 3), temperature=temperature)


def test_regression_is_the_squared_error_of_one_output():
    assert float(logits_mse(teacher=[[2.5], [1.0]], student=[[3.0], [1.0]])) == pytest.approx(0.125)


def test_a_label_that_the_teacher_excludes_costs_nothing():
    teacher = [[0.0, 0.0, -np.inf]]
    assert float(soft_label_kl(teacher=teacher, student=[[1.0, 1.0, -90.0]])) == pytest.approx(0.0, abs=1e-6)
    assert np.isfinite(gradient(soft_label_kl, teacher, [[1.0, 1.0, 5.0]])).all()


def test_standardised_logits_may_have_any_scale():
    sides = logits(3, 5)
    expected = float(logit_standardized_kl(**sides))
    assert float(logit_standardized_kl(teacher=9 * sides["teacher"], student=0.3 * sides["student"])) == pytest.approx(
        expected, rel=1e-4
    )
    assert float(logit_standardized_kl(teacher=sides["teacher"], student=5 * sides["teacher"] + 2)) < 1e-6


def test_dist_of_a_surer_student_with_the_same_preferences_is_small():
    # Correlation does not see scale: of two labels it is 1 wherever both prefer the same one.
    teacher, student = [[1.0, 0.0], [0.0, 1.0]], [[9.0, 0.0], [0.0, 9.0]]
    assert float(dist(teacher=teacher, student=student)) == pytest.approx(0.0, abs=1e-6)
    assert float(dist(teacher=teacher, student=student[::-1])) == pytest.approx(4.0)  # 2 for each correlation of -1


def test_dist_of_one_row_has_no_correlation_over_rows():
    # 1 - 1 over the labels, 1 - 0 over the rows.
    assert float(dist(teacher=[[1.0, 2.0, 0.0]], student=[[1.0, 2.0, 0.0]])) == pytest.approx(1.0)


@pytest.mark.parametrize("labels", [2, 7, 100])
def test_gradient_of_dist_at_even_labels_is_not_that_of_rounding(labels):
    # What does not vary has no correlation; 1 / 7 less the mean of seven of them may be 1e-8 and not 0.
    teacher = logits(6, labels)["teacher"]
    assert np.abs(gradient(dist, teacher, np.zeros((6, labels), "float32"))).max() == 0.0


@pytest.mark.parametrize("name", ["soft_label_ce", "soft_label_kl", "soft_label_bce", "logits_mse", "dist"])
def test_losses_of_logits_hold_for_many_labels(name):
    sides = logits(2, 30000)
    value = float(LOSSES[name](**sides))
    assert np.isfinite(value) and np.isfinite(gradient(LOSSES[name], **sides)).all()
