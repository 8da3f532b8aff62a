"""What teachers and students of this package say of themselves alike."""

from xtremedistil.models.problem_types import CLASSES


class WithHead:
    """An encoder with a classifier: has the fields `encoder` and `kind`."""

    problem_type = CLASSES
    mask_model = None

    @property
    def logit_names(self) -> tuple[str, ...]:
        """Of its outputs."""
        return ("logits",)

    @property
    def by_position(self) -> bool:
        """Whether there are logits for each position."""
        return self.kind == "token_classification"

    @property
    def num_hidden_layers(self) -> int:
        return self.encoder.config.num_hidden_layers

    @property
    def pad_id(self) -> int:
        return self.encoder.config.pad_token_id or 0
