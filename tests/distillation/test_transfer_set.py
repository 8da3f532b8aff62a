"""The transfer set on disk: dealing out rows, sizes, policies; without TensorFlow."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from xtremedistil.distillation.data import transfer_set
from xtremedistil.distillation.data.transfer_set import open_transfer_rows, write_transfer_rows
from xtremedistil.distillation.teacher_outputs import disk_size
from xtremedistil.distillation.teacher_outputs.disk_size import (
    OutputSize,
    frozen_size,
    has_room_for_states,
    resolve_policy,
)
from xtremedistil.distillation.teacher_outputs.disk_size import output_size as size_of
from xtremedistil.errors import InputError
from xtremedistil.tasks import TokenClassification
from xtremedistil.tokenization.tokenizer import Tokenizer

SENTENCES = [f"the cat sat on the mat and {'ran ' * (number % 7)}in London".split() for number in range(57)]


@pytest.fixture
def deal(word_piece_folder, tmp_path):
    task, tokenizer = TokenClassification(["O"]), Tokenizer.load(word_piece_folder)

    def write(sentences=SENTENCES, **changes):
        folder = tmp_path / f"rows-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        settings = {"chunk_size": 20, "seed": 3} | changes
        return write_transfer_rows(str(folder), task, map(task.example, sentences), tokenizer, 12, **settings)

    write.whole = task.encode([task.example(words) for words in SENTENCES], tokenizer, 12)
    return write


def rows_of(features) -> list[tuple]:
    return [tuple(features.row(number)["input_ids"].tolist()) for number in range(len(features))]


def test_chunks_are_the_rows_in_a_seeded_order(deal):
    dealt = deal()
    order = np.random.default_rng([3, 0]).permutation(len(deal.whole))
    held_out = len(order) // 10
    found = rows_of(dealt.held_out) + [row for start in dealt.starts for row in rows_of(dealt.chunk(start))]
    assert found == rows_of(deal.whole.take(order))
    assert (dealt.rows, dealt.held_out_rows) == (len(order) - held_out, held_out)
    chunk = dealt.chunk(20)
    np.testing.assert_array_equal(chunk.word_ids, deal.whole.take(order[held_out + 20 : held_out + 40]).word_ids)
    np.testing.assert_array_equal(chunk.example_ids, deal.whole.example_ids[order[held_out + 20 : held_out + 40]])


def test_block_sizes_change_nothing(deal, monkeypatch):
    whole = deal()
    monkeypatch.setattr(transfer_set, "LINES_AT_A_TIME", 5)
    monkeypatch.setattr(transfer_set, "ROWS_AT_A_TIME", 7)
    in_blocks = deal()
    for start in whole.starts:
        assert whole.chunk(start).fingerprint() == in_blocks.chunk(start).fingerprint()
    assert open_transfer_rows(in_blocks.folder) == in_blocks
    assert (whole.positions, whole.pairs) == (in_blocks.positions, in_blocks.pairs)


def test_sums_are_those_of_the_rows(deal):
    dealt = deal()
    for start in dealt.starts:
        lengths = dealt.chunk(start).lengths
        assert dealt.positions[f"chunk-{start}"] == lengths.sum()
        assert dealt.pairs[f"chunk-{start}"] == (lengths**2).sum()


def test_a_single_row_serves_as_both(deal):
    dealt = deal(SENTENCES[:1])
    assert (dealt.rows, dealt.held_out_rows) == (1, 1)
    assert rows_of(dealt.chunk(0)) == rows_of(dealt.held_out)


def test_size_counts_logits_states_and_maps(deal):
    dealt = deal()
    settings = {"labels": 3, "tagging": True, "hidden_size": 8, "heads": 2, "precision": "float16"}
    size = size_of(dealt, ["hidden_states_1", "hidden_states_2", "attentions_0"], **settings)
    assert size.logits == sum(dealt.positions.values()) * 3 * 4
    assert size.states["chunk-0"] == 2 * (dealt.positions["chunk-0"] * 2 * 8 + dealt.pairs["chunk-0"] * 1 * 2)
    by_row = size_of(dealt, [], **(settings | {"tagging": False}))
    assert by_row.logits == (dealt.rows + dealt.held_out_rows) * 3 * 4
    doubled = size_of(dealt, ["hidden_states_1"], **(settings | {"precision": "float32"}))
    assert doubled.states["chunk-20"] == 4 * dealt.positions["chunk-20"] * 8


def test_size_counts_labelled_rows_that_a_stage_reads_too(deal):
    settings = {"labels": 3, "tagging": True, "hidden_size": 8, "heads": 2, "precision": "float16"}
    dealt, names = deal(), ["hidden_states_1", "attentions_0"]
    plain, both = (size_of(dealt, names, labelled=rows, **settings) for rows in (None, dealt.held_out))
    states, logits = plain.states["held-out"], dealt.positions["held-out"] * 3 * 4
    assert both.everything == plain.everything + states + logits
    assert both.at_a_time == plain.at_a_time + states + logits


def test_size_counts_inner_tensors_as_states_and_scores_as_maps(deal):
    settings = {"labels": 3, "tagging": True, "hidden_size": 8, "heads": 2, "precision": "float16"}
    plain = size_of(deal(), ["hidden_states_1", "hidden_states_2", "attentions_0"], **settings)
    inner = size_of(deal(), ["logits", "queries_1", "attentions_._0/out_lin", "attention_scores_0"], **settings)
    assert inner == plain


@pytest.mark.parametrize(
    "asked, free, policy",
    [
        ("auto", 10_000, "cache"),  # 900 are less than a quarter
        ("auto", 3_000, "chunks"),
        ("auto", 400, "live"),  # not even one chunk at a time: 100 + 50 + 450
        ("live", 10_000, "live"),
        ("cache", 1_000, "cache"),
    ],
)
def test_policy_follows_the_disk(monkeypatch, tmp_path, asked, free, policy):
    monkeypatch.setattr(disk_size.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": free}))
    size = OutputSize(100, {"chunk-0": 450, "chunk-10": 300, "held-out": 50})
    assert resolve_policy(asked, size, str(tmp_path / "not/yet")) == policy


def test_outputs_that_are_there_already_take_no_more_room(monkeypatch, tmp_path):
    monkeypatch.setattr(disk_size.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 2_000_000}))
    size = OutputSize(10**6, {"chunk-0": 3 * 10**6, "held-out": 0})
    for name, length in (("hidden_states_1", 3_000_000), ("hidden_states_9", 9_000_000)):
        (tmp_path / "chunk-0").mkdir(exist_ok=True)
        (tmp_path / "chunk-0" / f"{name}.npy").write_bytes(bytes(length))
    assert resolve_policy("cache", size, str(tmp_path), ["logits", "hidden_states_1"]) == "cache"
    with pytest.raises(InputError, match="`teacher_outputs` cache"):
        resolve_policy("cache", size, str(tmp_path), ["logits", "hidden_states_2"])


@pytest.mark.parametrize("by_position", [True, False])
def test_students_states_are_of_dev_and_of_the_train_set_or_a_chunk(deal, by_position):
    dealt = deal()
    dev, few, many = (deal.whole.take(np.arange(count)) for count in (3, 5, 50))
    chunks = [dealt.positions[f"chunk-{start}"] if by_position else 20 for start in dealt.starts]
    for train in (few, many):
        sets = {name: SimpleNamespace(features=features) for name, features in (("dev", dev), ("train", train))}
        corpus = SimpleNamespace(task=SimpleNamespace(by_position=by_position), transfer=dealt, **sets)
        rows = [part.lengths.sum() if by_position else len(part) for part in (dev, train)]
        assert frozen_size(corpus, 8, "float16") == 2 * 8 * (rows[0] + max(rows[1], *chunks))


def test_students_states_of_all_chunks_stay_where_they_take_a_quarter_of_the_room(deal, monkeypatch, tmp_path):
    dealt = deal()
    positions = sum(dealt.positions[f"chunk-{start}"] for start in dealt.starts)
    for by_position, count in ((True, positions), (False, dealt.rows)):
        corpus = SimpleNamespace(task=SimpleNamespace(by_position=by_position), transfer=dealt)
        for free, stays in ((4 * 16 * count + 4, True), (4 * 16 * count - 4, False)):
            usage = type("Usage", (), {"free": free})
            monkeypatch.setattr(disk_size.shutil, "disk_usage", lambda folder, usage=usage: usage)
            assert has_room_for_states(corpus, 8, "float16", str(tmp_path)) == stays


def test_students_states_on_the_same_disk_take_room(monkeypatch, tmp_path):
    monkeypatch.setattr(disk_size.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 2_000_000}))
    size = OutputSize(10**6, {"chunk-0": 10**6, "held-out": 0}, besides=10**6)
    with pytest.raises(InputError, match=r"take 2.0 MB, the student's hidden states 1.0 MB, and .* has 2.0 MB left"):
        resolve_policy("cache", size, str(tmp_path))
    assert resolve_policy("auto", size, str(tmp_path)) == "live"
    assert resolve_policy("auto", replace(size, besides=0), str(tmp_path)) == "chunks"


def test_cache_that_the_disk_cannot_hold_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(disk_size.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 2_000_000}))
    size = OutputSize(10**6, {"chunk-0": 3 * 10**6, "chunk-10": 10**6, "held-out": 0})
    with pytest.raises(
        InputError,
        match=r"`teacher_outputs` cache: the teacher's outputs take 5.0 MB, and .* has 2.0 MB left(.|\n)*4.0 MB",
    ):
        resolve_policy("cache", size, str(tmp_path))
