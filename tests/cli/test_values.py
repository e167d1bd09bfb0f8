"""The values that shells complete: none of them is more to a shell than its characters."""

import json
import subprocess
from pathlib import Path

import pytest

from reconciler.cli import main

SOBER = ["g++", "libstdc++6", "linux-image-6.1.0-9-amd64", "python3.11", "xfonts_a:b@c"]
HOSTILE = ["a$(touch${IFS}made)", "b`touch${IFS}made`", "c;touch", "d*", "(e)", "f'g", "-h", "$HOME", "~", ""]


def test_no_name_of_a_package_is_carried_out_by_a_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, state = tmp_path / "config.yaml", tmp_path / "state"
    state.mkdir()
    config.write_text(f"state_dir: {state}\n")
    updates = [{"name": name} for name in (*HOSTILE, *SOBER)]
    (state / "report.json").write_text(json.dumps({"plan": {"updates": updates}}))
    for path in (config, state / "report.json"):
        path.chmod(0o600)

    assert main(["__values", "packages", str(config)]) == 0

    told = capsys.readouterr().out
    assert told.splitlines() == SOBER
    # As bash-completion asks for it, which expands each word of such a list.
    asked = 'compgen -W "$(cat)" -- ""'
    made = subprocess.run(
        ["bash", "-c", asked], input=told, capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert made.stdout.splitlines() == SOBER
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "state"}
