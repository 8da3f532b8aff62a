"""The one kind of error that is meant for the person at the keyboard."""


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
