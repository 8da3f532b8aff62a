"""Multi-label classification from flags to predictions and exports: one small run, and what is made of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import xtremedistil
from tests.command_fixtures import PEOPLE, PLACES, Material, main, sentences, write_rows

tf = pytest.importorskip("tensorflow")

NAMES = {"animal": {"cat", "dog"}, "person": {*PEOPLE}, "town": {*PLACES}}
SEPARATOR = " + "


def write_task(folder: Path) -> None:
    folder.mkdir()
    for name, count, seed in (("train", 48, 1), ("dev", 12, 2), ("test", 12, 3)):
        rows = [
            (words, SEPARATOR.join(label for label, named in NAMES.items() if named & {*words}))
            for words in sentences(count, seed)
        ]
        write_rows(folder / f"{name}.tsv", [(" ".join(words), labels) for words, labels in rows])


@pytest.fixture(scope="session")
def material(tagging, tmp_path_factory) -> Material:
    folder = tmp_path_factory.mktemp("multi-label") / "task"
    write_task(folder)
    flags = ("--task_kind", "multi_label_classification", "--label_separator", SEPARATOR)
    settings = {"recipe": "best", "relation_heads": 2, "teacher_epochs": 1, "ft_epochs": 8, "dropout": 0}
    settings |= {"label_learning_rate": 0.06, "lr_schedule": "constant"}  # enough for answers that differ
    return replace(tagging, task=folder, kind_flags=flags, settings=settings)


@pytest.fixture(scope="session")
def run(material, tmp_path_factory) -> Path:
    """Model folder of a distillation; only exports and further training may be added to it."""
    folder = tmp_path_factory.mktemp("multi-label-run") / "m"
    tf.config.run_functions_eagerly(True)
    try:
        assert main("distil", *material.flags(folder)) == 0
    finally:
        tf.config.run_functions_eagerly(False)
    return folder


@pytest.fixture(scope="session")
def texts(material) -> list[str]:
    return material.transfer.read_text().splitlines()


@pytest.fixture(scope="session")
def answers(run, texts) -> list[list[str]]:
    return xtremedistil.load_predictor(str(run))(texts)


def test_run_learns_each_label_by_itself_and_says_so(run, material):
    saved, report = (json.loads((run / name).read_text()) for name in ("xtremedistil-config.json", "report.json"))
    expected = {"do_NER": False, "do_pairwise": False, "task_kind": "multi_label_classification"}
    expected |= {"label_separator": SEPARATOR, "soft_label_loss": "soft_label_bce", "label_list": [*NAMES]}
    assert {key: saved[key] for key in expected} == expected
    assert {row["metric"] for row in report["rows"]} == {"f1_micro"}
    assert report["metrics"]["student"].keys() == {"f1_micro", "f1_macro", "primary"}
    history = json.loads((run / "model-stage-1-indx-0-history.json").read_text())["history"]
    # At first a label costs about ln 2, a coin toss; of the transfer set's rows, which have none, it costs nothing.
    assert 0.2 < history[0]["labels"] < 1.0


def test_predictions_are_lists_of_labels(run, texts, answers, material, run_command, tmp_path, eagerly):
    assert len({tuple(answer) for answer in answers}) > 1
    flags = ["--model_dir", run, "--do_predict", "--pred_file", material.transfer, "--output_dir", tmp_path]
    assert run_command("predict", *flags, "--do_eval").code == 0
    lines = (tmp_path / "predictions.txt").read_text().splitlines()
    assert lines == [f"{text}\t{SEPARATOR.join(answer)}" for text, answer in zip(texts, answers, strict=True)]
    assert json.loads((tmp_path / "metrics.json").read_text())["primary"] == "f1_micro"
    assert run_command("predict", *flags, "--output_format", "json").code == 0
    entries = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [entry["labels"] for entry in entries] == answers
    for entry in entries:
        assert entry["labels"] == [label for label, share in entry["probabilities"].items() if share >= 0.5]


@pytest.mark.slow
def test_every_export_gives_the_same_labels(run, texts, answers, run_command):
    for module in ("onnx", "onnxruntime", "tf2onnx", "tensorflow_text"):
        pytest.importorskip(module)
    forms = ["onnx", "int8", "saved_model", "huggingface"]
    outcome = run_command("export", "--model_dir", run, "--to", *forms, "--max_metric_drop", 100)
    assert outcome.code == 0, outcome.err
    exports = json.loads((run / "export.json").read_text())["exports"]
    assert {name: entry["label_agreement"] for name, entry in exports.items() if name != "int8"} == dict.fromkeys(
        ["onnx", "onnx_opt", "saved_model", "huggingface"], 1.0
    )
    assert xtremedistil.load_predictor(str(run), runtime="onnx")(texts) == answers
    probabilities = [
        xtremedistil.load_predictor(str(run), runtime="onnx", quantize=quantize).probabilities(texts)
        for quantize in (False, True)
    ]
    np.testing.assert_allclose(*probabilities, atol=0.1)
    found = tf.saved_model.load(str(run / "saved_model")).signatures["texts"](texts=tf.constant(texts))
    joined = [SEPARATOR.join(answer).encode() for answer in answers]
    assert found["labels"].numpy().tolist() == joined
    settings = json.loads((run / "huggingface" / "config.json").read_text())
    assert settings["problem_type"] == "multi_label_classification"
    assert settings["id2label"] == {str(number): label for number, label in enumerate(NAMES)}


def test_student_is_trained_further_on_several_labels(run, run_command, eagerly):
    outcome = run_command("ft", "--model_dir", run, "--ft_epochs", 1, "--batch_size", 8)
    assert outcome.code == 0 and "f1_micro" in outcome.out, outcome.err
    refused = run_command("ft", "--model_dir", run, "--ft_epochs", 1, "--class_weight", "balanced")
    assert refused.code == 2 and "--class_weight balanced weighs labels of which a row has one" in refused.err


def test_model_is_fine_tuned_on_several_labels(material, run_command, tmp_path, eagerly):
    flags = ["--task", material.task, *material.kind_flags, "--model_dir", tmp_path / "m", "--seq_len", 12]
    outcome = run_command("model-ft", *flags, "--pt_model_checkpoint", material.teacher, "--ft_epochs", 1)
    assert outcome.code == 0 and "f1_micro" in outcome.out, outcome.err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"legacy": True, "recipe": None}, "--legacy: the original knows --do_NER and --do_pairwise"),
        ({"soft_label_loss": "soft_label_kl"}, "--soft_label_loss soft_label_kl is for labels that exclude each other"),
        ({"probability_shift": True}, "--probability_shift corrects one predicted label"),
        ({"do_NER": True}, "--do_NER and --task_kind multi_label_classification exclude each other"),
    ],
)
def test_flags_of_labels_that_exclude_each_other_are_refused(material, run_command, tmp_path, changes, words):
    outcome = run_command("distil", *material.flags(tmp_path / "m", **changes))
    assert outcome.code == 2 and words in outcome.err
    assert not (tmp_path / "m").exists()


def test_teacher_of_another_kind_of_task_is_not_taken(material, run, tagging, distilled, run_command, tmp_path):
    for ours, source, change in (
        (material, run, lambda record: record.pop("task_kind")),
        (tagging, distilled / "teacher", lambda record: record.update(task_kind="multi_label_classification")),
    ):
        folder = tmp_path / source.name
        folder.mkdir()
        shutil.copy(source / "model-ft.h5", folder)
        record = json.loads((source / "model-ft.json").read_text())
        change(record)
        (folder / "model-ft.json").write_text(json.dumps(record))
        outcome = run_command("distil", *ours.flags(tmp_path / "m", teacher_model_dir=folder, overwrite=True))
        assert outcome.code == 2 and "was fine-tuned with other settings: task_kind differ" in outcome.err
