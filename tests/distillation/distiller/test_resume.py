"""A fit that was stopped goes on; teacher outputs and snapshots are read again only where they fit."""

import numpy as np
import pytest

from tests.distillation.distiller.models import FIT, bert, pair, recurrent, rows
from xtremedistil.distillation.distiller.distiller import Distiller
from xtremedistil.distillation.teacher_outputs.cache_writer import OutputWriterConfig
from xtremedistil.models.adapters import AdaptedModel, TaskModel
from xtremedistil.storage.model_folder import SNAPSHOTS
from xtremedistil.terms.match import Match
from xtremedistil.terms.terms import Terms
from xtremedistil.training.snapshots import SnapshotManager
from xtremedistil.training.workers import Workers


def test_fit_that_was_stopped_goes_on_to_the_same_end(tmp_path):
    teacher, _ = pair()

    def student():
        return bert("SequenceClassification", layers=1, width=8, seed=2, dropout=0.1)

    whole = student()
    Distiller(teacher, whole).fit(rows(24), rows(8, labels=[0] * 8), metric=lambda *_: 0.5, **FIT)

    calls = []

    def stop_in_the_second_epoch(logits, features):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return 0.5

    settings = FIT | {"folder": str(tmp_path), "save_minutes": 1e-9}
    with pytest.raises(KeyboardInterrupt):
        Distiller(teacher, student()).fit(
            rows(24), rows(8, labels=[0] * 8), metric=stop_in_the_second_epoch, **settings
        )
    again = student()
    Distiller(teacher, again).fit(rows(24), rows(8, labels=[0] * 8), metric=stop_in_the_second_epoch, **settings)
    assert len(calls) == 4, "the first epoch is not scored again"
    for one, other in zip(whole.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.slow
def test_fit_without_a_dev_set_that_was_stopped_ends_with_the_latest_weights(tmp_path, monkeypatch):
    teacher, whole = pair()
    Distiller(teacher, whole).fit(rows(24), **FIT)
    settings = FIT | {"folder": str(tmp_path), "save_minutes": 1e-9}
    save = SnapshotManager.save

    def save_and_stop_in_the_third_epoch(snapshots, snapshot):
        save(snapshots, snapshot)
        if snapshot.state["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(SnapshotManager, "save", save_and_stop_in_the_third_epoch)
    with pytest.raises(KeyboardInterrupt):
        Distiller(*pair()).fit(rows(24), **settings)
    monkeypatch.undo()
    teacher, again = pair()
    history = Distiller(teacher, again).fit(rows(24), **settings)
    assert history.best_epoch == 2
    for one, other in zip(whole.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.slow
def test_snapshots_of_another_batch_size_or_nameless_schedules_are_not_read_and_go_when_the_fit_is_done(
    tmp_path, monkeypatch
):
    teacher, student = pair()
    settings = FIT | {"folder": str(tmp_path), "save_minutes": 1e-9}
    nameless = Terms(hard_label_weight=1.0, hard_label_weight_schedule=lambda progress: progress)
    with pytest.raises(ValueError, match="has no name for that"):
        Distiller(teacher, student, nameless).fit(rows(24), **settings)
    distiller = Distiller(teacher, student)
    monkeypatch.setattr(SnapshotManager, "clear", lambda snapshots: None)
    distiller.fit(rows(24), **settings)
    monkeypatch.undo()
    found, load = [], SnapshotManager.load
    monkeypatch.setattr(SnapshotManager, "load", lambda snapshots: found.append(load(snapshots)))
    distiller.fit(rows(24), **(settings | {"batch_size": 4}))
    assert found == [None]
    assert not (tmp_path / SNAPSHOTS).exists()


@pytest.mark.slow
def test_what_chooses_the_weights_makes_another_fit(tmp_path):
    """A score of another kind, or of other rows, cannot be compared with the best one of a snapshot."""
    distiller, labelled = Distiller(*pair()), rows(8, labels=[0] * 8)

    def key(dev=None, metric=None, precision="float32") -> str:
        how = OutputWriterConfig(0, 8, Workers(distiller.strategy), precision=precision)
        return distiller.fit_inputs(rows(8), dev, teachers=None, metric=metric, folder=str(tmp_path), how=how).key

    found = [key(), key(rows(8)), key(labelled), key(rows(8, labels=[1] * 8)), key(labelled, lambda *_: 0.5)]
    assert len({*found, key(precision="float16"), key(labelled, ends_alike)}) == 7
    assert key(labelled) == found[2]


def ends_alike(logits, features) -> float:
    return 0.5


@pytest.mark.slow
def test_student_of_another_size_makes_another_fit(tmp_path):
    teacher, student = pair()
    students = [student, bert("SequenceClassification", layers=1, width=8, seed=2), pair()[1]]
    distillers = [Distiller(teacher, one) for one in students]
    how = OutputWriterConfig(0, 8, Workers(distillers[0].strategy))
    deep, flat, again = (
        one.fit_inputs(rows(8), None, teachers=None, metric=None, folder=str(tmp_path), how=how).key
        for one in distillers
    )
    assert deep == again != flat


def test_targets_are_kept_in_a_folder_and_read_again(tmp_path, monkeypatch):
    teacher, student = pair()
    distiller = Distiller(teacher, student)
    distiller.fit(rows(16), folder=str(tmp_path), **FIT)
    asked, feature_model = [], TaskModel.feature_model
    monkeypatch.setattr(
        TaskModel, "feature_model", lambda self, names: asked.append(self) or feature_model(self, names)
    )
    distiller.fit(rows(16), folder=str(tmp_path), **FIT)
    assert asked == []
    distiller.fit(rows(16, seed=1), folder=str(tmp_path), **FIT)
    assert asked == [distiller.teachers[0]], "other rows ask the teacher anew"


@pytest.mark.slow
def test_another_adaptor_over_the_same_teacher_is_asked_anew(tmp_path):
    model = recurrent()
    _, student = pair("TokenClassification")
    losses = []
    for state in (1, 2):
        teacher = AdaptedModel(model, lambda i, o, n=state: {"logits": o[0], "hidden_states": [o[1], o[n]]})
        distiller = Distiller(teacher, student, Terms(matches=(Match("hidden_states", 1, 2, "spkd"),)))
        (epoch,) = distiller.fit(rows(8), folder=str(tmp_path), **(FIT | {"epochs": 1, "learning_rate": 0.0})).epochs
        losses.append(epoch["loss"])
    assert losses[0] != losses[1]
