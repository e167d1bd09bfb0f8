"""What is said on a host that was never set up: each verb leads to the one that sets it up."""

from pathlib import Path

import pytest

from reconciler.cli import main

VERBS = (
    ["status"],
    ["run"],
    ["plan"],
    ["explain", "curl"],
    ["log"],
    ["log", "last"],
    ["windows"],
    ["pause", "--reason", "x"],
    ["resume"],
    ["notify", "test"],
    ["guests"],
    ["doctor"],
    ["adjust", "--yes"],
    ["adjust"],
)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_without_a_configuration_the_hint_is_to_set_the_host_up(
    verb: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(tmp_path / "config.yaml"), *verb]) in {1, 2}
    said = capsys.readouterr()
    assert "patchledger setup" in said.out + said.err
    assert "as root" not in said.err


@pytest.mark.parametrize("verb", ["enable", "disable"])
def test_what_setup_has_not_installed_is_not_nothing_to_do(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(tmp_path / "config.yaml"), verb]) == 2
    assert "hint: run `patchledger setup`" in capsys.readouterr().err
    assert main(["--config", str(tmp_path / "config.yaml"), "cleanup", "--yes"]) == 2
    assert "hint: there is nothing to do" in capsys.readouterr().err
