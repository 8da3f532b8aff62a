"""Logits are compared label by label: labels of teachers and student are compared by name."""

import json

import numpy as np
import pytest

from tests.distillation.distiller.models import bert, pair, tf
from tests.model_fixtures import rows
from xtremedistil.distillation.distiller.distiller import Distiller
from xtremedistil.export.huggingface.deployed import _names_of
from xtremedistil.models.adapters import TaskModel
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.terms.terms import Terms

NAMES = ("red", "green", "blue")


def named(model, names):
    model.config.id2label = dict(enumerate(names))
    return model


@pytest.mark.parametrize("task", ["SequenceClassification", "TokenClassification"])
def test_teacher_with_labels_in_another_order_teaches_them_by_name(task):
    teacher, student = pair(task)
    turned = ("blue", "red", "green")
    distiller = Distiller(named(teacher, turned), named(student, NAMES), Terms())
    (aligned,) = distiller.teachers
    assert aligned.labels == NAMES
    inputs = {name: tf.constant(array) for name, array in rows().items()}
    expected = teacher(inputs).logits.numpy()[..., [turned.index(name) for name in NAMES]]
    for model in (aligned.model, aligned.feature_model(["logits"])):
        np.testing.assert_allclose(model(inputs)["logits"], expected, atol=1e-6)


def test_student_without_names_takes_the_teachers_and_says_so(capfd):
    teacher, student = pair()
    distiller = Distiller(named(teacher, NAMES), student, Terms())
    assert student.config.id2label == dict(enumerate(NAMES)) and student.config.label2id["blue"] == 2
    assert distiller.student.labels == NAMES
    said = capfd.readouterr()
    assert "no names (LABEL_0, LABEL_1, LABEL_2); it takes the teacher's, in its order: red" in said.out + said.err


def test_teacher_without_names_is_taken_as_it_is_and_that_is_said(capfd):
    teacher, student = pair()
    distiller = Distiller(teacher, named(student, NAMES), Terms())
    assert distiller.teachers[0].labels == ()
    said = capfd.readouterr()
    assert "Teacher 0's labels have no names; they are taken to be in the order" in said.out + said.err


@pytest.mark.parametrize("names", [("red", "green", "pink"), ("red", "red", "green"), ("Red", "green", "blue")])
def test_other_labels_are_refused_with_both_lists(names):
    teacher, student = pair()
    with pytest.raises(ValueError, match=f"Teacher 0 has the labels {', '.join(names)}; the student red, green, blue"):
        Distiller(named(teacher, names), named(student, NAMES), Terms())


def test_each_of_several_teachers_is_put_into_the_students_order():
    teacher, student = pair()
    second = bert("SequenceClassification", layers=1, width=8, seed=5)
    distiller = Distiller([named(teacher, NAMES[::-1]), named(second, NAMES)], student, Terms())
    assert [one.labels for one in distiller.teachers] == [NAMES[::-1]] * 2 == [distiller.student.labels] * 2


def test_labels_do_not_matter_where_logits_are_not_compared():
    teacher, student = pair()
    terms = Terms(SoftLabels(weight=0), hard_label_weight=1.0)
    Distiller(named(teacher, ("a", "b", "c")), named(student, NAMES), terms)


def test_deployed_student_says_the_teachers_labels(tmp_path):
    teacher, student = (bert("TokenClassification", layers=1, width=8, seed=seed) for seed in (1, 2))
    Distiller(named(teacher, ("O", "B-PER", "B-LOC")), student, Terms())
    assert _names_of(TaskModel(student)) == ["O", "B-PER", "B-LOC"]
    student.config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert list(saved["id2label"].values()) == ["O", "B-PER", "B-LOC"] and saved["label2id"]["B-LOC"] == 2
