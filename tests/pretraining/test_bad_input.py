"""Pre-training commands that cannot be run are refused before any model is loaded."""

import gzip
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.command_fixtures import PIECES, TEACHER_LAYERS, TEACHER_WIDTH, assert_refused, sentences, write_hollow_bert
from tests.model_fixtures import tiny_config
from xtremedistil.cli import with_flags
from xtremedistil.errors import InputError
from xtremedistil.models.checkpoints.h5_weights import save_weights
from xtremedistil.pretraining.config import PretrainConfig
from xtremedistil.pretraining.validation import check_pretrain

STATES = "feature=hidden_states,teacher=1,student=1"


@pytest.fixture
def teacher(word_piece_folder, tmp_path) -> str:
    """Without weights: no model can be made of it."""
    return write_hollow_bert(tmp_path / "teacher", word_piece_folder)


@pytest.fixture
def corpus(tmp_path) -> str:
    path = tmp_path / "corpus.txt"
    path.write_text("".join(" ".join(words) + "\n" for words in sentences(60, 4)), encoding="utf-8")
    return str(path)


def config_of(teacher: str, corpus, tmp_path, **flags) -> PretrainConfig:
    files = (corpus,) if isinstance(corpus, str) else corpus
    places = {"pt_teacher_checkpoint": teacher, "corpus": files, "model_dir": str(tmp_path / "m")}
    return PretrainConfig(**places | {"seq_len": 16} | flags)


def refused(teacher: str, corpus, tmp_path, **flags) -> str:
    """The command line's message on a run with these flags."""
    with pytest.raises(InputError) as caught:
        check_pretrain(config_of(teacher, corpus, tmp_path, **flags))
    return with_flags(str(caught.value), PretrainConfig)


def command_of(teacher: str, corpus, folder) -> list:
    """Of a run that reads its corpus before any weight: no head is looked for."""
    places = ["--pt_teacher_checkpoint", teacher, "--corpus", corpus, "--model_dir", folder]
    return ["pretrain", *places, "--seq_len", 16, "--recipe", "minilm"]


def test_sound_flags_pass(teacher, corpus, tmp_path):
    check_pretrain(config_of(teacher, corpus, tmp_path))
    below = "feature=path,teacher=encoder/layer_._0/intermediate,student=encoder/layer_._0/intermediate"
    match = f"{below},loss=relation_kl,relation_heads=32"  # divides 4 x 8, not the 16 of states
    check_pretrain(config_of(teacher, corpus, tmp_path, hidden_size=8, match=(match,)))


