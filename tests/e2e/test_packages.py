"""The packages: what they hold, and what becomes of a machine that installs, upgrades and removes them.

Each machine is this one's files with systemd at work and no network, see :mod:`tests.labs.machine`.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from reconciler import __version__
from tests.labs.machine import LAB, Machine
from tests.labs.packages import HOME, ROOT, Built, build, other_version, run_script, spoil

MINOR = f"python{sys.version_info[0]}.{sys.version_info[1]}"
CONFIG = "/etc/patchledger/config.yaml"
UNITS = ("patchledger.service", "patchledger.timer", "patchledger-boot.service", "patchledger-watch.service")

# Imports what it has not imported yet only when it is told to.
LAZY = """\
import reconciler, sys
print("ready", flush=True)
sys.stdin.readline()
import importlib, pkgutil
for found in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
    importlib.import_module(found.name)
import apprise, git, icalendar, watchfiles
apprise.Apprise().add("json://localhost/")
print("all", pathlib.Path(importlib.import_module("pydantic").__file__).parts[5])
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    ours = tmp_path_factory.getbasetemp()  # of this worker, below that of the whole test run
    return build((ours.parent if "PYTEST_XDIST_WORKER" in os.environ else ours) / "built-packages")


@pytest.fixture(scope="session")
def newer(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with another version."""
    return other_version(built.deb, "0.9-1", tmp_path_factory.mktemp("newer"))


@pytest.fixture(scope="session")
def spoilt(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A newer one, none of whose modules can be imported."""
    return other_version(built.deb, "0.9-1", tmp_path_factory.mktemp("spoilt"), spoil)


@pytest.fixture
def machine() -> Iterator[Machine]:
    # Whatever else a package triggers is not of interest here.
    with Machine.booted({"etc/dpkg/dpkg.cfg.d/lab": "no-triggers\n"}) as booted:
        yield booted


@pytest.fixture
def installed(machine: Machine, built: Built) -> Machine:
    install(machine, built.deb)
    return machine


def install(machine: Machine, package: Path, *, how: str = "--install") -> str:
    shutil.copy(package, machine.lab)
    return machine.run("dpkg", how, f"{LAB}/{package.name}")


def exists(machine: Machine, *paths: str) -> list[str]:
    return [path for path in paths if machine.run("sh", "-c", f"ls -d {path} 2>/dev/null || :").strip()]


def deployed(machine: Machine) -> list[str]:
    return machine.run("ls", "-A", f"/{HOME}/deployed").split()


# --- What they hold ---


def test_lintian_finds_nothing_but_what_is_named(built: Built) -> None:
    done = subprocess.run(
        ["lintian", "--fail-on", "error,warning", "--allow-root", built.deb],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_rpmlint_finds_nothing_but_what_is_named(built: Built) -> None:
    settings = ROOT / "scripts/packaging/rpm/rpmlint.toml"
    done = subprocess.run(
        ["rpmlint", "--config", settings, built.rpm], capture_output=True, text=True, check=False
    )
    assert "0 errors, 0 warnings" in done.stdout, done.stdout


PYTHONS = ("3.11", "3.12", "3.13", "3.14")
ARCHITECTURE = platform.machine()


@pytest.fixture(scope="session")
def unpacked(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("unpacked") / "tree"
    subprocess.run(["dpkg-deb", "--extract", built.deb, tree], check=True)
    return tree


def test_its_modules_are_there_for_each_python_and_for_this_machine(unpacked: Path) -> None:
    site = unpacked / HOME / "program/site"
    for name in ("pydantic_core/_pydantic_core", "yaml/_yaml"):
        found = {path.name for path in site.glob(f"{name}.*.so")}
        stem = name.partition("/")[2]
        wanted = (f"cpython-{one.replace('.', '')}-{ARCHITECTURE}-linux-gnu.so" for one in PYTHONS)
        assert found == {f"{stem}.{one}" for one in wanted}
    assert [path for path in unpacked.rglob("*") if re.search(r"python3\.\d", str(path))] == []


def test_its_bill_names_every_part_by_its_content(unpacked: Path) -> None:
    bill = json.loads((unpacked / "usr/share/doc/patchledger/sbom.cdx.json").read_bytes())
    parts = {one["purl"]: one for one in bill["components"]}
    pinned = (ROOT / "scripts/packaging/packaged.txt").read_text(encoding="utf-8")
    installed = importlib.metadata.distributions(path=[str(unpacked / HOME / "program/site")])
    ours = {
        f"pkg:pypi/{canonicalize_name(one.name)}@{one.version}"
        for one in installed
        if one.name != "patchledger"
    }
    assert {purl for purl in parts if purl.startswith("pkg:pypi/")} == ours
    for purl in ours:
        hashes = [one["hashes"][0]["content"] for one in parts[purl]["externalReferences"]]
        assert hashes
        assert [one for one in hashes if f"--hash=sha256:{one}" not in pinned] == []
    core = next(one for one in ours if "pydantic-core" in one)
    assert len(parts[core]["externalReferences"]) == len(PYTHONS)
    (needs,) = (one["dependsOn"] for one in bill["dependencies"] if one["ref"] == core)
    assert len([one for one in needs if one.startswith("pkg:cargo/")]) > 50
    references = {bill["metadata"]["component"]["bom-ref"], *(one["bom-ref"] for one in bill["components"])}
    assert len(references) == len(bill["components"]) + 1
    assert {ref for one in bill["dependencies"] for ref in (one["ref"], *one["dependsOn"])} <= references


def test_every_licence_is_named_where_people_look(built: Built, unpacked: Path) -> None:
    doc = unpacked / "usr/share/doc/patchledger"
    bill = json.loads((doc / "sbom.cdx.json").read_bytes())
    said = (doc / "copyright").read_text(encoding="utf-8")
    (told,) = query(built.rpm, "--queryformat", "%{LICENSE}\n")
    for one in bill["components"]:
        licence = one["licenses"][0]["expression"]
        assert f"  {one['name']} {one['version']}: {licence}\n" in said
        # One of several is enough; what is joined by AND must all be there.
        for each in re.sub(r"\([^()]* OR [^()]*\)", "", licence).split(" AND "):
            choices = [choice.strip() for choice in each.split(" OR ") if choice.strip()]
            assert not choices or any(choice in told for choice in choices), (one["name"], licence)


_LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)")


def test_every_page_that_a_page_names_is_there(unpacked: Path) -> None:
    doc = unpacked / "usr/share/doc/patchledger"
    assert (doc / "docs/reference/windows.md").is_file()
    base = (doc / "README.md").resolve().parent
    dead = [
        f"{page.relative_to(base)}: {target}"
        for page in base.rglob("*.md")
        for target in _LINK.findall(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert dead == []


def test_the_same_commit_gives_the_same_bytes(built: Built, tmp_path: Path) -> None:
    run_script(built.tree / "scripts/package", "--output", tmp_path, "deb", umask=0o077)
    (again,) = tmp_path.glob("*.deb")
    assert sha256(again) == sha256(built.deb)


def test_a_release_has_all_that_is_published_and_its_sums(built: Built) -> None:
    version = built.version.partition("-")[0]
    sums = (built.folder / "SHA256SUMS").read_text(encoding="utf-8").split("\n")
    told = dict(line.split("  ")[::-1] for line in sums if line)
    assert told == {path.name: sha256(path) for path in built.folder.iterdir() if path.name != "SHA256SUMS"}
    assert set(told) == {
        built.deb.name,
        built.rpm.name,
        f"patchledger-{version}-py3-none-any.whl",
        f"patchledger-{version}.tar.gz",
        f"patchledger-{version}.cdx.json",
    }
    bill = json.loads((built.folder / f"patchledger-{version}.cdx.json").read_bytes())
    assert bill["metadata"]["component"]["version"] == version


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("v77.0", "there is no tag v77.0"),
        ("v78.0", f"v78.0 is a commit of version {__version__}"),
        (f"{__version__}", "CHANGELOG.md of"),
    ],
)
def test_a_tag_that_is_no_release_is_refused_before_anything_is_built(
    tmp_path: Path, tag: str, said: str
) -> None:
    subprocess.run(["git", "clone", "--quiet", ROOT, tmp_path / "tree"], check=True)
    shutil.copy(ROOT / "scripts/release", tmp_path / "tree/scripts/release")
    if tag != "v77.0":
        subprocess.run(["git", "-C", tmp_path / "tree", "tag", tag], check=True)
    done = subprocess.run(
        [tmp_path / "tree/scripts/release", tag], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_rpm_asks_for_what_it_needs_and_has_what_the_deb_has(built: Built) -> None:
    pythons = "(/usr/bin/python3.14 or /usr/bin/python3.13 or /usr/bin/python3.12 or /usr/bin/python3.11)"
    assert {pythons, "git-core >= 2.34"} <= set(query(built.rpm, "--requires"))
    assert query(built.rpm, "--provides") == sorted(
        [f"patchledger = {built.version}", f"patchledger({query_architecture(built.rpm)}) = {built.version}"]
    )
    listed = subprocess.check_output(["dpkg-deb", "--fsys-tarfile", built.deb])
    names = subprocess.run(["tar", "-t"], input=listed, capture_output=True, check=True).stdout.decode()
    files = {line.removeprefix(".") for line in names.splitlines() if not line.endswith("/")}
    theirs = {"/usr/share/lintian/overrides/patchledger", "/usr/share/doc/patchledger/changelog.Debian.gz"}
    moved = {
        name.replace("/zsh/vendor-completions/", "/zsh/site-functions/")
        for name in files
        if name not in theirs
    }
    assert moved - set(query(built.rpm, "--list")) == set()


def query(rpm: Path, *what: str) -> list[str]:
    done = subprocess.run(
        ["rpm", "--query", "--package", *what, rpm], capture_output=True, text=True, check=True
    )
    return sorted(line.strip() for line in done.stdout.splitlines())


def query_architecture(rpm: Path) -> str:
    (found,) = query(rpm, "--queryformat", "%{ARCH}\n")
    return found.replace("_", "-")


# --- On a machine ---


def test_it_works_at_once_without_a_network_and_starts_nothing(installed: Machine, built: Built) -> None:
    assert installed.run("patchledger", "--version").split() == ["patchledger", built.version.split("-")[0]]
    for example in ("minimal", "production", "homelab"):
        folder = f"/usr/share/doc/patchledger/examples/policies/{example}"
        assert "no problem" in installed.run("patchledger", "policy", "check", folder)
    scripts = (
        "env",
        "--chdir=/usr/share/patchledger/scripts",
        "sha256sum",
        "--check",
        "--quiet",
        "SHA256SUMS",
    )
    assert installed.run(*scripts) == ""
    assert exists(installed, "/usr/share/patchledger/schemas/config.schema.json")
    # No unit is enabled, and none has ever run.
    for unit in UNITS:
        state = installed.run("systemctl", "show", "-P", "LoadState,ActiveState,UnitFileState", unit)
        assert state.split() == ["loaded", "inactive", "static" if unit == UNITS[0] else "disabled"]
    assert (
        installed.run("systemd-analyze", "verify", *(f"/usr/lib/systemd/system/{unit}" for unit in UNITS))
        == ""
    )


def test_no_module_of_the_distribution_or_the_caller_gets_in(installed: Machine) -> None:
    bad = "raise SystemError('a stranger')\n"
    for place in ("/usr/lib/python3/dist-packages", f"/usr/local/lib/{MINOR}/dist-packages", "/root"):
        for name in ("pydantic", "yaml", "reconciler", "sitecustomize"):
            installed.run("mkdir", "-p", place)
            installed.run("tee", f"{place}/{name}.py", stdin=bad)
    command = ("patchledger", "policy", "check", "/usr/share/doc/patchledger/examples/policies/minimal")
    assert "no problem" in installed.run("env", "--chdir=/root", "PYTHONPATH=/root", *command)
    # Notifiers are asked by a child, which must not find anything else either.
    python = f"/{HOME}/current/bin/python3"
    assert installed.run(python, "-I", "-c", "import pydantic; print(pydantic.__name__)").split() == [
        "pydantic"
    ]


def test_the_manual_is_readable_and_without_mistakes(installed: Machine) -> None:
    for section, name in (("1", "patchledger"), ("5", "patchledger-config")):
        file = f"/usr/share/man/man{section}/{name}.{section}.gz"
        shown = installed.run("sh", "-c", f"man --warnings -l {file}")
        assert "warning" not in shown
        assert f"{name.upper()}({section})" in shown
        assert installed.run("mandoc", "-T", "lint", "-W", "warning", file) == ""
    help_text = installed.run("patchledger", "--help")
    page = installed.run("sh", "-c", "zcat /usr/share/man/man1/patchledger.1.gz")
    for verb in ("run", "plan", "explain", "status"):
        assert f"\n    {verb} " in help_text
        assert f".SS {verb}\n" in page


BASH = """
. /usr/share/bash-completion/completions/patchledger
COMP_WORDS=(patchledger ex) COMP_CWORD=1
_shtab_patchledger
echo "${COMPREPLY[@]}"
"""
# zsh completes only where somebody types.
ZSH = """
zmodload zsh/zpty
zpty shell 'TERM=dumb zsh -f'
zpty -w shell 'autoload -Uz compinit; compinit -u; PS1=; echo re""ady'
zpty -m -r shell said '*ready*'
zpty -w -n shell $'patchledger expl\\t'
zpty -m -r shell said '*explain*' && echo explain
"""
FISH = "complete --do-complete 'patchledger ex'"


@pytest.mark.parametrize(("shell", "asked"), [("bash", BASH), ("zsh", ZSH), ("fish", FISH)])
def test_each_shell_completes_a_verb(installed: Machine, shell: str, asked: str) -> None:
    assert "explain" in installed.run("timeout", "30", shell, "-c", asked).split()


# What a shell asks for is completed here as by somebody who typed the words before it.
ASKING = {
    "bash": """
. /usr/share/bash-completion/completions/patchledger
COMP_WORDS=(patchledger $1) COMP_CWORD=$((${#COMP_WORDS[@]}))
COMP_WORDS+=("$2")
_shtab_patchledger
echo "${COMPREPLY[@]}"
""",
    "fish": 'complete --do-complete "patchledger $argv[1] $argv[2]"',
    "zsh": """
zmodload zsh/zpty
zpty shell 'TERM=dumb zsh -f'
zpty -w shell 'autoload -Uz compinit; compinit -u; PS1=; echo re""ady'
zpty -m -r shell said '*ready*'
zpty -w -n shell "patchledger $1 $2"$'\\t'
zpty -m -r shell said "*$1 $3*" && echo $3
""",
}
KNOWN = """
mkdir -p /var/lib/patchledger /var/log/patchledger /etc/patchledger
umask 077
echo '{"plan": {"updates": [{"name": "curl"}, {"name": "curlftpfs"}, {"name": "bash"}]}}' \\
    >/var/lib/patchledger/report.json
printf 'host: web-01\\nnotifiers:\\n  ops: {file: /etc/ops}\\n  oncall: {file: /etc/oncall}\\n' \\
    >/etc/patchledger/config.yaml
touch /var/log/patchledger/20261121T020004Z-0001.json /var/log/patchledger/20261121T020004Z-0001.log
"""


@pytest.mark.parametrize("shell", sorted(ASKING))
def test_each_shell_completes_what_this_host_knows(installed: Machine, shell: str) -> None:
    installed.run("sh", "-ec", KNOWN)
    asked = ASKING[shell]
    more = () if shell == "fish" else (shell,)

    def completed(verb: str, begun: str, wanted: str) -> list[str]:
        said = installed.run("timeout", "60", shell, "-c", asked, *more, verb, begun, wanted)
        return said.split()

    assert "bash" in completed("explain", "ba", "bash")
    assert "oncall" in completed("notify test", "onc", "oncall")
    assert "20261121T020004Z-0001" in completed("log", "2026", "20261121T020004Z-0001")


def test_the_values_that_a_shell_asks_for_cost_next_to_nothing(installed: Machine) -> None:
    installed.run("sh", "-ec", KNOWN)
    python = f"/{HOME}/current/bin/python3"
    show = (
        f"import sys; sys.path.append('/{HOME}/current/site'); from reconciler.cli import main\n"
        "main(sys.argv[1:]); print(len(sys.modules), 'pydantic' in sys.modules, 'argparse' in sys.modules)"
    )
    *values, modules, pydantic, parser = installed.run(
        python, "-IS", "-c", show, "__values", "packages"
    ).split()
    assert values == ["bash", "curl", "curlftpfs"]
    assert (int(modules) < 100, pydantic, parser) == (True, "False", "False")
    # Whatever is wrong, nothing is said to whoever types.
    installed.run("rm", "/var/lib/patchledger/report.json")
    assert installed.run("patchledger", "__values", "packages") == ""
    assert installed.run("patchledger", "__values", "nonsense") == ""


def test_a_running_process_keeps_its_modules_when_it_is_upgraded(
    installed: Machine, built: Built, spoilt: Path, newer: Path
) -> None:
    folder = f"/{HOME}/deployed/{built.version}"
    lazy = [f"{folder}/bin/python3", "-I", "-c", f"import pathlib\n{LAZY}"]
    with subprocess.Popen(
        [*installed.entering, *lazy],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        install(installed, spoilt)
        assert sorted(deployed(installed)) == [built.version, "0.9-1"]
        assert "new version" in installed.run("patchledger", "--version", check=False)
        said, _ = running.communicate("go\n", timeout=60)
    assert (running.returncode, said) == (0, f"all {built.version}\n")
    # What nothing runs from any more goes with the next one, which may have the same version.
    install(installed, newer)
    assert deployed(installed) == ["0.9-1.1"]
    assert "patchledger" in installed.run("patchledger", "--version")


def test_a_half_done_upgrade_leaves_the_old_version_at_work(installed: Machine, spoilt: Path) -> None:
    before = installed.run("readlink", f"/{HOME}/current")
    install(installed, spoilt, how="--unpack")
    assert installed.run("patchledger", "--version").startswith("patchledger ")
    assert installed.run("readlink", f"/{HOME}/current") == before
    installed.run("dpkg", "--configure", "patchledger")
    assert installed.run("readlink", f"/{HOME}/current") != before


def test_a_damaged_installation_is_healed_by_installing_it_again(installed: Machine, built: Built) -> None:
    installed.run("sh", "-c", f"echo broken >/{HOME}/program/site/reconciler/__init__.py")
    installed.run("sh", "-c", f"find /{HOME}/ -path '*/reconciler/__pycache__/__init__*' -delete")
    assert "Traceback" in installed.run("patchledger", "--version", check=False)
    install(installed, built.deb)
    assert installed.run("patchledger", "--version").startswith("patchledger ")


def test_configuration_survives_upgrade_and_removal_and_goes_with_a_purge(
    installed: Machine, newer: Path
) -> None:
    installed.run("sh", "-c", f"umask 077; echo 'host: web-01' >{CONFIG}")
    kept = (
        "/etc/patchledger/credentials/ops.cred",
        "/var/lib/patchledger/trust.json",
        "/var/log/patchledger/x.log",
    )
    for path in kept:
        installed.run("install", "-D", "-m", "600", "/dev/null", path)
    installed.run("systemctl", "enable", "--now", "patchledger.timer")
    park(installed)
    install(installed, newer)
    assert installed.run("stat", "-c", "%a %U", CONFIG, "/etc/patchledger").split() == [
        "600",
        "root",
        "755",
        "root",
    ]
    assert state_of(installed, "patchledger.timer") == ["active", "enabled"]

    installed.run("dpkg", "--remove", "patchledger")
    assert installed.run("cat", CONFIG) == "host: web-01\n"
    assert exists(installed, *kept) == list(kept)
    # Somebody must patch this machine.
    assert state_of(installed, "apt-daily.timer") == ["active", "static"]
    assert exists(installed, f"/{HOME}", "/usr/bin/patchledger", "/etc/systemd/system/*/patchledger*") == []
    assert state_of(installed, "patchledger.timer") == ["inactive"]

    install(installed, newer)
    assert installed.run("cat", CONFIG) == "host: web-01\n"
    said = installed.run("dpkg", "--purge", "patchledger")
    assert "never pushed" in said
    assert (
        exists(installed, "/etc/patchledger", "/var/lib/patchledger", "/var/log/patchledger", f"/{HOME}")
        == []
    )
    # Once more finds nothing to do, and is no error.
    assert "never pushed" not in installed.run("dpkg", "--purge", "patchledger")


def park(machine: Machine) -> None:
    """Park another updater, as ``setup`` does."""
    machine.put_unit("apt-daily.timer", "[Timer]\nOnActiveSec=1d\nUnit=patchledger.service\n")
    machine.run("systemctl", "start", "apt-daily.timer")
    park = "from reconciler.host.install.competing import find, park; from pathlib import Path"
    record = "Path('/etc/patchledger/parked-updaters.json')"
    machine.run(f"/{HOME}/current/bin/python3", "-I", "-c", f"{park}; park(find(), {record})")
    assert state_of(machine, "apt-daily.timer") == ["inactive", "masked"]


def state_of(machine: Machine, unit: str) -> list[str]:
    return machine.run("systemctl", "show", "-P", "ActiveState,UnitFileState", unit).split()


# --- The RPM ---


def rpm(machine: Machine, *arguments: str) -> str:
    # This machine's packages are in another database, so nothing that is needed is known to be there.
    return machine.run("rpm", "--force-debian", "--nodeps", *arguments)


def test_the_rpm_installs_upgrades_and_goes(machine: Machine, built: Built) -> None:
    shutil.copy(built.rpm, machine.lab)
    file = f"{LAB}/{built.rpm.name}"
    rpm(machine, "--install", file)
    folder = "/usr/share/doc/patchledger/examples/policies/production"
    assert "no problem" in machine.run("patchledger", "policy", "check", folder)
    machine.run("sh", "-c", f"umask 077; echo 'host: web-01' >{CONFIG}")
    machine.run("systemctl", "enable", "--now", "patchledger.timer")

    rpm(machine, "--upgrade", "--replacepkgs", file)
    assert deployed(machine) == [f"{built.version}.1"]
    assert state_of(machine, "patchledger.timer") == ["active", "enabled"]
    assert rpm(machine, "--verify", "patchledger") == ""

    rpm(machine, "--erase", "patchledger")
    assert machine.run("cat", CONFIG) == "host: web-01\n"
    assert exists(machine, f"/{HOME}", "/usr/bin/patchledger", "/etc/systemd/system/*/patchledger*") == []
    assert state_of(machine, "patchledger.timer") == ["inactive"]


# --- Upgraded by its own run ---

POLICY = """\
kind: Policy
name: base
action: apply
schedule: [always]
budget: 5m
"""
SCHEDULE = """\
kind: Schedule
name: always
timezone: UTC
windows:
  - {start: "*-*-* *:00", duration: 3h}
"""
SET_UP = f"""
systemctl mask packagekit.service # apt's hooks would start it
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:{LAB}/repository ./' >/etc/apt/sources.list
rm /etc/dpkg/dpkg.cfg.d/lab && dpkg --configure --pending
mkdir -p /var/lib/site/policy
cp -R {LAB}/policies {LAB}/schedules /var/lib/site/policy/
export GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=ada@example.org
export GIT_COMMITTER_NAME=Ada GIT_COMMITTER_EMAIL=ada@example.org
cd /var/lib/site/policy
git init -q -b main && git add -A && git commit -qm begin
git init -q --bare -b main /var/lib/site/reports.git
umask 077
cp {LAB}/config.yaml {CONFIG}
"""


def test_it_upgrades_itself_in_its_own_run(installed: Machine, built: Built, newer: Path) -> None:
    repository = installed.lab / "repository"
    repository.mkdir()
    shutil.copy(newer, repository)
    packages = subprocess.check_output(["apt-ftparchive", "packages", "."], cwd=repository)
    (repository / "Packages").write_bytes(packages)
    release = subprocess.check_output(["apt-ftparchive", "release", "."], cwd=repository)
    (repository / "Release").write_bytes(release)
    config = {
        "host": "web-01",
        "policy": {"remote": "/var/lib/site/policy"},
        "reports": {"remote": "/var/lib/site/reports.git"},
    }
    (installed.lab / "config.yaml").write_text(json.dumps(config))
    for folder, text in (("policies", POLICY), ("schedules", SCHEDULE)):
        (installed.lab / folder).mkdir()
        (installed.lab / folder / "base.yaml").write_text(text)
    installed.run("sh", "-ec", SET_UP)

    installed.run("systemctl", "start", "patchledger.service", check=False)

    said = installed.run("journalctl", "--identifier=patchledger", "--output=cat")
    assert installed.run("systemctl", "is-failed", "patchledger.service", check=False) == "inactive\n", said
    assert "Traceback" not in said
    assert (
        installed.run("dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Version}", "patchledger") == "ii 0.9-1"
    ), said
    told = ("git", "-C", "/var/lib/site/reports.git", "log", "--format=%s", "hosts/web-01")
    assert "web-01: applied 1 change" in installed.run(*told).splitlines(), said
    # The run was the old version's to its end; the next is the new one's, and finds nothing to do.
    assert sorted(deployed(installed)) == [built.version, "0.9-1"]
    installed.run("systemctl", "start", "patchledger.service")
    assert installed.run("systemctl", "is-failed", "patchledger.service", check=False).strip() == "inactive"
