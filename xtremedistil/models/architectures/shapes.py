"""Reads the sizes of an encoder from its `config.json`, whatever their names in its family."""

from dataclasses import dataclass

from xtremedistil.errors import InputError

HIDDEN_SIZE = ("hidden_size", "n_embd", "dim", "d_model", "emb_dim")
LAYERS = ("num_hidden_layers", "n_layer", "n_layers")
INNER = ("intermediate_size", "n_inner", "hidden_dim", "d_inner", "dff")
HEADS = ("num_attention_heads", "n_head", "n_heads")
POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx")
ELECTRA_EMBEDDING = 128  # default of embedding_size in a config.json
OFFSET_POSITIONS = ("roberta", "xlm-roberta")  # they have two position embeddings that no token uses


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of an encoder.

    Fields:
        positions: maximum sequence length in tokens; None: no limit.
        embedding_size: width of the word embeddings.
    """

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int
    positions: int | None
    intermediate_size: int
    embedding_size: int

    @property
    def parameters(self) -> int:
        """Estimated number of parameters: embeddings, attention and feed-forward layers as in BERT."""
        width, inner = self.hidden_size, self.intermediate_size
        layer = 4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width
        return (self.vocab_size + (self.positions or 0) + 2) * width + self.num_hidden_layers * layer

    @property
    def outline(self) -> str:
        return f"{self.num_hidden_layers} layers x {self.hidden_size}, {self.num_attention_heads} heads"


@dataclass(frozen=True)
class BilstmShape:
    """Sizes of a BiLSTM.

    Fields:
        embedding_size: width of the word embeddings. lstm_units: in each direction of each layer.
    """

    num_hidden_layers: int
    vocab_size: int
    embedding_size: int
    lstm_units: int

    @property
    def hidden_size(self) -> int:
        return 2 * self.lstm_units

    @property
    def parameters(self) -> int:
        """Exact number of parameters: embeddings, their layer norm, and two times four gates per layer."""
        widths = [self.embedding_size] + [self.hidden_size] * (self.num_hidden_layers - 1)
        layers = sum(8 * self.lstm_units * (width + self.lstm_units + 1) for width in widths)
        return (self.vocab_size + 2) * self.embedding_size + layers

    @property
    def outline(self) -> str:
        count = self.num_hidden_layers
        return f"{count} BiLSTM layers x 2 x {self.lstm_units} units, embeddings {self.embedding_size} wide"


def encoder_shape(config: dict, where: str) -> EncoderShape:
    """Returns the sizes in a `config.json`, given as a dict.

    Raises:
        InputError: one of them is missing; `where` names the checkpoint.
    """
    positions = next((config[name] for name in POSITIONS if name in config), None)
    if positions is not None and config["model_type"] in OFFSET_POSITIONS:
        positions -= 2
    width = _size(config, HIDDEN_SIZE, where)
    return EncoderShape(
        width,
        _size(config, LAYERS, where),
        _size(config, HEADS, where),
        _size(config, ("vocab_size", "n_words"), where),
        positions,
        next((config[name] for name in INNER if isinstance(config.get(name), int)), 4 * width),
        config.get("embedding_size", ELECTRA_EMBEDDING if config.get("model_type") == "electra" else width),
    )


def resized(config: dict, shape: EncoderShape) -> dict:
    """Returns a complete configuration (including defaults that `config.json` leaves out) with other sizes.

    Args:
        shape: the new sizes; its vocabulary and positions are not used.
    """
    sizes = {
        HIDDEN_SIZE: shape.hidden_size,
        LAYERS: shape.num_hidden_layers,
        HEADS: shape.num_attention_heads,
        INNER: shape.intermediate_size,
        ("embedding_size",): shape.embedding_size,
    }
    return config | {name: size for names, size in sizes.items() for name in names if name in config}


def _size(config: dict, names: tuple[str, ...], where: str) -> int:
    for name in names:
        if isinstance(config.get(name), int):
            return config[name]
    raise InputError(f"{where}: its config.json has no {names[0]} (or {', '.join(names[1:])}).")
