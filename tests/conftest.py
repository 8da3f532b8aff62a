"""Tiny tokenizers and the way to the shared data, for tests that need no TensorFlow."""

import json
import os
import shutil
from pathlib import Path

import pytest

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = (
    "the a in on and , . ' john mary london paris rome cat dog mat park sat ran big small happy is was river bank new "
    "york play un run ##ning ##s ##believ ##able ##er ##don b c d"
).split()
PUBLIC_CONFIGS = {
    "bert-base-cased": {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
    "bert-base-uncased": {"tokenizer_class": "BertTokenizer", "do_lower_case": True},
    "bert-base-multilingual-cased": {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
    "roberta-base": {"tokenizer_class": "RobertaTokenizer"},
    "gpt2": {"tokenizer_class": "GPT2Tokenizer"},
    "xlnet-base-cased": {"tokenizer_class": "XLNetTokenizer"},
    "xlm-roberta-base-reconstructed": {"tokenizer_class": "XLMRobertaTokenizer"},
}
TEXT = [
    "the cat sat on the mat in London .",
    "Mary ran to the park and John was happy .",
    "unbelievable : the big dog is running in Paris , the small one plays .",
    "New York is a big town ; Rome is old , and 1,000 cats don't mind .",
]


def slow(*cases) -> list:
    """Cases of a parametrised test for the slow suite; each has a faster neighbour that shows the same."""
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow) for case in cases]


@pytest.fixture(scope="session")
def word_piece_folder(tmp_path_factory) -> str:
    """A BERT tokenizer as folders of 2021 have it: vocab.txt (lower case) and tokenizer_config.json."""
    folder = tmp_path_factory.mktemp("word-piece")
    (folder / "vocab.txt").write_text("\n".join(SPECIAL + WORDS) + "\n", encoding="utf-8")
    write_config(folder, tokenizer_class="BertTokenizer", do_lower_case=True)
    return str(folder)


@pytest.fixture(scope="session")
def byte_level_folder(tmp_path_factory) -> str:
    """A RoBERTa tokenizer: byte-level BPE, for which the space before a word is part of it."""
    from tokenizers import ByteLevelBPETokenizer

    folder = tmp_path_factory.mktemp("byte-level")
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(TEXT, vocab_size=400, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    trained.save_model(str(folder))
    write_config(folder, tokenizer_class="RobertaTokenizer")
    return str(folder)


@pytest.fixture(scope="session")
def gpt2_folder(byte_level_folder, tmp_path_factory) -> str:
    """The same without pad and separator tokens."""
    folder = tmp_path_factory.mktemp("gpt2")
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes((Path(byte_level_folder) / name).read_bytes())
    tokens = {name: "</s>" for name in ("bos_token", "eos_token", "unk_token")}
    write_config(folder, tokenizer_class="GPT2Tokenizer", **tokens)
    return str(folder)


@pytest.fixture(scope="session")
def sentence_piece_folder(tmp_path_factory) -> str:
    """An XLNet tokenizer."""
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = tmp_path_factory.mktemp("sentence-piece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT),
        model_prefix=str(folder / "spiece"),
        vocab_size=70,
        hard_vocab_limit=False,
        user_defined_symbols=["<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>"],
        minloglevel=2,
    )
    write_config(folder, tokenizer_class="XLNetTokenizer")
    return str(folder)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the original release's fixtures and the public data sets; the test is skipped without it."""
    here = os.environ.get("XTREMEDISTIL_SHARED") or Path(__file__).resolve().parents[1] / ".." / "shared"
    if not Path(here, "fixtures", "original-release").is_dir():
        pytest.skip("the shared fixtures are not here; set XTREMEDISTIL_SHARED to their folder")
    return Path(here)


@pytest.fixture
def public_folder(shared_data, tmp_path):
    """Makes the folder of a public vocabulary with the configuration that its release had."""

    def make(name: str) -> str:
        for path in (shared_data / "data" / "vocabs" / name).iterdir():
            shutil.copyfile(path, tmp_path / path.name)
        write_config(tmp_path, **PUBLIC_CONFIGS[name])
        return str(tmp_path)

    return make


@pytest.fixture
def write_file(tmp_path):
    """Writes text or bytes to a file below the test's folder; returns its path as text."""

    def write(name: str, content: str | bytes) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def write_config(folder: Path, **values) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(values), encoding="utf-8")


pytest_plugins = ["tests.model_fixtures", "tests.command_fixtures"]
