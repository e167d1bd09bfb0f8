"""What ``--dry-run`` answers, against a real resolver."""

import os
import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.managers.apt import APT
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Answer, Mode, Question, Unmet
from reconciler.targets.local import LocalTarget
from tests.edge.apt.instructions import OURS, REMOVING, against
from tests.labs import naming
from tests.labs.apt import MAIN, SECURITY, AptLab, Deb

SAFE = {
    "base": "1.1",
    "both": "1.1",
    "configured": "1.1",
    "epoch": "1:1.0-2",
    "foreign": "1.1",
    "hostile": "1.1",
    "lima": "1.1",
    "newdep": "1.1",
    "newdep-lib": "1.0",
    "pair": "1.1",
    "pair-data": "1.1",
    "plain": "1.1",
    "secure": "1.0+deb12u1",
    "superseded": "1.2",
    "twin:amd64": "1.1",
    "twin:i386": "1.1",
    "user": "1.1",
}
FULL = {**SAFE, "remover": "2.0", "replacer": "2.0", "victim": None, "replaced": None}


def moved(answer: Answer) -> dict[str, str | None]:
    return naming.moved(answer.changes)


def without(*names: str) -> dict[str, str]:
    return {name: version for name, version in SAFE.items() if name not in names}


def test_safe_mode_upgrades_and_installs_and_removes_nothing(apt: ScriptedManager) -> None:
    answer = apt.resolve(Question())
    assert moved(answer) == SAFE
    assert answer.kept_back == ("phased", "remover", "replacer", "unsat")
    assert {change.name for change in answer.changes if change.action == "install"} == {"newdep-lib"}
    assert (answer.exit_code, answer.native_code) == (0, 0)


def test_full_mode_removes_and_tells_a_replacement_from_a_removal(lab: AptLab, apt: ScriptedManager) -> None:
    lab.configure(REMOVING)
    answer = apt.resolve(Question("full"))
    actions = {change.name: change.action for change in answer.changes if change.to_version is None}
    assert actions == {"victim": "remove", "replaced": "replace"}
    assert moved(answer) == FULL


@pytest.mark.parametrize("command", ["upgrade --with-new-pkgs", "dist-upgrade"])
def test_the_answer_is_what_apt_simulates(lab: AptLab, apt: ScriptedManager, command: str) -> None:
    lab.hold_package("lima")
    simulated = lab.apt("-s", *command.split())
    # apt writes the architecture where it is a foreign one, as of foreign:i386.
    said = simulated.replace("foreign:i386", "foreign").replace("Inst twin ", "Inst twin:amd64 ")
    moves = dict(re.findall(r"^Inst (\S+)(?: \[[^]]*\])? \(([^ ]+) ", said, re.MULTILINE))
    moves.update((name, None) for name in re.findall(r"^Remv (\S+)", simulated, re.MULTILINE))
    answer = apt.resolve(Question("full" if command == "dist-upgrade" else "safe"))
    assert moved(answer) == moves


def test_this_machines_own_plan_is_what_apt_simulates(script: PatchScript, tmp_path: Path) -> None:
    done = subprocess.run(
        ["apt-get", "-s", "-o", f"Dir::Cache={tmp_path}", "upgrade", "--with-new-pkgs"],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    simulated = re.findall(r"^Inst ([^ :]+)\S*(?: \[[^]]*\])? \(([^ ]+) ", done.stdout, re.MULTILINE)
    answer = ScriptedManager(APT, LocalTarget({}), script, tmp_path).resolve(Question())
    assert sorted((change.name, change.to_version or "") for change in answer.changes) == sorted(simulated)


def test_changes_carry_origin_size_growth_and_hash(lab: AptLab, apt: ScriptedManager) -> None:
    observation = apt.observe(datetime.now(UTC))
    offered = {(offer.package, one.version): one for offer in observation.offers for one in offer.versions}
    for change in apt.resolve(Question()).changes:
        assert change.to_version is not None
        file = f"{change.name}_{change.to_version.rpartition(':')[2]}_{change.arch}.deb"
        assert change.size == (lab.repository / "pool" / file).stat().st_size
        assert change.installed_delta is not None
        assert change.origin.startswith("Debian")
        if change.action == "upgrade":
            available = offered[change.package, change.to_version]
            assert change.sha256 == available.sha256
            assert change.origin in available.origins


def test_growth_of_a_new_package_is_its_size(apt: ScriptedManager) -> None:
    (library,) = (change for change in apt.resolve(Question()).changes if change.name == "newdep-lib")
    assert library.installed_delta == 12 * 1024
    assert library.origin == "Debian-Security:12/stable-security"


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        (("lima",), ("lima",)),
        (("plain", "secure"), ("plain", "secure")),
        (("base",), ("base", "user")),  # user needs the new base
        (("pair-data",), ("pair", "pair-data")),
        (("pair",), ("pair", "pair-data")),
        (("foreign",), ("foreign",)),
        (("foreign:i386",), ("foreign",)),
        (("plain:amd64",), ("plain",)),
        (("newdep-lib",), ()),  # not installed: it may come in
        (("nobody-knows-it",), ()),
    ],
)
def test_an_exclusion_does_not_move_and_the_rest_goes_on(
    apt: ScriptedManager, names: tuple[str, ...], gone: tuple[str, ...]
) -> None:
    assert moved(apt.resolve(Question(exclude=names))) == without(*gone)


