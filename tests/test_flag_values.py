"""Types, choices and ranges of settings, which Python and the command line share; no TensorFlow."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from xtremedistil.cli import VERBS, read_flags, with_flags
from xtremedistil.distillation.planning.config import DistilConfig
from xtremedistil.errors import InputError, Problems
from xtremedistil.export.common.validation import check_export
from xtremedistil.finetuning.plan import continuation_plan, fine_tuning_plan
from xtremedistil.flag_values import LARGEST, TEXTS, add_value_problems
from xtremedistil.inference.validation import check_predict, check_predict_onnx
from xtremedistil.pretraining.plan import make_pretrain_plan
from xtremedistil.task_transfer.validation import check_transfer

CHECKS = {
    "distil": None,  # below, through `xtremedistil.distil`
    "pretrain": make_pretrain_plan,
    "predict": check_predict,
    "predict-onnx": check_predict_onnx,
    "export": check_export,
    "ft": continuation_plan,
    "model-ft": fine_tuning_plan,
    "task-transfer": check_transfer,
}


def sound(verb: str):
    """Settings whose values are of the right types; nothing is at the paths."""
    kind = VERBS[verb][1]
    values = {
        entry.name: _some(entry.type) for entry in dataclasses.fields(kind) if entry.default is dataclasses.MISSING
    }
    return kind(**values)


def _some(kind):
    return {str: "x", int: 8, TEXTS: ("x",)}[kind]


def lines_of(config) -> list[str]:
    problems = Problems()
    try:
        add_value_problems(problems, config, "wrong")
        problems.refuse("wrong")
    except InputError as error:
        return str(error).splitlines()[1:]
    return []


def wrong_values(entry: dataclasses.Field) -> list:
    """For a field, values of other types, out of all ranges, and none of the choices."""
    kinds = str(entry.type)
    wrong: list = [object(), b"x", {"a": 1}, [1], ["x", 1]]
    if entry.type is bool:
        return [*wrong, "yes", 1, None, 0.0]
    if "tuple" in kinds:
        return [*wrong, "x", 1, True, ("x", None), ("\0",)]
    if "int" in kinds:
        return [*wrong, "12", 24.5, True, LARGEST + 1, 10**24, -(2**40), float("nan")]
    if "float" in kinds and "str" in kinds:
        return [*wrong, "fast", True, 0, -1.0, float("inf"), 1e300]
    if "float" in kinds:
        return [*wrong, "0.5", True, float("nan"), float("inf"), 1e300, -1.0]
    return [*wrong, 12, True, "", "a\0b", "\ud800"] + ["zzz"] * bool(entry.metadata["choices"])


@pytest.mark.parametrize("verb", VERBS)
def test_each_field_is_checked_and_named(verb):
    config = sound(verb)
    assert lines_of(config) == []
    for entry in dataclasses.fields(config):
        for value in wrong_values(entry):
            (line,) = lines_of(dataclasses.replace(config, **{entry.name: value}))
            assert f"`{entry.name}` " in line, (entry.name, value, line)


@pytest.mark.parametrize("verb", [verb for verb, check in CHECKS.items() if check])
def test_every_command_refuses_a_wrong_type_from_python(verb):
    with pytest.raises(InputError, match="`model_dir` 12: a text is expected"):
        CHECKS[verb](dataclasses.replace(sound(verb), model_dir=12))
    with pytest.raises(InputError, match=rf"'settings' is no {VERBS[verb][1].__name__}\. Make one"):
        CHECKS[verb]("settings")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"recipe": "jiont"}, "`recipe` 'jiont': there are original, joint, best; did you mean joint?"),
        ({"strategy": "mirrord"}, "`strategy` 'mirrord': there are auto, one_device, mirrored, multi_worker, tpu"),
        ({"targets": "Live"}, "`teacher_outputs` 'Live': there are auto, cache, live"),
        ({"learning_rate": -1.0}, "`learning_rate` -1.0: must be greater than 0"),
        ({"opt_policy": "fp16"}, "`opt_policy` 'fp16': there are float32, mixed_float16, mixed_bfloat16"),
        ({"ft_epochs": "12"}, "`ft_epochs` '12': a whole number is expected"),
        ({"ft_epochs": 24.5}, "`ft_epochs` 24.5: a whole number is expected"),
        ({"legacy": "yes"}, "`legacy` 'yes': True or False is expected"),
        ({"augment": "masking"}, "`augment` 'masking': a list of texts is expected"),
        ({"label_separator": ""}, "`label_separator` is empty: give a value, or leave it away"),
        ({"distil_chunk_size": 10**24}, f"must be at most {LARGEST}"),
        ({"hidden_weight": np.float64("nan")}, "`hidden_weight` nan: must be a finite number"),
    ],
)
def test_message_says_what_was_found_and_expected(values, line):
    (found,) = lines_of(dataclasses.replace(sound("distil"), **DistilConfig(**_required() | values).__dict__))
    assert line in found


def _required() -> dict:
    return {
        entry.name: _some(entry.type)
        for entry in dataclasses.fields(DistilConfig)
        if entry.default is dataclasses.MISSING
    }


def test_what_loses_nothing_becomes_the_type_of_its_field():
    changes = {"model_dir": Path("m"), "ft_epochs": np.int64(3), "temperature": 2, "augment": ["masking"]}
    config = dataclasses.replace(sound("distil"), **changes, hidden_weight=np.float32(0.5), baseline=np.bool_(True))
    assert lines_of(config) == []
    values = (
        config.model_dir,
        config.ft_epochs,
        config.temperature,
        config.augment,
        config.hidden_weight,
        config.baseline,
    )
    assert values == ("m", 3, 2.0, ("masking",), 0.5, True)
    assert list(map(type, values)) == [str, int, float, tuple, float, bool]


@pytest.mark.parametrize("seed", ["²", "random", "", "-1"])
def test_seed_of_the_environment_that_is_no_number_is_the_usual_one(monkeypatch, seed):
    from xtremedistil.flags import DEFAULT_SEED, resolve_seed

    monkeypatch.setenv("PYTHONHASHSEED", seed)
    assert resolve_seed(None) == DEFAULT_SEED


def test_command_line_names_the_flag():
    flags = "--task t --transfer_file f --seq_len 8 --model_dir m --teacher_model_dir m".split()
    _, config = read_flags(["distil", *flags, "--distil_chunk_size", str(10**24)])
    (line,) = lines_of(config)
    assert with_flags(line, DistilConfig).strip().startswith(f"--distil_chunk_size {10**24}: must be at most")
