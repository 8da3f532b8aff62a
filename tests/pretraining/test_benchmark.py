"""The benchmark of pre-training on a tiny teacher: what it reads, what it takes over, what it prints."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from benchmarks import pretraining  # noqa: E402
from tests.command_fixtures import PIECES, sentences, write_random_checkpoint, write_text_task  # noqa: E402

SMALL = (
    "--rows|random weights|DistilBERT's loss, picked layers|--tasks|sst2|--steps|2|--head_steps|2"
    "|--teacher_head_steps|3|--ft_epochs|1"
)


def text_of(count: int, seed: int) -> str:
    return "".join(" ".join(words) + "\n" for words in sentences(count, seed))


@pytest.fixture
def data(tmp_path) -> Path:
    root = tmp_path / "data"
    for name in ("wikitext2/test.txt", "wikitext2/valid.txt", "wikiann-en/unlabeled.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("= Title =\n\n" + text_of(40, len(name)), encoding="utf-8")
    write_text_task(root / "sst2")
    (root / "sst2/unlabeled.txt").write_text("a phrase\n")
    write_text_task(root / "mrpc", pairs=True)
    return root


@pytest.fixture
def printed(data, word_piece_folder, monkeypatch, capfd, tmp_path):
    """Runs the benchmark; the rows of its table."""
    sizes = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 12, "intermediate_size": 96}
    config = {"model_type": "bert", "vocab_size": PIECES, "max_position_embeddings": 128} | sizes
    teacher = write_random_checkpoint(tmp_path / "teacher", word_piece_folder, config, "TFBertModel")

    def run(*flags: str) -> list[list[str]]:
        places = ["--data", str(data), "--checkpoint", teacher, "--folder", str(tmp_path / "runs")]
        monkeypatch.setattr(sys, "argv", ["pretraining.py", *places, *SMALL.split("|"), *flags])
        capfd.readouterr()
        pretraining.main()
        lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("| ")]
        return [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]

    return run


def test_corpus_has_whole_sentences_and_nothing_that_is_scored(data, tmp_path):
    pretraining.write_corpus(data, tmp_path / "corpus.txt")
    lines = (tmp_path / "corpus.txt").read_text().splitlines()
    train, dev = ((data / f"sst2/{name}.tsv").read_text().splitlines() for name in ("train", "dev"))
    assert {line.split("\t")[0] for line in train} <= set(lines)
    assert "a phrase" not in lines and not any(line.startswith("=") for line in lines)
    assert not set(line.split("\t")[0] for line in dev) - {line.split("\t")[0] for line in train} & set(lines)
    before = (tmp_path / "corpus.txt").stat().st_mtime_ns
    pretraining.write_corpus(data, tmp_path / "corpus.txt")
    assert (tmp_path / "corpus.txt").stat().st_mtime_ns == before


@pytest.mark.slow
def test_all_students_are_probed_and_tuned_and_other_flags_are_other_runs(printed, eagerly, tmp_path):
    header, _, teacher, commonest, random, taught = printed()
    assert [row[0] for row in (teacher, commonest, random, taught)] == [
        "the teacher", "the commonest one", "random weights", "DistilBERT's loss, picked layers"]  # fmt: skip
    assert all(row[1] for row in (teacher, random, taught)), "words found by a new head"
    assert teacher[2] and taught[2] and not random[2], "and by its own"
    place = header.index("sst2 dev / test")
    assert all(" / " in row[place] for row in (commonest, random, taught))
    folders = {path.parent for path in (tmp_path / "runs").glob("*/*/metrics.json")}
    assert len(folders) == 2 and all("epochs1" in folder.name and "seed42" in folder.name for folder in folders)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.json")}

    *_, again = printed("--ft_seeds", "42", "7")
    assert "±" in again[place] and again[1] == taught[1]
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps, "all that was finished is taken over"
    assert len(list((tmp_path / "runs").glob("*/*/metrics.json"))) == 4


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["distilbert", "minilm"])
def test_all_ways_of_a_step_do_the_same_work(word_piece_folder, recipe, monkeypatch, capfd, tmp_path):
    from benchmarks import live_teacher

    config = {"model_type": "bert", "vocab_size": PIECES, "max_position_embeddings": 32}
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    teacher = write_random_checkpoint(tmp_path / "teacher", word_piece_folder, config | sizes, "TFBertModel")
    (tmp_path / "text.txt").write_text(text_of(80, 1), encoding="utf-8")
    places = ["--corpus", str(tmp_path / "text.txt"), "--checkpoint", teacher, "--folder", str(tmp_path / "runs")]
    less = ["--recipe", recipe, "--layers", "1", "--seq_len", "16", "--batch_size", "8", "--batches", "4"]
    monkeypatch.setattr(sys, "argv", ["live_teacher.py", *places, *less])
    live_teacher.main()  # ends with a message where losses differ
    lines = capfd.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines if "%" in line] == [
        "| step", "| student alone", "| teacher alone", "| naive"]  # fmt: skip
