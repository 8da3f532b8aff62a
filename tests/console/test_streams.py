"""Commands whose output nobody reads, or cannot be shown: they do their work, and say what is wrong where they can."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xtremedistil.console.streams import TolerantStream

ROOT = Path(__file__).parents[2]

# The command `predict` does what is said after these lines; then `main` runs it.
COMMAND = """
import os, signal, sys, time
from xtremedistil import cli
from xtremedistil.errors import InputError
def work(config):
    {work}
cli.VERBS["predict"] = (work, *cli.VERBS["predict"][1:])
sys.exit(cli.main(["predict", "--model_dir", "m"]))
"""
PRINTS = "[print('x' * 1000, flush=True) for _ in range(300)]; open(os.environ['MARK'], 'w').close()"
PRINTS_LATE = "print('x'); open(os.environ['MARK'], 'w').close()"
FAILS = "raise InputError('Datei \u201eü\u201c fehlt 中')"
FAILS_ON_A_FILE = "open('no/such/\u4e2d')"


def run(work: str, redirections: str, tmp_path, **environment) -> subprocess.CompletedProcess:
    """Runs the command in a shell, with its streams redirected."""
    script = tmp_path / "command.py"
    script.write_text(COMMAND.format(work=work), encoding="utf-8")
    shell = f"set -o pipefail; '{sys.executable}' '{script}' {redirections}"
    paths = {"PYTHONPATH": str(ROOT), "MARK": str(tmp_path / "done")}
    command = ["bash", "-c", shell]
    return subprocess.run(command, capture_output=True, env=os.environ | paths | environment, cwd=tmp_path)


@pytest.mark.parametrize("redirections", ["| true", "2>&1 | true", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("work", [PRINTS, PRINTS_LATE])
def test_work_is_done_when_nobody_reads_the_output(tmp_path, work, redirections):
    done = run(work, redirections, tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("redirections", ["2>&-", "2>&- | cat", "2> >(true)"])
def test_message_comes_out_on_standard_output_when_standard_error_is_closed(tmp_path, redirections):
    done = run("time.sleep(0.3); " + FAILS, redirections, tmp_path)
    assert done.returncode == 2
    assert done.stdout.decode() == "xtremedistil: Datei „ü“ fehlt 中\n"
    assert done.stderr == b""


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
@pytest.mark.parametrize("work", [FAILS, FAILS_ON_A_FILE])
def test_message_comes_out_on_a_terminal_that_knows_ascii_alone(tmp_path, work, environment):
    done = run(work, "", tmp_path, **environment, PYTHONCOERCECLOCALE="0")
    assert done.returncode == 2
    assert done.stderr.startswith(b"xtremedistil: ") and b"Traceback" not in done.stderr
    assert b"\\u4e2d" in done.stderr


def test_results_come_out_on_a_terminal_that_knows_ascii_alone(tmp_path):
    done = run("print('中')", "", tmp_path, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\\u4e2d\n", b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("work", [PRINTS, PRINTS_LATE])
def test_full_disk_behind_the_output_is_said(tmp_path, work):
    done = run(work, "> /dev/full", tmp_path)
    assert done.returncode == 2
    assert done.stderr == b"xtremedistil: No space left on device. Make room, and give the same command again.\n"


def test_terminated_command_says_so(tmp_path):
    done = run("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", "", tmp_path)
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, b"xtremedistil: terminated.\n")


def test_stream_that_was_closed_takes_what_is_written():
    inner = io.StringIO()
    stream = TolerantStream(inner)
    stream.write("a")
    inner.close()
    stream.write("b")
    stream.flush()
    assert stream.closed_pipe and not stream.isatty()
