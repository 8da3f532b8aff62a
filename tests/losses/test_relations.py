import numpy as np
import pytest
import tensorflow as tf

from xtremedistil.losses import attention_ce, relation_kl


def vectors(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_relation_kl_of_two_positions():
    # Teacher [1], [0]: relations softmax(1, 0) = 0.731, 0.269 and 1/2, 1/2. The student's are even.
    p = np.exp(1) / (np.exp(1) + 1)
    expected = (np.log(2) + p * np.log(p) + (1 - p) * np.log(1 - p)) / 2
    found = relation_kl(teacher=[[[1.0], [0.0]]], student=[[[0.0, 0.0], [0.0, 0.0]]], relation_heads=1)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_relations_are_scaled_by_the_width_of_a_relation_head():
    # Width 4 in one head: products of 4 by sqrt 4 are 2, as those of 2 of width 1.
    narrow, wide = np.float32([[[2**0.5], [0.0]]]), np.float32([[[1.0] * 4, [0.0] * 4]])
    assert float(relation_kl(teacher=narrow, student=wide, relation_heads=1)) == pytest.approx(0.0, abs=1e-6)


def test_relation_kl_of_attention_heads_is_the_value_relation_of_minilm():
    """MiniLM (2020) relates the values of each attention head: [B, A, S, d]."""
    teacher, student, mask = vectors(2, 3, 5, 4), vectors(2, 3, 5, 2, seed=1), [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]

    def scores(values):
        return values @ values.transpose(0, 1, 3, 2) / values.shape[-1] ** 0.5

    def merged(values):
        return values.transpose(0, 2, 1, 3).reshape(2, 5, -1)

    cross = attention_ce(teacher=scores(teacher), student=scores(student), mask=mask)
    expected = float(cross - attention_ce(teacher=scores(teacher), student=scores(teacher), mask=mask))
    found = relation_kl(teacher=merged(teacher), student=merged(student), mask=mask, relation_heads=3)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_relation_heads_may_differ_from_attention_heads_and_widths():
    # 48 relation heads: 16 wide of 768, 8 wide of 384.
    found = relation_kl(teacher=vectors(1, 3, 768), student=vectors(1, 3, 384, seed=1), relation_heads=48)
    assert np.isfinite(float(found)) and float(found) > 0


def test_relation_kl_of_turned_heads_is_the_same():
    teacher, student = vectors(2, 4, 6), vectors(2, 4, 6, seed=1)
    turn = np.linalg.qr(vectors(3, 3, seed=2))[0]
    both = np.kron(np.eye(2), turn).astype("float32")
    expected = float(relation_kl(teacher=teacher, student=student, relation_heads=2))
    assert float(relation_kl(teacher=teacher, student=student @ both, relation_heads=2)) == pytest.approx(
        expected, rel=1e-4
    )


def test_long_rows_count_by_their_positions():
    teacher, student = vectors(2, 4, 6), vectors(2, 4, 6, seed=1)
    each = [float(relation_kl(teacher=teacher[i : i + 1, :n], student=student[i : i + 1, :n], relation_heads=2))
            for i, n in enumerate((4, 2))]  # fmt: skip
    found = relation_kl(teacher=teacher, student=student, mask=[[1, 1, 1, 1], [1, 1, 0, 0]], relation_heads=2)
    assert float(found) == pytest.approx((4 * each[0] + 2 * each[1]) / 6, rel=1e-5)


def test_short_rows_count_as_much_as_long_ones_in_the_mean_over_rows():
    teacher, student = vectors(2, 4, 6), vectors(2, 4, 6, seed=1)
    each = [float(relation_kl(teacher=teacher[i : i + 1, :n], student=student[i : i + 1, :n], relation_heads=2))
            for i, n in enumerate((4, 2))]  # fmt: skip
    mask, options = [[1, 1, 1, 1], [1, 1, 0, 0]], {"relation_heads": 2, "mean_over": "rows"}
    found = relation_kl(teacher=teacher, student=student, mask=mask, **options)
    assert float(found) == pytest.approx((each[0] + each[1]) / 2, rel=1e-5)
    with pytest.raises(ValueError, match="mean_over of relation_kl is 'row'; give positions or rows"):
        relation_kl(teacher=teacher, student=student, relation_heads=2, mean_over="row")


@pytest.mark.parametrize("relation_heads, name, width", [(5, "teacher", 8), (4, "student", 6)])
def test_relation_heads_that_do_not_divide_a_width_are_refused(relation_heads, name, width):
    match = f"The {name} is {width} wide, which {relation_heads} relation heads do not divide"
    with pytest.raises(ValueError, match=match):
        relation_kl(teacher=vectors(1, 2, 8), student=vectors(1, 2, 6), relation_heads=relation_heads)


def test_large_vectors_of_half_precision_do_not_overflow():
    # Products of 300 * 300 * 8 are more than float16 holds.
    teacher, student = tf.fill([1, 3, 8], tf.cast(300.0, tf.float16)), tf.cast(vectors(1, 3, 8), tf.float16)
    assert np.isfinite(float(relation_kl(teacher=teacher, student=student, relation_heads=1)))
