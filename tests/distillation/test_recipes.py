"""Flags of the recipe, from the command line to files."""

import json
import re
import shutil

import numpy as np
import pytest

from tests.command_fixtures import contents
from xtremedistil import cli
from xtremedistil.distillation.planning.config import DistilConfig, resolve
from xtremedistil.distillation.planning.configured_terms import configured_matches
from xtremedistil.distillation.planning.stages import Stage
from xtremedistil.errors import InputError
from xtremedistil.models.checkpoints.h5_weights import read_weights

tf = pytest.importorskip("tensorflow")

from xtremedistil.models.student_folder import restore_student  # noqa: E402


def rows_of(table: str, first: str) -> list[list[str]]:
    return [line.split() for line in table.splitlines() if line.startswith(first)]


def test_joint_recipe_learns_states_logits_and_labels_at_once(tagging, eagerly, run_command, monkeypatch, tmp_path):
    from xtremedistil.distillation.pipeline import output_source

    flags = tagging.flags(
        tmp_path / "m",
        recipe="joint",
        hard_label_weight=0.5,
        probability_shift=True,
        soft_label_weight=0.25,
        soft_label_loss="soft_label_kl",
        temperature=2,
        temperature_schedule="flsw:1,1",
        no_t_squared=True,
        layer_map="uniform",
        distil_attention=True,
    )
    resolve_policy, sizes = output_source.resolve_policy, []
    monkeypatch.setattr(output_source, "resolve_policy", lambda *args: sizes.append(args[1]) or resolve_policy(*args))
    outcome = run_command("distil", *flags)
    assert outcome.code == 0
    (epoch,) = json.loads((tmp_path / "m/model-stage-1-indx-0-history.json").read_text())["history"]
    matched = {name: value for name, value in epoch.items() if "hidden_states" in name or "attentions" in name}
    weights = {name: 3 if "attentions" in name else 1 for name in matched} | {"logits": 0.25, "labels": 0.5}
    assert epoch["loss"] == pytest.approx(sum(weight * epoch[name] for name, weight in weights.items()), rel=1e-4)
    report = json.loads((tmp_path / "m/report.json").read_text())
    assert [entry["objective"] for entry in report["stages"]] == ["labels", "joint", "labels", "labels"]
    assert report["stages"][1]["dev"] is not None
    first = contents(tmp_path / "m")
    assert any("/train/logits.npy" in name for name in first), "the teacher was not asked about the labelled rows"
    arrays = [content for name, content in first.items() if "teacher-targets/" in name and name.endswith(".npy")]
    headers = 128 * len(arrays)
    assert [size.everything for size in sizes] == [sum(map(len, arrays)) - headers]
    said = re.search(r"teacher's outputs: [0-9.]+ MB", outcome.err)
    assert said.start() < outcome.err.index("teacher's outputs (chunk-0)"), "before any of them is computed"

    for name in ("xtremedistil.h5", "xtremedistil-config.json", "model-stage-3.h5"):
        (tmp_path / "m" / name).unlink()
    assert run_command("distil", *flags).code == 0
    second = contents(tmp_path / "m")
    assert [name for name in first if name.endswith(".h5") and first[name] != second[name]] == []


@pytest.mark.slow
def test_joint_stage_in_chunks_ends_alike_with_a_live_teacher_and_after_an_interruption(
    tagging, eagerly, run_command, interrupt_at, tmp_path
):
    match = "feature=hidden_states,teacher=4,student=1,weight_schedule=linear_decay"
    joint = {"recipe": "joint", "hard_label_weight": 0.5, "match": match, "distil_chunk_size": 16}
    places = {"teacher_model_dir": tmp_path / "teacher", "teacher_outputs_precision": "float32", "save_steps": 1}

    def run(name: str, **changes) -> int:
        return run_command("distil", *tagging.flags(tmp_path / name, **joint, **places, **changes)).code

    def losses(name: str) -> list[float]:
        records = [tmp_path / name / f"model-stage-1-indx-{start}-history.json" for start in (0, 16)]
        return [json.loads(path.read_text())["history"][0]["loss"] for path in records]

    assert run("whole") == 0
    assert run("live", teacher_outputs="live") == 0
    assert losses("live") == pytest.approx(losses("whole"), rel=1e-3)
    with interrupt_at("/4.json"):
        assert run("stopped") == 130
    assert not (tmp_path / "stopped/model-stage-1-indx-0.h5").exists()
    assert run("stopped") == 0
    student = (tmp_path / "whole/xtremedistil.h5").read_bytes()
    assert (tmp_path / "stopped/xtremedistil.h5").read_bytes() == student


