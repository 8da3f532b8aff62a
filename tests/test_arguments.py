"""Public names refuse arguments of other kinds by a sentence of their own, which says the argument and its value."""

import pytest

import xtremedistil
from xtremedistil import (
    DistilConfig,
    FitSettings,
    InputError,
    Match,
    MultiLabelClassification,
    SequenceClassification,
    SoftLabels,
    Stage,
    Terms,
    TokenClassification,
    arguments,
    plan_stages,
)

NAN, HUGE = float("nan"), 10**24


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no text")


NO_NUMBER = [None, "1", NAN, float("inf"), True, [1], {}, -1, Unprintable()]
NO_COUNT = [None, "12", 24.5, NAN, True, 0, -1, HUGE, [1]]
NO_SWITCH = [None, "yes", 1, 0, NAN]
NO_PATH = ["", 3, True, [], b"", "a\0b"]
NO_TEXT = [None, 3, "", [], True]
NO_TEXTS = [3, "abc", [1], [None], {1: 2}]
NO_MAPPING = [3, "abc", [1], True]


def fit_settings(name):
    return lambda value: FitSettings(**{name: value})


def match(**given):
    return Match(**({"feature": "hidden_states", "teacher": 1, "student": 1} | given))


def stage(**given):
    good = {"number": 1, "objective": "logits", "unfrozen": ("head",), "epochs": 1, "learning_rate": 0.1}
    return Stage(**(good | {"batch_size": 8} | given))


def field(make, name):
    return lambda value: make(**{name: value})


def soft_labels(**given):
    return SoftLabels(**given)


def terms(**given):
    return Terms(**given)


HIDDEN = {"layer_T": 1, "layer_S": 1, "feature": "hidden", "loss": "hidden_mse", "weight": 1}


def textbrewers(name):
    return lambda value: Terms.from_textbrewer({"intermediate_matches": [HIDDEN | {name: value}]})


