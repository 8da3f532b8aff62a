"""Binds a run's folder to the settings that it was started with."""

import os
import re
import shutil
from collections.abc import Mapping

from xtremedistil.errors import InputError
from xtremedistil.flags import current_names
from xtremedistil.storage.checksums import forget
from xtremedistil.storage.declared import Object, Switch, Text
from xtremedistil.storage.files import write_json
from xtremedistil.storage.json_files import read_json
from xtremedistil.storage.model_folder import (
    BASELINE_HISTORY,
    BASELINE_WEIGHTS,
    CONFIG,
    CONTINUED_WEIGHTS,
    FROZEN_FEATURES,
    METRICS,
    REPORT,
    SNAPSHOTS,
    STUDENT_WEIGHTS,
    TEACHER_WEIGHTS,
    WORD_EMBEDDING,
)

TEACHER_KEY = "teacher_weights"  # in the settings of a run, once it has a teacher
LIVE_KEY = "targets_are_live"  # likewise, once this is decided
RUN_SETTINGS = "run-settings.json"
RECORDED = Object({TEACHER_KEY: Text(), LIVE_KEY: Switch()})
START_AGAIN = "Give another `model_dir`, or `overwrite` to start again there."
SHA256 = re.compile("[0-9a-f]{64}")


def bind_run(folder: str, settings: dict, overwrite: bool) -> None:
    """Binds `folder` to `settings`; with `overwrite`, removes the run that it holds first."""
    if overwrite:
        remove_run(folder)
    path = os.path.join(folder, RUN_SETTINGS)
    if not os.path.isfile(path):
        write_json(path, settings)


def check_run(folder: str, settings: dict, renamed: Mapping[str, str] | None = None) -> None:
    """Checks that `folder` is free or bound to `settings`; changes nothing.

    Args:
        renamed: current names of settings by old names, which an earlier run may have saved.

    Raises:
        InputError: the folder belongs to a run with other settings.
    """
    path = os.path.join(folder, RUN_SETTINGS)
    if not os.path.isdir(folder):
        return
    if not os.path.isfile(path):
        _refuse_foreign_run(folder)
        return
    saved = {name: value for name, value in _recorded(path).items() if name not in (TEACHER_KEY, LIVE_KEY)}
    saved = current_names(renamed or {}, saved)
    differences = [name for name in sorted(set(saved) | set(settings)) if saved.get(name) != settings.get(name)]
    if differences:
        lines = [f"  {name}: {_difference(saved.get(name), settings.get(name))}" for name in differences]
        raise InputError(
            f"`model_dir` {folder} belongs to a run with other settings:\n" + "\n".join(lines) + "\n"
            "Give the same settings to continue it, another `model_dir`, or `overwrite` to start again there."
        )


def _recorded(path: str) -> dict:
    return read_json(path, RECORDED, START_AGAIN)


def _difference(there, now) -> str:
    """Describes how two values of a setting differ; fingerprints of files are not shown."""
    if all(isinstance(value, str) and SHA256.fullmatch(value) for value in (there, now)):
        return "the file has changed"
    return f"{there} there, {now} now"


def bind_teacher(folder: str, key: str) -> None:
    """Binds a run's folder to the weights of a fine-tuned teacher as well.

    Raises:
        InputError: its stages were trained with another teacher.
    """
    path = os.path.join(folder, RUN_SETTINGS)
    saved = _recorded(path)
    if saved.get(TEACHER_KEY, key) != key:
        raise InputError(
            f"{folder} was started with another {TEACHER_WEIGHTS} than `teacher_model_dir` holds now.\n"
            "Put the old one back, or start again with `overwrite`."
        )
    if TEACHER_KEY not in saved:
        write_json(path, saved | {TEACHER_KEY: key})


def fix_live_mode(folder: str, live: bool) -> bool:
    """Whether a run computes teacher outputs live; a resumed run keeps its first choice, to write the same bytes."""
    path = os.path.join(folder, RUN_SETTINGS)
    saved = _recorded(path)
    if LIVE_KEY not in saved:
        write_json(path, saved | {LIVE_KEY: live})
    return saved.get(LIVE_KEY, live)


def _refuse_foreign_run(folder: str) -> None:
    stages = [name for name in _run_files(folder) if name.startswith("model-stage-") or name == STUDENT_WEIGHTS]
    if stages:
        raise InputError(
            f"`model_dir` {folder} holds {stages[0]} but no record of the settings that made it "
            "(the original release keeps none).\nGive another `model_dir`, or `overwrite` to start again there."
        )


def _run_files(folder: str) -> list[str]:
    fixed = (
        STUDENT_WEIGHTS,
        CONTINUED_WEIGHTS,
        BASELINE_WEIGHTS,
        BASELINE_HISTORY,
        CONFIG,
        WORD_EMBEDDING,
        RUN_SETTINGS,
        REPORT,
        METRICS,
    )
    return sorted(name for name in os.listdir(folder) if name.startswith("model-stage-") or name in fixed)


def remove_run(folder: str) -> None:
    """Removes what a run wrote into `folder`, but not a fine-tuned teacher, which has its own record."""
    names = _run_files(folder)
    for name in names:
        os.remove(os.path.join(folder, name))
    forget(folder, names)
    for name in (SNAPSHOTS, FROZEN_FEATURES):
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