@pytest.mark.parametrize(
    ("names", "gone"),
    [(("newdep-lib",), ("newdep", "newdep-lib")), (("plain",), ("plain",)), (("nobody-knows-it",), ())],
)
def test_a_block_neither_moves_nor_comes_in(
    apt: ScriptedManager, names: tuple[str, ...], gone: tuple[str, ...]
) -> None:
    assert moved(apt.resolve(Question(block=names))) == without(*gone)


@pytest.mark.parametrize("how", ["exclude", "block"])
def test_what_must_not_move_is_not_removed_either(apt: ScriptedManager, how: str) -> None:
    question = Question("full", **{how: ("victim",)})  # type: ignore[arg-type] # one of two tuple fields
    answer = apt.resolve(question)
    if answer.exit_code == 0:
        # Newer ones find by themselves what must stay back.
        assert ("remover" in answer.kept_back, "victim" in moved(answer)) == (True, False)
        return
    assert answer.exit_code == 25
    assert answer.message == "apt would remove what must not move: victim"
    # What it would do is told all the same, so that the culprit can be left out of the next question.
    (victim,) = (change for change in answer.changes if change.name == "victim")
    assert (victim.action, victim.by) == ("remove", ("remover",))


@pytest.mark.parametrize(
    ("question", "moves", "unmet"),
    [
        (Question(only=("user", "1.1")), {"user": "1.1", "base": "1.1"}, ()),
        (Question(only=("foreign:i386", "1.1")), {"foreign": "1.1"}, ()),
        (Question(only=("phased", "1.1")), {"phased": "1.1"}, ()),
        (
            Question(only=("remover", "2.0")),
            {"remover": "2.0", "victim": None},
            (Unmet("remover", "2.0", "Conflicts", "victim"),),
        ),
        (
            Question(security=True, only=("pair-data", "1.0+sec")),
            {"pair-data": "1.0+sec", "pair": None},
            (Unmet("pair", "1.0", "Depends", "pair-data (= 1.0)"),),
        ),
        (Question(only=("unsat", "1.1")), {}, (Unmet("unsat", "", "Depends", "nobody-has-this"),)),
        (
            Question(only=("user", "1.1"), exclude=("base",)),
            {},
            (Unmet("user", "", "Depends", "base (>= 1.1)"),),
        ),
        (
            Question(only=("newdep", "1.1"), block=("newdep-lib",)),
            {},
            (Unmet("newdep", "", "Depends", "newdep-lib"),),
        ),
    ],
)
def test_one_version_alone_shows_what_it_takes_or_what_stands_in_its_way(
    lab: AptLab,
    apt: ScriptedManager,
    question: Question,
    moves: dict[str, str | None],
    unmet: tuple[Unmet, ...],
) -> None:
    before = lab.digest()
    answer = apt.resolve(question)
    assert moved(answer) == moves
    assert answer.unmet == unmet
    assert answer.exit_code == (0 if moves else 25)
    assert lab.digest() == before


def test_one_version_alone_comes_without_what_it_only_recommends(
    own_lab: AptLab, own_apt: ScriptedManager
) -> None:
    own_lab.publish(MAIN, Deb("plain", "1.2", fields={"Recommends": "newdep-lib"}))
    own_lab.refresh()
    assert moved(own_apt.resolve(Question(only=("plain", "1.2")))) == {"plain": "1.2"}