def parsed(flags: list[str]) -> DistilConfig:
    values = vars(cli.build_parser().parse_args(["distil", *flags]))
    return DistilConfig(**{name: value for name, value in values.items() if name != "verb"})


def test_stages_of_ones_own_train_what_they_list_and_labels_of_the_test_file_change_its_score_alone(
    tagging, eagerly, monkeypatch, tmp_path
):
    from xtremedistil.distillation.pipeline import distil as distil_module
    from xtremedistil.distillation.pipeline import output_source

    sizes, learn, distil = [], distil_module.fit_on_labels, distil_module.distil
    monkeypatch.setattr(distil_module, "fit_on_labels", lambda *args: sizes.append(args[3].batch_size) or learn(*args))
    states, resolve_policy = [], output_source.resolve_policy

    def resolve_and_note(targets, size, *rest):
        states.append(sum(size.states.values()))
        return resolve_policy(targets, size, *rest)

    monkeypatch.setattr(output_source, "resolve_policy", resolve_and_note)
    how = {"epochs": 1, "learning_rate": 0.01, "batch_size": 8}
    layer = "encoder/layer_._0/output"
    stages = [Stage(1, "logits", ("head",), **how), Stage(2, "labels", (layer,), **(how | {"batch_size": 4}))]

    def settings(name: str, **changes) -> DistilConfig:
        return parsed(tagging.flags(tmp_path / name, teacher_model_dir=tmp_path / "teacher", **changes))

    first = distil(settings("first"), stages)
    found = [(entry["stage"], entry["objective"], entry["unfrozen"]) for entry in first.stages if entry["stage"]]
    assert found == [(1, "logits", ["head"]), (2, "labels", [layer])]
    assert sizes == [4], "the stage's own, not that of a flag"
    assert states == [0], "disk that no stage has a use for"
    names = ("model-stage-1-indx-0.h5", "model-stage-2.h5")
    one, two = (read_weights(str(tmp_path / "first" / name)) for name in names)
    arrays = {(part, name): array for part, weights in one.items() for name, array in weights.items()}
    changed = {part_name for part_name in arrays if (arrays[part_name] != two[part_name[0]][part_name[1]]).any()}
    assert len(changed) == 4, "kernel and bias, gamma and beta"
    assert all(part == "student_2" and layer in name and "attention" not in name for part, name in changed)
    for name, message in (("dense", "Near names: "), ("encoder/layer_._1", "has no sub-layer 'encoder/layer_._1'")):
        with pytest.raises(InputError, match=f"stages: stage 1: {name} is no block .student, head., and .*{message}"):
            distil(settings("third"), [Stage(1, "labels", (name,), **how)])
    assert not (tmp_path / "third").exists()
    idle = f"{layer}/dropout"
    with pytest.raises(InputError, match=f"nothing to train in {idle}"):
        distil(settings("third"), [Stage(1, "labels", ("head",), **how), Stage(2, "labels", (idle,), **how)])
    assert not (tmp_path / "third/model-stage-1.h5").exists()
    with pytest.raises(InputError, match="stages: stage 1: hidden_states.*: this would train nothing"):
        distil(settings("fourth"), [Stage(1, "joint", ("head",), **how)])
    with pytest.raises(InputError, match="(?s)belongs to a run with other settings.*stages: .*Stage"):
        distil(settings("first"))

    task = tmp_path / "task"
    shutil.copytree(tagging.task, task)
    lines = [line.split("\t")[0] for line in (task / "test.tsv").read_text().splitlines()]
    (task / "test.tsv").write_text("".join(f"{words}\t{' '.join(['B-LOC'] * len(words.split()))}\n" for words in lines))
    second = distil(settings("second", task=task), stages)
    weights = [(tmp_path / name / "xtremedistil.h5").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]
    assert [row.dev for row in first.rows] == [row.dev for row in second.rows]
    assert [row.test for row in first.rows] != [row.test for row in second.rows]


