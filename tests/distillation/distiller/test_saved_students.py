"""Students of a `Distiller`, saved and loaded again, and those of model folders."""

import numpy as np
import pytest

import xtremedistil
from tests.distillation.distiller.models import FIT, bert, padded, pair, rows, tf, transformers
from xtremedistil.distillation.distiller.distiller import Distiller
from xtremedistil.terms.terms import Terms


def test_public_names_are_there():
    assert xtremedistil.Distiller is Distiller
    assert xtremedistil.Terms is Terms


@pytest.mark.slow
def test_saved_student_stands_alone_and_projections_beside_it(tmp_path):
    teacher, student = pair()
    distiller = Distiller(teacher, student, Terms(matches="last"))
    distiller.fit(rows(16), **FIT)
    distiller.save(str(tmp_path))
    loaded = transformers.TFBertForSequenceClassification.from_pretrained(str(tmp_path))
    batch = padded(rows(4))
    np.testing.assert_allclose(loaded(batch).logits, student(batch).logits, atol=1e-6)
    assert not any("projection" in variable.name for variable in loaded.weights)
    assert Terms.from_json((tmp_path / "terms.json").read_text()) == distiller.terms

    before = [layer.kernel.numpy() for layer in distiller.projections]
    for layer in distiller.projections:
        layer.kernel.assign(tf.zeros_like(layer.kernel))
    distiller.load_projections(str(tmp_path))
    for layer, kernel in zip(distiller.projections, before, strict=True):
        np.testing.assert_array_equal(layer.kernel.numpy(), kernel)


def test_student_of_a_model_folder_is_trained_on_and_saved_as_one(distilled, tmp_path):
    from xtremedistil.models.student_folder import restore_student

    folder = str(distilled / "student")
    student = restore_student(folder)
    labels = student.head.units
    teacher = bert("TokenClassification", layers=2, width=16, seed=1, labels=labels)
    before = student.head.kernel.numpy()
    data = {"input_ids": [[2, 7, 8, 3]] * 8}
    Distiller(teacher, student).fit(data, epochs=1, batch_size=8, learning_rate=0.01)
    assert not np.array_equal(student.head.kernel.numpy(), before)
    with pytest.raises(ValueError, match="Give like="):
        Distiller(teacher, student).save(str(tmp_path))
    Distiller(teacher, student).save(str(tmp_path), like=folder)
    again = xtremedistil.load_student(str(tmp_path))
    batch = {name: tf.constant(array) for name, array in padded(data).items()}
    batch |= {"token_type_ids": tf.zeros_like(batch["input_ids"])}
    np.testing.assert_array_equal(again(batch)["logits"], student.model(batch)["logits"])
    assert xtremedistil.load_predictor(str(tmp_path))(["the cat sat"])
