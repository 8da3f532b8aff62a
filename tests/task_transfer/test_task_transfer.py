"""`xtremedistil task-transfer` on tiny tasks, from flags to files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.command_fixtures import (
    TEACHER_LAYERS,
    TEACHER_WIDTH,
    Material,
    contents,
    main,
    write_hollow_bert,
    write_rows,
    write_text_task,
)
from xtremedistil import cli, load_predictor
from xtremedistil.models.checkpoints.h5_weights import read_weights
from xtremedistil.models.checkpoints.weight_files import read_safetensors

pytest.importorskip("tensorflow")

ENCODER_FILES = {"config.json", "model.safetensors", "tf_model.h5", "README.md", "checksums.json"}
TOKENIZER_FILES = {"vocab.txt", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.json"}
TUNED_FILES = {"model-ft.h5", "metrics.json", "report.json", "xtremedistil.h5", "xtremedistil-config.json"}
TUNED_FILES |= {"checksums.json"}
FEW = 6
SIZES = ("hidden_size", "num_attention_heads", "num_hidden_layers", "intermediate_size")


def flags_of(source: Material, target: Path, model_dir: Path, **changes) -> list[str]:
    """Flags of a transfer from tagging to classification."""
    values = {
        "source_task": source.task,
        "source_do_NER": True,
        "target_task": target,
        "transfer_file": source.transfer,
        "model_dir": model_dir,
        "seq_len": 12,
        "pt_teacher_checkpoint": source.teacher,
        "hidden_size": TEACHER_WIDTH // 2,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "ft_epochs": 1,
        "distil_epochs": 1,
        "target_epochs": 2,
        "target_labels": FEW,
        "target_learning_rate": 0.01,
        "target_batch_size": 4,
        "student_distil_batch_size": 8,
        "student_ft_batch_size": 8,
        "teacher_batch_size": 8,
        "compress_word_embedding": True,
        "seed": 5,
        **changes,
    }
    given = {name: value for name, value in values.items() if value is not None and value is not False}
    return [str(part) for name, value in given.items() for part in _flag(name, value)]


def _flag(name: str, value) -> list:
    return [f"--{name}"] if value is True else [f"--{name}", value]


@pytest.fixture(scope="module")
def target(tmp_path_factory) -> Path:
    """A task of classifying texts."""
    folder = tmp_path_factory.mktemp("target") / "animals"
    write_text_task(folder)
    return folder


@pytest.fixture(scope="module")
def transferred(tagging, target, tmp_path_factory) -> Path:
    """Folder of a whole run with baseline; tests must not change it."""
    folder = tmp_path_factory.mktemp("transferred") / "run"
    assert main("task-transfer", *flags_of(tagging, target, folder, baseline=True)) == 0
    return folder


def tuned_encoder(folder: Path) -> dict:
    return read_weights(str(folder / "xtremedistil.h5"))["student_2"]


# What it writes


def test_every_step_has_its_folder(transferred):
    found = set(contents(transferred))
    assert {name for name in found if "/" not in name} == {"report.json", "run-settings.json"}
    folders = {name.split("/")[0] for name in found if "/" in name}
    assert folders == {"teacher", "source", "checkpoint", "target-task", "target", "untrained", "baseline"}
    for name in ("checkpoint", "untrained"):
        assert set(contents(transferred / name)) == ENCODER_FILES | TOKENIZER_FILES | {"checksums.json"}
    for name in ("target", "baseline"):
        assert set(contents(transferred / name)) == TUNED_FILES | TOKENIZER_FILES | {"checksums.json"}
    assert set(contents(transferred / "target-task")) == {"train.tsv", "dev.tsv", "test.tsv"}


def test_report_has_a_row_for_each_model_and_its_own_metric(transferred):
    report = json.loads((transferred / "report.json").read_text())
    rows = {row["name"]: row["metric"] for row in report["rows"]}
    assert rows == {
        "source teacher": "f1",
        "source student": "f1",
        "target, student reused": "accuracy",
        "target, student from scratch": "accuracy",
    }
    assert set(report["metrics"]) == set(rows)
    parameters = {row["name"]: row["parameters"] for row in report["rows"]}
    assert parameters["target, student reused"] == parameters["target, student from scratch"]


def test_few_labels_are_the_tasks_own_rows_with_each_label(transferred, target):
    lines = (transferred / "target-task/train.tsv").read_text().splitlines()
    assert len(lines) == FEW and set(lines) <= set((target / "train.tsv").read_text().splitlines())
    assert {line.split("\t")[1] for line in lines} == {"animal", "town"}


def test_checkpoint_is_the_source_students_encoder_and_the_other_is_not(transferred):
    source = read_weights(str(transferred / "source/xtremedistil.h5"))["student_2"]
    (kernel,) = (array for name, array in source.items() if "layer_._0/intermediate/dense/kernel" in name)
    written = {
        name: read_safetensors(str(transferred / name / "model.safetensors"))[
            "encoder.layer.0.intermediate.dense.weight"
        ]
        for name in ("checkpoint", "untrained")
    }
    np.testing.assert_array_equal(written["checkpoint"], kernel.T)
    assert written["untrained"].shape == kernel.T.shape and not np.allclose(written["untrained"], kernel.T, atol=1e-3)


def test_cards_name_task_and_teacher_and_hold_no_paths(transferred, tagging):
    card = (transferred / "checkpoint/README.md").read_text()
    assert "distilled on `task`" in card and "of `bert`" in card
    assert str(transferred) not in card and str(tagging.task) not in card


@pytest.mark.parametrize("name", ["target", "baseline"])
def test_target_folder_predicts_as_it_was_scored(transferred, run_command, tmp_path, name):
    folder = Path(shutil.copytree(transferred / name, tmp_path / name))
    write_rows(tmp_path / "lines.txt", [("the cat sat",), ("john ran",)])
    flags = ("--model_dir", folder, "--do_eval", "--do_predict", "--pred_file", tmp_path / "lines.txt")
    assert run_command("predict", *flags).code == 0
    assert {line.split("\t")[1] for line in (folder / "predictions.txt").read_text().splitlines()} <= {"animal", "town"}
    report = json.loads((folder / "report.json").read_text())
    assert json.loads((folder / "metrics.json").read_text()) == report["metrics"]["student"]


def test_target_folder_is_exported_and_trained_on_as_any_student(transferred, eagerly, run_command, tmp_path):
    folder = Path(shutil.copytree(transferred / "target", tmp_path / "target"))
    outcome = run_command("export", "--model_dir", folder, "--to", "huggingface")
    assert outcome.code == 0, outcome.err
    card = (folder / "huggingface/README.md").read_text()
    assert "# animals: a small student" in card and "| this student |" in card
    outcome = run_command("ft", "--model_dir", folder, "--ft_epochs", 1)
    assert outcome.code == 0, outcome.err
    assert (folder / "xtremedistil-ft.h5").exists()


def test_tuning_begins_at_the_checkpoint(transferred):
    """The target student stays near the source student's encoder; the baseline is elsewhere."""
    source = read_weights(str(transferred / "source/xtremedistil.h5"))["student_2"]
    near, far = (
        sum(np.abs(tuned_encoder(transferred / name)[weight] - source[weight]).sum() for weight in source)
        for name in ("target", "baseline")
    )
    assert 0 < near < far / 4


