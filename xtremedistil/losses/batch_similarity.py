"""Batch-similarity losses: they compare how similar the rows of a batch are to each other (SPKD, PKT, CCKD, RKD).

Teacher and student may have any widths: [B, H], or [B, S, H], which are averaged over unmasked tokens. A larger batch
(per device) gives more pairs to compare.
"""

import math

import tensorflow as tf

from xtremedistil.losses.masking import masked_mean, pair_mask, real, root, unit

PKT_FLOOR = 1e-7  # added to both probabilities in the logarithm, as in the authors' code


def spkd(*, teacher, student, mask=None, row_norm: str = "l2") -> tf.Tensor:
    """Squared difference of row-normalised Gram matrices of a batch (Tung and Mori, 2019, section 3).

    Args:
        teacher, student: [B, H] or [B, S, H].
        mask: optional [B] or [B, S].
        row_norm: norm by which the rows of X X^T are divided, "l2" (the paper) or "l1" (torchdistill).

    Returns:
        float32 scalar, mean over pairs of rows.

    Raises:
        ValueError: `row_norm` is unknown.
    """
    if row_norm not in ("l2", "l1"):
        raise ValueError(f'row_norm is "{row_norm}"; it is "l2" or "l1".')
    teacher, student, counted = both_pooled(teacher, student, mask)
    teacher, student = _normalised_gram(teacher, row_norm), _normalised_gram(student, row_norm)
    return masked_mean(tf.math.squared_difference(teacher, student), row_pairs(counted))


def _normalised_gram(rows: tf.Tensor, row_norm: str) -> tf.Tensor:
    gram = tf.matmul(rows, rows, transpose_b=True)
    if row_norm == "l2":
        return unit(gram)
    return tf.math.divide_no_nan(gram, tf.reduce_sum(tf.abs(gram), axis=-1, keepdims=True))


def pkt(*, teacher, student, mask=None) -> tf.Tensor:
    """KL between each row's distributions over the other rows, by cosine (Passalis and Tefas, 2018, section 3).

    Args:
        teacher, student: [B, H] or [B, S, H].
        mask: optional [B] or [B, S].

    Returns:
        float32 scalar, mean over pairs of rows.
    """
    teacher, student, counted = both_pooled(teacher, student, mask)
    pairs = row_pairs(counted)
    teacher, student = _neighbours(teacher, pairs), _neighbours(student, pairs)
    return masked_mean(teacher * tf.math.log((teacher + PKT_FLOOR) / (student + PKT_FLOOR)), pairs)


def _neighbours(rows: tf.Tensor, pairs: tf.Tensor) -> tf.Tensor:
    """Returns [B, B], each row a distribution over the rows that count."""
    rows = unit(rows)
    shifted = tf.maximum(tf.matmul(rows, rows, transpose_b=True) + 1.0, 0.0)  # opposite rows may round below -1
    similarities = pairs * shifted / 2.0
    return tf.math.divide_no_nan(similarities, tf.reduce_sum(similarities, axis=-1, keepdims=True))


def cckd(
    *,
    teacher,
    student,
    mask=None,
    kernel: str = "gaussian",
    gamma: float = 0.4,
    degree: int = 2,
    unit_rows: bool = False,
) -> tf.Tensor:
    """Distance between kernel matrices of a batch (Peng et al., 2019, section 3).

    Args:
        teacher, student: [B, H] or [B, S, H].
        mask: optional [B] or [B, S].
        kernel: "bilinear", x . y, or "gaussian", as its Taylor series e^(-2 gamma) * sum (2 gamma)^p / p! * (x . y)^p.
        gamma: of the Gaussian kernel, exp(-gamma * |x - y|^2).
        degree: last power of the series.
        unit_rows: whether rows are scaled to length 1 first. The series equals the Gaussian kernel only for such rows,
            and is large for long ones.

    Returns:
        float32 scalar, Frobenius norm of the difference, divided by the square of the number of rows.

    Raises:
        ValueError: `kernel` is unknown.
    """
    if kernel not in ("gaussian", "bilinear"):
        raise ValueError(f'kernel is "{kernel}"; it is "gaussian" or "bilinear".')
    teacher, student, counted = both_pooled(teacher, student, mask)
    pairs = row_pairs(counted)
    teacher, student = (_gram(rows, unit_rows) for rows in (teacher, student))
    if kernel == "gaussian":
        teacher, student = (_taylor_gaussian(gram, gamma, degree) for gram in (teacher, student))
    distance = root(tf.reduce_sum(pairs * tf.math.squared_difference(teacher, student)))
    return tf.math.divide_no_nan(distance, tf.reduce_sum(pairs))


