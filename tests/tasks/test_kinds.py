"""What holds of all kinds of task alike, and that no other room asks for a kind by its name."""

import ast
from pathlib import Path
from types import SimpleNamespace

import pytest

import xtremedistil
from xtremedistil.errors import InputError
from xtremedistil.tasks import (
    KINDS,
    KindSettings,
    LabelledText,
    SequenceClassification,
    TokenClassification,
    folder_problems,
    kind_of,
    saved_task,
)

PACKAGE = Path(xtremedistil.__file__).parent
CLASSES = {kind.__name__ for kind in KINDS.values()}


def asks_for_a_kind(node: ast.AST) -> bool:
    """Whether this compares with the name of a kind, has one as the key of a dict or a case, or tests for a class."""
    if isinstance(node, ast.Compare):
        asked = [node.left, *node.comparators]
    elif isinstance(node, ast.Dict):
        asked = [key for key in node.keys if key is not None]
    elif isinstance(node, ast.MatchValue):
        asked = [node.value]
    elif isinstance(node, ast.Call) and getattr(node.func, "id", None) in ("isinstance", "issubclass"):
        asked = node.args[1:]
    else:
        return False
    return any(names_a_kind(inner) for part in asked for inner in ast.walk(part))


def names_a_kind(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and node.value in KINDS
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else None
    return name in CLASSES


def questions(source: str) -> list[int]:
    return [node.lineno for node in ast.walk(ast.parse(source)) if asks_for_a_kind(node)]


@pytest.mark.parametrize(
    "source",
    [
        'task.kind == "token_classification"',
        '"sequence_classification" != kind',
        'kind in ("token_classification", "other")',
        'ENDINGS = {"token_classification": 1}',
        "isinstance(task, TokenClassification)",
        "isinstance(task, (int, tasks.SequenceClassification))",
        "type(task) is TokenClassification",
    ],
)
def test_a_question_for_a_kind_is_seen(source):
    assert questions(source) == [1]


def test_naming_a_kind_is_no_question():
    assert questions('f(kind="token_classification")\ng = SequenceClassification(["a"])\nx == {"kind": 1}') == []


def test_no_room_but_tasks_asks_for_a_kind():
    outside = [path for path in PACKAGE.rglob("*.py") if PACKAGE / "tasks" not in path.parents]
    found = {str(path): lines for path in outside if (lines := questions(path.read_text(encoding="utf-8")))}
    assert len(outside) > 100 and found == {}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_answers_what_is_asked_of_classification(kind):
    task = kind.from_labels(["O", "B-PER"], KindSettings())
    asked = {name for name in dir(SequenceClassification([])) if not name.startswith("_")}
    assert asked <= set(dir(task))
    assert task.all_labels == task.labels == ["O", "B-PER"] and task.kind in KINDS


def test_kinds_are_found_by_flags():
    assert kind_of(KindSettings()) is kind_of(KindSettings(do_pairwise=True)) is SequenceClassification
    assert kind_of(KindSettings(do_NER=True)) is TokenClassification
    for name, kind in KINDS.items():
        assert kind_of(KindSettings(task_kind=name)) is kind
        assert kind_of(KindSettings(**kind.flags)) is kind
    with pytest.raises(InputError, match="task_kind 'tokens' is unknown. Known: token_classification, sequence_c"):
        kind_of(KindSettings(task_kind="tokens"))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"do_NER": True, "do_pairwise": True}, "`do_NER` and `do_pairwise` exclude each other"),
        (
            {"do_NER": True, "task_kind": "sequence_classification"},
            "`do_NER` and `task_kind` sequence_classification exclude each other",
        ),
        (
            {"do_pairwise": True, "task_kind": "token_classification"},
            "`task_kind` token_classification and `do_pairwise` exclude each other",
        ),
        ({"label_separator": ";"}, "`label_separator` ';': rows have one label each; leave it away"),
    ],
)
def test_contradictions_between_flags_are_named(tmp_path, settings, line):
    problems = folder_problems(str(tmp_path / "nowhere"), KindSettings(**settings))
    assert problems[0] == line and "there is no such folder" in problems[1] and len(problems) == 2


def test_contradictions_are_named_by_the_flags_of_a_role(tmp_path):
    config = SimpleNamespace(
        source_do_NER=True, source_do_pairwise=True, source_task_kind=None, source_label_separator=","
    )
    first, _ = folder_problems(str(tmp_path / "nowhere"), KindSettings.of(config, "source_"), "source_")
    assert first == "`source_do_NER` and `source_do_pairwise` exclude each other"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_saved_keys_lead_back_to_the_kind(kind):
    task = kind.from_labels(["O", "B-PER"], KindSettings())
    again = saved_task({"label_list": task.all_labels, **task.saved_keys})
    assert type(again) is kind and again.saved_keys == task.saved_keys and again.labels == task.labels


def test_saved_keys_are_those_of_the_original():
    assert TokenClassification(["O"], ("[PAD]",)).saved_keys == {"do_NER": True, "do_pairwise": False}
    assert SequenceClassification(["0"], pairs=True).saved_keys == {"do_NER": False, "do_pairwise": True}


def test_teachers_of_tagging_may_have_pseudo_labels_behind_the_real_ones():
    assert TokenClassification(["O", "B-PER"]).head_widths == {2, 6}
    assert SequenceClassification(["0", "1", "2"]).head_widths == {3}


def test_sample_holds_labels_of_texts_and_none_of_tags():
    assert SequenceClassification(["a"]).labels_to_sample(LabelledText("x", None, "a")) == ("a",)
    assert TokenClassification(["O"]).labels_to_sample(TokenClassification(["O"]).example("x")) == ()
