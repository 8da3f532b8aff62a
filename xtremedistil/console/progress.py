"""A live line with the time left, on a terminal; a line now and then where there is none."""

import sys
import time

SECONDS_BETWEEN_LINES = {True: 0.2, False: 30.0}  # on a terminal, elsewhere


def clock(seconds: float) -> str:
    """75 -> "1:15", 3675 -> "1:01:15"."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """Tells how far the plan is, on standard error."""

    def __init__(self, stream=None):
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._last_line = 0.0
        self._title = ""
        self._started = 0.0
        self._later: list[int] = []
        self._width = 0

    def log(self, text: str) -> None:
        """A line that stays."""
        self._clear()
        self._stream.write(text + "\n")
        self._stream.flush()

    def begin(self, title: str, later: list[int]) -> None:
        """A new fit; `later` holds the most steps of each fit after it."""
        self._title, self._later = title, later
        self.restart()

    def restart(self) -> None:
        """The steps of the fit begin now: what went before (the teacher's outputs) does not count for the time left."""
        self._started = time.monotonic()
        self._last_line = 0.0 if self._terminal else self._started

    def step(self, state: dict) -> None:
        """Called after each step with its number, the most steps, and the loss so far."""
        now = time.monotonic()
        if now - self._last_line < SECONDS_BETWEEN_LINES[self._terminal]:
            return
        self._last_line = now
        per_step = (now - self._started) / state["step"]
        here = per_step * (state["steps"] - state["step"])
        plan = f", {clock(here + per_step * sum(self._later))} in all" if self._later else ""
        self._show(
            f"{self._title}  epoch {state['epoch']}  step {state['step']} of at most {state['steps']}  "
            f"loss {state['loss']:.4g}  left: {clock(here)} here{plan}"
        )

    def count(self, title: str):
        """A callback (done, all) for work that is counted in rows."""
        started = time.monotonic()
        self._last_line = 0.0 if self._terminal else started

        def update(done: int, total: int) -> None:
            now = time.monotonic()
            if now - self._last_line < SECONDS_BETWEEN_LINES[self._terminal] and done < total:
                return
            self._last_line = now
            self._show(f"{title}  {done:,} of {total:,}  left: {clock((now - started) * (total - done) / done)}")

        return update

    def _show(self, line: str) -> None:
        if self._terminal:
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def _clear(self) -> None:
        if self._terminal and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._width = 0