def test_one_version_alone_that_is_gone_is_told(apt: ScriptedManager) -> None:
    answer = apt.resolve(Question(only=("plain", "9")))
    assert (answer.exit_code, answer.message) == (26, "no longer available: plain=9")


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"Conflicts": "local", "Replaces": "local"}, "replace"),
        ({"Conflicts": "local (<< 2)", "Replaces": "local (<< 2)"}, "replace"),
        ({"Breaks": "local", "Replaces": "local", "Provides": "local"}, "replace"),
        # Only some files move from one to the other.
        ({"Breaks": "local (<< 2)", "Replaces": "local (<< 2)"}, "remove"),
        ({"Conflicts": "local"}, "remove"),
        # It takes the place of another version.
        ({"Conflicts": "local", "Replaces": "local (<< 0.5)"}, "remove"),
    ],
)
def test_what_takes_the_place_of_a_package_replaces_it(
    own_lab: AptLab, own_apt: ScriptedManager, fields: dict[str, str], action: str
) -> None:
    own_lab.configure(REMOVING)
    own_lab.publish(MAIN, Deb("plain", "3.0", fields=fields))
    own_lab.refresh()
    gone = [change for change in own_apt.resolve(Question("full")).changes if change.name == "local"]
    assert [(change.action, change.by) for change in gone] == [(action, ("plain",))]


def test_what_goes_with_another_is_the_same_ones_doing(own_lab: AptLab, own_apt: ScriptedManager) -> None:
    own_lab.install(Deb("dependent", "1.0", fields={"Depends": "local"}))
    own_lab.publish(MAIN, Deb("plain", "3.0", fields={"Conflicts": "local"}))
    own_lab.refresh()
    gone = {change.name: change.by for change in own_apt.resolve(Question(only=("plain", "3.0"))).changes}
    assert gone == {"dependent": ("plain",), "local": ("plain",), "plain": ()}


def test_an_available_version_can_be_chosen_instead_of_the_newest(apt: ScriptedManager) -> None:
    answer = apt.resolve(Question(choose=(("superseded", "1.1"),)))
    assert moved(answer) == {**SAFE, "superseded": "1.1"}


def test_a_chosen_version_that_is_gone_is_never_replaced_by_the_newest(apt: ScriptedManager) -> None:
    answer = apt.resolve(Question(choose=(("plain", "1.0.9"),)))
    assert (answer.exit_code, answer.changes) == (26, ())
    assert answer.message == "no longer available: plain=1.0.9"


def test_the_operators_hold_stays(lab: AptLab, apt: ScriptedManager) -> None:
    lab.hold_package("lima")
    answer = apt.resolve(Question("full"))
    assert "lima" not in moved(answer)
    assert "lima" in answer.kept_back
    assert "lima" not in moved(apt.resolve(Question(choose=(("lima", "1.1"),))))


def test_the_operators_pins_stay_beside_ours(lab: AptLab, apt: ScriptedManager) -> None:
    lab.prefer("Package: plain\nPin: release *\nPin-Priority: -1\n")
    assert moved(apt.resolve(Question(exclude=("lima",)))) == without("plain", "lima")
    fragment = lab.root / "etc/apt/preferences.d/secure"
    fragment.write_text("Package: secure\nPin: release *\nPin-Priority: -1\n")
    assert moved(apt.resolve(Question(exclude=("lima",)))) == without("plain", "lima", "secure")


def test_our_exclusion_beats_the_operators_pin(lab: AptLab, apt: ScriptedManager) -> None:
    lab.prefer("Package: plain\nPin: version 1.1\nPin-Priority: 1001\n")
    assert moved(apt.resolve(Question(exclude=("plain",)))) == without("plain")


def test_nothing_to_do_has_its_own_code(apt: ScriptedManager) -> None:
    answer = apt.resolve(Question(exclude=tuple(sorted(SAFE))))
    assert (answer.exit_code, answer.changes) == (10, ())


SECURE = {"both": "1.1", "secure": "1.0+deb12u1", "superseded": "1.1"}


def test_security_mode_takes_the_highest_version_of_the_security_service(apt: ScriptedManager) -> None:
    answer = apt.resolve(Question(security=True))
    assert moved(answer) == SECURE
    assert "pair-data" in answer.kept_back  # its security build fits no pair


