"""`fit_tasks`: several tasks with one encoder."""

import numpy as np
import pytest

from tests.distillation.distiller.models import bert, padded, pair, rows, variable_named
from tests.model_fixtures import toy_features
from xtremedistil.distillation.distiller.distiller import Distiller
from xtremedistil.distillation.distiller.multi_task import fit_tasks, share_encoder
from xtremedistil.terms.soft_labels import SoftLabels
from xtremedistil.terms.terms import Terms
from xtremedistil.training.batching import TrainingBatches
from xtremedistil.training.multi_task import TaskBatches
from xtremedistil.training.snapshots import SnapshotManager


def test_tasks_with_one_encoder_learn_together(tmp_path):
    """Heads differ, the encoder is one object; each head and the encoder change, each task is scored."""
    kinds = ("TokenClassification", "SequenceClassification")
    students = [bert(kind, layers=1, width=8, seed=seed) for seed, kind in enumerate(kinds)]
    share_encoder(*students)
    assert students[0].bert.encoder is students[1].bert.encoder
    tasks = ["tags", "texts"]
    teachers = [bert(kind, layers=2, width=16, seed=5) for kind in kinds]
    pairs = zip(tasks, teachers, students, strict=True)
    distillers = {task: Distiller(teacher, student) for task, teacher, student in pairs}
    before = [[variable.numpy() for variable in student.weights] for student in students]
    data = {"tags": rows(24), "texts": rows(16, seed=1)}
    history = fit_tasks(distillers, data, data, epochs=3, batch_size=8, learning_rate=0.01, tau=0.5)
    first, last = history.epochs[0], history.epochs[-1]
    for task in tasks:
        assert last[f"{task}/logits"] < first[f"{task}/logits"]
    for student, values in zip(students, before, strict=True):
        changed = [not np.array_equal(new.numpy(), old) for new, old in zip(student.weights, values, strict=True)]
        assert changed[-1] and changed[0]
    for task, student in zip(tasks, students, strict=True):
        distillers[task].save(str(tmp_path / task))
        again = type(student).from_pretrained(tmp_path / task)
        np.testing.assert_allclose(again(padded(rows(4))).logits, student(padded(rows(4))).logits, atol=1e-6)


@pytest.mark.slow
def test_tasks_that_were_stopped_go_on_to_the_same_end(tmp_path, monkeypatch):
    """The draw of tasks, the place in each, dropout of what they share, and weights that fall with training."""
    terms = Terms(SoftLabels("soft_label_kl", weight_schedule="linear_decay"))
    teachers = [bert("SequenceClassification", layers=1, width=8, seed=seed) for seed in (5, 6)]

    def run(**settings):
        students = [bert("SequenceClassification", layers=1, width=8, seed=seed, dropout=0.1) for seed in (0, 1)]
        share_encoder(*students)
        distillers = {task: Distiller(*pair, terms) for task, *pair in zip("ab", teachers, students, strict=True)}
        data = {"a": rows(24), "b": rows(16, seed=1)}
        fit_tasks(distillers, data, epochs=2, batch_size=8, learning_rate=0.01, tau=0.5, **settings)
        return [variable.numpy() for student in students for variable in student.weights]

    whole, save = run(), SnapshotManager.save

    def save_and_stop(snapshots, snapshot):
        save(snapshots, snapshot)
        if (snapshot.state["epoch"], snapshot.state["step"]) == (1, 2):
            raise KeyboardInterrupt

    monkeypatch.setattr(SnapshotManager, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run(folder=str(tmp_path), save_minutes=1e-9)
    monkeypatch.undo()
    for one, other in zip(whole, run(folder=str(tmp_path), save_minutes=1e-9), strict=True):
        np.testing.assert_array_equal(one, other)


def test_encoders_that_would_be_built_otherwise_are_not_shared():
    one, other = (bert("SequenceClassification", layers=1, width=8, seed=seed) for seed in (1, 2))
    other.config.hidden_act, other.config.hidden_dropout_prob = "relu", 0.3
    with pytest.raises(ValueError, match="differ in hidden_act. Build both"):
        share_encoder(one, other)


def test_tasks_are_drawn_by_size_to_the_power_of_tau():
    """1,600 and 400 rows: 4 to 1 by size, 2 to 1 with tau 0.5."""
    tasks = {name: TrainingBatches(toy_features(count), 1, 0, 0) for name, count in (("big", 1600), ("small", 400))}
    for tau, share in ((1.0, 4 / 5), (0.5, 2 / 3), (0.0, 1 / 2)):
        batches = TaskBatches(tasks, tau, seed=1)
        assert batches.steps == 2000
        found = np.mean([np.array(batches.order(epoch)) == "big" for epoch in range(10)])
        assert found == pytest.approx(share, abs=0.02)
        assert batches.done(1, 3)["big"] == [*batches.order(0), *batches.order(1)[:3]].count("big")


@pytest.mark.slow
def test_tasks_take_what_a_fit_takes():
    """The parts of a step are the step; one task trains its classifier alone, and is scored as it is asked to be."""

    def run(**settings):
        students = {
            task: bert("SequenceClassification", layers=1, width=8, seed=seed) for seed, task in enumerate("ab")
        }
        distillers = {task: Distiller([teacher, other], student) for task, student in students.items()}
        before = {
            name: variable_named(students["a"], name) for name in (variable.name for variable in students["a"].weights)
        }
        data = {"a": rows(16), "b": rows(16, seed=1)}
        own = {
            "trained": {"a": ["classifier"]},
            "metric": {"a": lambda *_: 4.0, "b": lambda *_: 1.0},
            "teachers": {"a": [0]},
        }
        history = fit_tasks(distillers, data, data, steps=4, steps_per_epoch=2, learning_rate=0.01, **own, **settings)
        changed = [
            name for name, value in before.items() if not np.array_equal(value, variable_named(students["a"], name))
        ]
        return history, changed

    teacher, other = (bert("SequenceClassification", layers=1, width=8, seed=seed) for seed in (5, 6))
    whole, changed = run(batch_size=8)
    parts, _ = run(batch_size=4, gradient_accumulation_steps=2)
    assert len(whole.epochs) == 2
    assert changed
    assert all("classifier" in name for name in changed)
    for one, two in zip(whole.epochs, parts.epochs, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert one["score"] == two["score"] == 2.5
    with pytest.raises(ValueError, match='no task of metric "c"'):
        fit_tasks({"a": Distiller(teacher, other)}, {"a": rows(4)}, metric={"c": lambda *_: 0.0})


def test_tasks_that_differ_are_refused():
    teacher, student = pair()
    with pytest.raises(ValueError, match="train has the tasks b"):
        fit_tasks({"a": Distiller(teacher, student)}, {"b": rows(4)})
