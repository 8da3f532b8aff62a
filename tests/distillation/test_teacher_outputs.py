"""Teacher outputs kept on disk: by row, by several workers and runs, whole or computed again."""

import dataclasses
import gc
import itertools
import threading
import weakref

import numpy as np
import pytest

import xtremedistil  # noqa: F401 - chooses legacy Keras
from tests.model_fixtures import TOY_LABELS, toy_features
from xtremedistil.data.features import Features
from xtremedistil.errors import InputError

tf = pytest.importorskip("tensorflow")

from xtremedistil.distillation.teacher_outputs.cache import LiveOutputs, cached_outputs, keep_only  # noqa: E402
from xtremedistil.distillation.teacher_outputs.cache_writer import OutputWriterConfig  # noqa: E402
from xtremedistil.models.architectures.families import FAMILIES  # noqa: E402
from xtremedistil.models.teacher import build_teacher  # noqa: E402
from xtremedistil.training.batching import TrainingBatches  # noqa: E402
from xtremedistil.training.loop import distributed  # noqa: E402
from xtremedistil.training.state import TrainingState  # noqa: E402
from xtremedistil.training.workers import Workers  # noqa: E402

NAMES = ["logits", "hidden_states_0", "hidden_states_2", "attentions_1"]
ALONE = Workers(tf.distribute.get_strategy())


@pytest.fixture
def teacher(tiny_encoders):
    def build(by_position: bool):
        encoder = tiny_encoders("TFBertModel")
        return build_teacher(encoder, FAMILIES["TFBertModel"], by_position=by_position, num_labels=TOY_LABELS)

    return build


def targets_of(model, features: Features, folder, key: str = "a", workers=None, names=tuple(NAMES)):
    seen = []
    how = OutputWriterConfig(0, 4, workers or ALONE, lambda *done: seen.append(done))
    targets = cached_outputs(lambda names: model, features, names, str(folder), key=key, how=how)
    return targets, seen


class TwoThreads:
    """Stands in for `Workers`: two threads of this process."""

    count = 2

    def __init__(self, index: int, meeting: threading.Barrier, said: list[float]):
        self.index, self._meeting, self._said = index, meeting, said

    chief = property(lambda self: self.index == 0)
    shares = Workers.shares
    wait = Workers.wait
    on_chief = Workers.on_chief

    def broadcast_from_chief(self, value: float) -> float:
        if self.chief:
            self._said[:] = [float(value)]
        self._meeting.wait()
        agreed = self._said[0]
        self._meeting.wait()
        return agreed


@pytest.mark.slow
@pytest.mark.parametrize(("count", "halves"), [(9, [4, 5]), (1, [0, 1])])
def test_two_workers_compute_a_share_each_and_see_the_same_whole(teacher, tmp_path, count, halves):
    features, meeting, said, found = toy_features(count), threading.Barrier(2), [], {}
    models = [teacher(by_position=True).feature_model(NAMES) for _ in range(2)]
    for model in models[1:]:
        model.set_weights(models[0].get_weights())

    def work(index: int) -> None:
        found[index] = targets_of(models[index], features, tmp_path / "t", workers=TwoThreads(index, meeting, said))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone, _ = targets_of(models[0], features, tmp_path / "alone")
    assert sorted(seen[-1][1] for _, seen in found.values() if seen) == [share for share in halves if share]
    for name in NAMES:
        for targets, _ in found.values():
            np.testing.assert_allclose(targets.arrays[name], alone.arrays[name], atol=1e-3)
    assert not list((tmp_path / "t").glob("*part*"))


def test_chief_that_fails_is_told_to_the_others():
    meeting, said = threading.Barrier(2), []
    chief, other = (TwoThreads(index, meeting, said) for index in range(2))
    failing = threading.Thread(target=lambda: pytest.raises(ValueError, chief.on_chief, lambda: int("x")))
    failing.start()
    with pytest.raises(InputError, match="first worker has stopped"):
        other.on_chief(lambda: None)
    failing.join()


