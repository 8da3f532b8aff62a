import gzip

import pytest

from xtremedistil.data.text_files import find_file, read_lines, read_table
from xtremedistil.errors import InputError, MissingFileError


def lines_of(path):
    return [text for _, text in read_lines(path)]


def test_read_lines_numbers_every_line_including_empty_ones(write_file):
    assert list(read_lines(write_file("a.txt", "x\n\ny"))) == [(1, "x"), (2, ""), (3, "y")]


def test_read_lines_accepts_byte_order_mark_and_crlf(write_file):
    assert lines_of(write_file("a.txt", b"\xef\xbb\xbfx y\r\nz\r\n")) == ["x y", "z"]


def test_read_lines_keeps_unicode_separators_as_text(write_file):
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\rh"
    assert lines_of(write_file("a.txt", text + "\nnext\n")) == [text, "next"]


def test_read_lines_of_empty_file_gives_nothing(write_file):
    assert lines_of(write_file("a.txt", "")) == []


def test_read_lines_reads_gzip(write_file):
    assert lines_of(write_file("a.tsv.gz", gzip.compress("é\nb\n".encode()))) == ["é", "b"]


def test_read_lines_takes_gzip_where_plain_file_is_missing(write_file):
    path = write_file("train.tsv.gz", gzip.compress(b"a\n"))
    assert find_file(path.removesuffix(".gz")) == path
    assert lines_of(path.removesuffix(".gz")) == ["a"]


def test_read_lines_prefers_plain_file_over_gzip(write_file):
    write_file("train.tsv.gz", gzip.compress(b"packed\n"))
    assert lines_of(write_file("train.tsv", "plain\n")) == ["plain"]


def test_read_lines_reports_line_that_is_not_utf8(write_file):
    path = write_file("a.txt", b"ok\nna\xefve\n")
    with pytest.raises(InputError, match=r"a\.txt, line 2: not UTF-8 \(byte 0xef at position 3\). Save the file as"):
        lines_of(path)


def test_read_lines_says_when_file_looks_like_utf16(write_file):
    with pytest.raises(InputError, match="line 1: not UTF-8 .* It looks like UTF-16"):
        lines_of(write_file("a.txt", "hello\n".encode("utf-16")))


def test_read_lines_says_when_plain_name_holds_gzip(write_file):
    with pytest.raises(InputError, match="It looks like gzip: name it .gz"):
        lines_of(write_file("a.txt", gzip.compress(b"hello\n" * 50)))


def test_read_lines_reports_nul_character(write_file):
    with pytest.raises(InputError, match=r"a\.txt, line 2: a NUL character at position 2"):
        lines_of(write_file("a.txt", b"x\ny\0z\n"))


def test_read_lines_reports_truncated_gzip(write_file):
    packed = gzip.compress(bytes(str(list(range(5000))), "ascii"))
    with pytest.raises(InputError, match=r"a\.gz is not a complete gzip file .* copy it again"):
        lines_of(write_file("a.gz", packed[:-200]))


def test_read_lines_reports_gz_name_without_gzip_content(write_file):
    with pytest.raises(InputError, match=r"a\.gz is not a complete gzip file"):
        lines_of(write_file("a.gz", "plain text\n"))


def test_find_file_lists_similar_files_when_missing(write_file, tmp_path):
    write_file("trian.tsv", "")
    write_file("picture.png", "")
    with pytest.raises(MissingFileError, match=r"train\.tsv does not exist. In .*: trian\.tsv\.$"):
        find_file(tmp_path / "train.tsv")


def test_find_file_says_when_folder_is_missing_or_empty(tmp_path):
    with pytest.raises(MissingFileError, match="There is no folder .*nowhere either"):
        find_file(tmp_path / "nowhere" / "train.tsv")
    with pytest.raises(MissingFileError, match="The folder .* is empty"):
        find_file(tmp_path / "train.tsv")


def test_find_file_refuses_folder(tmp_path):
    with pytest.raises(InputError, match="is a folder; a text file is expected"):
        find_file(tmp_path)


def test_read_table_takes_quotes_as_text_and_skips_blank_lines(write_file):
    path = write_file("a.tsv", '"a\tb"\n\n  \n\'c\td""\n')
    assert list(read_table(path, ("x", "y"))) == [(1, ['"a', 'b"']), (4, ["'c", 'd""'])]


def test_read_table_reports_too_few_columns(write_file):
    path = write_file("a.tsv", "a\tb\nonly words here\n")
    with pytest.raises(InputError) as error:
        list(read_table(path, ("words", "tags")))
    assert str(error.value) == (
        f"{path}, line 2: 1 column, expected 2.\n"
        "  line: only words here\n"
        'Expected "words<TAB>tags", separated by tabs, without header or quoting.'
    )


def test_read_table_reports_too_many_columns(write_file):
    with pytest.raises(InputError, match="line 1: 3 columns, expected 2"):
        list(read_table(write_file("a.tsv", "a\tb\tc\n"), ("words", "tags")))


def test_read_table_at_least_drops_surplus_columns(write_file):
    path = write_file("a.tsv", "a\tb\tc\nd\n")
    assert list(read_table(path, ("words",), at_least=True)) == [(1, ["a"]), (2, ["d"])]


def test_read_table_at_least_reports_missing_columns(write_file):
    with pytest.raises(InputError, match="line 1: 1 column, expected at least 2"):
        list(read_table(write_file("a.tsv", "a\n"), ("text1", "text2"), at_least=True))


def test_read_table_reports_file_without_rows(write_file):
    with pytest.raises(InputError, match=r'a\.tsv has no rows. Expected lines of "words<TAB>tags"'):
        list(read_table(write_file("a.tsv", "\n \n"), ("words", "tags")))
