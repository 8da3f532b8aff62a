"""`Distiller` and what else takes models refuse arguments of other kinds by name, before TensorFlow sees them."""

import os

import pytest

import xtremedistil
from tests.distillation.distiller.models import bert, explain, recurrent, rows, tf_keras
from xtremedistil import AdaptedModel, Distiller, fit_tasks, parameter_summary, share_encoder

NAN = float("nan")
NO_PATH = [None, "", 3, True, [], "a\0b"]
NO_MAPPING = [3, "abc", [1], True]


class PyTorchLike:
    """Has what a torch.nn.Module has."""

    def state_dict(self):
        return {}


@pytest.fixture(scope="module")
def model():
    return bert("SequenceClassification", layers=1, width=8, seed=1)


def refused(call, value, named: str) -> None:
    with pytest.raises(ValueError) as error:
        call(value)
    assert named in str(error.value), error.value
    assert f"{os.sep}xtremedistil{os.sep}" in str(error.traceback[-1].path), error.traceback[-1]


@pytest.mark.parametrize("wrong", [3, "runs/teacher", b"x", {}, object(), PyTorchLike(), tf_keras.Sequential])
def test_models_of_other_kinds_are_refused(wrong, model):
    wrong = wrong() if wrong is tf_keras.Sequential else wrong
    refused(lambda value: Distiller(value, model), wrong, "teacher 0 is")
    refused(lambda value: Distiller(model, value), wrong, "student is")
    refused(lambda value: share_encoder(model, value), wrong, "is no TensorFlow model of transformers")
    refused(lambda value: share_encoder(value), wrong, "is no TensorFlow model of transformers")


def test_no_student_and_a_list_of_no_teachers_are_refused(model):
    refused(lambda value: Distiller(model, value), None, "student is None")
    refused(lambda value: Distiller(value, model), [], "Without a teacher")
    refused(lambda value: Distiller(value, model), [None], "teacher 0 is None")


@pytest.mark.parametrize("wrong", [3, "kl", {}, [], object()])
def test_terms_and_strategy_of_other_kinds_are_refused(wrong, model):
    refused(lambda value: Distiller(model, model, value), wrong, "terms is")
    refused(lambda value: Distiller(model, model, strategy=value), wrong, "strategy is")


FIT = [
    ("settings", [3, "x", {}, []]),
    ("metric", [3, "f1", []]),
    ("teachers", [3, "0", {}]),
    ("teachers", [[1], [-1], ["0"], [0.0], [True], [None]]),
    ("trained", [3, "bert", [1], [None]]),
    ("teacher_train", NO_MAPPING),
    ("teacher_dev", NO_MAPPING),
    ("epochs", [None, "3", 0.5]),
    ("folder", NO_PATH[1:]),
]


@pytest.mark.parametrize("name, wrong", [(name, value) for name, values in FIT for value in values])
def test_arguments_of_fit(name, wrong, untrained):
    refused(lambda value: untrained.fit(rows(4), **{name: value}), wrong, name)


@pytest.mark.parametrize("wrong", [None, 3, "abc", [], [{"input_ids": [1]}], object()])
def test_rows_of_other_kinds(wrong, untrained):
    for call in (untrained.fit, untrained.predict):
        refused(call, wrong, "Rows are")


def test_arguments_of_predicting_saving_and_deploying(untrained, word_piece_folder, tmp_path):
    for wrong in (None, "8", 0, -1, 2.5, True):
        refused(lambda value: untrained.predict(rows(2), value), wrong, "batch_size")
    for wrong in NO_PATH:
        refused(untrained.save, wrong, "folder")
        refused(untrained.load_projections, wrong, "folder")
        refused(lambda value: untrained.deploy(value, word_piece_folder), wrong, "folder")
    out = str(tmp_path / "out")
    deploy = {
        "labels": [3, "abc", [1], ["a", "a", "b"], ["a", "b", ""], ["a"]],
        "seq_len": [None, "8", 2, 0.5, True, 10**30],
        "do_pairwise": [None, "yes", 1],
        "label_separator": [None, 3, ""],
        "task": [None, 3],
    }
    for name, values in deploy.items():
        for wrong in values:
            call = lambda value, name=name: untrained.deploy(out, word_piece_folder, **{name: value})  # noqa: E731
            refused(call, wrong, name)
    for wrong in (None, 3, {}, object()):
        refused(lambda value: untrained.deploy(out, value), wrong, "tokenizer")
    assert not os.path.exists(out)