@pytest.mark.slow
def test_checkpoint_is_a_student_to_start_other_distillations_from(
    transferred, tagging, eagerly, run_command, tmp_path
):
    teacher = Path(shutil.copytree(transferred / "teacher", tmp_path / "teacher"))
    changes = {"teacher_model_dir": teacher, "pt_student_checkpoint": transferred / "checkpoint"}
    outcome = run_command("distil", *tagging.flags(tmp_path / "m", **changes))
    assert outcome.code == 0, outcome.err
    saved = json.loads((tmp_path / "m/xtremedistil-config.json").read_text())
    assert (saved["hidden_size"], saved["num_hidden_layers"]) == (TEACHER_WIDTH // 2, 1)


def test_source_student_is_a_student_of_its_own(transferred):
    assert len(load_predictor(str(transferred / "source"))(["john ran"])[0]) == 2


# Again


def stamps(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_second_run_trains_nothing_and_prints_the_table_again(transferred, tagging, target, run_command):
    before = stamps(transferred)
    outcome = run_command("task-transfer", *flags_of(tagging, target, transferred, baseline=True))
    assert outcome.code == 0 and "finished before" in outcome.err
    assert stamps(transferred) == before
    header, *rows = outcome.out.splitlines()
    assert rows[4] == "accuracy: share of texts with the right label"  # a verdict may follow
    assert header.split() == ["parameters", "metric", "dev", "test", "ms/sentence"]
    assert [row.split("  ")[0] for row in rows[:4]] == [
        "source teacher",
        "source student",
        "target, student reused",
        "target, student from scratch",
    ]


def test_run_that_was_stopped_repeats_no_step(transferred, tagging, target, eagerly, run_command, tmp_path):
    folder = Path(shutil.copytree(transferred, tmp_path / "run"))
    (folder / "report.json").unlink()
    for name in ("untrained", "baseline"):
        shutil.rmtree(folder / name)
    for name in ("xtremedistil.h5", "xtremedistil-config.json", "report.json"):
        (folder / "target" / name).unlink()
    (folder / "target/checksums.json").unlink()  # a step that is done again writes it
    kept = stamps(folder)
    outcome = run_command("task-transfer", *flags_of(tagging, target, folder, baseline=True))
    assert outcome.code == 0, outcome.err
    after = stamps(folder)
    assert {name: after[name] for name in kept} == kept
    assert set(contents(folder)) == set(contents(transferred))
    for name in ("target", "baseline"):
        expected, found = (tuned_encoder(place / name) for place in (transferred, folder))
        assert [weight for weight in expected if not np.allclose(expected[weight], found[weight], atol=1e-4)] == []


@pytest.mark.slow
def test_student_and_baseline_begin_with_a_checkpoint(transferred, tagging, target, eagerly, run_command, tmp_path):
    """At rates of next to nothing, all that is written is the checkpoint."""
    changes = dict.fromkeys(SIZES) | {
        "compress_word_embedding": False,
        "teacher_model_dir": transferred / "teacher",
        "pt_student_checkpoint": transferred / "checkpoint",
        "target_learning_rate": 1e-30,
        "baseline": True,
    }
    outcome = run_command("task-transfer", *flags_of(tagging, target, tmp_path / "m", **changes))
    assert outcome.code == 0, outcome.err
    (baseline,) = (row for row in outcome.out.splitlines() if row.startswith("target, student from its checkpoint"))
    reused, untrained = (tuned_encoder(tmp_path / f"m/{name}") for name in ("target", "baseline"))
    began = tuned_encoder(transferred / "source")
    assert untrained.keys() == began.keys()
    for name, value in untrained.items():
        np.testing.assert_allclose(value, began[name], atol=1e-6)
    assert any(not np.allclose(reused[name], began[name], atol=1e-6) for name in began), "it has learnt the source task"
    changes["pt_student_checkpoint"] = transferred / "untrained"
    outcome = run_command("task-transfer", *flags_of(tagging, target, tmp_path / "m", **changes))
    assert outcome.code == 2 and "pt_student_checkpoint: the file has changed" in outcome.err


@pytest.mark.slow
def test_other_settings_are_refused_and_overwrite_starts_again(
    transferred, tagging, target, eagerly, run_command, tmp_path
):
    folder = Path(shutil.copytree(transferred, tmp_path / "run"))
    before = contents(folder)
    changed = flags_of(tagging, target, folder, target_labels=0, hidden_size=4)
    outcome = run_command("task-transfer", *changed)
    assert outcome.code == 2
    assert f"target_labels: {FEW} there, 0 now" in outcome.err and "hidden_size: 8 there, 4 now" in outcome.err
    assert contents(folder) == before

    outcome = run_command("task-transfer", *changed, "--overwrite")
    assert outcome.code == 0, outcome.err
    assert "teacher: read from" in outcome.err
    assert not any((folder / name).exists() for name in ("target-task", "untrained", "baseline/xtremedistil.h5"))
    assert json.loads((folder / "checkpoint/config.json").read_text())["hidden_size"] == 4
    assert "from scratch" not in outcome.out


# What is refused


@pytest.fixture
def assert_refused_early(tagging_files, target, word_piece_folder, run_command, monkeypatch, tmp_path):
    """Expects a refusal with `words` before TensorFlow is imported; the teacher has no weights."""
    hollow = Material(*tagging_files, write_hollow_bert(tmp_path / "teacher", word_piece_folder))
    monkeypatch.setattr(cli, "import_tensorflow", lambda verbose: pytest.fail("TensorFlow was about to be imported"))

    def refused(changes: dict, *words: str) -> None:
        outcome = run_command("task-transfer", *flags_of(hollow, target, tmp_path / "m", **changes))
        assert outcome.code == 2 and "Traceback" not in outcome.err
        assert [word for word in words if word not in outcome.err] == [], outcome.err
        assert not (tmp_path / "m").exists()

    return refused


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"source_task": "nowhere"}, ["--source_task nowhere: there is no such folder"]),
        ({"target_do_NER": True}, ["--target_task", "lacks labels.tsv"]),
        ({"source_do_pairwise": True}, ["--source_do_NER and --source_do_pairwise exclude each other"]),
        ({"transfer_file": "nowhere"}, ["--transfer_file nowhere: there is no such file"]),
        ({"target_labels": -1}, ["--target_labels -1: must not be negative"]),
        ({"target_epochs": 0, "target_batch_size": 0}, ["--target_epochs 0", "--target_batch_size 0", "(2 problems)"]),
        ({"target_learning_rate": "inf"}, ["--target_learning_rate inf: must be a finite number"]),
        ({"distil_epochs": 0, "seed": -1, "seq_len": 99}, ["--distil_epochs 0", "--seed -1", "--seq_len 99"]),
        ({"num_hidden_layers": TEACHER_LAYERS + 1}, [f"has {TEACHER_LAYERS + 1} layers", f"at most {TEACHER_LAYERS}"]),
        ({"pt_teacher_checkpoint": "/nowhere"}, ["/nowhere"]),
        ({"strategy": "multi_worker"}, ["invalid choice: 'multi_worker'"]),
        (
            {"pt_student_checkpoint": "/nowhere", "intermediate_size": 9, "baseline": True},
            [
                *(f"--{name}: --pt_student_checkpoint says what the student is" for name in SIZES),
                "--baseline trains the checkpoint of --pt_student_checkpoint as it is",
                "/nowhere",
            ],
        ),
    ],
)
def test_contradiction_is_refused_before_any_work(assert_refused_early, changes, words):
    assert_refused_early(changes, *words)


