"""Which packages that nothing needs any more go, and which stay, whatever a manager says."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from reconciler.planning.facts.observation import BootKernel, Change, Filesystem, Health
from reconciler.planning.facts.package import PackageId
from reconciler.planning.facts.unneeded import UnneededSeen, seen_again
from reconciler.planning.gates.types import Step
from reconciler.planning.resolving.boot import BOOT_MARGIN, BOOT_SLACK, boot_need, filling
from reconciler.planning.runs.old_first import old_first, without_unused

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
