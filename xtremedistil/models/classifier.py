"""Common properties of this package's teachers and students."""

import functools

from xtremedistil.models.forward import make_predict_function
from xtremedistil.models.prediction import PredictFunction


class Classifier:
    """An encoder with a classifier: has the fields `model` and `encoder`."""

    mask_model = None

    @functools.cached_property
    def predict_function(self) -> PredictFunction:
        """`model` without dropout, with its current weights; traced once."""
        return make_predict_function(self.model)

    @property
    def logit_names(self) -> tuple[str, ...]:
        """Names of its outputs that are logits."""
        return ("logits",)

    @property
    def num_hidden_layers(self) -> int:
        return self.encoder.config.num_hidden_layers

    @property
    def pad_id(self) -> int:
        return self.encoder.config.pad_token_id or 0
