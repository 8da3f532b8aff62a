"""The classifier of a checkpoint that was tuned before says the same here, by the task's labels; else a line why."""

import json

import numpy as np
import pytest

import xtremedistil  # noqa: F401 - chooses legacy Keras
from tests.model_fixtures import rows, slow, tiny_config, write_checkpoint
from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import FAMILIES
from xtremedistil.models.checkpoints.tuned_head import find_tuned_head
from xtremedistil.tasks.problem_types import CLASSES, SEVERAL_LABELS

LABELS = ["red", "green", "blue"]
TURNED = ["blue", "red", "green"]  # the checkpoint's order
TEXTS, WORDS = "ForSequenceClassification", "ForTokenClassification"


def shaken(class_name: str, ending: str, **changes):
    """A tiny tuned model of transformers; its labels are in the order of TURNED."""
    import tf_keras
    import transformers

    tf_keras.utils.set_random_seed(7)
    labels = {"id2label": dict(enumerate(TURNED)), "label2id": {label: n for n, label in enumerate(TURNED)}}
    config = getattr(transformers, FAMILIES[class_name].config_class_name).from_dict(tiny_config(class_name) | labels)
    config.update(changes)
    model = getattr(transformers, class_name.replace("Model", ending))(config, name="tuned")
    model.build_in_name_scope()
    generator = np.random.default_rng(7)
    for variable in model.weights:
        variable.assign_add(0.3 * generator.standard_normal(variable.shape).astype(np.float32))
    return model


def written(model, folder, layout: str) -> str:
    if layout == "pytorch":
        from xtremedistil.models.checkpoints.weight_files import in_pytorch

        state = in_pytorch({variable.name: variable.numpy() for variable in model.weights})
        named = {"architectures": [type(model).__name__[2:]]}
        state = {name: np.ascontiguousarray(array) for name, array in state.items()}
        return write_checkpoint(folder, json.loads(model.config.to_json_string()) | named, state)
    model.save_pretrained(str(folder), safe_serialization=layout == "safetensors")
    return str(folder)


HERE = [
    ("TFBertModel", TEXTS, "pytorch"),
    ("TFBertModel", WORDS, "safetensors"),
]
ELSEWHERE = [
    ("TFRobertaModel", TEXTS, "h5"),
    ("TFDistilBertModel", TEXTS, "safetensors"),
    ("TFElectraModel", TEXTS, "safetensors"),
    *((name, TEXTS, "h5") for name in ("TFBertModel", "TFElectraModel", "TFDistilBertModel", "TFXLMRobertaModel")),
    *((name, TEXTS, "safetensors") for name in ("TFGPT2Model", "TFOpenAIGPTModel", "TFCTRLModel")),
    *((name, TEXTS, "safetensors") for name in ("TFXLNetModel", "TFXLMModel")),
    *((name, WORDS, "h5") for name in ("TFElectraModel", "TFDistilBertModel", "TFRobertaModel", "TFXLMRobertaModel")),
    *((name, WORDS, "safetensors") for name in ("TFXLNetModel", "TFXLMModel")),
]


@pytest.mark.parametrize("class_name, ending, layout", [*HERE, *slow(*ELSEWHERE)])
def test_tuned_classifier_says_the_same_by_the_tasks_labels(class_name, ending, layout, tmp_path, eagerly):
    import tensorflow as tf

    from xtremedistil.models.checkpoints.pretrained import load_encoder
    from xtremedistil.models.teacher import build_teacher

    reference, family = shaken(class_name, ending), FAMILIES[class_name]
    folder = written(reference, tmp_path, layout)
    kind = {"by_position": ending == WORDS, "problem_type": CLASSES}
    found = find_tuned_head(folder, family, LABELS, **kind)
    assert found.head is not None and found.head.moved, found.reason
    assert "its columns are put into the order of the task's labels" in found.fate("no tuning")
    teacher = build_teacher(
        load_encoder(folder, family, name="tf_model"), family, num_labels=3, tuned=found.head, **kind
    )
    pad = reference.config.pad_token_id or 0
    inputs = {name: tf.constant(array) for name, array in rows((5, 5), pad_id=pad).items()}
    fed = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    if family.takes_token_types and getattr(reference.config, "type_vocab_size", 2) > 1:
        fed["token_type_ids"] = inputs["token_type_ids"]
    expected = reference(fed).logits.numpy()[..., [TURNED.index(label) for label in LABELS]]
    np.testing.assert_allclose(teacher.model(inputs)["logits"], expected, atol=2e-5)
    again = teacher.feature_model(["logits"])(inputs)["logits"]
    np.testing.assert_allclose(again, expected, atol=2e-5)