def test_security_mode_never_removes(own_lab: AptLab, own_apt: ScriptedManager) -> None:
    own_lab.publish(SECURITY, Deb("remover", "3.0", fields={"Conflicts": "victim"}))
    own_lab.refresh()
    modes: tuple[Mode, ...] = ("safe", "full")
    for mode in modes:
        answer = own_apt.resolve(Question(mode, security=True))
        assert moved(answer) == SECURE


def test_security_mode_reaches_new_dependencies_in_main(own_lab: AptLab, own_apt: ScriptedManager) -> None:
    own_lab.publish(MAIN, Deb("fresh-lib", "1.0"))
    own_lab.publish(SECURITY, Deb("plain", "1.2+sec", fields={"Depends": "fresh-lib"}))
    own_lab.refresh()
    answer = own_apt.resolve(Question(security=True))
    assert moved(answer) == {**SECURE, "plain": "1.2+sec", "fresh-lib": "1.0"}


def test_security_mode_prefers_the_operators_usual_source_for_new_dependencies(
    own_lab: AptLab, own_apt: ScriptedManager
) -> None:
    """A source that is not automatic (backports) does not rise when the others are lowered."""
    flat = own_lab.folder / "flat"
    flat.mkdir()
    (flat / "Packages").write_text(
        "Package: fresh-lib\nVersion: 9\nArchitecture: all\nMaintainer: x <x@example.invalid>\n"
        "Filename: ./fresh-lib_9_all.deb\nSize: 5\nDescription: x\n\n"
    )
    (flat / "Release").write_text("Origin: Other\nLabel: Other\nSuite: other\nNotAutomatic: yes\n")
    with (own_lab.root / "etc/apt/sources.list").open("a") as file:
        file.write(f"deb [trusted=yes] file:{flat} ./\n")
    own_lab.publish(MAIN, Deb("fresh-lib", "1.0"))
    own_lab.publish(SECURITY, Deb("plain", "1.2+sec", fields={"Depends": "fresh-lib"}))
    own_lab.refresh()
    assert moved(own_apt.resolve(Question(security=True)))["fresh-lib"] == "1.0"


def test_security_mode_has_no_upgrade_from_a_source_without_release_file(
    own_lab: AptLab, own_apt: ScriptedManager
) -> None:
    flat = own_lab.folder / "flat"
    flat.mkdir()
    (flat / "Packages").write_text(
        "Package: lima\nVersion: 9\nArchitecture: all\nMaintainer: x <x@example.invalid>\n"
        "Filename: ./lima_9_all.deb\nSize: 5\nDescription: x\n\n"
    )
    with (own_lab.root / "etc/apt/sources.list").open("a") as file:
        file.write(f"deb [trusted=yes] file:{flat} ./\n")
    own_lab.refresh()
    assert moved(own_apt.resolve(Question()))["lima"] == "9"
    assert moved(own_apt.resolve(Question(security=True))) == SECURE


ODD = ("9,1", "9=1", "9*1", "9?1", "9[1]", '9"1', "9'1", "9`1", "9\\1", "9/1", "9-")


@pytest.mark.parametrize("mode", ["safe", "full"])
def test_a_version_that_nobody_can_name_keeps_no_other_from_moving(
    own_lab: AptLab, own_apt: ScriptedManager, mode: Mode
) -> None:
    own_lab.configure(REMOVING)
    flat = own_lab.folder / "flat"
    flat.mkdir()
    names = [f"odd{number}" for number in range(len(ODD))]
    own_lab.install(*(Deb(name, "1.0") for name in names))
    stanza = (
        "Package: {0}\nVersion: {1}\nArchitecture: all\nMaintainer: x <x@example.invalid>\n"
        "Filename: ./{0}.deb\nSize: 5\nDescription: x\n\n"
    )
    (flat / "Packages").write_text("".join(map(stanza.format, names, ODD)))
    with (own_lab.root / "etc/apt/sources.list").open("a") as file:
        file.write(f"deb [trusted=yes] file:{flat} ./\n")
    own_lab.refresh()
    seen = own_apt.observe(datetime.now(UTC))
    assert {offer.candidate for offer in seen.offers if offer.name in names} == set(ODD)
    assert moved(own_apt.resolve(Question(mode))) == (FULL if mode == "full" else SAFE)
    alone = own_apt.resolve(Question(mode, only=("odd0", "9,1")))
    assert (alone.exit_code, alone.changes) == (1, ())
    assert alone.message.endswith("no command line can name the version 9,1")


