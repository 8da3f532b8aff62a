"""Flags as fields, and their old names: on the command line, as keywords and in saved settings; without TensorFlow."""

import dataclasses
import json

import pytest

from xtremedistil.cli import VERBS, read_flags
from xtremedistil.distillation.planning.config import DistilConfig, resolve
from xtremedistil.errors import InputError
from xtremedistil.flags import current_names, nearest, old_names, saved_flags
from xtremedistil.pretraining.config import PretrainConfig
from xtremedistil.storage import model_folder, run_folder
from xtremedistil.task_transfer.config import TransferConfig
from xtremedistil.task_transfer.steps import source_config, target_config

DISTIL = {"task": "t", "model_dir": "m", "seq_len": 32, "transfer_file": "u", "teacher_model_dir": "d"}
PRETRAIN = {"pt_teacher_checkpoint": "b", "corpus": ("c",), "model_dir": "m"}
REQUIRED = {"distil": DISTIL, "pretrain": PRETRAIN}
CONFIGS = {"distil": DistilConfig, "pretrain": PretrainConfig}

# verb, old name, name now, and a value that is not the default
RENAMED = [
    ("distil", "targets", "teacher_outputs", "live"),
    ("distil", "targets_dir", "teacher_outputs_dir", "elsewhere"),
    ("distil", "targets_precision", "teacher_outputs_precision", "float32"),
    ("distil", "teacher_targets", "teacher_logits", "logits.npz"),
    ("distil", "loss", "soft_label_loss", "soft_label_kl"),
    ("pretrain", "word_weight", "mlm_weight", 3.0),
    ("pretrain", "predict_all", "soft_labels_on_all_tokens", True),
    ("pretrain", "mlm_share", "mlm_probability", 0.3),
    ("pretrain", "whole_words", "whole_word_mask", True),
    ("pretrain", "steps", "max_steps", 7),
]


def command(verb: str, *flags) -> list[str]:
    required = [part for name, value in REQUIRED[verb].items() for part in (f"--{name}", value)]
    return [verb, *(str(part[0] if isinstance(part, tuple) else part) for part in required), *map(str, flags)]


def test_every_old_name_is_tested():
    named = {(verb, old): new for verb, (_, kind, _) in VERBS.items() for old, new in old_names(kind).items()}
    assert named == {(verb, old): new for verb, old, new, _ in RENAMED}


@pytest.mark.parametrize("verb, old, new, value", RENAMED)
def test_old_name_is_a_flag(verb, old, new, value):
    for spelling in (old, old.replace("_", "-")):
        flags = [f"--{spelling}"] if value is True else [f"--{spelling}", value]
        assert getattr(read_flags(command(verb, *flags))[1], new) == value


@pytest.mark.parametrize("verb, old, new, value", RENAMED)
def test_old_name_is_a_keyword(verb, old, new, value):
    config = CONFIGS[verb](**REQUIRED[verb], **{old: value})
    assert config == CONFIGS[verb](**REQUIRED[verb], **{new: value})
    assert getattr(dataclasses.replace(config, seed=3), new) == value


def test_old_and_new_name_with_two_values_are_refused_and_both_named(run_command):
    both = {"targets": "live", "teacher_outputs": "cache"}
    with pytest.raises(InputError, match="targets is the old name of teacher_outputs.*live and cache"):
        DistilConfig(**DISTIL, **both)
    assert DistilConfig(**DISTIL, targets="live", teacher_outputs="live").teacher_outputs == "live"
    outcome = run_command(*command("distil", "--targets", "live", "--teacher_outputs", "cache"))
    assert outcome.code == 2 and "targets is the old name of teacher_outputs" in outcome.err


def test_old_name_counts_as_given_for_the_recipe_best():
    _, config = read_flags(command("distil", "--recipe", "best", "--loss", "logits_mse"))
    assert config.soft_label_loss == "logits_mse" and config.temperature == 2.0


