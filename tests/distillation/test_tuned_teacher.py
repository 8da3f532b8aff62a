"""A teacher whose checkpoint was tuned on the task already: its classifier is used, or a line says why not."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.command_fixtures import CLASSES as ANIMALS
from tests.command_fixtures import TAGS, TEACHER_WIDTH, assert_refused, write_hollow_bert
from xtremedistil.storage.model_folder import REPORT, TEACHER_WEIGHTS

TURNED = ["B-LOC", "O", "B-PER"]
OF_WORDS = "BertForTokenClassification"


def tuned(source: str, folder, labels=TURNED, architecture: str = OF_WORDS) -> str:
    """The checkpoint with a classifier of these labels, whose bias prefers the first of them by far."""
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    named = {"architectures": [architecture], "id2label": dict(enumerate(labels))}
    (folder / "config.json").write_text(json.dumps(config | named))
    there = folder / "model.safetensors"
    state = load_file(there) if there.exists() else {"filler": np.zeros(9_000, np.float32)}  # of the encoder's size
    bias = np.eye(len(labels), dtype=np.float32)[0] * 100
    head = {"classifier.weight": np.ones([len(labels), TEACHER_WIDTH], np.float32), "classifier.bias": bias}
    save_file(state | head, there, metadata={"format": "pt"})
    return str(folder)


@pytest.fixture
def hollow(word_piece_folder, tmp_path) -> str:
    return write_hollow_bert(tmp_path / "plain", word_piece_folder)


@pytest.mark.parametrize(
    "labels, changes, said",
    [
        (TURNED, {}, ["has the task's labels and is used as it is; its columns are put", "no tuning"]),
        (TAGS, {"teacher_epochs": 0}, ["is used as it is; no tuning"]),
        (TAGS, {"teacher_epochs": 3}, ["it is tuned further, for at most 3 epochs"]),
        (
            ["O", "B-PER", "B-ORG"],
            {},
            ["is not used, a new one is trained: its 3 labels are O, B-PER, B-ORG;"],
        ),
        (["LABEL_0", "LABEL_1", "LABEL_2"], {}, ["gives its labels no names", "write their names into id2label"]),
        (TAGS, {"legacy": True, "teacher_learning_rate": None, "learning_rate": None}, ["trains a new one, as the"]),
    ],
)
def test_plan_says_what_becomes_of_the_teachers_classifier(
    labels, changes, said, hollow, tagging, run_command, tmp_path
):
    teacher = tuned(hollow, tmp_path / "tuned", labels)
    flags = tagging.flags(tmp_path / "m", pt_teacher_checkpoint=teacher, dry_run=True, **changes)
    outcome = run_command("distil", *flags)
    assert outcome.code == 0, outcome.err
    assert not [words for words in said if words not in outcome.out], outcome.out


@pytest.mark.parametrize("labels, said", [(None, "has none"), (["O", "B-PER", "X-ORG"], "its 3 labels are O")])
def test_no_tuning_without_a_classifier_for_the_tasks_labels_is_refused(
    labels, said, hollow, tagging, run_command, tmp_path
):
    teacher = tuned(hollow, tmp_path / "tuned", labels) if labels else hollow
    flags = tagging.flags(tmp_path / "m", pt_teacher_checkpoint=teacher, teacher_epochs=0, dry_run=True)
    assert_refused(run_command("distil", *flags), "--teacher_epochs 0", said, "Leave --teacher_epochs away")
    assert not (tmp_path / "m").exists()


def test_negative_epochs_of_the_teacher_are_refused(hollow, tagging, run_command, tmp_path):
    flags = tagging.flags(tmp_path / "m", pt_teacher_checkpoint=hollow, teacher_epochs=-1)
    assert_refused(run_command("distil", *flags), "--teacher_epochs -1: must not be negative")


@pytest.mark.slow
def test_tuned_teacher_teaches_without_tuning(tagging, eagerly, run_command, tmp_path):
    from xtremedistil.models.checkpoints.h5_weights import read_weights

    teacher = tuned(tagging.teacher, tmp_path / "tuned")
    outcome = run_command("distil", *tagging.flags(tmp_path / "m", pt_teacher_checkpoint=teacher))
    assert outcome.code == 0, outcome.err
    assert "is used as it is" in outcome.out + outcome.err
    head = read_weights(str(tmp_path / "m" / TEACHER_WEIGHTS))["final_logits"]
    assert head["final_logits/bias:0"].tolist() == [0, 0, 100], "O, B-PER, B-LOC: in the task's order"
    report = json.loads((tmp_path / "m" / REPORT).read_text())
    assert not [entry for entry in report["stages"] if entry["unfrozen"] == ["teacher"]]


@pytest.mark.slow
def test_tuning_of_a_text_classifier_goes_on_from_the_checkpoints(word_piece_folder, eagerly, run_command, tmp_path):
    """`BertForSequenceClassification` has a dense layer with tanh below the classifier; its model-ft.h5 has it too."""
    from tests.command_fixtures import write_bert, write_rows, write_text_task
    from xtremedistil.models.checkpoints.h5_weights import read_weights

    plain = write_bert(tmp_path / "plain", word_piece_folder, 1, TEACHER_WIDTH)
    teacher = tmp_path / "tuned"
    tuned(plain, teacher, ANIMALS[1::-1], "BertForSequenceClassification")
    state = load_file(teacher / "model.safetensors")
    state |= {"bert.pooler.dense.weight": np.eye(TEACHER_WIDTH, dtype=np.float32)}
    state |= {"bert.pooler.dense.bias": np.zeros(TEACHER_WIDTH, np.float32)}
    save_file(state, teacher / "model.safetensors", metadata={"format": "pt"})
    write_text_task(tmp_path / "task")
    write_rows(tmp_path / "transfer.txt", [("the cat sat",), ("the big park",)] * 8)
    flags = ["--task", tmp_path / "task", "--seq_len", 12, "--ft_epochs", 1, "--seed", 5]
    shared = [*flags, "--teacher_model_dir", tmp_path / "t", "--transfer_file", tmp_path / "transfer.txt"]
    shared += ["--pt_teacher_checkpoint", teacher, "--hidden_size", 8, "--num_hidden_layers", 1, "--distil_epochs", 1]
    outcome = run_command(
        "distil", *shared, "--num_attention_heads", 2, "--teacher_epochs", 1, "--model_dir", tmp_path / "m"
    )
    assert outcome.code == 0, outcome.err
    assert "tuned further, for at most 1 epochs" in outcome.out + outcome.err
    layers = read_weights(str(tmp_path / "t" / TEACHER_WEIGHTS))
    assert layers["classifier_dense"]["classifier_dense/kernel:0"].shape == (TEACHER_WIDTH, TEACHER_WIDTH)
    again = run_command("distil", *shared, "--num_attention_heads", 4, "--model_dir", tmp_path / "m2")
    assert again.code == 0 and "teacher: read from" in again.out + again.err, again.err
    fine = ["--pt_model_checkpoint", teacher, "--model_dir", tmp_path / "f"]
    outcome = run_command("model-ft", *flags, *fine)
    assert outcome.code == 0 and "training goes on from it" in outcome.out + outcome.err, outcome.err
