"""Faults in what a person gave, collected and reported together."""

import importlib.util
from collections.abc import Callable

from xtremedistil.errors import InputError

# Modules that do not come with the package, and the extra that brings each.
EXTRAS = {
    "tf2onnx": "onnx",
    "onnx": "onnx",
    "onnxruntime": "onnx",
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