@pytest.mark.parametrize("count, words", [(1, "give at least 2, one for each label"), (25, "has 24 rows")])
def test_sample_that_the_target_has_not_is_refused_before_anything_is_trained(
    tagging, target, run_command, tmp_path, count, words
):
    outcome = run_command("task-transfer", *flags_of(tagging, target, tmp_path / "m", target_labels=count))
    assert outcome.code == 2 and words in outcome.err
    assert not (tmp_path / "m").exists()


def test_faulty_line_of_the_target_is_refused_before_anything_is_trained(tagging, target, run_command, tmp_path):
    task = Path(shutil.copytree(target, tmp_path / "task"))
    (task / "test.tsv").write_text("no label\n")
    outcome = run_command("task-transfer", *flags_of(tagging, task, tmp_path / "m"))
    assert outcome.code == 2 and "test.tsv, line 1: 1 column, expected 2" in outcome.err
    assert not (tmp_path / "m").exists()


def test_train_file_of_the_source_serves_where_no_transfer_file_is_given():
    from xtremedistil.task_transfer.config import TransferConfig
    from xtremedistil.task_transfer.steps import source_config

    config = source_config(TransferConfig(source_task="news", target_task="mail", model_dir="m", seq_len=12))
    assert config.transfer_file == "news/train.tsv"
    assert (config.model_dir, config.teacher_model_dir) == ("m/source", "m/teacher")
