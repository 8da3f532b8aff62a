"""A Hugging Face tokenizer as TensorFlow operations: texts in, the same token ids out."""

import base64
import itertools
import json
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text
import tokenizers

from xtremedistil.data.text_files import shorten
from xtremedistil.errors import InputError
from xtremedistil.export.saved_model.character_table import character_table
from xtremedistil.export.saved_model.graph_tokens import BLANK, Characters, SentencePieces, WordPieces
from xtremedistil.storage.json_files import read_json
from xtremedistil.tokenization.serving_tokenizer import SETTINGS_FILE, FastTokenizer
from xtremedistil.tokenization.tokenizer import Tokenizer

TEXTS_PER_CALL = 10_000
SPACES = r"[\s\x{85}\p{Z}]*"
NUL, PRIVATE = r"\x00", "\U0010fffd"  # `regex_split` ends a text at NUL; no vocabulary has either
COMPOSES = "Precompiled"  # the one normaliser that puts letters and the accents behind them together
BY_CHARACTER = ("NFD", "NFKD", "StripAccents", "Lowercase", COMPOSES)
BORDER = "\x01"  # dropped by SentencePiece's rules
COLLAPSES = [{"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": content} for content in (" ", BLANK)]
STRIPS = {"type": "Strip", "strip_left": False, "strip_right": True}


class GraphTokenizer(tf.Module):
    """Texts as token ids, without the special tokens around them. B texts, P tokens of a text.

    Args:
        added_tokens: of `tokenizer.json`; they are found in the raw text, before anything is done to it.
        text_pieces: from texts without added tokens, string [N], to token ids, int32 [N, (P)].
    """

    def __init__(self, added_tokens: list[dict], text_pieces: WordPieces | SentencePieces):
        super().__init__()
        longest_first = sorted(added_tokens, key=lambda token: -len(token["content"]))
        self._added = [(_pattern(token), token["id"]) for token in longest_first]
        self._text_pieces = text_pieces

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """int32 [B, (P)] from string [B]"""
        texts = tf.strings.regex_replace(texts, NUL, PRIVATE)
        if not self._added:
            return self._text_pieces(texts)
        border = "|".join(pattern for pattern, _ in self._added)
        segments = tf_text.regex_split(texts, border, border)
        flat = segments.flat_values
        ids = tf.fill(tf.shape(flat), -1)
        for pattern, number in self._added:
            ids = tf.where(tf.strings.regex_full_match(flat, pattern), number, ids)
        is_added = ids >= 0
        pieces = self._text_pieces(tf.where(is_added, "", flat))
        pieces = tf.concat([tf.ragged.boolean_mask(ids[:, None], is_added[:, None]), pieces], axis=1)
        return segments.with_flat_values(pieces).merge_dims(1, 2)


def _pattern(token: dict) -> str:
    before, after = (SPACES if token[side] else "" for side in ("lstrip", "rstrip"))
    return before + re.escape(token["content"]) + after


@dataclass(frozen=True)
class Pipeline:
    """A tokenizer's parts.

    Fields:
        backend: of the `tokenizers` package, cutting and padding nothing. parts: its `tokenizer.json`.
        truncation_side: "right" or "left".
    """

    backend: tokenizers.Tokenizer
    parts: dict
    truncation_side: str


def read_pipeline(tokenizer: Tokenizer) -> Pipeline:
    """The parts of a tokenizer.

    Raises:
        InputError: it is written in Python (CTRL, XLM) and has no such parts.
    """
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder)
        if not FastTokenizer.is_in(folder):
            raise InputError("its tokenizer exists in Python only")
        backend = FastTokenizer(folder).backend_tokenizer
        settings = read_json(os.path.join(folder, SETTINGS_FILE))
    return Pipeline(backend, json.loads(backend.to_str()), settings.get("truncation_side", "right"))


def graph_tokenizer(pipeline: Pipeline) -> GraphTokenizer:
    """The pipeline as TensorFlow operations.

    Raises:
        InputError: tensorflow-text has no operations for it; says for which part.
    """
    kind, added = pipeline.parts["model"]["type"], pipeline.parts["added_tokens"]
    if kind not in ("WordPiece", "Unigram"):
        found = _described(pipeline.parts)
        raise InputError(f"its tokenizer is {found}, and tensorflow-text has WordPiece and SentencePiece")
    for token in added:
        _refuse_other_search(token, pipeline.backend.normalizer)
    return GraphTokenizer(added, _word_pieces(pipeline) if kind == "WordPiece" else _sentence_pieces(pipeline))


def _refuse_other_search(token: dict, normalizer) -> None:
    """Raises InputError unless an added token can be looked for in the raw text."""
    content = token["content"]
    stays = normalizer is None or (token["special"] and normalizer.normalize_str(content) == content)
    if token["single_word"] or (token["normalized"] and not stays):
        raise InputError(f"its added token '{shorten(content)}' is looked for in normalised text, or as a whole word")


def _described(parts: dict) -> str:
    before = parts["pre_tokenizer"] or {"type": "none"}
    return "byte-level BPE" if before["type"] == "ByteLevel" else parts["model"]["type"]