@pytest.mark.parametrize(
    "flags, words",
    [
        ({"seq_len": 33}, ("1 problem", "--seq_len 33", "positions for 32 tokens")),
        ({"init_layers": "0,9"}, (f"--init_layers 0,9: the teacher has layers 0 to {TEACHER_LAYERS - 1}, not 9",)),
        ({"init_layers": "uniform", "hidden_size": 8}, ("--hidden_size is 8", f"the teacher's {TEACHER_WIDTH}")),
        ({"recipe": "minilmv2", "relation_heads": 3}, ("--relation_heads 3", "these do: 1, 2, 4, 8, 16")),
        (
            {"recipe": "minilm", "relation_teacher_layer": 4},
            ("--relation_teacher_layer 4: the teacher has layers 0 to 3",),
        ),
        ({"recipe": "minilm", "relation_teacher_layer": -1}, ("--relation_teacher_layer -1: the teacher has",)),
        (
            {"recipe": "minilm", "num_attention_heads": 4},
            ("1 problem", "2 heads, the student 4", "--num_attention_heads 2"),
        ),
        (
            {"match": (f"{STATES},teacher_number=1",)},
            ("--match teacher1_hidden_states", "this command has one teacher"),
        ),
        (
            {"match": (f"{STATES},projection=none",), "hidden_size": 8},
            ("--match hidden_states_hidden_mse_1_1: without a projection", "are 16 and 8"),
        ),
        ({"hidden_size": 9}, ("--hidden_size 9 is not a multiple of 2 attention heads",)),
        ({"objective": "clm"}, ("--objective clm", "attends to later tokens")),
        ({"mlm_hide": 0.8, "mlm_random": 0.3}, ("more than 1 together",)),
        ({"mlm_probability": 0.0}, ("--mlm_probability 0", "no token would be predicted")),
        ({"mlm_smoothing": 1000.0}, ("--mlm_smoothing 1000.0: must be from 0 to 5",)),
        ({"seq_len": 4}, ("--seq_len 4: beside its special tokens a sequence has room for 2; at least 3 are",)),
        ({"recipe": "words", "mlm_weight": 0.0}, ("All weights are 0",)),
        ({"teacher_head": "none.h5"}, ("--teacher_head none.h5: there is no such file",)),
        (
            {
                "recipe": "words",
                "teacher_head": __file__,
                "soft_labels_on_all_tokens": True,
                "student_vocab_min_count": 2,
            },
            (
                "3 problems",
                "--teacher_head: no",
                "--soft_labels_on_all_tokens: no",
                "--student_vocab_min_count: --student_vocab corpus",
            ),
        ),
        (
            {"recipe": "words", "teacher_head_steps": 3, "teacher_head_learning_rate": 0.1, "temperature": 3.0},
            ("3 problems", "--teacher_head_steps: no", "--teacher_head_learning_rate: no", "--temperature: no weight"),
        ),
        ({"soft_label_weight": 0.0, "logits_mse_weight": 1.0, "temperature": 3.0}, ("1 problem", "--temperature: no")),
        (
            {"teacher_head": __file__, "teacher_head_steps": 3},
            ("--teacher_head_steps: the head of --teacher_head is trained already",),
        ),
        (
            {"max_steps": 9, "epochs": 2.0},
            (
                "1 problem",
                "--epochs: --max_steps says how many updates there are; leave it",
            ),
        ),
        ({"recipe": "minilm", "relation_heads": 4}, ("--relation_heads: the relations of minilmv2",)),
        (
            {"recipe": "minilm", "mlm_hide": 0.7, "whole_word_mask": True},
            ("--mlm_hide: no weight", "--whole_word_mask: no weight"),
        ),
        ({"relation_teacher_layer": 1}, ("--relation_teacher_layer: no weight asks for relations",)),
        ({"student_vocab": "none.txt"}, ("--student_vocab none.txt: there is no such file",)),
        ({"epochs": 0.0}, ("--epochs 0.0: must be greater than 0",)),
        ({"temperature": 0.0}, ("--temperature 0.0",)),
        ({"learning_rate": 0.0}, ("--learning_rate 0.0: must be greater than 0",)),
        ({"teacher_head_learning_rate": -1.0}, ("--teacher_head_learning_rate -1.0: must be",)),
        ({"batch_size": 0, "learning_rate": float("nan")}, ("2 problems", "--batch_size 0", "--learning_rate nan")),
    ],
)
def test_flags_that_contradict_are_refused(teacher, corpus, tmp_path, flags, words):
    message = refused(teacher, corpus, tmp_path, **flags)
    assert not [word for word in words if word not in message], message


def test_student_with_another_vocabulary_is_refused(teacher, corpus, byte_level_folder, tmp_path):
    student = write_hollow_bert(tmp_path / "student", byte_level_folder)
    message = refused(teacher, corpus, tmp_path, pt_student_checkpoint=student, num_hidden_layers=2)
    assert "so that the teacher's logits cannot be compared" in message
    assert "leave --num_hidden_layers away" in message


def test_word_embeddings_of_other_sizes_are_refused(teacher, corpus, word_piece_folder, tmp_path):
    larger = write_hollow_bert(tmp_path / "larger", word_piece_folder, vocab_size=PIECES + 8)
    message = refused(teacher, corpus, tmp_path, pt_student_checkpoint=larger)
    assert f"{larger} has vocab_size {PIECES + 8}, the teacher {PIECES}" in message
    for flags in ({"student_vocab": "corpus"}, {"recipe": "minilmv2", "relation_heads": 4}, {"recipe": "words"}):
        check_pretrain(config_of(teacher, corpus, tmp_path, pt_student_checkpoint=larger, **flags))
    smaller = write_hollow_bert(tmp_path / "smaller", word_piece_folder, vocab_size=PIECES - 8)
    message = refused(teacher, corpus, tmp_path, pt_student_checkpoint=smaller)
    assert f"{smaller}: its config.json says vocab_size {PIECES - 8}, but there are" in message


