"""Masks of the tokens whose logits count, as adaptors return them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xtremedistil.data.features import Features
from xtremedistil.data.padding import Arrays, positions
from xtremedistil.models.adapters import LOGITS_MASK
from xtremedistil.models.forward import make_predict_function
from xtremedistil.models.prediction import predict_batches

MASK_BATCH = 64


@dataclass(frozen=True)
class LogitsMask:
    """Gives batches the array "logits_mask".

    Fields:
        kept: int32 [P], 1 where the logits of a token count.
    """

    features: Features
    kept: np.ndarray

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        index, inside = positions(self.features, rows, width)
        return {LOGITS_MASK: np.where(inside, self.kept[index], 0).astype(np.int32)}


def logits_masks(members: Sequence, features: Features) -> list[LogitsMask]:
    """Returns the product of the masks of all models that read these rows; empty if none has a mask.

    Raises:
        ValueError: no token is left.
    """
    masked = [member for member in members if member.mask_model is not None]
    if not masked:
        return []
    kept = np.ones(len(features.input_ids), np.int32)
    for member in masked:
        kept *= _kept(member, features)
    if not kept.any():
        raise ValueError(f"{LOGITS_MASK} leaves no token of any row, so soft labels would train nothing.")
    return [LogitsMask(features, kept)]


def _kept(member, features: Features) -> np.ndarray:
    kept = np.zeros(len(features.input_ids), np.int32)
    predict = make_predict_function(member.mask_model)
    for rows, outputs in predict_batches(predict, features, batch_size=MASK_BATCH, pad_id=member.pad_id):
        index, inside = positions(features, rows, outputs[LOGITS_MASK].shape[1])
        kept[index[inside]] = outputs[LOGITS_MASK][inside] > 0
    return kept