@pytest.mark.parametrize("wrong", [None, "f1", NAN, [1.0], True])
def test_result_of_a_metric_that_is_no_number(wrong, untrained):
    data = rows(4, labels=[0, 1, 2, 0])
    call = lambda value: untrained.fit(rows(4), data, epochs=1, metric=lambda logits, known: value)  # noqa: E731
    refused(call, wrong, "The result of metric is")


@pytest.mark.parametrize("wrong", [None, 3, [], "x", {"logits": None}, {"logits": 3}, {"logits": {}}, {}])
def test_adaptors_that_give_something_else(wrong):
    refused(lambda value: AdaptedModel(recurrent(), lambda inputs, outputs: value), wrong, "adaptor")


@pytest.mark.parametrize("key", ["hidden_states", "attentions", "logits_mask"])
def test_adaptors_with_other_values_than_tensors(key):
    def adaptor(inputs, outputs):
        return explain(inputs, outputs) | {key: [3]}

    refused(lambda value: AdaptedModel(recurrent(), value), adaptor, key)


def test_arguments_of_adapted_models():
    for wrong in (None, 3, "model", object()):
        refused(lambda value: AdaptedModel(value, explain), wrong, "model is")
    for wrong in (None, 3, "f"):
        refused(lambda value: AdaptedModel(recurrent(), value), wrong, "adaptor is")
    for wrong in (3, "classes", []):
        refused(lambda value: AdaptedModel(recurrent(), explain, value), wrong, "problem type")
    pixels = {name: tf_keras.Input((4,), name=name) for name in ("pixels", "more_pixels")}
    other = tf_keras.Model(pixels, tf_keras.layers.Dense(3)(pixels["pixels"] + pixels["more_pixels"]))
    refused(lambda value: AdaptedModel(value, explain), other, "has the inputs more_pixels, pixels")


TASKS = {
    "distillers": [None, 3, [], {}, {"a": 3}, {3: None}],
    "train": [None, 3, [], {}, {"b": 1}],
    "dev": [3, [], {}, {"b": 1}],
    "tau": [None, "1", NAN, True],
    "teachers": [3, [0], {"b": [0]}],
    "trained": [3, ["bert"], {"b": ["bert"]}],
    "metric": [3, [1], {"b": 1}, {"a": 3}],
    "settings": [3, {}],
}


@pytest.mark.parametrize("name, wrong", [(name, value) for name, values in TASKS.items() for value in values])
def test_arguments_of_fit_tasks(name, wrong, untrained):
    given = {"distillers": {"a": untrained}, "train": {"a": rows(4)}}
    said = {"distillers": "task"} if wrong == {3: None} else {}
    refused(lambda value: fit_tasks(**(given | {name: value})), wrong, said.get(name, name))


def test_arguments_of_what_reads_and_writes_folders(model, tmp_path):
    for wrong in NO_PATH:
        refused(xtremedistil.load_student, wrong, "model_dir")
        refused(xtremedistil.export_onnx, wrong, "model_dir")
        refused(xtremedistil.export_saved_model, wrong, "model_dir")
        refused(lambda value: xtremedistil.save_pretrained(value, "out"), wrong, "model_dir")
        refused(lambda value: xtremedistil.save_pretrained("here", value), wrong, "out")
    for wrong in (None, 3, "", []):
        refused(lambda value: xtremedistil.load_student("here", value), wrong, "weights")
        refused(lambda value: xtremedistil.export_onnx("here", weights=value), wrong, "weights")
    for wrong in (None, "yes", 1):
        refused(lambda value: xtremedistil.export_onnx("here", quantize=value), wrong, "quantize")
    for wrong in (None, "1", NAN, []):
        refused(lambda value: xtremedistil.export_onnx("here", max_metric_drop=value), wrong, "max_metric_drop")
    for wrong in NO_PATH[1:]:
        for name in ("task", "rows", "tokenizer"):
            call = lambda value, name=name: xtremedistil.export_saved_model("here", **{name: value})  # noqa: E731
            refused(call, wrong, name)
    for wrong in (None, 3, "model", object()):
        refused(parameter_summary, wrong, "model is")
    for wrong in ("1", 0.5, -1, True):
        refused(lambda value: parameter_summary(model, value), wrong, "max_depth")


@pytest.mark.parametrize("wrong", [None, 3, "config", {}, object()])
def test_commands_take_their_own_settings_only(wrong):
    for name in ("distil", "plan", "pretrain", "transfer"):
        refused(getattr(xtremedistil, name), wrong, "is no ")
