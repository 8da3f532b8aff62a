"""Whether anything answers at a TPU's address; TensorFlow would try for a minute, in silence."""

import re
import socket

from xtremedistil.errors import InputError

SECONDS = 10
HOST_AND_PORT = re.compile(r"(?:grpcs?://)?(\[[^]]+\]|[^/:\[\]]+):(\d+)/?")


def refuse_dead_address(address: str | None) -> None:
    """Raises InputError where `address` is a host and a port, or several of them, and one does not answer.

    Names of TPUs and the default address are left to TensorFlow, which asks the cloud for them.
    """
    for one in (address or "").split(","):
        if found := HOST_AND_PORT.fullmatch(one.strip()):
            _connect(one.strip(), found[1].strip("[]"), int(found[2]))


def _connect(address: str, host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(
            f"`strategy` tpu: nothing answers at {address} ({reason}).\n"
            "Give the TPU's name or grpc:// address with `tpu`, or use `strategy` auto."
        ) from error
