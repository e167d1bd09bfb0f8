"""``policy init --from-...`` as people call it: what it writes, prints and refuses."""

import json
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.errors import MISUSE
from tests.policy.updaters import DEBIAN, DNF5, PERIODIC

Printed = pytest.CaptureFixture[str]
RELEASE = 'ID=debian\nVERSION_ID="12"\n# none\nVERSION_CODENAME=bookworm\n'


def files(folder: Path, **texts: str) -> list[str]:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [str(folder / name) for name in texts]


def debian(folder: Path) -> list[str]:
    """Return the arguments for Debian's two files, and for a host of that release in another time zone."""
    named = files(folder, **{"20auto-upgrades": PERIODIC, "50unattended-upgrades": DEBIAN})
    (release,) = files(folder, release=RELEASE)
    return ["--from-unattended-upgrades", *named, "--os-release", release, "--timezone", "Europe/Berlin"]


def call(*arguments: str) -> int:
    return main(["policy", "init", *arguments])


def test_a_folder_becomes_a_repository_that_is_good_and_keeps_what_is_left(
    tmp_path: Path, capsys: Printed
) -> None:
    folder = tmp_path / "ops"

    assert call(str(folder), *debian(tmp_path)) == 0
    printed = capsys.readouterr()
    first, *left = printed.out.splitlines()
    assert first == str(folder)
    assert len(left) == 1
    assert all(line.startswith(f"{tmp_path}/50unattended-upgrades:") for line in left)
    readme = (folder / "README.md").read_text()
    assert readme.startswith("# Policy\n\nMade from 20auto-upgrades, 50unattended-upgrades by")
    assert "\n    50unattended-upgrades:5: Unattended-Upgrade::Origins-Pattern: " in readme
    assert main(["policy", "check", str(folder), "--rev", "main"]) == 0
    assert main(["policy", "check", str(folder)]) == 0
    schedule = folder / "schedules" / "unattended-upgrades.yaml"
    assert "\ntimezone: Europe/Berlin\n" in schedule.read_text()
    named = schedule.read_text().splitlines()[0].partition("$schema=")[2]
    assert (schedule.parent / named).is_file()


def test_what_it_writes_holds_for_a_host_of_that_release(tmp_path: Path, capsys: Printed) -> None:
    folder = tmp_path / "ops"
    call(str(folder), *debian(tmp_path))
    capsys.readouterr()

    def settings(os: str) -> dict[str, object]:
        assert (
            main(["policy", "show", "web", str(folder), "--os", os, "--manager", "apt", "--format", "json"])
            == 0
        )
        found: dict[str, object] = json.loads(capsys.readouterr().out)["settings"]
        return found

    assert settings("debian-12")["action"] == "apply"
    assert settings("debian-13")["action"] == "plan"


def test_the_folder_may_come_last(tmp_path: Path, capsys: Printed) -> None:
    (named,) = files(tmp_path, automatic=DNF5)

    assert call("--from-dnf-automatic", named, str(tmp_path / "ops")) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}/ops\n")
    assert (tmp_path / "ops" / "policies" / "dnf-automatic.yaml").is_file()


def test_without_a_folder_nothing_is_written_and_all_is_printed(tmp_path: Path, capsys: Printed) -> None:
    (named,) = files(tmp_path, automatic=DNF5)

    assert call("--from-dnf-automatic", named) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("# policies/dnf-automatic.yaml\n")
    assert f"\n# {named}:2: [commands] apply_updates: says no" in printed.out
    assert printed.err == "2 remarks; nothing is written\n"
    assert [path.name for path in tmp_path.iterdir()] == ["automatic"]


def test_programs_are_told_the_same(tmp_path: Path, capsys: Printed) -> None:
    assert call(*debian(tmp_path), "--format", "json") == 0

    found = json.loads(capsys.readouterr().out)
    assert set(found["documents"]) == {
        "policies/unattended-upgrades.yaml",
        "schedules/unattended-upgrades.yaml",
    }
    assert (found["folder"], found["commit"], len(found["left"])) == (None, "", 1)
    assert found["left"][-1]["line"] == 5


def test_copies_set_aside_are_passed_over_as_apt_does(tmp_path: Path, capsys: Printed) -> None:
    old = files(tmp_path, **{"50unattended-upgrades.dpkg-old": 'Unattended-Upgrade::Mail "x";'})

    assert call(*debian(tmp_path)[:3], *old, "--os-release", str(tmp_path / "release")) == 0
    assert "notify" not in capsys.readouterr().out
    assert call("--from-unattended-upgrades", *old) == MISUSE