CONFIG = DistilConfig(task="t", transfer_file="f", model_dir="m", teacher_model_dir="m", seq_len=8)
CASES = [
    # function of one value, values that it refuses, what the message says
    *((fit_settings(name), NO_COUNT, name) for name in ("epochs", "batch_size", "gradient_accumulation_steps")),
    *((fit_settings(name), NO_COUNT[1:], name) for name in ("steps", "steps_per_epoch", "patience")),
    *((fit_settings(name), NO_NUMBER, name) for name in ("learning_rate", "weight_decay", "max_grad_norm")),
    (fit_settings("save_minutes"), NO_NUMBER, "save_minutes"),
    (fit_settings("warmup_ratio"), [*NO_NUMBER, 1.5], "warmup_ratio"),
    (fit_settings("seed"), [None, "1", 0.5, True, -1, 2**32], "seed"),
    *((fit_settings(name), NO_SWITCH, name) for name in ("jit_compile", "verbose")),
    (fit_settings("folder"), NO_PATH, "folder"),
    (fit_settings("lr_schedule"), [None, 3, "liner", []], ""),
    (fit_settings("targets_precision"), [None, 3, "float8", []], "targets_precision"),
    (lambda value: FitSettings().changed(**{value: 1}), ["epcohs", "x"], "training setting"),
    (field(match, "feature"), [None, 3, "hidden", []], "feature"),
    (field(match, "loss"), [None, 3, "hidden_mes", {}], "loss"),
    (field(match, "projection"), [None, 3, "liner", []], "projection"),
    (field(match, "options"), [None, *NO_MAPPING], "options"),
    (field(match, "weight"), NO_NUMBER, "weight"),
    (field(match, "weight_schedule"), [None, 3, "linear", []], "weight schedule"),
    (field(match, "projection_learning_rate"), NO_NUMBER[1:], "projection_learning_rate"),
    (field(match, "teacher_number"), [None, "1", 0.5, True, -1], "teacher_number"),
    (field(match, "teacher"), [None, "1", 0.5, True, -1, (), [1], (1, 2)], "teacher"),
    (field(match, "student"), [None, "1", 0.5, True, -1, (), [1], (1, 2)], "student"),
    (field(soft_labels, "loss"), [None, 3, "kl", []], "loss of logits"),
    (field(soft_labels, "temperature"), [*NO_NUMBER, 0], "temperature"),
    (field(soft_labels, "temperature_of"), [3, "flsw", []], "temperature_of"),
    (field(soft_labels, "weight"), NO_NUMBER, "weight"),
    (field(soft_labels, "weight_schedule"), [None, 3, "linear", []], "weight schedule"),
    (field(soft_labels, "probability_shift"), NO_SWITCH, "probability_shift"),
    (field(soft_labels, "options"), [None, *NO_MAPPING], "options"),
    (field(terms, "soft_labels"), [3, "kl", [], {}], "soft_labels"),
    (field(terms, "matches"), [3, None, {}, [3], ["last"], [None]], "matches"),
    (field(terms, "matches"), ["", "lats", "1:", "1:2,1:3"], "layer map"),
    (field(terms, "hard_label_weight"), NO_NUMBER, "hard_label_weight"),
    (field(terms, "hard_label_weight_schedule"), [None, 3, "linear", []], "weight schedule"),
    (
        field(terms, "teacher_weights"),
        [3, "abc", (), (0, 0), (NAN,), (-1, 2), ("1",), (True,), (None,), {}],
        "teacher_weights",
    ),
    (field(terms, "combine"), [None, 3, "mean", []], "way to combine"),
    (field(terms, "further_soft_labels"), [3, None, [3], "abc", {}], "further_soft_labels"),
    (Terms().for_problem, [None, 3, "classes", []], "problem type"),
    (lambda value: Terms(matches="last").matches_for(value, 1), [None, "2", 0.5, True, -1], "teacher_layers"),
    (lambda value: Terms(matches="last").matches_for(2, value), [None, "2", 0.5, True, -1], "student_layers"),
    (Terms.from_json, [None, 3, "", "{", "[" * 10**5, b"{}"], "text"),
    (Terms.from_json, ["3", "[]", "null"], "Terms are written as a mapping"),
    (Terms.from_json, ['{"soft_labels": 3}', '{"soft_labels": "kl"}', '{"soft_labels": [1]}'], "soft_labels"),
    (Terms.from_json, ['{"matches": 3}', '{"matches": [3]}', '{"matches": {}}'.replace("{}", '{"a": 1}')], "matches"),
    (Terms.from_json, ['{"teacher_weights": 3}', '{"teacher_weights": ["a"]}'], "teacher_weights"),
    (Terms.from_json, ['{"further_soft_labels": 3}', '{"further_soft_labels": [3]}'], "further_soft_labels"),
    (Terms.from_json, ['{"soft_labels": {"temperature_of": 3}}'], "temperature_of"),
    (Terms.from_textbrewer, [None, *NO_MAPPING], "config"),
    (lambda value: Terms.from_textbrewer({}, first_attention=value), [None, "1", 0.5, True, -1], "first_attention"),
    (lambda value: Terms.from_textbrewer({}, release=value), [None, 3, "0.2", []], "release of TextBrewer"),
    (lambda value: Terms.from_textbrewer({"temperature": value}), [None, "8", NAN, [], 0], "temperature"),
    (lambda value: Terms.from_textbrewer({"hard_label_weight": value}), [None, "1", NAN, [], -1], "hard_label_weight"),
    (lambda value: Terms.from_textbrewer({"temperature_scheduler": value}), [None, 3, [], ["flsw"]], "temperature"),
    (lambda value: Terms.from_textbrewer({"intermediate_matches": value}), [3, "abc", [3], {"a": 1}], "intermediate"),
    *((textbrewers(f"layer_{side[0]}"), [None, "1", 0.5, [], -1], side.lower()) for side in ("Teacher", "Student")),
    (textbrewers("weight"), [None, "1", NAN, -1], "weight"),
    (textbrewers("feature"), [None, 3, "state", []], "feature"),
    (textbrewers("loss"), [None, 3, "mes", []], "loss"),
    (textbrewers("proj"), [3, "linear", ["liner", 1, 2], [[], 1, 2], {"a": 1}], "proj"),
    *((field(stage, name), [None, "1", 0.5, True, -1], name) for name in ("number", "epochs", "batch_size")),
    (field(stage, "objective"), NO_TEXT, "objective"),
    (field(stage, "unfrozen"), [None, *NO_TEXTS], "unfrozen"),
    (field(stage, "learning_rate"), NO_NUMBER, "learning_rate"),
    (lambda value: plan_stages(value, ["student", "head"]), [None, 3, "config", {}], "config"),
    (lambda value: plan_stages(CONFIG, value), [None, 3, "head", ["heads"], [1]], "block"),
    (SequenceClassification, [None, 3, "ab", ["a", "a"], [None], [["a"]]], "labels"),
    (lambda value: SequenceClassification(["a"], value), NO_SWITCH, "pairs"),
    (TokenClassification, [None, 3, "ab", ["a", "a"], [None], [["a"]]], "labels"),
    (lambda value: TokenClassification(["O"], value), [None, *NO_TEXTS], "pseudo_labels"),
    (MultiLabelClassification, [None, 3, "ab", ["a", "a"], [None], [["a"]]], "labels"),
    (lambda value: MultiLabelClassification(["a"], False, value), NO_TEXT, "label_separator"),
    (lambda value: xtremedistil.plan(value), [None, 3, "config", {}, CONFIG.__dict__], "is no DistilConfig"),
]


@pytest.mark.parametrize(
    "call, value, named", [(call, value, named) for call, values, named in CASES for value in values]
)
def test_argument_of_another_kind_is_refused_by_name(call, value, named):
    with pytest.raises((ValueError, InputError)) as refused:
        call(value)
    assert named in str(refused.value)
    frames = [entry.path for entry in refused.traceback]
    assert "xtremedistil" in str(frames[-1]), "the error comes from this package's own border"


@pytest.mark.parametrize("value", [0, 1, 2**31 - 1])
def test_whole_numbers_in_range_pass(value):
    arguments.require_whole("x", value)


def test_values_are_shown_on_one_line_and_cut_short():
    assert arguments.shown("a\nb") == "'a\\nb'"
    assert arguments.shown(list(range(100))).endswith("...") and len(arguments.shown(list(range(100)))) < 100
    assert arguments.shown(Unprintable()).startswith("a Unprintable")
