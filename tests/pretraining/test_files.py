"""The files of a corpus: patterns, lines, and what cannot be read."""

import gzip
import os
import time
import tracemalloc

import pytest

from xtremedistil.data.text_files import read_lines, read_lines_after
from xtremedistil.errors import InputError, MissingFileError
from xtremedistil.pretraining.corpus.files import (
    LONGEST_LINE,
    check_lines,
    corpus_paths,
    read_corpus,
    read_corpus_after,
)


def test_corpus_paths_are_sorted_and_each_once(write_file, tmp_path):
    paths = [write_file(f"{name}.txt", name) for name in "bca"]
    os.symlink(paths[0], tmp_path / "d.txt")
    found = corpus_paths([paths[1], str(tmp_path / "*.txt"), paths[0]])
    assert found == [str(tmp_path / f"{name}.txt") for name in "abc"]


def test_corpus_paths_take_folders_of_any_depth_and_leave_folders_out(write_file, tmp_path):
    deep = write_file("one/two/a.txt", "x")
    assert corpus_paths([str(tmp_path / "**")]) == [deep]


def test_corpus_paths_take_names_with_brackets_and_gzip_as_they_are(write_file):
    bracket, zipped = write_file("a[1].txt", "x"), write_file("b.txt.gz", gzip.compress(b"x"))
    assert corpus_paths([zipped.removesuffix(".gz"), bracket]) == [bracket, zipped]


@pytest.mark.parametrize(
    "patterns, kind, message",
    [
        (["*.nothing"], InputError, r"\*\.nothing: no file of a corpus"),
        (["missing.txt"], MissingFileError, "missing.txt does not exist"),
        (["folder"], InputError, r"folder is a folder; .*folder/\*"),
        ([], InputError, "No corpus is named"),
    ],
)
def test_corpus_paths_refuse_what_names_no_file(tmp_path, monkeypatch, patterns, kind, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(kind, match=message):
        corpus_paths(patterns)


def test_read_corpus_skips_blank_lines_and_keeps_line_numbers(write_file):
    plain = write_file("a.txt", "one\n\n  \t\n two \r\n")
    zipped = write_file("b.txt.gz", gzip.compress(b"\nthree"))
    assert list(read_corpus([plain, zipped])) == [(plain, 1, "one"), (plain, 4, "two"), (zipped, 2, "three")]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_reading_goes_on_behind_any_line(write_file, suffix):
    contents = ("\ufeffone\r\n\nzwei \u00e4\n".encode(), b"\nthree\nfour")
    paths = [
        write_file(f"{number}.txt{suffix}", gzip.compress(text) if suffix else text)
        for number, text in enumerate(contents)
    ]
    lines = list(read_corpus_after(paths))
    assert [text for _, text in lines] == ["one", "zwei \u00e4", "three", "four"]
    assert [place.offset for place, _ in lines] == [8, 17, 7, 11]  # mark 3, one 3, line end 2; line end 1, ...
    for number, (place, _) in enumerate(lines):
        assert list(read_corpus_after(paths, place)) == lines[number + 1 :]


def test_read_corpus_refuses_blank_files(write_file):
    paths = [write_file("a.txt", "\n \n"), write_file("b.txt", "")]
    with pytest.raises(InputError, match="no text in .*a.txt, .*b.txt"):
        list(read_corpus(paths))


def test_read_corpus_refuses_binary_files(write_file):
    with pytest.raises(InputError, match="a.txt, line 2: a NUL character"):
        list(read_corpus([write_file("a.txt", b"one\na\0b\n")]))
    with pytest.raises(InputError, match="b.txt, line 1: not UTF-8"):
        list(read_corpus([write_file("b.txt", b"\xff\xd8\xff\xe0" * 500_000)]))


def test_line_of_the_longest_length_is_read(write_file):
    for end in ("", "\n"):
        ((_, _, text),) = read_corpus([write_file("a.txt", "x" * LONGEST_LINE + end)])
        assert len(text) == LONGEST_LINE


def test_line_above_the_longest_is_refused_with_its_size(write_file):
    with pytest.raises(InputError, match=r"(?s)a.txt, line 2: the line has 1.2 MB, but at most 1.0 MB .*split long"):
        list(read_corpus([write_file("a.txt", "one\n" + "\u00e9" * 600_000 + "\nthree\n")]))


LONG = b"x" * LONGEST_LINE


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "content, message",
    [
        (b"one\n" + LONG + b"\n\n" + "\u00e9".encode() * 400_000 + b"\r\n" + LONG, None),
        (b"one\n" + "\u00e9".encode() * 600_000 + b"\nthree\n", "line 2: the line has 1.2 MB"),
        (b"one\n" + LONG[:-5] + b"\n" + LONG + b"x", "line 3: the line has 1.0 MB"),
        (LONG + b"\none\na\0b\n", "line 3: a NUL character"),
        (b"one\n" * 300_000 + b"\xff\n", "line 300001: not UTF-8"),
        ("\u00e9".encode()[:1], "line 1: not UTF-8"),
    ],
    ids=["sound", "long", "long and last", "NUL", "not UTF-8", "half a character"],
)
def test_all_lines_are_checked_block_by_block(write_file, content, message, packed):
    sound = write_file("a.txt", "one")
    path = write_file("b.txt.gz", gzip.compress(content)) if packed else write_file("b.txt", content)
    if message is None:
        return check_lines([sound, path])
    with pytest.raises(InputError, match=f"b.txt.*{message}"):
        check_lines([sound, path])


def test_cut_gzip_file_is_found_where_all_lines_are_checked(write_file):
    path = write_file("a.txt.gz", gzip.compress(os.urandom(5000).hex().encode())[:-100])
    with pytest.raises(InputError, match="a.txt.gz is not a complete gzip file"):
        check_lines([path])


def test_very_long_line_takes_neither_memory_nor_time(write_file):
    path = write_file("a.txt", b"x" * 10_000_000)
    started = time.monotonic()
    tracemalloc.start()
    with pytest.raises(InputError, match="line 1: the line has 10.0 MB"):
        list(read_corpus([path]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * LONGEST_LINE
    assert time.monotonic() - started < 5


def test_size_of_an_endless_line_is_not_measured_to_its_end(write_file, monkeypatch):
    monkeypatch.setattr("xtremedistil.data.text_files.MOST_MEASURED", 2_000_000)
    with pytest.raises(InputError, match="the line has more than 2 MB"):
        list(read_corpus([write_file("a.txt", b"x" * 5_000_000)]))


def test_lines_without_limit_are_as_long_as_they_are(write_file):
    path = write_file("a.txt", "x" * 2_000_000 + "\ny")
    assert [len(text) for _, text in read_lines(path)] == [2_000_000, 1]
    assert list(read_lines_after(path, 1, 2_000_001)) == [(2, 2_000_002, "y")]
