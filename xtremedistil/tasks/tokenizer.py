"""`Tokenizer`: the few things we ask of a Hugging Face tokenizer."""

import hashlib
import importlib.util
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence

from xtremedistil.errors import InputError, MissingFileError

VOCABULARY_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
)
OPTIONAL_PACKAGES = ("sentencepiece", "sacremoses")
TEXTS_PER_CALL = 20_000
LONGEST_BLANK_RUN = 64
BLANK_MARKS = {"▁"}
# Shows lower-casing, accents, compatibility forms, Chinese, contractions, numbers, rare characters and special spaces.
PROBES = (
    "The QUICK brown fox, 12,345.67 km; don't! naïve ÉCOLE straße İstanbul",
    "ﬁne ½ Ｆｕｌｌ 中文字 カタカナ العربية русский 😀",
    " two  spaces\u00a0and\u200ba \u0301 `` '' [MASK] <mask>",
)

Words = Sequence[str]
Pieces = list[list[int]]


class Tokenizer:
    """Turns words and texts into piece ids.

    Fields:
        name: what it was loaded from. size: pieces, added ones included.
        pad_id: fills rows; attention masks are explicit everywhere, so that any number would do.
        start_ids, end_ids: special pieces around a tagged sentence; empty if the tokenizer has none.
    """

    def __init__(self, name: str, hugging_face):
        self.name = name
        self._hf = hugging_face
        self.size: int = len(hugging_face)
        self.pad_id: int = next((i for i in (hugging_face.pad_token_id, hugging_face.eos_token_id) if i is not None), 0)
        start, end = _surrounding(hugging_face)
        self.start_ids: list[int] = [] if start is None else [hugging_face.convert_tokens_to_ids(start)]
        self.end_ids: list[int] = [] if end is None else [hugging_face.convert_tokens_to_ids(end)]

    @classmethod
    def load(cls, source: str | os.PathLike) -> "Tokenizer":
        """The tokenizer of a folder or of a model on the hub. Runs no code of it and reads no pickle.

        Raises:
            MissingFileError: the folder does not exist. InputError: it holds no tokenizer, or one that cannot be used.
        """
        source = os.fspath(source)
        _check_source(source)
        # "Token indices sequence length is longer than ...": rows are cut or windowed by us.
        logging.getLogger("transformers.tokenization_utils_base").setLevel(logging.ERROR)
        from transformers import AutoTokenizer

        try:
            loaded = AutoTokenizer.from_pretrained(source, use_fast=True, trust_remote_code=False, verbose=False)
        except Exception as error:  # the tokenizers package raises bare Exception for damaged files
            raise InputError(_why_not_loaded(source, error)) from error
        _refuse_transfo_xl(source, type(loaded).__name__)
        return cls(source, loaded)

    def special_tokens(self) -> tuple[str, str, str]:
        """(pad, end, start) by the names that the original release made labels of: pad, sep or eos, cls or bos."""
        start, end = _surrounding(self._hf)
        return self._hf.pad_token or "[PAD]", end or "[SEP]", start or "[CLS]"

    def encode_words(self, sentences: Sequence[Words]) -> list[Pieces]:
        """Piece ids of each word of each sentence, without special pieces.

        The same as tokenising the first 1, 2, ... words joined by spaces and giving each word the pieces that it adds,
        as the original did, but in linear time: each distinct word is tokenised once. A later word is tokenised with
        the space before it, which byte-level BPE sees and the others do not. One difference: a word that gets nothing
        because a blank word before it took its pieces has them back.
        """
        table = self._table({text for words in sentences for text in _with_spaces(words)})
        blank = self._blank_texts(table)
        encoded = [[table[text] for text in _with_spaces(words)] for words in sentences]
        runs = [
            (pieces, words, run)
            for pieces, words in zip(encoded, sentences, strict=True)
            if blank
            for run in _runs(words, blank)
        ]
        self._correct_runs(runs)
        return encoded

    def _table(self, texts: Iterable[str]) -> dict[str, list[int]]:
        texts = list(texts)
        table = {}
        for block in _blocks(texts):
            table.update(zip(block, self._ids(block), strict=True))
        return table

    def _ids(self, texts: list[str]) -> list[list[int]]:
        encoding = self._hf(
            texts, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False
        )
        return encoding["input_ids"]

    def _blank_texts(self, table: dict[str, list[int]]) -> set[str]:
        """Texts whose pieces depend on their neighbours: nothing visible in them, or space at an end."""
        marks = {self._hf.convert_tokens_to_ids(mark) for mark in BLANK_MARKS}
        return {text for text, ids in table.items() if _loose(text.removeprefix(" ")) or marks.issuperset(ids)}

    def _correct_runs(self, runs: list[tuple[Pieces, Words, range]]) -> None:
        """Tokenises blank words again together with the words at both sides."""
        prefixes = [_prefixes(words, run) for _, words, run in runs]
        table = self._table({text for texts in prefixes for text in texts})
        for (pieces, words, run), texts in zip(runs, prefixes, strict=True):
            ids = [table[text] for text in texts]
            first = max(run.start - 1, 0)
            covered = len(ids[0]) if run.start else 0
            changed = range(run.start, min(run.stop + 1, len(words)))
            for word in changed:
                count = max(covered, len(ids[word - first]))
                pieces[word] = ids[-1][covered:count]
                covered = count
            last = changed[-1]
            if last not in run and not pieces[last]:
                pieces[last] = [piece for word in run for piece in pieces[word]]
                for word in run:
                    pieces[word] = []

    def encode_texts(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None, max_length: int
    ) -> list[tuple[list[int], list[int]]]:
        """(input_ids, token_type_ids) of each text or pair with its special pieces, the longer text cut first.

        Args:
            max_length: most pieces of a row, special ones counted.

        Raises:
            InputError: pairs, but no separator to put between them; or no room for any piece.
        """
        if text_pairs is not None and self._hf.sep_token is None:
            raise InputError(
                f"{self.name} has no separator piece, so its model cannot tell the two texts of a pair apart.\n"
                "Take a teacher whose tokenizer has one (BERT, RoBERTa, ELECTRA, XLNet, ...)."
            )
        self._check_room(max_length, self._hf.num_special_tokens_to_add(pair=text_pairs is not None))
        rows: list[tuple[list[int], list[int]]] = []
        for block in _blocks(range(len(texts))):
            rows += self._rows([texts[i] for i in block], text_pairs and [text_pairs[i] for i in block], max_length)
        return rows

    def _rows(self, texts: list[str], pairs: list[str] | None, max_length: int) -> Iterator:
        encoding = self._hf(
            texts, pairs or None, truncation="longest_first", max_length=max_length, padding=False, verbose=False
        )
        ids = [row or [self.pad_id] for row in encoding["input_ids"]]  # a row without any position cannot be computed
        types = encoding.get("token_type_ids") or [[0] * len(row) for row in ids]
        return zip(ids, (row or [0] for row in types), strict=True)

    def room(self, seq_len: int) -> int:
        """Pieces of a tagged sentence that fit into a row beside its special pieces.

        Raises:
            InputError: none fits.
        """
        special = len(self.start_ids) + len(self.end_ids)
        self._check_room(seq_len, special)
        return seq_len - special

    def _check_room(self, seq_len: int, special: int) -> None:
        if seq_len <= special:
            raise InputError(
                f"--seq_len {seq_len}: {self.name} puts {special} special pieces into each row, which leaves no room "
                f"for text. Give {special + 1} or more."
            )

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """The pieces as text, special ones too."""
        return self._hf.convert_ids_to_tokens([int(i) for i in ids])

    def save(self, folder: str | os.PathLike) -> None:
        """Writes the files that `load` needs into `folder`."""
        self._hf.save_pretrained(os.fspath(folder))

    def fingerprint(self) -> str:
        """sha256 over vocabulary, special pieces and what a few telling texts become.

        Made of what the tokenizer does, not of its files: a folder loaded from and one saved to give the same.
        """
        vocabulary = sorted(self._hf.get_vocab().items(), key=lambda entry: (entry[1], entry[0]))
        special = sorted((name, str(token)) for name, token in self._hf.special_tokens_map.items())
        state = [vocabulary, special, self._ids(list(PROBES)), self.start_ids, self.end_ids]
        return hashlib.sha256(json.dumps(state).encode()).hexdigest()


