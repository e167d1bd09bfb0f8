"""Readers of dnf's output that no lab shows: other versions of dnf, kernels of a real machine, garbage."""

import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.managers.dnf import DNF
from reconciler.managers.dnf_formats import advice_for, advised
from reconciler.managers.dnf_relations import unmet
from reconciler.managers.rpm import Advice
from reconciler.managers.sections import Section
from reconciler.planning.facts.observation import RebootNeed, Refresh, RefreshOutcome, Unmet
from tests.managers.told import parse_answer, parse_observe, parse_refresh

AT = datetime(2026, 11, 22, tzinfo=UTC)
SCRIPT = Path(__file__).parents[2] / "scripts/patch/dnf-update.sh"


def test_a_conflict_that_dnf_5_turns_round_is_told_of_who_declares_it() -> None:
    said = "package victim-1.0-1.noarch conflicts with victim provided by remover-2.0-1.noarch from lab"
    assert unmet([f"Problem 2: installed {said}"]) == (Unmet("remover", "2.0-1", "Conflicts", "victim"),)


def observed(
    kernels: str, running: str, *, container: str = "no", root: str = "/", restarting: str = ""
) -> str:
    sections = {
        "os": "|ID=rocky\n",
        "machine": f"|kernel={running}\n|container={container}\n|root={root}\n|uid=0\n",
        "installed": "".join(f"|{line}\n" for line in kernels.splitlines()),
        "reasons": "",
        "versionlock": "",
        "repositories": "",
        "metadata": "",
        "upgrades": "",
        "locks": "",
        "filesystems": "",
        "clock": "|yes\n",
    }
    body = "".join(f"[{name}]\n{text}= 0\n" for name, text in sections.items())
    return f"patchledger-patch 1 dnf\n{body}{restarting}exit 0\n"


OBSOLETERS = """\
|@\tnew\ti686\t2-1\tlab\t10\t20
|\tobsoletes
|old < 2
|@\tnew\tx86_64\t2-1\tlab\t10\t20
|\tobsoletes
|old < 2
|other < 0.5
|@\tnew\tx86_64\t2-1\tmirror\t10\t20
|\tobsoletes
|old < 2
|@\tnew\tx86_64\t2-2\tlab\t10\t20
|\tobsoletes
|old < 2
|@\tbash\tx86_64\t9-1\tlab\t10\t20
|\tobsoletes
|old < 2
|@\tdoc\tnoarch\t2-1\tlab\t10\t20
|\tobsoletes
|old-doc
"""


def test_what_would_take_the_place_of_installed_packages_is_offered() -> None:
    row = "{}\t{}\t1-1\t1\t1"
    names = [
        ("bash", "x86_64"),
        ("old", "i686"),
        ("old", "x86_64"),
        ("old-doc", "noarch"),
        ("other", "x86_64"),
    ]
    text = observed("\n".join(row.format(*name) for name in names), "").replace(
        "kernel=", "architecture=x86_64\n|kernel="
    )
    sections = f"[obsoleters]\n{OBSOLETERS}= 0\n[obsoleters-advised]\n|new\tx86_64\t2-1\n= 0\n"
    offers = parse_observe(DNF, text.replace("exit 0\n", f"{sections}exit 0\n"), AT).offers
    told = {
        str(offer.package): (
            [str(one) for one in offer.replaces],
            [(one.version, one.origins, one.security) for one in offer.versions],
        )
        for offer in offers
    }
    assert told == {
        "doc:noarch": (["old-doc:noarch"], [("2-1", ("lab",), False)]),
        "new:i686": (["old:i686"], [("2-1", ("lab",), False)]),
        "new:x86_64": (
            ["old:x86_64"],
            [("2-2", ("lab",), False), ("2-1", ("lab", "mirror"), True)],
        ),
    }


def test_what_the_operator_does_not_admit_is_held() -> None:
    text = observed("old\tx86_64\t1-1\t1\t1", "")
    for admitted, offered in (("|new\tx86_64\t2-1\tmirror\n", ("2-1", False)), ("", ("2-2", True))):
        sections = f"[obsoleters]\n{OBSOLETERS}= 0\n[admitted]\n{admitted}= 0\n"
        offers = parse_observe(DNF, text.replace("exit 0\n", f"{sections}exit 0\n"), AT).offers
        assert [(offer.candidate, offer.held) for offer in offers if offer.name == "new"] == [offered]


