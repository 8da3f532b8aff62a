"""Tensors inside encoders by name: what they are, and that asking for them changes nothing else."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import xtremedistil  # noqa: F401 - chooses legacy Keras
from tests.model_fixtures import HEADS, HIDDEN, LAYERS, USABLE, rows, shaken_encoder, tiny_config
from tests.models.inner_tensors import BERT, INNER, features_of, running_paths, tensors
from xtremedistil.models.architectures.families import FAMILIES
from xtremedistil.models.checkpoints.pretrained import new_encoder_from_config
from xtremedistil.models.features.names import is_map, parse_feature_name

tf = pytest.importorskip("tensorflow")
tf_keras = pytest.importorskip("tf_keras")

from xtremedistil.models.features.attention_projections import PROJECTION_PATHS  # noqa: E402
from xtremedistil.models.features.encoder_outputs import model_inputs  # noqa: E402
from xtremedistil.models.features.extraction import HookedEncoder, encoder_features  # noqa: E402
from xtremedistil.models.features.hooks import Recording  # noqa: E402
from xtremedistil.models.features.sub_layers import find_sub_layer, sub_layers  # noqa: E402
from xtremedistil.training.strategy import make_strategy  # noqa: E402

WITH_PROJECTIONS = [name for name in USABLE if FAMILIES[name].model_type in PROJECTION_PATHS]
CAUSAL = ("openai-gpt", "gpt2", "ctrl")
# Of each family's first layer: what ends it, and the product that ends its attention.
BLOCK_ENDS = {
    "openai-gpt": ("h_._0", "h_._0/attn/c_proj"),
    "gpt2": ("h_._0", "h_._0/attn/c_proj"),
    "ctrl": ("h_._0", "h_._0/multi_head_attention/dense"),
    "xlnet": ("layer_._0", None),
    "xlm": ("layer_norm2_._0", "attentions_._0/out_lin"),
    "distilbert": ("transformer/layer_._0", "transformer/layer_._0/attention/out_lin"),
}
BERT_ENDS = ("encoder/layer_._0", "encoder/layer_._0/attention/output/dense")


def split_heads(states: np.ndarray) -> np.ndarray:
    return states.reshape(*states.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)


def merge_heads(states: np.ndarray) -> np.ndarray:
    return states.transpose(0, 2, 1, 3).reshape(states.shape[0], states.shape[2], -1)


# Names


def test_names_of_kinds_and_paths_are_told_apart():
    assert parse_feature_name("hidden_states_12") == ("hidden_states", 12)
    assert parse_feature_name("attentions_._0/q_lin") is None
    assert str(parse_feature_name("keys_3")) == "keys_3"
    assert [is_map(name) for name in ("attentions_0", "attention_scores_1", "attentions_._0", "keys_0")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("class_name", USABLE)
def test_paths_are_what_the_weights_are_called(class_name, tiny_encoders):
    encoder = tiny_encoders(class_name)
    found = sub_layers(encoder)
    for path, layer in found.items():
        assert all(f"/{path}/" in variable.name for variable in layer.weights), path
    owned = {id(variable) for layer in found.values() for variable in layer.weights}
    assert len(owned) >= len(encoder.weights) - 1  # a table may belong to the main layer itself
    again = new_encoder_from_config(tiny_config(class_name), FAMILIES[class_name], name="other")
    assert list(sub_layers(again)) == list(found)  # no name that Keras has counted up


@pytest.mark.parametrize(
    "name, message",
    [
        (
            "encoder/layer_._1/atention/self",
            "no sub-layer 'encoder/layer_._1/atention/self'. Near names: encoder/layer",
        ),
        ("queries_2", "no output queries_2; it has hidden_states_0 to hidden_states_2, attentions_0 to attentions_1"),
        ("hidden_states_3", "no output hidden_states_3; it has"),
        ("pooled", "and the output of each sub-layer, by paths such as embeddings/LayerNorm"),
    ],
)
def test_unknown_name_is_refused_with_what_there_is(name, message, tiny_encoders):
    with pytest.raises(ValueError) as caught:
        encoder_features(tiny_encoders("TFBertModel"), BERT, model_inputs(), [name])
    assert message in str(caught.value)


def test_family_without_projection_layers_is_named(tiny_encoders):
    for name in ("queries_0", "attention_scores_1"):
        with pytest.raises(ValueError, match=r"TFXLNetModel has no separate layers for queries.*bert, electra"):
            encoder_features(tiny_encoders("TFXLNetModel"), FAMILIES["TFXLNetModel"], model_inputs(), [name])


def test_layer_that_does_not_run_is_named(tiny_encoders):
    with pytest.raises(ValueError, match="TFXLMModel does not run its sub-layer 'attention_dropout' here"):
        features_of(tiny_encoders("TFXLMModel"), "TFXLMModel", ["attention_dropout"])


# What the tensors are


@pytest.mark.parametrize("class_name", WITH_PROJECTIONS)
def test_queries_keys_and_values_make_the_models_own_attention(class_name, tiny_encoders):
    encoder, family = tiny_encoders(class_name), FAMILIES[class_name]
    end = BLOCK_ENDS.get(family.model_type, BERT_ENDS)[1]
    kinds = ("queries", "keys", "values", "attention_scores", "attentions")
    found = features_of(encoder, class_name, [end, *(f"{kind}_{i}" for kind in kinds for i in range(LAYERS))])
    hidden, ahead = rows((5, 3))["attention_mask"][:, None, None, :] == 0, np.zeros((5, 5), bool)
    if family.model_type in CAUSAL:
        ahead = ~np.tri(5, dtype=bool)
    for i in range(LAYERS):
        queries, keys = (split_heads(found[f"{kind}_{i}"]) for kind in ("queries", "keys"))
        scores = queries @ keys.transpose(0, 1, 3, 2) / np.sqrt(HIDDEN / HEADS)
        np.testing.assert_allclose(found[f"attention_scores_{i}"], np.where(ahead, -1e4, scores), atol=1e-5)
        maps = tf.nn.softmax(np.where(hidden, -1e9, found[f"attention_scores_{i}"]))
        np.testing.assert_allclose(maps, found[f"attentions_{i}"], atol=1e-5)
    context = merge_heads(found["attentions_0"] @ split_heads(found["values_0"]))
    np.testing.assert_allclose(find_sub_layer(encoder, end)(tf.constant(context)), found[end], atol=1e-5)


@pytest.mark.parametrize("attentions", [[], ["attentions_0"]])
@pytest.mark.parametrize("class_name", USABLE)
def test_what_ends_a_layer_is_the_next_hidden_state(class_name, attentions, tiny_encoders):
    """Also where it returns a tuple, with maps before the state."""
    path = BLOCK_ENDS.get(FAMILIES[class_name].model_type, BERT_ENDS)[0]
    found = features_of(tiny_encoders(class_name), class_name, [path, "hidden_states_1", *attentions], (5, 5))
    np.testing.assert_array_equal(found[path], found["hidden_states_1"])


@pytest.mark.parametrize("class_name", USABLE)
def test_every_layer_that_runs_can_be_tapped_at_once(class_name, tiny_encoders):
    encoder = tiny_encoders(class_name)
    names = running_paths(encoder, class_name)
    assert len(names) > 0.8 * len(sub_layers(encoder))
    found = features_of(encoder, class_name, names)
    assert all(np.isfinite(found[name]).all() for name in names)
    assert {found[name].shape[:2] for name in names if found[name].ndim == 3} <= {(2, 5), (1, 5)}


def test_plain_names_take_the_plain_way(tiny_encoders):
    encoder, inputs = tiny_encoders("TFBertModel"), model_inputs()
    found = encoder_features(encoder, BERT, inputs, ["hidden_states_1", "attentions_0"])
    model = tf_keras.Model(inputs, found)
    assert encoder in model.layers and not any(isinstance(layer, HookedEncoder) for layer in model.layers)


# Taps leave no trace, in threads and on devices


def test_call_is_put_back_also_after_an_error(tiny_encoders):
    encoder = tiny_encoders("TFBertModel")
    layers = [find_sub_layer(encoder, "encoder/layer_._0"), find_sub_layer(encoder, "encoder/layer_._1")]
    with pytest.raises(RuntimeError, match="stop"), Recording(layers), Recording(layers[:1]):
        assert all("call" in vars(layer) for layer in layers)
        raise RuntimeError("stop")
    assert not any("call" in vars(layer) for layer in layers)


def test_threads_that_record_at_once_get_their_own(tiny_encoders):
    """The second begins while the first is inside the block and ends after it."""
    encoder = tiny_encoders("TFBertModel")
    layer, meet = find_sub_layer(encoder, "encoder/layer_._0/attention/self/query"), threading.Barrier(2, timeout=60)

    def record(value: float) -> tuple:
        states = tf.fill([1, 2, HIDDEN], value)
        with Recording([layer]) as recording:
            meet.wait()
            expected = layer(states)
            meet.wait()
            return expected.numpy(), recording.output(layer).numpy()

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(record, [1.0, 2.0]))
    for expected, recorded in found:
        np.testing.assert_array_equal(recorded, expected)
    assert not np.array_equal(found[0][1], found[1][1])
    assert "call" not in vars(layer)


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [None, False, True])
def test_replicas_get_the_tensors_of_their_own_rows(compiled, tiny_encoders):
    """`compiled`: None is without a graph."""
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("TensorFlow was in use before a second logical CPU could be asked for")
    strategy = make_strategy("mirrored")
    with strategy.scope():
        encoder = shaken_encoder("TFBertModel")
        inputs = model_inputs()
        model = tf_keras.Model(inputs, encoder_features(encoder, BERT, inputs, [*INNER, "hidden_states_2"]))
    batch = rows((5, 5, 5, 5))
    expected = model(tensors(batch))

    def share(name: str):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(np.split(batch[name], 2)[context.replica_id_in_sync_group])
        )

    def apply(inputs, one):  # TensorFlow compiles what takes integers alone for the first device
        return {name: one * value for name, value in model(inputs).items()}

    graph = apply if compiled is None else tf.function(apply, jit_compile=compiled)
    found = run_on(strategy, graph, {name: share(name) for name in batch}, compiled is not None)
    for name, value in found.items():
        both = np.concatenate([part.numpy() for part in strategy.experimental_local_results(value)])
        np.testing.assert_allclose(both, expected[name], atol=1e-5, err_msg=name)


def run_on(strategy, apply, distributed, graph: bool):
    def step(values):
        return strategy.run(lambda share: apply(share, tf.constant(1.0)), args=(values,))

    return (tf.function(step) if graph else step)(distributed)


@pytest.mark.slow
@pytest.mark.parametrize("class_name", ["TFBertModel", "TFGPT2Model"])
def test_compiled_features_are_the_plain_ones(class_name, tiny_encoders):
    encoder = tiny_encoders(class_name)
    inputs = model_inputs()
    names = ["queries_1", "attention_scores_0", "hidden_states_2"]
    model = tf_keras.Model(inputs, encoder_features(encoder, FAMILIES[class_name], inputs, names))
    batch = tensors(rows((5, 5)))
    plain, compiled = model(batch), tf.function(model, jit_compile=True)(batch)
    for name in names:
        np.testing.assert_allclose(compiled[name], plain[name], atol=2e-5, err_msg=name)
