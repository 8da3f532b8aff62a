import numpy as np
import pytest

from xtremedistil.losses import hidden_cosine, pkd


def test_hidden_cosine_of_45_degrees():
    assert float(hidden_cosine(teacher=[[1.0, 0.0]], student=[[3.0, 3.0]])) == pytest.approx(1 - 0.5**0.5)


def test_hidden_cosine_of_opposites_is_two_and_of_zero_is_one():
    assert float(hidden_cosine(teacher=[[1.0, 2.0]], student=[[-2.0, -4.0]])) == pytest.approx(2.0)
    assert float(hidden_cosine(teacher=[[1.0, 2.0]], student=[[0.0, 0.0]])) == 1.0


def test_hidden_cosine_does_not_see_lengths():
    teacher, student = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    stretched = student * np.float32([[[0.01]], [[3.0]], [[1000.0]]])
    assert float(hidden_cosine(teacher=teacher, student=stretched)) == pytest.approx(
        float(hidden_cosine(teacher=teacher, student=student)), rel=1e-5
    )


def test_pkd_of_a_right_angle_is_two():
    assert float(pkd(teacher=[[1.0, 0.0]], student=[[0.0, 2.0]])) == pytest.approx(2.0)


def test_pkd_reads_the_first_position_only():
    teacher, student = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    assert float(pkd(teacher=teacher, student=student)) == float(pkd(teacher=teacher[:, 0], student=student[:, 0]))
    mask = [[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0]]
    expected = float(pkd(teacher=teacher[[0, 2], 0], student=student[[0, 2], 0]))
    assert float(pkd(teacher=teacher, student=student, mask=mask)) == pytest.approx(expected)
    assert float(pkd(teacher=teacher, student=student, mask=[1, 0, 1])) == pytest.approx(expected)
