"""Every test of this folder trains eagerly; refusals share one distiller."""

import pytest


@pytest.fixture(autouse=True)
def trained_eagerly(eagerly):
    """A few steps of tiny models take less time than their graphs."""


@pytest.fixture(scope="session")
def untrained():
    """A distiller for tests of what is refused before anything is trained."""
    from tests.distillation.distiller.models import pair
    from xtremedistil.distillation.distiller.distiller import Distiller

    return Distiller(*pair())
