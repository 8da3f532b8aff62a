"""The one kind of error that is meant for the person at the keyboard."""

import difflib


class InputError(ValueError):
    """What was given (a flag, a file, a folder) cannot be used.

    The message says where, what was found, what was expected, and what to do. The command line prints it without a
    traceback and exits with code 2.
    """


class MissingFileError(InputError, FileNotFoundError):
    """A file or folder that was named does not exist."""


def first_line(error: Exception) -> str:
    """Of another library's message."""
    return str(error).strip().partition("\n")[0]


def require_known(what: str, name, known) -> None:
    """Raises ValueError where `name` is not one of `known`, with the nearest of these."""
    if name in known:
        return
    near = difflib.get_close_matches(str(name), known, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ValueError(f'There is no {what} "{name}"; there are: {", ".join(known) or "none"}.{hint}')
