"""SIGTERM, with which schedulers and `kill` ask a process to end."""

import contextlib
import signal
from collections.abc import Callable, Iterator

TERMINATED = 128 + signal.SIGTERM  # exit code


@contextlib.contextmanager
def on_sigterm(action: Callable[[], None]) -> Iterator[None]:
    """Within, SIGTERM calls `action` in place of what it did before; after it, it does that again.

    Python lets the main thread alone choose; in others the block runs and SIGTERM stays as it is.
    """
    try:
        before = signal.signal(signal.SIGTERM, lambda *_signal: action())
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
