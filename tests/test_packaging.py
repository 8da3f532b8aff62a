"""What a person meets first: set-up files, make targets, the scripts, the quick start's text."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import xtremedistil
from xtremedistil import cli
from xtremedistil.evaluation.report import ReportRow
from xtremedistil.quickstart.run import bracketed, format_predictions, format_rows, quickstart_config

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = {
    "run_xtreme_distil.py": "distil",
    "run_xtreme_distil_predict.py": "predict",
    "run_xtreme_distil_predict_onnx.py": "predict-onnx",
    "run_xtreme_distil_ft.py": "ft",
    "run_model_ft.py": "model-ft",
    "run_xtreme_pretrain.py": "pretrain",
}


def requirement_lines():
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def test_requirements_allow_exactly_the_lines_that_work_together():
    specifiers = {}
    for requirement in requirement_lines():
        specifiers.setdefault(requirement.name, []).append(requirement)
    assert all("2.21.0" in entry.specifier and "2.22.0" not in entry.specifier for entry in specifiers["tensorflow"])
    assert "2.22.0" not in specifiers["tf-keras"][0].specifier
    assert "4.54.1" in specifiers["transformers"][0].specifier
    assert "4.55.0" not in specifiers["transformers"][0].specifier


def test_locked_versions_are_within_the_requirements():
    lines = (ROOT / "requirements-lock.txt").read_text().splitlines()
    locked = dict(line.lower().replace("_", "-").split("==") for line in lines if not line.startswith("#"))
    for requirement in requirement_lines():
        if requirement.marker is None or requirement.marker.evaluate({"python_version": "3.11"}):
            assert locked[requirement.name.lower().replace("_", "-")] in requirement.specifier, requirement


def test_names_that_load_late_are_told_to_type_checkers():
    tree = ast.parse((ROOT / "xtremedistil" / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    told = {line.names[0].asname: line.module for line in block.body}
    assert told == xtremedistil._HOME
    assert (ROOT / "xtremedistil" / "py.typed").exists()


def test_requirements_name_one_tensorflow_for_each_python():
    for python in ("3.10", "3.12", "3.13"):
        chosen = [entry for entry in requirement_lines() if entry.name == "tensorflow"]
        chosen = [entry for entry in chosen if entry.marker.evaluate({"python_version": python})]
        assert len(chosen) == 1, python
        assert ("2.19.0" in chosen[0].specifier) == (python != "3.13")


def test_everything_imported_by_the_package_is_required():
    known = {"sklearn": "scikit-learn", "tf_keras": "tf-keras", "google": "protobuf", "yaml": "pyyaml"}
    optional = {"pyarrow", "tensorflow_text", "torch"}
    imported = set()
    for path in (ROOT / "xtremedistil").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    outside = {known.get(name, name) for name in imported - sys.stdlib_module_names - optional - {"xtremedistil"}}
    assert outside <= {entry.name for entry in requirement_lines()}


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_is_three_lines_around_the_library(script):
    tree = ast.parse((ROOT / script).read_text(encoding="utf-8"))
    docstring, *statements = tree.body
    assert [ast.unparse(statement) for statement in statements] == [
        "import sys",
        "from xtremedistil.cli import main",
        f"if __name__ == '__main__':\n    sys.exit(main(['{SCRIPTS[script]}', *sys.argv[1:]]))",
    ]


@pytest.mark.parametrize("script", SCRIPTS)
def test_sample_command_of_script_is_understood_by_the_parser(script):
    docstring = ast.get_docstring(ast.parse((ROOT / script).read_text(encoding="utf-8")))
    command = docstring.split(f"python {script}")[1].replace("\\\n", " ").split()
    assert cli.build_parser().parse_args([SCRIPTS[script], *command]).verb == SCRIPTS[script]


def test_ci_runs_the_tests_then_the_quick_start():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "set -euo pipefail" in lines
    assert lines.index("make test") < lines.index("make quickstart")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_makefile_has_the_promised_targets():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets >= {"help", "venv", "quickstart", "test", "test-slow", "check"}


def test_readme_commands_are_understood_by_the_parser():
    blocks = re.findall(r"```(?:bash)?\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    commands = re.findall(r"python (run_\w+\.py)((?:[^\n]*\\\n)*[^\n]*)", "\n".join(blocks))
    assert {script for script, _ in commands} == set(SCRIPTS)
    for script, flags in commands:
        cli.build_parser().parse_args([SCRIPTS[script], *flags.replace("\\\n", " ").split()])


def test_quickstart_is_imported_without_tensorflow():
    code = "import sys; import xtremedistil.quickstart; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_quickstart_keeps_runs_of_different_teachers_apart():
    first, second = (quickstart_config(Path("q"), Path("q") / name, seed=7) for name in ("minilm", "scratch"))
    assert first.model_dir != second.model_dir
    assert first.baseline and first.do_NER


def test_bracketed_closes_each_name():
    words = "Ada Smith met Ford in Rome".split()
    tags = ["B-PER", "I-PER", "O", "B-ORG", "O", "B-LOC"]
    assert bracketed(words, tags) == "[PER Ada Smith] met [ORG Ford] in [LOC Rome]"
    assert bracketed(words[:2], ["B-PER", "B-PER"]) == "[PER Ada] [PER Smith]"
    assert bracketed(words[:2], ["B-PER", "I-ORG"]) == "[PER Ada] [ORG Smith]"


def test_format_predictions_shows_gold_only_where_it_differs():
    rows = [(["Ford", "won"], ["B-ORG", "O"]), (["Rome", "fell"], ["B-LOC", "O"])]
    text = format_predictions(rows, [["B-ORG", "O"], ["B-PER", "O"]])
    assert text == "  [ORG Ford] won\n  [PER Rome] fell\n    gold: [LOC Rome] fell"


def test_format_rows_aligns_parameters_score_and_time():
    rows = [ReportRow("teacher", 22713216, "f1", 0.8, 0.9, 12.25)]
    header, row = format_rows(rows).split("\n")
    assert row.split() == ["teacher", "22,713,216", "0.900", "12.25"]
    assert len(header) == len(row)


KERAS_3_BESIDE_IT = """
import keras, tensorflow as tf
import xtremedistil
assert tf.keras.Model.__module__.startswith("tf_keras."), tf.keras.Model.__module__
"""
KERAS_3_IN_ITS_PLACE = """
import tensorflow as tf
tf.keras.Model
import xtremedistil
"""


@pytest.mark.slow
@pytest.mark.parametrize("code, fault", [(KERAS_3_BESIDE_IT, ""), (KERAS_3_IN_ITS_PLACE, "tf.keras is Keras 3")])
def test_keras_3_is_refused_only_where_it_is_that_of_tensorflow(code, fault):
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode == 0) == (not fault) and fault in done.stderr, done.stderr
