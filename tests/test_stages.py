from xtremedistil.config import DistilConfig, resolve
from xtremedistil.distillation.layer_map import last_layers
from xtremedistil.distillation.stages import checkpoint_name, plan_stages


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
    for flag in ("teacher_targets", "teacher_onnx"):
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


def test_last_layers_pairs_top_with_top_down_to_the_embeddings():
    matches = last_layers(teacher_layers=12, student_layers=2, multi_hidden_states=True, attention=True)
    assert [(m.feature, m.teacher, m.student) for m in matches] == [
        ("hidden_states", 12, 2),
        ("hidden_states", 11, 1),
        ("hidden_states", 10, 0),
        ("attentions", 11, 1),
        ("attentions", 10, 0),
    ]


def test_last_layers_without_multi_hidden_states_is_the_last_state_alone():
    (match,) = last_layers(teacher_layers=4, student_layers=2, multi_hidden_states=False, attention=False)
    assert (match.teacher, match.student, match.teacher_name) == (4, 2, "hidden_states_4")
