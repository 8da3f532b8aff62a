"""The model folder: names of its files, atomic writes, and the settings that it belongs to."""

import contextlib
import hashlib
import json
import mmap
import os
import re
import shutil
from collections.abc import Iterator

import numpy as np

from xtremedistil.errors import InputError, MissingFileError

STUDENT_WEIGHTS = "xtremedistil.h5"
CONTINUED_WEIGHTS = "xtremedistil-ft.h5"
BASELINE_WEIGHTS = "baseline.h5"
BASELINE_HISTORY = "baseline-history.json"
CONFIG = "xtremedistil-config.json"
WORD_EMBEDDING = "word_embedding.npy"
TEACHER_WEIGHTS = "model-ft.h5"
TEACHER_RECORD = "model-ft.json"
TEACHER_KEY = "teacher_weights"  # in the settings of a run, once there is a teacher
LIVE_KEY = "targets_are_live"  # likewise, once that is settled
RUN_SETTINGS = "run-settings.json"
REPORT = "report.json"
METRICS = "metrics.json"
PREDICTIONS = "predictions.txt"
JSON_PREDICTIONS = "predictions.jsonl"
TARGETS = "teacher-targets"
SNAPSHOTS = "snapshots"
FROZEN_FEATURES = "frozen-features"
ONNX = "xtremedistil.onnx"
FUSED_ONNX = "xtremedistil_opt.onnx"
INT8_ONNX = "xtremedistil_int8.onnx"
SAVED_MODEL = "saved_model"
HUGGING_FACE = "huggingface"
EXPORTS = "export.json"
FORMAT_VERSION = 2  # of the model folder; the original's has none
SHA256 = re.compile("[0-9a-f]{64}")
# What the original release's settings hold too, and what a student cannot be used without.
ALWAYS_SAVED = ("task", "do_NER", "do_pairwise", "seq_len", "label_list", "teacher_hidden_size")


@contextlib.contextmanager
def atomic_file(path: str, mode: str = "w") -> Iterator:
    """An open file that becomes `path` when the block ends, and leaves nothing behind when it fails.

    Raises:
        InputError: no space left, or the folder cannot be written to; what stood at `path` is untouched.
    """
    partial = f"{path}.partial"
    try:
        with open(partial, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except InputError:
        raise  # of the block itself
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror or error}. The files before it are intact."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(partial)


def write_json(path: str, value) -> None:
    with atomic_file(path) as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


SEAL = "sealed"  # key of a record's own checksum


def write_sealed(path: str, record: dict) -> None:
    """A JSON object with a checksum of its own."""
    write_json(path, record | {SEAL: _seal(record)})


def read_sealed(path: str) -> dict | None:
    """What `write_sealed` wrote; None where it is missing, damaged, or no such thing."""
    try:
        record = read_json(path)
    except (InputError, OSError):  # MissingFileError too
        return None
    seal = record.pop(SEAL, None)
    return record if seal == _seal(record) else None


def _seal(record: dict) -> str:
    return hashlib.sha256(json.dumps(json.loads(json.dumps(record)), sort_keys=True).encode()).hexdigest()


def write_array(path: str, array: np.ndarray) -> None:
    with atomic_file(path, "wb") as file:
        np.save(file, array)


def reserved_array(path: str, kind: np.dtype | str, shape: tuple[int, ...]) -> np.memmap:
    """An array on disk, with all its space reserved: a mapped file that outgrows the disk kills the process.

    Raises:
        InputError: no space left.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)  # not emptied: a process that was left behind may still write into it
        array = np.lib.format.open_memmap(path, "w+", kind, shape)
        if hasattr(os, "posix_fallocate"):  # not on macOS
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
        return array
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
        size = int(np.prod(shape)) * np.dtype(kind).itemsize / 1e6
        raise InputError(
            f"{path}: {size:,.1f} MB of a model's outputs could not be written ({error.strerror}).\n"
            "Free some space and give the same command again. A new run takes less with a lower "
            "--distil_chunk_size, or on another disk (--targets_dir); --dry-run tells the size."
        ) from error


def forget_pages(array: np.ndarray) -> None:
    """Gives the memory back in which a mapped array was read or written; the system may still have it at hand."""
    mapped = getattr(array, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):  # Linux
        mapped.madvise(mmap.MADV_DONTNEED)


def read_json(path: str) -> dict:
    """A JSON object.

    Raises:
        MissingFileError: there is no such file. InputError: it is not JSON, or not an object.
    """
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist.") from error
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds {type(value).__name__}, expected a JSON object.")
    return value


def read_config(model_dir: str) -> dict:
    """`xtremedistil-config.json` of a finished run.

    Raises:
        MissingFileError: the folder or the file is missing. InputError: the file says something else.
    """
    if not os.path.isdir(model_dir):
        raise MissingFileError(f"--model_dir {model_dir}: there is no such folder.")
    path = os.path.join(model_dir, CONFIG)
    if not os.path.isfile(path):
        raise MissingFileError(
            f"--model_dir {model_dir} holds no {CONFIG}: no distillation has finished there.\n"
            "Name the folder that run_xtreme_distil.py wrote, or run its command again to let it finish."
        )
    saved = read_json(path)
    missing = [key for key in ALWAYS_SAVED if key not in saved]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}: it is not what a distillation wrote. Copy it again.")
    return saved


def weight_file(model_dir: str, name: str) -> str:
    """The path of a weight file in a model folder.

    Raises:
        MissingFileError: it is not there.
    """
    path = os.path.join(model_dir, name)
    if not os.path.isfile(path):
        there = ", ".join(sorted(name for name in os.listdir(model_dir) if name.endswith(".h5"))) or "none"
        raise MissingFileError(f"{path} does not exist. Weight files in {model_dir}: {there}.")
    return path


def fingerprint(*paths: str) -> str:
    """sha256 over the bytes of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        digest.update(b"\0end of file\0")
    return digest.hexdigest()