def _word_pieces(pipeline: Pipeline) -> WordPieces:
    backend, parts = pipeline.backend, pipeline.parts
    _expect("normalizer", parts["normalizer"], "BertNormalizer")
    _expect("pre_tokenizer", parts["pre_tokenizer"], "BertPreTokenizer")
    table = character_table(backend.normalizer.normalize_str, backend.pre_tokenizer)
    return WordPieces(Characters(table), parts["model"])


def _sentence_pieces(pipeline: Pipeline) -> SentencePieces:
    parts = pipeline.parts
    if parts["model"].get("byte_fallback"):
        raise InputError("its tokenizer falls back to bytes")
    splits = _splits_at_whitespace(parts["pre_tokenizer"])
    steps = _steps(parts["normalizer"], "normalizers")
    strips, collapses = STRIPS in steps[-2:], bool(steps) and steps[-1] in COLLAPSES
    if not splits and not collapses:
        raise InputError("its tokenizer counts repeated spaces")
    steps = steps[: len(steps) - strips - collapses]
    replacements = [(step["pattern"]["String"], step["content"]) for step in itertools.takewhile(_is_plain, steps)]
    normalize, charsmap = _normalization(pipeline.backend.normalizer, steps[len(replacements) :])
    table = character_table(normalize, tokenizers.pre_tokenizers.WhitespaceSplit() if splits else None)
    keeps_blanks = not splits and not strips
    return SentencePieces(Characters(table), parts["model"], charsmap, replacements, keeps_blanks)


def _normalization(normalizer, steps: list[dict]) -> tuple[Callable[[str], str], str]:
    """What is done to single characters, and the rules by which the SentencePiece model itself normalises the rest."""
    kinds = [step["type"] for step in steps]
    if kinds == [COMPOSES]:
        charsmap = steps[0]["precompiled_charsmap"]
        return _prepared(tokenizers.normalizers.Precompiled(base64.b64decode(charsmap)).normalize_str), charsmap
    if "StripAccents" in kinds and set(kinds) <= set(BY_CHARACTER):  # nothing is left to be put together
        return normalizer.normalize_str, ""
    raise InputError(f"its normalizer is {_types(steps)}, where {COMPOSES} or StripAccents can be done in a graph")


def _prepared(normalize: Callable[[str], str]) -> Callable[[str], str]:
    """What has to become of a character before SentencePiece normalises it: spaces, or nothing, if that is what it is.

    `tokenizers` puts a letter and a loose mark together up to 5 bytes only: not if both have 3. So these are kept apart
    here by a character that is dropped.
    """
    border = BORDER if normalize(BORDER) == "" else ""

    def prepare(character: str) -> str:
        normalized = normalize(character)
        if not normalized or any(map(str.isspace, normalized)):
            return normalized
        return border + character if len(character.encode()) >= 3 else character

    return prepare


def _is_plain(step: dict) -> bool:
    return step["type"] == "Replace" and "String" in step["pattern"]


def _splits_at_whitespace(pre_tokenizer: dict | None) -> bool:
    """Whether words are split at any whitespace before blanks are marked."""
    steps = _steps(pre_tokenizer, "pretokenizers")
    splits = bool(steps) and steps[0]["type"] == "WhitespaceSplit"
    marks = steps[splits:]
    expected = {"type": "Metaspace", "replacement": BLANK, "prepend_scheme": "always", "split": True}
    if marks != [expected]:
        raise InputError(f"its pre_tokenizer is {_types(steps)}, where Metaspace before each word is expected")
    return splits


def _steps(part: dict | None, name: str) -> list[dict]:
    if part is None:
        return []
    return list(part[name]) if part["type"] == "Sequence" else [part]


def _types(steps: list[dict]) -> str:
    return ", ".join(step["type"] for step in steps) or "none"


def _expect(name: str, part: dict | None, *types: str) -> None:
    found = "none" if part is None else part["type"]
    if found not in types:
        raise InputError(f"its {name} is {found}, where {' or '.join(types)} can be done in a graph")


def odd_sentences(
    pieces: Callable[[tf.Tensor], tf.RaggedTensor], tokenizer: Tokenizer, sentences: Sequence[Sequence[str]]
) -> list[int]:
    """Numbers of the sentences, given as words, that `tokens` cuts otherwise than the tokenizer."""
    ids, counts = tokenizer.encode_flat(sentences)
    words = [word if first == 0 else f" {word}" for sentence in sentences for first, word in enumerate(sentence)]
    expected = np.split(ids, np.cumsum(counts)[:-1])
    blocks = (words[start : start + TEXTS_PER_CALL] for start in range(0, len(words), TEXTS_PER_CALL))
    found = itertools.chain.from_iterable(pieces(tf.constant(block)).to_list() for block in blocks)
    numbers = np.repeat(np.arange(len(sentences)), [len(sentence) for sentence in sentences])
    rows = zip(numbers, expected, found, strict=False)
    return sorted({int(number) for number, row, other in rows if row.tolist() != other})
