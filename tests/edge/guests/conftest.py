"""A node whose guests run, once for each worker."""

from collections.abc import Iterator

import pytest

from tests.labs.guests import GuestLab


@pytest.fixture(scope="session")
def node() -> Iterator[GuestLab]:
    with GuestLab.running() as made:
        yield made
