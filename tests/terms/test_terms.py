"""`Terms` and its JSON, without TensorFlow."""

import dataclasses
import json

import pytest

from xtremedistil.tasks.problem_types import PROBLEM_TYPES, SPAN
from xtremedistil.terms.match import Match
from xtremedistil.terms.soft_labels import SoftLabels, parse_temperature_schedule
from xtremedistil.terms.terms import Terms


def test_terms_survive_json():
    terms = Terms(
        SoftLabels("soft_label_ce", temperature=4.0, options={"t_squared": False}),
        (Match("hidden_states", (1, 2), (0, 1), "nst", 0.5, weight_schedule="linear_decay"),),
        hard_label_weight=0.3,
        teacher_weights=(1.0, 2.0),
        combine="losses",
    )
    assert Terms.from_json(terms.to_json()) == terms


@pytest.mark.parametrize("schedule", ["flsw:1,2", "cwsm:0.5"])
def test_terms_with_temperatures_by_position_survive_json(schedule):
    temperatures = parse_temperature_schedule(schedule)
    terms = Terms(SoftLabels("soft_label_kl", temperature_of=dataclasses.replace(temperatures, min_temperature=0.5)))
    assert Terms.from_json(terms.to_json()) == terms
    short = Terms.from_json(json.dumps({"soft_labels": {"temperature_of": schedule}}))
    assert short.soft_labels.temperature_of == temperatures


@pytest.mark.parametrize(
    "terms",
    [
        Terms(SoftLabels(temperature_of=lambda **_: 1.0)),
        Terms(SoftLabels(weight_schedule=lambda progress: progress)),
        Terms(matches=(Match("hidden_states", 1, 1, weight_schedule=lambda progress: progress),)),
    ],
)
def test_functions_of_ones_own_have_no_json(terms):
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        terms.to_json()


def test_terms_without_soft_labels_take_those_of_the_students_problem():
    terms = Terms(hard_label_weight=1.0)
    assert Terms.from_json(terms.to_json()) == terms
    losses = {problem: terms.for_problem(problem).soft_labels.loss for problem in (*PROBLEM_TYPES, SPAN)}
    assert losses == {
        "single_label_classification": "soft_label_kl",
        "multi_label_classification": "soft_label_bce",
        "regression": "logits_mse",
        "question_answering": "soft_label_kl",
    }


def test_matches_in_json_may_be_written_as_people_and_textbrewer_do():
    textbrewers = {"layer_T": [0, 0], "layer_S": [0, 0], "feature": "hidden", "loss": "mmd", "weight": 1}
    written = {"feature": "values", "teacher": 3, "student": 1, "loss": "relation_kl", "relation_heads": 2}
    terms = Terms.from_json(json.dumps({"matches": [textbrewers, written]}))
    assert terms.matches == (
        Match("hidden_states", (0, 0), (0, 0), "nst", projection="none"),
        Match("values", 3, 1, "relation_kl", options={"relation_heads": 2}),
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"soft_label": {}}',
        '{"soft_labels": {"temprature": 2}}',
        '{"soft_labels": {"temperature_of": {"name": "flws", "beta": 1}}}',
        '{"soft_labels": {"temperature_of": {"name": "cwsm", "bets": 1}}}',
        '{"matches": [{"layer_T": 1, "layer_S": 1, "feature": "hidden", "loss": "hidden_mes", "weight": 1}]}',
    ],
)
def test_unknown_name_in_json_is_refused_with_a_hint(text):
    with pytest.raises(ValueError, match="Did you mean"):
        Terms.from_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "a mapping of names to values; this is a list"),
        ('{"soft_labels": {"temperature": "4"}}', "temperature is '4'"),
        ('{"hard_label_weight": "1"}', "hard_label_weight is '1'"),
    ],
)
def test_terms_of_other_kinds_in_json_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Terms.from_json(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"soft_labels": SoftLabels(weight=0), "matches": (Match("values", 1, 1, "rkd", 0.0),)}, "nothing to learn"),
        ({"matches": (Match("hidden_states", 1, 1), Match("hidden_states", 1, 1, weight=2.0))}, "is given twice"),
        ({"combine": "probability"}, "Did you mean probabilities"),
        (
            {"combine": "probabilities", "soft_labels": SoftLabels("logits_mse")},
            "logits_mse does not compare probabilities",
        ),
        (
            {
                "combine": "probabilities",
                "soft_labels": SoftLabels("soft_label_kl", temperature_of=parse_temperature_schedule("cwsm:1")),
            },
            "needs one temperature for all",
        ),
        ({"hard_label_weight": float("nan")}, "hard_label_weight is nan"),
        ({"hard_label_weight_schedule": "linear"}, "no weight schedule"),
        ({"matches": "unifrom"}, "Did you mean uniform"),
        ({"matches": "0:0,1:x"}, "is not written as student:teacher"),
        ({"matches": "0:0,0:1"}, "names a layer of the student twice"),
    ],
)
def test_terms_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        Terms(**settings)
