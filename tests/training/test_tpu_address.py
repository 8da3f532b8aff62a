"""A TPU's address at which nobody listens is refused at once; names are left to TensorFlow."""

import socket

import pytest

from xtremedistil.errors import InputError
from xtremedistil.training.tpu_address import refuse_dead_address


@pytest.fixture
def dead_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize("form", ["grpc://localhost:{}", "localhost:{}", "127.0.0.1:{}", "grpc://127.0.0.1:{}/"])
def test_address_at_which_nobody_listens_is_refused(dead_port, form):
    address = form.format(dead_port)
    with pytest.raises(InputError, match="`strategy` tpu: nothing answers at ") as caught:
        refuse_dead_address(address)
    assert address in str(caught.value) and "`tpu`" in str(caught.value)


def test_each_of_several_addresses_is_asked(dead_port):
    with socket.create_server(("localhost", 0)) as server:
        alive = f"grpc://localhost:{server.getsockname()[1]}"
        refuse_dead_address(alive)
        with pytest.raises(InputError, match=str(dead_port)):
            refuse_dead_address(f"{alive},grpc://localhost:{dead_port}")


@pytest.mark.parametrize("name", [None, "", "my-tpu", "local"])
def test_name_is_left_to_tensorflow(name):
    refuse_dead_address(name)


@pytest.mark.parametrize("address", ["localhost:99999", "no.such.host.invalid:80"])
def test_address_that_is_none_is_refused(address):
    with pytest.raises(InputError, match="nothing answers at"):
        refuse_dead_address(address)
