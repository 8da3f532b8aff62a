"""Moves modules, and definitions between modules, as `layout.py` says; rewrites every import and dotted name.

    python tools/move_modules.py          in a clean checkout of the commit before the move

Text moves as it is: a module is its docstring, the imports of what it is made of (ruff sorts them afterwards and drops
the unused), and its definitions in their old order. What cannot be told is printed and left to a person.
"""

import ast
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

from layout import PACKAGES, ROOMS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "xtremedistil"
CODE = ("xtremedistil", "tests", "benchmarks", "examples")


def path_of(module: str) -> Path:
    base = ROOT / PACKAGE / module.replace(".", "/")
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def names_of(node) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


class Old:
    """A module as segments of text."""

    def __init__(self, module: str):
        self.module, self.path = module, path_of(module)
        self.text = self.path.read_text(encoding="utf-8")
        lines, tree = self.text.splitlines(keepends=True), ast.parse(self.text)
        self.imports, self.segments, self.docstring, last = [], [], "", 0
        for number, node in enumerate(tree.body):
            piece = "".join(lines[last : node.end_lineno])
            last = node.end_lineno
            if number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                self.docstring = piece
            elif isinstance(node, (ast.Import, ast.ImportFrom)) or "TYPE_CHECKING:" in piece:
                self.imports.append(piece.strip("\n"))
            else:
                self.segments.append((names_of(node), piece, node))
        self.rest = "".join(lines[last:])
        self.definitions = {name: node for names, _, node in self.segments for name in names}


def used_names(node) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def split(old: Old, wanted: dict[str, set[str]]) -> dict[str, list[int]]:
    """Segment numbers by new module: those named, and private ones that they alone use."""
    owner: dict[int, str] = {}
    for number, (names, _, _) in enumerate(old.segments):
        for new, chosen in wanted.items():
            if set(names) & chosen:
                owner[number] = new
    changed = True
    while changed:
        changed = False
        for number, (names, _, _) in enumerate(old.segments):
            if number in owner:
                continue
            users = [k for k, (_, _, node) in enumerate(old.segments) if k != number and set(names) & used_names(node)]
            homes = {owner.get(k) for k in users}
            if users and None not in homes and len(homes) == 1:
                owner[number], changed = homes.pop(), True
            elif users and None not in homes:
                print(f"{old.module}: {names} is used by {homes}; put into the first")
                owner[number], changed = sorted(homes)[0], True
    for number, (names, _, _) in enumerate(old.segments):
        if number not in owner:
            print(f"{old.module}: {names} goes nowhere")
    result = defaultdict(list)
    for number, new in sorted(owner.items()):
        result[new].append(number)
    return result


def main() -> None:
    olds: dict[str, Old] = {}
    parts: dict[str, dict[str, set[str] | None]] = defaultdict(dict)  # old -> new -> names
    for new, sources in ROOMS.items():
        for source in sources:
            old, names = (source, None) if isinstance(source, str) else (source[0], set(source[1].split()))
            olds.setdefault(old, Old(old))
            parts[old][new] = names
    have = {
        str(p.relative_to(ROOT / PACKAGE).with_suffix("")).replace("/", ".").removesuffix(".__init__")
        for p in (ROOT / PACKAGE).rglob("*.py")
    }
    empty = {m for m in have if m != "__init__" and not Old(m).segments}
    for missing in sorted(have - set(olds) - {"__init__"} - empty):
        print(f"{missing} has no place")
    home: dict[tuple[str, str], str] = {}
    pieces: dict[str, list[tuple[Old, list[int]]]] = defaultdict(list)
    for new, sources in ROOMS.items():
        for source in sources:
            old = olds[source if isinstance(source, str) else source[0]]
            if isinstance(source, str):
                numbers = list(range(len(old.segments)))
            else:
                numbers = split(old, {n: s for n, s in parts[old.module].items()})[new]
            pieces[new].append((old, numbers))
            for number in numbers:
                for name in old.segments[number][0]:
                    home[old.module, name] = new
    where = {old: [main_part(old, home)] for old in parts}

    texts: dict[str, str] = {}
    for new, made_of in pieces.items():
        texts[new] = build(new, made_of, home)
        seen: dict[str, str] = {}
        for old, numbers in made_of:
            for number in numbers:
                for name in old.segments[number][0]:
                    if seen.setdefault(name, old.module) != old.module:
                        print(f"{new}: {name} comes from {seen[name]} and {old.module}")
    write(texts, pieces, olds, empty)
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            rewrite(path, home, where)
    for path in [*ROOT.glob("*.py")]:
        rewrite(path, home, where)
    subprocess.run([sys.executable, "-m", "ruff", "check", "-q", "--fix", "--select", "I,F401", *CODE], cwd=ROOT)
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", *CODE], cwd=ROOT)


def main_part(old: str, home) -> str:
    """The new module that has most of an old one's names."""
    return Counter(new for (module, _), new in home.items() if module == old).most_common(1)[0][0]


