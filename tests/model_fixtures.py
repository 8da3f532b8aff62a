"""Tiny checkpoints of every family (2 layers, 12 wide, 40 tokens) in PyTorch's safetensors layout, without torch."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.conftest import slow
from xtremedistil.data.features import Features
from xtremedistil.models.architectures.families import FAMILIES

USABLE = [name for name, family in FAMILIES.items() if not family.refused]
STUDENTS = [name for name, family in FAMILIES.items() if family.can_be_student]
# Families in the default suite, and the others in the slow one, for tests that take long for each.
BERT_FIRST = ["TFBertModel", *slow(*(name for name in STUDENTS if name != "TFBertModel"))]
BERT_AND_XLNET_FIRST = [name if name in ("TFBertModel", "TFXLNetModel") else slow(name)[0] for name in USABLE]
LAYERS, HEADS, HIDDEN, VOCABULARY = 2, 3, 12, 40
TOY_WORDS, TOY_LABELS = 20, 3

_BERT = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
_GPT = {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 32}
SIZES = {
    "TFBertModel": _BERT,
    "TFElectraModel": {**_BERT, "embedding_size": 8},
    "TFOpenAIGPTModel": _GPT,
    "TFGPT2Model": _GPT,
    "TFCTRLModel": {**_GPT, "dff": 24},
    "TFXLNetModel": {"d_model": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "d_inner": 24, "pad_token_id": 5},
    "TFXLMModel": {
        "emb_dim": HIDDEN,
        "n_layers": LAYERS,
        "n_heads": HEADS,
        "max_position_embeddings": 32,
        "pad_index": 2,
        "pad_token_id": 2,
    },
    "TFDistilBertModel": {
        "dim": HIDDEN,
        "n_layers": LAYERS,
        "n_heads": HEADS,
        "hidden_dim": 24,
        "max_position_embeddings": 32,
    },
    "TFRobertaModel": {**_BERT, "pad_token_id": 1, "type_vocab_size": 1},
    "TFXLMRobertaModel": {**_BERT, "pad_token_id": 1, "type_vocab_size": 1},
}


def tiny_config(class_name: str) -> dict:
    return {"model_type": FAMILIES[class_name].model_type, "vocab_size": VOCABULARY, **SIZES[class_name]}


def write_checkpoint(folder, config: dict, state: dict) -> str:
    """A checkpoint folder of `config.json` and `model.safetensors`."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def pytorch_state(encoder, prefix: str = "") -> dict[str, np.ndarray]:
    """An encoder's weights under PyTorch's names: kernels are [out, in] there."""
    from transformers.modeling_tf_pytorch_utils import convert_tf_weight_name_to_pt_weight_name

    state = {}
    for variable in encoder.weights:
        name, transpose = convert_tf_weight_name_to_pt_weight_name(variable.name, tf_weight_shape=variable.shape)
        array = variable.numpy() if transpose.value == "no" else variable.numpy().T
        state[prefix + name.removeprefix(f"{encoder.base_model_prefix}.")] = np.ascontiguousarray(array)
    return state


def shaken_encoder(class_name: str, seed: int = 7):
    """A tiny encoder whose every weight is random and matters: initial biases are all zero."""
    import tf_keras

    from xtremedistil.models.checkpoints.pretrained import new_encoder_from_config

    tf_keras.utils.set_random_seed(seed)
    encoder = new_encoder_from_config(tiny_config(class_name), FAMILIES[class_name], name="tf_model")
    generator = np.random.default_rng(seed)
    for variable in encoder.weights:
        variable.assign(variable.numpy() + 0.3 * generator.standard_normal(variable.shape).astype(np.float32))
    return encoder


def shaken_masked_lm(class_name: str, **changes):
    """The same with the head of a masked-language model."""
    import tf_keras
    import transformers

    tf_keras.utils.set_random_seed(7)
    config_class = getattr(transformers, FAMILIES[class_name].config_class_name)
    model_class = getattr(transformers, class_name.replace("Model", "ForMaskedLM"))
    model = model_class(config_class.from_dict(tiny_config(class_name) | changes), name="masked_lm")
    model.build_in_name_scope()
    generator = np.random.default_rng(7)
    for variable in model.weights:
        variable.assign_add(0.3 * generator.standard_normal(variable.shape).astype(np.float32))
    return model