def test_targets_of_two_runs_at_once_are_computed_once(teacher, tmp_path):
    features, asked = toy_features(9), []
    model = teacher(by_position=True).feature_model(NAMES)
    runs = [threading.Thread(target=lambda: asked.append(targets_of(model, features, tmp_path)[1])) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(map(bool, asked)) == [False, True]


def no_model(*_arguments, **_named):
    raise AssertionError("the teacher was run again")


@pytest.mark.parametrize("by_position", [True, False])
def test_targets_are_the_teachers_outputs_row_by_row(teacher, tmp_path, by_position):
    features = toy_features(9)
    if not by_position:
        features = Features.from_rows([features.row(i)["input_ids"] for i in range(9)], labels=[0] * 9)
    model = teacher(by_position).feature_model(NAMES)
    targets, seen = targets_of(model, features, tmp_path / "targets")
    assert seen[-1] == (9, 9)
    chosen = np.array([7, 0, 3])
    read = targets(chosen, 16)
    for place, row in enumerate(chosen):
        length = int(features.lengths[row])
        inputs = {name: features.row(row)[name][None] for name in ("input_ids", "attention_mask", "token_type_ids")}
        expected = {name: value.numpy()[0] for name, value in model(inputs).items()}
        found = {name: read[f"teacher_{name}"][place] for name in NAMES}
        logits = found["logits"][:length] if by_position else found["logits"]
        np.testing.assert_allclose(logits, expected["logits"], atol=1e-5)
        for name in NAMES[1:3]:
            np.testing.assert_allclose(found[name][:length], expected[name], atol=3e-3)
            assert not found[name][length:].any()
        maps = found["attentions_1"]
        np.testing.assert_allclose(maps[:, :length, :length], expected["attentions_1"], atol=1e-3)
        assert not maps[:, length:].any() and not maps[:, :, length:].any()
    assert {array.dtype for array in read.values()} == {np.dtype(np.float32)}


def test_inner_tensors_are_kept_like_states_and_maps(teacher, tmp_path):
    names = ["queries_1", "attention_scores_0", "encoder/layer_._1/intermediate"]
    features = toy_features(9)
    model = teacher(by_position=True).feature_model(names)
    targets, _ = targets_of(model, features, tmp_path, names=names)
    files = {"queries_1.npy", "attention_scores_0.npy", "encoder%2Flayer_._1%2Fintermediate.npy"}
    assert {file.name for file in tmp_path.glob("*.npy")} == files
    row = features.row(3)
    expected = model({name: row[name][None] for name in ("input_ids", "attention_mask", "token_type_ids")})
    read, length = targets(np.array([3]), 16), int(features.lengths[3])
    for name in names:
        found = read[f"teacher_{name}"][0]
        inside = (slice(None), slice(length), slice(length)) if found.ndim == 3 else slice(length)
        np.testing.assert_allclose(found[inside], expected[name][0], atol=3e-3)
        assert not found[..., length:, :].any() if found.ndim == 3 else not found[length:].any()
    keep_only(str(tmp_path), names[2:])
    assert [file.name for file in tmp_path.glob("*.npy")] == ["encoder%2Flayer_._1%2Fintermediate.npy"]


def test_maps_under_a_path_are_refused(teacher, tmp_path):
    name = "encoder/layer_._1/attention/self/dropout"
    model = teacher(by_position=True).feature_model([name])
    with pytest.raises(
        ValueError, match=r"self/dropout is \[.*only attentions, attention_scores are kept as attention maps"
    ):
        targets_of(model, toy_features(9), tmp_path, names=[name])


def test_targets_are_read_instead_of_computed_the_second_time(teacher, tmp_path):
    features = toy_features(5)
    model = teacher(by_position=True).feature_model(NAMES)
    first, _ = targets_of(model, features, tmp_path)
    second, seen = targets_of(no_model, features, tmp_path)
    assert seen == []
    rows = np.arange(5)
    for name, array in first(rows, 16).items():
        assert np.array_equal(second(rows, 16)[name], array)


def test_targets_of_another_teacher_are_computed_again(teacher, tmp_path):
    features = toy_features(5)
    model = teacher(by_position=True).feature_model(NAMES)
    targets_of(model, features, tmp_path)
    assert targets_of(model, features, tmp_path, key="b")[1] == [(4, 5), (5, 5)]


def test_targets_of_other_layers_join_those_that_are_there(teacher, tmp_path):
    features, asked, build = toy_features(5), [], teacher(by_position=True)

    def model_of(names):
        asked.append(list(names))
        return build.feature_model(names)

    for names in (["logits"], ["logits", "hidden_states_1"], ["hidden_states_1"]):
        targets = cached_outputs(model_of, features, names, str(tmp_path), key="a", how=OutputWriterConfig(0, 4, ALONE))
        assert list(targets.arrays) == names
    assert asked == [["logits"], ["hidden_states_1"]]


def test_damaged_targets_are_computed_again(teacher, tmp_path):
    features = toy_features(5)
    model = teacher(by_position=True).feature_model(NAMES)
    first, _ = targets_of(model, features, tmp_path)
    expected = first(np.arange(5), 16)
    with open(tmp_path / "logits.npy", "r+b") as file:
        file.seek(-4, 2)
        file.write(b"\x7f\x7f\x7f\x7f")
    second, seen = targets_of(model, features, tmp_path)
    assert seen[-1] == (5, 5)
    np.testing.assert_array_equal(second(np.arange(5), 16)["teacher_logits"], expected["teacher_logits"])


def test_live_targets_equal_those_on_disk(teacher, tmp_path):
    features, built = toy_features(9), teacher(by_position=True)
    model = built.feature_model(NAMES)
    stored, _ = targets_of(model, features, tmp_path)
    rows, width = np.array([7, 0, 3]), 16
    live, real = LiveOutputs(model, features, NAMES, 0)(rows, width), features.lengths[rows]
    for name, array in stored(rows, width).items():
        for place, length in enumerate(real):
            part = (slice(None), slice(length), slice(length)) if "attentions" in name else (slice(length),)
            np.testing.assert_allclose(live[name][place][part], array[place][part], atol=3e-3)


@pytest.fixture
def interrupted(teacher, tmp_path):
    """A folder in which the first batch is done, its model and its rows."""
    features = toy_features(5)
    model = teacher(by_position=True).feature_model(NAMES)

    def stopped(*done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        how = OutputWriterConfig(0, 4, ALONE, stopped)
        cached_outputs(lambda names: model, features, NAMES, str(tmp_path / "t"), key="a", how=how)
    return tmp_path / "t", model, features


def test_targets_that_were_not_finished_are_gone_on_with(interrupted, tmp_path):
    folder, model, features = interrupted
    _, seen = targets_of(model, features, folder)
    assert seen == [(5, 5)]
    targets_of(model, features, tmp_path / "undisturbed")
    for name in NAMES:
        assert (folder / f"{name}.npy").read_bytes() == (tmp_path / "undisturbed" / f"{name}.npy").read_bytes()
    assert not list(folder.glob("part-*"))


def test_targets_are_computed_again_where_what_was_done_is_of_others_or_damaged(interrupted):
    folder, model, features = interrupted
    (mark,) = folder.glob("part-done-*")
    text = mark.read_text()

    def rows_seen(key: str) -> list:
        return targets_of(model, features, folder, key=key)[1]

    mark.write_text(text.replace('"rows": 4', '"rows": 3'))
    assert rows_seen("a") == [(4, 5), (5, 5)]
    mark.write_text(text)  # left behind
    (folder / "targets.json").unlink()
    assert rows_seen("a") == [(4, 5), (5, 5)], "its arrays have gone"
    mark.write_text(text)
    assert rows_seen("b") == [(4, 5), (5, 5)]


def test_part_that_is_done_is_marked_now_and_then(teacher, tmp_path):
    """What a kill would leave: the mark of the batch before."""
    marks = []
    how = OutputWriterConfig(
        0, 4, ALONE, lambda *done: marks.append([p.read_text() for p in tmp_path.glob("part-done-*")])
    )
    model = teacher(by_position=True).feature_model(["logits"])
    for minutes in (1e-9, 0):
        how = dataclasses.replace(how, every_minutes=minutes)
        cached_outputs(lambda names: model, toy_features(5), ["logits"], str(tmp_path), key=f"{minutes}", how=how)
    assert [len(found) for found in marks] == [0, 1, 0, 0]
    assert '"rows": 4' in marks[1][0]


def test_what_the_precision_cannot_hold_is_refused(teacher, tmp_path):
    model = teacher(by_position=True).feature_model(NAMES)

    def overflowing(batch):
        outputs = {name: value.numpy() for name, value in model(batch).items()}
        return outputs | {"hidden_states_2": outputs["hidden_states_2"] + np.float32(1e5)}

    with pytest.raises(
        InputError, match=r"hidden_states_2 reach 1\d+, which float16 cannot hold(.|\n)*teacher_outputs_precision"
    ):
        targets_of(overflowing, toy_features(5), tmp_path)


def test_rows_of_a_fit_go_when_it_is_done():
    """TensorFlow keeps the functions of generators for good: they must not hold a chunk."""
    seen = []
    for _ in range(2):
        batches = TrainingBatches(toy_features(5), 2, 0, 0)
        coming = distributed(batches, TrainingState(0), tf.distribute.get_strategy())
        assert len(list(itertools.islice(coming, batches.steps + 1))) == 4, "one of the next epoch"
        seen.append(weakref.ref(batches))
        del batches, coming
    gc.collect()
    assert [entry() for entry in seen] == [None, None]


def test_only_outputs_that_are_kept_stay_on_disk(teacher, tmp_path):
    targets_of(teacher(by_position=True).feature_model(NAMES), toy_features(5), tmp_path)
    (tmp_path / "logits.npy.part-1").write_bytes(b"of a run that was killed")
    keep_only(str(tmp_path), ["logits"])
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != ".lock") == ["logits.npy", "targets.json"]
