"""TextBrewer's configuration, read as it stands."""

import json

import pytest

from xtremedistil.terms.match import Match
from xtremedistil.terms.terms import Terms


def hidden(teacher, student, loss: str) -> dict:
    """A match as TextBrewer writes it."""
    return {"layer_T": teacher, "layer_S": student, "feature": "hidden", "loss": loss, "weight": 1}


def test_textbrewers_configuration_is_read_as_it_stands():
    config = {
        "temperature": 8,
        "hard_label_weight": 0.2,
        "kd_loss_type": "ce",
        "temperature_scheduler": ["flsw", 1, 2],
        "kd_loss_weight_scheduler": "linear_decay",
        "probability_shift": True,
        "intermediate_matches": [
            hidden(8, 2, "hidden_mse") | {"proj": ["linear", 3, 7]},
            hidden([0, 0], [0, 0], "mmd"),
            {"layer_T": 4, "layer_S": 1, "feature": "attention", "loss": "attention_mse_sum", "weight": 2},
        ],
    }
    terms = Terms.from_textbrewer(json.loads(json.dumps(config)))
    assert Terms.from_json(json.dumps(config)) == terms
    assert Terms.from_json(terms.to_json()) == terms
    assert terms.soft_labels.options == {"t_squared": False}
    assert terms.soft_labels.weight_schedule == "linear_decay"
    assert terms.soft_labels.temperature_of.gamma == 2
    assert terms.matches == (
        Match("hidden_states", 8, 2, projection="linear"),
        Match("hidden_states", (0, 0), (0, 0), "nst", projection="none"),
        Match("attention_scores", 4, 1, "attention_mse_sum", 2.0, projection="none", options={"compat": True}),
    )


@pytest.mark.parametrize("release, options", [("master", {}), ("0.2.1", {"normalize_by": "length"})])
def test_mmd_is_that_of_the_release(release, options):
    config = {"intermediate_matches": [hidden([0, 0], [0, 0], "mmd"), hidden(1, 1, "cos")]}
    mmd, cosine = Terms.from_textbrewer(config, release=release).matches
    assert (mmd.loss, mmd.options, cosine.options) == ("nst", options, {})


def test_release_that_is_unknown_is_refused():
    config = {"intermediate_matches": [hidden([0, 0], [0, 0], "mmd")]}
    with pytest.raises(ValueError, match='no release of TextBrewer "0.2"'):
        Terms.from_textbrewer(config, release="0.2")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"temperture": 2}, "Did you mean temperature"),
        ({"kd_loss_type": "kl"}, 'no kd_loss_type "kl"'),
        ({"intermediate_matches": [hidden(1, 1, "hidden_mes")]}, "Did you mean hidden_mse"),
        ({"temperature_scheduler": "flsw"}, "is not written as flsw:BETA,GAMMA"),
        ({"temperature_scheduler": ["flws", 1, 1]}, "Did you mean flsw"),
        ({"temperature_scheduler": ["flsw", {"beta": 1, "gama": 2}]}, "Did you mean gamma"),
        ({"temperature_scheduler": ["flsw", {"beta": 1}]}, "flsw has no gamma"),
        ({"hard_label_weight_scheduler": "linear_grow"}, "Did you mean linear_growth"),
        ({"intermediate_matches": [hidden(1, 1, "cos") | {"proj": ["linear", 3, 7, {"weight_decay": 1}]}]}, "are: lr"),
        ({"intermediate_matches": [hidden(1, 1, "cos") | {"proj": ["linaer", 3, 7]}]}, "Did you mean linear"),
        ({"intermediate_matches": [hidden(1, 1, "cos") | {"proj": ["linear", {"lr": 1}]}]}, "it is written as .kind,"),
        ({"intermediate_matches": [hidden(1, 1, "cos") | {"proj": "linear"}]}, "it is written as .kind,"),
    ],
)
def test_textbrewers_configuration_with_a_typo(config, message):
    with pytest.raises(ValueError, match=message):
        Terms.from_textbrewer(config)


def test_numbers_of_textbrewers_temperatures_are_read_by_name_in_any_order():
    expected = Terms.from_textbrewer({"temperature_scheduler": ["flsw", 1, 2]})
    named = Terms.from_textbrewer({"temperature_scheduler": ["flsw", {"gamma": 2, "beta": 1}]})
    assert named == expected and named.soft_labels.temperature_of.gamma == 2


def test_attention_of_textbrewers_own_matches_counts_from_one():
    entries = [
        {"layer_T": teacher, "layer_S": student, "feature": "attention", "loss": "attention_mse", "weight": 1}
        for teacher, student in ((4, 1), (8, 2), (12, 3))
    ]
    config = {"intermediate_matches": [*entries, hidden(12, 3, "hidden_mse")]}
    matches = Terms.from_textbrewer(config, first_attention=1).matches
    assert [(match.teacher, match.student) for match in matches] == [(3, 0), (7, 1), (11, 2), (12, 3)]
    entries[0]["layer_S"] = 0
    with pytest.raises(ValueError, match="Attention 0 is the dummy"):
        Terms.from_textbrewer(config, first_attention=1)