def test_what_causal_models_have_not_is_refused(gpt2_folder, corpus, tmp_path):
    sizes = tiny_config("TFGPT2Model") | {"vocab_size": 500}
    teacher = write_hollow_bert(tmp_path / "gpt2", gpt2_folder, **sizes)
    scores = "feature=attention_scores,teacher=1,student=0,loss=attention_kl"
    for flags in ({"recipe": "minilm"}, {"match": (scores,)}):
        message = refused(teacher, corpus, tmp_path, objective="clm", **flags)
        assert "(1 problem)" in message and "scores of later tokens, too" in message
    maps = {"match": (scores.replace("attention_scores", "attentions"),)}
    for flags in ({"recipe": "minilmv2", "relation_heads": 4}, maps):
        check_pretrain(config_of(teacher, corpus, tmp_path, objective="clm", **flags))
    idle = {"mlm_random": 0.2, "freeze_token_type_embds": True}
    message = refused(teacher, corpus, tmp_path, objective="clm", **idle)
    assert "--mlm_random: --objective clm masks no tokens" in message
    assert "--freeze_token_type_embds: a gpt2 has no type embeddings" in message


def test_file_that_is_no_text_is_refused_wherever_it_stands_in_the_corpus(teacher, corpus, tmp_path):
    wide = tmp_path / "z.txt"
    wide.write_bytes("the cat\n".encode("utf-16"))
    message = refused(teacher, (corpus, str(wide)), tmp_path)
    assert "z.txt, line 1: not UTF-8" in message and "save it as UTF-8" in message


def test_tokens_that_the_tokenizer_has_not_are_refused(teacher, corpus, write_file, tmp_path):
    message = refused(teacher, corpus, tmp_path, student_vocab=write_file("pieces.txt", "cat\nlondom\n"))
    assert "pieces.txt, line 2: the tokenizer of" in message and 'Did you mean "london"?' in message


def test_whole_words_of_tokens_that_tell_their_ends_are_refused(word_piece_folder, corpus, tmp_path):
    teacher = Path(write_hollow_bert(tmp_path / "teacher", word_piece_folder))
    pieces = (teacher / "vocab.txt").read_text().splitlines()
    (teacher / "vocab.txt").write_text("\n".join(pieces[:5] + [f"{piece}</w>" for piece in pieces[5:]]) + "\n")
    assert "do not tell where a word begins" in refused(str(teacher), corpus, tmp_path, whole_words=True)


def test_head_of_another_teacher_is_refused(teacher, corpus, tmp_path):
    head = str(tmp_path / "language-head.h5")
    shapes = [("language_head/dense/kernel:0", (8, 8)), ("language_head/bias:0", (PIECES,))]
    variables = [SimpleNamespace(name=f"language_head/{name}", numpy=lambda s=s: np.zeros(s)) for name, s in shapes]
    save_weights(head, {"language_head": variables})
    for flags in ({}, {"student_vocab": "corpus"}):
        assert "the shapes [(8," in refused(teacher, corpus, tmp_path, teacher_head=head, **flags)


def test_checkpoint_that_is_not_ours_is_refused_at_the_beginning(teacher, corpus, run_command, tmp_path):
    notes = tmp_path / "m/checkpoint/notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    for more in ([], ["--overwrite"]):
        outcome = run_command(*command_of(teacher, corpus, tmp_path / "m"), *more)
        assert_refused(outcome, "holds notes.txt, which is not an earlier export")
    assert notes.read_text() == "mine" and not (tmp_path / "m/corpus").exists()


def test_pattern_without_files_is_refused(teacher, tmp_path):
    assert "nothing-*.txt" in refused(teacher, str(tmp_path / "nothing-*.txt"), tmp_path)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", ("corpus.txt", "no text")),
        (b"\n \n", ("corpus.txt", "no text")),
        (b"\x00\x01\x02" * 100, ("corpus.txt, line 1", "NUL")),
        (b"a cat\n" + b"the cat " * 1_300_000, ("corpus.txt, line 2", "MB")),
        (b"the cat sat on the mat\n" * 3, ("fewer than the 32 of one step",)),
    ],
    ids=["empty", "blank", "binary", "a line of 10 MB", "smaller than a batch"],
)
def test_corpus_that_cannot_be_used_is_refused(teacher, run_command, tmp_path, content, words):
    path = tmp_path / "corpus.txt"
    path.write_bytes(content)
    folder = tmp_path / "m"
    assert_refused(run_command(*command_of(teacher, path, folder)), *words)
    shutil.rmtree(folder, ignore_errors=True)
    compressed = tmp_path / "corpus.txt.gz"
    compressed.write_bytes(gzip.compress(content))
    words = (word.replace("corpus.txt", "corpus.txt.gz") for word in words)
    assert_refused(run_command(*command_of(teacher, compressed, folder)), *words)
