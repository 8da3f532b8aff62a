"""Names of tensors inside encoders, and a way to compute them."""

import numpy as np
import pytest

from tests.model_fixtures import rows
from xtremedistil.models.architectures.families import FAMILIES

tf = pytest.importorskip("tensorflow")

from xtremedistil.models.features.extraction import encoder_features  # noqa: E402
from xtremedistil.models.features.hooks import Recording  # noqa: E402
from xtremedistil.models.features.sub_layers import sub_layers  # noqa: E402

BERT = FAMILIES["TFBertModel"]
INNER = ["queries_1", "keys_0", "values_1", "attention_scores_1", "encoder/layer_._0/intermediate"]


def tensors(inputs: dict) -> dict:
    return {name: tf.constant(array) for name, array in inputs.items()}


def features_of(encoder, class_name: str, names, lengths=(5, 3)) -> dict[str, np.ndarray]:
    inputs = tensors(rows(lengths, pad_id=encoder.config.pad_token_id or 0))
    return {k: v.numpy() for k, v in encoder_features(encoder, FAMILIES[class_name], inputs, names).items()}


def running_paths(encoder, class_name: str) -> list[str]:
    """Some dropouts stand in the code and are never called."""
    layers = sub_layers(encoder)
    with Recording(list(layers.values())) as recording:
        features_of(encoder, class_name, ["hidden_states_0"])
    return [path for path, layer in layers.items() if recording.output(layer) is not None]
