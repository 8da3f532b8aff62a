"""Matches all layers of one model with all layers of another by optimal transport (BERT-EMD: Li et al., 2020)."""

import numpy as np
import tensorflow as tf

from xtremedistil.losses.hidden_states import hidden_mse

EXACT, SINKHORN = "exact", "sinkhorn"
SHARPNESS = 0.05  # weight of the entropy in Sinkhorn's flow, relative to the mean cost
ITERATIONS = 100


def layer_transport(*, teacher, student, mask=None, solver: str = EXACT) -> tf.Tensor:
    """Earth mover's distance between layers of equal weights (Li et al., 2020, section 3.2).

    The cost of a pair of layers is their `hidden_mse`. No gradient flows through the flow itself.

    Args:
        teacher, student: any number of layers [B, S, H], all of one width.
        mask: optional [B, S].
        solver: "exact", a linear program on the host in every step; "sinkhorn", nearly the same flow computed on the
            device, also with XLA and on TPUs (Cuturi, 2013).

    Returns:
        float32 scalar: sum over pairs of flow x cost. The flow of each student layer is 1 / their number, and likewise
        for the teacher; with equal numbers and the exact solver, this is the best one-to-one pairing.

    Raises:
        ValueError: the solver is unknown.
    """
    if solver not in (EXACT, SINKHORN):
        raise ValueError(f'solver is "{solver}"; it is "{EXACT}" or "{SINKHORN}".')
    costs = tf.stack([tf.stack([hidden_mse(teacher=t, student=s, mask=mask) for t in teacher]) for s in student])
    flow = exact_flow(costs) if solver == EXACT else sinkhorn_flow(costs)
    return tf.reduce_sum(tf.stop_gradient(flow) * costs)


def exact_flow(costs: tf.Tensor) -> tf.Tensor:
    """Returns the cheapest flow, float32 [student layers, teacher layers]."""
    flow = tf.numpy_function(_cheapest, [tf.stop_gradient(costs)], tf.float32)
    return tf.ensure_shape(flow, costs.shape)


def _cheapest(costs: np.ndarray) -> np.ndarray:
    from scipy.optimize import linprog

    rows, columns = costs.shape
    if not np.isfinite(costs).all():
        return np.full(costs.shape, 1.0 / costs.size, np.float32)  # no flow makes the loss finite
    out_of, into = np.kron(np.eye(rows), np.ones(columns)), np.kron(np.ones(rows), np.eye(columns))
    masses = np.concatenate([np.full(rows, 1.0 / rows), np.full(columns, 1.0 / columns)])
    found = linprog(costs.reshape(-1).astype(np.float64), A_eq=np.concatenate([out_of, into]), b_eq=masses)
    return found.x.reshape(costs.shape).astype(np.float32)


def sinkhorn_flow(costs: tf.Tensor) -> tf.Tensor:
    """Returns a flow close to the cheapest, float32 [student layers, teacher layers], by Sinkhorn's algorithm."""
    rows, columns = costs.shape
    costs = tf.stop_gradient(costs)
    kernel = -tf.math.divide_no_nan(costs, SHARPNESS * tf.reduce_mean(costs))
    potentials = tf.zeros([columns])
    for _ in range(ITERATIONS):
        of_rows = -tf.math.log(float(rows)) - tf.reduce_logsumexp(kernel + potentials, axis=1)
        potentials = -tf.math.log(float(columns)) - tf.reduce_logsumexp(kernel + of_rows[:, None], axis=0)
    return tf.exp(kernel + of_rows[:, None] + potentials)
