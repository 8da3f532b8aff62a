import dataclasses

import pytest

from xtremedistil.distillation.planning.config import DistilConfig, resolve
from xtremedistil.distillation.planning.stages import Stage, check_stages, checkpoint_name, plan_stages
from xtremedistil.errors import InputError


def config(**changes):
    given = dict(task="t", model_dir="m", seq_len=16, transfer_file="u", teacher_model_dir="m") | changes
    return resolve(DistilConfig(**given))


def plan(blocks, **changes):
    return [(stage.number, stage.objective, stage.unfrozen) for stage in plan_stages(config(**changes), blocks)]


def test_plan_without_projection_has_five_stages():
    assert plan(["student", "head"]) == [
        (1, "representation", ("student",)),
        (2, "logits", ("head",)),
        (3, "logits", ("head", "student")),
        (4, "labels", ("head",)),
        (5, "labels", ("head", "student")),
    ]


def test_plan_with_projection_has_seven_stages_top_down():
    assert plan(["student", "dense", "head"]) == [
        (1, "representation", ("dense", "student")),
        (2, "logits", ("head",)),
        (3, "logits", ("head", "dense")),
        (4, "logits", ("head", "dense", "student")),
        (5, "labels", ("head",)),
        (6, "labels", ("head", "dense")),
        (7, "labels", ("head", "dense", "student")),
    ]


def test_plan_of_a_teacher_without_states_begins_with_logits():
    for flag in ("teacher_logits", "teacher_onnx"):
        assert plan(["student", "head"], **{flag: "file"}) == [
            (1, "logits", ("head",)),
            (2, "logits", ("head", "student")),
            (3, "labels", ("head",)),
            (4, "labels", ("head", "student")),
        ]


def test_unfreeze_order_turns_the_blocks_round():
    trained = [unfrozen for _, _, unfrozen in plan(["student", "dense", "head"], unfreeze_order="student,dense")]
    assert trained[2] == ("head", "student")


def test_checkpoint_names_are_the_originals():
    stages = plan_stages(config(), ["student", "dense", "head"])
    assert checkpoint_name(stages[0], 0) == "model-stage-1-indx-0.h5"
    assert checkpoint_name(stages[3], 10000) == "model-stage-4-indx-10000.h5"
    assert checkpoint_name(stages[4], None) == "model-stage-5.h5"


def test_legacy_stages_use_the_originals_rate_throughout():
    rates = {stage.learning_rate for stage in plan_stages(config(legacy=True), ["student", "dense", "head"])}
    assert rates == {3e-5}


def test_joint_recipe_trains_everything_at_once_and_then_on_the_labels():
    assert plan(["student", "dense", "head"], recipe="joint") == [
        (1, "joint", ("head", "dense", "student")),
        (2, "labels", ("head",)),
        (3, "labels", ("head", "dense")),
        (4, "labels", ("head", "dense", "student")),
    ]


LAST = Stage(2, "labels", ("head",), epochs=1, learning_rate=0.1, batch_size=8)


@pytest.mark.parametrize("recipe", ["original", "joint"])
def test_plan_of_a_recipe_is_a_list_of_stages_like_ones_own(recipe):
    check_stages(plan_stages(config(recipe=recipe), ["student", "head", "dense"]), logits_only=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"number": 2}, "their numbers are 2, 2; count them from 1"),
        ({"objective": "logit"}, 'stage 1: the objective is "logit"; there are: representation, logits, joint, labels'),
        ({"unfrozen": "head"}, "unfrozen is 'head'; list one or several blocks"),
        ({"unfrozen": ()}, "list one or several blocks"),
        ({"unfrozen": ("head", "head")}, "another entry already covers head"),
        ({"unfrozen": ("head", "student", "encoder/layer_._0")}, "another entry already covers encoder/layer_._0"),
        (
            {"unfrozen": ("encoder/layer_._0/output", "encoder/layer_._0")},
            "another entry already covers encoder/layer_._0/output",
        ),
        ({"objective": "representation", "unfrozen": ("dense",)}, "only the encoder gives hidden states. Add student"),
        ({"epochs": 0}, "epochs and batch_size are at least 1"),
        ({"batch_size": 0}, "epochs and batch_size are at least 1"),
        ({"learning_rate": 0.0}, "learning_rate is a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is a number above 0"),
    ],
)
def test_stages_that_cannot_be_are_refused(changes, message):
    first = Stage(1, "logits", ("head", "student"), epochs=1, learning_rate=0.1, batch_size=8)
    check_stages(
        [first, dataclasses.replace(LAST, unfrozen=("encoder/layer_._1", "encoder/layer_._10"))], logits_only=False
    )
    with pytest.raises(InputError, match=message):
        check_stages([dataclasses.replace(first, **changes), LAST], logits_only=False)


def test_stages_of_states_go_neither_alone_nor_with_a_teacher_that_has_none():
    states = Stage(1, "representation", ("student",), epochs=1, learning_rate=0.1, batch_size=8)
    with pytest.raises(InputError, match="none trains the head"):
        check_stages([states], logits_only=False)
    with pytest.raises(InputError, match="stage 1: an external teacher gives only logits"):
        check_stages([states, LAST], logits_only=True)
    with pytest.raises(InputError, match="none trains the head"):
        check_stages([], logits_only=False)


def test_stage_of_some_layers_trains_the_encoder():
    stages = [dataclasses.replace(LAST, unfrozen=names) for names in (("head", "dense"), ("head", "encoder/layer_._0"))]
    assert [stage.trains_encoder for stage in stages] == [False, True]
