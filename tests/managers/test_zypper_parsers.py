"""Recorded output of zypper gives the recorded values; what does not parse is never guessed."""

from datetime import UTC, datetime

import pytest

from reconciler.errors import Stalled, Transient
from reconciler.managers.rpm import Relation
from reconciler.managers.sections import Section, Sections
from reconciler.managers.zypper import ZYPPER
from reconciler.managers.zypper_formats import (
    Record,
    advisories,
    against,
    document,
    needing,
    problems,
    records,
)
from reconciler.planning.facts.observation import Observation, Reboot, RebootNeed, RefreshOutcome, Unmet
from tests.managers.told import parse_answer, parse_observe, parse_refresh
from tests.vectors.vector import changed

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def observed(**sections: str) -> Observation:
    return parse_observe(ZYPPER, changed("zypper-observe-lab", **sections), AT)


def stream(body: str) -> str:
    return f"<?xml version='1.0'?>\n<stream>\n{body}\n</stream>"


def section(text: str) -> Section:
    return Section("resolve", tuple(text.splitlines()), (), 0)


# --- what is refused ----------------------------------------------------------------------------------------

BOMB = (
    "<?xml version='1.0'?>\n"
    '<!DOCTYPE stream [<!ENTITY a "boom"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'
    "<stream>&b;</stream>"
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        stream('<!DOCTYPE x SYSTEM "file:///etc/passwd">'),
        stream("<![CDATA[x]]>"),
        stream("<update-status>"),
        stream("&nbsp;"),
        "System management is locked",
    ],
    ids=["entities", "external", "cdata", "unclosed", "unknown-entity", "words"],
)
def test_xml_that_declares_anything_or_is_none_is_refused(text: str) -> None:
    with pytest.raises(Stalled, match=r"section \[resolve\] of the patch script's output does not parse"):
        document(section(text))


def test_a_record_is_as_untrusted() -> None:
    text = 'lab\t<!DOCTYPE a [<!ENTITY x "y">]><package/>'
    with pytest.raises(Stalled):
        records(Sections("zypper", {"available": Section("available", (text,), (), 0)}, 0))
    with pytest.raises(Stalled):
        advisories(Section("advisories", ("no tab",), (), 0))


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("installed", "plain\tnoarch\t1.0-1"),
        ("metadata", "lab\tyesterday\t0\t0"),
        ("updates", "<stream><update-list>"),
    ],
)
def test_another_form_is_not_guessed_at(name: str, rows: str) -> None:
    with pytest.raises(Stalled, match=rf"section \[{name}\]"):
        observed(**{name: rows})


def test_an_unknown_kind_of_change_is_not_guessed_at() -> None:
    row = '<solvable type="package" name="a" edition="1-1"/>'
    rows = f"<install-summary><to-vanish>{row}</to-vanish></install-summary>"
    with pytest.raises(Stalled, match="to-vanish a"):
        parse_answer(ZYPPER, changed("zypper-answer-update", resolve=stream(rows)))


def test_a_machine_without_packages_is_stalled() -> None:
    with pytest.raises(Stalled, match="rpm knows no installed package"):
        observed(installed="")


# --- the transaction ----------------------------------------------------------------------------------------


def answered(rows: str, installed: str = "a\ti686\t1-1\t10\t0\t1") -> list[tuple[str, str, str, str | None]]:
    text = changed(
        "zypper-answer-update",
        resolve=stream(f"<install-summary>{rows}</install-summary>"),
        installed=installed,
        available="",
    )
    changes = parse_answer(ZYPPER, text).changes
    return [(change.action, change.name, change.arch, change.to_version) for change in changes]


@pytest.mark.parametrize(
    ("block", "action"),
    [
        ("to-upgrade", "upgrade"),
        ("to-upgrade-change-arch", "upgrade"),
        ("to-change-arch", "upgrade"),
        ("to-downgrade", "downgrade"),
        ("to-downgrade-change-arch", "downgrade"),
        ("to-reinstall", "upgrade"),
    ],
)
def test_a_change_is_told_under_the_installed_architecture(block: str, action: str) -> None:
    row = '<solvable type="package" name="a" edition="2-1" arch="x86_64" edition-old="1-1" arch-old="i686"/>'
    assert answered(f"<{block}>{row}</{block}>") == [(action, "a", "i686", "2-1")]


