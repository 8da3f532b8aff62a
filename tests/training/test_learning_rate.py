import pytest

from xtremedistil.training.learning_rate import LearningRate, planned_epochs


def test_rate_over_few_epochs_rises_then_falls_from_the_first_step():
    rate = LearningRate(peak=1.0, epochs=2, decay_epochs=10, warmup_ratio=0.25)
    # 2 epochs of 4 steps: warm-up 0.25 * 8 = 2 steps, then 6 steps of decay.
    values = [rate.at(step, 4, rate.latest_decay_start) for step in range(8)]
    assert values == pytest.approx([0.5, 1.0, 1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_rate_over_many_epochs_stays_level_until_the_last_decay_epochs():
    rate = LearningRate(peak=2.0, epochs=100, decay_epochs=10, warmup_ratio=0.0)
    assert rate.latest_decay_start == 90
    assert rate.at(899, 10, 90) == 2.0
    assert rate.at(950, 10, 90) == pytest.approx(1.0)


def test_rate_falls_earlier_when_the_decay_is_moved():
    rate = LearningRate(peak=1.0, epochs=100, decay_epochs=10, warmup_ratio=0.0)
    assert rate.at(250, 10, 20) == pytest.approx(0.5)
    assert rate.at(400, 10, 20) == 0.0


def test_last_epoch_may_be_shorter():
    rate = LearningRate(peak=1.0, epochs=2, decay_epochs=2, warmup_ratio=0.4, steps=5)
    # 2 epochs of 3 steps, the last of 2: warm-up 0.4 * 5 = 2 steps, then 3 of decay.
    assert rate.last_step(3, rate.latest_decay_start) == 5
    assert [rate.at(step, 3, 0) for step in range(6)] == pytest.approx([0.5, 1.0, 1.0, 2 / 3, 1 / 3, 0.0])
    assert LearningRate(peak=1.0, epochs=2).last_step(3, 0) == 6


def test_cosine_is_half_way_down_in_the_middle():
    assert LearningRate(1.0, 10, 10, 0.0, "cosine").at(50, 10, 0) == pytest.approx(0.5)


def test_constant_never_falls():
    assert LearningRate(3e-5, 5, 10, 0.0, "constant").at(49, 10, 0) == 3e-5


@pytest.mark.parametrize(
    ("steps", "steps_per_epoch", "planned"),
    [(None, None, (3, None)), (None, 7, (3, 7)), (20, None, (1, 20)), (20, 5, (4, 5))],
)
def test_steps_take_the_place_of_epochs(steps, steps_per_epoch, planned):
    assert planned_epochs(3, steps, steps_per_epoch) == planned


@pytest.mark.parametrize(
    ("steps", "steps_per_epoch", "message"),
    [(0, None, "steps is 0"), (5, -1, "steps_per_epoch is -1"), (9, 5, "Take 10")],
)
def test_steps_that_make_no_epochs(steps, steps_per_epoch, message):
    with pytest.raises(ValueError, match=message):
        planned_epochs(3, steps, steps_per_epoch)