OLD = "kernel-core\tx86_64\t5.14.0-362.8.1.el9_3\t1\t1"
NEW = "kernel-core\tx86_64\t5.14.0-427.13.1.el9_4\t1\t1"
BASH = "bash\tx86_64\t5.1.8-9.el9\t1\t1"
RUNNING = "5.14.0-362.8.1.el9_3.x86_64"
RESTART = """\
[restarting]
|Core libraries or services have been updated since boot-up:
|  * glibc
|
|Reboot is required to fully utilize these updates.
= 1
"""


@pytest.mark.parametrize(
    ("kernels", "running", "need"),
    [
        (f"{OLD}\n{NEW}", RUNNING, RebootNeed.REQUIRED),
        (f"{OLD}\n{NEW}", "5.14.0-427.13.1.el9_4.x86_64", RebootNeed.NOT_REQUIRED),
        # The newest one installed need not be the last in the order of texts.
        (f"{OLD}\n{OLD.replace('362.8', '362.18')}", "5.14.0-362.18.1.el9_3.x86_64", RebootNeed.NOT_REQUIRED),
        (f"{OLD}\n{NEW}", "5.14.0-427.13.1.el9_4.x86_64+debug", RebootNeed.NOT_REQUIRED),
        (OLD, "6.8.12-proxmox", RebootNeed.UNKNOWN),
        (BASH, "6.8.12-proxmox", RebootNeed.NOT_REQUIRED),
        # Only a kernel of the same kind takes the running one's place.
        (f"{OLD}\n{NEW.replace('kernel-core', 'kernel-rt-core')}", RUNNING, RebootNeed.NOT_REQUIRED),
        (f"{OLD}\n{NEW.replace('kernel-core', 'kernel-tools')}", RUNNING, RebootNeed.NOT_REQUIRED),
    ],
)
def test_a_newer_kernel_than_the_running_one_needs_a_reboot(
    kernels: str, running: str, need: RebootNeed
) -> None:
    assert parse_observe(DNF, observed(kernels, running), AT).reboot.need is need


@pytest.mark.parametrize(("container", "root"), [("yes", "/"), ("no", "/srv/image")])
def test_containers_and_images_need_none(container: str, root: str) -> None:
    text = observed(f"{OLD}\n{NEW}", RUNNING, container=container, root=root)
    assert parse_observe(DNF, text, AT).reboot.need is RebootNeed.NOT_REQUIRED


def test_the_plugins_verdict_counts_with_its_reasons() -> None:
    reboot = parse_observe(DNF, observed(OLD, RUNNING, restarting=RESTART), AT).reboot
    assert (reboot.need, reboot.reasons) == (RebootNeed.REQUIRED, ("glibc",))


def test_a_plugin_that_fails_says_neither() -> None:
    failed = "[restarting]\n!Error: no such command\n= 1\n"
    reboot = parse_observe(DNF, observed(OLD, RUNNING, restarting=failed), AT).reboot
    assert (reboot.need, reboot.reasons) == (
        RebootNeed.UNKNOWN,
        ("[restarting] ended with 1 and no answer",),
    )


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("installed", "bash 5.1"),
        ("reasons", "bash\tx86_64"),
        ("upgrades", "bash\tx86_64\t5.2-1"),
        ("versionlock", "bash"),
        ("metadata", "baseos"),
    ],
)
def test_lines_of_another_form_stall(name: str, line: str) -> None:
    text = observed(BASH, RUNNING)
    broken = re.sub(rf"\[{name}\]\n", f"[{name}]\n|{line}\n", text)
    with pytest.raises(Stalled, match=rf"\[{name}\]"):
        parse_observe(DNF, broken, AT)


def test_a_table_with_a_heading_that_nobody_knows_stalls() -> None:
    moves = "[moves]\n|unknown\tInstalling modules\n= 0\n"
    text = f"patchledger-patch 1 dnf\n[installed]\n= 0\n[resolve]\n= 1\n{moves}exit 0\n"
    with pytest.raises(Stalled, match="Installing modules"):
        parse_answer(DNF, text)


def test_who_may_not_refresh_is_not_a_failure() -> None:
    detail = "only root may refresh the metadata of this machine"
    text = f"patchledger-patch 1 dnf\n[refresh]\n!{detail}\n= 1\nexit 1\n"
    assert parse_refresh(DNF, text) == Refresh(RefreshOutcome.NOT_PERMITTED, detail)


# --- one name in two architectures --------------------------------------------------------------------------

ZLIBS = "zlib\ti686\t1.0-1\t10\t1\nzlib\tx86_64\t1.0-1\t20\t1"


