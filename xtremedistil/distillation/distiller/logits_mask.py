"""The positions whose logits count, where adaptors say so."""

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
    """As batches read it, under the name "logits_mask".

    Fields:
        kept: int32 [P], 1 where the logits of a position count.
    """

    features: Features
    kept: np.ndarray

    def __call__(self, rows: np.ndarray, width: int) -> Arrays:
        index, inside = positions(self.features, rows, width)
        return {LOGITS_MASK: np.where(inside, self.kept[index], 0).astype(np.int32)}


def logits_masks(members: Sequence, features: Features) -> list[LogitsMask]:
    """What all models that read these rows say together; empty where none has a mask.

    Raises:
        ValueError: it leaves no position.
    """
    masked = [member for member in members if member.mask_model is not None]
    if not masked:
        return []
    kept = np.ones(len(features.input_ids), np.int32)
    for member in masked:
        kept *= _kept(member, features)
    if not kept.any():
        raise ValueError(f"{LOGITS_MASK} leaves no position of any row: soft labels would teach nothing.")
    return [LogitsMask(features, kept)]


def _kept(member, features: Features) -> np.ndarray:
    kept = np.zeros(len(features.input_ids), np.int32)
    predict = make_predict_function(member.mask_model)
    for rows, outputs in predict_batches(predict, features, batch_size=MASK_BATCH, pad_id=member.pad_id):
        index, inside = positions(features, rows, outputs[LOGITS_MASK].shape[1])
        kept[index[inside]] = outputs[LOGITS_MASK][inside] > 0
    return kept
