"""`examples/make_teacher_targets.py` with tiny PyTorch models, up to the student that learns from its file."""

import gzip
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.command_fixtures import PIECES, Material, sentences, write_rows, write_tagging_task, write_text_task

torch = pytest.importorskip("torch", reason="the torch extra is not installed")

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "make_teacher_targets.py"
LONG = "the big cat sat on the mat in london and mary ran to the park"  # 15 words; a row of 12 tokens has room for 10


@pytest.fixture(scope="session")
def pytorch_model(tmp_path_factory, word_piece_folder):
    """Makes the folder of a random PyTorch Bert with the head of a task."""
    import transformers

    def write(kind: str, labels: list[str]) -> str:
        folder = tmp_path_factory.mktemp("pytorch") / kind
        shutil.copytree(word_piece_folder, folder)
        config = transformers.BertConfig(
            vocab_size=PIECES,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
            initializer_range=0.5,
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
        )
        torch.manual_seed(3)
        getattr(transformers, f"BertFor{kind}")(config).save_pretrained(folder)
        return str(folder)

    return write


@pytest.fixture
def make(monkeypatch, tmp_path):
    """Runs the script; returns the arrays that it writes to targets.npz."""
    spec = importlib.util.spec_from_file_location("make_teacher_targets", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def run(model: str, transfer: Path, *flags) -> dict:
        arguments = ["--model", model, "--transfer_file", transfer, "--out", tmp_path / "targets.npz", *flags]
        monkeypatch.setattr(sys, "argv", ["make_teacher_targets.py", *map(str, arguments)])
        monkeypatch.setattr(script, "LINES_AT_A_TIME", 4)
        script.main()
        return dict(np.load(tmp_path / "targets.npz"))

    return run


def direct(model: str, kind: str, *inputs, **settings) -> tuple[np.ndarray, list]:
    """Logits of a single row, and its word ids."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    encoding = tokenizer(*inputs, return_tensors="pt", **settings)
    with torch.no_grad():
        logits = getattr(transformers, f"BertFor{kind}").from_pretrained(model).eval()(**encoding).logits[0]
    return logits.numpy(), encoding.word_ids(0)


def test_targets_of_texts_are_what_the_model_says_of_each(make, pytorch_model, tmp_path):
    model = pytorch_model("SequenceClassification", ["town", "animal"])
    texts = ["the cat sat", "", LONG, "mary\tmore", " ", "in london", "a dog ran", "rome"]
    (tmp_path / "t.txt.gz").write_bytes(gzip.compress("\r\n".join(["\ufeff" + texts[0], *texts[1:]]).encode()))
    made = make(model, tmp_path / "t.txt.gz", "--max_length", 12, "--batch_size", 3)
    assert made["labels"].tolist() == ["town", "animal"]
    assert made["row_ids"].tolist() == [0, 1, 2, 3, 4, 5]
    for logits, text in zip(
        made["logits"], ["the cat sat", LONG, "mary", "in london", "a dog ran", "rome"], strict=True
    ):
        expected, _ = direct(model, "SequenceClassification", text, truncation=True, max_length=12)
        np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_targets_of_pairs_read_both_texts(make, pytorch_model, tmp_path):
    model = pytorch_model("SequenceClassification", ["LABEL_0", "LABEL_1"])
    write_rows(tmp_path / "t.tsv", [("the cat", "a dog", "0"), ("mary", "john ran", "1")])
    made = make(model, tmp_path / "t.tsv", "--do_pairwise", "--labels", 0, 1)
    assert made["labels"].tolist() == ["0", "1"]
    expected, _ = direct(model, "SequenceClassification", "the cat", "a dog")
    np.testing.assert_allclose(made["logits"][0], expected, atol=1e-5)


def test_targets_of_words_are_those_of_first_pieces(make, pytorch_model, tmp_path):
    model = pytorch_model("TokenClassification", ["O", "B-PER", "B-LOC"])
    lines = ["unbelievable mary ran", "john  ran", "\u200b rome", LONG, LONG, "running"]
    write_rows(tmp_path / "t.txt", [(line,) for line in lines])
    made = make(model, tmp_path / "t.txt", "--do_NER", "--max_length", 12, "--batch_size", 3)
    assert made["word_counts"].tolist() == [3, 3, 2, 15, 15, 1]
    logits, words = direct(model, "TokenClassification", lines[0].split(" "), is_split_into_words=True)
    assert words == [None, 0, 0, 0, 1, 2, None]
    np.testing.assert_allclose(made["logits"][:3], logits[[1, 4, 5]], atol=1e-5)
    assert not made["logits"][4].any()  # the empty word of "john  ran"
    assert not made["logits"][6].any() and made["logits"][7].any()
    np.testing.assert_allclose(made["logits"][8:23], made["logits"][23:38], atol=1e-5)
    # Windows of 10 words, 4 shared: 0 to 9, 6 to 14. Word 8 has most around it in the second, word 7 in the first.
    words = LONG.split()
    first, _ = direct(model, "TokenClassification", words[:10], is_split_into_words=True)
    second, _ = direct(model, "TokenClassification", words[6:], is_split_into_words=True)
    np.testing.assert_allclose(made["logits"][8:16], first[1:9], atol=1e-5)
    np.testing.assert_allclose(made["logits"][16:23], second[3:10], atol=1e-5)


@pytest.mark.parametrize("tagging", [False, True])
def test_student_learns_from_what_the_script_wrote(
    make, pytorch_model, word_piece_folder, eagerly, run_command, tmp_path, tagging
):
    pytest.importorskip("tensorflow")
    kind, labels = (
        ("TokenClassification", ["B-LOC", "O", "B-PER"]) if tagging else ("SequenceClassification", ["0", "1"])
    )
    if tagging:
        write_tagging_task(tmp_path / "task")
    else:
        write_text_task(tmp_path / "task", labels=("0", "1"))
    write_rows(tmp_path / "transfer.txt", [(" ".join(words * 3),) for words in sentences(20, 4)])
    flags = ("--do_NER",) if tagging else ()
    make(pytorch_model(kind, labels), tmp_path / "transfer.txt", *flags, "--max_length", 12)
    material = Material(tmp_path / "task", tmp_path / "transfer.txt", word_piece_folder, flags)
    outcome = run_command("distil", *material.flags(tmp_path / "m", teacher_logits=tmp_path / "targets.npz"))
    assert outcome.code == 0, outcome.err
    assert "logits of 20 examples" in outcome.err
    stages = json.loads((tmp_path / "m/report.json").read_text())["stages"]
    assert [entry["objective"] for entry in stages] == ["logits", "logits", "labels", "labels"]