def test_of_two_architectures_the_advised_one_is_the_security_update() -> None:
    offered = "".join(f"|zlib\t{arch}\t1.1-1\tlab\t5\t6\n" for arch in ("i686", "x86_64"))
    advisory = "[advisories]\n|LAB-1 Important/Sec. zlib-1.1-1.x86_64\n= 0\n"
    text = observed(ZLIBS, RUNNING, restarting=advisory).replace("[upgrades]\n", f"[upgrades]\n{offered}")
    offers = parse_observe(DNF, text, AT).offers
    assert [(one.arch, one.versions[0].security, one.advisories) for one in offers] == [
        ("i686", False, ()),
        ("x86_64", True, ("LAB-1",)),
    ]
    moves = "|upgrade\tzlib\tx86_64\t1.1-1\tlab\n|skip\tzlib\ti686\t1.1-1\tlab\n"
    installed = "".join(f"|{line}\n" for line in ZLIBS.splitlines())
    resolved = f"[installed]\n{installed}= 0\n[resolve]\n= 0\n[moves]\n{moves}= 0\n"
    answer = parse_answer(DNF, f"patchledger-patch 1 dnf\n{resolved}exit 0\n", offers)
    assert [(one.arch, one.from_version, one.security) for one in answer.changes] == [
        ("x86_64", "1.0-1", True)
    ]
    assert answer.kept_back == ("zlib:i686",)


# --- advisories ---------------------------------------------------------------------------------------------


def test_advisories_of_dnf_4_and_of_dnf_5_are_read_alike() -> None:
    four = Section("advisories", ("RHSA-2026:1 Critical/Sec. bash-0:5.2-1.el9.x86_64",), (), 0)
    five = Section(
        "advisories",
        (
            "Name        Type     Severity Package                Issued             ",
            "RHSA-2026:1 security Critical bash-5.2-1.el9.x86_64  2026-11-01 10:00:00",
        ),
        (),
        0,
    )
    assert tuple(advised(four)) == tuple(advised(five))
    (one,) = advised(four)
    assert (one.name, one.version, one.security, one.severity) == ("bash", "5.2-1.el9", True, "critical")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (("Moderate/Sec.", "Critical/Sec.", "Low/Sec."), Advice("critical", False, ("security",))),
        (("Moderate/Sec.", "Unknown/Sec."), Advice("moderate", True, ("security",))),
        (("Unknown/Sec.",), Advice("", False, ("security",))),
        (("bugfix",), Advice("", False, ("bugfix",))),
        (("unknown", "newpackage", "Low/Sec."), Advice("low", False, ("newpackage", "security"))),
    ],
)
def test_a_version_is_as_severe_as_the_worst_advisory_of_it(said: tuple[str, ...], expected: Advice) -> None:
    lines = tuple(f"A-{number} {word} bash-5.2-1.el9.x86_64" for number, word in enumerate(said))
    notices = tuple(advised(Section("advisories", lines, (), 0)))
    assert advice_for(notices, "5.1-1.el9", "5.2-1.el9") == expected


def test_an_update_brings_along_what_advisories_say_of_the_versions_between() -> None:
    lines = (
        "A-1 Critical/Sec. bash-5.1-1.el9.x86_64",
        "A-2 Moderate/Sec. bash-5.2-1.el9.x86_64",
        "A-3 bugfix        bash-5.3-1.el9.x86_64",
    )
    notices = tuple(advised(Section("advisories", lines, (), 0)))
    assert advice_for(notices, "5.0-1.el9", "5.2-1.el9") == Advice("critical", False, ("security",))
    assert advice_for(notices, "5.1-1.el9", "5.3-1.el9") == Advice("moderate", False, ("bugfix", "security"))
    assert advice_for(notices, "5.2-1.el9", "5.2-1.el9") == Advice()


@pytest.mark.parametrize(
    "lines",
    [
        (
            "A-1           Unknown/Sec.   a-1.1-1.noarch",
            "Two words     Important/Sec. b-1.1-1.noarch",
            "              Important/Sec. c-1.1-1.noarch",
            "A-4           unknown        d-1.1-1.noarch",
        ),
        (
            "Name      Type     Severity                          Package              Issued",
            "A-1       security                            a-1.1-1.noarch 2026-11-01 10:00:00",
            "Two words security Very important indeed      b-1.1-1.noarch 1970-01-01 00:00:00",
            "          security Important                  c-1.1-1.noarch 2026-11-01 10:00:00",
            "A-4                security                   d-1.1-1.noarch 2026-11-01 10:00:00",
        ),
    ],
)
def test_what_somebody_wrote_into_an_advisory_may_have_any_words_or_none(lines: tuple[str, ...]) -> None:
    assert [
        (one.advisory, one.name, one.security) for one in advised(Section("advisories", lines, (), 0))
    ] == [
        ("A-1", "a", True),
        ("Two words", "b", True),
        ("", "c", True),
        ("A-4", "d", False),
    ]


