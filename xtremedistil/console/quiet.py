"""Keeping the noise of TensorFlow, transformers and the hub client off the terminal."""

import contextlib
import importlib
import os
import sys
import warnings

from xtremedistil.console.streams import TolerantStream

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_VERBOSITY": "error"}


def import_tensorflow(verbose: bool) -> None:
    """Imports TensorFlow; its warnings and those of transformers stay out unless asked for."""
    tensorflow = importlib.import_module("tensorflow")
    if not verbose:
        tensorflow.get_logger().setLevel("ERROR")
        warnings.filterwarnings("ignore", module="tf_keras|transformers|huggingface_hub")


@contextlib.contextmanager
def without_native_noise(verbose: bool):
    """Keeps what C++ code writes out of the way: it goes straight to file descriptor 2, whatever the log level.

    Python's own messages still reach the terminal.
    """
    if verbose:
        yield
        return
    for name, level in QUIET.items():
        os.environ.setdefault(name, level)
    kept, python_stderr = os.dup(2), sys.stderr
    if getattr(sys.stderr, "stream", sys.stderr) is sys.__stderr__ is not None:
        of_python = os.fdopen(os.dup(kept), "w", buffering=1, errors="backslashreplace")
        sys.stderr = TolerantStream(of_python, drops_all=True)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr = python_stderr
        os.dup2(kept, 2)
        os.close(kept)
