"""A hypervisor's reboot is in a freeze of a guest where the guest's own restart would be."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.planning.gates.guests import in_a_freeze
from reconciler.policy.load import PolicyFile, Revision, load
from reconciler.policy.match import HostFacts

NOW = datetime(2026, 12, 24, 22, 0, tzinfo=UTC)
BACK = NOW + timedelta(minutes=15)


def freeze(more: str = "", begins: str = "2026-12-20", ends: str = "2027-01-02") -> str:
    said = f"kind: Freeze\nname: holidays\nfrom: {begins}\nuntil: {ends}\nreason: no changes\ntimezone: UTC\n"
    return said + more


def revision(**files: str) -> Revision:
    made = load(
        [PolicyFile(f"{name}/x.yaml", "100644", text.encode()) for name, text in files.items()],
        "c" * 40,
    )
    assert isinstance(made, Revision), made
    return made


def guest(number: str, **labels: str) -> HostFacts:
    return HostFacts(number, labels, "debian", "12", "apt", "pve1", "")


SAID = "guest 201 is in the freeze holidays (no changes)"


@pytest.mark.parametrize(
    ("more", "policy", "expected"),
    [
        ("", "", SAID),
        ("match: {name: '201'}\n", "", SAID),
        ("match: {labels: {env: production}}\n", "", SAID),
        ("match: {name: '204'}\n", "", ""),
        ("match: {not: {guest_of: '*'}}\n", "", ""),
        ("allow: security\n", "", SAID),
        ("allow: security\n", "updates: security\nremovals: forbid\n", SAID),
    ],
)
def test_a_freeze_that_is_about_a_guest(more: str, policy: str, expected: str) -> None:
    found = revision(freezes=freeze(more), policies=f"kind: Policy\nname: base\naction: plan\n{policy}")
    assert in_a_freeze([guest("201", env="production")], found, NOW, BACK) == expected


def test_the_label_of_its_host_document_counts() -> None:
    host = "kind: Host\nname: pve1/201\nlabels: {env: production}\n"
    found = revision(freezes=freeze("match: {labels: {env: production}}\n"), hosts=host)
    assert in_a_freeze([guest("201", env="test")], found, NOW, BACK) == SAID


@pytest.mark.parametrize(
    ("begins", "ends", "is_in"),
    [
        ("2026-12-24 22:10", "2026-12-25 22:00", True),
        ("2026-12-24 22:15", "2026-12-25 22:00", False),
        ("2026-12-23 22:00", "2026-12-24 22:00", False),
    ],
)
def test_it_is_to_be_back_before_one_begins(begins: str, ends: str, is_in: bool) -> None:  # noqa: FBT001 - a table
    found = revision(freezes=freeze(begins=f'"{begins}"', ends=f'"{ends}"'))
    assert in_a_freeze([guest("201")], found, NOW, BACK) == (SAID if is_in else "")


def test_all_that_are_in_one_are_named() -> None:
    guests = [guest(str(number)) for number in range(201, 208)]
    said = in_a_freeze(guests, revision(freezes=freeze()), NOW, BACK)
    assert said.startswith(f"{SAID}, guest 202 is in")
    assert said.endswith("and 2 more")
