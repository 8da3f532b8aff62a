"""README and guides: their commands are understood and could begin; their flags, Python names, links and files exist.

The guides use a fixed set of names, which `guide_folder` makes: the tasks of TASKS, the checkpoints of CHECKPOINTS,
`corpus`, `logits.npz`, `teacher.onnx` and `matches.json`; everything that is written goes below `runs`.
"""

import ast
import dataclasses
import functools
import gzip
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np
import pytest

import xtremedistil
from tests.command_fixtures import (
    sentences,
    write_hollow_bert,
    write_random_checkpoint,
    write_rows,
    write_tagging_task,
    write_text_task,
)
from xtremedistil import cli
from xtremedistil.flags import old_names

ROOT = Path(__file__).resolve().parents[1]
README, RESULTS, PAPERS = ROOT / "README.md", ROOT / "docs/results.md", ROOT / "docs/papers.md"
NO_GUIDES = ("architecture.md", "papers.md", "reliability.md", "results.md")
GUIDES = [path for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in NO_GUIDES]
TEXTS = [README, *GUIDES]
ALL = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
MOST_README_LINES = 220

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
FLAG = re.compile(r"(?<![\w-])--([A-Za-z]\w[\w-]*)")
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
SOURCE = re.compile(r"`([\w/]+\.py)(?::(\w+))?`")
SCRIPT_VERB = re.compile(r'main\(\["([\w-]+)"')
NEVER_PARSED = {"help", "help_all", "restrict_ce_to_mask"}  # argparse's own, and DistilBERT's

VARIABLES = {"PT_DATA_DIR": "data", "PT_OUTPUT_DIR": "runs/original"}
TASKS = ("my-texts", "my-pairs", "my-topics", "my-tags", "data/datasets/NER", "data/glue_data/MNLI")
BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}
SMALL = BASE | {"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}
CHECKPOINTS = {
    "bert-base-cased": BASE,
    "bert-base-uncased": BASE,
    "bert-base-multilingual-cased": BASE,
    "google/electra-base-discriminator": BASE | {"model_type": "electra", "embedding_size": 768},
    "microsoft/xtremedistil-l6-h384-uncased": SMALL,
    "sentence-transformers/all-MiniLM-L6-v2": SMALL,
    "runs/small/checkpoint": BASE | {"num_hidden_layers": 6},
    "runs/assistant/checkpoint": BASE | {"num_hidden_layers": 8},
}
CHECKED_ALONE = ("pretrain", "task-transfer", "model-ft")  # the others need a finished run
EARLIER_NAME = re.compile(r"`--(\w+)` \| `(\w+)` \|$", re.MULTILINE)
SETTINGS = ("DistilConfig", "FitSettings", "Match", "PretrainConfig", "SoftLabels", "Stage", "Terms", "TransferConfig")


class Checked(Exception):
    """The settings have passed all checks, and TensorFlow would be imported."""


@dataclass(frozen=True)
class Command:
    """A call of this package in a text, with the variables that stand before it."""

    text: str
    verb: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.text} {self.verb} {self.value_of('model_dir')}"

    def value_of(self, flag: str) -> str:
        return self.arguments[self.arguments.index(f"--{flag}") + 1] if f"--{flag}" in self.arguments else ""


def blocks(path: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(path.read_text(encoding="utf-8")) if found == language]


def commands(path: Path) -> list[Command]:
    return [command for block in blocks(path, "bash") for command in _commands(path.name, block)]


def _commands(text: str, block: str):
    exported: dict[str, str] = {}
    for line in block.replace("\\\n", " ").splitlines():
        words = [Template(word).safe_substitute(VARIABLES) for word in shlex.split(line, comments=True)]
        if words[:1] == ["export"]:
            exported |= dict(word.split("=", 1) for word in words[1:])
            continue
        count = next((number for number, word in enumerate(words) if "=" not in word), len(words))
        before = exported | dict(word.split("=", 1) for word in words[:count])
        if called := _called(words[count:]):
            yield Command(text, called[0], called[1], tuple(before.items()))


def _called(words: list[str]) -> tuple[str, tuple[str, ...]] | None:
    """Verb and arguments; None for another program's call."""
    if words[:1] == ["xtremedistil"]:
        return words[1], tuple(words[2:])
    if words[:1] != ["python"] or words[1].startswith("-"):
        return None
    script = ROOT / words[1]
    assert script.is_file(), f"{words[1]} is not there"
    verb = SCRIPT_VERB.search(script.read_text(encoding="utf-8"))
    return (verb[1], tuple(words[2:])) if verb and script.parent == ROOT else None


