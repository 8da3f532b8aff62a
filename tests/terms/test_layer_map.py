import json

import pytest

from xtremedistil.distillation.planning.config import DistilConfig
from xtremedistil.distillation.planning.configured_terms import configured_matches, configured_soft_labels
from xtremedistil.errors import InputError
from xtremedistil.terms.layer_map import layer_map, mapped_matches, transport_matches
from xtremedistil.terms.match import Match
from xtremedistil.terms.match_parsing import read_matches
from xtremedistil.terms.soft_labels import SoftLabels, parse_temperature_schedule


def config(**changes) -> DistilConfig:
    return DistilConfig(task="t", model_dir="m", seq_len=16, transfer_file="u", teacher_model_dir="m", **changes)


# Layer maps


@pytest.mark.parametrize(
    ("name", "teacher", "student", "expected"),
    [
        ("last", 12, 2, [10, 11, 12]),
        ("last", 6, 6, [0, 1, 2, 3, 4, 5, 6]),
        ("uniform", 12, 3, [0, 4, 8, 12]),
        ("uniform", 12, 4, [0, 3, 6, 9, 12]),
        ("uniform", 12, 6, [0, 2, 4, 6, 8, 10, 12]),
        ("uniform", 6, 4, [0, 2, 3, 5, 6]),
        ("skip", 12, 6, [0, 2, 4, 6, 8, 10, 12]),
        ("skip", 12, 5, [0, 2, 4, 6, 8, 10]),
        ("0:0,1:3,2:6", 6, 2, [0, 3, 6]),
    ],
)
def test_layer_map(name, teacher, student, expected):
    found = layer_map(name, teacher_layers=teacher, student_layers=student)
    assert found == dict(enumerate(expected))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unifrom", "Did you mean uniform"),
        ("1:9", "layer 9 of the teacher, which has 6"),
        ("5:1", "layer 5 of the student, which has 2"),
        ("1:2,1:3", "twice"),
        ("1:x", "not written as student:teacher"),
    ],
)
def test_layer_map_that_is_none(name, message):
    with pytest.raises(ValueError, match=message):
        layer_map(name, teacher_layers=6, student_layers=2)


def test_deeper_student_than_teacher_is_refused():
    with pytest.raises(ValueError, match="3 layers and the teacher only 2"):
        layer_map("last", teacher_layers=2, student_layers=3)


def test_mapped_matches_pair_top_with_top_down_to_the_embeddings():
    layers = layer_map("last", teacher_layers=12, student_layers=2)
    matches = mapped_matches(layers, multi_hidden_states=True, attention=True)
    assert [(m.feature, m.teacher, m.student) for m in matches] == [
        ("hidden_states", 12, 2),
        ("hidden_states", 11, 1),
        ("hidden_states", 10, 0),
        ("attentions", 11, 1),
        ("attentions", 10, 0),
    ]


def test_mapped_matches_without_multi_hidden_states_are_the_last_state_alone():
    (match,) = mapped_matches({0: 2, 1: 3, 2: 4}, multi_hidden_states=False, attention=False)
    assert (match.teacher, match.student, match.teacher_names) == (4, 2, ("hidden_states_4",))


def test_uniform_map_of_maps_leaves_out_the_embeddings():
    layers = layer_map("uniform", teacher_layers=6, student_layers=2)
    maps = mapped_matches(layers, multi_hidden_states=False, attention=True)[1:]
    assert [(m.teacher, m.student) for m in maps] == [(5, 1), (2, 0)]


def test_pairs_that_weigh_nothing_are_left_out():
    layers = {0: 4, 1: 5, 2: 6}
    found = mapped_matches(layers, multi_hidden_states=True, attention=True, hidden_weight=0.0, embedding_weight=0.0)
    assert [match.feature for match in found] == ["attentions", "attentions"]
    assert mapped_matches(layers, multi_hidden_states=False, attention=False, hidden_weight=0.0) == []


def test_transport_without_weight_leaves_the_pair_of_embeddings_alone():
    depths = {"teacher_layers": 4, "student_layers": 2}
    both = transport_matches("exact", **depths, hidden_weight=1.0, embedding_weight=0.5)
    assert [match.loss for match in both] == ["layer_transport", "hidden_mse"]
    assert transport_matches("exact", **depths, hidden_weight=0.0, embedding_weight=0.0) == []


# Matches


def test_names_of_a_match_of_two_layers():
    match = Match("hidden_states", (3, 6), (1, 2), "fsp")
    assert match.teacher_names == ("hidden_states_3", "hidden_states_6")
    assert match.outputs == (f"{match.name}_0", f"{match.name}_1")


