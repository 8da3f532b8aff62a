"""Tiny models of Hugging Face and of Keras, rows for them, and settings of a fit, for the tests of `Distiller`."""

import numpy as np
import pytest

from tests.conftest import slow

tf = pytest.importorskip("tensorflow")
tf_keras = pytest.importorskip("tf_keras")
transformers = pytest.importorskip("transformers")


WORDS, LABELS = 40, 3
TASKS = ["SequenceClassification", "TokenClassification", "QuestionAnswering"]
# Where one kind of task tells most, the others are tried in the slow tests.
TAGGING_FIRST = ["TokenClassification", *slow("SequenceClassification", "QuestionAnswering")]
FIT = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "seed": 3}
ONE_STEP = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-9, "targets_precision": "float32"}


def bert(task: str, *, layers: int, width: int, seed: int, labels: int = LABELS, dropout: float = 0.0):
    tf_keras.utils.set_random_seed(seed)
    config = transformers.BertConfig(
        vocab_size=WORDS,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=16,
        num_labels=2 if task == "QuestionAnswering" else labels,
        initializer_range=0.5,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    model = getattr(transformers, f"TFBertFor{task}")(config)
    model(model.dummy_inputs)
    return model


def pair(task: str = "SequenceClassification"):
    return bert(task, layers=3, width=16, seed=1), bert(task, layers=2, width=8, seed=2)


def of_problem(problem_type: str, seed: int):
    labels = 1 if problem_type == "regression" else LABELS
    model = bert("SequenceClassification", layers=1, width=8, seed=seed, labels=labels)
    model.config.problem_type = problem_type
    return model


def recurrent(width: int = 6):
    inputs = {name: tf_keras.Input((None,), dtype=tf.int32, name=name) for name in ("input_ids", "attention_mask")}
    states = tf_keras.layers.Embedding(WORDS, width)(inputs["input_ids"])
    mask = tf_keras.layers.Lambda(lambda marks: marks > 0)(inputs["attention_mask"])
    top = tf_keras.layers.GRU(width, return_sequences=True)(states, mask=mask)
    return tf_keras.Model(inputs, [tf_keras.layers.Dense(LABELS)(top), states, top])


def explain(inputs, outputs):
    logits, embeddings, top = outputs
    return {"logits": logits, "hidden_states": [embeddings, top]}


def rows(count: int, seed: int = 0, **columns) -> dict:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, 9, count)
    ids = [generator.integers(1, WORDS, length).tolist() for length in lengths]
    return {"input_ids": ids} | columns


def padded(encoded: dict, width: int = 10) -> dict:
    ids = np.zeros((len(encoded["input_ids"]), width), np.int32)
    mask = np.zeros_like(ids)
    for row, values in enumerate(encoded["input_ids"]):
        ids[row, : len(values)], mask[row, : len(values)] = values, 1
    return {"input_ids": ids, "attention_mask": mask}


def in_two_pieces(words: list) -> tuple[dict, dict]:
    """Rows of one token a word behind a class token, and the same words cut in two: (whole, cut)."""
    count = len(words[0])
    whole = {"input_ids": [[1, *row] for row in words], "word_ids": [[None, *range(count)]] * len(words)}
    cut = {
        "input_ids": [[1, *(piece for word in row for piece in (word, 39))] for row in words],
        "word_ids": [[None, *np.repeat(range(count), 2).tolist()]] * len(words),
    }
    return whole, cut


def span_logits(model, batch: dict) -> tuple:
    outputs = model(batch)
    return outputs.start_logits.numpy(), outputs.end_logits.numpy()


def variable_named(model, name: str) -> np.ndarray:
    return next(variable.numpy() for variable in model.weights if variable.name == name)