@pytest.mark.slow
def test_joint_stage_on_two_devices_is_the_one_on_one(tagging, run_command, tmp_path):
    if len(tf.config.list_logical_devices("CPU")) < 2:
        pytest.skip("TensorFlow was in use before a second logical CPU could be asked for")
    joint = {"recipe": "joint", "hard_label_weight": 0.5, "soft_label_loss": "soft_label_kl", "dropout": 0.0}
    joint |= {"layer_map": "uniform", "distil_attention": True, "distil_epochs": 2}
    losses, students = [], []
    for name, rows in (("one_device", 8), ("mirrored", 4)):
        sizes = dict.fromkeys(("student_distil_batch_size", "student_ft_batch_size"), rows)
        flags = tagging.flags(tmp_path / name, teacher_model_dir=tmp_path / "teacher", strategy=name, **joint, **sizes)
        outcome = run_command("distil", *flags)
        assert outcome.code == 0, outcome.err
        record = json.loads((tmp_path / name / "model-stage-1-indx-0-history.json").read_text())
        terms = [{key: epoch[key] for key in epoch if key not in ("seconds", "score")} for epoch in record["history"]]
        losses.append(terms)
        students.append(restore_student(str(tmp_path / name)))
    for one, two in zip(*losses, strict=True):
        assert len(one) >= 5
        assert two == pytest.approx(one, rel=1e-5)
    ids = tf.constant([[2, 5, 7, 3], [2, 9, 3, 0]])
    batch = {"input_ids": ids, "attention_mask": tf.cast(ids > 0, tf.int32), "token_type_ids": 0 * ids}
    one, two = (student.model(batch)["logits"].numpy() for student in students)
    np.testing.assert_allclose(two, one, atol=1e-5)


def test_best_recipe_learns_relations_of_the_last_layers_and_labels(tagging, run_command, tmp_path):
    """In graphs, as users run it; most other tests of whole runs train eagerly."""
    flags = tagging.flags(tmp_path / "m", recipe="best", relation_heads=2, hidden_size=8)
    assert run_command("distil", *flags).code == 0
    report = json.loads((tmp_path / "m/report.json").read_text())
    assert [stage["objective"] for stage in report["stages"] if stage["stage"]][:2] == ["joint", "labels"]
    names = {name.rsplit("/")[-1] for name in contents(tmp_path / "m") if name.endswith(".npy")}
    assert {"queries_3.npy", "keys_3.npy", "values_3.npy"} <= names
    assert not [name for name in names if name.startswith("hidden_states")]


@pytest.mark.slow
def test_given_matches_take_the_place_of_the_layer_map(tagging, eagerly, run_command, tmp_path):
    path = tmp_path / "matches.json"
    entries = [{"feature": "hidden_states", "teacher": 4, "student": 1, "loss": "hidden_cosine", "projection": "relu"}]
    path.write_text(json.dumps(entries))
    match = "feature=hidden_states,teacher=2+4,student=0+1,loss=nst,weight=2"
    maps = "feature=attentions,teacher=3,student=0,loss=attention_kl"
    flags = tagging.flags(tmp_path / "m", match=None)
    assert run_command("distil", *flags, "--match", match, str(path), maps).code == 0
    names = {name for name in contents(tmp_path / "m") if "hidden_states" in name or "attentions" in name}
    assert {name.rsplit("/")[-1] for name in names if "chunk" in name or "rows" in name or name.endswith(".npy")} == {
        "attentions_3.npy",
        "hidden_states_2.npy",
        "hidden_states_4.npy",
    }
    encoder = json.loads((tmp_path / "m/xtremedistil-config.json").read_text())["student_config"]
    assert encoder["attention_probs_dropout_prob"] == 0.0, "maps are compared with the dropout of a step"


@pytest.mark.slow
def test_what_a_sub_layer_gives_may_have_another_width_than_states(tagging, eagerly, run_command, tmp_path):
    match = "feature=path,teacher=encoder/layer_._3/intermediate,student=encoder/layer_._0/output"
    outcome = run_command("distil", *tagging.flags(tmp_path / "m", match=match, hidden_size=8))
    assert outcome.code == 0, outcome.err
    history = json.loads((tmp_path / "m/model-stage-1-indx-0-history.json").read_text())["history"]
    (term,) = history[0].keys() - {"loss", "seconds", "learning_rate", "score"}
    assert "path" in term and history[-1][term] < history[0][term] * 1.01


