"""Checks the values of a checkpoint's `config.json` that an encoder is built from, before anything is built.

Names differ by family; those of all families are declared together, since each family leaves the others' alone.
"""

from collections.abc import Iterator

from xtremedistil.errors import InputError
from xtremedistil.models.architectures.shapes import HEADS, HIDDEN_SIZE, INNER, LAYERS, OFFSET_POSITIONS, POSITIONS
from xtremedistil.storage.declared import (
    Either,
    ListOf,
    MapOf,
    Number,
    Object,
    OrNull,
    Switch,
    Text,
    Whole,
    check,
    shown,
)
from xtremedistil.storage.model_folder import LARGEST_LENGTH, LARGEST_VOCABULARY, LARGEST_WIDTH

MOST_LAYERS, MOST_HEADS, MOST_TYPES = 1000, 1024, 10_000
# transformers' names that its TensorFlow classes know; its "glu" halves the width, so no encoder can use it.
ACTIVATIONS = (
    "gelu",
    "gelu_10",
    "gelu_fast",
    "gelu_new",
    "mish",
    "quick_gelu",
    "relu",
    "sigmoid",
    "silu",
    "swish",
    "tanh",
)
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
WIDTH, TOKEN = Whole(1, LARGEST_WIDTH), Whole(0, LARGEST_VOCABULARY)
RATE, SPREAD = OrNull(Number(0, below=1)), OrNull(Number(0, 100))
NAMES = {
    WIDTH: (*HIDDEN_SIZE, "embedding_size", "lstm_units", "d_head"),
    OrNull(Whole(1, 4 * LARGEST_WIDTH)): INNER,
    Whole(1, MOST_LAYERS): LAYERS,
    Whole(1, MOST_HEADS): HEADS,
    Whole(1, LARGEST_VOCABULARY): ("vocab_size", "n_words"),
    Whole(1, LARGEST_LENGTH): POSITIONS,
    Whole(1, MOST_TYPES): ("type_vocab_size", "n_langs"),
    OrNull(Text(ACTIVATIONS)): ("hidden_act", "activation_function", "activation", "ff_activation"),
    RATE: (
        *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "dropout", "attention_dropout"),
        *("resid_pdrop", "embd_pdrop", "attn_pdrop", "dropatt", "qa_dropout", "seq_classif_dropout"),
        *("summary_first_dropout", "summary_last_dropout"),
    ),
    SPREAD: ("initializer_range", "init_std", "embed_init_std"),
    OrNull(Number(0, 1)): ("layer_norm_eps", "layer_norm_epsilon"),
    OrNull(TOKEN): ("pad_token_id", "pad_index", "unk_index", "mask_index", "mask_token_id", "sep_token_id"),
    OrNull(Either((TOKEN, ListOf(TOKEN)))): ("bos_token_id", "eos_token_id", "bos_index", "eos_index"),
    OrNull(Whole(0, LARGEST_LENGTH)): ("mem_len", "reuse_len", "chunk_size_feed_forward"),
    OrNull(Whole(-1, LARGEST_LENGTH)): ("clamp_len",),
    OrNull(Switch()): (
        *("is_decoder", "is_encoder", "is_encoder_decoder", "add_cross_attention", "output_attentions", "use_cache"),
        *("output_hidden_states", "tie_word_embeddings", "return_dict", "torchscript", "gelu_activation", "causal"),
        *("sinusoidal_embeddings", "sinusoidal_pos_embds", "asm", "use_lang_emb", "untie_r", "bi_data", "same_length"),
        *("use_mems_eval", "use_mems_train", "use_bfloat16", "summary_use_proj", "summary_proj_to_labels"),
        *("scale_attn_weights", "scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn"),
    ),
    OrNull(Text()): ("torch_dtype", "dtype", "transformers_version", "position_embedding_type", "tokenizer_class"),
    OrNull(Text(("bi", "uni"))): ("attn_type",),
    OrNull(Text(PROBLEM_TYPES)): ("problem_type",),
    OrNull(ListOf(Text())): ("architectures",),
    OrNull(MapOf(Text(one_line=True), numbered=True)): ("id2label",),
    OrNull(MapOf(Whole(0, LARGEST_VOCABULARY))): ("label2id",),
    OrNull(Whole(1, LARGEST_VOCABULARY)): ("num_labels", "_num_labels"),
    OrNull(MapOf(ListOf(Whole(0, MOST_HEADS)))): ("pruned_heads",),
}
CONFIG = Object({name: shape for shape, names in NAMES.items() for name in names})
CURE = "Copy the file again from the checkpoint, or correct it."


def check_config(config: dict, where: str) -> dict:
    """Returns a configuration whose values an encoder can be built from.

    Args:
        where: the file, for the message.

    Raises:
        InputError: values of a wrong type or out of range, or values that contradict each other.
    """
    checked = config if config.get("model_type") != "bilstm" else {n: v for n, v in config.items() if n not in HEADS}
    check(checked, CONFIG, where, CURE)
    if faults := list(_contradictions(config)):
        raise InputError(f"{where}: {'; '.join(faults)}.\n{CURE}")
    return config


def _contradictions(config: dict) -> Iterator[str]:
    width_name, heads_name = _first(config, HIDDEN_SIZE), _first(config, HEADS)
    if width_name and heads_name and config.get("model_type") != "bilstm":
        width, heads = config[width_name], config[heads_name]
        if width % heads:
            yield f"{width_name} {width} is not a multiple of {heads_name} {heads}"
        elif config.get("d_head", width // heads) != width // heads:
            yield f"d_head {config['d_head']} is not {width_name} / {heads_name}, {width // heads}"
    positions = _first(config, POSITIONS)
    if positions and config.get("model_type") in OFFSET_POSITIONS:
        pad = config.get("pad_token_id", 1)
        if pad is None or config[positions] <= pad + 1:
            yield f"{positions} {config[positions]} leaves no position after pad_token_id {pad}, where they begin"
    names = list((config.get("id2label") or {}).values())
    if repeated := next((name for name in names if names.count(name) > 1), None):
        yield f"id2label names {shown(repeated)} twice; each label has a name of its own"


def _first(config: dict, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in config), None)
