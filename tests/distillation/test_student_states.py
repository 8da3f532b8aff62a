"""Encoder states that are computed once: the head trained on them is the head trained below the encoder."""

import json

import numpy as np
import pytest

from tests.command_fixtures import main, ops_one_by_one
from tests.model_fixtures import rows
from xtremedistil.models.architectures.families import FAMILIES
from xtremedistil.models.checkpoints.h5_weights import read_weights

pytest.importorskip("tensorflow")

from xtremedistil.models.student import build_student  # noqa: E402


@pytest.mark.parametrize("by_position", [True, False])
def test_state_and_head_models_together_are_the_student(tiny_encoders, by_position):
    sizes = {"num_labels": 3, "teacher_hidden_size": 16}
    student = build_student(tiny_encoders("TFBertModel"), FAMILIES["TFBertModel"], by_position=by_position, **sizes)
    inputs = rows((5, 3, 4))
    state = student.state_model()(inputs)
    np.testing.assert_allclose(student.head_model()(state)["logits"], student.model(inputs)["logits"], atol=1e-6)


@pytest.fixture(scope="module")
def runs(tagging, distilled, tmp_path_factory) -> dict:
    """Folders of two runs without dropout that differ in `--frozen_features` alone."""
    root, made = tmp_path_factory.mktemp("frozen"), {}
    changes = {"teacher_model_dir": distilled / "teacher", "teacher_outputs_dir": root / "t", "hidden_size": 8}
    changes |= {"teacher_outputs_precision": "float32", "dropout": 0.0, "distil_chunk_size": 16, "ft_epochs": 2}
    with ops_one_by_one() as without_graphs:
        for name in ("cache", "recompute"):
            flags = tagging.flags(root / name, frozen_features=name, **changes)
            assert without_graphs(main)("distil", *flags) == 0
            made[name] = root / name
    return made


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["2-indx-0", "2-indx-16", "3-indx-16", "5", "6"])
def test_without_dropout_head_stages_end_alike_with_and_without_the_encoder(runs, stage):
    ours, theirs = (read_weights(str(runs[name] / f"model-stage-{stage}.h5")) for name in ("cache", "recompute"))
    for part in theirs:
        for name, array in theirs[part].items():
            np.testing.assert_allclose(ours[part][name], array, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_scores_of_the_stages_agree(runs):
    scores = [
        [entry["score"] for entry in json.loads((runs[name] / "report.json").read_text())["stages"]] for name in runs
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("room", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_encoder_runs_once_over_the_rows_of_stages_that_leave_it_alone(
    tagging, distilled, eagerly, monkeypatch, run_command, tmp_path, room
):
    """Stages 2 and 3 share the states of the transfer set and of dev, 5 and 6 those of train and, anew, of dev."""
    from xtremedistil.distillation.pipeline import student_states, transfer_stage

    wanted, seen = [], []
    make, of = student_states.make_predict_function, student_states.FrozenFeatures.of

    def counting(model):
        predict = make(model)
        return lambda batch: seen.append(len(batch["input_ids"])) or predict(batch)

    def noting(self, rows, name):
        wanted.append((self._key, name, len(rows)))
        return of(self, rows, name)

    monkeypatch.setattr(student_states, "make_predict_function", counting)
    monkeypatch.setattr(student_states.FrozenFeatures, "of", noting)
    monkeypatch.setattr(transfer_stage, "has_room_for_states", lambda *_: room)
    flags = tagging.flags(tmp_path / "m", teacher_model_dir=distilled / "teacher", hidden_size=8, distil_epochs=3)
    assert run_command("distil", *flags, "--distil_chunk_size", 16).code == 0
    names = [name for _, name, _ in wanted]
    chunks = sorted({name for name in names if name.startswith("chunk-")})
    assert len(chunks) > 1
    assert all(names.count(name) == 2 for name in [*chunks, "train"])
    run_once = sum(rows for _, _, rows in set(wanted))
    again = sum(rows for _, name, rows in set(wanted) if name in chunks)
    assert sum(seen) == run_once + (0 if room else again)


@pytest.mark.slow
def test_finished_run_keeps_no_states(runs):
    assert not (runs["cache"] / "frozen-features").exists()
