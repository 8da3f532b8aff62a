"""MiniLM relations: how the queries, keys or values of a layer relate to each other."""

import tensorflow as tf

from xtremedistil.losses.masking import EXCLUDED, masked_mean_of, real, real_pairs


def relation_kl(*, teacher, student, mask=None, relation_heads: int, mean_over: str = "positions") -> tf.Tensor:
    """KL(teacher || student) between relations softmax(X X^T / sqrt(d)) of positions (MiniLMv2: Wang et al., 2021,
    section 3.1).

    X are the queries, keys or values of one layer: its attention heads are concatenated and split again into
    `relation_heads` heads of width d, so teacher and student may differ in width and in attention heads. On values,
    with as many relation heads as attention heads, it is MiniLM's value relation (Wang et al., 2020, section 3.2).
    MiniLMv2 takes 48 relation heads for teachers of width 768 and 64 for width 1024.

    Args:
        teacher, student: [B, S, H], any widths.
        mask: optional [B, S]. Masked queries do not count; masked keys are left out of the softmax.
        relation_heads: must divide both widths.
        mean_over: "positions", or "rows": the papers' 1 / |x|, where short sequences weigh as much as long ones.

    Returns:
        float32 scalar in nats, mean over relation heads and unmasked queries.

    Raises:
        ValueError: `relation_heads` does not divide a width, or `mean_over` is unknown.
    """
    for name, vectors in (("teacher", teacher), ("student", student)):
        _require_division(name, tf.convert_to_tensor(vectors).shape[-1], relation_heads)
    teacher = tf.stop_gradient(_log_relations(teacher, mask, relation_heads))
    student = _log_relations(student, mask, relation_heads)
    nats = tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1)
    return masked_mean_of(tf.reduce_mean(nats, axis=1), mask, mean_over)


def _require_division(name: str, width: int, relation_heads: int) -> None:
    if relation_heads < 1 or width % relation_heads:
        raise ValueError(
            f"The {name} is {width} wide, which {relation_heads} relation heads do not divide. "
            "Choose a number that divides the widths of both teacher and student."
        )


def _log_relations(vectors, mask, relation_heads: int) -> tf.Tensor:
    """Returns log-probabilities over keys, [B, A, S, S]."""
    vectors = real(vectors, mask)
    width = vectors.shape[-1] // relation_heads
    batch, length = tf.unstack(tf.shape(vectors)[:2])
    heads = tf.transpose(tf.reshape(vectors, [batch, length, relation_heads, width]), [0, 2, 1, 3])
    scores = tf.matmul(heads, heads, transpose_b=True) / width**0.5
    return tf.nn.log_softmax(real_pairs(scores, mask, EXCLUDED))