def test_one_layer_stands_for_both_where_a_loss_takes_two():
    assert Match("hidden_states", 4, 1, "nst").teacher_names == ("hidden_states_4", "hidden_states_4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("hidden_stats", 1, 1), "Did you mean hidden_states"),
        (("hidden_states", 1, 1, "hiden_mse"), "Did you mean hidden_mse"),
        (("attentions", 1, 1, "hidden_mse"), "compares states; of attentions there are: attention_mse"),
        (("hidden_states", -1, 1), "teacher is -1"),
        (("hidden_states", (1, 2), (1, 2), "hidden_mse"), "give one layer, counted from 0"),
        (("path", 1, 1), "give one path of a sub-layer"),
        (("hidden_states", 1, 1, "hidden_mse", float("nan")), "weight"),
        (("attentions", 1, 1, "attention_mse", 1.0, "linear"), "have no width to project"),
        (("hidden_states", 1, 1, "hidden_mse", 1.0, "linear", -1.0), "projection_learning_rate"),
        (("hidden_states", 1, 1, "hidden_mse", 1.0, "auto", None, "linear_decline"), "Did you mean linear_decay"),
        (("hidden_states", 1, 1, "hidden_mse", 1.0, "auto", None, "constant", {}, -1), "counted from 0"),
    ],
)
def test_match_that_makes_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        Match(*arguments)


def test_option_that_a_loss_has_not():
    with pytest.raises(ValueError, match="option of hidden_mse"):
        Match("hidden_states", 1, 1, options={"relation_heads": 2})


@pytest.mark.parametrize(
    ("feature", "loss", "options", "message"),
    [
        ("values", "relation_kl", {}, "relation_kl needs relation_heads .whole number of at least 1"),
        ("values", "relation_kl", {"relation_heads": 2.0}, "relation_heads of relation_kl is 2.0; give whole number"),
        ("values", "relation_kl", {"relation_heads": 0}, "of at least 1"),
        ("values", "relation_kl", {"relation_heads": True}, "is True"),
        ("hidden_states", "cckd", {"kernel": "gausian"}, "kernel of cckd is 'gausian'; give gaussian or bilinear"),
        ("hidden_states", "cckd", {"gamma": 0}, "number above 0"),
        ("hidden_states", "rkd", {"angle_weight": float("nan")}, "angle_weight of rkd is nan"),
        ("hidden_states", "nst", {"normalize_by": "width"}, "hidden or length"),
        ("hidden_states", "layer_transport", {"solver": "emd"}, "exact or sinkhorn"),
        ("attention_scores", "attention_ce", {"compat": "yes"}, "give true or false"),
        ("attentions", "attention_ce", {"compat": True}, "compat is for attention scores"),
        ("attention_scores", "attention_squared_distance", {}, "attention_squared_distance compares probabilities"),
    ],
)
def test_option_of_a_value_that_a_loss_does_not_take(feature, loss, options, message):
    with pytest.raises(ValueError, match=message):
        Match(feature, 1, 1, loss, options=options)


def test_option_on_the_command_line_is_refused_with_its_match():
    text = "feature=hidden_states,teacher=1,student=1,loss=spkd,row_norm=l3"
    with pytest.raises(InputError, match="`match` .*row_norm=l3: row_norm of spkd is 'l3'; give l2 or l1"):
        read_matches([text])


def test_match_written_on_the_command_line():
    text = "feature=values,teacher=5,student=1,loss=relation_kl,relation_heads=12,weight=0.5"
    assert read_matches([text]) == [
        Match("values", 5, 1, "relation_kl", 0.5, options={"relation_heads": 12}),
    ]


def test_two_layers_are_joined_with_plus():
    (match,) = read_matches(["feature=hidden_states,teacher=3+6,student=1+2,loss=fsp"])
    assert (match.teacher, match.student) == ((3, 6), (1, 2))


