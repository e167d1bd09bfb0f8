"""Output that no manager prints: a sentence that names the section, never a traceback."""

from dataclasses import replace

import pytest

from reconciler.managers.machine import unless_unanswered
from reconciler.managers.pacman import PACMAN
from reconciler.managers.rpm import read_unsatisfied
from reconciler.managers.sections import Section, Unparsable
from reconciler.planning.facts.observation import Reboot, RebootNeed, Refresh, RefreshOutcome
from tests.managers.told import parse_refresh
from tests.vectors.vector import FOLDER, Vector, expected_of

LONG = "1" * 5000
AFTER_THE_CALENDAR = "Fri, 31 Dec 9999 23:59:59 -2359"
LABEL = "InRelease\tLabel: Debian-Security"

# What must be told, told wrongly: vector, what is in it, what stands there instead, section.
WRONG = [
    ("zypper-observe-lab", "\t1795351103\t1795351103\t0", f"\t{10**17}\t1795351103\t0", "metadata"),
    ("zypper-observe-lab", "\t1795351103\t1795351103\t0", f"\t1795351103\t{10**16}\t0", "metadata"),
    ("zypper-observe-lab", "\t1795351103\t1795351103\t0", f"\t1795351103\t{LONG}\t0", "metadata"),
    ("zypper-observe-lab", "\t1795351103\t1795351103\t0", "\t1795351103\t1²\t0", "metadata"),
    ("zypper-observe-lab", '<package type="rpm">', "<!-- no --><package>", "available"),
    ("zypper-observe-lab", "|lab\t<package", "|lab\tnone\n|lab\t<package", "available"),
    ("zypper-observe-lab", "|lab\t<package", "|lab\t<a/><b/>\n|lab\t<package", "available"),
    ("zypper-observe-lab", "|6164916 6171021", "|much 6171021", "filesystems"),
    ("apt-observe-lab", "|1795327200 1795330800", f"|1795327200 {10**17}", "times"),
    ("apt-observe-lab", "|1795327200 1795330800", "|1795327200-1795330800", "times"),
    ("apt-observe-lab", "|6168250 6170068", f"|{LONG} 6170068", "filesystems"),
    ("apt-observe-lab", "[locks]\n", "[locks]\n|same\t1\n", "locks"),
    ("pacman-observe-lab", "|1795341600", f"|{10**17}", "sources"),
    ("pacman-observe-lab", "|1795341600", "|1²", "sources"),
    ("dnf-observe-lab", "\t1795350890\t1795350886", f"\t{10**17}\t1795350886", "metadata"),
    ("dnf-observe-lab", "\t1795350890\t1795350886", "\tnever\t1795350886", "metadata"),
    ("dnf-observe-lab", "|19644675 66053021 4096", "|19644675 66053021", "filesystems"),
]

# What may be missing: nothing is known of it then.
UNKNOWN = [
    ("zypper-observe-lab", "|base\tnoarch\t1.0-1\t6\t", "|base\tnoarch\t1.0-1\t1²\t"),
    ("zypper-observe-lab", "\t1795351103\t1795351103\t0", f"\t1795351103\t1795351103\t{10**17}"),
    ("apt-observe-lab", "all\t1.0\tinstall\tok\tinstalled\t12", f"all\t1.0\tinstall\tok\tinstalled\t{LONG}"),
    ("apt-observe-lab", LABEL, f"InRelease\tDate: {AFTER_THE_CALENDAR}"),
    ("apt-observe-lab", LABEL, f"InRelease\tValid-Until: {AFTER_THE_CALENDAR}"),
    ("pacman-observe-lab", "|base\t1.0-1\tany\t1\t12288\t", "|base\t1.0-1\tany\t1\t1²\t"),
    ("dnf-observe-lab", "|base\tnoarch\t1.0-1\t6\t", f"|base\tnoarch\t1.0-1\t{LONG}\t"),
    ("dnf-observe-lab", "|base\tnoarch\t1.1-1\tlab\t6084\t6", "|base\tnoarch\t1.1-1\tlab\t٣\t6"),
]


def _changed(name: str, old: str, new: str) -> Vector:
    vector = Vector.model_validate_json((FOLDER / f"{name}.json").read_bytes())
    assert old in vector.text, "the vector does not hold what is to be replaced"
    text = vector.text.replace(old, new, 1)
    return vector.model_copy(update={"output": tuple(text.removesuffix("\n").split("\n"))})


@pytest.mark.parametrize(("name", "old", "new", "section"), WRONG)
def test_a_line_that_cannot_be_read_is_named_with_its_section(
    name: str, old: str, new: str, section: str
) -> None:
    with pytest.raises(Unparsable) as raised:
        expected_of(_changed(name, old, new))
    assert f"section [{section}]" in raised.value.message
    assert len(raised.value.message) < 300


@pytest.mark.parametrize(("name", "old", "new"), UNKNOWN)
def test_a_size_or_date_that_cannot_be_meant_is_not_known(name: str, old: str, new: str) -> None:
    assert expected_of(_changed(name, old, new))


def test_whatever_a_reader_trips_over_names_the_section_that_was_being_read() -> None:
    """No output is known over which a reader of ours trips, so this is a manager with a careless one."""
    careless = replace(PACMAN, refresh=lambda sections: _first_word(sections.need("refresh")))
    text = "patchledger-patch 1 pacman\n[locks]\n= 0\n[refresh]\n= 1\nexit 1\n"
    with pytest.raises(
        Unparsable, match=r"section \[refresh\] .* does not parse: something in it is of an unknown form"
    ):
        parse_refresh(careless, text)


def _first_word(section: Section) -> Refresh:
    return Refresh(RefreshOutcome.FAILED, section.lines[0])


def test_an_error_is_no_word_on_dependencies() -> None:
    """Code 1 of ``rpm -Va`` is its answer that some are not met; an error beside it is none."""
    met = Section("dependencies", (), (), 1)
    assert read_unsatisfied(met) == ()
    told = "\tbase is needed by (installed) user-1.0-1.noarch"
    missing = Section("dependencies", (told,), ("error: x",), 1)
    assert read_unsatisfied(missing) == ("base is needed by user-1.0-1.noarch",)
    with pytest.raises(Unparsable, match=r"\[dependencies\].*rpmdb"):
        read_unsatisfied(Section("dependencies", (), ("error: rpmdb: damaged",), 1))


@pytest.mark.parametrize(
    ("kernel", "need"),
    [
        (RebootNeed.REQUIRED, RebootNeed.REQUIRED),
        (RebootNeed.NOT_REQUIRED, RebootNeed.UNKNOWN),
        (RebootNeed.UNKNOWN, RebootNeed.UNKNOWN),
    ],
)
def test_a_question_about_reboots_that_failed_is_no_no(kernel: RebootNeed, need: RebootNeed) -> None:
    assert unless_unanswered(Section("needs-rebooting", (), ("no luck",), 1), Reboot(kernel)).need is need
