"""Every test of this folder trains eagerly."""

import pytest


@pytest.fixture(autouse=True)
def trained_eagerly(eagerly):
    """A few steps of tiny models take less time than their graphs."""
