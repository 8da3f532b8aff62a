"""What the command line says: help, mistakes, an interruption; without TensorFlow."""

import dataclasses
import errno
import os
import re
import shlex
import subprocess
import sys

import pytest

from xtremedistil import cli
from xtremedistil.distillation.planning.config import DistilConfig

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


SYSTEM_ERRORS = {
    errno.ENOSPC: "No space left on device. Make room, and give the same command again.",
    errno.EDQUOT: "Disk quota exceeded. Make room, and give the same command again.",
    errno.EACCES: "Permission denied. Get the right to it, or name another place.",
    errno.EPERM: "Operation not permitted. Get the right to it, or name another place.",
    errno.EROFS: "Read-only file system. Name a place that can be written to.",
    errno.EISDIR: "Is a directory. This is a folder; name a file.",
    errno.ENOTDIR: "Not a directory. A file stands where a folder is expected",
    errno.ELOOP: "Too many levels of symbolic links. Its symbolic links lead in a circle; name the file itself.",
    errno.ENAMETOOLONG: "File name too long. Give a shorter name.",
    errno.EMFILE: "Too many open files. Let this process open more files",
    errno.EIO: "Input/output error. The disk or the network has a fault",
    errno.EPIPE: "Broken pipe. See to it, and give the same command again.",
    errno.ESTALE: "Stale file handle. See to it, and give the same command again.",
    errno.ENOENT: "No such file or directory. Name what is there.",
    errno.ETIMEDOUT: "Connection timed out. See to it, and give the same command again.",
}


@pytest.fixture
def failing(run_command, monkeypatch, tmp_path):
    """Runs a command that meets an error."""

    def run(error: Exception):
        def fail(config):
            raise error

        monkeypatch.setitem(cli.VERBS, "predict", (fail, *cli.VERBS["predict"][1:]))
        return run_command("predict", "--model_dir", tmp_path)

    return run


@pytest.mark.parametrize("number", SYSTEM_ERRORS)
def test_what_the_system_refuses_is_a_sentence_that_names_the_file(failing, number):
    outcome = failing(OSError(number, os.strerror(number), "some/file"))
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"xtremedistil: some/file: {SYSTEM_ERRORS[number]}")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    "error", [OSError("Unable to open file\n(more)"), ConnectionError(), TimeoutError("timed out")]
)
def test_error_without_a_number_is_a_sentence_too(failing, error):
    outcome = failing(error)
    what = str(error).partition("\n")[0] or type(error).__name__
    assert (outcome.code, outcome.err) == (2, f"xtremedistil: {what}. See to it, and give the same command again.\n")


def test_system_error_of_two_files_names_both(failing):
    outcome = failing(OSError(errno.EXDEV, os.strerror(errno.EXDEV), "one", None, "other"))
    assert "one -> other: " in outcome.err


def test_fault_of_ours_keeps_its_traceback(failing):
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError())


# Help

ORIGINAL = (
    "task model_dir seq_len transfer_file teacher_model_dir do_NER do_pairwise hidden_size num_attention_heads "
    "num_hidden_layers pt_student_checkpoint distil_attention distil_multi_hidden_states compress_word_embedding "
    "freeze_word_embedding pt_teacher pt_teacher_checkpoint opt_policy student_distil_batch_size "
    "student_ft_batch_size teacher_batch_size ft_epochs distil_epochs distil_chunk_size patience"
).split()
FLAG = re.compile(r"^  --(\w+)", re.MULTILINE)
GROUP = re.compile(r"^([a-z ]+):$", re.MULTILINE)


def test_help_of_distil_shows_the_flags_of_the_original_and_some_of_ours(run_command):
    outcome = run_command("distil", "--help")
    shown = set(FLAG.findall(outcome.out)) - {"help_all"}
    assert outcome.code == 0 and set(ORIGINAL) < shown
    assert shown - set(ORIGINAL) == set(cli.SHORT_HELP["distil"])


def test_flags_of_the_original_are_marked():
    marked = {entry.name for entry in dataclasses.fields(DistilConfig) if entry.metadata["original"]}
    assert marked == set(ORIGINAL)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_all_shows_every_flag_by_group_and_the_required_ones_first(run_command, verb):
    outcome = run_command(verb, "--help-all")
    fields = {entry.name: entry for entry in dataclasses.fields(cli.VERBS[verb][1])}
    shown = [name.removeprefix("no_") for name in FLAG.findall(outcome.out)]
    required = [name for name, entry in fields.items() if entry.default is dataclasses.MISSING]
    assert outcome.code == 0 and set(shown) == set(fields) and len(shown) == len(fields)
    assert set(shown[: len(required)]) == set(required)
    groups = GROUP.findall(outcome.out)
    assert groups[0] == "required" and groups[-2:] == ["help", "example"] and len(groups) > 4


