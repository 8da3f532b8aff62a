"""A corpus as tokens on disk: what stands there, what a killed run leaves, and what damage costs."""

import gzip
import json
import os
import resource

import numpy as np
import pytest

from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.pretraining.corpus import store_writer
from xtremedistil.pretraining.corpus.store_writer import StoreWriter
from xtremedistil.pretraining.corpus.token_store import open_token_store, write_token_store
from xtremedistil.tokenization.tokenizer import Tokenizer

LINES = [f"the {animal} {verb} in {town} ." for animal in ("cat", "dog") for verb in ("sat", "ran") for town in
         ("london", "paris", "rome")]  # 12 lines  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(word_piece_folder) -> Tokenizer:
    return Tokenizer.load(word_piece_folder)


@pytest.fixture
def corpus(write_file) -> list[str]:
    zipped = gzip.compress("\n".join(LINES[5:]).encode())
    return [write_file("a.txt", "\n\n".join(LINES[:5]) + "\n"), write_file("b.txt.gz", zipped)]


@pytest.fixture
def folder(tmp_path) -> str:
    return str(tmp_path / "store")


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of two lines, tokenised one by one."""
    monkeypatch.setattr(store_writer, "PART_CHARACTERS", 40)
    monkeypatch.setattr(store_writer, "BLOCK_CHARACTERS", 10)


@pytest.fixture
def tokenised(monkeypatch) -> list[str]:
    """What the tokenizer is asked for."""
    asked: list[str] = []
    real = StoreWriter._tokenised

    def recording(self, texts):
        asked.extend(texts)
        return real(self, texts)

    monkeypatch.setattr(StoreWriter, "_tokenised", recording)
    return asked


def contents(store) -> tuple:
    return store.tokens.tolist(), store.lines.tolist(), store.counts.tolist(), store.key


def lines_of(store) -> list[list[int]]:
    return [store.tokens[start:stop].tolist() for start, stop in zip(store.lines, store.lines[1:], strict=False)]


def test_store_holds_the_tokens_of_each_line_closed_by_the_end_token(tokenizer, write_file, folder):
    # "the" is token 5, "a" 6, "in" 7 (five special tokens stand before them); [SEP] is 3.
    store = write_token_store(folder, tokenizer, [write_file("a.txt", "the a the\nin\n")])
    assert lines_of(store) == [[5, 6, 5, 3], [7, 3]]
    assert store.counts[:8].tolist() == [0, 0, 0, 0, 0, 2, 1, 1]
    assert len(store.counts) == tokenizer.size
    assert (store.tokens.dtype, store.lines.dtype, store.end_ids) == (np.uint16, np.int64, (3,))


def test_lines_without_tokens_are_left_out_and_a_corpus_of_them_is_refused(tokenizer, write_file, folder):
    store = write_token_store(folder, tokenizer, [write_file("a.txt", "the\n\u200b\na\n")])
    assert lines_of(store) == [[5, 3], [6, 3]]
    with pytest.raises(InputError, match="finds no token in .*b.txt"):
        write_token_store(folder, tokenizer, [write_file("b.txt", "\u200b\n")])


def test_tokenizer_without_end_piece_leaves_lines_open(write_file, word_piece_folder, folder):
    loaded = Tokenizer.load(word_piece_folder)
    loaded.end_ids = []
    assert lines_of(write_token_store(folder, loaded, [write_file("a.txt", "the a\nin\n")])) == [[5, 6], [7]]


def test_large_vocabulary_takes_four_bytes_a_token(write_file, word_piece_folder, folder):
    loaded = Tokenizer.load(word_piece_folder)
    path = write_file("a.txt", "the a\n")
    for size, kind in ((65_536, np.uint16), (65_537, np.uint32)):
        loaded.size = size
        store = write_token_store(f"{folder}-{size}", loaded, [path])
        assert store.tokens.dtype == kind
        assert store.tokens.tolist() == [5, 6, 3]


def test_tokens_outside_the_vocabulary_are_refused(write_file, word_piece_folder, folder):
    loaded = Tokenizer.load(word_piece_folder)
    loaded.size = 6
    with pytest.raises(InputError, match="gives token 6, but has 6 tokens"):
        write_token_store(folder, loaded, [write_file("a.txt", "the a\n")])


@pytest.mark.parametrize("kind", ["byte_level_folder", "gpt2_folder", "sentence_piece_folder"])
def test_store_has_the_tokens_that_the_tokenizer_gives_whole_texts(kind, request, corpus, folder):
    loaded = Tokenizer.load(request.getfixturevalue(kind))
    expected = [row + loaded.end_ids for row in loaded._ids(LINES)]
    assert lines_of(write_token_store(folder, loaded, corpus)) == expected


def test_sizes_of_parts_and_blocks_change_nothing(tokenizer, corpus, folder, request):
    whole = contents(write_token_store(folder, tokenizer, corpus))
    request.getfixturevalue("small_parts")
    assert contents(write_token_store(f"{folder}-2", tokenizer, corpus)) == whole
    assert len(manifest_of(f"{folder}-2")["parts"]) == 6


def manifest_of(folder: str) -> dict:
    with open(os.path.join(folder, "store.json"), encoding="utf-8") as file:
        return json.load(file)


def test_finished_store_is_read_not_made_again(tokenizer, corpus, folder, tokenised):
    whole = contents(write_token_store(folder, tokenizer, corpus))
    del tokenised[:]
    assert contents(write_token_store(folder, tokenizer, corpus)) == whole
    assert tokenised == []
    assert contents(open_token_store(folder)) == whole
    assert sorted(os.listdir(folder)) == [".lock", "counts.npy", "lines.bin", "pieces.bin", "store.json"]


def test_line_that_cannot_be_read_is_told_before_anything_is_tokenised(
    tokenizer, write_file, folder, small_parts, tokenised
):
    bad = write_file("bad.txt", "\n".join(LINES).encode() + b"\n\xff\n")
    with pytest.raises(InputError, match="bad.txt, line 13: not UTF-8"):
        write_token_store(folder, tokenizer, [bad])
    assert tokenised == []


class Killed(BaseException):
    pass


@pytest.mark.parametrize("parts", [1, 2, 5, 6])
def test_killed_run_goes_on_behind_the_last_part(tokenizer, corpus, folder, small_parts, tokenised, parts):
    def killer(done, total):
        if len(manifest_of(folder)["parts"]) == parts:
            raise Killed

    whole = contents(write_token_store(f"{folder}-2", tokenizer, corpus))
    with pytest.raises(Killed):
        write_token_store(folder, tokenizer, corpus, killer)
    with pytest.raises(InputError, match="not all there"):
        open_token_store(folder)
    for name in ("pieces.bin", "lines.bin"):
        with open(os.path.join(folder, name), "ab") as file:
            file.write(b"of a part that was not finished")
    del tokenised[:]
    assert contents(write_token_store(folder, tokenizer, corpus)) == whole
    assert tokenised == LINES[2 * parts :]


@pytest.mark.parametrize("name", ["pieces.bin", "lines.bin"])
@pytest.mark.parametrize("part", [0, 2, 5])
def test_damaged_part_alone_is_made_again(tokenizer, corpus, folder, small_parts, tokenised, name, part):
    whole = contents(write_token_store(folder, tokenizer, corpus))
    saved = manifest_of(folder)["parts"][part]
    place = 2 * saved["first_piece"] if name == "pieces.bin" else 8 * (1 + saved["first_line"])
    with open(os.path.join(folder, name), "r+b") as file:
        file.seek(place)
        file.write(b"\xfe")
    del tokenised[:]
    assert contents(write_token_store(folder, tokenizer, corpus)) == whole
    assert tokenised == LINES[2 * part : 2 * part + 2]


def test_cut_and_lost_files_are_made_again(tokenizer, corpus, folder, small_parts, tokenised):
    whole = contents(write_token_store(folder, tokenizer, corpus))
    os.truncate(os.path.join(folder, "pieces.bin"), os.path.getsize(os.path.join(folder, "pieces.bin")) - 3)
    with pytest.raises(InputError, match=r"pieces.bin has \d+ bytes, expected \d+: it is damaged"):
        open_token_store(folder)
    del tokenised[:]
    assert contents(write_token_store(folder, tokenizer, corpus)) == whole
    assert tokenised == LINES[10:]
    for name in ("lines.bin", "counts.npy", "store.json"):
        os.remove(os.path.join(folder, name))
        assert contents(write_token_store(folder, tokenizer, corpus)) == whole


def test_damaged_counts_are_counted_again(tokenizer, corpus, folder, tokenised):
    whole = contents(write_token_store(folder, tokenizer, corpus))
    np.save(os.path.join(folder, "counts.npy"), np.zeros(tokenizer.size, np.int64))
    del tokenised[:]
    assert contents(write_token_store(folder, tokenizer, corpus)) == whole
    assert tokenised == []


def test_store_of_another_corpus_or_tokenizer_is_made_anew(tokenizer, corpus, folder, byte_level_folder, write_file):
    first = write_token_store(folder, tokenizer, corpus)
    kept = first.tokens.tolist()
    other = write_token_store(folder, Tokenizer.load(byte_level_folder), corpus)
    assert other.key != first.key
    assert lines_of(other) != lines_of(first)
    assert first.tokens.tolist() == kept  # still mapped by a run that reads it
    write_file("a.txt", "the cat\n")
    changed = write_token_store(folder, tokenizer, corpus)
    assert len(changed.lines) == 1 + 1 + 7
    assert changed.key not in (first.key, other.key)


def test_corpus_that_changed_under_an_old_time_is_made_anew_once_its_damage_shows(tokenizer, corpus, folder):
    write_token_store(folder, tokenizer, corpus)
    times = os.stat(corpus[0])
    with open(corpus[0], "r+b") as file:
        file.write(b"in ")  # "the" it was
    os.utime(corpus[0], ns=(times.st_atime_ns, times.st_mtime_ns))
    with open(os.path.join(folder, "pieces.bin"), "r+b") as file:
        file.write(b"\xff")
    store = write_token_store(folder, tokenizer, corpus)
    assert store.tokens[0] == 7
    assert len(store.lines) == 1 + len(LINES)


def test_corpus_that_changes_while_it_is_read_is_refused(tokenizer, corpus, folder):
    def changing(done, total):
        with open(corpus[0], "a", encoding="utf-8") as file:
            file.write("more\n")

    with pytest.raises(InputError, match="changed while it was read"):
        write_token_store(folder, tokenizer, corpus, changing)


def test_progress_goes_up_to_the_size_of_the_files(tokenizer, corpus, folder, small_parts):
    seen = []
    write_token_store(folder, tokenizer, corpus, lambda done, total: seen.append((done, total)))
    total = sum(map(os.path.getsize, corpus))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {size for _, size in seen} == {total}
    assert seen[0][0] < total == seen[-1][0]


def test_full_disk_is_told_and_the_run_goes_on_when_there_is_room(
    tokenizer, write_file, folder, small_parts, tokenised
):
    corpus = [write_file("a.txt", "\n".join(LINES * 20))]  # 240 lines, 120 parts
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        with pytest.raises(InputError, match="(?s)cannot be written.*(Free some space|are intact)"):
            write_token_store(folder, tokenizer, corpus)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    done = len(tokenised)
    assert 0 < done < 240
    write_token_store(folder, tokenizer, corpus)
    assert 240 <= len(tokenised) < 240 + done


def test_open_of_nothing_is_told(tmp_path):
    with pytest.raises(MissingFileError, match="store.json is missing"):
        open_token_store(str(tmp_path))
