"""The shells that a patch script must run under."""

import pytest

from tests.managers.shell import SHELLS


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return SHELLS[request.param]
