"""The one kind of error that is meant for the person at the keyboard."""

import difflib
import importlib.util
from collections.abc import Callable, Hashable


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
    if isinstance(name, Hashable) and name in known:
        return
    near = difflib.get_close_matches(str(name), known, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ValueError(f'There is no {what} "{name}"; there are: {", ".join(known) or "none"}.{hint}')


# Modules that do not come with the package, and the extra that brings each.
EXTRAS = {
    "pyarrow": "parquet",
    "tensorflow_text": "text",
}


class Problems:
    """A list that only grows, and one error at the end."""

    def __init__(self):
        self._lines: list[str] = []

    def add(self, lines: list[str]) -> None:
        self._lines += lines

    def attempt(self, action: Callable, *arguments):
        """The result of `action`; an InputError becomes a line of the list, and None is returned."""
        try:
            return action(*arguments)
        except InputError as error:
            self._lines.append(str(error))
            return None

    def refuse(self, title: str) -> None:
        if self._lines:
            count = f"{len(self._lines)} problem{'s' if len(self._lines) > 1 else ''}"
            lines = ["  " + line.replace("\n", "\n    ") for line in self._lines]
            raise InputError(f"{title} ({count}):\n" + "\n".join(lines))


def missing_packages(modules: tuple[str, ...], purpose: str) -> list[str]:
    """A line if one of `modules` is not installed: what needs it, and what to install."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if not missing:
        return []
    extras = ",".join(dict.fromkeys(EXTRAS[name] for name in missing if name in EXTRAS))
    what = f'the extra: pip install "xtremedistil[{extras}]"' if extras else "it: pip install xtremedistil"
    return [f"{purpose} needs {' and '.join(missing)}, not installed here. Install {what}"]


TENSORFLOW = ("tensorflow", "transformers")  # absent where requirements-serve.txt alone is installed