def build(new: str, made_of, home) -> str:
    first = made_of[0][0]
    docstring = first.docstring
    imports: list[str] = []
    bodies: list[str] = []
    for old, numbers in made_of:
        imports += [text for text in old.imports if text not in imports]
        for number in numbers:
            _, text, node = old.segments[number]
            for name in sorted(used_names(node)):
                if name in old.definitions and home.get((old.module, name), new) != new:
                    line = f"from {PACKAGE}.{home[old.module, name]} import {name}"
                    if line not in imports:
                        imports.append(line)
            bodies.append(text)
        if len(numbers) == len(old.segments):
            bodies.append(old.rest)
    body = "\n".join(text.rstrip("\n") + "\n" for text in bodies if text.strip())
    return docstring + "\n\n" + "\n".join(imports) + "\n" + body


def write(texts, pieces, olds, empty) -> None:
    for module in [*olds, *empty]:
        if module == "":
            continue
        path_of(module).unlink(missing_ok=True)
    for package, sentence in PACKAGES.items():
        folder = ROOT / PACKAGE / package.replace(".", "/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text(f'"""{sentence}"""\n')
    for new, text in texts.items():
        base = ROOT / PACKAGE / new.replace(".", "/")
        is_package = any(other.startswith(new + ".") for other in texts)
        path = base / "__init__.py" if is_package else base.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def rewrite(path: Path, home, where) -> None:
    """Imports and dotted names in one file."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    modules = {old for old, _ in home} | set(where)
    lines = text.splitlines(keepends=True)
    edits: list[tuple[int, int, str]] = []  # offsets
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    data = text.encode()

    def span(node) -> tuple[int, int]:
        return starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset

    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    used |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    used |= {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    used |= set(names_at_top(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith(f"{PACKAGE}."):
            source = node.module.removeprefix(PACKAGE).removeprefix(".")
            out: dict[str, list[str]] = defaultdict(list)
            for alias in node.names:
                full = f"{source}.{alias.name}".removeprefix(".")
                written = alias.name + (f" as {alias.asname}" if alias.asname else "")
                if (source, alias.name) in home:
                    out[f"{PACKAGE}.{home[source, alias.name]}"].append(written)
                elif full in modules and full in where:
                    name = alias.asname or alias.name
                    for target, local in attributes(tree, name, full, home, where, edits, span, used, path):
                        parent, _, base = target.rpartition(".")
                        out[f"{PACKAGE}.{parent}".rstrip(".")].append(base if base == local else f"{base} as {local}")
                elif source in where:  # a name that the module itself imports
                    out[f"{PACKAGE}.{where[source][0]}"].append(written)
                else:
                    out[node.module].append(written)
            out.pop(own_name(path), None)
            indent = " " * node.col_offset
            late = "  # noqa: E402" if "noqa: E402" in lines[node.lineno - 1] and len(out) > 1 else ""
            statements = [f"from {m} import {', '.join(dict.fromkeys(ns))}" for m, ns in out.items()]
            statement = f"{late}\n{indent}".join(statements)
            edits.append((*span(node), statement))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                full = alias.name.removeprefix(PACKAGE + ".")
                if full in where and alias.name != PACKAGE:
                    print(f"{path}:{node.lineno}: import {alias.name}")
        elif isinstance(node, ast.Constant) and str(node.value).startswith(f"{PACKAGE}."):
            dotted = node.value.removeprefix(PACKAGE + ".")
            if dotted in where and re.fullmatch(r"[\w.]+", dotted):
                edits.append((*span(node), f'"{PACKAGE}.{where[dotted][0]}"'))
            else:
                module, _, name = dotted.rpartition(".")
                if (module, name) in home:
                    edits.append((*span(node), f'"{PACKAGE}.{home[module, name]}.{name}"'))
                elif module in where:
                    edits.append((*span(node), f'"{PACKAGE}.{where[module][0]}.{name}"'))
    for start, end, new in sorted(set(edits), reverse=True):
        data = data[:start] + new.encode() + data[end:]
    if edits:
        path.write_bytes(data)


def own_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def names_at_top(tree) -> list[str]:
    return [name for node in tree.body for name in names_of(node)]


def attributes(tree, alias, old, home, where, edits, span, used, path):
    """Rewrites `alias.name` for each name of an old module; the new modules that are wanted, with their local names."""
    wanted: dict[str, str] = {}

    def local(module: str) -> str:
        if module not in wanted:
            base = module.rpartition(".")[2]
            wanted[module] = base if base not in used - {alias} else base + "_module"
        return wanted[module]

    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == alias:
            module = home.get((old, node.attr)) or where[old][0]
            edits.append((*span(node.value), local(module)))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Name) and node.args[0].id == alias:
            name = node.args[1].value if len(node.args) > 1 and isinstance(node.args[1], ast.Constant) else None
            module = home.get((old, name)) or where[old][0]
            edits.append((*span(node.args[0]), local(module)))
    return wanted.items()


if __name__ == "__main__":
    main()