@pytest.mark.parametrize("verb", cli.VERBS)
def test_example_of_help_is_understood(verb):
    assert cli.read_flags([verb, *shlex.split(cli.EXAMPLES[verb].replace("\\\n", ""))])[0] == verb


def test_help_imports_nothing_that_takes_seconds():
    code = "import sys; from xtremedistil import cli; cli.read_flags(['ft', '--model_dir', 'm']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"tensorflow", "transformers"} & set(done.stdout.split())


# Mistakes


def refused(run_command, *arguments) -> str:
    """What a command says that is refused: one message, without a list of all flags."""
    outcome = run_command(*arguments)
    assert outcome.code == 2 and not outcome.out and len(outcome.err.splitlines()) < 5
    assert outcome.err.startswith("xtremedistil: ") and "usage" not in outcome.err
    return outcome.err


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--epochs", ("--ft_epochs", "--distil_epochs", "--teacher_epochs")),
        ("--hiden_size", ("--hidden_size",)),
        ("--num-layers", ("--num_hidden_layers",)),
        ("--batchsize", ("--student_distil_batch_size", "--student_ft_batch_size", "--teacher_batch_size")),
        ("--target_precision", ("--teacher_outputs_precision",)),
        ("--t_squared", ("--no_t_squared",)),
    ],
)
def test_unknown_flag_names_the_nearest(run_command, given, meant):
    said = refused(run_command, "distil", given, 3)
    name = given.replace("num-layers", "num_layers")
    assert said.startswith(f"xtremedistil: {name} is no flag of distil; did you mean ")
    assert all(flag in re.findall(r"--\w+", said)[1:] for flag in meant)


def test_flag_like_no_other_is_refused_without_a_guess(run_command):
    said = refused(run_command, "distil", "--qqq", "--zzz=3")
    assert said.splitlines()[:2] == ["xtremedistil: --qqq is no flag of distil", "--zzz is no flag of distil"]
    assert "See xtremedistil distil --help." in said


def test_missing_flags_are_named_and_nothing_more(run_command):
    assert "required: --task, --seq_len" in refused(run_command, "model-ft", "--model_dir", "m")


def test_word_that_is_no_value_is_named(run_command):
    assert "unexpected: stray" in refused(run_command, "export", "--model_dir", "m", "stray")


def test_newer_flag_without_its_value_is_refused(run_command):
    assert "--temperature: expected one argument" in refused(run_command, "distil", *DISTIL, "--temperature")
    assert "--hidden_size: expected one argument" in refused(run_command, "pretrain", "--hidden_size", "--packed")


def test_flag_of_the_original_may_stand_without_its_value_and_the_run_says_which_it_takes(run_command, monkeypatch):
    monkeypatch.setitem(cli.VERBS, "distil", (lambda config: print(config.hidden_size), *cli.VERBS["distil"][1:]))
    outcome = run_command("distil", *DISTIL, "--model_dir", "m", "--hidden_size", "--dry-run")
    assert (outcome.code, outcome.out) == (0, "384\n")
    assert outcome.err == "xtremedistil: flags without a value have their defaults: --hidden_size 384\n"


def test_flags_may_be_cut_short_where_that_is_clear(run_command):
    flags = ("--task", "t", "--model", "m", "--seq", "8", "--transfer", "u", "--teacher_model", "d", "--distil-ep=3")
    assert cli.read_flags(["distil", *flags])[1].distil_epochs == 3
    said = refused(run_command, "distil", "--teacher_o")
    assert "--teacher_o is the beginning of several flags of distil: --teacher_o" in said
    assert cli.read_flags(["distil", *flags, "--targets_d", "x"])[1].teacher_outputs_dir == "x"


def test_distill_is_distil():
    assert cli.read_flags(["distill", *map(str, DISTIL), "--model_dir", "m"])[0] == "distil"


def test_verb_with_an_underscore_is_understood():
    assert cli.read_flags(["predict_onnx", "--model_dir", "m"])[0] == "predict-onnx"


@pytest.mark.parametrize("given, meant", [("predct", "predict"), ("finetune-model", "model-ft"), ("dstil", "distil")])
def test_unknown_verb_names_the_nearest(run_command, given, meant):
    said = refused(run_command, given, "--model_dir", "m")
    assert f"{given} is no command" in said and meant in said


def test_no_verb_at_all_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main([])
    assert capsys.readouterr().err.startswith("xtremedistil: the following arguments are required: COMMAND")


def test_messages_name_the_flags_of_the_command_and_leave_other_words_alone():
    message = "`model_dir` /nowhere: there is no such folder; `no_t_squared`, `tokenizer` and `teachers`"
    expected = "--model_dir /nowhere: there is no such folder; --no_t_squared, --pt_teacher_checkpoint and `teachers`"
    assert cli.with_flags(message, DistilConfig) == expected