def masked_lm_state(model) -> dict[str, np.ndarray]:
    """Its weights under PyTorch's names: those of the encoder have its prefix, those of the head none."""
    heads = ("cls.", "lm_head.", "vocab_", "generator_")
    state = pytorch_state(model).items()
    return {name if name.startswith(heads) else f"{model.base_model_prefix}.{name}": array for name, array in state}


def open_language_model(folder: str, class_name: str):
    """The model of a checkpoint with its head for words."""
    from xtremedistil.models.checkpoints.pretrained import load_encoder
    from xtremedistil.models.language_model.language_head import LanguageHead, head_state
    from xtremedistil.models.language_model.language_model import LanguageModel

    family = FAMILIES[class_name]
    encoder = load_encoder(folder, family, name="tf_model")
    head = LanguageHead(encoder, family)
    head.load(head_state(folder, family), folder)
    return LanguageModel(encoder, family, head)


@pytest.fixture(scope="session")
def tiny_encoders():
    """class name -> shaken encoder, made on first use; tests must not change it."""
    made = {}

    def make(class_name: str):
        if class_name not in made:
            made[class_name] = shaken_encoder(class_name)
        return made[class_name]

    return make


@pytest.fixture(scope="session")
def tiny_checkpoints(tiny_encoders, tmp_path_factory):
    """class name -> folder of a checkpoint with the weights of `tiny_encoders`."""
    root = tmp_path_factory.mktemp("checkpoints")

    def make(class_name: str) -> str:
        folder = root / class_name
        if not folder.exists():
            write_checkpoint(folder, tiny_config(class_name), pytorch_state(tiny_encoders(class_name)))
        return str(folder)

    return make


def rows(lengths=(5, 3), width: int = 5, pad_id: int = 0) -> dict[str, np.ndarray]:
    """Random rows of the three inputs, int32 [B, S]; the second half of each row is its second segment."""
    generator = np.random.default_rng(3)
    inputs = {name: np.zeros((len(lengths), width), np.int32) for name in ("attention_mask", "token_type_ids")}
    inputs["input_ids"] = np.full((len(lengths), width), pad_id, np.int32)
    for row, length in enumerate(lengths):
        inputs["input_ids"][row, :length] = generator.integers(6, VOCABULARY, length)
        inputs["attention_mask"][row, :length] = 1
        inputs["token_type_ids"][row, length // 2 : length] = 1
    return inputs


def toy_features(count: int = 21, seed: int = 0, shortest: int = 2, longest: int = 11) -> Features:
    """Tagged rows of random length; the label of a token is its id modulo 3, and every fourth token has none."""
    generator = np.random.default_rng(seed)
    ids = [generator.integers(0, TOY_WORDS, generator.integers(shortest, longest + 1)).tolist() for _ in range(count)]
    labels = [[-100 if place % 4 == 3 else piece % TOY_LABELS for place, piece in enumerate(row)] for row in ids]
    words = [[-1 if place % 4 == 3 else place for place in range(len(row))] for row in ids]
    return Features.from_rows(ids, labels=labels, word_ids=words)


BILSTM_CONFIG = {
    "model_type": "bilstm",
    "vocab_size": VOCABULARY,
    "embedding_size": 8,
    "lstm_units": 6,
    "num_hidden_layers": 2,
}


def shaken_bilstm(seed: int = 7, **changes):
    """A tiny BiLSTM whose every weight is random and matters; its states are 12 wide."""
    import tf_keras

    from xtremedistil.models.architectures.families import BILSTM
    from xtremedistil.models.checkpoints.pretrained import new_encoder_from_config

    tf_keras.utils.set_random_seed(seed)
    encoder = new_encoder_from_config(BILSTM_CONFIG | changes, BILSTM, name="student_2")
    generator = np.random.default_rng(seed)
    for variable in encoder.weights:
        variable.assign_add(0.3 * generator.standard_normal(variable.shape).astype(np.float32))
    return encoder


def task_logits(by_position: bool, problem_type: str = "single_label_classification"):
    """What terms have to know of a student's logits."""
    return SimpleNamespace(logit_names=("logits",), by_position=by_position, problem_type=problem_type)
