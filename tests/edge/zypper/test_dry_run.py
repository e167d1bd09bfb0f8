"""What ``--dry-run`` answers, against a real resolver, and that it leaves no trace."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.managers.zypper import ZYPPER
from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import VENDOR, Answer, Question, Unmet
from reconciler.planning.facts.package import PackageId
from reconciler.planning.runs.execution import Instruction
from reconciler.targets.local import LocalTarget
from tests.edge.zypper.conftest import in_old_words, managed
from tests.labs import naming
from tests.labs.programs import Programs
from tests.labs.rpm import Advisory, Repository, Rpm
from tests.labs.zypper import ADVISORIES, ZypperLab

ALL = {
    "base": "1.1-1",
    "configured": "1.1-1",
    "epoch": "1:1.0-2",
    "hostile": "1.1-1",
    "kernel-default": "5.14.21-2.1",
    "lima": "1.1-1",
    "native": "1.1-1",
    "newdep": "1.1-1",
    "newdep-lib": "1.0-1",
    "obsoleted": None,
    "obsoleter": "2.0-1",
    "pair": "1.1-1",
    "pair-data": "1.1-1",
    "plain": "1.1-1",
    "rebooting": "1.1-1",
    "secure": "1.0-2",
    "superseded": "1.2-1",
    "user": "1.1-1",
}
SECURITY = {
    "newdep": "1.1-1",
    "newdep-lib": "1.0-1",
    "rebooting": "1.1-1",
    "secure": "1.0-2",
    "superseded": "1.2-1",
}


def moved(answer: Answer) -> dict[str, str | None]:
    return naming.moved(answer.changes)


def without(*names: str) -> dict[str, str | None]:
    return {name: version for name, version in ALL.items() if name not in names}


@pytest.mark.parametrize("mode", ["safe", "full"])
def test_an_update_moves_what_zypper_moves(zypper: ScriptedManager, mode: str) -> None:
    answer = zypper.resolve(Question("full" if mode == "full" else "safe"))
    # Of two architectures of a name, a distribution upgrade leaves one.
    twins = {"twin:x86_64": "1.1-1", "twin:i686": None} if mode == "full" else {}
    assert moved(answer) == {**ALL, **twins}
    others = naming.named(answer.changes).items()
    actions = {name: change.action for name, change in others if change.action != "upgrade"}
    gone = {"twin:i686": "remove"} if mode == "full" else {}
    assert actions == {
        "kernel-default": "install", "newdep-lib": "install", "obsoleted": "replace", **gone
    }  # fmt: skip
    assert (answer.exit_code, answer.native_code, answer.message) == (0, 0, "")
    # A distribution upgrade would be given up for a single package that cannot follow.
    assert answer.kept_back == (("remover", "unsat") if mode == "full" else ())


def test_whose_doing_a_change_is(zypper: ScriptedManager) -> None:
    by = {change.name: change.by for change in zypper.resolve(Question()).changes if change.by}
    assert by == {"newdep-lib": ("newdep",), "obsoleted": ("obsoleter",)}


def test_changes_carry_origin_size_growth_hash_and_security(lab: ZypperLab, zypper: ScriptedManager) -> None:
    observation = zypper.observe(datetime.now(UTC))
    offered = {(offer.package, one.version): one for offer in observation.offers for one in offer.versions}
    for change in zypper.resolve(Question()).changes:
        if change.to_version is None:
            assert (change.installed_delta, change.size) == (-6, None)
            continue
        assert change.size == lab.repository.file(change.name, change.to_version, change.arch).stat().st_size
        assert change.origin == "lab"
        assert change.installed_delta is not None
        if change.name != "newdep-lib":
            available = offered[change.package, change.to_version]
            assert (change.sha256, change.security) == (available.sha256, available.security)


def test_security_mode_takes_what_zypper_would_patch(lab: ZypperLab, zypper: ScriptedManager) -> None:
    answer = zypper.resolve(Question(security=True))
    assert moved(answer) == SECURITY
    text = lab.zypper_dry("patch", "--category", "security", "--with-interactive")
    assert set(re.findall(r'type="package" name="([^"]+)"', text)) == set(SECURITY)
    assert answer.native_code == 102  # a patch that wants a reboot is not left out


def test_what_is_included_is_updated_beside_the_patches(zypper: ScriptedManager) -> None:
    answer = zypper.resolve(Question(security=True, include=("plain", "native:x86_64", "victim")))
    assert moved(answer) == {**SECURITY, "plain": "1.1-1", "native": "1.1-1"}


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        (("lima",), ("lima",)),
        (("plain", "secure"), ("plain", "secure")),
        (("base",), ("base", "user")),
        (("pair-data",), ("pair", "pair-data")),
        (("native:x86_64",), ("native",)),
        (("obsoleted",), ("obsoleted", "obsoleter")),
        (("newdep-lib", "nothing-of-this-name"), ()),  # excluded is what is installed; this comes in
        (("kernel-default",), ("kernel-default",)),
    ],
)
def test_what_is_excluded_does_not_move(
    zypper: ScriptedManager, names: tuple[str, ...], gone: tuple[str, ...]
) -> None:
    assert moved(zypper.resolve(Question(exclude=names))) == without(*gone)


def test_what_is_blocked_does_not_come_in_either(zypper: ScriptedManager) -> None:
    assert moved(zypper.resolve(Question(block=("newdep-lib",)))) == without("newdep", "newdep-lib")
    assert moved(zypper.resolve(Question(block=("lima",)))) == without("lima")


@pytest.mark.parametrize(
    ("question", "left", "kept"),
    [
        (Question(security=True, exclude=("secure",)), ("secure",), ("secure",)),
        (Question(security=True, block=("newdep-lib",)), ("newdep", "newdep-lib"), ("newdep",)),
        (
            Question(security=True, exclude=("newdep", "rebooting", "secure", "superseded")),
            tuple(SECURITY),
            ("newdep", "rebooting", "secure", "superseded"),
        ),
    ],
)
def test_one_exclusion_does_not_freeze_all_other_patches(
    zypper: ScriptedManager, question: Question, left: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    answer = zypper.resolve(question)
    assert moved(answer) == {name: version for name, version in SECURITY.items() if name not in left}
    assert answer.exit_code == (0 if answer.changes else 10)
    assert answer.kept_back == kept


def test_neither_does_a_lock_of_the_operator(lab: ZypperLab, zypper: ScriptedManager) -> None:
    lab.lock("secure")
    locks = lab.locks.read_bytes()
    answer = zypper.resolve(Question(security=True))
    assert moved(answer) == {name: version for name, version in SECURITY.items() if name != "secure"}
    assert answer.kept_back == ("secure",)
    assert moved(zypper.resolve(Question(exclude=("lima",)))) == without("lima", "secure")
    assert lab.locks.read_bytes() == locks


def test_a_chosen_version_is_taken_instead_of_the_newest(zypper: ScriptedManager) -> None:
    chosen = (("superseded", "1.1-1"),)
    assert moved(zypper.resolve(Question(choose=chosen))) == {**ALL, "superseded": "1.1-1"}
    assert moved(zypper.resolve(Question(security=True, choose=chosen))) == {
        **SECURITY,
        "superseded": "1.1-1",
    }


def test_a_chosen_version_that_is_gone_is_no_plan(zypper: ScriptedManager) -> None:
    answer = zypper.resolve(Question(choose=(("superseded", "1.3-1"),)))
    assert (answer.exit_code, answer.changes) == (26, ())
    assert answer.message == "no longer available: superseded=1.3-1"


# --- one version alone --------------------------------------------------------------------------------------


def test_alone_with_what_it_needs(zypper: ScriptedManager) -> None:
    answer = zypper.resolve(Question(only=("user", "1.1-1")))
    assert moved(answer) == {"base": "1.1-1", "user": "1.1-1"}
    assert answer.unmet == ()


def test_alone_with_what_it_would_remove(zypper: ScriptedManager) -> None:
    answer = zypper.resolve(Question(only=("remover", "2.0-1")))
    assert {change.name: (change.action, change.by) for change in answer.changes} == {
        "remover": ("upgrade", ()),
        "victim": ("remove", ("remover",)),
    }
    assert answer.unmet == (Unmet("remover", "2.0-1", "Conflicts", "victim"),)


def test_alone_and_impossible(zypper: ScriptedManager) -> None:
    answer = zypper.resolve(Question(only=("unsat", "1.1-1")))
    assert (answer.exit_code, answer.native_code, answer.changes) == (25, 4, ())
    assert answer.unmet == (Unmet("unsat", "1.1-1", "Depends", "nobody-has-this"),)
    assert in_old_words(answer.message) == "nothing provides nobody-has-this needed by unsat-1.1-1.noarch"


@pytest.mark.parametrize("whose", ["the run's", "the operator's"])
def test_the_lock_that_freezes_it_is_named(lab: ZypperLab, zypper: ScriptedManager, whose: str) -> None:
    if whose == "the operator's":
        lab.lock("base")
    answer = zypper.resolve(Question(exclude=("base",), only=("user", "1.1-1")))
    assert (answer.exit_code, answer.native_code) == (25, 4)
    assert answer.unmet == (Unmet("user", "1.1-1", "Depends", "base >= 1.1"),)
    assert "there is a lock on base-1.0-1.noarch" in answer.message


# --- vendors ------------------------------------------------------------------------------------------------


@pytest.fixture
def vendors(tmp_path: Path) -> ZypperLab:
    """A lab whose ``codec`` comes newer from another vendor only, beside a common update."""
    lab = ZypperLab.empty(tmp_path / "lab")
    lab.install(Rpm("codec", "1.0-1", fields={"Vendor": "lab & sons"}), Rpm("plain", "1.0-1"))
    newer = Rpm("codec", "1.5-1", fields={"Vendor": "packman"})
    other = Repository.make(lab.folder / "other", [newer])
    lab.repository.publish(Rpm("plain", "1.1-1"))
    lab.configure_repository("other", other.url)
    lab.refresh()
    return lab


def test_an_update_leaves_packages_to_their_vendor_and_says_whose_it_would_be(
    vendors: ZypperLab, script: PatchScript
) -> None:
    zypper = managed(vendors, script)
    assert moved(zypper.resolve(Question())) == {"plain": "1.1-1"}
    alone = zypper.resolve(Question(only=("codec", "1.5-1")))
    assert moved(alone) == {"codec": "1.5-1"}
    assert alone.unmet == (Unmet("codec", "1.5-1", VENDOR, "packman instead of lab & sons"),)


def test_neither_does_what_is_included_change_its_vendor(vendors: ZypperLab, script: PatchScript) -> None:
    question = Question(security=True, include=("codec", "plain"))
    assert moved(managed(vendors, script).resolve(question)) == {"plain": "1.1-1"}


@pytest.mark.parametrize("file", ["etc/zypp/zypp.conf", "etc/zypp/zypp.conf.d/vendor.conf"])
def test_a_vendor_that_the_operator_lets_change_is_changed_by_apply(
    vendors: ZypperLab, script: PatchScript, tmp_path: Path, file: str
) -> None:
    (vendors.root / file).parent.mkdir(exist_ok=True)
    settings = "[main]\nsolver.allowVendorChange = true\nsolver.dupAllowVendorChange = true\n"
    (vendors.root / file).write_text(settings)
    zypper = managed(vendors, script)
    answer = zypper.resolve(Question("full"))
    assert moved(answer) == {"codec": "1.5-1", "plain": "1.1-1"}
    assert zypper.apply(Instruction(answer.changes), tmp_path).exit_code == 0
    assert vendors.versions()["codec"] == "1.5-1"


# --- what takes the place of another ------------------------------------------------------------------------

SUCCESSOR = {"Obsoletes": "oldname < 2", "Provides": "oldname = 2.0-1"}


@pytest.mark.parametrize("of", ["", "oldname", "newname"], ids=["no patch", "patch of the old", "of the new"])
def test_a_rename_alone_is_an_offer(tmp_path: Path, script: PatchScript, of: str) -> None:
    lab = ZypperLab.empty(tmp_path / "lab")
    lab.install(Rpm("oldname", "1.0-1"), Rpm("plain", "1.0-1"))
    lab.repository.publish(Rpm("newname", "2.0-1", fields=SUCCESSOR))
    if of:
        lab.repository.advise(Advisory("LAB-SA-2026:0001", (f"{of}-2.0-1",)))
    lab.refresh()
    zypper = managed(lab, script)
    (offer,) = zypper.observe(datetime.now(UTC)).offers
    assert (offer.name, offer.installed, offer.candidate) == ("newname", "1.0-1", "2.0-1")
    assert offer.replaces == (PackageId("oldname", "noarch"),)
    assert moved(zypper.resolve(Question())) == {"newname": "2.0-1", "oldname": None}
    # To zypper, a patch is needed for what is installed only.
    wanted = {"newname": "2.0-1", "oldname": None} if of == "oldname" else {}
    assert moved(zypper.resolve(Question(security=True))) == wanted
    assert offer.versions[0].security is bool(wanted)


@pytest.mark.parametrize("locked", ["oldname", "newname"])
def test_a_rename_that_a_lock_is_against_is_an_offer(
    tmp_path: Path, script: PatchScript, locked: str
) -> None:
    lab = ZypperLab.empty(tmp_path / "lab")
    lab.install(Rpm("oldname", "1.0-1"))
    lab.repository.publish(Rpm("newname", "2.0-1", fields=SUCCESSOR))
    lab.refresh()
    lab.lock(locked)
    found = managed(lab, script).observe(datetime.now(UTC))
    (offer,) = found.offers
    assert (offer.name, offer.replaces) == ("newname", (PackageId("oldname", "noarch"),))
    assert (offer.held, found.installed[0].held) == (locked == "newname", locked == "oldname")


@pytest.mark.parametrize("mode", ["safe", "full"])
def test_a_rename_that_cannot_come_is_an_offer(tmp_path: Path, script: PatchScript, mode: str) -> None:
    lab = ZypperLab.empty(tmp_path / "lab")
    lab.install(Rpm("oldname", "1.0-1"), Rpm("other", "1.0-1", fields={"Vendor": "lab & sons"}))
    lab.install(Rpm("newer", "3.0-1"))
    lab.repository.publish(
        Rpm("newname", "2.0-1", fields={**SUCCESSOR, "Requires": "nobody-has-this"}),
        # Which an update would not take for one: of another vendor, of another version, of another machine.
        Rpm("foreign", "2.0-1", fields={"Obsoletes": "other", "Requires": "nobody-has-this"}),
        Rpm("late", "2.0-1", fields={"Obsoletes": "newer < 3"}),
        Rpm("strange", "2.0-1", "i686", fields={"Obsoletes": "oldname", "Requires": "nobody-has-this"}),
    )
    lab.repository.advise(Advisory("LAB-SA-2026:0001", ("oldname-2.0-1",)))
    lab.refresh()
    zypper = managed(lab, script)
    (offer,) = zypper.observe(datetime.now(UTC)).offers
    assert (offer.name, offer.installed, offer.candidate) == ("newname", "1.0-1", "2.0-1")
    assert (offer.replaces, offer.versions[0].security) == ((PackageId("oldname", "noarch"),), True)
    assert zypper.resolve(Question("full" if mode == "full" else "safe")).changes == ()
    alone = zypper.resolve(Question(only=("newname", "2.0-1")))
    assert alone.unmet == (Unmet("newname", "2.0-1", "Depends", "nobody-has-this"),)


def test_a_rename_comes_from_every_source_that_has_it_and_counts(tmp_path: Path, script: PatchScript) -> None:
    lab = ZypperLab.empty(tmp_path / "lab")
    lab.install(Rpm("oldname", "1.0-1"))
    lab.repository.publish(Rpm("newname", "2.0-1", fields=SUCCESSOR))
    lab.configure_repository("zulu:more")
    lab.refresh()
    zypper, now = managed(lab, script), datetime.now(UTC)
    (offer,) = zypper.observe(now).offers
    assert offer.versions[0].origins == ("lab", "zulu:more")
    (offer,) = zypper.observe(now, ("zulu:more",)).offers
    assert offer.versions[0].origins == ("lab",)
    lab.zypper("modifyrepo", "--disable", "zulu:more")
    (offer,) = zypper.observe(now).offers
    assert offer.versions[0].origins == ("lab",)


def test_what_takes_the_place_of_another_is_included_beside_the_patches(
    tmp_path: Path, script: PatchScript
) -> None:
    lab = ZypperLab.empty(tmp_path / "lab")
    lab.install(Rpm("oldname", "1.0-1"), Rpm("plain", "1.0-1"))
    lab.repository.publish(Rpm("newname", "2.0-1", fields=SUCCESSOR), Rpm("plain", "1.1-1"))
    lab.refresh()
    answer = managed(lab, script).resolve(Question(security=True, include=("newname", "oldname")))
    assert moved(answer) == {"newname": "2.0-1", "oldname": None}


def test_an_included_rename_that_cannot_come_holds_up_nothing_else(
    tmp_path: Path, script: PatchScript
) -> None:
    lab = ZypperLab.empty(tmp_path / "lab")
    lab.install(Rpm("oldname", "1.0-1"), Rpm("plain", "1.0-1"), Rpm("secure", "1.0-1"))
    broken = {**SUCCESSOR, "Requires": "nobody-has-this"}
    lab.repository.publish(
        Rpm("newname", "2.0-1", fields=broken), Rpm("plain", "1.1-1"), Rpm("secure", "1.1-1")
    )
    lab.repository.advise(Advisory("LAB-SA-2026:0001", ("secure-1.1-1",)))
    lab.refresh()
    answer = managed(lab, script).resolve(Question(security=True, include=("newname", "oldname", "plain")))
    assert moved(answer) == {"plain": "1.1-1", "secure": "1.1-1"}
    lab.rpm("-e", "secure")
    alone = managed(lab, script).resolve(Question(security=True, include=("newname", "oldname")))
    assert (alone.changes, alone.exit_code in exit_codes.WELL) == ((), True)


# --- the update stack ---------------------------------------------------------------------------------------


def test_the_update_stack_and_the_rest_are_one_plan(
    own_lab: ZypperLab, own_zypper: ScriptedManager, script: PatchScript
) -> None:
    stack = Advisory("LAB-SA-2026:0009", ("plain-1.1-1",), restart=True)
    own_lab.repository.advise(*ADVISORIES, stack)
    own_lab.refresh()
    assert moved(own_zypper.resolve(Question(security=True))) == {**SECURITY, "plain": "1.1-1"}
    sections = script.run(
        LocalTarget(own_lab.environment),
        ["--dry-run", "--security", "--cache", str(own_lab.cache), "--root", str(own_lab.root)],
        timeout=60,
    )
    # zypper alone would come to that patch only, and end with "run me again".
    assert sections.need("update-stack").code == 103
    assert sections.need("resolve").code == 102


# --- no trace, and no plan from half the metadata -----------------------------------------------------------


@pytest.mark.parametrize(
    "question",
    [
        Question(),
        Question("full", exclude=("lima",)),
        Question(security=True, exclude=("secure",), block=("newdep-lib",)),
        Question(only=("remover", "2.0-1")),
    ],
    ids=["safe", "full", "security", "only"],
)
@pytest.mark.parametrize("is_fresh", [False, True], ids=["parsed", "unparsed"])
def test_nothing_is_changed(
    lab: ZypperLab, script: PatchScript, shell: Sequence[str], question: Question, *, is_fresh: bool
) -> None:
    if is_fresh:  # zypper would parse all anew, and write that down
        lab.install(Rpm("unknown-to-zypper", "1.0-1"))
        for file in (lab.root / "var/cache/zypp/solv/lab").iterdir():
            file.unlink()
    before = lab.digest()
    managed(lab, script, tuple(shell)).resolve(question)
    assert lab.digest() == before


def test_no_reboot_is_pending_for_what_was_only_asked_or_fetched(
    lab: ZypperLab, script: PatchScript, tmp_path: Path
) -> None:
    programs = Programs(tmp_path / "bin")
    # As newer ones do it where a patch would want a reboot.
    programs.put(
        "zypper",
        '/usr/bin/zypper "$@"; code=$?; case "$*" in *--dry-run* | *--download-only*) '
        f">{lab.root}/run/reboot-needed ;; esac; exit $code",
    )
    target = LocalTarget({**lab.environment, **programs.environment})
    zypper = ScriptedManager(ZYPPER, target, script, lab.cache, root=lab.root)
    changes = zypper.resolve(Question(security=True)).changes
    assert zypper.download(Instruction(changes), tmp_path).exit_code == 0
    assert programs.asked("zypper")
    assert not (lab.root / "run/reboot-needed").exists()


def test_a_lock_is_neither_taken_nor_waited_for(lab: ZypperLab, zypper: ScriptedManager) -> None:
    (lab.root / "run/zypp.pid").write_text("1\n")
    assert moved(zypper.resolve(Question())) == ALL
    assert (lab.root / "run/zypp.pid").read_text() == "1\n"


def test_a_repository_that_was_never_read_makes_no_silent_plan(lab: ZypperLab, script: PatchScript) -> None:
    lab.configure_repository("dead", "file:///nowhere")
    before = lab.digest()
    answer = managed(lab, script).resolve(Question())
    assert (answer.exit_code, answer.changes) == (21, ())
    assert "no metadata of dead" in answer.message
    assert lab.digest() == before


def test_metadata_that_zypper_leaves_out_make_no_silent_plan(lab: ZypperLab, script: PatchScript) -> None:
    raw = lab.root / "var/cache/zypp/raw/lab/repodata"
    (updateinfo,) = raw.glob("*updateinfo.xml*")
    updateinfo.unlink()
    for folder in (lab.root / "var/cache/zypp/solv/lab", lab.cache / "solv/lab"):
        for file in folder.glob("*"):
            file.unlink()
    answer = managed(lab, script).resolve(Question())
    assert (answer.exit_code, answer.changes) == (21, ())
    assert re.search(r"updateinfo.*Skipping repository", answer.message, re.DOTALL)


def test_no_more_stays_out_of_a_whole_upgrade_than_must(
    own_lab: ZypperLab, own_zypper: ScriptedManager
) -> None:
    own_lab.install(*(Rpm(name, "1.0-1") for name in ("broken", "either", "other")))
    own_lab.repository.publish(
        Rpm("broken", "1.1-1", fields={"Requires": "other = 7-1"}),
        Rpm("either", "1.1-1", fields={"Requires": "other = 1.0-1"}),
        Rpm("other", "1.1-1"),
    )
    own_lab.refresh()
    coming = moved(own_zypper.resolve(Question("full")))
    assert len(coming.keys() & {"either", "other"}) == 1
    assert "broken" not in coming


def test_a_license_to_agree_to_keeps_nothing_back(lab: ZypperLab, zypper: ScriptedManager) -> None:
    licensed = Rpm("plain", "9-1")
    made = Repository.make(lab.folder / "more", (licensed,))
    made.require_agreement(licensed)
    lab.configure_repository("more", made.url)
    lab.refresh()
    whole = (Question(), Question("full"), Question(security=True, include=("plain",)))
    for question in (*whole, Question(only=("plain", "9-1"))):
        answer = zypper.resolve(question)
        assert (answer.exit_code, naming.moved(answer.changes)["plain"]) == (0, "9-1")