def test_security_mode_passes_over_what_the_operator_pinned_to_another_source(
    lab: AptLab, apt: ScriptedManager
) -> None:
    lab.prefer("Package: lima\nPin: release l=Debian\nPin-Priority: 900\n")
    assert moved(apt.resolve(Question(security=True))) == SECURE
    chosen = apt.resolve(Question(security=True, choose=(("lima", "1.1"),)))
    assert moved(chosen) == {**SECURE, "lima": "1.1"}


def test_security_mode_keeps_what_the_operator_switched_off(lab: AptLab, apt: ScriptedManager) -> None:
    lab.prefer("Package: *\nPin: release l=Debian-Security\nPin-Priority: -1\n")
    assert moved(apt.resolve(Question(security=True))) == {}


def test_nothing_leaves_the_source_that_the_operator_prefers(
    own_lab: AptLab, own_apt: ScriptedManager
) -> None:
    own_lab.prefer("Package: *\nPin: release l=Debian\nPin-Priority: 1001\n")
    own_lab.offer((Deb("openssl", "3.0.2+fips1"), Deb("openssl", "3.0.2+fips1")))
    own_lab.publish(SECURITY, Deb("openssl", "3.0.3"))
    own_lab.refresh()
    assert "openssl" not in moved(own_apt.resolve(Question(security=True)))
    assert "openssl" not in {offer.name for offer in own_apt.observe(datetime.now(UTC)).offers}


# Pins of an operator for one package each of two dozen with a security update pending.
PINNED = {
    "sec-01": "Pin: version 1.0\nPin-Priority: 1001",
    "sec-02": "Pin: release l=Debian-Security\nPin-Priority: -1",
    "sec-03": "Pin: release l=Debian-Security\nPin-Priority: 50",
    "sec-04*": "Pin: release a=stable-security\nPin-Priority: -10",
    "src:sec-05": "Pin: release n=bookworm-security\nPin-Priority: -1",
    "/^sec-0[6]$/": "Pin: release o=Debian, l=Debian-Security\nPin-Priority: 1",
    "sec-07": 'Pin: origin ""\nPin-Priority: -1',
}
ELSEWHERE = {"sec-08": "Pin: release l=Debian\nPin-Priority: 990"}
ALLOWED = {"sec-09": "Pin: version 1.*\nPin-Priority: 700"}


def test_in_security_mode_nothing_moves_that_the_operators_pins_keep(
    own_lab: AptLab, own_apt: ScriptedManager
) -> None:
    names = [f"sec-{number:02}" for number in range(24)]
    own_lab.install(*(Deb(name, "1.0") for name in names))
    own_lab.publish(MAIN, Deb("sec-08", "1.1"))
    phased = {"Phased-Update-Percentage": "10"}
    own_lab.publish(
        SECURITY, *(Deb(name, "1.2", stanza=phased if name == "sec-11" else {}) for name in names)
    )
    own_lab.refresh()
    own_lab.hold_package("sec-10")
    pins = {**PINNED, **ELSEWHERE, **ALLOWED}
    own_lab.prefer("\n".join(f"Package: {name}\n{pin}\n" for name, pin in pins.items()))
    planned = moved(own_apt.resolve(Question(security=True)))
    # Not every apt phases an update of the security service.
    phased_here = set() if "Inst sec-11 " in own_lab.apt("-s", "upgrade") else {"sec-11"}
    kept = {*names[1:8], "sec-08", "sec-10", *phased_here}
    assert {name: planned.get(name) for name in names} == {
        name: None if name in kept else "1.2" for name in names
    }
    # apt itself, where the security service is the only source. It cannot know of the other one then.
    sources = own_lab.root / "etc/apt/sources.list"
    lines = sources.read_text().splitlines(keepends=True)
    sources.write_text("".join(line for line in lines if SECURITY in line))
    said = own_lab.apt("-s", "upgrade", "--with-new-pkgs")
    assert set(re.findall(r"^Inst (sec-\S+)", said, re.MULTILINE)) == {*names} - kept | {"sec-08"}


def test_what_a_default_release_hides_is_offered_as_hidden(own_lab: AptLab, own_apt: ScriptedManager) -> None:
    own_lab.configure('APT::Default-Release "stable";')
    own_lab.offer((Deb("fix", "1.0"), Deb("fix", "1.0")))
    own_lab.publish(SECURITY, Deb("fix", "1.1"))
    own_lab.refresh()
    (offer,) = (offer for offer in own_apt.observe(datetime.now(UTC)).offers if offer.name == "fix")
    assert (offer.candidate, offer.hidden_by) == ("1.1", "APT::Default-Release")
    assert moved(own_apt.resolve(Question(security=True)))["fix"] == "1.1"