def _surrounding(hugging_face) -> tuple[str | None, str | None]:
    if hugging_face.cls_token and hugging_face.sep_token:
        return hugging_face.cls_token, hugging_face.sep_token
    if hugging_face.bos_token and hugging_face.eos_token:
        return hugging_face.bos_token, hugging_face.eos_token
    return None, None


def _with_spaces(words: Words) -> list[str]:
    return [f" {word}" if number else word for number, word in enumerate(words)]


def _loose(word: str) -> bool:
    return not word or word[0].isspace() or word[-1].isspace()


def _runs(words: Words, blank: set[str]) -> Iterator[range]:
    """Where blank words follow each other. Very long runs are left as they are: correcting one costs its square."""
    start = None
    for number, text in enumerate([*_with_spaces(words), None]):
        if text in blank and start is None:
            start = number
        elif text not in blank and start is not None:
            if number - start <= LONGEST_BLANK_RUN:
                yield range(start, number)
            start = None


def _prefixes(words: Words, run: range) -> list[str]:
    """The word before the run, and so on word by word up to the one after it."""
    local = words[max(run.start - 1, 0) : run.stop + 1]
    return [" ".join(local[:count]) for count in range(1, len(local) + 1)]


def _blocks(items: Sequence) -> Iterator[Sequence]:
    return (items[start : start + TEXTS_PER_CALL] for start in range(0, len(items), TEXTS_PER_CALL))


