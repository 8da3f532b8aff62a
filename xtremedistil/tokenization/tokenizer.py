"""`Tokenizer`: encodes words and texts with a Hugging Face tokenizer."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain, islice

import numpy as np

from xtremedistil.data.features import offsets_of, slice_index
from xtremedistil.errors import InputError
from xtremedistil.storage.checksums import vouched_file
from xtremedistil.storage.files import atomic_file
from xtremedistil.tokenization.file_checks import check_backend, is_failure
from xtremedistil.tokenization.loading import check_source, first_line, refuse_transfo_xl, why_not_loaded
from xtremedistil.tokenization.serving_tokenizer import FastTokenizer

TEXTS_PER_CALL = 20_000
TEXTS_PER_SEQUENCE = 1_000
MOST_THREADS = 64
LONGEST_BLANK_RUN = 64
BLANK_MARKS = ("▁",)
BEFORE = "."  # any word put first, so that the next one has a space before it
VISIBLE = frozenset(map(chr, range(ord("!"), ord("~") + 1)))

# Tokenizers differ on these: case, accents, compatibility forms, Chinese, contractions, numbers, special spaces.
PROBES = (
    "The QUICK brown fox, 12,345.67 km; don't! naïve ÉCOLE straße İstanbul",
    "ﬁne ½ Ｆｕｌｌ 中文字 カタカナ العربية русский 😀",
    " two  spaces\u00a0and\u200ba \u0301 `` '' [MASK] <mask>",
)


Words = Sequence[str]
Pieces = list[list[int]]


class Tokenizer:
    """Turns words and texts into token ids.

    Fields:
        name: what it was loaded from. size: number of tokens, added tokens included.
        pad_id: id of padding; attention masks are explicit everywhere, so any id would do.
        start_ids, end_ids: special tokens around a tagged sentence; empty if the tokenizer has none.
        mask_token, mask_id: the mask token; None if the tokenizer has none.
        unk_id: id of the unknown token; None if the tokenizer has none.
    """

    def __init__(self, name: str, hugging_face):
        self.name = name
        self._hf = hugging_face
        # Hugging Face's classes change their state (truncation) with every call, so threads take turns.
        self._turn = contextlib.nullcontext() if isinstance(hugging_face, FastTokenizer) else threading.RLock()
        self.size: int = len(hugging_face)
        self.pad_id: int = next((i for i in (hugging_face.pad_token_id, hugging_face.eos_token_id) if i is not None), 0)
        start, end = _surrounding(hugging_face)
        self.start_ids: list[int] = [] if start is None else [hugging_face.convert_tokens_to_ids(start)]
        self.end_ids: list[int] = [] if end is None else [hugging_face.convert_tokens_to_ids(end)]
        unknown = hugging_face.special_tokens_map.get("unk_token")
        self.unk_id: int | None = None if unknown is None else hugging_face.convert_tokens_to_ids(unknown)
        self.mask_token: str | None = hugging_face.special_tokens_map.get("mask_token")
        self.mask_id = None if self.mask_token is None else hugging_face.convert_tokens_to_ids(self.mask_token)

    @classmethod
    def load(cls, source: str | os.PathLike) -> "Tokenizer":
        """Loads the tokenizer of a folder or of a model on the hub; runs no code from there and reads no pickle.

        Raises:
            MissingFileError: the folder does not exist. InputError: it holds no usable tokenizer.
        """
        source = os.fspath(source)
        check_source(source)
        # Hides "Token indices sequence length is longer than ...": we truncate or split sequences ourselves.
        logging.getLogger("transformers.tokenization_utils_base").setLevel(logging.ERROR)
        from transformers import AutoTokenizer

        try:
            loaded = AutoTokenizer.from_pretrained(source, use_fast=True, trust_remote_code=False, verbose=False)
        except BaseException as error:  # the tokenizers package raises bare Exception for damaged files, and panics
            if not is_failure(error):
                raise
            raise InputError(why_not_loaded(source, error)) from error
        refuse_transfo_xl(source, type(loaded).__name__)
        if loaded.is_fast:
            check_backend(loaded.backend_tokenizer, source)
        return cls(source, loaded)

    @classmethod
    def load_saved(cls, folder: str) -> "Tokenizer":
        """Loads the tokenizer that `save` wrote; needs transformers only for kinds without a fast form (CTRL, XLM).

        Raises:
            InputError: the folder holds no tokenizer, or a damaged one.
        """
        return cls(folder, FastTokenizer(folder)) if FastTokenizer.is_in(folder) else cls.load(folder)

    @cached_property
    def special_ids(self) -> list[int]:
        """Ids of all special tokens: start, end, padding, mask, unknown, and any others of the tokenizer."""
        values = self._hf.special_tokens_map.values()
        tokens = chain.from_iterable([value] if isinstance(value, str) else value for value in values)
        return sorted({self._hf.convert_tokens_to_ids(token) for token in tokens} - {None})

    def special_tokens(self) -> tuple[str, str, str]:
        """Returns (pad, end, start), which the original release uses as labels: pad, sep or eos, cls or bos."""
        start, end = _surrounding(self._hf)
        return self._hf.pad_token or "[PAD]", end or "[SEP]", start or "[CLS]"

    def encode_words(self, sentences: Sequence[Words]) -> list[Pieces]:
        """Returns the token ids of each word of each sentence, without special tokens; see `encode_flat`."""
        ids, counts = self.encode_flat(sentences)
        pieces = iter(_split(ids, counts))
        return [list(islice(pieces, len(words))) for words in sentences]

    def encode_flat(self, sentences: Sequence[Words]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the token ids of all words of all sentences, int32 [P], and the number of tokens per word, int64 [W].

        The original release tokenizes the first 1, 2, ... words joined by spaces and gives each word the tokens that it
        adds. This gives the same tokens in linear time, by tokenizing each distinct word once; words after the first
        are tokenized with the space before them, which matters to byte-level BPE. One difference: a word whose tokens
        the original gives to a blank word before it keeps them here.
        """
        with self._turn:
            return self._encode_flat(sentences)

    def _encode_flat(self, sentences: Sequence[Words]) -> tuple[np.ndarray, np.ndarray]:
        texts, row_of = _distinct_texts(sentences, self._ignores_space)
        ids, counts = self._flat_ids(texts)
        blank = self._blank_texts(texts, ids, counts)
        if blank.any():
            corrected = self._corrections(sentences, blank[row_of])
            row_of[list(corrected)] = np.arange(len(corrected)) + len(counts)
            ids = np.concatenate([ids, np.fromiter(chain.from_iterable(corrected.values()), np.int32)])
            counts = np.concatenate([counts, np.array(list(map(len, corrected.values())), np.int64)])
        chosen = counts[row_of]
        return ids[slice_index(offsets_of(counts)[row_of], chosen)], chosen

    @cached_property
    def _ignores_space(self) -> bool:
        """Whether words have the same tokens with and without a space before them, found by trying some."""
        words = [*(f"{character}a" for character in VISIBLE), *map(str.strip, self._hf.get_added_vocab())]
        return self._ids(words) == self._ids([f" {word}" for word in words])

    def _flat_ids(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the token ids of all texts, and how many each has."""
        ids, counts = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
        for block in _blocks(texts):
            for some_ids, some_counts in self._flat_batch(block):
                ids.append(np.array(some_ids, np.int32))
                counts.append(np.array(some_counts, np.int64))
        return np.concatenate(ids), np.concatenate(counts)

    def _flat_batch(self, texts: Sequence[str]) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
        if not self._hf.is_fast:
            rows = self._ids(list(texts))
            yield list(chain.from_iterable(rows)), [len(row) for row in rows]
            return
        self._ids([""])  # resets the truncation that an earlier call may have left in the backend
        # Each text is passed as a "word" of a sentence: it is tokenized alone, without the overhead of a call per text.
        # Threads share the sentences, so these must not be few and long.
        size = min(TEXTS_PER_SEQUENCE, -(-len(texts) // MOST_THREADS))
        calls = [texts[start : start + size] for start in range(0, len(texts), size)]
        encodings = self._hf.backend_tokenizer.encode_batch(calls, is_pretokenized=True, add_special_tokens=False)
        for call, encoding in zip(calls, encodings, strict=True):
            yield encoding.ids, np.bincount(np.array(encoding.word_ids, np.int64), minlength=len(call))

    def _ids(self, texts: list[str]) -> list[list[int]]:
        encoding = self._hf(
            texts, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False
        )
        return encoding["input_ids"]

    def _blank_texts(self, texts: list[str], ids: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Marks texts whose tokens depend on their neighbours: those without visible tokens, or with outer spaces."""
        marks = [self._hf.convert_tokens_to_ids(mark) for mark in BLANK_MARKS]
        visible = np.concatenate([[0], np.cumsum(np.isin(ids, marks, invert=True))])
        offsets = offsets_of(counts)
        loose = np.fromiter(map(_loose, texts), bool, len(texts))
        return loose | (visible[offsets[1:]] == visible[offsets[:-1]])

    def _corrections(self, sentences: Sequence[Words], blank: np.ndarray) -> dict[int, list[int]]:
        """Returns tokens of the words that blank words beside them change; words are numbered over all sentences."""
        starts = offsets_of([len(words) for words in sentences])
        runs = [
            (int(starts[number]), sentences[number], run)
            for number in np.unique(np.searchsorted(starts, np.flatnonzero(blank), side="right") - 1).tolist()
            for run in _runs(blank[starts[number] : starts[number + 1]].tolist())
        ]
        prefixes = [_prefixes(words, run) for _, words, run in runs]
        texts = list(dict.fromkeys(chain.from_iterable(prefixes)))
        table = dict(zip(texts, _split(*self._flat_ids(texts)), strict=True))
        corrected: dict[int, list[int]] = {}
        for (start, words, run), texts in zip(runs, prefixes, strict=True):
            pieces = _corrected(words, run, [table[text] for text in texts])
            corrected.update((start + word, own) for word, own in pieces.items())
        return corrected

    def encode_texts(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None, max_length: int
    ) -> list[tuple[list[int], list[int]]]:
        """Returns (input_ids, token_type_ids) of each text or pair, with special tokens; truncates the longer first.

        Args:
            max_length: maximum number of tokens, special tokens included.

        Raises:
            InputError: texts are pairs and the tokenizer has no separator; or there is no room for any token.
        """
        if text_pairs is not None and self._hf.sep_token is None:
            raise InputError(
                f"{self.name} has no separator token, so its model cannot tell the two texts of a pair apart.\n"
                "Take a teacher whose tokenizer has one (BERT, RoBERTa, ELECTRA, XLNet, ...)."
            )
        self._check_room(max_length, self._hf.num_special_tokens_to_add(pair=text_pairs is not None))
        rows: list[tuple[list[int], list[int]]] = []
        for block in _blocks(range(len(texts))):
            with self._turn:
                pairs = text_pairs and [text_pairs[i] for i in block]
                rows += self._rows([texts[i] for i in block], pairs, max_length)
        return rows

    def _rows(self, texts: list[str], pairs: list[str] | None, max_length: int) -> Iterator:
        encoding = self._hf(
            texts, pairs or None, truncation="longest_first", max_length=max_length, padding=False, verbose=False
        )
        ids = [row or [self.pad_id] for row in encoding["input_ids"]]  # models cannot run on empty rows
        types = encoding.get("token_type_ids") or [[0] * len(row) for row in ids]
        return zip(ids, (row or [0] for row in types), strict=True)

    def room(self, seq_len: int) -> int:
        """Returns how many tokens of a tagged sentence fit into a row beside special tokens.

        Raises:
            InputError: none fits.
        """
        special = len(self.start_ids) + len(self.end_ids)
        self._check_room(seq_len, special)
        return seq_len - special

    def _check_room(self, seq_len: int, special: int) -> None:
        if seq_len <= special:
            raise InputError(
                f"`seq_len` {seq_len}: {self.name} puts {special} special tokens into each row, which leaves no room "
                f"for text. Give {special + 1} or more."
            )

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Returns tokens as text, special tokens too."""
        return self._hf.convert_ids_to_tokens([int(i) for i in ids])

    def pieces(self) -> dict[str, int]:
        """Returns the id of each token, special tokens too."""
        return self._hf.get_vocab()

    def whole_words(self) -> list[str | None]:
        """Returns, by token id, the word that the token alone makes after another word; None for special tokens and for
        tokens that are only parts of words. Needs a tokenizer from `load`."""
        texts = self._hf.batch_decode([[i] for i in range(self.size)], clean_up_tokenization_spaces=False)
        words = [text.strip() for text in texts]
        pieces = [sentence[1] for sentence in self.encode_words([[BEFORE, word] for word in words])]
        special = set(self._hf.all_special_ids)
        return [word if pieces[i] == [i] and i not in special else None for i, word in enumerate(words)]

    def save(self, folder: str | os.PathLike, *, vouched: bool = False) -> None:
        """Writes the files that `load` needs into `folder`, each of them whole or not at all.

        Args:
            vouched: record their checksums there.

        Raises:
            InputError: the files cannot be written.
        """
        try:
            os.makedirs(folder, exist_ok=True)
            with tempfile.TemporaryDirectory() as written:
                self._hf.save_pretrained(written)
                for name in sorted(os.listdir(written)):
                    _put(os.path.join(written, name), os.path.join(folder, name), vouched)
        except Exception as error:  # the tokenizers package raises bare Exception
            raise InputError(f"The tokenizer cannot be written to {folder} ({first_line(error)}).") from error

    def fingerprint(self) -> str:
        """Returns the sha256 over vocabulary, special tokens, and token ids of a few texts.

        It depends on what the tokenizer does, not on its files: a tokenizer has the same fingerprint once it is saved.
        """
        vocabulary = sorted(self._hf.get_vocab().items(), key=lambda entry: (entry[1], entry[0]))
        special = sorted((name, str(token)) for name, token in self._hf.special_tokens_map.items())
        state = [vocabulary, special, self._ids(list(PROBES)), self.start_ids, self.end_ids]
        return hashlib.sha256(json.dumps(state).encode()).hexdigest()


def _put(source: str, target: str, vouched: bool) -> None:
    with open(source, "rb") as written, (vouched_file if vouched else atomic_file)(target, "wb") as file:
        shutil.copyfileobj(written, file)


def _surrounding(hugging_face) -> tuple[str | None, str | None]:
    if hugging_face.cls_token and hugging_face.sep_token:
        return hugging_face.cls_token, hugging_face.sep_token
    if hugging_face.bos_token and hugging_face.eos_token:
        return hugging_face.bos_token, hugging_face.eos_token
    return None, None


def _distinct_texts(sentences: Sequence[Words], ignores_space: bool) -> tuple[list[str], np.ndarray]:
    """Returns the distinct words, with a space before them unless they begin a sentence, and the index of each word.

    Args:
        ignores_space: first words also get a space, unless a normalizer might turn their first character into one.
    """
    flat = list(chain.from_iterable(sentences))
    words = list(dict.fromkeys(flat))
    numbers = {word: 2 * number for number, word in enumerate(words)}
    keys = np.fromiter(map(numbers.__getitem__, flat), np.int64, len(flat))
    lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
    firsts = offsets_of(lengths)[:-1][lengths > 0].tolist()
    keys[[first for first in firsts if not (ignores_space and flat[first][:1] in VISIBLE)]] += 1  # odd: no space
    used = np.zeros(2 * len(words), bool)
    used[keys] = True
    texts = [words[key // 2] if key % 2 else f" {words[key // 2]}" for key in np.flatnonzero(used).tolist()]
    return texts, (np.cumsum(used) - 1)[keys]


def _split(ids: np.ndarray, counts: np.ndarray) -> list[list[int]]:
    flat, offsets = ids.tolist(), offsets_of(counts).tolist()
    return [flat[start:stop] for start, stop in zip(offsets, offsets[1:], strict=False)]


def _loose(text: str) -> bool:
    word = text.removeprefix(" ")
    return not word or word != word.strip()


def _runs(blank: list[bool]) -> Iterator[range]:
    """Yields runs of blank words, but not very long ones, since correcting a run takes quadratic time."""
    start = None
    for number, is_blank in enumerate([*blank, False]):
        if is_blank and start is None:
            start = number
        elif not is_blank and start is not None:
            if number - start <= LONGEST_BLANK_RUN:
                yield range(start, number)
            start = None


def _prefixes(words: Words, run: range) -> list[str]:
    """Returns the text from the word before a run up to each of the following words, the one after the run included."""
    local = words[max(run.start - 1, 0) : run.stop + 1]
    return [" ".join(local[:count]) for count in range(1, len(local) + 1)]


def _corrected(words: Words, run: range, ids: list[list[int]]) -> dict[int, list[int]]:
    """Returns the tokens of the words of a run and of the one after it, from the token ids of `_prefixes`."""
    first, last = max(run.start - 1, 0), min(run.stop, len(words) - 1)
    covered = len(ids[0]) if run.start else 0
    pieces = {}
    for word in range(run.start, last + 1):
        count = max(covered, len(ids[word - first]))
        pieces[word] = ids[-1][covered:count]
        covered = count
    if last not in run and not pieces[last]:
        pieces[last] = [piece for word in run for piece in pieces[word]]
        pieces.update((word, []) for word in run)
    return pieces


def _blocks(items: Sequence) -> Iterator[Sequence]:
    return (items[start : start + TEXTS_PER_CALL] for start in range(0, len(items), TEXTS_PER_CALL))
