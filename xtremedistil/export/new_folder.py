"""A folder that is written beside its place and appears there when it is complete, or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator

from xtremedistil.errors import InputError


@contextlib.contextmanager
def new_folder(out: str) -> Iterator[str]:
    """A folder that takes the place of `out` when the block ends, and leaves nothing behind when it fails.

    Raises:
        InputError: no space left, or the folder cannot be written to; what stood at `out` is untouched.
    """
    partial = f"{out}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial)
        yield partial
        _take_place(partial, out)
    except InputError as error:  # of the block itself, which knows the partial folder only
        raise InputError(str(error).replace(partial, out)) from error
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}. What was there is intact.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _take_place(partial: str, out: str) -> None:
    replaced = f"{out}.replaced"
    shutil.rmtree(replaced, ignore_errors=True)
    if os.path.isdir(out):
        os.rename(out, replaced)
    try:
        os.rename(partial, out)
    except OSError:
        if os.path.isdir(replaced):
            os.rename(replaced, out)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
