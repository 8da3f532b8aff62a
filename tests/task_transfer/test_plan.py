"""What a task transfer will do, out of flags: without TensorFlow, before any step has run."""

import pytest

from tests.command_fixtures import TEACHER_LAYERS, TEACHER_WIDTH, write_hollow_bert, write_tagging_task, write_text_task
from xtremedistil.errors import InputError
from xtremedistil.task_transfer.config import TransferConfig
from xtremedistil.task_transfer.plan import make_task_transfer_plan
from xtremedistil.tasks import KindSettings


@pytest.fixture
def config_of(word_piece_folder, tmp_path):
    """Flags of a transfer from tagging to classification; the teacher has no weights."""
    write_tagging_task(tmp_path / "tags")
    write_text_task(tmp_path / "texts")
    teacher = write_hollow_bert(tmp_path / "bert", word_piece_folder)
    values = {
        "source_task": str(tmp_path / "tags"),
        "source_do_NER": True,
        "target_task": str(tmp_path / "texts"),
        "model_dir": str(tmp_path / "m"),
        "seq_len": 12,
        "pt_teacher_checkpoint": teacher,
        "hidden_size": TEACHER_WIDTH // 2,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
    }
    return lambda **changes: TransferConfig(**values | changes)


def test_steps_follow_each_other_through_folders_that_are_still_to_be_made(config_of, tmp_path):
    plan = make_task_transfer_plan(config_of(target_labels=6, baseline=True, seed=7))
    folder = tmp_path / "m"
    assert not folder.exists()
    assert plan.source.model_dir == str(folder / "source") and plan.source.transfer.file.endswith("tags/train.tsv")
    assert [(step.checkpoint, step.model_dir) for step in (plan.reused, plan.baseline)] == [
        (str(folder / "checkpoint"), str(folder / "target")),
        (str(folder / "untrained"), str(folder / "baseline")),
    ]
    assert plan.reused.task == plan.baseline.task == str(folder / "target-task") and plan.target_labels == 6
    assert plan.target_task == str(tmp_path / "texts")
    assert plan.seed == plan.source.training.seed == plan.reused.options.seed == plan.flags["seed"] == 7


def test_each_task_keeps_its_kind_and_what_is_left_open_is_settled(config_of, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", "13")
    plan = make_task_transfer_plan(config_of())
    assert plan.baseline is None and plan.student_checkpoint is None
    assert plan.reused.task == plan.target_task, "all labels: the task's own folder"
    assert plan.source.task.kind == KindSettings(do_NER=True) and plan.reused.kind == KindSettings()
    assert plan.reused.learning_rate == pytest.approx(3e-4)
    assert plan.seed == plan.source.training.seed == plan.reused.options.seed == 13


def test_problems_of_both_steps_are_told_together(config_of):
    with pytest.raises(InputError) as caught:
        make_task_transfer_plan(config_of(target_epochs=0, num_hidden_layers=TEACHER_LAYERS + 1, seq_len=99))
    message = str(caught.value)
    assert "(3 problems)" in message
    assert not [
        words for words in ("`target_epochs` 0", "`seq_len` 99", f"{TEACHER_LAYERS + 1} layers") if words not in message
    ]
