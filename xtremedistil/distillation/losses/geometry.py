"""RKD: the shape that the rows of a batch make, told by distances and angles."""

import tensorflow as tf

from xtremedistil.distillation.losses.masks import masked_mean
from xtremedistil.distillation.losses.norms import root, unit
from xtremedistil.distillation.losses.rows import both_pooled, row_pairs


def rkd(*, teacher, student, mask=None, distance_weight: float = 1.0, angle_weight: float = 2.0) -> tf.Tensor:
    """Distances between rows, relative to their mean, and angles at each row (Park et al., 2019, section 3.2).

    Each difference goes through the smooth absolute value (Huber's with 1), as in the paper. Equal rows are left out of
    the mean distance, as in the authors' code. Memory grows with B ** 3, and with B ** 2 * H.

    Args:
        teacher, student: [B, H], any widths, or [B, S, H] of which each row is the mean over its real positions.
        mask: optional [B] or [B, S].
        distance_weight, angle_weight: factors of the two terms; the defaults are the paper's.

    Returns:
        float32 scalar: the mean over pairs of rows and the mean over triples, each of a row with itself too, weighted.
    """
    teacher, student, counted = both_pooled(teacher, student, mask)
    pairs = row_pairs(counted)
    teacher, student = _differences(teacher), _differences(student)
    distances = _smooth_l1(_relative_distances(teacher, pairs) - _relative_distances(student, pairs))
    angles = _smooth_l1(_cosines(teacher) - _cosines(student))
    triples = pairs[:, :, None] * counted
    return distance_weight * masked_mean(distances, pairs) + angle_weight * masked_mean(angles, triples)


def _differences(rows: tf.Tensor) -> tf.Tensor:
    """[B, B, H], at [i, j] the way from row i to row j."""
    return rows[None] - rows[:, None]


def _relative_distances(differences: tf.Tensor, pairs: tf.Tensor) -> tf.Tensor:
    """[B, B], distances divided by the mean of those that are not 0."""
    distances = root(tf.reduce_sum(tf.square(differences), axis=-1))
    apart = pairs * tf.cast(distances > 0, tf.float32)
    return tf.math.divide_no_nan(distances, masked_mean(distances, apart))


def _cosines(differences: tf.Tensor) -> tf.Tensor:
    """[B, B, B], at [i, j, k] the cosine of the angle at row i between rows j and k; 0 where two of them meet."""
    directions = unit(differences)
    return tf.matmul(directions, directions, transpose_b=True)


def _smooth_l1(differences: tf.Tensor) -> tf.Tensor:
    size = tf.abs(differences)
    return tf.where(size < 1.0, 0.5 * tf.square(differences), size - 0.5)