@pytest.mark.parametrize(
    ("changes", "teacher", "student", "message"),
    [
        ({}, "encoder/layer_._3/output", "encoder/layer_._0/ouput", "Near names: encoder/layer_._0/output"),
        ({}, "encoder/layer_._4/output", "encoder/layer_._0/output", "--match, teacher: TFBertModel has no sub-layer"),
        (
            {"dry_run": True},
            "encoder/layer_._4/output",
            "encoder/layer_._0/output",
            "--match, teacher: TFBertModel has no",
        ),
        (
            {"student_kind": "bilstm"},
            "encoder/layer_._3/output",
            "encoder/layer_._0/output",
            "--match, student: Bilstm",
        ),
    ],
)
def test_sub_layer_that_is_not_there_is_refused_before_the_teacher_is_tuned(
    tagging, run_command, tmp_path, changes, teacher, student, message
):
    match = f"feature=path,teacher={teacher},student={student}"
    outcome = run_command("distil", *tagging.flags(tmp_path / "m", match=match, **changes))
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tmp_path / "m").exists()


def test_dry_run_prints_the_table_of_terms(tagging, run_command, tmp_path):
    flags = tagging.flags(
        tmp_path / "m",
        hidden_size=8,
        num_hidden_layers=2,
        recipe="joint",
        hard_label_weight=0.5,
        soft_label_loss="soft_label_kl",
        temperature=4,
        temperature_schedule="flsw:1,1",
        no_t_squared=True,
        soft_label_weight=0.25,
        probability_shift=True,
        layer_map="skip",
        distil_attention=True,
        dry_run=True,
    )
    outcome = run_command("distil", *flags)
    assert outcome.code == 0, outcome.err
    found = [" ".join(row) for row in rows_of(outcome.out, "joint")]
    assert found == [
        "joint hidden_states 4 [B, S, 16] 2 [B, S, 8] hidden_mse 1 the deployed one",
        "joint hidden_states 2 [B, S, 16] 1 [B, S, 8] hidden_mse 1 linear of its own",
        "joint attentions 3 [B, 2, S, S] 1 [B, 2, S, S] attention_squared_distance 3 none",
        "joint attentions 1 [B, 2, S, S] 0 [B, 2, S, S] attention_squared_distance 3 none",
        "joint logits [B, S, 3] [B, S, 3] soft_label_kl, temperature 4, flsw:1,1,0.01, without T^2, "
        "probability shift 0.25",
        "joint labels [B, S, 3] cross-entropy 0.5",
    ]


@pytest.mark.parametrize(
    ("changes", "teacher", "student", "cells"),
    [
        (
            {"hidden_size": 8},
            "encoder/layer_._3/intermediate",
            "encoder/layer_._0/output",
            "encoder/layer_._3/intermediate [B, S, 32] encoder/layer_._0/output [B, S, 8] hidden_mse 1 linear",
        ),
        (
            {"student_kind": "bilstm", "hidden_size": 10, "lstm_units": 8},
            "encoder/layer_._1",
            "layer_0",
            "encoder/layer_._1 [B, S, 16] layer_0 [B, S, 16] hidden_mse 1 none",  # both as wide
        ),
    ],
)
def test_dry_run_shows_what_sub_layers_give(tagging, run_command, tmp_path, changes, teacher, student, cells):
    match = f"feature=path,teacher={teacher},student={student}"
    outcome = run_command("distil", *tagging.flags(tmp_path / "m", match=match, dry_run=True, **changes))
    assert outcome.code == 0, outcome.err
    (line,) = [" ".join(row) for row in rows_of(outcome.out, "representation") if row[1] == "path"]
    assert line.removesuffix(" of its own") == f"representation path {cells}"


def test_table_of_terms_has_the_originals_losses_under_legacy(tagging, run_command, tmp_path):
    flags = {"distil_attention": True, "legacy": True, "learning_rate": None, "teacher_learning_rate": None}
    outcome = run_command("distil", *tagging.flags(tmp_path / "m", **flags, dry_run=True))
    assert outcome.code == 0, outcome.err
    found = [" ".join(row) for row in rows_of(outcome.out, "representation")]
    assert "representation hidden_states 4 [B, S, 16] 1 [B, S, 16] hidden_mse, padding too 1 none" in found
    assert "representation attentions 3 [B, 2, S, S] 0 [B, 2, S, S] attention_mse, padding too 1 none" in found
    (logits,) = (" ".join(row) for row in rows_of(outcome.out, "logits "))
    assert "logits_mse, padding too" in logits