def _gram(rows: tf.Tensor, unit_rows: bool) -> tf.Tensor:
    rows = unit(rows) if unit_rows else rows
    return tf.matmul(rows, rows, transpose_b=True)


def _taylor_gaussian(gram: tf.Tensor, gamma: float, degree: int) -> tf.Tensor:
    terms = [(2 * gamma) ** power / math.factorial(power) * gram**power for power in range(1, degree + 1)]
    return math.exp(-2 * gamma) * (1.0 + sum(terms, tf.zeros_like(gram)))


def rkd(*, teacher, student, mask=None, distance_weight: float = 1.0, angle_weight: float = 2.0) -> tf.Tensor:
    """Distances between rows, relative to their mean, and angles at each row (Park et al., 2019, section 3.2).

    Differences are compared by the Huber loss with threshold 1, as in the paper. Equal rows do not enter the mean
    distance, as in the authors' code. Memory grows with B ** 3, and with B ** 2 * H.

    Args:
        teacher, student: [B, H], any widths, or [B, S, H], which are averaged over unmasked tokens.
        mask: optional [B] or [B, S].
        distance_weight, angle_weight: factors of the two terms; the defaults are the paper's.

    Returns:
        float32 scalar: weighted sum of a mean over pairs of rows and one over triples; both include equal indices.
    """
    teacher, student, counted = both_pooled(teacher, student, mask)
    pairs = row_pairs(counted)
    teacher, student = _differences(teacher), _differences(student)
    distances = _smooth_l1(_relative_distances(teacher, pairs) - _relative_distances(student, pairs))
    angles = _smooth_l1(_cosines(teacher) - _cosines(student))
    triples = pairs[:, :, None] * counted
    return distance_weight * masked_mean(distances, pairs) + angle_weight * masked_mean(angles, triples)


def _differences(rows: tf.Tensor) -> tf.Tensor:
    """Returns [B, B, H]; at [i, j] row j minus row i."""
    return rows[None] - rows[:, None]


def _relative_distances(differences: tf.Tensor, pairs: tf.Tensor) -> tf.Tensor:
    """Returns [B, B], distances divided by the mean of those that are not 0."""
    distances = root(tf.reduce_sum(tf.square(differences), axis=-1))
    apart = pairs * tf.cast(distances > 0, tf.float32)
    return tf.math.divide_no_nan(distances, masked_mean(distances, apart))


def _cosines(differences: tf.Tensor) -> tf.Tensor:
    """Returns [B, B, B]; at [i, j, k] the cosine of the angle at row i between rows j and k, 0 if two are equal."""
    directions = unit(differences)
    return tf.matmul(directions, directions, transpose_b=True)


def _smooth_l1(differences: tf.Tensor) -> tf.Tensor:
    size = tf.abs(differences)
    return tf.where(size < 1.0, 0.5 * tf.square(differences), size - 0.5)


def pooled(features, mask=None) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the mean vector of each row, and whether it counts.

    Args:
        features: [B, H], or [B, S, H], which are averaged over unmasked tokens.
        mask: optional [B] or [B, S]; a row counts if any of its tokens does.

    Returns:
        float32 [B, H], 0 for rows that do not count; float32 [B] of 0 and 1.
    """
    rows = real(features, mask)
    mask = tf.ones_like(rows[..., 0]) if mask is None else tf.cast(tf.cast(mask, tf.float32) > 0, tf.float32)
    if rows.shape.rank == 2:
        return rows, mask
    rows = tf.math.divide_no_nan(tf.reduce_sum(rows, axis=1), tf.reduce_sum(mask, axis=1)[:, None])
    return rows, tf.cast(tf.reduce_any(mask > 0, axis=1), tf.float32)


def both_pooled(teacher, student, mask=None) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the teacher's and the student's `pooled` rows, and which count; no gradient flows into the teacher."""
    teacher, counted = pooled(teacher, mask)
    student, _ = pooled(student, mask)
    return tf.stop_gradient(teacher), student, counted


def row_pairs(counted: tf.Tensor) -> tf.Tensor:
    """Turns [B] into [B, B], 1 where both rows count."""
    return pair_mask(counted[None])[0]
