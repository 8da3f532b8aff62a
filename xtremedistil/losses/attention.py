"""Losses between attention maps: probabilities, or the scores before the softmax.

Attention maps are [B, A, S, S] (batch, heads, queries, keys), or [B, S, S] for one head. If teacher and student have
different numbers of heads, both are averaged over heads first, scores as well as probabilities.
"""

import tensorflow as tf

from xtremedistil.losses.masking import EXCLUDED, masked_mean, masked_mean_of, pair_mask, real_pairs, require_one_shape

SMALLEST = 1e-12  # lower bound of probabilities in a logarithm
MASKED_SCORE = -1e-3  # TextBrewer takes scores at or below it to be masked


def attention_mse(*, teacher, student, mask=None, from_logits: bool = True, compat: bool = False) -> tf.Tensor:
    """Mean squared error between attention maps; if the numbers of heads differ, between their averages over heads.

    On scores it is TinyBERT's loss (Jiao et al., 2020, equation 7), on probabilities XtremeDistilTransformers'.

    Args:
        teacher: [B, A, S, S] or [B, S, S]. student: the same, any number of heads.
        mask: optional [B, S]; a pair (query, key) counts where both are 1.
        from_logits: whether the attention maps are scores; only used by `compat`.
        compat: without a mask, set scores of -1e-3 and less to 0, as TextBrewer does.

    Returns:
        float32 scalar, mean over heads, unmasked queries and unmasked keys; about 1e-6 for probabilities of long
        sequences, because these are small.
    """
    teacher, student = _maps(teacher, student)
    return _mean_over_pairs(teacher, student, mask, clamped=compat and from_logits)


def attention_mse_sum(*, teacher, student, mask=None, from_logits: bool = True, compat: bool = False) -> tf.Tensor:
    """`attention_mse` between sums over heads; if the numbers of heads differ, between averages.

    Args: as `attention_mse`.

    Returns:
        float32 scalar, mean over unmasked queries and unmasked keys.
    """
    teacher, student = _maps(teacher, student)
    teacher, student = tf.reduce_sum(teacher, 1, keepdims=True), tf.reduce_sum(student, 1, keepdims=True)
    return _mean_over_pairs(teacher, student, mask, clamped=compat and from_logits)


def attention_squared_distance(*, teacher, student, mask=None) -> tf.Tensor:
    """Squared distance between the distributions of each query: `attention_mse` with a sum over keys, not a mean.

    It ranges from 0 (equal) to 2 and does not shrink with the length of the sequence.

    Args:
        teacher: [B, A, S, S] or [B, S, S] probabilities. student: the same, any number of heads.
        mask: optional [B, S]; a pair (query, key) counts where both are 1.

    Returns:
        float32 scalar, mean over heads and unmasked queries.
    """
    teacher, student = (real_pairs(maps, mask) for maps in _maps(teacher, student))
    error = tf.reduce_mean(tf.math.squared_difference(teacher, student), axis=1)
    return masked_mean(tf.reduce_sum(error, axis=-1), mask)


def attention_ce(*, teacher, student, mask=None, from_logits: bool = True, compat: bool = False) -> tf.Tensor:
    """Cross-entropy of the student's attention under the teacher's, in nats; its minimum is the teacher's entropy.

    Args:
        teacher: [B, A, S, S] or [B, S, S]. student: the same, any number of heads.
        mask: optional [B, S]. Masked queries do not count; masked keys are left out of the softmax.
        from_logits: whether the attention maps are scores. Probabilities are not normalized again; those of masked keys
            are left out. Hugging Face's `attentions` are probabilities.
        compat: as in TextBrewer, masked keys stay in the softmax, and only their terms are left out; without a mask,
            terms of keys whose teacher score is -1e-3 or less are left out. Scores only.

    Returns:
        float32 scalar, mean over heads and unmasked queries.

    Raises:
        ValueError: `compat` with probabilities.

    Example: equal teacher scores [0, 0] and student probabilities [1/4, 3/4] give -(ln 1/4 + ln 3/4) / 2 = 0.837.
    """
    return _cross_entropy(*_maps(teacher, student), mask, from_logits, compat)


def attention_ce_mean(*, teacher, student, mask=None, from_logits: bool = True, compat: bool = False) -> tf.Tensor:
    """`attention_ce` between averages over heads.

    Args, raises: as `attention_ce`.

    Returns:
        float32 scalar, mean over unmasked queries.
    """
    teacher, student = (tf.reduce_mean(maps, axis=1, keepdims=True) for maps in _maps(teacher, student))
    return _cross_entropy(teacher, student, mask, from_logits, compat)


