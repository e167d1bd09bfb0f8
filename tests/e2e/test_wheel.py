"""The wheel holds all it needs: installed in a bare environment, away from the repository, it plans."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.e2e.site import Site
from tests.labs.apt import AptLab

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", folder, ROOT], check=True, stdin=subprocess.DEVNULL)
    (built,) = folder.glob("patchledger-*.whl")
    return built


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=True, symlinks=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--constraint", str(ROOT / "constraints.txt"), str(wheel)]
    subprocess.run([*pip, *options], check=True, cwd=folder)
    return folder / "bin" / "patchledger"


def run(command: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # Nothing of the repository is in reach: another folder, no PYTHONPATH.
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd)}
    return subprocess.run(
        [command, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_scripts_schemas_and_examples_are_inside(wheel: Path) -> None:
    inside = {name.removeprefix("reconciler/_data/") for name in zipfile.ZipFile(wheel).namelist()}
    for folder in ("scripts/patch", "schemas", "examples/policies"):
        shipped = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert shipped
        assert shipped <= inside


def test_it_plans_in_a_bare_environment(command: Path, site: Site, lab: AptLab, tmp_path: Path) -> None:
    done = run(command, "--config", str(site.config), "plan", "--format", "json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    names = {move["name"] for move in json.loads(done.stdout)["plan"]["transaction"]}
    assert "plain" in names
    assert lab.versions()["plain"] == "1.0"


def test_it_begins_and_checks_a_policy(command: Path, tmp_path: Path) -> None:
    begun = run(command, "policy", "init", "mine", "--example", "production", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    assert run(command, "policy", "check", "mine", cwd=tmp_path).returncode == 0
    assert json.loads(run(command, "policy", "schema", "policy", cwd=tmp_path).stdout)["$schema"]
