"""Rows that are all padding, and attention, under each precision policy."""

import numpy as np
import pytest

import xtremedistil  # noqa: F401 - chooses legacy Keras
from tests.model_fixtures import BERT_FIRST, HEADS, STUDENTS, VOCABULARY, rows, tiny_config
from xtremedistil.models.architectures.families import FAMILIES
from xtremedistil.models.checkpoints.pretrained import changed_config, new_encoder_from_config
from xtremedistil.terms.match import Match

tf = pytest.importorskip("tensorflow")
tf_keras = pytest.importorskip("tf_keras")

from xtremedistil.models.student import build_student  # noqa: E402
from xtremedistil.objectives.matches import matches_objective  # noqa: E402


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("class_name", BERT_FIRST)
def test_row_without_tokens_brings_no_nan_into_training(class_name, policy):
    """Such rows fill up the shares of replicas; they change neither losses nor gradients."""
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        tf_keras.utils.set_random_seed(7)
        family = FAMILIES[class_name]
        encoder = new_encoder_from_config(
            changed_config(tiny_config(class_name), family, dropout=0.0), family, name="e"
        )
        student = build_student(encoder, family, by_position=True, num_labels=3, teacher_hidden_size=16)
        matches = [Match("hidden_states", 2, 2), Match("attentions", 1, 1, "attention_squared_distance")]
        model, _ = student.matching_model(matches)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    tolerance = 1e-5 if policy == "float32" else 1e-2
    assert_equal_gradients(tolerance, *(gradients(model, matches, lengths) for lengths in ((5, 3), (5, 3, 0))))


def gradients(model, matches, lengths) -> list[np.ndarray]:
    """Of the representation loss with a teacher of random states and of equal attention everywhere."""
    inputs = rows(lengths, pad_id=1)
    generator = np.random.default_rng(1)
    batch = {name: tf.constant(array) for name, array in inputs.items()} | {"row_mask": tf.ones([len(lengths)])}
    batch["teacher_hidden_states_2"] = tf.constant(generator.standard_normal((3, 5, 16)), tf.float32)[: len(lengths)]
    batch["teacher_attentions_1"] = tf.fill([len(lengths), HEADS, 5, 5], 0.2)
    with tf.GradientTape() as tape:
        terms = matches_objective(matches)(model(inputs, training=True), batch)
        loss = tf.add_n([term.value for term in terms.values()])
    found = tape.gradient(loss, model.trainable_variables)
    return [loss.numpy(), *(tf.convert_to_tensor(value).numpy() for value in found if value is not None)]


def assert_equal_gradients(tolerance: float, without, with_empty_row) -> None:
    for one, other in zip(without, with_empty_row, strict=True):
        assert np.isfinite(other).all()
        np.testing.assert_allclose(other, one, atol=tolerance * max(1.0, np.abs(one).max()))


def half_precise(class_name: str, **changes):
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        return new_encoder_from_config(tiny_config(class_name) | changes, FAMILIES[class_name], name="e")
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("class_name", STUDENTS)
def test_norms_are_computed_in_float32_under_half_precision(class_name):
    """Squares of such rows are beyond what float16 holds."""
    norms = [one for one in half_precise(class_name).submodules if isinstance(one, tf_keras.layers.LayerNormalization)]
    width = norms[-1].gamma.shape[0]
    states = (3000 + 100 * np.random.default_rng(1).standard_normal((1, 4, width))).astype(np.float16)
    exact = states.astype(np.float64)
    expected = (exact - exact.mean(-1, keepdims=True)) / np.sqrt(exact.var(-1, keepdims=True) + norms[-1].epsilon)
    found = norms[-1](tf.constant(states))
    assert found.dtype == tf.float16
    np.testing.assert_allclose(tf.cast(found, tf.float32), expected, atol=5e-3)


@pytest.mark.parametrize("class_name", STUDENTS)
def test_softmax_of_attention_is_computed_in_float32_under_half_precision(class_name):
    """Each row of a map is rounded once; summed in float16, rows of 512 would miss 1 by far more."""
    encoder = half_precise(class_name, max_position_embeddings=520)
    ids = np.random.default_rng(2).integers(6, VOCABULARY, (4, 512))
    maps = encoder(tf.constant(ids), output_attentions=True).attentions
    assert {entry.dtype for entry in maps} == {tf.float16}
    sums = tf.reduce_sum(tf.cast(maps[0], tf.float32), axis=-1)
    np.testing.assert_allclose(sums, 1.0, atol=6e-4)