def hollow(folder, **changes) -> str:
    """A checkpoint with a classifier of words and nothing else."""
    config = {"architectures": ["BertForTokenClassification"], "id2label": dict(enumerate(LABELS))}
    state = {"classifier.weight": np.eye(3, 12, dtype=np.float32), "classifier.bias": np.arange(3, dtype=np.float32)}
    state |= changes.pop("state", {})
    return write_checkpoint(folder, tiny_config("TFBertModel") | config | changes, state)


def look(folder: str, by_position: bool = True, problem_type: str = CLASSES, labels=LABELS):
    kind = {"by_position": by_position, "problem_type": problem_type}
    return find_tuned_head(folder, FAMILIES["TFBertModel"], labels, **kind)


def test_labels_in_the_tasks_order_are_left_as_they_are(tmp_path):
    found = look(hollow(tmp_path))
    assert not found.head.moved and found.head.outer.bias.tolist() == [0, 1, 2]
    turned = look(hollow(tmp_path), labels=["blue", "red", "green"])
    assert turned.head.moved and turned.head.outer.bias.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    "changes, kind, said",
    [
        ({"id2label": {"0": "red", "1": "green", "2": "pink"}}, {}, "its 3 labels are red, green, pink; the task's 3"),
        ({"id2label": {"0": "red", "1": "green"}}, {}, "its 2 labels are red, green; the task's 3"),
        ({"id2label": {str(n): f"LABEL_{n}" for n in range(3)}}, {}, "gives its labels no names"),
        ({"id2label": None}, {}, "gives its labels no names"),
        ({}, {"by_position": False}, "it is for words"),
        ({"architectures": ["BertForSequenceClassification"]}, {}, "it is for texts"),
        ({"architectures": ["BertForQuestionAnswering"]}, {}, "it is for another kind of task"),
        (
            {"architectures": ["BertForSequenceClassification"]},
            {"by_position": False, "problem_type": SEVERAL_LABELS},
            "says problem_type None, the task's is multi_label_classification",
        ),
        ({"architectures": ["BertForSequenceClassification"]}, {"by_position": False}, "no bert.pooler.dense.weight"),
    ],
)
def test_classifier_that_is_not_used_is_named_with_the_reason(changes, kind, said, tmp_path):
    found = look(hollow(tmp_path, **changes), **kind)
    assert found.head is None and said in found.reason
    assert found.fate("").startswith(f"the classifier of {tmp_path}") and "is not used" in found.fate("")


@pytest.mark.parametrize("changes", [{"architectures": ["BertModel"], "id2label": None}, {"architectures": None}])
def test_checkpoint_without_a_classifier_says_nothing(changes, tmp_path):
    found = look(hollow(tmp_path, **({"id2label": None} | changes)))
    assert found.head is None and found.fate("") == ""


def test_labels_that_are_called_so_need_no_other_names(tmp_path):
    names = ["LABEL_1", "LABEL_0", "LABEL_2"]
    assert look(hollow(tmp_path, id2label=None), labels=names).head.outer.bias.tolist() == [1, 0, 2]


def test_classifier_of_another_size_than_config_json_says_is_refused(tmp_path):
    state = {"classifier.weight": np.zeros([5, 12], np.float32), "classifier.bias": np.zeros(5, np.float32)}
    with pytest.raises(InputError, match="classifier.weight has 5 rows, but config.json names 3 labels"):
        look(hollow(tmp_path, state=state))
