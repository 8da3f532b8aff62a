"""The model families that can be teachers or students: Hugging Face's, and one of this package."""

import difflib
from dataclasses import dataclass

from xtremedistil.errors import InputError

AUTO = "auto"


@dataclass(frozen=True)
class Family:
    """One architecture.

    Fields:
        model_type: its name in `config.json`.
        class_name, config_class_name: names in `module`.
        takes_token_types: whether the encoder has token-type embeddings. GPT, CTRL and XLM look token types up in the
            word embeddings, so they get none.
        summary: the token whose hidden state represents a row, "first" or "last" ("last" if tokens do not attend to
            later ones, and in XLNet, whose class token comes last).
        dropout_fields: names of dropout rates in the configuration, that of hidden states first.
        attention_dropout: the one applied to attention maps; None if there is none.
        reads_ahead: whether tokens attend to later ones.
        can_be_student: bidirectional, with a fixed vocabulary and one table for each kind of embedding.
        float32_only: its code mixes types under another precision policy, or overflows in float16.
        refused: why it cannot be used at all; empty if it can.
        module: that has its classes.
    """

    model_type: str
    class_name: str
    config_class_name: str
    takes_token_types: bool = False
    summary: str = "first"
    dropout_fields: tuple[str, ...] = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    attention_dropout: str | None = "attention_probs_dropout_prob"
    reads_ahead: bool = True
    can_be_student: bool = False
    float32_only: bool = False
    refused: str = ""
    module: str = "transformers"


_GPT = {
    "summary": "last",
    "dropout_fields": ("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    "attention_dropout": "attn_pdrop",
    "reads_ahead": False,
}


_ALL = (
    Family("bert", "TFBertModel", "BertConfig", takes_token_types=True, can_be_student=True),
    Family("electra", "TFElectraModel", "ElectraConfig", takes_token_types=True, can_be_student=True),
    Family("openai-gpt", "TFOpenAIGPTModel", "OpenAIGPTConfig", **_GPT),
    Family("gpt2", "TFGPT2Model", "GPT2Config", **_GPT),
    Family(
        "ctrl",
        "TFCTRLModel",
        "CTRLConfig",
        summary="last",
        dropout_fields=("resid_pdrop", "embd_pdrop"),
        attention_dropout=None,
        reads_ahead=False,
        float32_only=True,
    ),
    Family(
        "transfo-xl",
        "TFTransfoXLModel",
        "TransfoXLConfig",
        summary="last",
        dropout_fields=("dropout", "dropatt"),
        attention_dropout="dropatt",
        reads_ahead=False,
        refused="its tokenizer unpickles files, which can run any code, and its TensorFlow model takes no attention "
        "mask, so padding would change its outputs",
    ),
    Family(
        "xlnet",
        "TFXLNetModel",
        "XLNetConfig",
        takes_token_types=True,
        summary="last",
        dropout_fields=("dropout",),
        attention_dropout="dropout",
        float32_only=True,
    ),
    Family(
        "xlm",
        "TFXLMModel",
        "XLMConfig",
        dropout_fields=("dropout", "attention_dropout"),
        attention_dropout="attention_dropout",
        float32_only=True,
    ),
    Family(
        "distilbert",
        "TFDistilBertModel",
        "DistilBertConfig",
        dropout_fields=("dropout", "attention_dropout"),
        attention_dropout="attention_dropout",
        can_be_student=True,
    ),
    Family("roberta", "TFRobertaModel", "RobertaConfig", can_be_student=True),
    Family("xlm-roberta", "TFXLMRobertaModel", "XLMRobertaConfig", can_be_student=True),
)


FAMILIES: dict[str, Family] = {family.class_name: family for family in _ALL}

# From scratch only. Classification reads the hidden state of the first token: there the backward direction has seen the
# whole row, and stage 1 has matched it to the hidden state that most teachers read.
BILSTM = Family(
    "bilstm",
    "BilstmModel",
    "BilstmConfig",
    dropout_fields=("hidden_dropout_prob",),
    attention_dropout=None,
    module="xtremedistil.models.architectures.bilstm",
)


def student_family(model_type: str) -> Family:
    """Returns the family of a saved student by the `model_type` of its configuration.

    Raises:
        InputError: the type is unknown.
    """
    return BILSTM if model_type == BILSTM.model_type else find_family(AUTO, model_type)


def find_family(class_name: str, model_type: str | None = None) -> Family:
    """Returns the family called `class_name`, checked against the `model_type` of the checkpoint.

    Args:
        class_name: such as "TFBertModel", or "auto" to decide by `model_type`.
        model_type: of the checkpoint's `config.json`; None skips the check.

    Raises:
        InputError: name or type is unknown, the class does not fit the checkpoint, or the family is refused.
    """
    family = _by_model_type(model_type) if class_name == AUTO else _by_class_name(class_name)
    if family.refused:
        raise InputError(f"{family.class_name} cannot be used: {family.refused}. Choose one of {_known()}.")
    if model_type is not None and model_type != family.model_type:
        fitting = _by_model_type(model_type)
        raise InputError(
            f"{class_name} reads checkpoints of type '{family.model_type}', but this one's config.json says "
            f"model_type '{model_type}'. Give {fitting.class_name} or {AUTO}."
        )
    return family


def _by_class_name(class_name: str) -> Family:
    if class_name in FAMILIES:
        return FAMILIES[class_name]
    nearest = difflib.get_close_matches(class_name, FAMILIES, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    raise InputError(f"{class_name}: unknown model class. Known: {AUTO}, {_known()}.{hint}")


def _by_model_type(model_type: str | None) -> Family:
    if model_type is None:
        raise InputError(f"'{AUTO}' needs a checkpoint whose config.json has a model_type. Or give one of {_known()}.")
    for family in _ALL:
        if family.model_type == model_type:
            return family
    types = ", ".join(family.model_type for family in _ALL if not family.refused)
    raise InputError(
        f"Checkpoints of model_type '{model_type}' cannot be used: there is no TensorFlow class for them here. "
        f"Known types: {types}."
    )


def _known() -> str:
    return ", ".join(family.class_name for family in _ALL if not family.refused)
