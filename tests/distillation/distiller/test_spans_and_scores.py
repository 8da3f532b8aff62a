"""Spans, scores and several labels at once: soft labels and gold labels of each."""

import numpy as np
import pytest

from tests.conftest import slow
from tests.distillation.distiller.models import FIT, ONE_STEP, bert, of_problem, padded, pair, rows, span_logits, tf
from xtremedistil.distillation.distiller.distiller import Distiller
from xtremedistil.losses import LOSSES
from xtremedistil.losses.masking import EXCLUDED
from xtremedistil.terms.soft_labels import SoftLabels, parse_temperature_schedule
from xtremedistil.terms.terms import Terms


def test_scores_are_learnt_by_squared_errors():
    teacher, student = of_problem("regression", 1), of_problem("regression", 2)
    labels = [0.5, -1.0, 2.0, 0.0]
    data = rows(4, labels=labels)
    theirs, ours = (model(padded(data)).logits.numpy()[:, 0] for model in (teacher, student))
    (epoch,) = Distiller(teacher, student, Terms(hard_label_weight=0.5)).fit(data, data, **ONE_STEP).epochs
    assert epoch["logits"] == pytest.approx(np.mean((theirs - ours) ** 2), rel=1e-4)
    assert epoch["labels"] == pytest.approx(np.mean((ours - labels) ** 2), rel=1e-4)
    assert epoch["loss"] == pytest.approx(epoch["logits"] + 0.5 * epoch["labels"], rel=1e-4)
    assert epoch["score"] == pytest.approx(-epoch["loss"], rel=1e-3), "the loss of the same rows, as they are"


def test_several_labels_at_once_are_learnt_each_by_itself():
    """BCE(sigmoid(teacher / 2), student / 2) x 4 and BCE(labels, student), means over rows and labels."""
    problem = "multi_label_classification"
    teacher, student = of_problem(problem, 1), of_problem(problem, 2)
    labels = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    data = rows(4, labels=labels.tolist())
    theirs, ours = (model(padded(data)).logits.numpy() for model in (teacher, student))

    def bce(chances, logits):
        return -np.mean(chances * np.log(1 / (1 + np.exp(-logits))) + (1 - chances) * np.log(1 / (1 + np.exp(logits))))

    (epoch,) = Distiller(teacher, student, Terms(hard_label_weight=0.5)).fit(data, **ONE_STEP).epochs
    assert epoch["logits"] == pytest.approx(4 * bce(1 / (1 + np.exp(-theirs / 2)), ours / 2), rel=1e-4)
    assert epoch["labels"] == pytest.approx(bce(labels, ours), rel=1e-4)
    with pytest.raises(ValueError, match="labels that exclude each other"):
        Distiller(teacher, student, Terms(SoftLabels("soft_label_kl")))


@pytest.mark.slow
def test_ends_of_spans_are_learnt_over_the_real_positions_of_a_row():
    """A row whose span is not in it is left out; parts of a step are the step."""
    teacher, student = pair("QuestionAnswering")
    data = rows(6)
    lengths = [len(row) for row in data["input_ids"]]
    data |= {"start_positions": [0, 1, -100, 2, 0, 1], "end_positions": [1, 2, 0, lengths[3] + 4, 0, 2]}
    found = []
    for row in (0, 1, 4, 5):
        for name, logits in zip(("start", "end"), span_logits(student, padded(data)), strict=True):
            log_shares = tf.nn.log_softmax(logits[row, : lengths[row]]).numpy()
            found.append(-log_shares[data[f"{name}_positions"][row]])
    distiller = Distiller(teacher, student, Terms(hard_label_weight=1.0))
    for sizes in ({"batch_size": 6}, {"batch_size": 2, "gradient_accumulation_steps": 3}):
        (epoch,) = distiller.fit(data, **(ONE_STEP | sizes)).epochs
        assert epoch["labels"] == pytest.approx(np.mean(found), rel=1e-4)
        assert epoch["loss"] == pytest.approx(epoch["labels"] + epoch["start_logits"] + epoch["end_logits"], rel=1e-5)
    outside = {"start_positions": [-100, 0, 1, 9], "end_positions": [1, 9, -100, 9]}
    for unlabelled in (rows(4), rows(4) | outside):
        with pytest.raises(ValueError, match="none. Give them as start_positions and end_positions"):
            distiller.fit(unlabelled, **ONE_STEP)


