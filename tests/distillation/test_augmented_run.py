"""Distillations with `--augment`, from flags to the student."""

import json
import shutil

import pytest

import xtremedistil  # noqa: F401 - chooses legacy Keras
from tests.command_fixtures import PIECES
from tests.model_fixtures import masked_lm_state, shaken_masked_lm, tiny_config, write_checkpoint

tf = pytest.importorskip("tensorflow")

from xtremedistil.augmentation import masked_lm  # noqa: E402


@pytest.mark.slow
def test_run_with_augmented_lines_is_tied_to_them(tagging, eagerly, run_command, tmp_path):
    flags = tagging.flags(tmp_path / "m", augment_copies=2)
    outcome = run_command("distil", *flags, "--augment", "deleting", "masking")
    assert outcome.code == 0, outcome.err
    assert "augmented transfer set: " in outcome.err and " left out (empty, or nothing new)" in outcome.err
    saved = json.loads((tmp_path / "m/run-settings.json").read_text())
    assert (saved["augment"], saved["augment_copies"]) == ("deleting masking", 2)
    again = run_command("distil", *flags, "--augment", "deleting", "masking")
    assert again.code == 0 and "has finished before" in again.err
    other = run_command("distil", *flags, "--augment", "deleting")
    assert other.code == 2 and "augment: deleting masking there, deleting now" in other.err
    none = run_command("distil", *tagging.flags(tmp_path / "m"))
    assert none.code == 2 and "augment: deleting masking there, None now" in none.err


@pytest.fixture
def masked(word_piece_folder, tmp_path) -> dict:
    """Flags of `--augment masked_lm` with a random model."""
    folder = shutil.copytree(word_piece_folder, tmp_path / "lm")
    config = tiny_config("TFBertModel") | {"vocab_size": PIECES}
    write_checkpoint(folder, config, masked_lm_state(shaken_masked_lm("TFBertModel", vocab_size=PIECES)))
    return {"augment": "masked_lm", "augment_checkpoint": folder}


@pytest.mark.slow
def test_masked_lm_is_asked_once_and_again_says_the_same(tagging, masked, eagerly, run_command, tmp_path, monkeypatch):
    def distil(name: str, targets: str) -> bytes:
        places = {"teacher_model_dir": tmp_path / "teacher", "teacher_outputs_dir": tmp_path / targets}
        outcome = run_command("distil", *tagging.flags(tmp_path / name, **places, **masked))
        assert outcome.code == 0, outcome.err
        assert "augmented transfer set: " in outcome.err
        return (tmp_path / name / "xtremedistil.h5").read_bytes()

    students = [distil("a", "t1"), distil("b", "t2")]
    monkeypatch.setattr(masked_lm, "open_masked_lm", None)
    students.append(distil("c", "t1"))
    assert students[0] == students[1] == students[2]
