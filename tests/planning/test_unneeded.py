"""Which packages that nothing needs any more go, and which stay, whatever a manager says."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.planning.facts.observation import (
    Answer,
    Available,
    BootKernel,
    Change,
    Exchange,
    Filesystem,
    Health,
    Installed,
    Observation,
    Offer,
    Quarantined,
    Question,
)
from reconciler.planning.facts.package import PackageId
from reconciler.planning.facts.unneeded import Unneeded, UnneededSeen, seen_again
from reconciler.planning.gates.types import Step
from reconciler.planning.resolving.boot import (
    BOOT_MARGIN,
    BOOT_SLACK,
    boot_need,
    filling,
    for_a_kernel,
    freed,
)
from reconciler.planning.resolving.dialogue import next_question
from reconciler.planning.resolving.dispositions import ConditionType, Disposition, Plan
from reconciler.planning.resolving.kernels import is_of
from reconciler.planning.resolving.plan import make_plan, security_only
from reconciler.planning.resolving.selection import Rules
from reconciler.planning.resolving.unneeded import WHAT_IS_UNUSED
from reconciler.planning.resolving.unneeded_account import told_of_unused
from reconciler.planning.runs.old_first import old_first, without_unused
from reconciler.policy.resolve import Effective
from tests.fakes import healthy
from tests.policies import effective

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
A, B, C = (PackageId(name, "all") for name in "abc")
MIB = 2**20


def names(seen: UnneededSeen) -> Mapping[str, str]:
    return {one.name: one.run for one in seen.packages}


def test_what_is_unused_at_the_first_look_is_nobodys_doing() -> None:
    assert names(seen_again(None, [A, B])) == {"a": "", "b": ""}


def test_what_is_new_after_a_run_is_its_doing_and_stays_that() -> None:
    after = seen_again(replace(seen_again(None, [A]), run="R1"), [A, B])
    assert names(after) == {"a": "", "b": "R1"}
    assert after.run == ""
    assert names(seen_again(after, [A, B, C])) == {"a": "", "b": "R1", "c": ""}


def test_what_was_needed_in_between_begins_anew() -> None:
    used = seen_again(seen_again(None, [A]), [])
    assert names(seen_again(replace(used, run="R2"), [A])) == {"a": "R2"}


def going(name: str, version: str) -> Change:
    return Change("remove", name, "amd64", version, None, unused="kernel")


def coming(name: str, version: str) -> Change:
    return Change("install", name, "amd64", None, version)


def test_what_nothing_needs_goes_before_anything_comes() -> None:
    old, new = going("linux-image-6.1.0-1-amd64", "6.1.1"), coming("linux-image-6.1.0-2-amd64", "6.1.2")
    assert old_first((new, old)) == ((old,), (new,))
    back = Change("install", old.name, "amd64", None, "6.1.1")
    assert without_unused((back, new), (Step((old,)),)) == (new,)


GOING = going("kernel-core", "5.14.0-1.el9")
KERNELS = (BootKernel("5.14.0-1.el9.x86_64", 40 * MIB), BootKernel("5.14.0-2.el9.x86_64", 42 * MIB))


@pytest.mark.parametrize(
    ("changes", "kernels", "need"),
    [
        ((), KERNELS, 0),
        ((going("kernel-core", "5.14.0-1.el9"),), KERNELS, 0),
        ((coming("kernel-core", "5.14.0-3.el9"),), (), BOOT_MARGIN),
        ((coming("kernel-core", "5.14.0-3.el9"),), KERNELS, 42 * MIB + BOOT_SLACK),
        ((coming("kernel-core", "5.14.0-2.el9"),), KERNELS, 0),
        (
            (coming("linux-image-6.1.0-9-amd64", "6.1.9"),),
            (*KERNELS, BootKernel("6.1.0-9-amd64", MIB)),
            0,
        ),
        (
            (coming("kernel-core", "5.14.0-3.el9"), coming("kernel-modules", "5.14.0-3.el9")),
            KERNELS,
            42 * MIB + BOOT_SLACK,
        ),
        (
            (
                replace(going("kernel-core", "5.14.0-1.el9"), action="rotate"),
                coming("kernel", "5.14.0-3.el9"),
            ),
            KERNELS,
            2 * MIB + BOOT_SLACK,
        ),
    ],
)
def test_a_new_kernel_needs_what_one_takes_here(
    changes: tuple[Change, ...], kernels: tuple[BootKernel, ...], need: int
) -> None:
    assert boot_need(changes, kernels) == need


@pytest.mark.parametrize(
    ("going_first", "said"),
    [
        ((), "; 'autoremove: kernels' lets old ones go first"),
        ((GOING,), ": the old ones that go make 40 MiB of room, which counts already; one more must"),
        ((going("kernel-core", "5.14.0-9.el9"),), ": the old ones that go make no room; remove another"),
    ],
)
def test_what_has_no_room_is_told_what_makes_some(going_first: tuple[Change, ...], said: str) -> None:
    changes = (*going_first, coming("kernel-core", "5.14.0-3.el9"))
    assert for_a_kernel(changes, KERNELS).startswith(f"for a new kernel{said}")


@pytest.mark.parametrize(
    ("free", "is_own", "changes", "is_told"),
    [
        (50 * MIB, "own", (), ""),
        (50 * MIB - 1, "own", (), "told"),
        (1, "", (), ""),
        (10 * MIB, "own", (GOING,), ""),
        (10 * MIB, "own", (coming("kernel-core", "5.14.0-3.el9"),), ""),
    ],
)
def test_a_boot_that_fills_is_told(free: int, is_own: str, changes: tuple[Change, ...], is_told: str) -> None:
    root = Filesystem("/", 900 * MIB if is_own else free, 100 * MIB)
    health = Health(filesystems=(root, Filesystem("/boot", free, 100 * MIB)), kernels=KERNELS)
    assert (filling(changes, health) is not None) == bool(is_told)


def asked(policy: Effective, answers: Mapping[Question, Answer], seen: Observation) -> Plan:
    """Plan by these answers; what is not among them has nothing to do."""
    exchanges: list[Exchange] = []
    while (question := next_question(seen, policy, exchanges, NOW)) is not None:
        exchanges.append(Exchange(question, answers.get(question, Answer(()))))
    return make_plan(seen, policy, exchanges, NOW)


def with_a_newer_kernel(old: str, newer: str) -> Plan:
    """Plan where two are installed, and the manager calls the old one unused."""
    both = tuple(
        Installed(name, "amd64", version, automatic=True) for name, version in ((old, "1"), (newer, "2"))
    )
    answers = {WHAT_IS_UNUSED: Answer((going(old, "1"),)), **dict([removal(going(old, "1"))])}
    return asked(effective({"autoremove": "kernels"}), answers, replace(MACHINE, installed=both))


def told(plan: Plan, kind: ConditionType) -> str:
    return next((one.message for one in plan.conditions if one.type is kind), "")


OLD, NEW = "linux-image-6.1.0-1-amd64", "linux-image-6.1.0-2-amd64"
MACHINE = replace(
    healthy(NOW),
    installed=(
        Installed(OLD, "amd64", "6.1.1", automatic=True),
        Installed(NEW, "amd64", "6.1.2", automatic=True),
        Installed("lib", "amd64", "1", automatic=True),
        Installed("wanted", "amd64", "1"),
    ),
)
UNUSED_LIB = Change("remove", "lib", "amd64", "1", None, unused="package")
UNUSED_WANTED = replace(UNUSED_LIB, name="wanted")
KNOWN = UnneededSeen((), "R1")


def removal(*changes: Change) -> tuple[Question, Answer]:
    named = tuple(sorted((str(one.package), one.from_version or "") for one in changes))
    return Question(remove=named), Answer(tuple(replace(one, unused="") for one in changes))


def test_what_the_manager_cannot_say_removes_nothing_and_is_told() -> None:
    failed = Answer((), exit_code=1, message="E: no cache")
    plan = asked(effective({"autoremove": "kernels"}), {WHAT_IS_UNUSED: failed}, MACHINE)
    assert plan.transaction == ()
    assert "apt did not say what is unused: E: no cache" in told(plan, ConditionType.UNUSED_KEPT)
    assert told(plan, ConditionType.CANNOT_RESOLVE) == ""


def test_nothing_is_asked_where_policy_wants_none_of_it() -> None:
    assert next_question(MACHINE, effective({}), [], NOW) is None
    frozen = security_only(effective({"updates": "security", "autoremove": "new-unused"}))
    assert next_question(MACHINE, frozen, [], NOW) is None


def test_neither_the_running_nor_the_newest_kernel_goes_whatever_the_manager_says() -> None:
    both = (going(OLD, "6.1.1"), going(NEW, "6.1.2"))
    policy = effective({"autoremove": "kernels"})
    answers = {WHAT_IS_UNUSED: Answer(both), **dict([removal(both[0])])}
    plan = asked(policy, answers, replace(MACHINE, facts=replace(MACHINE.facts, kernel="5.10.0")))
    assert [one.name for one in plan.transaction] == [OLD]
    assert f"{NEW}: it is the newest one" in told(plan, ConditionType.UNUSED_KEPT)
    plan = asked(policy, answers, MACHINE)  # OLD runs there
    assert plan.transaction == ()
    assert f"{OLD}: it runs" in told(plan, ConditionType.UNUSED_KEPT)


@pytest.mark.parametrize(
    ("stays", "newer"),
    [
        ("linux-image-6.1.0-1-rt-amd64", "linux-image-6.1.0-2-amd64"),
        ("linux-image-6.1.0-3-amd64", "linux-image-6.1.0-4-cloud-amd64"),
        ("linux-image-6.8.0-40-lowlatency", "linux-image-6.11.0-8-generic"),
        ("linux-image-6.1.0-0.deb11.1-rt-amd64", "linux-image-6.12.9+bpo-amd64"),
        ("kernel-64kb", "kernel-default"),
    ],
)
def test_the_newest_kernel_of_each_flavour_stays(stays: str, newer: str) -> None:
    plan = with_a_newer_kernel(stays, newer)
    assert plan.transaction == ()
    assert f"{stays}: it is the newest one" in told(plan, ConditionType.UNUSED_KEPT)


@pytest.mark.parametrize(
    ("goes", "newer"),
    [
        ("linux-image-6.1.0-1-rt-amd64", "linux-image-6.1.0-11-rt-amd64"),
        ("linux-image-6.1.0-0.deb11.1-amd64", "linux-image-6.12.9+bpo-amd64"),
        ("proxmox-kernel-6.8.12-1-pve", "proxmox-kernel-6.8.12-4-pve-signed"),
    ],
)
def test_an_old_kernel_of_a_flavour_goes(goes: str, newer: str) -> None:
    plan = with_a_newer_kernel(goes, newer)
    assert [one.name for one in plan.transaction] == [goes]


def failed_to_go(name: str, version: str) -> Quarantined:
    return Quarantined(name, "amd64", version, NOW, "R1", "its prerm failed", "c" * 40, is_removal=True)


def test_what_could_not_be_removed_stays_and_keeps_no_update_of_it_back() -> None:
    seen = replace(MACHINE, unneeded=KNOWN, quarantined=(failed_to_go("lib", "1"),))
    policy = effective({"autoremove": "new-unused"})
    plan = asked(policy, {WHAT_IS_UNUSED: Answer((UNUSED_LIB,))}, seen)
    assert plan.transaction == ()
    assert "lib: removing lib 1 failed at" in told(plan, ConditionType.UNUSED_KEPT)
    assert "removing failed, and is not tried" in told(plan, ConditionType.PACKAGES_QUARANTINED)
    of_another = replace(seen, quarantined=(failed_to_go("lib", "0.9"),))
    plan = asked(policy, {WHAT_IS_UNUSED: Answer((UNUSED_LIB,)), **dict([removal(UNUSED_LIB)])}, of_another)
    assert [one.name for one in plan.transaction] == ["lib"]
    # That the same version could not go says nothing of its coming.
    back = Rules.of(replace(seen, quarantined=(failed_to_go("lib", "2"),)), policy, NOW)
    assert back.against_new(PackageId("lib", "amd64"), Available("2", ("origin",), security=True)) == ()


@pytest.mark.parametrize(
    ("setting", "since", "said"),
    [
        ("new-unused", "", "no run made it unused, and what was so without one is a person's to remove"),
        ("kernels", "R1", "'autoremove: kernels' is about old kernels alone"),
        ("new-unused", "R1", "its removal would take wanted along"),
    ],
)
def test_whoever_asks_about_one_that_stays_is_told_why(setting: str, since: str, said: str) -> None:
    seen = replace(MACHINE, unneeded=UnneededSeen((Unneeded("lib", "amd64", since),)))
    named, answer = removal(UNUSED_LIB)
    more = replace(answer, changes=(*answer.changes, replace(UNUSED_WANTED, unused="")))
    exchanges = [Exchange(WHAT_IS_UNUSED, Answer((UNUSED_LIB, UNUSED_WANTED))), Exchange(named, more)]
    policy = effective({"autoremove": setting})
    (line,) = told_of_unused([PackageId("lib", "amd64")], seen, policy, exchanges, NOW)
    assert line.startswith(f"lib 1 stays: {said} [")
    assert list(told_of_unused([PackageId("other", "amd64")], seen, policy, exchanges, NOW)) == []


@pytest.mark.parametrize(
    ("running", "name", "version"),
    [
        ("6.1.0-1-amd64", "linux-image-6.1.0-1-amd64", "6.1.4-1"),
        ("6.1.0-1-amd64", "linux-image-6.1.0-1-amd64-unsigned", "6.1.4-1"),
        ("6.8.0-40-generic", "linux-modules-extra-6.8.0-40-generic", "6.8.0-40.40"),
        ("6.8.0-40-generic", "linux-headers-6.8.0-40", "6.8.0-40.40"),
        ("6.8.12-1-pve", "proxmox-kernel-6.8.12-1-pve-signed", "7:1"),
        ("5.14.0-427.el9.x86_64", "kernel-core", "5.14.0-427.el9"),
        ("5.14.0-427.el9.x86_64+debug", "kernel-debug-core", "1:5.14.0-427.el9"),
        ("5.14.21-150500.55-default", "kernel-default", "5.14.21-150500.55.1"),
        ("5.14.21-150500.55-default", "kernel-default-base", "5.14.21-150500.55"),
    ],
)
def test_the_kernel_that_runs_is_known_however_it_calls_itself(running: str, name: str, version: str) -> None:
    assert is_of(running, name, version)


@pytest.mark.parametrize(
    ("running", "name", "version"),
    [
        ("", "linux-image-", "1"),
        ("6.1.0-1-amd64", "linux-image-6.1.0-11-amd64", "6.1.4-1"),
        ("6.1.0-1-amd64", "linux-image-6.1.0-1-rt-amd64", "6.1.0-1"),
        ("5.8-12.x86_64", "kernel-core", "5.8-1"),
        ("5.14.0-427.el9.x86_64", "kernel-core", "5.14.0-42.el9"),
        ("5.14.21-150500.55-default", "kernel-default", "5.14.21-150500.551.1"),
        ("5.14.21-150500.55-default", "kernel-default", "5.14.21-150500.5.1"),
    ],
)
def test_another_kernel_is_not_taken_for_the_one_that_runs(running: str, name: str, version: str) -> None:
    assert not is_of(running, name, version)


def test_the_running_kernel_of_suse_stays_whatever_the_manager_says() -> None:
    versions = ("5.14.21-150500.55.1", "5.14.21-150500.60.1")
    seen = replace(
        healthy(NOW),
        manager="zypper",
        installed=tuple(Installed("kernel-default", "x86_64", one) for one in versions),
    )
    seen = replace(seen, facts=replace(seen.facts, kernel="5.14.21-150500.55-default"))
    old = Change("remove", "kernel-default", "x86_64", versions[0], None, unused="kernel")
    answers = {WHAT_IS_UNUSED: Answer((old,)), **dict([removal(old)])}
    plan = asked(effective({"autoremove": "kernels"}), answers, seen)
    assert plan.transaction == ()
    assert "it runs" in told(plan, ConditionType.UNUSED_KEPT)


SUSE = (BootKernel("5.14.21-150500.55-default", 40 * MIB),)
PROXMOX = (BootKernel("6.8.12-1-pve", 40 * MIB),)


@pytest.mark.parametrize(
    ("change", "kernels", "is_needed"),
    [
        (coming("kernel-default", "5.14.21-150500.60.1"), SUSE, "needed"),
        (coming("kernel-default", "5.14.21-150500.55.1"), SUSE, ""),
        (coming("proxmox-kernel-6.8.12-4-pve-signed", "6.8.12-4"), PROXMOX, "needed"),
        (coming("proxmox-kernel-6.8.12-1-pve-signed", "6.8.12-1"), PROXMOX, ""),
        (coming("pve-kernel-6.2.16-3-pve", "6.2.16-3"), PROXMOX, "needed"),
        (coming("kernel-uek-core", "5.15.0-200.el9uek"), KERNELS, "needed"),
        (coming("kernel-core", "5.14.0-1"), (BootKernel("5.14.0-12.x86_64", MIB),), "needed"),
        (coming("linux-image-amd64", "6.1.4-1"), KERNELS, ""),
        (coming("linux-image-6.1.0-1-amd64-dbg", "6.1.4-1"), KERNELS, ""),
        (coming("kernel-tools-libs", "5.14.0-3.el9"), KERNELS, ""),
        (coming("kernel-srpm-macros", "1.0-13.el9"), KERNELS, ""),
        (coming("kernel-headers", "5.14.0-3.el9"), KERNELS, ""),
        (coming("kernel-modules-extra", "5.14.0-3.el9"), KERNELS, ""),
        (coming("kernelshark", "2.0-1"), KERNELS, ""),
    ],
)
def test_only_a_kernel_that_is_not_there_needs_room(
    change: Change, kernels: tuple[BootKernel, ...], is_needed: str
) -> None:
    assert bool(boot_need((change,), kernels)) == bool(is_needed)


def test_old_kernels_of_suse_and_proxmox_make_room() -> None:
    assert freed((going("kernel-default", "5.14.21-150500.55.1"),), SUSE) == 40 * MIB
    assert freed((going("proxmox-kernel-6.8.12-1-pve-signed", "6.8.12-1"),), PROXMOX) == 40 * MIB
    assert freed((going("kernel-default-devel", "5.14.21-150500.55.1"),), SUSE) == 0


def test_what_a_person_installed_stays_whatever_the_manager_says() -> None:
    seen = replace(MACHINE, unneeded=KNOWN)
    answers = {WHAT_IS_UNUSED: Answer((UNUSED_LIB, UNUSED_WANTED)), **dict([removal(UNUSED_LIB)])}
    plan = asked(effective({"autoremove": "new-unused"}), answers, seen)
    assert [(one.name, one.unused) for one in plan.transaction] == [("lib", "package")]
    assert "wanted: a person installed it" in told(plan, ConditionType.UNUSED_KEPT)
    (update,) = (one for one in plan.updates if one.name == "lib")
    assert [one.message for one in update.reasons] == ["nothing needs it any more since run R1"]


def test_a_removal_that_takes_more_along_is_left() -> None:
    seen = replace(MACHINE, unneeded=KNOWN)
    named, answer = removal(UNUSED_LIB)
    more = replace(answer, changes=(*answer.changes, replace(UNUSED_WANTED, unused="")))
    policy = effective({"autoremove": "new-unused"})
    plan = asked(policy, {WHAT_IS_UNUSED: Answer((UNUSED_LIB,)), named: more}, seen)
    assert plan.transaction == ()
    assert "lib: its removal would take wanted along" in told(plan, ConditionType.UNUSED_KEPT)


def offered(name: str, arch: str, installed: str, candidate: str) -> Offer:
    return Offer(name, arch, installed, candidate, (Available(candidate, ("origin",), security=True),))


YOUNG = {"min_age": {"security": "5d"}}


def test_what_goes_although_it_has_an_update_goes_for_its_own_reason() -> None:
    seen = replace(MACHINE, unneeded=KNOWN, offers=(offered("lib", "amd64", "1", "2"),))
    answers = {WHAT_IS_UNUSED: Answer((UNUSED_LIB,)), **dict([removal(UNUSED_LIB)])}
    plan = asked(effective({"autoremove": "new-unused", **YOUNG}), answers, seen)
    (update,) = plan.updates
    assert (update.disposition, update.candidate) == (Disposition.PLANNED, None)
    assert [one.message for one in update.reasons] == ["nothing needs it any more since run R1"]


def of_versions(*versions: str) -> tuple[tuple[Installed, ...], tuple[Change, ...]]:
    """Return a kernel of rpm in these versions, and as what goes if they all go."""
    here = tuple(Installed("kernel-core", "x86_64", one, automatic=True) for one in versions)
    return here, tuple(
        Change("remove", one.name, one.arch, one.version, None, unused="kernel") for one in here
    )


def test_an_old_kernel_that_goes_hides_no_update_of_the_kernel() -> None:
    here, old = of_versions("5.8-1", "5.9-1", "5.11-1")
    new = offered("kernel-core", "x86_64", "5.11-1", "5.12-1")
    seen = replace(healthy(NOW), manager="dnf", installed=here, offers=(new,))
    answers = {WHAT_IS_UNUSED: Answer(old[:2]), **dict([removal(*old[:2])])}
    plan = asked(effective({"autoremove": "kernels", **YOUNG}), answers, seen)
    assert [one.from_version for one in plan.transaction] == ["5.8-1", "5.9-1"]
    (update,) = plan.updates
    assert (update.candidate, update.security, update.disposition) == ("5.12-1", True, Disposition.TOO_YOUNG)
    assert [one.message for one in update.reasons[1:]] == [
        "5.8-1 is an old kernel that the package manager lets go",
        "5.9-1 is an old kernel that the package manager lets go",
    ]


def test_each_version_of_a_kernel_is_told_whether_it_goes_or_stays() -> None:
    here, old = of_versions("5.8-1", "5.9-1", "5.10-1", "5.11-1")
    seen = replace(healthy(NOW), manager="dnf", installed=here)
    seen = replace(seen, facts=replace(seen.facts, kernel="5.9-1.x86_64"))
    answers = {WHAT_IS_UNUSED: Answer(old), **dict([removal(old[0], old[2])])}
    plan = asked(effective({"autoremove": "kernels"}), answers, seen)
    (update,) = plan.updates
    assert [one.message.split()[0] for one in update.reasons] == ["5.10-1", "5.8-1"]
    kept = told(plan, ConditionType.UNUSED_KEPT)
    assert "kernel-core 5.9-1: it runs" in kept
    assert "kernel-core 5.11-1: it is the newest one" in kept