def test_a_folder_of_apt_is_read_as_apt_reads_it(tmp_path: Path, capsys: Printed) -> None:
    parts = tmp_path / "apt.conf.d"
    parts.mkdir()
    own = "Unattended-Upgrade::MinimalSteps"
    texts = {"90.b.conf": f'{own} "false";', "10a": PERIODIC, "80c": f'{own} "true";', "99d.rpmsave": "}{"}
    files(parts, **texts)

    assert call("--from-unattended-upgrades", str(parts)) == 0
    printed = capsys.readouterr().out
    assert "\naction: apply\n" in printed
    assert "\nsteps: single\n" in printed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('A "1";\nB { c\n', '50: 3: apt cannot read this: "c" does not end'),
        ("L { };\n{ x; };", "50: 2: apt cannot read this: a block has no name"),
    ],
)
def test_what_apt_cannot_read_is_one_line(tmp_path: Path, capsys: Printed, text: str, said: str) -> None:
    (named,) = files(tmp_path, **{"50": text})

    assert call("--from-unattended-upgrades", named) == MISUSE
    assert said.replace("50: ", f"{named}:") in capsys.readouterr().err


def test_more_than_a_policy_may_hold_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: Printed
) -> None:
    names = "".join(f' "a.{number}$";' for number in range(300))
    (named,) = files(tmp_path, **{"50": f"Unattended-Upgrade::Package-Blacklist {{{names} }};"})

    assert call(str(tmp_path / "ops"), "--from-unattended-upgrades", named) == MISUSE
    assert "it would be no good policy: exceptions/package-blacklist.yaml:" in capsys.readouterr().err
    assert not (tmp_path / "ops").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no folder is named"),
        (["x", "--timezone", "UTC"], "are about hosts whose configuration is converted"),
        (["--from-dnf-automatic", "/none"], "cannot read /none"),
        (["--from-dnf-automatic", "/dev/zero"], "is larger than 1 MiB"),
        (["--from-dnf-automatic", "/dev/null", "--timezone", "Mars"], "--timezone: "),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], said: str, capsys: Printed) -> None:
    assert call(*arguments) == MISUSE
    assert said in capsys.readouterr().err


def test_a_folder_that_holds_something_stays_as_it_is(tmp_path: Path, capsys: Printed) -> None:
    (named,) = files(tmp_path, automatic=DNF5)

    assert call(str(tmp_path), "--from-dnf-automatic", named) == MISUSE
    assert "is not an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["automatic"]


def test_an_inventory_becomes_a_repository_and_never_replaces_one(tmp_path: Path, capsys: Printed) -> None:
    (inventory,) = files(tmp_path, hosts="[web]\nweb-[1:3] ansible_user=x\nWeb_4\n")
    folder = tmp_path / "ops"
    assert call(str(folder), "--from-inventory", inventory) == 0
    printed = capsys.readouterr()
    assert 'hosts:3: "Web_4" is no host id' in printed.out
    assert sorted(path.name for path in (folder / "hosts").iterdir()) == [
        "web-1.yaml",
        "web-2.yaml",
        "web-3.yaml",
    ]
    assert '    hosts:3: "Web_4" is no host id' in (folder / "README.md").read_text()
    assert main(["policy", "check", str(folder)]) == 0
    mine = "kind: Host\nname: web-1\nlabels: {mine: stays}\n"
    (folder / "hosts" / "web-1.yaml").write_text(mine)
    assert call(str(folder), "--from-inventory", inventory) == MISUSE
    assert (folder / "hosts" / "web-1.yaml").read_text() == mine


def test_a_folder_of_inventories_is_read_as_ansible_reads_it(tmp_path: Path, capsys: Printed) -> None:
    folder = tmp_path / "inventory"
    (folder / "group_vars").mkdir(parents=True)
    files(folder / "group_vars", web="a: {}\n")
    files(
        folder,
        **{"10-web": "[web]\nweb-1\n", "20.yml": "db: {hosts: {db-1: }}\n", "web~": "web-9\n", "x.cfg": "]"},
    )
    assert call("--from-inventory", str(folder), "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(found["documents"]) == ["hosts/db-1.yaml", "hosts/web-1.yaml", "policies/base.yaml"]
    assert found["left"] == []


def test_what_is_no_inventory_writes_nothing(tmp_path: Path, capsys: Printed) -> None:
    (program,) = files(tmp_path, dynamic="#!/bin/sh\necho {}\n")
    assert call(str(tmp_path / "ops"), "--from-inventory", program) == MISUSE
    assert "is a program and no inventory" in capsys.readouterr().err
    assert not (tmp_path / "ops").exists()
