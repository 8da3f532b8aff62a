"""What the command line says when it is interrupted; without TensorFlow."""

import errno
import os

import pytest

from xtremedistil import cli

RUN = ("--task", "t", "--seq_len", 12)
TRANSFER = ("--source_task", "s", "--target_task", "t", "--seq_len", 12)
DISTIL = (*RUN, "--transfer_file", "u", "--teacher_model_dir", "d")


@pytest.fixture
def interrupted(run_command, monkeypatch, tmp_path):
    """What a verb that is interrupted says on stderr."""

    def interrupt(config):
        raise KeyboardInterrupt

    def run(verb: str, *flags) -> str:
        monkeypatch.setitem(cli.VERBS, verb, (interrupt, *cli.VERBS[verb][1:]))
        outcome = run_command(verb, "--model_dir", tmp_path, *flags)
        assert outcome.code == 130
        return outcome.err

    return run


@pytest.mark.parametrize(
    "verb, flags", [("distil", DISTIL), ("ft", ()), ("model-ft", RUN), ("task-transfer", TRANSFER)]
)
def test_interrupted_training_says_that_the_same_command_goes_on(interrupted, verb, flags):
    said = "xtremedistil: interrupted; the same command goes on from where it was last saved."
    assert interrupted(verb, *flags).strip() == said


@pytest.mark.parametrize("verb", ["predict", "predict-onnx", "export"])
def test_interrupted_use_of_a_student_promises_nothing(interrupted, verb):
    assert interrupted(verb).strip() == "xtremedistil: interrupted."


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_full_disk_is_an_error_of_one_line_whatever_meets_it(run_command, monkeypatch, tmp_path, number):
    def fail(config):
        raise OSError(number, os.strerror(number), "some/file")

    monkeypatch.setitem(cli.VERBS, "predict", (fail, *cli.VERBS["predict"][1:]))
    if number == errno.EIO:
        with pytest.raises(OSError, match="some/file"):
            run_command("predict", "--model_dir", tmp_path)
        return
    outcome = run_command("predict", "--model_dir", tmp_path)
    said = "xtremedistil: some/file: No space left on device. Make room, and give the same command again."
    assert (outcome.code, outcome.err.strip()) == (2, said)