def test_security_mode_with_a_default_release(lab: AptLab, apt: ScriptedManager) -> None:
    lab.configure('APT::Default-Release "stable";')
    assert moved(apt.resolve(Question(security=True))) == SECURE


@pytest.mark.parametrize("name", ["lima", "lima:all", "lima:amd64"])
def test_security_mode_lets_the_included_move_from_every_source(apt: ScriptedManager, name: str) -> None:
    answer = apt.resolve(Question(security=True, include=(name,)))
    assert moved(answer) == {**SECURE, "lima": "1.1"}
    assert {change.name for change in answer.changes if not change.security} == {"lima"}


def test_an_included_package_goes_to_its_usual_candidate_or_to_the_chosen_one(apt: ScriptedManager) -> None:
    usual = apt.resolve(Question(security=True, include=("superseded", "nobody-knows-it")))
    assert moved(usual)["superseded"] == "1.2"
    chosen = apt.resolve(Question(security=True, include=("superseded",), choose=(("superseded", "1.1"),)))
    assert moved(chosen) == SECURE


def test_an_included_package_brings_its_new_dependency(apt: ScriptedManager) -> None:
    answer = apt.resolve(Question(security=True, include=("newdep",)))
    assert moved(answer) == {**SECURE, "newdep": "1.1", "newdep-lib": "1.0"}


@pytest.mark.parametrize("name", ["foreign", "foreign:i386"])
def test_a_version_of_a_foreign_package_can_be_chosen(
    own_lab: AptLab, own_apt: ScriptedManager, name: str
) -> None:
    own_lab.publish(MAIN, Deb("foreign", "1.2", arch="i386"))
    own_lab.refresh()
    assert moved(own_apt.resolve(Question()))["foreign"] == "1.2"
    assert moved(own_apt.resolve(Question(choose=((name, "1.1"),))))["foreign"] == "1.1"


@pytest.mark.parametrize("name", ["superseded:all", "superseded:amd64"])
def test_a_choice_may_name_the_architecture(apt: ScriptedManager, name: str) -> None:
    assert moved(apt.resolve(Question(choose=((name, "1.1"),))))["superseded"] == "1.1"


@pytest.mark.parametrize("name", ["plain:all", "newdep-lib:all", "newdep-lib:amd64"])
def test_a_block_may_name_the_architecture(apt: ScriptedManager, name: str) -> None:
    gone = ("plain",) if name.startswith("plain") else ("newdep", "newdep-lib")
    assert moved(apt.resolve(Question(block=(name,)))) == without(*gone)


def test_security_mode_with_exclusions(apt: ScriptedManager) -> None:
    answer = apt.resolve(Question(security=True, exclude=("secure",), choose=(("both", "1.1"),)))
    assert moved(answer) == {"both": "1.1", "superseded": "1.1"}


def test_the_operators_automatic_removal_does_not_reach_a_plan(lab: AptLab, apt: ScriptedManager) -> None:
    lab.mark_auto("base")
    lab.mark_auto("local")
    lab.configure('APT::Get::AutomaticRemove "true"; APT::Get::Show-Versions "true"; APT::Get::Purge "true";')
    assert moved(apt.resolve(Question())) == SAFE


@pytest.mark.parametrize("name", [*sorted(OURS), "all of them"])
def test_no_setting_of_the_operators_changes_how_apt_is_read(
    lab: AptLab, apt: ScriptedManager, name: str
) -> None:
    lab.configure(REMOVING)
    before = apt.observe(datetime.now(UTC))
    lab.configure(against(*(OURS if name == "all of them" else [name])))
    assert moved(apt.resolve(Question("full"))) == FULL
    after = apt.observe(datetime.now(UTC))
    assert (after.offers, after.sources, after.health.broken) == (before.offers, before.sources, ())


def test_a_layout_of_apts_newer_commands_is_not_what_is_read(lab: AptLab, apt: ScriptedManager) -> None:
    lab.configure('Binary::apt-get { APT::Output-Version "30"; APT::Get::Show-Upgraded "false"; };')
    assert moved(apt.resolve(Question())) == SAFE


