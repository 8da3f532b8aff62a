"""Standard output and error that do not stop a program: a closed pipe takes no more, an ASCII terminal gets escapes."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator

CLOSED = (errno.EPIPE, errno.EBADF, errno.EIO)  # EIO: the terminal has gone


class TolerantStream:
    """A text stream whose reader may go away, or know few characters.

    Fields:
        stream: the one within. closed_pipe: whether nobody reads it any more; what is written then is dropped.
        drops_all: whether what cannot be written for another reason (a full disk) is dropped too.
    """

    def __init__(self, stream, *, drops_all: bool = False):
        self.stream, self.closed_pipe, self.drops_all = stream, False, drops_all

    def write(self, text: str) -> int:
        self._attempt(lambda: self.stream.write(text), lambda: self.stream.write(self._escaped(text)))
        return len(text)

    def flush(self) -> None:
        self._attempt(self.stream.flush, self.stream.flush)

    def isatty(self) -> bool:
        return not self.closed_pipe and self.stream.isatty()

    def __getattr__(self, name: str):
        return getattr(self.stream, name)

    def _attempt(self, action, escaped) -> None:
        if self.closed_pipe:
            return
        try:
            try:
                action()
            except UnicodeEncodeError:
                escaped()
        except OSError as error:
            if not self.drops_all and error.errno not in CLOSED:
                raise
            self._silence()
        except ValueError:
            if not self.stream.closed:
                raise
            self.closed_pipe = True

    def _escaped(self, text: str) -> str:
        encoding = self.stream.encoding or "ascii"
        return text.encode(encoding, "backslashreplace").decode(encoding)

    def _silence(self) -> None:
        """Lets what is still in the stream's buffer go nowhere, so that it does not fail again at the program's end."""
        self.closed_pipe = True
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.stream.fileno())


@contextlib.contextmanager
def tolerant_streams() -> Iterator[None]:
    """Makes standard output and error tolerant while the block runs, and usable where a shell has closed them.

    A full disk behind standard output is an error; behind standard error, the messages are lost and nothing else.
    """
    before = sys.stdout, sys.stderr
    _reopen_closed()
    sys.stdout, sys.stderr = _tolerant(sys.stdout), _tolerant(sys.stderr, drops_all=True)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.drops_all = True  # what is left was reported
            stream.flush()
        sys.stdout, sys.stderr = before


def say(text: str) -> None:
    """Prints a message on standard error, or on standard output where nobody reads the former."""
    print(text, file=sys.stderr, flush=True)
    if getattr(sys.stderr, "closed_pipe", False):
        print(text, flush=True)


def _tolerant(stream, *, drops_all: bool = False) -> TolerantStream:
    if stream is not None:
        return TolerantStream(stream, drops_all=drops_all)
    nowhere = TolerantStream(open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open to the program's end
    nowhere.closed_pipe = True
    return nowhere


def _reopen_closed() -> None:
    """Puts the null device in the place of closed standard files: the next file that is opened would take it."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