def attention_kl(*, teacher, student, mask=None, from_logits: bool = True, mean_over: str = "positions") -> tf.Tensor:
    """KL(teacher || student) between attention distributions (MiniLM: Wang et al., 2020, section 3.1).

    `attention_ce` minus the teacher's entropy: 0 if both are equal.

    Args:
        teacher, student, mask, from_logits: as `attention_ce`.
        mean_over: "positions", or "rows": the paper's 1 / |x|, where short sequences weigh as much as long ones.

    Returns:
        float32 scalar in nats, mean over heads and unmasked queries.

    Raises:
        ValueError: `mean_over` is unknown.
    """
    fill = EXCLUDED if from_logits else 0.0
    teacher, student = (real_pairs(maps, mask, fill) for maps in _maps(teacher, student))
    if from_logits:
        probabilities, log_teacher, log_student = tf.nn.softmax(teacher), *map(tf.nn.log_softmax, (teacher, student))
    else:
        probabilities, (log_teacher, log_student) = teacher, map(_log, (teacher, student))
    nats = _nats(probabilities, log_student) - _nats(probabilities, log_teacher)
    return masked_mean_of(tf.reduce_mean(nats, axis=1), mask, mean_over)


def _log(probabilities) -> tf.Tensor:
    return tf.math.log(tf.maximum(probabilities, SMALLEST))


def _maps(teacher, student) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns both as float32 [B, A, S, S] with equal numbers of heads; no gradient flows into the teacher."""
    teacher, student = tf.stop_gradient(_with_heads(teacher)), _with_heads(student)
    if None not in (teacher.shape[1], student.shape[1]) and teacher.shape[1] != student.shape[1]:
        teacher, student = tf.reduce_mean(teacher, 1, keepdims=True), tf.reduce_mean(student, 1, keepdims=True)
    require_one_shape(teacher, student)
    return teacher, student


def _with_heads(maps) -> tf.Tensor:
    maps = tf.cast(maps, tf.float32)
    return maps[:, None] if maps.shape.rank == 3 else maps


def _mean_over_pairs(teacher, student, mask, clamped: bool) -> tf.Tensor:
    if mask is None:
        if clamped:
            teacher, student = (tf.where(maps <= MASKED_SCORE, 0.0, maps) for maps in (teacher, student))
        return masked_mean(tf.math.squared_difference(teacher, student))
    error = tf.math.squared_difference(real_pairs(teacher, mask), real_pairs(student, mask))
    return masked_mean(tf.reduce_mean(error, axis=1), pair_mask(mask))


def _cross_entropy(teacher, student, mask, from_logits: bool, compat: bool) -> tf.Tensor:
    if compat and not from_logits:
        raise ValueError("compat is for scores (from_logits=True): TextBrewer has no cross-entropy of probabilities.")
    if compat:
        nats = _nats_over_all_keys(teacher, student, mask)
    elif from_logits:
        teacher, student = real_pairs(teacher, mask, EXCLUDED), real_pairs(student, mask, EXCLUDED)
        nats = _nats(tf.nn.softmax(teacher), tf.nn.log_softmax(student))
    else:
        teacher, student = real_pairs(teacher, mask), real_pairs(student, mask)
        nats = _nats(teacher, _log(student))
    return masked_mean(tf.reduce_mean(nats, axis=1), mask)


def _nats_over_all_keys(teacher, student, mask) -> tf.Tensor:
    if mask is None:
        counted = tf.cast(teacher > MASKED_SCORE, tf.float32)
    else:
        queries = tf.cast(mask, tf.float32)[:, None, :, None] > 0
        teacher, student = tf.where(queries, teacher, 0.0), tf.where(queries, student, 0.0)
        counted = pair_mask(mask)[:, None]
    return _nats(tf.nn.softmax(teacher) * counted, tf.nn.log_softmax(student))


def _nats(probabilities, log_probabilities) -> tf.Tensor:
    """Returns the cross-entropy [B, A, S]; terms of probability 0 are 0 even if the student's logarithm is infinite."""
    return -tf.reduce_sum(tf.math.multiply_no_nan(log_probabilities, probabilities), axis=-1)