def fingerprint_checkpoint(checkpoint: str) -> str:
    """A checkpoint folder by the bytes of its configuration, weights and tokenizer; a hub name by its name."""
    if not os.path.isdir(checkpoint):
        return checkpoint
    kinds = (".json", ".safetensors", ".h5", ".bin", ".txt", ".model")
    names = sorted(name for name in os.listdir(checkpoint) if name.endswith(kinds))
    return fingerprint(*(os.path.join(checkpoint, name) for name in names))


def claim(folder: str, settings: dict, overwrite: bool) -> None:
    """Ties `folder` to `settings`; with `overwrite`, after removing the run that it holds."""
    if overwrite:
        remove_run(folder)
    path = os.path.join(folder, RUN_SETTINGS)
    if not os.path.isfile(path):
        write_json(path, settings)


def check_claim(folder: str, settings: dict) -> None:
    """Checks that `folder` is free or tied to `settings`; changes nothing.

    Raises:
        InputError: the folder belongs to a run with other settings.
    """
    path = os.path.join(folder, RUN_SETTINGS)
    if not os.path.isfile(path):
        _refuse_foreign_run(folder)
        return
    saved = {name: value for name, value in read_json(path).items() if name not in (TEACHER_KEY, LIVE_KEY)}
    differences = [name for name in sorted(set(saved) | set(settings)) if saved.get(name) != settings.get(name)]
    if differences:
        lines = [f"  {name}: {_difference(saved.get(name), settings.get(name))}" for name in differences]
        raise InputError(
            f"--model_dir {folder} belongs to a run with other settings:\n" + "\n".join(lines) + "\n"
            "Give the same settings to continue it, another --model_dir, or --overwrite to start again there."
        )


def _difference(there, now) -> str:
    """Of two values of a setting; fingerprints of files say nothing to a person."""
    if all(isinstance(value, str) and SHA256.fullmatch(value) for value in (there, now)):
        return "the file has changed"
    return f"{there} there, {now} now"


def bind_teacher(folder: str, key: str) -> None:
    """Ties a claimed folder to the weights of one fine-tuned teacher as well.

    Raises:
        InputError: stages in it are of another teacher.
    """
    path = os.path.join(folder, RUN_SETTINGS)
    saved = read_json(path)
    if saved.get(TEACHER_KEY, key) != key:
        raise InputError(
            f"{folder} was begun with another {TEACHER_WEIGHTS} than --teacher_model_dir holds now.\n"
            "Put the old one back, or start again with --overwrite."
        )
    if TEACHER_KEY not in saved:
        write_json(path, saved | {TEACHER_KEY: key})


def settle_live(folder: str, live: bool) -> bool:
    """Whether a claimed run asks its teacher live: as was settled when it began, to end with the same bytes."""
    path = os.path.join(folder, RUN_SETTINGS)
    saved = read_json(path)
    if LIVE_KEY not in saved:
        write_json(path, saved | {LIVE_KEY: live})
    return saved.get(LIVE_KEY, live)


def _refuse_foreign_run(folder: str) -> None:
    stages = [name for name in _run_files(folder) if name.startswith("model-stage-") or name == STUDENT_WEIGHTS]
    if stages:
        raise InputError(
            f"--model_dir {folder} holds {stages[0]} but no record of the settings that made it "
            "(the original release keeps none).\nGive another --model_dir, or --overwrite to start again there."
        )


def _run_files(folder: str) -> list[str]:
    fixed = (
        STUDENT_WEIGHTS,
        CONTINUED_WEIGHTS,
        BASELINE_WEIGHTS,
        BASELINE_HISTORY,
        CONFIG,
        WORD_EMBEDDING,
        RUN_SETTINGS,
        REPORT,
        METRICS,
    )
    return sorted(name for name in os.listdir(folder) if name.startswith("model-stage-") or name in fixed)


def remove_run(folder: str) -> None:
    """Removes what a run wrote into `folder`; the fine-tuned teacher stays, it has a record of its own."""
    for name in _run_files(folder):
        os.remove(os.path.join(folder, name))
    for name in (SNAPSHOTS, FROZEN_FEATURES):
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