@pytest.mark.parametrize("name", ["matches.json", "matches.yaml"])
def test_matches_in_a_file(tmp_path, name):
    """JSON is YAML too."""
    entries = [{"feature": "hidden_states", "teacher": [3, 6], "student": [1, 2], "loss": "nst", "weight": 2}]
    path = tmp_path / name
    path.write_text(json.dumps({"matches": entries}))
    assert read_matches([str(path)]) == [Match("hidden_states", (3, 6), (1, 2), "nst", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("feature=hidden_states", "teacher and student is missing"),
        ("feature", "not written as name=value"),
        ("feature=hidden_states,teacher=1,student=1,wieght=2", "Did you mean weight"),
        ("feature=values,teacher=1,student=1,loss=rkd,weight=1,weight=5", "weight is given twice"),
        ("missing.json", "no such file"),
        ("feature=hidden_states,teacher=one,student=1", "teacher is 'one'"),
    ],
)
def test_match_that_cannot_be_read(text, message):
    with pytest.raises(InputError, match=message):
        read_matches([text])


def test_same_match_twice_is_refused():
    text = "feature=hidden_states,teacher=1,student=1"
    with pytest.raises(InputError, match="twice"):
        read_matches([text, text])


def test_file_with_more_than_matches_is_refused(tmp_path):
    path = tmp_path / "matches.json"
    path.write_text('{"matches": [], "temperature": 8, "hard_label_weight": 1}')
    with pytest.raises(InputError, match="temperature, hard_label_weight cannot be set in a file of matches"):
        read_matches([str(path)])


def test_file_that_holds_no_list(tmp_path):
    path = tmp_path / "matches.json"
    path.write_text('"hidden"')
    with pytest.raises(InputError, match="does not hold a list of matches"):
        read_matches([str(path)])


def test_configured_matches_are_those_given():
    given = config(match=("feature=hidden_states,teacher=6,student=2",))
    assert configured_matches(given, 6, 2) == [Match("hidden_states", 6, 2)]


@pytest.mark.parametrize(
    "text", ["feature=hidden_states,teacher=7,student=2", "feature=values,teacher=6,student=1,loss=pkd"]
)
def test_configured_match_of_a_layer_that_is_not_there(text):
    with pytest.raises(InputError, match="the teacher has no"):
        configured_matches(config(match=(text,)), 6, 2)


def test_top_attention_of_textbrewers_own_matches_is_refused_with_what_to_do(tmp_path):
    entry = {"layer_T": 6, "layer_S": 1, "feature": "attention", "loss": "attention_mse", "weight": 1}
    path = tmp_path / "matches.json"
    path.write_text(json.dumps([entry]))
    with pytest.raises(
        InputError, match="no attention_scores 6; .* 0 to 5. TextBrewer's examples count them from 1, after a dummy"
    ):
        configured_matches(config(match=(str(path),)), 6, 2)


def test_relations_are_of_the_last_layers_beside_what_a_map_pairs():
    pairs = configured_matches(config(distil_relations=True, relation_heads=4), 6, 2)
    assert pairs[:-3] == configured_matches(config(), 6, 2)
    wanted = [(kind, 5, 1, "relation_kl", {"relation_heads": 4}) for kind in ("queries", "keys", "values")]
    assert [(one.feature, one.teacher, one.student, one.loss, one.options) for one in pairs[-3:]] == wanted


# Soft labels


def test_flags_of_the_soft_labels_are_the_term_of_a_run():
    flags = {"loss": "soft_label_ce", "temperature": 4.0, "soft_label_weight": 0.5, "t_squared": False}
    expected = SoftLabels("soft_label_ce", temperature=4.0, weight=0.5, options={"t_squared": False})
    assert configured_soft_labels(config(**flags)) == expected
    assert configured_soft_labels(config(soft_label_loss="logits_mse")) == SoftLabels()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "soft_label_k"}, "Did you mean soft_label_kl"),
        ({"temperature": 0.0}, "greater than 0"),
        ({"weight": -1.0}, "at least 0"),
        ({"weight_schedule": "linear_grow"}, "Did you mean linear_growth"),
        ({"options": {"t_squared": True}}, "option of logits_mse"),
        ({"loss": "soft_label_kl", "options": {"t_squared": 1}}, "t_squared of soft_label_kl is 1; give true or false"),
        ({"loss": "soft_label_kl", "options": {"temperature": -1.0}}, "temperature is a field of SoftLabels"),
        ({"loss": "dist", "options": {"inter_weight": -1}}, "number of at least 0"),
    ],
)
def test_soft_labels_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        SoftLabels(**settings)


@pytest.mark.parametrize("text", ["flsw", "flsw:1", "cwsm:a", "constant:1", "cwsm:nan"])
def test_temperature_schedule_that_cannot_be_read(text):
    with pytest.raises(ValueError, match="is not written as"):
        parse_temperature_schedule(text)


def test_constant_temperature_needs_no_function():
    assert parse_temperature_schedule("constant") is None
