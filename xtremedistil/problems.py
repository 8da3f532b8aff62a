"""Faults in what a person gave, collected and reported together."""

from collections.abc import Callable

from xtremedistil.errors import InputError


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