def test_run_under_old_names_goes_on_under_new_ones(tmp_path):
    renamed = old_names(DistilConfig)
    run_folder.bind_run(str(tmp_path), {"targets": "live", "loss": "dist", "seed": 1}, overwrite=False)
    run_folder.check_run(str(tmp_path), {"teacher_outputs": "live", "soft_label_loss": "dist", "seed": 1}, renamed)
    with pytest.raises(InputError, match="teacher_outputs: live there, auto now"):
        run_folder.check_run(str(tmp_path), {"teacher_outputs": "auto", "soft_label_loss": "dist", "seed": 1}, renamed)


def test_config_of_a_finished_run_has_the_names_of_now(tmp_path):
    sound = {"task": "t", "do_NER": False, "do_pairwise": False, "seq_len": 8, "label_list": ["a"]}
    saved = sound | {"teacher_hidden_size": 4, "targets": "live", "loss": "dist"}
    assert set(model_folder.ALWAYS_SAVED) <= set(saved)
    (tmp_path / model_folder.CONFIG).write_text(json.dumps(saved))
    found = model_folder.read_config(str(tmp_path))
    assert (found["teacher_outputs"], found["soft_label_loss"]) == ("live", "dist")
    assert not {"targets", "loss"} & set(found)


def test_keys_of_finished_runs_are_renamed_as_flags_are():
    assert model_folder.OLD_KEYS == old_names(DistilConfig)


def test_names_that_nobody_renamed_stay_as_they_are():
    assert current_names({"old": "new"}, {"other": 1, "new": 2}) == {"other": 1, "new": 2}


def test_old_verb_is_the_new_one():
    flags = "--source_task s --target_task t --model_dir m --seq_len 8".split()
    assert read_flags(["transfer", *flags]) == read_flags(["task-transfer", *flags])


def test_unknown_keyword_names_the_nearest_field():
    with pytest.raises(TypeError, match=r"DistilConfig has no field hiden_size; did you mean hidden_size\?"):
        DistilConfig(**DISTIL, hiden_size=3)
    with pytest.raises(TypeError, match="PretrainConfig has no field mask_probability; did you mean mlm_probability"):
        PretrainConfig(**PRETRAIN, mask_probability=0.1)
    with pytest.raises(TypeError, match=r"DistilConfig has no field qqq$"):
        dataclasses.replace(DistilConfig(**DISTIL), qqq=3)


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("epochs", ["ft_epochs", "patience", "teacher_epochs"], ["ft_epochs", "teacher_epochs"]),
        ("num_layers", ["num_hidden_layers", "layer_map"], ["num_hidden_layers"]),
        ("learning_rte", ["learning_rate", "layer_map"], ["learning_rate"]),
        ("lr", ["clearing", "seed"], []),
    ],
)
def test_nearest_holds_the_name_or_is_spelled_like_it(name, known, expected):
    assert nearest(name, known) == expected


def test_files_have_newer_flags_only_where_they_were_given():
    plain, kind = DistilConfig(**DISTIL), {"task_kind": "multi_label_classification"}
    newer = {"task_kind", "label_separator", "accept_weights"}
    assert saved_flags(plain).keys() == dataclasses.asdict(plain).keys() - newer
    given = saved_flags(DistilConfig(**DISTIL, **kind, label_separator=";"))
    assert given == {**saved_flags(plain), **kind, "label_separator": ";"}


def test_old_kinds_of_task_are_saved_by_their_old_flags():
    for kind, tags in (("token_classification", True), ("sequence_classification", False)):
        saved = saved_flags(resolve(DistilConfig(**DISTIL, task_kind=kind)))
        assert saved == saved_flags(resolve(DistilConfig(**DISTIL, do_NER=tags)))


def test_kinds_of_both_tasks_of_a_transfer_reach_their_steps():
    kind = "multi_label_classification"
    config = TransferConfig(
        source_task="s", target_task="t", model_dir="m", seq_len=8, source_task_kind=kind, source_label_separator=";"
    )
    source, target = source_config(config), target_config(config, checkpoint="c", model_dir="x")
    assert (source.task_kind, source.label_separator) == (kind, ";")
    assert (target.task_kind, target.label_separator) == (None, ",")
