"""What SIGTERM does within a block, after it, and in other threads."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from xtremedistil import cli
from xtremedistil.console.sigterm import TERMINATED, on_sigterm


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_inner_action_hides_the_outer_one_until_its_block_ends():
    calls, before = [], signal.getsignal(signal.SIGTERM)
    with on_sigterm(lambda: calls.append("outer")):
        with on_sigterm(lambda: calls.append("inner")):
            terminate()
        terminate()
    assert calls == ["inner", "outer"]
    assert signal.getsignal(signal.SIGTERM) == before


def test_handler_is_put_back_when_the_action_ends_the_block():
    def leave() -> None:
        raise SystemExit(TERMINATED)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end, on_sigterm(leave):
        terminate()
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before


def test_other_thread_runs_the_block_and_changes_no_handler():
    def run() -> bool:
        with on_sigterm(terminate):
            return signal.getsignal(signal.SIGTERM) == before

    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(run).result()


def test_command_ends_with_143_and_puts_the_handler_back(monkeypatch, tmp_path):
    monkeypatch.setitem(cli.VERBS, "predict", (lambda config: terminate(), *cli.VERBS["predict"][1:]))
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(["predict", "--model_dir", str(tmp_path)]) == 143
    assert signal.getsignal(signal.SIGTERM) == before
