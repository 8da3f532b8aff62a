import json
import subprocess
import sys

import pytest
import tensorflow as tf
import tf_keras

import xtremedistil
from tests.model_fixtures import USABLE, tiny_config
from xtremedistil import parameter_summary
from xtremedistil.models.architectures.families import FAMILIES


def dense_model(name: str = "model") -> tf_keras.Model:
    """3 -> 4 -> 2: kernel 12 and bias 4, kernel 8 and no bias."""
    layers = [tf_keras.layers.Dense(4, name="wide"), tf_keras.layers.Dense(2, use_bias=False, name="head")]
    return tf_keras.Sequential([tf_keras.Input((3,)), *layers], name=name)


def leaves(node: dict) -> list[dict]:
    return [leaf for child in node["children"] for leaf in leaves(child)] or [node]


def test_summary_of_a_small_model_is_the_tree_worked_by_hand():
    summary = parameter_summary(dense_model())
    # 12 + 4 + 8 = 24 parameters of 4 bytes: 96 bytes, 96 / 2**20 MiB. The kernel is all of the head: one line.
    assert summary.text.splitlines() == [
        "               parameters   share   MiB",
        "model                  24  100.0%  0.00",
        "  wide                 16   66.7%  0.00",
        "    kernel             12   50.0%  0.00",
        "    bias                4   16.7%  0.00",
        "  head/kernel           8   33.3%  0.00",
    ]
    assert str(summary) == summary.text
    assert summary.tree["mib"] == 96 / 2**20
    assert summary.tree["children"][1] == {
        "name": "head/kernel",
        "parameters": 8,
        "share": 8 / 24,
        "mib": 32 / 2**20,
        "shared": False,
        "children": [],
    }
    assert json.loads(json.dumps(summary.tree)) == summary.tree


@pytest.mark.parametrize("max_depth, lines", [(0, 1), (1, 3), (2, 5), (9, 5), (None, 5)])
def test_max_depth_cuts_the_tree_and_leaves_the_total(max_depth, lines):
    summary = parameter_summary(dense_model(), max_depth)
    assert len(summary.text.splitlines()) == lines + 1
    assert summary.tree["parameters"] == 24


@pytest.mark.parametrize("class_name", USABLE)
def test_total_of_every_family_is_that_of_keras_with_nothing_shared(class_name, tiny_encoders):
    encoder = tiny_encoders(class_name)
    tree = parameter_summary(encoder).tree
    assert tree["parameters"] == encoder.count_params() == sum(leaf["parameters"] for leaf in leaves(tree))
    assert not any(leaf["shared"] for leaf in leaves(tree))


def test_total_of_a_student_is_that_of_keras(tiny_encoders):
    from xtremedistil.models.student import build_student

    student = build_student(
        tiny_encoders("TFBertModel"),
        FAMILIES["TFBertModel"],
        by_position=True,
        num_labels=3,
        teacher_hidden_size=16,
    )
    tree = parameter_summary(student.model, 1).tree
    assert tree["parameters"] == student.model.count_params()
    # The projection is 12 x 16 + 16, the head 16 x 3 + 3.
    assert [(node["name"], node["parameters"]) for node in tree["children"]][1:] == [("dense_2", 208), ("dense", 51)]


def test_embeddings_tied_to_a_head_count_once_and_are_shared():
    from transformers import BertConfig, TFBertForMaskedLM

    model = TFBertForMaskedLM(BertConfig(**tiny_config("TFBertModel")))
    model(model.dummy_inputs)
    summary = parameter_summary(model)
    assert summary.tree["parameters"] == model.count_params()
    assert sum("word_embeddings/weight (shared)" in line for line in summary.text.splitlines()) == 1
    assert not any("encoder" in line and "shared" in line for line in summary.text.splitlines())


class Holder(tf_keras.layers.Layer):
    """Holds a variable made elsewhere."""

    def __init__(self, variable, **keywords):
        super().__init__(**keywords)
        self.held = variable

    def call(self, inputs):
        return inputs


def holders(*variables) -> tf_keras.Model:
    layers = [Holder(variable, name=f"holder_{place}") for place, variable in enumerate(variables)]
    return tf_keras.Sequential([tf_keras.Input((3,)), *layers], name="model")


def test_variable_of_two_layers_counts_once_and_is_shared():
    table, other = tf.Variable(tf.zeros((5, 2)), name="table"), tf.Variable(tf.zeros(3), name="other")
    model = holders(table, other, table)
    tree = parameter_summary(model).tree
    assert tree["parameters"] == model.count_params() == 13
    assert [(leaf["name"], leaf["parameters"], leaf["shared"]) for leaf in leaves(tree)] == [
        ("table", 10, True),
        ("other", 3, False),
    ]


def test_two_variables_on_one_resource_count_once_and_are_shared():
    from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable

    table = tf.Variable(tf.zeros((5, 2)), name="table")
    again = BaseResourceVariable(
        trainable=True, shape=table.shape, dtype=table.dtype, handle=table.handle, name="again", handle_name="again"
    )
    model = holders(table, again)
    assert len(model.weights) == 2
    tree = parameter_summary(model).tree
    assert (tree["parameters"], tree["name"], tree["shared"]) == (10, "model/table", True)


def test_layer_called_twice_is_not_shared():
    layer, entry = tf_keras.layers.Dense(3, name="twice"), tf_keras.Input((3,))
    model = tf_keras.Model(entry, layer(layer(entry)), name="model")
    assert "shared" not in parameter_summary(model).text


def test_variables_of_one_name_are_one_line_of_their_sum():
    model = holders(tf.Variable(tf.zeros(2), name="same"), tf.Variable(tf.zeros(3), name="same"))
    assert [(leaf["name"], leaf["parameters"]) for leaf in leaves(parameter_summary(model).tree)] == [("model/same", 5)]


def test_variable_named_like_a_node_is_not_joined_with_what_is_below():
    model = holders(tf.Variable(tf.zeros(2), name="a"), tf.Variable(tf.zeros(3), name="a/b"))
    tree = parameter_summary(model).tree
    assert (tree["name"], tree["parameters"]) == ("model/a", 5)
    assert [(leaf["name"], leaf["parameters"]) for leaf in tree["children"]] == [("b", 3)]


def test_memory_is_that_of_the_types_of_the_variables():
    model = holders(tf.Variable(tf.zeros(2**18, tf.float16), name="half"), tf.Variable(tf.zeros(2**18), name="single"))
    assert [leaf["mib"] for leaf in leaves(parameter_summary(model).tree)] == [0.5, 1.0]


def test_model_without_parameters_has_a_line_of_zeros():
    model = tf_keras.Sequential([tf_keras.Input((3,)), tf_keras.layers.Flatten()], name="model")
    assert parameter_summary(model).text.splitlines()[1].split() == ["model", "0", "0.0%", "0.00"]


def test_replicated_and_half_precision_variables_count_once():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        assert parameter_summary(dense_model()).tree["parameters"] == 24
    layer = tf_keras.layers.Dense(4, dtype="mixed_float16")
    summary = parameter_summary(tf_keras.Sequential([tf_keras.Input((3,)), layer], name="model"))
    assert (summary.tree["parameters"], summary.tree["mib"]) == (16, 64 / 2**20)


def test_public_name_stays_the_function_and_is_loaded_without_tensorflow():
    assert callable(xtremedistil.parameter_summary) and "parameter_summary" in dir(xtremedistil)
    code = "import sys; from xtremedistil import parameter_summary; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
