"""Weight files: names, bytes, and every way in which one can be wrong."""

import os
import resource
import signal

import h5py
import numpy as np
import pytest

from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.models.checkpoints.h5_weights import load_weights, read_weights, save_weights, weight_name

tf = pytest.importorskip("tensorflow")
TABLE = "student_2/bert/embeddings/word_embeddings/weight:0"


def small_parts(fill: float = 0.0, head: str = "dense") -> dict:
    """A student's three parts in miniature."""

    def variable(name, shape):
        values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        return tf.Variable(values + fill, name=name)

    return {
        "student_2": [
            variable("student_2/bert/embeddings/word_embeddings/weight", (5, 2)),
            variable("student_2/bert/encoder/layer_._0/output/dense/kernel", (2, 2)),
        ],
        "dense_2": [variable("dense_2/kernel", (2, 3)), variable("dense_2/bias", (3,))],
        "dense": [variable(f"{head}/kernel", (3, 4)), variable(f"{head}/bias", (4,))],
    }


def values(parts: dict) -> list:
    return [variable.numpy().tolist() for part in parts.values() for variable in part]


def write_layers(path, layers: dict[str, dict[str, np.ndarray]]) -> str:
    """A file in the layout of Keras, as another program would write it."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, weights in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in weights]
            for name, array in weights.items():
                group[name] = array
    return str(path)


def saved_layers(tmp_path) -> dict:
    save_weights(str(tmp_path / "full.h5"), small_parts())
    return read_weights(str(tmp_path / "full.h5"))


def test_what_is_saved_is_loaded(tmp_path):
    path, model = str(tmp_path / "a.h5"), small_parts(fill=9.0)
    save_weights(path, small_parts())
    assert load_weights(path, model) == set()
    assert values(model) == values(small_parts())


def test_names_do_not_depend_on_how_keras_numbered_the_layer(tmp_path):
    save_weights(str(tmp_path / "a.h5"), small_parts(head="dense_7"))
    assert list(read_weights(str(tmp_path / "a.h5"))["dense"]) == ["dense/kernel:0", "dense/bias:0"]
    assert weight_name("student_2", small_parts()["student_2"][0]) == TABLE


def test_same_weights_give_the_same_bytes(tmp_path, monkeypatch):
    save_weights(str(tmp_path / "a.h5"), small_parts())
    monkeypatch.setattr("time.time", lambda: 1e9)
    save_weights(str(tmp_path / "b.h5"), small_parts(head="dense_3"))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_keras_attributes_and_layer_names_are_there(tmp_path):
    save_weights(str(tmp_path / "a.h5"), small_parts())
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file.attrs["layer_names"]) == [b"student_2", b"dense_2", b"dense"]
        assert (file.attrs["backend"], file.attrs["keras_version"]) == ("tensorflow", "2.4.0")


def test_names_longer_than_an_attribute_may_be_are_cut_and_joined(tmp_path):
    names = [f"tf_model/{'x' * 200}_{number}" for number in range(400)]
    parts = {"tf_model": [tf.Variable([float(number)], name=name) for number, name in enumerate(names)]}
    save_weights(str(tmp_path / "a.h5"), parts)
    with h5py.File(tmp_path / "a.h5") as file:
        assert "weight_names1" in file["tf_model"].attrs
    assert len(read_weights(str(tmp_path / "a.h5"))["tf_model"]) == 400


def test_two_variables_of_one_name_are_refused(tmp_path):
    twice = [tf.Variable([1.0], name="dense/bias"), tf.Variable([2.0], name="dense/bias")]
    with pytest.raises(ValueError, match="2 variables but only 1 names"):
        save_weights(str(tmp_path / "a.h5"), {"dense": twice})


def test_frozen_embedding_may_be_absent_if_named(tmp_path):
    layers = saved_layers(tmp_path)
    del layers["student_2"][TABLE]
    path, model = write_layers(tmp_path / "frozen.h5", layers), small_parts(fill=9.0)
    assert load_weights(path, model, optional=[TABLE]) == {TABLE}
    assert model["student_2"][0].numpy()[0, 0] == 9.0
    assert model["student_2"][1].numpy()[0, 0] == 0.0
    with pytest.raises(InputError, match=f"missing in the file: {TABLE}"):
        load_weights(path, model)


def test_unnamed_embedding_pooler_and_numbered_layers_of_the_original_are_understood(tmp_path):
    layers = saved_layers(tmp_path)
    student, dense = layers["student_2"], layers["dense"]
    old = {
        "student_5": {
            "Variable:0": student[TABLE],
            **{name.replace("student_2", "student_5"): array for name, array in student.items() if name != TABLE},
            "student_5/bert/pooler/dense/bias:0": np.ones(2, np.float32),
        },
        "dense_2": layers["dense_2"],
        "dense_9": {name.replace("dense", "dense_9"): array for name, array in dense.items()},
    }
    model = small_parts(fill=9.0)
    load_weights(write_layers(tmp_path / "old.h5", old), model)
    assert values(model) == values(small_parts())


def test_left_over_weights_and_wrong_shapes_are_named_and_nothing_is_assigned(tmp_path):
    layers = saved_layers(tmp_path)
    layers["dense"]["dense/bias:0"] = np.zeros(7, np.float32)
    layers["student_2"]["student_2/bert/encoder/layer_._1/output/dense/kernel:0"] = np.zeros((2, 2), np.float32)
    model = small_parts(fill=9.0)
    with pytest.raises(InputError, match=r"(?s)in the file only: .*layer_._1.*dense/bias:0 is \[7\].*\[4\]"):
        load_weights(write_layers(tmp_path / "other.h5", layers), model)
    assert values(model) == values(small_parts(fill=9.0))


def test_layers_that_only_training_needs_are_passed_over_where_a_student_is_deployed(tmp_path):
    training = {
        "word_map": [tf.Variable(np.ones((9, 2), np.float32), name="word_map/kernel")],
        "hidden_1_projection": [tf.Variable([1.0], name="hidden_1_projection/bias")],
        "optimizer_m": [tf.Variable([1.0], name="optimizer_m/0")],
    }
    path, model = str(tmp_path / "stage.h5"), small_parts(fill=9.0)
    save_weights(path, small_parts() | training)
    with pytest.raises(InputError, match="holds the layers .*word_map, hidden_1_projection, optimizer_m; expected"):
        load_weights(path, model)
    assert load_weights(path, model, deployed_only=True) == set()
    assert values(model) == values(small_parts())


def test_layers_of_another_kind_of_model_are_refused(tmp_path):
    layers = {"tf_model": {"tf_model/x:0": np.zeros(1)}}
    with pytest.raises(InputError, match="holds the layers tf_model; expected student_2, dense_2, dense"):
        load_weights(write_layers(tmp_path / "teacher.h5", layers), small_parts())


def test_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(MissingFileError, match="no such weight file"):
        read_weights(str(tmp_path / "none.h5"))


@pytest.mark.parametrize("damage", ["text", "empty", "truncated", "other layout"])
def test_unreadable_files_are_named_with_what_was_expected(tmp_path, damage):
    path = tmp_path / "bad.h5"
    save_weights(str(path), small_parts())
    if damage == "other layout":
        with h5py.File(path, "w") as file:
            file["weights"] = np.zeros(3)
    else:
        whole = path.read_bytes()
        path.write_bytes({"text": b"not HDF5", "empty": b"", "truncated": whole[: len(whole) // 2]}[damage])
    with pytest.raises(InputError, match="bad.h5: not a readable weight file"):
        load_weights(str(path), small_parts())


def test_full_disk_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.h5"
    save_weights(str(path), small_parts())
    before = path.read_bytes()
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(InputError, match="a.h5"):
            save_weights(str(path), small_parts(fill=1.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["a.h5", "checksums.json"]
