"""The heads of Hugging Face's classes ...ForSequenceClassification and ...ForTokenClassification, by family."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TextHead:
    """A classifier of texts: it reads the hidden state that represents a row.

    Fields:
        outer: PyTorch's name of the linear layer to the logits.
        inner, activation: of the linear layer below it, and what follows that, whatever `config.json` says of the
            layers of the encoder; None: there is no such layer.
    """

    outer: str
    inner: str | None = None
    activation: str | None = None


_ROBERTA = TextHead("classifier.out_proj", "classifier.dense", "tanh")

TEXT_HEADS = {
    "bert": TextHead("classifier", "bert.pooler.dense", "tanh"),
    "electra": TextHead("classifier.out_proj", "classifier.dense", "gelu"),
    "distilbert": TextHead("classifier", "pre_classifier", "relu"),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "openai-gpt": TextHead("score"),
    "gpt2": TextHead("score"),
    "ctrl": TextHead("classifier"),
    "xlnet": TextHead("logits_proj", "sequence_summary.summary", "tanh"),
    "xlm": TextHead("sequence_summary.summary"),
}
WORD_HEAD = TextHead("classifier")  # of tokens, in all families

# Values of `config.json` with which the heads above compute what these classes do.
EXPECTED = {
    "xlnet": {"summary_type": "last", "summary_use_proj": True, "summary_activation": "tanh"},
    "xlm": {
        "summary_type": "first",
        "summary_use_proj": True,
        "summary_proj_to_labels": True,
        "summary_activation": None,
    },
}