def test_an_advisory_in_another_form_stalls() -> None:
    with pytest.raises(Stalled, match=r"\[advisories\]"):
        tuple(advised(Section("advisories", ("RHSA-2026:1 Critical/Sec. bash",), (), 0)))


# --- dnf's words --------------------------------------------------------------------------------------------


NONE = "but none of the providers can be installed"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "  - nothing provides libfoo.so.2()(64bit) needed by app-1:2.0-1.el9.x86_64 from appstream",
            Unmet("app", "1:2.0-1.el9", "Depends", "libfoo.so.2()(64bit)"),
        ),
        (
            f" Problem 2: package app-2-1.x86_64 from base requires lib = 2, {NONE}",
            Unmet("app", "2-1", "Depends", "lib = 2"),
        ),
        (
            " Problem: installed package a-b-1-1.noarch conflicts with c < 3 provided by c-2-1.noarch",
            Unmet("a-b", "1-1", "Conflicts", "c < 3"),
        ),
    ],
)
def test_problems_are_read_with_and_without_repositories(line: str, expected: Unmet) -> None:
    assert unmet([line]) == (expected,)


def test_sentences_that_name_no_relation_are_left_to_the_message() -> None:
    assert (
        unmet(
            [
                "Error: ",
                " Problem: conflicting requests",
                "  - cannot install both a-1-1.x86_64 and a-2-1.x86_64",
            ]
        )
        == ()
    )


# --- the script's own reading of tables ---------------------------------------------------------------------

WRAPPED = """\
Dependencies resolved.
================================================================================
 Package   Arch   Version                                Repository        Size
================================================================================
Upgrading:
 a-package-with-a-long-name-that-is-wrapped
           x86_64 1.0-1.module_el8+20      appstream        6.0 k
     replacing  old.with.dots.i686 1.0-1
 short     noarch 1-1                                    base             1
Enabling module streams:
 nodejs           10
A heading of tomorrow:
 x y z u

Transaction Summary
"""
OF_5 = """\
Package                Arch    Version               Repository         Size
Upgrading:
 curl                  x86_64  8.6.0-8.fc40          updates       756.5 KiB
   replacing curl      x86_64  8.6.0-7.fc40          updates       756.5 KiB
 new                   noarch  2:2-1                 updates         1.0 KiB
   replacing old       noarch  1-1                   updates         1.0 KiB
Removing:
 kernel-core           x86_64  6.8.5-301.fc40        anaconda       17.0 MiB

Transaction Summary:
 Upgrading:         2 packages
"""


@pytest.mark.lab
@pytest.mark.parametrize("shell", [("dash",), ("busybox", "sh")])
@pytest.mark.parametrize(
    ("table", "rows"),
    [
        (
            WRAPPED,
            [
                "upgrade a-package-with-a-long-name-that-is-wrapped x86_64 1.0-1.module_el8+20 appstream",
                "replace old.with.dots i686 1.0-1 a-package-with-a-long-name-that-is-wrapped",
                "upgrade short noarch 1-1 base",
                "unknown A heading of tomorrow",
                "unknown x y z u",
            ],
        ),
        (
            OF_5,
            [
                "upgrade curl x86_64 8.6.0-8.fc40 updates",
                "upgrade new noarch 2:2-1 updates",
                "replace old noarch 1-1 new",
                "remove kernel-core x86_64 6.8.5-301.fc40 anaconda",
            ],
        ),
    ],
)
def test_tables_of_other_versions_of_dnf(
    tmp_path: Path, shell: tuple[str, ...], table: str, rows: list[str]
) -> None:
    function = re.search(r"^moves\(\) \{.*?^\}", SCRIPT.read_text(), re.MULTILINE | re.DOTALL)
    assert function is not None
    (tmp_path / "answer").write_text(table)
    done = subprocess.run(
        [*shell, "-c", f'{function[0]}\nmoves "$1"', "sh", str(tmp_path / "answer")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.replace("\t", " ").splitlines() == rows
