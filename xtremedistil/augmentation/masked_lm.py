"""Loads masked language models, encoders with their pre-training head, to predict masked words."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import transformers

from xtremedistil.augmentation.masked_lm_words import CANDIDATES, BestTokens, MaskedWords, replaceable
from xtremedistil.data.features import Features
from xtremedistil.data.padding import INPUT_NAMES, length_order, longest, pad_rows
from xtremedistil.errors import InputError
from xtremedistil.models.architectures.families import AUTO, Family, find_family
from xtremedistil.models.architectures.shapes import encoder_shape
from xtremedistil.models.checkpoints.pretrained import load_all, read_config
from xtremedistil.tokenization.tokenizer import Tokenizer

SCORES_AT_A_TIME = 2**26  # logits per batch, 4 bytes each: one for each position and token of the vocabulary


def open_masked_lm(checkpoint: str) -> MaskedWords:
    """Loads the masked language model of a folder or hub name, with its own tokenizer.

    Raises:
        InputError: files are missing or damaged, its family does not predict masked tokens, or it lacks the head.
    """
    config = read_config(checkpoint)
    family = find_family(AUTO, config["model_type"])
    shape = encoder_shape(
        _hf_config(family, config).to_dict(), checkpoint
    )  # includes defaults that config.json leaves out
    tokenizer = Tokenizer.load(checkpoint)
    _check_tokenizer(checkpoint, tokenizer, shape.vocab_size)
    model = load_masked_lm(checkpoint, family, config)
    whole_words = replaceable(tokenizer.whole_words())
    words = np.zeros(shape.vocab_size, bool)
    words[[piece for piece, word in enumerate(whole_words) if word is not None]] = True
    return MaskedWords(tokenizer, whole_words, shape.positions, best_tokens(model, family, words, tokenizer.pad_id))


def load_masked_lm(checkpoint: str, family: Family, config: dict):
    """Loads Hugging Face's TensorFlow model with all its weights; the head shares the word embeddings.

    Raises:
        InputError: the family has no such head, or the checkpoint lacks a weight of the model.
    """
    if not family.can_be_student:  # these are the bidirectional families
        raise InputError(
            f"{checkpoint}: a {family.model_type} does not predict masked tokens. Take a BERT-like checkpoint."
        )
    model_class = getattr(transformers, f"{family.class_name.removesuffix('Model')}ForMaskedLM")
    model = model_class(_hf_config(family, config), name="masked_lm")
    model.build_in_name_scope()
    try:
        load_all(model, checkpoint)
    except InputError as error:
        raise InputError(
            f"{checkpoint} cannot be read as a masked language model, an encoder with its pre-training head "
            f"(...ForMaskedLM, ...ForPreTraining):\n{error}"
        ) from error
    return model


def _hf_config(family: Family, config: dict):
    return getattr(transformers, family.config_class_name).from_dict(dict(config))


def _check_tokenizer(checkpoint: str, tokenizer: Tokenizer, vocab_size: int) -> None:
    if tokenizer.mask_id is None:
        raise InputError(f"The tokenizer of {checkpoint} has no mask token, so no word can be masked. Take another.")
    if tokenizer.size > vocab_size:
        raise InputError(
            f"The tokenizer of {checkpoint} has {tokenizer.size} tokens, its config.json says vocab_size {vocab_size}. "
            "The two belong to different models."
        )


def best_tokens(model, family: Family, words: np.ndarray, pad_id: int, candidates: int = CANDIDATES) -> BestTokens:
    """Returns a function from rows with one masked token to the best tokens for it.

    Args:
        model: returned by `load_masked_lm`. words: bool [V], the tokens that may be predicted.
    """
    barred = tf.constant(np.where(words, 0.0, -np.inf), tf.float32)
    count = min(candidates, int(words.sum()))

    @tf.function(
        input_signature=[
            {name: tf.TensorSpec([None, None], tf.int32) for name in INPUT_NAMES},
            tf.TensorSpec([None], tf.int32),
        ]
    )
    def graph(inputs, masks):
        fed = {name: inputs[name] for name in INPUT_NAMES if name != "token_type_ids" or family.takes_token_types}
        scores = tf.gather(model(fed, training=False).logits, masks, batch_dims=1)
        return tf.math.top_k(scores + barred, count).indices

    def best(rows: Sequence[np.ndarray], masks: Sequence[int]) -> np.ndarray:
        features, masks = Features.from_rows(rows), np.array(masks, np.int32)
        found = np.empty((len(rows), count), np.int32)
        batch_size = max(1, SCORES_AT_A_TIME // (len(words) * int(features.lengths.max())))
        for batch in length_order(features.lengths, batch_size):
            inputs = pad_rows(features, batch, longest(features, batch), pad_id)
            found[batch] = graph({name: tf.constant(inputs[name]) for name in INPUT_NAMES}, tf.constant(masks[batch]))
        return found

    return best