def test_dev_rows_without_a_label_are_judged_by_the_loss_and_labels_without_a_logit_refused():
    distiller = Distiller(*pair())
    history = distiller.fit(rows(8), rows(4, labels=[-100] * 4), **(FIT | {"epochs": 1}))
    assert history.best_score < 0
    with pytest.raises(ValueError, match="The labels reach 9"):
        distiller.fit(rows(8), rows(4, labels=[0, 9, 0, 1]), **FIT)


def test_student_of_scores_learns_from_the_teacher_and_is_judged_by_the_loss():
    teacher, student = (bert("SequenceClassification", layers=1, width=8, seed=seed, labels=1) for seed in (1, 2))
    distiller = Distiller(teacher, student)
    history = distiller.fit(rows(16), rows(8, seed=1, labels=[3] * 8), **FIT)
    assert history.best_score < 0
    tagger = bert("TokenClassification", layers=1, width=8, seed=1, labels=1)
    with pytest.raises(ValueError, match="no loss on gold labels"):
        Distiller(tagger, tagger, Terms(SoftLabels("logits_mse"), hard_label_weight=1.0))


@pytest.mark.parametrize("loss", ["soft_label_kl", *slow("soft_label_ce", "logit_standardized_kl")])
def test_softmax_of_spans_is_over_the_real_positions_of_a_row(loss):
    teacher, student = pair("QuestionAnswering")
    data = rows(6)
    distiller = Distiller(teacher, student, Terms(SoftLabels(loss, temperature=3.0)))
    (epoch,) = distiller.fit(data, epochs=1, batch_size=6, learning_rate=1e-9).epochs
    batch, lengths = padded(data), [len(row) for row in data["input_ids"]]
    sides = zip(span_logits(teacher, batch), span_logits(student, batch), strict=True)
    for name, (theirs, ours) in zip(("start_logits", "end_logits"), sides, strict=True):
        alone = [
            LOSSES[loss](teacher=theirs[row : row + 1, :length], student=ours[row : row + 1, :length], temperature=3.0)
            for row, length in enumerate(lengths)
        ]
        assert epoch[name] == pytest.approx(float(np.mean(alone)), rel=1e-3)


@pytest.mark.parametrize("loss", ["logits_mse", *slow("soft_label_bce")])
def test_spans_are_compared_position_by_position_by_losses_without_a_softmax(loss):
    teacher, student = pair("QuestionAnswering")
    data = rows(6)
    (epoch,) = (
        Distiller(teacher, student, Terms(SoftLabels(loss)))
        .fit(data, epochs=1, batch_size=6, learning_rate=1e-9)
        .epochs
    )
    batch = padded(data)
    real = batch["attention_mask"] > 0
    theirs, ours = (span_logits(model, batch)[0][real][:, None] for model in (teacher, student))
    assert epoch["start_logits"] == pytest.approx(float(LOSSES[loss](teacher=theirs, student=ours)), rel=1e-3)


def test_temperatures_of_spans_do_not_see_padding():
    """One row alone and beside a longer one: its cosine, so its temperature, is the same."""
    logits = tf.constant([[1.0, 2.0, -1.0]]), tf.constant([[2.0, 0.0, 1.0]])
    wide = [tf.concat([one, [[EXCLUDED] * 4]], axis=1) for one in logits]
    rows_of = [tf.concat([one, tf.ones([1, one.shape[1]])], axis=0) for one in logits]
    wide_rows = [tf.concat([one, tf.concat([tf.ones([1, 3]), [[EXCLUDED] * 4]], 1)], axis=0) for one in wide]
    found = [
        parse_temperature_schedule("flsw:1,1")(teacher=teacher, student=student, temperature=4.0).numpy()
        for teacher, student in (rows_of, wide_rows)
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0][0] < 4 < found[0][1]