COMMANDS = [command for path in TEXTS for command in commands(path)]


@functools.cache
def flags_of(verb: str) -> frozenset[str]:
    """Names of today: aliases are not among them."""
    fields = dataclasses.fields(cli.VERBS[verb][1])
    return frozenset({f"no_{entry.name}" if entry.default is True else entry.name for entry in fields})


def unknown_flags(text: str, known) -> list[str]:
    return [name for name in FLAG.findall(text) if name.replace("-", "_") not in known]


# The small world in which the commands are planned.


def write_topics(folder: Path) -> None:
    """Texts with several labels, one, or none."""
    folder.mkdir()
    topics = {"cat": "animal", "dog": "animal", "london": "town", "paris": "town", "rome": "town"}
    for name, count, seed in (("train", 24, 1), ("dev", 10, 2), ("test", 10, 3)):
        rows = [
            (" ".join(words), ",".join(sorted({topics[w] for w in words if w in topics})))
            for words in sentences(count, seed)
        ]
        write_rows(folder / f"{name}.tsv", rows)


def write_task(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    pairs = folder.name in ("my-pairs", "MNLI")
    if folder.name in ("my-tags", "NER"):
        write_tagging_task(folder)
    elif folder.name == "my-topics":
        write_topics(folder)
    else:
        write_text_task(folder, pairs=pairs)
    lines = [" ".join(words) for words in sentences(30, 4)]
    write_rows(folder / "unlabeled.txt", [(line, line) if pairs else (line,) for line in lines])


def write_graph(path: Path) -> None:
    """Logits of two labels, which say how long a text is."""
    onnx = pytest.importorskip("onnx", reason="the onnx extra is not installed")
    from onnx import TensorProto, helper, numpy_helper

    constants = [
        numpy_helper.from_array(np.ones((1, 2), np.float32), "ones"),
        numpy_helper.from_array(np.array([1]), "axis"),
    ]
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["mask", "axis"], ["length"], keepdims=1),
        helper.make_node("MatMul", ["length", "ones"], ["logits"]),
    ]
    inputs = [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "s"]) for n in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 2])]
    model = helper.make_model(helper.make_graph(nodes, "teacher", inputs, outputs, constants), ir_version=9)
    model.opset_import[0].version = 17
    onnx.save(model, path)


@pytest.fixture(scope="session")
def guide_folder(word_piece_folder, tmp_path_factory) -> Path:
    """Everything that the guides name, with checkpoints that have no weights."""
    folder = tmp_path_factory.mktemp("guides")
    for name in TASKS:
        write_task(folder / name)
    for name, sizes in CHECKPOINTS.items():
        write_hollow_bert(folder / name, word_piece_folder, **sizes)
    (folder / "corpus").mkdir()
    with gzip.open(folder / "corpus/part-1.txt.gz", "wt", encoding="utf-8") as file:
        file.writelines(" ".join(words) + "\n" for words in sentences(30, 5))
    logits = np.zeros((30, 2), np.float32)
    np.savez(folder / "logits.npz", row_ids=np.arange(30), logits=logits, labels=np.array(["animal", "town"]))
    (folder / "matches.json").write_text(blocks(ROOT / "docs/what_a_student_learns.md", "json")[0], encoding="utf-8")
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_command_of_a_text_is_understood_and_could_begin(command, guide_folder, run_command, monkeypatch):
    monkeypatch.chdir(guide_folder)
    for name, value in command.environment:
        monkeypatch.setenv(name, value)
    assert not unknown_flags(" ".join(command.arguments), flags_of(command.verb))
    verb, config = cli.read_flags([command.verb, *command.arguments])
    assert isinstance(config, cli.VERBS[verb][1])
    if verb == "distil":
        if config.teacher_onnx:
            write_graph(Path(config.teacher_onnx))
        outcome = run_command(verb, *command.arguments, "--dry-run")
        assert outcome.code == 0, outcome.err
        assert "stage" in outcome.out and "teacher" in outcome.out
        assert not os.path.exists(config.model_dir)
    if verb in CHECKED_ALONE:
        monkeypatch.setattr(cli, "import_tensorflow", raise_checked)
        with pytest.raises(Checked):
            cli.VERBS[verb][0](config)


def raise_checked(verbose):
    raise Checked


def test_every_verb_is_shown_in_a_text():
    assert {command.verb for command in COMMANDS} == set(cli.VERBS)


