"""From texts to tokens in TensorFlow operations: WordPiece and SentencePiece as Hugging Face's tokenizers do them.

Axes: N texts, P tokens of a text.
"""

import base64
import re
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_text as tf_text
from sentencepiece import sentencepiece_model_pb2

from xtremedistil.export.saved_model.character_table import ITSELF, PAGE, CharacterTable

BLANK = "▁"

# SentencePiece adds scores up in float32, `tokenizers` in float64. On this grid sums up to 128 are exact in both, so
# that of two equally good ways to cut a word ("==" "=" or "=" "==") both packages take the same one.
SCORE_STEP = 2.0**-17
NORMAL, UNKNOWN = 1, 2  # types of tokens in a SentencePiece model


class Characters(tf.Module):
    """Texts with each character replaced as a table says."""

    def __init__(self, table: CharacterTable):
        super().__init__()
        self._pages, self._rows = tf.constant(table.pages), tf.constant(table.rows)
        self._values, self._splits = tf.constant(table.values), tf.constant(table.splits)

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """string [N] from string [N]; bytes that are no UTF-8 count as U+FFFD."""
        codes = tf.strings.unicode_decode(texts, "UTF-8")
        flat = codes.flat_values
        number = tf.gather_nd(self._rows, tf.stack([tf.gather(self._pages, flat // PAGE), flat % PAGE], axis=1))
        table = tf.RaggedTensor.from_row_splits(self._values, self._splits, validate=False)
        replaced = tf.gather(table, number)
        values = replaced.flat_values
        values = tf.where(values == ITSELF, tf.gather(flat, replaced.value_rowids()), values)
        return tf.strings.unicode_encode(codes.with_values(replaced.with_values(values)).merge_dims(1, 2), "UTF-8")


class WordPieces(tf.Module):
    """Bert's normalisation and splitting, then WordPiece.

    Args:
        characters: puts spaces between the words of a text.
        model: "model" of `tokenizer.json`.
    """

    def __init__(self, characters: Characters, model: dict):
        super().__init__()
        self._characters = characters
        self._unknown, self._longest = model["unk_token"], model["max_input_chars_per_word"]
        self._tokenizer = tf_text.FastWordpieceTokenizer(
            _listed(model["vocab"]),
            suffix_indicator=model["continuing_subword_prefix"],
            max_bytes_per_word=4 * self._longest,  # a character has up to 4
            token_out_type=tf.int32,
            unknown_token=self._unknown,
            no_pretokenization=True,
        )

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """int32 [N, (P)] from string [N]"""
        words = tf.strings.split(self._characters(texts))
        too_long = tf.strings.length(words.flat_values, "UTF8_CHAR") > self._longest
        words = words.with_flat_values(tf.where(too_long, self._unknown, words.flat_values))
        return self._tokenizer.tokenize(words).merge_dims(1, 2)


def _listed(vocabulary: dict[str, int]) -> list[str]:
    """Pieces by id; a number without a token gets one that no word can be."""
    pieces = [f" {number}" for number in range(max(vocabulary.values()) + 1)]
    for piece, number in vocabulary.items():
        pieces[number] = piece
    return pieces


class SentencePieces(tf.Module):
    """Normalisation, splitting at blanks, then SentencePiece's unigram model word by word.

    One difference: `tokenizers` drops loose marks that are the second behind a letter (decomposed Vietnamese) or stand
    behind a compatibility form; here they stay.

    Args:
        characters: what is done to single characters.
        model: "model" of `tokenizer.json`.
        charsmap: rules by which the model normalises what is left, as `tokenizer.json` has them; "": none.
        replacements: (text, replacement) that come before everything else, in this order.
        keeps_blanks: a blank at the end of a text is a token, too.
    """

    def __init__(
        self,
        characters: Characters,
        model: dict,
        charsmap: str,
        replacements: Sequence[tuple[str, str]],
        keeps_blanks: bool,
    ):
        super().__init__()
        self._characters = characters
        self._replacements = [(re.escape(old), new.replace("\\", r"\\")) for old, new in replacements]
        self._keeps_blanks = keeps_blanks
        self._tokenizer = tf_text.SentencepieceTokenizer(unigram_model(model, charsmap), out_type=tf.int32)

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """int32 [N, (P)] from string [N]"""
        for pattern, replacement in self._replacements:
            texts = tf.strings.regex_replace(texts, pattern, replacement)
        texts = self._characters(texts)
        words = _split_at_blanks(texts) if self._keeps_blanks else tf.strings.split(texts)
        words = words.with_flat_values(tf.strings.join([BLANK, words.flat_values]))
        return self._tokenizer.tokenize(words).merge_dims(1, 2)


def _split_at_blanks(texts: tf.Tensor) -> tf.RaggedTensor:
    """Words, each with the blank before it in mind: "a b " has "a", "b" and "", as has " a  b "; "" has none."""
    texts = tf.strings.regex_replace(texts, " +", " ")
    texts = tf.strings.regex_replace(texts, "^([^ ])", r" \1")
    return tf.strings.split(texts, " ")[:, 1:]


def unigram_model(model: dict, charsmap: str) -> bytes:
    """A SentencePiece model whose ids are those of `tokenizer.json`, and which adds no blanks of its own."""
    proto = sentencepiece_model_pb2.ModelProto()
    for number, (piece, score) in enumerate(model["vocab"]):
        kind = UNKNOWN if number == model["unk_id"] else NORMAL
        proto.pieces.add(piece=piece, score=round(score / SCORE_STEP) * SCORE_STEP, type=kind)
    proto.normalizer_spec.name = "identity"  # but for the rules, if there are any
    proto.normalizer_spec.precompiled_charsmap = base64.b64decode(charsmap)
    proto.normalizer_spec.add_dummy_prefix = False
    proto.normalizer_spec.remove_extra_whitespaces = False
    return proto.SerializeToString()