def test_archives_that_are_here_already_are_still_listed(lab: AptLab, apt: ScriptedManager) -> None:
    for file in (lab.repository / "pool").glob("plain_1.1*"):
        (lab.root / "var/cache/apt/archives" / file.name).write_bytes(file.read_bytes())
    assert moved(apt.resolve(Question())) == SAFE


def test_broken_dependencies_are_told_in_apts_words(lab: AptLab, apt: ScriptedManager) -> None:
    status = lab.admin / "status"
    status.write_text(
        status.read_text().replace("Package: plain\n", "Package: plain\nDepends: nobody-has-this\n")
    )
    answer = apt.resolve(Question())
    assert (answer.exit_code, answer.native_code) == (25, 100)
    assert "Unmet dependencies" in answer.message


TOOLS = (
    "awk",
    "cat",
    "cp",
    "grep",
    "id",
    "mkdir",
    "mktemp",
    "mv",
    "rm",
    "sed",
    "sort",
    "stat",
    "tr",
    "uname",
)


def test_busyboxs_tools_give_the_same_answer(lab: AptLab, script: PatchScript, apt: ScriptedManager) -> None:
    tools = lab.folder / "tools"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to("/usr/bin/busybox")
    environment = {**lab.environment, "PATH": f"{tools}:{os.environ['PATH']}"}
    other = ScriptedManager(APT, LocalTarget(environment, ("busybox", "sh")), script, lab.cache)
    now = datetime.now(UTC)
    seen, expected = other.observe(now), apt.observe(now)
    assert replace(seen, health=expected.health) == expected  # free space changes by the moment
    for question in (
        Question("full", exclude=("lima", "foreign"), block=("newdep-lib",), choose=(("superseded", "1.1"),)),
        Question(security=True, exclude=("secure",), include=("lima",)),
        Question("full", exclude=("victim",)),
        Question(choose=(("plain", "9"),)),
    ):
        assert other.resolve(question) == apt.resolve(question)


def test_a_phased_update_is_taken_where_the_operator_says_so(lab: AptLab, apt: ScriptedManager) -> None:
    lab.configure('APT::Get::Always-Include-Phased-Updates "true";')
    assert moved(apt.resolve(Question())) == {**SAFE, "phased": "1.1"}


def test_every_shell_gives_the_same_answer(
    lab: AptLab, script: PatchScript, shell: tuple[str, ...], apt: ScriptedManager
) -> None:
    other = ScriptedManager(APT, LocalTarget(lab.environment, shell), script, lab.cache)
    for question in (
        Question("full", exclude=("lima", "foreign"), block=("newdep-lib",), choose=(("superseded", "1.1"),)),
        Question(security=True, exclude=("secure",)),
    ):
        assert other.resolve(question) == apt.resolve(question)


def test_a_dry_run_leaves_the_root_as_it_was_byte_for_byte(lab: AptLab, apt: ScriptedManager) -> None:
    before = lab.digest()
    apt.resolve(Question("full", exclude=("lima",), block=("newdep-lib",), choose=(("superseded", "1.1"),)))
    apt.resolve(Question(security=True))
    apt.resolve(Question(choose=(("plain", "9"),)))
    assert lab.digest() == before


def test_without_an_own_cache_the_answer_is_the_same(
    lab: AptLab, script: PatchScript, apt: ScriptedManager
) -> None:
    assert moved(ScriptedManager(APT, LocalTarget(lab.environment), script).resolve(Question())) == moved(
        apt.resolve(Question())
    )


def test_a_dry_run_does_not_wait_for_a_lock(lab: AptLab, apt: ScriptedManager) -> None:
    with subprocess.Popen(
        ["flock", str(lab.admin / "lock-frontend"), "sleep", "60"], stdin=subprocess.DEVNULL
    ) as holder:
        assert moved(apt.resolve(Question())) == SAFE
        holder.kill()


def test_a_choice_of_a_package_that_nobody_has_is_gone(apt: ScriptedManager) -> None:
    answer = apt.resolve(Question(choose=(("nobody-knows-it", "1"), ("plain", "1.1"))))
    assert (answer.exit_code, answer.message) == (26, "no longer available: nobody-knows-it=1")


def test_security_mode_without_a_security_source_upgrades_nothing(lab: AptLab, apt: ScriptedManager) -> None:
    sources = lab.root / "etc/apt/sources.list"
    kept = [line for line in sources.read_text().splitlines() if "stable-security" not in line]
    sources.write_text("\n".join(kept) + "\n")
    lab.refresh()
    lab.prefer("Package: lima\nPin: release l=Debian\nPin-Priority: 900\n")
    assert moved(apt.resolve(Question(security=True))) == {}