def test_a_package_may_stand_in_several_blocks() -> None:
    row = '<solvable type="package" name="a" edition="2-1" arch="i686" edition-old="1-1"/>'
    blocks = ("to-upgrade", "to-change-vendor", "to-change-arch", "unsupported", "_unsupported")
    told = answered("".join(f"<{block}>{row}</{block}>" for block in blocks))
    assert told == [("upgrade", "a", "i686", "2-1")]


def test_the_same_version_of_another_vendor_is_no_update() -> None:
    row = '<solvable type="package" name="a" edition="1-1" arch="i686" edition-old="1-1"/>'
    assert answered(f"<to-change-vendor>{row}</to-change-vendor>") == []


def test_patches_patterns_and_products_are_no_packages() -> None:
    rows = "".join(
        f'<solvable type="{kind}" name="a" edition="2-1" arch="i686"/>'
        for kind in ("patch", "pattern", "product")
    )
    assert answered(f"<to-install>{rows}</to-install>") == []


# --- reasons ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "unmet"),
    [
        (
            "nothing provides nobody needed by unsat-1.1-1.noarch",
            Unmet("unsat", "1.1-1", "Depends", "nobody"),
        ),
        (
            "nothing provides 'nobody >= 2' needed by the to be installed unsat-1:1.1-1.noarch",
            Unmet("unsat", "1:1.1-1", "Depends", "nobody >= 2"),
        ),
        (
            "user-1.1-1.noarch requires base >= 1.1, but this requirement cannot be provided",
            Unmet("user", "1.1-1", "Depends", "base >= 1.1"),
        ),
        (
            "the installed a-b-4.1+2-15.1.x86_64 requires 'c = 4', but this requirement cannot be provided",
            Unmet("a-b", "4.1+2-15.1", "Depends", "c = 4"),
        ),
        (
            "the to be installed remover-2.0-1.noarch conflicts with 'victim' provided by victim-1-1.noarch",
            Unmet("remover", "2.0-1", "Conflicts", "victim"),
        ),
        (
            "patch:SUSE-2026-1-1.noarch conflicts with secure < 1.0-2 provided by secure-1.0-1.noarch",
            Unmet("patch:SUSE-2026-1", "1", "Conflicts", "secure < 1.0-2"),
        ),
    ],
    ids=lambda value: value.package if isinstance(value, Unmet) else "",
)
def test_the_solvers_sentences_are_relations(problem: str, unmet: Unmet) -> None:
    escaped = problem.replace("<", "&lt;").replace(">", "&gt;")
    body = f'<prompt id="1"><description>Problem: {escaped}\n Solution 1: x</description></prompt>'
    text = changed("zypper-answer-only-unmet", resolve=stream(body))
    assert parse_answer(ZYPPER, text).unmet == (unmet,)


def test_all_problems_are_told_once_each() -> None:
    body = "<message>2 Problems:</message><message>Problem: a</message><message>Problem: b</message>"
    body += '<prompt id="1"><description>Problem: a\n Solution 1: c</description></prompt>'
    assert problems(document(section(stream(body)))) == ("a", "b")


@pytest.mark.parametrize(
    "said",
    ["Problem: 1: a", "Problem: 1: Detailed information: \n- a\n- conflicting requests"],
    ids=["numbered", "listed"],
)
def test_problems_as_newer_ones_tell_them(said: str) -> None:
    body = f'<prompt id="1"><description>{said}\n Solution 1: c\n- d</description></prompt>'
    assert problems(document(section(stream(body)))) == ("a",)


def record(name: str, version: str = "2-1", **relations: Relation) -> Record:
    found: dict[str, tuple[Relation, ...]] = {kind: (one,) for kind, one in relations.items()}
    return Record("lab", name, "noarch", version, None, None, None, found)


def test_who_needs_whom() -> None:
    library = record("library", provides=Relation("libx.so"))
    assert needing(library, [record("a", requires=Relation("libx.so")), library]) == ("a",)
    assert needing(library, [record("a", requires=Relation("library", ">=", "2"))]) == ("a",)
    assert needing(library, [record("a", requires=Relation("library", ">", "2"))]) == ()
    assert needing(library, [record("a", recommends=Relation("libx.so"))]) == ("a",)
    assert needing(library, [library]) == ()


