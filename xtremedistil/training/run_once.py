"""Runs a fit once: saves its weights and history, or loads them if they are there."""

import os
from collections.abc import Callable

from xtremedistil.models.checkpoints.h5_weights import OPTIMIZER, load_weights, save_weights
from xtremedistil.storage import files
from xtremedistil.storage.declared import Anything, ListOf, MapOf, Object, Text, Whole
from xtremedistil.training.optimizer import optimizer_variables
from xtremedistil.training.snapshots import SnapshotManager
from xtremedistil.training.state import History
from xtremedistil.training.workers import Workers

RECORD = {"score": Anything(), "best_epoch": Whole(), "epochs": Whole(), "seconds": Anything()}
RECORD |= {"history": ListOf(MapOf(Anything())), "sha256": Text()}
RECORD = Object(RECORD, required=tuple(RECORD))


def run_once(
    path: str, parts: dict[str, list], snapshots: SnapshotManager, workers: Workers, work: Callable[[], History]
) -> dict:
    """Runs `work` and saves the variables in `parts`; or loads them, if both weights and history are there.

    Args:
        path: of the weight file; the history is beside it and ends with `-history.json`, as in the original.
        parts: layer name -> variables.
        snapshots: manages the fit's snapshots, which are removed when it is done.
        workers: the chief writes; all train, or all load.

    Returns:
        the saved record: "score" and "best_epoch" of the weights kept, "epochs", "seconds", and "history" by epoch.
    """
    history_path = path.removesuffix(".h5") + "-history.json"
    if workers.broadcast_from_chief(_is_whole(path, history_path, snapshots.log)):
        load_weights(path, parts)
        return files.read_sealed(history_path, RECORD)
    history = work()
    record = {"score": history.best_score, "best_epoch": history.best_epoch, "epochs": len(history.epochs)}
    record |= {"seconds": history.seconds, "history": history.epochs}

    def save() -> None:
        save_weights(path, parts)
        # The history is written last: weights without it may be of an older attempt.
        files.write_sealed(history_path, record | {"sha256": files.fingerprint(path)})
        snapshots.clear()

    workers.on_chief(save)
    snapshots.stop_if_asked()
    return record


def _is_whole(path: str, history_path: str, log: Callable[[str], None]) -> bool:
    """Whether a fit is done; a damaged file is logged and does not count."""
    if not (os.path.isfile(path) and os.path.isfile(history_path)):
        return False
    record = files.read_sealed(history_path, RECORD)
    if record and record["sha256"] == files.fingerprint(path):
        return True
    log(f"{path if record else history_path} is damaged; its fit is done again.")
    return False


def optimizer_parts(optimizer) -> dict[str, list]:
    """Returns an optimizer's variables by kind ("optimizer_m", "optimizer_v", "optimizer_iteration", ...)."""
    parts: dict[str, list] = {}
    for variable in optimizer_variables(optimizer):
        kind = variable.name.split("/")[0].split(":")[0]
        parts.setdefault(OPTIMIZER + kind, []).append(variable)
    return parts
