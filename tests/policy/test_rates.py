"""How many bytes a second fetching may take."""

import pytest
from pydantic import ValidationError

from reconciler.policy.documents import DEFAULTS, Settings


@pytest.mark.parametrize(
    ("written", "rate", "told"),
    [
        ("2M", 2 * 1024 * 1024, "2M"), ("500K", 500 * 1024, "500K"), ("1G", 1024**3, "1G"),
        ("2048K", 2 * 1024 * 1024, "2M"), ("none", None, "none"),
    ],
)  # fmt: skip
def test_a_limit_is_bytes_with_a_unit_of_1024(written: str, rate: int | None, told: str) -> None:
    settings = Settings.model_validate({"download_limit": written})
    assert settings.rate == rate
    assert settings.model_dump(mode="json")["download_limit"] == told
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings


def test_nothing_is_limited_by_itself() -> None:
    assert DEFAULTS.rate is None


@pytest.mark.parametrize("written", ["0", 0, "2", "2MB", "2m", "1.5M", "31K", "-2M", "fast", True])
def test_what_is_no_limit_or_lets_nothing_through_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"download_limit": written})