def test_who_obsoletes_whom() -> None:
    other = record("new", obsoletes=Relation("old", "<", "2"))
    assert against("old", "1.9-1", [other], "obsoletes") == ("new",)
    assert against("old", "2-1", [other], "obsoletes") == ()
    assert against("old", "1.9-1", [other], "conflicts") == ()


# --- sources, reboot, failures ------------------------------------------------------------------------------


def test_metadata_that_have_expired_are_a_problem_of_their_source() -> None:
    made = int(datetime(2026, 11, 22, tzinfo=UTC).timestamp())
    (source,) = observed(metadata=f"lab\t{made}\t{made}\t3600").sources
    assert source.valid_until == datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
    assert source.problem == "its metadata were valid until 2026-11-22 01:00 UTC"


def test_a_source_that_zypper_leaves_out_is_a_problem() -> None:
    words = "Skipping repository &apos;The lab&apos;s lab&apos; because of the above error."
    said = f'<message type="warning">{words}</message>'
    (source,) = observed(updates=stream(said)).sources
    assert source.problem == "zypper cannot use its metadata and leaves it out"


def rebooting(kernel: str, *installed: str, container: str = "no", root: str = "/") -> Reboot:
    rows = "\n".join(
        f"{name}\tx86_64\t{version}\t1\t1\t1" for name, version in (one.split("=") for one in installed)
    )
    machine = f"architecture=x86_64\nkernel={kernel}\ncontainer={container}\nroot={root}"
    return observed(machine=machine, installed=rows, reboot="").reboot


RUNNING = "5.14.21-150500.55.7-default"
CURRENT = "kernel-default=5.14.21-150500.55.7.1"
NEWER = "kernel-default=5.14.21-150500.55.12.1"


@pytest.mark.parametrize(
    ("installed", "need"),
    [
        ((CURRENT,), RebootNeed.NOT_REQUIRED),
        ((CURRENT, NEWER), RebootNeed.REQUIRED),
        ((CURRENT, "kernel-rt=6-1"), RebootNeed.NOT_REQUIRED),
        (("kernel-default=5.14.21-150500.55.70.1",), RebootNeed.UNKNOWN),
        (("plain=1-1",), RebootNeed.NOT_REQUIRED),
    ],
)
def test_a_newer_kernel_of_the_running_flavour_wants_a_reboot(
    installed: tuple[str, ...], need: RebootNeed
) -> None:
    assert rebooting(RUNNING, *installed).need is need


@pytest.mark.parametrize("place", [{"container": "yes"}, {"root": "/srv/image"}])
def test_what_has_no_kernel_of_its_own_never_needs_a_reboot_for_one(place: dict[str, str]) -> None:
    assert rebooting(RUNNING, CURRENT, NEWER, **place).need is RebootNeed.NOT_REQUIRED


def test_what_zypper_says_of_core_libraries_counts_on_a_machine_of_its_own() -> None:
    text = changed(
        "zypper-observe-lab",
        machine=f"kernel={RUNNING}\ncontainer=no\nroot=/",
        installed="a\tnoarch\t1-1\t1\t1\t1",
        reboot="",
    )
    text = text.replace("[clock]", "[needs-rebooting]\n= 102\n[clock]")
    reboot = parse_observe(ZYPPER, text, AT).reboot
    assert reboot == Reboot(
        RebootNeed.REQUIRED, ("core libraries or services were updated since the last boot",)
    )


def test_a_lock_is_a_passing_failure() -> None:
    text = "patchledger-patch 1 zypper\n[refused]\n!locked by zypper (pid 7)\n= 0\nexit 20\n"
    with pytest.raises(Transient, match="zypper is locked: locked by zypper"):
        parse_answer(ZYPPER, text)


def test_missing_metadata_are_the_answer() -> None:
    text = "patchledger-patch 1 zypper\n[refused]\n!no metadata of lab: refresh first\n= 0\nexit 21\n"
    answer = parse_answer(ZYPPER, text)
    assert (answer.changes, answer.exit_code) == ((), 21)
    assert "no metadata of lab: refresh first" in answer.message


def test_an_ordinary_user_may_not_refresh() -> None:
    said = '<message type="error">Root privileges are required for refreshing system repositories.</message>'
    text = changed("zypper-refresh-dead", refresh=stream(said)).replace("exit 21", "exit 1")
    assert parse_refresh(ZYPPER, text).outcome is RefreshOutcome.NOT_PERMITTED
