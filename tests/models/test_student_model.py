"""Keras saves, loads and clones a student, alone and inside a user's model."""

import os

import numpy as np
import pytest

from tests.conftest import slow
from tests.model_fixtures import BERT_FIRST, shaken_encoder
from tests.models.test_bilstm import shaken_student

tf = pytest.importorskip("tensorflow")

from xtremedistil.models.architectures.families import FAMILIES  # noqa: E402
from xtremedistil.models.forward import make_predict_function  # noqa: E402
from xtremedistil.models.student import StudentModel, build_student, load_keras_model  # noqa: E402
from xtremedistil.tasks.problem_types import SEVERAL_LABELS  # noqa: E402

IDS = np.array([[2, 7, 8, 3], [2, 5, 3, 0]], np.int32)
BATCH = {"input_ids": IDS, "attention_mask": (IDS > 0).astype(np.int32), "token_type_ids": 0 * IDS}


def transformer(class_name: str, by_position: bool = True, **kind) -> tf.keras.Model:
    encoder = shaken_encoder(class_name)
    options = {"by_position": by_position, "num_labels": 3, "teacher_hidden_size": 16}
    return build_student(encoder, FAMILIES[class_name], **options, **kind).model


def logits(model) -> np.ndarray:
    found = model(BATCH)
    return (found["logits"] if isinstance(found, dict) else found).numpy()


@pytest.mark.parametrize("class_name", BERT_FIRST)
@pytest.mark.parametrize("by_position", [True, *slow(False)])
def test_student_of_every_family_is_cloned_and_comes_back_from_a_file(class_name, by_position, tmp_path):
    model = transformer(class_name, by_position, **({} if by_position else {"problem_type": SEVERAL_LABELS}))
    expected = logits(model)
    model.save(tmp_path / "m.keras")
    clone = tf.keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for found in (tf.keras.models.load_model(tmp_path / "m.keras"), clone):
        assert isinstance(found, StudentModel)
        np.testing.assert_array_equal(logits(found), expected)


def test_bilstm_comes_back_from_every_kind_of_file(tmp_path):
    model = shaken_student().model
    again = tf.keras.models.model_from_json(model.to_json())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(logits(again), logits(model))
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
        np.testing.assert_array_equal(logits(load_keras_model(str(tmp_path / name))), logits(model))


def test_model_of_another_process_is_refused_where_it_would_hang(monkeypatch):
    predict = make_predict_function(shaken_student().model)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(RuntimeError, match=r'TensorFlow hangs in the child.*get_context\("spawn"\)'):
        predict(BATCH)


@pytest.mark.slow
@pytest.mark.parametrize(("kinds", "near"), [([], 1e-5), ([tf.lite.Optimize.DEFAULT], 0.5)])
def test_student_is_converted_to_tflite(kinds, near):
    model = transformer("TFBertModel")
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = kinds
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    details = interpreter.get_input_details()
    inputs = {name: entry["index"] for entry in details for name in BATCH if name in entry["name"]}
    for number in inputs.values():
        interpreter.resize_tensor_input(number, IDS.shape)
    interpreter.allocate_tensors()
    for name, number in inputs.items():
        interpreter.set_tensor(number, BATCH[name])
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    np.testing.assert_allclose(interpreter.get_tensor(output["index"]), logits(model), atol=near)


@pytest.mark.slow
def test_student_comes_back_from_a_saved_model(tmp_path):
    model = transformer("TFBertModel")
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(logits(load_keras_model(str(tmp_path / "m"))), logits(model))


def test_student_inside_a_users_model_comes_back(tmp_path):
    student = transformer("TFBertModel")
    inputs = {name: tf.keras.Input((None,), dtype=tf.int32, name=name) for name in BATCH}
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2)(student(inputs)["logits"]))
    model.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    kept = tf.keras.callbacks.ModelCheckpoint(str(tmp_path / "kept.keras"))
    model.fit(BATCH, np.zeros_like(IDS), verbose=0, callbacks=[kept])
    np.testing.assert_array_equal(logits(tf.keras.models.load_model(tmp_path / "kept.keras")), logits(model))
