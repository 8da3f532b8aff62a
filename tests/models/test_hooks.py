"""Teachers and students with taps: what they say is what they say without."""

import numpy as np
import pytest

import xtremedistil  # noqa: F401 - chooses legacy Keras
from tests.model_fixtures import BERT_AND_XLNET_FIRST, BERT_FIRST, rows, shaken_encoder, tiny_config
from tests.models.inner_tensors import BERT, INNER, running_paths, tensors
from xtremedistil.models.architectures.families import FAMILIES
from xtremedistil.models.checkpoints.pretrained import new_encoder_from_config
from xtremedistil.terms.match import Match

tf = pytest.importorskip("tensorflow")
tf_keras = pytest.importorskip("tf_keras")

from xtremedistil.losses.attention import attention_mse  # noqa: E402
from xtremedistil.losses.relations import relation_kl  # noqa: E402
from xtremedistil.models.factorized_embedding import MappedEmbedding  # noqa: E402
from xtremedistil.models.student import build_student  # noqa: E402
from xtremedistil.models.teacher import build_teacher  # noqa: E402
from xtremedistil.training.dropout import seed_dropout  # noqa: E402


@pytest.mark.parametrize("class_name", BERT_AND_XLNET_FIRST)
def test_teacher_says_the_same_with_and_without_taps(class_name, tiny_encoders):
    encoder = tiny_encoders(class_name)
    teacher = build_teacher(encoder, FAMILIES[class_name], by_position=True, num_labels=4)
    plain = ["logits", "hidden_states_1", "attentions_1"]
    paths = running_paths(encoder, class_name)
    inputs = tensors(rows(pad_id=encoder.config.pad_token_id or 0))
    names = [variable.name for variable in encoder.weights]
    models = [teacher.feature_model(plain), teacher.feature_model([*plain, *paths])]
    for wrap in (lambda model: model, tf.function):
        without, tapped = (wrap(model)(inputs) for model in models)
        assert {value.dtype for value in tapped.values()} == {tf.float32}
        for name in plain:
            np.testing.assert_array_equal(tapped[name], without[name], err_msg=name)
    assert [variable.name for variable in encoder.weights] == names
    assert [variable.name for variable in models[1].weights] == [variable.name for variable in models[0].weights]


def students(class_name: str, matches, word_map=None):
    """Two training models of one student with dropout: without and with `matches`."""
    encoder = shaken_encoder(class_name)
    student = build_student(
        encoder,
        FAMILIES[class_name],
        by_position=True,
        num_labels=4,
        teacher_hidden_size=12,
        word_map=word_map,
    )
    return student, [student.matching_model(wanted)[0] for wanted in ([], matches)]


def inner_matches() -> list[Match]:
    heads = {"options": {"relation_heads": 3}}
    states = [Match(kind, 1, 1, "relation_kl", **heads) for kind in ("queries", "keys", "values")]
    return [*states, Match("attention_scores", 1, 1, "attention_ce")]


@pytest.mark.parametrize("class_name", BERT_FIRST)
def test_all_that_is_matched_comes_from_one_run_of_the_encoder(class_name, monkeypatch):
    runs, kind = [], type(shaken_encoder(class_name))
    matches = [Match("hidden_states", 1, 1), Match("attentions", 1, 1, "attention_kl"), *inner_matches()]
    _, (_, model) = students(class_name, matches)
    inputs, call = tensors(rows(pad_id=1)), kind.call
    monkeypatch.setattr(kind, "call", lambda self, *args, **named: runs.append(1) or call(self, *args, **named))
    assert {"logits", *(match.name for match in matches)} <= set(model(inputs, training=True))
    assert runs == [1]


def logits_and_gradients(model, variables, inputs) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        logits = model(inputs, training=True)["logits"]
        loss = tf.reduce_sum(logits**2)
    return [logits, *(tf.convert_to_tensor(g) for g in tape.gradient(loss, variables) if g is not None)]


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("class_name", BERT_FIRST)
def test_training_with_dropout_is_the_same_with_and_without_taps(class_name, graph):
    student, models = students(class_name, inner_matches())
    inputs, variables = tensors(rows(pad_id=1)), student.model.trainable_variables
    found = []
    for model in models:
        seed_dropout(model, tf.Variable([3, 4], dtype=tf.int32))
        step = tf.function(logits_and_gradients) if graph else logits_and_gradients
        found.append([value.numpy() for value in step(model, variables, inputs)])
    for plain, tapped in zip(*found, strict=True):
        np.testing.assert_array_equal(tapped, plain)
    dropped = models[1](inputs, training=True)["logits"]
    assert not np.array_equal(dropped, models[1](inputs)["logits"])


def test_gradients_flow_into_what_makes_the_tapped_tensors_alone():
    student, (_, model) = students("TFBertModel", inner_matches())
    with tf.GradientTape() as tape:
        outputs, names = model(tensors(rows()), training=True), {one.feature: one.name for one in inner_matches()}
        loss = relation_kl(teacher=tf.ones([2, 5, 6]), student=outputs[names["queries"]], relation_heads=3)
        loss += attention_mse(teacher=tf.zeros([2, 2, 5, 5]), student=outputs[names["attention_scores"]])
    gradients = tape.gradient(loss, student.encoder.weights)
    reached = {v.name for v, g in zip(student.encoder.weights, gradients, strict=True) if g is not None}
    layer = "tf_model/bert/encoder/layer_._1/attention/self"
    assert {f"{layer}/query/kernel:0", f"{layer}/key/kernel:0"} <= reached
    assert not {f"{layer}/value/kernel:0", "tf_model/bert/encoder/layer_._1/output/dense/kernel:0"} & reached
    assert any("layer_._0/output" in name for name in reached)


@pytest.mark.slow
def test_taps_work_on_mapped_word_embeddings():
    rng = np.random.default_rng(0)
    table, kernel = (rng.standard_normal(shape).astype(np.float32) for shape in ((40, 14), (14, 12)))
    word_map = MappedEmbedding(table, kernel, name="word_map")
    student, (plain, tapped) = students("TFBertModel", inner_matches(), word_map)
    inputs = tensors(rows())
    np.testing.assert_array_equal(tapped(inputs)["logits"], plain(inputs)["logits"])
    student.sync_word_embeddings()
    np.testing.assert_allclose(tapped(inputs)["logits"], student.model(inputs)["logits"], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_features_are_finite_float32_under_mixed_precision(policy):
    tf_keras.mixed_precision.set_global_policy(policy)
    try:
        encoder = new_encoder_from_config(tiny_config("TFBertModel"), BERT, name="e")
        teacher = build_teacher(encoder, BERT, by_position=True, num_labels=4)
        model, plain = teacher.feature_model(["logits", *INNER]), teacher.feature_model(["logits"])
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    inputs = tensors(rows((5, 0)))
    found = model(inputs)
    assert {value.dtype for value in found.values()} == {tf.float32}
    assert all(np.isfinite(value).all() for value in found.values())
    np.testing.assert_array_equal(found["logits"], plain(inputs)["logits"])