def test_commands_of_the_results_are_still_understood():
    """They are of earlier commits: old names of flags work."""
    for command in commands(RESULTS):
        cli.build_parser().parse_args([command.verb, *command.arguments])


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_flags_that_a_text_names_exist(path):
    known = NEVER_PARSED.union(*map(flags_of, cli.VERBS))
    prose = BLOCK.sub("", path.read_text(encoding="utf-8"))
    assert not [name for code in CODE.findall(prose) for name in unknown_flags(code, known)]


def test_migration_lists_all_earlier_names_of_flags():
    listed = EARLIER_NAME.findall((ROOT / "docs/migration.md").read_text(encoding="utf-8"))
    known = {(now, old) for _, kind, _ in cli.VERBS.values() for old, now in old_names(kind).items()}
    assert set(listed) == known


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_python_of_a_text_uses_names_that_exist(path):
    nodes = [node for block in blocks(path, "python") for node in ast.walk(ast.parse(block))]
    assert not [name for node in nodes for name in unknown_names(node)]


def unknown_names(node: ast.AST) -> list[str]:
    """Public names, and fields of settings, that a node of Python code asks for and that are not there."""
    if isinstance(node, ast.ImportFrom) and node.module == "xtremedistil":
        return [alias.name for alias in node.names if alias.name not in xtremedistil.__all__]
    if isinstance(node, ast.ImportFrom):
        return [node.module] if node.module.startswith("xtremedistil.") else []
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "xtremedistil":
        return [] if node.attr in xtremedistil.__all__ else [node.attr]
    if isinstance(node, ast.Call) and (name := ast.unparse(node.func).removeprefix("xtremedistil.")) in SETTINGS:
        fields = {entry.name for entry in dataclasses.fields(getattr(xtremedistil, name))}
        return [keyword.arg for keyword in node.keywords if keyword.arg not in fields]
    return []


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    text = BLOCK.sub("", path.read_text(encoding="utf-8"))
    for target, anchor in LINK.findall(text):
        if "://" in target:
            continue
        file = path.parent / target if target else path
        assert file.exists(), target
        if anchor:
            assert anchor in map(slug, HEADING.findall(file.read_text(encoding="utf-8"))), f"{target}#{anchor}"


def test_readme_is_short_and_leads_to_every_text():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_README_LINES
    linked = {(ROOT / target).resolve() for target, _ in LINK.findall(text) if "://" not in target}
    assert {path.resolve() for path in ALL} - {README} <= linked


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_guide_begins_with_what_it_is_for_and_has_an_example(path):
    title, _, first = path.read_text(encoding="utf-8").split("\n")[:3]
    assert title.startswith("# ") and first.startswith("This guide ")
    assert blocks(path, "bash") or blocks(path, "python")


def test_papers_name_files_and_functions_that_exist():
    for file, name in SOURCE.findall(PAPERS.read_text(encoding="utf-8")):
        path = ROOT / "xtremedistil" / file
        assert path.is_file(), file
        assert not name or f"def {name}(" in path.read_text(encoding="utf-8"), f"{file}:{name}"


@pytest.mark.slow
def test_commands_of_the_readme_run_from_distillation_to_onnx(word_piece_folder, run_command, monkeypatch, tmp_path):
    """Those on texts, as they stand but for --dry-run, with a teacher of random weights."""
    pytest.importorskip("tf2onnx", reason="the onnx extra is not installed")
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path / "my-texts")
    name = "sentence-transformers/all-MiniLM-L6-v2"
    tokenizer, size = enlarged(word_piece_folder, tmp_path / "tokenizer")
    config = {"model_type": "bert", "vocab_size": size} | CHECKPOINTS[name]
    write_random_checkpoint(tmp_path / name, tokenizer, config, "TFBertModel")
    chosen = [command for command in commands(README) if command.value_of("model_dir") == "runs/texts"]
    assert [command.verb for command in chosen] == ["distil", "predict", "export", "predict-onnx"]
    for command in chosen:
        outcome = run_command(command.verb, *(word for word in command.arguments if word != "--dry-run"))
        assert outcome.code == 0, outcome.err
    assert len((tmp_path / "runs/texts/predictions.txt").read_text().splitlines()) == 30


def enlarged(tokenizer: str, folder: Path) -> tuple[str, int]:
    """A tokenizer with more tokens than a student is wide, so that word embeddings can be reduced; and their number."""
    shutil.copytree(tokenizer, folder)
    with (folder / "vocab.txt").open("a", encoding="utf-8") as file:
        file.writelines(f"more{number}\n" for number in range(200))
    return str(folder), len((folder / "vocab.txt").read_text(encoding="utf-8").split())