def test_map_that_names_the_embeddings_has_a_pair_of_them():
    def weights(**changes) -> list[tuple[int, float]]:
        given = dict(task="t", model_dir="m", seq_len=16, transfer_file="u", teacher_model_dir="m", hidden_weight=2.0)
        config = resolve(DistilConfig(**given, **changes))
        return [(match.student, match.weight) for match in configured_matches(config, 4, 2)]

    assert weights(layer_map="0:0,2:4") == [(2, 2.0), (0, 2.0)]
    assert weights(layer_map="0:0,2:4", embedding_weight=0.5) == [(2, 2.0), (0, 0.5)]
    assert weights(layer_map="uniform") == [(2, 2.0), (1, 2.0)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "joint", "representation_learning_rate": 0.1}, "no representation stage with --recipe joint"),
        ({"attention_weight": 2}, "--attention_weight is for attention maps: give --distil_attention too"),
        ({"embedding_weight": 1}, "--embedding_weight is for the hidden states of all layers"),
        (
            {"legacy": True, "learning_rate": None, "teacher_learning_rate": None, "attention_weight": 2},
            "without --attention_weight",
        ),
        ({"temperature": 0}, "--temperature 0.0: must be greater than 0"),
        ({"soft_label_weight": 0.5}, "--soft_label_weight is for the joint stage: give --recipe joint"),
        ({"recipe": "joint", "soft_label_weight": 0}, "nothing trains the classifier then; give a --hard_label_weight"),
        ({"recipe": "joint", "soft_label_weight": -1}, "--soft_label_weight -1.0: must not be negative"),
        ({"no_t_squared": True}, "--no_t_squared: logits_mse does not take it"),
        ({"temperature_schedule": "flsw"}, "is not written as flsw:BETA,GAMMA"),
        ({"layer_map": "unifrom"}, "Did you mean uniform"),
        ({"layer_map": "0:0,1:9"}, "layer 9 of the teacher, which has 4"),
        ({"hard_label_weight": 1}, "--hard_label_weight is for the joint stage"),
        ({"probability_shift": True}, "--probability_shift needs gold labels"),
        ({"recipe": "joint", "legacy": True, "learning_rate": None}, "leave --recipe away, or --legacy"),
        ({"recipe": "best", "legacy": True, "learning_rate": None}, "leave --recipe away, or --legacy"),
        ({"recipe": "best", "relation_heads": 5}, "give relation_heads that divide the widths of teacher"),
        ({"relation_heads": 4}, "--relation_heads is for --distil_relations"),
        ({"match": "feature=hidden_states,teacher=9,student=1"}, "the teacher has no hidden_states 9"),
        ({"match": "feature=hidden_states,teacher=4,student=1,loss=mse"}, 'There is no loss "mse"'),
        (
            {"match": "feature=hidden_states,teacher=4,student=1", "layer_map": "uniform", "hidden_weight": 2},
            "--match replaces the pairs of --layer_map and --hidden_weight",
        ),
        ({"match": "feature=hidden_states,teacher=4,student=1,teacher_number=1"}, "this command has one teacher"),
        (
            {
                "student_kind": "bilstm",
                "hidden_size": 8,
                "lstm_units": 8,
                "match": "feature=hidden_states,teacher=2+4,student=0+1,loss=nst",
            },
            "layers 0 (8 wide) and above (16) of a BiLSTM cannot be joined in one pair",
        ),
        ({"match": "feature=hidden_states,teacher=9,student=1,weight=1e+3"}, "the teacher has no hidden_states 9"),
        (
            {"match": "feature=hidden_states,teacher=4,student=1,projection=none", "hidden_size": 8},
            "without a projection hidden_mse takes equal widths; those of teacher and student are 16 and 8",
        ),
        (
            {"match": "feature=hidden_states,teacher=4,student=1,weight_schedule=linear"},
            "Did you mean linear_",
        ),
        ({"layer_map": "emd", "jit_compile": True}, "--jit_compile: emd is computed on the host"),
        (
            {"match": "feature=hidden_states,teacher=4,student=1", "distil_attention": True},
            "--match replaces the pairs of --distil_attention",
        ),
        (
            {"match": "feature=values,teacher=3,student=0,loss=relation_kl,relation_heads=5"},
            "give relation_heads that divide the widths",
        ),
        (
            {"match": "feature=values,teacher=3,student=0,loss=relation_kl"},
            "relation_kl needs relation_heads (whole number of at least 1)",
        ),
    ],
)
def test_recipe_that_makes_no_sense_is_refused(tagging, run_command, tmp_path, changes, message):
    outcome = run_command("distil", *tagging.flags(tmp_path / "m", **changes))
    assert outcome.code == 2
    assert message in outcome.err
    assert not (tmp_path / "m").exists()