def _check_source(source: str) -> None:
    if not os.path.isdir(source):
        if os.path.exists(source):
            raise InputError(f"{source} is a file; the folder of a tokenizer, or a hub name, is expected.")
        if source.count("/") > 1 or source.startswith((".", "/", "~")):
            raise MissingFileError(f"There is no folder {source} to load a tokenizer from.")
        return
    if not any(os.path.isfile(os.path.join(source, name)) for name in VOCABULARY_FILES):
        raise InputError(f"{source} holds no tokenizer. One of these is looked for: {', '.join(VOCABULARY_FILES)}.")
    for name in ("config.json", "tokenizer_config.json"):
        saved = _read_json(os.path.join(source, name))
        _refuse_transfo_xl(source, f"{saved.get('tokenizer_class')} {saved.get('model_type')}")


def _read_json(path: str) -> dict:
    if not os.path.isfile(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}).") from error
    return value if isinstance(value, dict) else {}


def _refuse_transfo_xl(source: str, kind: str) -> None:
    if "transfoxl" in kind.lower().replace("-", ""):
        raise InputError(f"{source}: the vocabulary of Transformer-XL is a pickle, which is not loaded. Take another.")


def _why_not_loaded(source: str, error: Exception) -> str:
    for package in OPTIONAL_PACKAGES:
        if package in str(error).lower() and importlib.util.find_spec(package) is None:
            return f"The tokenizer of {source} needs the package {package}: pip install {package}"
    if not os.path.isdir(source):
        return f"{source} is neither a folder here nor a model that can be fetched from the hub ({_first_line(error)})"
    return (
        f"The tokenizer in {source} cannot be loaded ({_first_line(error)})\n"
        'Its kind is read from tokenizer_config.json ("tokenizer_class") or config.json ("model_type").'
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