def test_sources_that_are_named_serve_security_updates(apt: ScriptedManager) -> None:
    named = tuple(one.id for one in apt.observe(datetime.now(UTC)).sources if not one.security)
    seen = apt.observe(datetime.now(UTC), (), named)
    assert {source.security for source in seen.sources} == {True}
    assert all(version.security for offer in seen.offers for version in offer.versions)
    answer = apt.resolve(Question(security=True, security_sources=named))
    assert moved(answer) == moved(apt.resolve(Question()))
    assert all(change.security for change in answer.changes if change.action == "upgrade")


def test_the_operators_hooks_do_not_run(lab: AptLab, apt: ScriptedManager) -> None:
    mark = lab.folder / "hook-ran"
    lab.configure(f'APT::Install::Pre-Invoke {{ "touch {mark}"; }}; quiet "2";')
    assert moved(apt.resolve(Question())) == SAFE
    assert not mark.exists()


def test_a_hook_does_not_run_either_where_nothing_is_to_do(lab: AptLab, apt: ScriptedManager) -> None:
    mark = lab.folder / "hook-ran"
    lab.configure(f'APT::Install::Post-Invoke-Success {{ "touch {mark}"; }};')
    everything = tuple(sorted({package.name for package in apt.observe(datetime.now(UTC)).installed}))
    assert moved(apt.resolve(Question(exclude=everything))) == {}
    assert not mark.exists()


def test_without_a_cache_of_its_own_nothing_is_written_either(lab: AptLab, script: PatchScript) -> None:
    alone = ScriptedManager(APT, LocalTarget(lab.environment), script)
    before = lab.digest()
    alone.observe(datetime.now(UTC))
    alone.resolve(Question("full"))
    assert lab.digest() == before


def test_no_temporary_file_is_left(lab: AptLab, script: PatchScript) -> None:
    scratch = lab.folder / "scratch"
    scratch.mkdir()
    target = LocalTarget({**lab.environment, "TMPDIR": str(scratch)})
    ScriptedManager(APT, target, script).resolve(Question(security=True, choose=(("plain", "9"),)))
    ScriptedManager(APT, target, script).observe(datetime.now(UTC))
    assert list(scratch.iterdir()) == []


def test_no_temporary_file_is_left_when_nobody_reads_on(lab: AptLab, shell: tuple[str, ...]) -> None:
    scratch = lab.folder / "scratch"
    scratch.mkdir()
    with subprocess.Popen(
        [*shell, "scripts/patch/apt-update.sh", "--observe"],
        env={**os.environ, **lab.environment, "TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.wait() != 0
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("size", ["16k", "40k", "60k"])
def test_without_space_for_its_lists_a_run_says_so(lab: AptLab, size: str) -> None:
    scratch = lab.folder / "scratch"
    scratch.mkdir()
    exclude = ",".join(f"a-package-that-is-not-here-{number}" for number in range(400))
    command = (
        f"mount -t tmpfs -o size={size} none {scratch} && "
        f"exec sh scripts/patch/apt-update.sh --dry-run --cache {lab.cache} --block {exclude}"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command],
        env={**os.environ, **lab.environment, "TMPDIR": str(scratch)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.endswith("exit 23\n"), done.stdout[-500:]


def test_a_whole_upgrade_removes_nothing_to_make_room_beside_what_is_excluded(
    own_lab: AptLab, own_apt: ScriptedManager
) -> None:
    users = tuple(Deb(f"needs-library-{number}", "1.0", fields={"Depends": "library"}) for number in range(4))
    own_lab.install(*users)
    own_lab.offer(
        (Deb("library", "1.0"), Deb("library", "1.1")),
        (
            Deb("program", "1.0", fields={"Depends": "library (= 1.0)"}),
            Deb("program", "1.1", fields={"Depends": "library (= 1.1)"}),
        ),
    )
    both = moved(own_apt.resolve(Question("full")))
    assert both["program"] == both["library"] == "1.1"
    answer = own_apt.resolve(Question("full", exclude=("program",)))
    assert answer.exit_code == 0
    assert moved(answer) == {
        name: version for name, version in both.items() if name not in {"program", "library"}
    }
