import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from xtremedistil.losses import soft_label_kl
from xtremedistil.losses.temperature_schedules import TEMPERATURES, ConstantTemperature, Cwsm, Flsw
from xtremedistil.losses.weight_schedules import WEIGHTS
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.terms.terms import Terms
from xtremedistil.training.objectives import Objective, scheduled

SCHEDULES = [Flsw(beta=1.5, gamma=1.0), Flsw(beta=0.5, gamma=2.5), Cwsm(beta=0.8)]
VARYING = pytest.mark.parametrize("schedule", SCHEDULES, ids=str)


def logits(shape, seed=0):
    generator = np.random.default_rng(seed)
    return [2 * generator.normal(size=shape).astype("float32") for _ in ("teacher", "student")]


def formula(schedule, teacher, student, base):
    """Of [N, L], as TextBrewer has it."""
    if isinstance(schedule, Cwsm):
        shares = np.exp(student) / np.exp(student).sum(-1, keepdims=True)
        weights = 1 / (shares.max(-1) + 1e-3)
    else:
        norms = [np.linalg.norm(side, axis=-1) + 1e-4 for side in (teacher, student)]
        weights = (1 - (teacher * student).sum(-1) / norms[0] / norms[1]) ** schedule.gamma
    return base + schedule.beta * (weights.mean() - weights)


@VARYING
@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 4)])
def test_temperatures_are_their_formula(schedule, shape):
    teacher, student = logits(shape)
    expected = formula(schedule, *(side.reshape(-1, 4).astype("float64") for side in (teacher, student)), 4.0)
    found = schedule(teacher=teacher, student=student, temperature=4.0)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, expected.reshape(shape[:-1]), rtol=1e-5)


@VARYING
def test_temperatures_of_real_positions_are_the_formula_of_these_alone(schedule):
    teacher, student = logits((2, 3, 4))
    kept = np.array([[True, True, False], [True, False, False]])
    expected = formula(schedule, *(side[kept].astype("float64") for side in (teacher, student)), 4.0)
    teacher[~kept], student[~kept] = np.nan, np.inf
    found = schedule(teacher=teacher, student=student, temperature=4.0, mask=kept.astype("int32")).numpy()
    np.testing.assert_allclose(found[kept], expected, rtol=1e-5)
    assert (found > 0).all() and np.isfinite(found).all()


@VARYING
def test_mean_temperature_is_the_base(schedule):
    teacher, student = logits((50, 4))
    found = schedule(teacher=teacher, student=student, temperature=8.0)
    assert float(tf.reduce_mean(found)) == pytest.approx(8.0, rel=1e-5)


@VARYING
def test_temperatures_do_not_fall_below_the_least(schedule):
    teacher, student = logits((50, 4))
    steep = dataclasses.replace(schedule, beta=50.0)
    assert formula(steep, teacher, student, 1.0).min() < 0
    assert float(tf.reduce_min(steep(teacher=teacher, student=student, temperature=1.0))) == pytest.approx(0.01)
    higher = dataclasses.replace(steep, min_temperature=0.5)
    assert float(tf.reduce_min(higher(teacher=teacher, student=student, temperature=1.0))) == 0.5


@pytest.mark.parametrize("make", [lambda least: Flsw(1.0, 1.0, least), lambda least: Cwsm(1.0, least)])
def test_least_temperature_of_zero_is_refused(make):
    with pytest.raises(ValueError, match="min_temperature is 0"):
        make(0.0)


@VARYING
def test_no_gradient_flows_through_temperatures(schedule):
    teacher, student = (tf.constant(side) for side in logits((6, 4)))
    with tf.GradientTape() as tape:
        tape.watch(student)
        temperature = schedule(teacher=teacher, student=student, temperature=4.0)
        loss = soft_label_kl(teacher=teacher, student=student, temperature=temperature)
    with tf.GradientTape() as fixed:
        fixed.watch(student)
        same = soft_label_kl(teacher=teacher, student=student, temperature=temperature.numpy())
    np.testing.assert_array_equal(tape.gradient(loss, student), fixed.gradient(same, student))


@VARYING
def test_equal_and_zero_logits_have_finite_temperatures(schedule):
    for teacher in (np.ones((3, 4), "float32"), np.zeros((3, 4), "float32")):
        found = schedule(teacher=teacher, student=teacher, temperature=4.0)
        np.testing.assert_allclose(found, 4.0, rtol=1e-6)


@VARYING
def test_temperatures_in_a_graph_of_unknown_batch_are_the_same(schedule):
    teacher, student = logits((2, 3, 4))
    spec = tf.TensorSpec([None, None, 4])
    graph = tf.function(lambda t, s: schedule(teacher=t, student=s, temperature=4.0), input_signature=[spec, spec])
    expected = schedule(teacher=teacher, student=student, temperature=4.0)
    np.testing.assert_allclose(graph(teacher, student), expected, rtol=1e-6)


