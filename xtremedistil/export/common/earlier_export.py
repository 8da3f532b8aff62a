"""What may be replaced: an earlier export, and nothing else."""

import os
from collections.abc import Callable, Collection

from xtremedistil.errors import InputError


def refuse_foreign(out: str, own_files: Collection[str], is_export: Callable[[str], bool]) -> None:
    """Refuses to put an export in the place of what is not ours.

    Args:
        out: where it will appear; nothing, or an empty folder, may be there.
        own_files: names of what such an export may hold.
        is_export: whether a folder is one.

    Raises:
        InputError: `out` is a file, or a folder with anything but an earlier export in it.
    """
    if not os.path.exists(out):
        return
    if not os.path.isdir(out):
        raise InputError(f"{out} is a file; the export is a folder. Name another place, or move the file away.")
    names = set(os.listdir(out))
    if names and not is_export(out):
        raise InputError(
            f"{out} holds {', '.join(sorted(names)[:5])}, which is not an earlier export, and would be replaced.\n"
            "Name another folder, or move this one away."
        )
    if foreign := sorted(names - set(own_files)):
        raise InputError(
            f"{out} is an earlier export, but holds {', '.join(foreign[:5])}, too, which would be lost.\n"
            "Move that away, or name another folder."
        )
