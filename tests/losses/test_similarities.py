import numpy as np
import pytest
import tensorflow as tf

from xtremedistil.losses import cckd, pkt, rkd, spkd

LOSSES = [rkd, spkd, pkt, cckd]


def rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def rotated(values, seed=5):
    width = values.shape[-1]
    return values @ np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0].astype("float32")


@pytest.mark.parametrize("loss", LOSSES)
def test_rotated_rows_are_the_same(loss):
    teacher, student = rows(5, 6), rows(5, 4, seed=1)
    expected = float(loss(teacher=teacher, student=student))
    assert float(loss(teacher=rotated(teacher), student=rotated(student))) == pytest.approx(expected, rel=1e-4)
    assert float(loss(teacher=teacher, student=rotated(teacher))) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("loss", [rkd, spkd, pkt])
def test_rows_of_another_scale_are_the_same(loss):
    teacher, student = rows(5, 6), rows(5, 4, seed=1)
    expected = float(loss(teacher=teacher, student=student))
    assert float(loss(teacher=teacher, student=100 * student)) == pytest.approx(expected, rel=1e-5)


def test_pkt_of_opposite_rows_is_finite():
    """Their cosine may round below -1."""
    for seed in range(50):
        row = rows(1, 768, seed=seed)
        student = tf.constant(np.concatenate([row, -row]))
        with tf.GradientTape() as tape:
            tape.watch(student)
            loss = pkt(teacher=rows(2, 8), student=student)
        assert np.isfinite(loss) and np.isfinite(tape.gradient(loss, student)).all()


def test_rkd_of_moved_rows_is_the_same():
    teacher, student = rows(5, 6), rows(5, 4, seed=1)
    expected = float(rkd(teacher=teacher, student=student))
    assert float(rkd(teacher=teacher + 3, student=student - 2)) == pytest.approx(expected, rel=1e-4)


def test_rkd_leaves_equal_rows_out_of_the_mean_distance():
    # Teacher at 0, 0, 3: the distances that are not 0 are all 3, so relative ones are 0 and 1. Student at 0, 1, 3:
    # distances 1, 2, 3, mean 2, relative 0.5, 1, 1.5; differences 0.5, 0, 0.5, each twice among 9 pairs.
    found = rkd(teacher=[[0.0], [0.0], [3.0]], student=[[0.0], [1.0], [3.0]], angle_weight=0.0)
    assert float(found) == pytest.approx(2 * (0.5 * 0.5**2 * 2) / 9)


def test_rkd_of_three_rows_on_a_line():
    # Teacher at 0, 1, 2: distances 1, 1, 2, mean 4/3; student at 0, 1, 3: 1, 2, 3, mean 2.
    # Relative: 0.75, 0.75, 1.5 against 0.5, 1, 1.5; each twice among 9 pairs. The angles are the same.
    teacher, student = [[0.0], [1.0], [2.0]], [[0.0], [1.0], [3.0]]
    assert float(rkd(teacher=teacher, student=student)) == pytest.approx(2 * (0.5 * 0.25**2 * 2) / 9)
    # Student with the middle elsewhere, at 0, 2, 1: of 27 triples, those at rows 1 and 2 change from -1 and 1.
    found = rkd(teacher=teacher, student=[[0.0], [2.0], [1.0]], distance_weight=0.0, angle_weight=1.0)
    assert float(found) == pytest.approx(4 * 1.5 / 27)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_equal_rows_are_finite(loss):
    teacher, student = rows(4, 6), tf.constant(np.repeat(rows(2, 4), 2, axis=0))
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = loss(teacher=teacher, student=student)
    assert np.abs(tape.gradient(value, student)).max() < 10


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_of_positions_are_means_over_real_positions(loss):
    teacher, student = rows(3, 4, 6), rows(3, 4, 5, seed=1)
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0]])
    pooled = [
        np.stack([row[kept > 0].mean(0) for row, kept in zip(side, mask, strict=True)]) for side in (teacher, student)
    ]
    expected = float(loss(teacher=pooled[0], student=pooled[1]))
    assert float(loss(teacher=teacher, student=student, mask=mask)) == pytest.approx(expected, rel=1e-5)


def test_spkd_of_two_rows():
    # Teacher's rows are at a right angle: the identity. The student's are equal: [1, 1] / sqrt 2 twice.
    found = spkd(teacher=[[1.0, 0.0], [0.0, 1.0]], student=[[2.0], [2.0]])
    assert float(found) == pytest.approx(((1 - 0.5**0.5) ** 2 + 0.5) / 2)
    # By sums: [1/2, 1/2] twice.
    assert float(spkd(teacher=[[1.0, 0.0], [0.0, 1.0]], student=[[2.0], [2.0]], row_norm="l1")) == pytest.approx(0.25)


def test_pkt_of_two_rows():
    # Cosines 0 and 1 off the diagonal: (1, 1/2) / 1.5 against (1/2, 1/2).
    found = pkt(teacher=[[1.0, 0.0], [0.0, 1.0]], student=[[2.0], [2.0]])
    assert float(found) == pytest.approx((2 / 3 * np.log(4 / 3) + 1 / 3 * np.log(2 / 3)) / 2, rel=1e-4)


def test_cckd_of_two_rows():
    # Products [[1, 0], [0, 1]] against [[4, 4], [4, 4]]: sqrt(9 + 16 + 16 + 9) / 4.
    teacher, student = [[1.0, 0.0], [0.0, 1.0]], [[2.0], [2.0]]
    assert float(cckd(teacher=teacher, student=student, kernel="bilinear")) == pytest.approx(50**0.5 / 4)


def test_cckd_series_of_unit_rows_is_the_gaussian_kernel():
    teacher, student = rows(4, 6), rows(4, 3, seed=1)

    def kernel(values):
        values = values / np.linalg.norm(values, axis=1, keepdims=True)
        return np.exp(-0.4 * ((values[:, None] - values[None]) ** 2).sum(-1))

    expected = np.linalg.norm(kernel(teacher) - kernel(student)) / 16
    found = cckd(teacher=teacher, student=student, degree=12, unit_rows=True)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_unknown_norms_and_kernels_are_refused():
    with pytest.raises(ValueError, match="row_norm of spkd is 'max'; give l2 or l1"):
        spkd(teacher=rows(2, 3), student=rows(2, 3), row_norm="max")
    with pytest.raises(ValueError, match="kernel of cckd is 'linear'; give gaussian or bilinear"):
        cckd(teacher=rows(2, 3), student=rows(2, 3), kernel="linear")