def test_flsw_is_lower_where_the_directions_differ():
    # Cosines 1 and -1: w = 0 and 2, their mean 1. 4 + (1 - 0) = 5 and 4 + (1 - 2) = 3.
    found = Flsw(beta=1.0, gamma=1.0)(teacher=[[3.0, 0.0]] * 2, student=[[5.0, 0.0], [-5.0, 0.0]], temperature=4.0)
    np.testing.assert_allclose(found, [5.0, 3.0], rtol=1e-4)


def test_cwsm_is_lower_where_the_student_is_unsure():
    # Largest probabilities 1 and 1/2: w = 1 / 1.001 and 1 / 0.501, 0.499 to either side of their mean.
    found = Cwsm(beta=1.0)(teacher=[[0.0, 0.0]] * 2, student=[[90.0, 0.0], [7.0, 7.0]], temperature=4.0)
    half = (1 / 0.501 - 1 / 1.001) / 2
    np.testing.assert_allclose(found, [4 + half, 4 - half], rtol=1e-5)


def test_constant_temperature_is_the_base():
    assert float(ConstantTemperature()(teacher=[[1.0, 2.0]], student=[[3.0, 4.0]], temperature=4)) == 4.0


def test_temperature_schedules_have_names():
    assert TEMPERATURES["flsw"](beta=1, gamma=2) == Flsw(1, 2)
    assert TEMPERATURES["cwsm"](beta=1) == Cwsm(1)
    assert TEMPERATURES["constant"]() == ConstantTemperature()


def weight_at(progress, *, weight: float, schedule="constant"):
    """Of a term of an objective, as far as training is."""
    ones = {"term": tf.constant(1.0)}
    objective = Objective(lambda *_: ones, lambda _: ones, {"term": weight}, scheduled({"term": schedule}))
    return objective({}, {}, progress)["term"].weight


@pytest.mark.parametrize(
    "schedule, expected",
    [
        ("constant", [5, 5, 5, 5, 5]),
        ("linear_growth", [0, 1.25, 2.5, 3.75, 5]),
        ("linear_decay", [5, 3.75, 2.5, 1.25, 0]),
        ("linear_growth:0.4", [2, 1.25, 2.5, 3.75, 5]),
        ("linear_decay:3", [15, 3.75, 2.5, 1.25, 0]),
    ],
)
def test_weights_are_the_base_times_the_schedule(schedule, expected):
    assert [weight_at(done / 4, weight=5.0, schedule=schedule) for done in range(5)] == pytest.approx(expected)


def test_weight_schedule_may_be_any_function_of_progress():
    assert weight_at(0.5, weight=3.0, schedule=lambda progress: progress**2) == pytest.approx(0.75)


def test_weight_without_a_schedule_is_the_base():
    assert weight_at(0.7, weight=3.0) == 3.0


@pytest.mark.parametrize("schedule", [*WEIGHTS, "linear_growth:0.4"])
def test_weights_in_a_graph_are_the_same(schedule):
    graph = tf.function(lambda progress: tf.constant(1.0) * weight_at(progress, weight=5.0, schedule=schedule))
    for progress in (0.0, 0.2):
        expected = weight_at(progress, weight=5.0, schedule=schedule)
        assert float(graph(tf.constant(progress))) == pytest.approx(expected)


def test_unknown_weight_schedule_is_refused_by_name():
    with pytest.raises(
        ValueError, match='no weight schedule "linear"; there are: constant, linear_growth, linear_decay'
    ):
        weight_at(0.0, weight=1.0, schedule="linear")


@pytest.mark.parametrize("schedule", ["linear_growth:", "linear_growth:much", "linear_decay:-1", "linear_decay:nan"])
def test_first_factor_that_is_none_is_refused(schedule):
    with pytest.raises(ValueError, match="is not written as NAME or NAME:FIRST"):
        weight_at(0.0, weight=1.0, schedule=schedule)


@pytest.mark.parametrize(
    "make",
    [
        lambda schedule: SoftLabels(weight=0.0, weight_schedule=schedule),
        lambda schedule: Match("hidden_states", 1, 1, weight=0.0, weight_schedule=schedule),
        lambda schedule: Terms(hard_label_weight=0.0, hard_label_weight_schedule=schedule),
    ],
)
def test_schedule_of_a_weight_of_zero_is_refused_not_dropped(make):
    assert make("constant")
    with pytest.raises(ValueError, match="is 0, and linear_growth multiplies it"):
        make("linear_growth")
