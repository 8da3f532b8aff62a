import numpy as np
import pytest
import tensorflow as tf

from xtremedistil.losses import fsp, nst
from xtremedistil.losses.transport import exact_flow, layer_transport, sinkhorn_flow

COLUMN = np.array([[[1.0], [2.0]]], "float32")  # one row of two positions of width 1


def test_fsp_is_the_squared_error_of_mean_products():
    # (1 * 1 + 2 * 2) / 2 = 2.5 against 0.
    zeros = np.zeros_like(COLUMN)
    assert float(fsp(teacher=(COLUMN, COLUMN), student=(zeros, zeros))) == pytest.approx(6.25)


def test_fsp_divides_by_the_real_length():
    zeros = np.zeros_like(COLUMN)
    assert float(fsp(teacher=(COLUMN, COLUMN), student=(zeros, zeros), mask=[[0, 1]])) == pytest.approx(16.0)


def test_fsp_of_permuted_positions_is_the_same():
    teacher, student = np.random.default_rng(0).normal(size=(2, 2, 3, 4, 5)).astype("float32")
    order = [2, 0, 3, 1]
    expected = float(fsp(teacher=tuple(teacher), student=tuple(student)))
    found = fsp(teacher=tuple(teacher[:, :, order]), student=tuple(student))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_nst_compares_similarities_of_other_widths():
    # Similarities [[1, 2], [2, 4]] / 1 and [[2, 0], [0, 0]] / 2: (0 + 4 + 4 + 16) / 4.
    student = np.array([[[1.0, 1.0], [0.0, 0.0]]], "float32")
    assert float(nst(teacher=(COLUMN, COLUMN), student=(student, student))) == pytest.approx(6.0)
    # Both divided by the length 2: [[0.5, 1], [1, 2]] and [[1, 0], [0, 0]], (0.25 + 1 + 1 + 4) / 4.
    by_length = nst(teacher=(COLUMN, COLUMN), student=(student, student), normalize_by="length")
    assert float(by_length) == pytest.approx(1.5625)


def test_nst_by_length_counts_padding_into_the_length():
    student = np.zeros((1, 2, 3), "float32")
    # The first position alone is real: 1 / 2 against 0, for TextBrewer 0.2.1 divides by 2 here too.
    by_length = nst(teacher=(COLUMN, COLUMN), student=(student, student), mask=[[1, 0]], normalize_by="length")
    assert float(by_length) == pytest.approx(0.25)


def test_nst_of_rotated_features_is_the_same():
    generator = np.random.default_rng(0)
    teacher, student = generator.normal(size=(2, 2, 3, 4, 5)).astype("float32")
    rotation = np.linalg.qr(generator.normal(size=(5, 5)))[0].astype("float32")
    expected = float(nst(teacher=tuple(teacher), student=tuple(student)))
    assert float(nst(teacher=tuple(teacher), student=tuple(student @ rotation))) == pytest.approx(expected, rel=1e-5)


def test_nst_refuses_another_normalisation():
    with pytest.raises(ValueError, match="normalize_by of nst is 'width'; give hidden or length"):
        nst(teacher=(COLUMN, COLUMN), student=(COLUMN, COLUMN), normalize_by="width")


@pytest.mark.parametrize("loss", [fsp, nst])
@pytest.mark.parametrize("layers", [COLUMN, (COLUMN,), (COLUMN,) * 3])
def test_pairs_of_layers_are_required(loss, layers):
    with pytest.raises(ValueError, match="a tuple of two"):
        loss(teacher=(COLUMN, COLUMN), student=layers)


def test_transport_between_as_many_layers_is_the_best_pairing():
    """Costs [[4, 0], [0, 4]]: each layer flows into its own, half of the mass each."""
    zero, two = tf.zeros([1, 1, 1]), 2 * tf.ones([1, 1, 1])
    assert float(layer_transport(teacher=(zero, two), student=(two, zero))) == pytest.approx(0.0, abs=1e-6)
    assert float(layer_transport(teacher=(zero, two), student=(two, two))) == pytest.approx(2.0)


@pytest.mark.parametrize("flow", [exact_flow, sinkhorn_flow])
def test_flow_leaves_and_reaches_all_layers_alike(flow):
    costs = tf.constant(np.random.default_rng(0).uniform(0.1, 2.0, (3, 5)), tf.float32)
    found = flow(costs).numpy()
    np.testing.assert_allclose(found.sum(axis=1), 1 / 3, atol=1e-4)
    np.testing.assert_allclose(found.sum(axis=0), 1 / 5, atol=1e-4)


def test_sinkhorn_comes_close_to_the_exact_flow():
    costs = tf.constant(np.random.default_rng(0).uniform(0.1, 2.0, (3, 5)), tf.float32)
    exact, near = (float(tf.reduce_sum(flow(costs) * costs)) for flow in (exact_flow, sinkhorn_flow))
    assert exact <= near + 1e-6 and near == pytest.approx(exact, rel=0.05)
