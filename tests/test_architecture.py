"""The rooms of docs/architecture.md: their order, what may import TensorFlow, no circles, and their size."""

import ast
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_MODULES = 16
ROW = re.compile(r"\| `(\w+)`( o)? \|")
# Imports xtremedistil modules where TensorFlow cannot be found.
WITHOUT_TENSORFLOW = """
import importlib, sys
sys.modules.update(dict.fromkeys(["tensorflow", "tf_keras"]))
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


@cache
def rooms() -> dict[str, bool]:
    """Rooms in order, and whether each is marked as free of TensorFlow."""
    found = ROW.findall((ROOT / "docs/architecture.md").read_text(encoding="utf-8"))
    return {name: bool(mark) for name, mark in found}


@cache
def modules() -> dict[str, Path]:
    names = {}
    for path in sorted((ROOT / "xtremedistil").rglob("*.py")):
        names[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    return names


@cache
def imports() -> dict[str, set[str]]:
    """Modules of this package that each one imports, anywhere in it; the public face `xtremedistil` apart."""
    return {name: _imported(name, path) - {name, "xtremedistil"} for name, path in modules().items() if "." in name}


def _imported(name: str, path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("xtremedistil."):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in modules() else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("xtremedistil.")}
    return found


def room_of(module: str) -> str:
    return module.split(".")[1]


def folder_of(module: str) -> str:
    """The folder that holds a module; a module at the top stands for itself."""
    if modules()[module].name == "__init__.py":
        return module
    folder = module.rpartition(".")[0]
    return module if folder == "xtremedistil" else folder


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Nodes that lie on a circle or between two."""
    left = {node: set(targets) for node, targets in edges.items()}
    while free := [node for node, targets in left.items() if not targets & left.keys()]:
        for node in free:
            del left[node]
    return sorted(left)


def test_every_module_is_in_a_room_of_the_list():
    assert sorted({room_of(name) for name in modules() if "." in name}) == sorted(rooms())


def test_rooms_import_only_rooms_above_them():
    order = list(rooms())
    wrong = [
        (name, target)
        for name, targets in imports().items()
        for target in targets
        if order.index(room_of(target)) > order.index(room_of(name))
    ]
    assert not wrong


def test_neither_files_nor_folders_import_each_other_in_a_circle():
    assert not circle(imports())
    folders: dict[str, set[str]] = {}
    for name, targets in imports().items():
        folders.setdefault(folder_of(name), set()).update(folder_of(target) for target in targets)
    assert not circle({folder: targets - {folder} for folder, targets in folders.items()})


def test_rooms_without_tensorflow_import_none():
    free = [
        name
        for name in imports()
        if (rooms()[room_of(name)] or name.endswith((".config", ".validation"))) and not name.endswith("__main__")
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *free], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_no_folder_has_more_than_sixteen_modules():
    counts = Counter(folder_of(name) for name in imports() if modules()[name].name != "__init__.py")
    assert not {folder: count for folder, count in counts.items() if count > MOST_MODULES}


def test_no_room_is_named_like_a_public_function():
    import xtremedistil

    public = set(xtremedistil.__all__) - {"losses"}  # which is the room itself
    assert not public & set(rooms())
