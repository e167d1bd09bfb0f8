"""What documents match on of a guest, and which policies match one without meaning guests."""

from dataclasses import replace

import pytest

from reconciler.planning.facts.guests import Choice, Guest, GuestKind, Inspected, Running, Wishes, inventory
from reconciler.planning.facts.matching import facts_of_guest, unmeant
from reconciler.policy.resolve import Resolver
from tests.policy.trees import loaded
from tests.report_samples import OBSERVATION


def guest(name: str, called: str, *tags: str, kind: GuestKind = GuestKind.PROXMOX) -> Guest:
    return Guest(name, kind, called, Running(), tags)


def looked_after(*guests: Guest, wishes: Wishes | None = None) -> tuple[Guest, ...]:
    return inventory([Inspected(guests)], wishes or Wishes()).guests


def test_a_guest_has_its_id_and_name_and_what_was_seen_in_it() -> None:
    (web,) = looked_after(guest("101", "web", "prod"))
    before, after = facts_of_guest(web, "pve1"), facts_of_guest(web, "pve1", OBSERVATION)

    assert (before.target, before.called, before.guest_of) == ("pve1/101", "web", "pve1")
    assert (before.os_id, before.manager) == ("", "")
    assert (after.os_id, after.os_version, after.manager) == ("debian", "12", "apt")
    assert after.labels == {"prod": "true", "guest": "proxmox"}


def test_a_guest_called_by_its_id_has_one_name() -> None:
    (web,) = looked_after(guest("web", "web", kind=GuestKind.LXC))

    assert facts_of_guest(web, "pve1").called == ""
    assert facts_of_guest(web, "pve1").labels == {"guest": "lxc"}


def test_the_nearer_to_the_guest_a_label_is_set_the_less_it_counts() -> None:
    """Who may set the tags of one guest takes no label away that its hypervisor or the policy gives it."""
    wishes = Wishes(labels={"101": {"env": "test", "role": "web"}})
    (web,) = looked_after(guest("101", "web", "env", "role", "guest", "rack"), wishes=wishes)
    tree = {"hosts/g.yaml": "kind: Host\nname: pve1/101\nlabels: {env: prod}\n"}

    assert Resolver(loaded(tree)).labels_of(facts_of_guest(web, "pve1")) == {
        "env": "prod",
        "role": "web",
        "guest": "proxmox",
        "rack": "true",
    }


WEB, DB = guest("101", "web", "prod"), guest("102", "db")


@pytest.mark.parametrize(
    ("match", "found"),
    [
        ("{}", ["101", "102"]),
        ("{name: 'web*'}", ["101"]),
        ("{name: '102'}", ["102"]),
        ("{labels: {prod: 'true'}}", ["101"]),
        ("{os: debian}", ["101", "102"]),
        ("{manager: apt, name: db}", ["102"]),
        ("{not: {os: debian}}", ["101", "102"]),
        ("{not: {name: web, manager: apt}}", ["101", "102"]),
        ("{not: {name: web}}", ["102"]),
        ("{not: {name: '*', not: {os: debian}}}", ["101", "102"]),
        ("{name: mail}", []),
        ("{guest_of: '*'}", []),
        ("{labels: {guest: '*'}}", []),
        ("{not: {guest_of: '*'}}", []),
    ],
)
def test_policies_that_say_nothing_of_guests_and_match_some_are_named(match: str, found: list[str]) -> None:
    tree = {"policies/p.yaml": f"kind: Policy\nname: p\nmatch: {match}\naction: apply\n"}
    told = unmeant(loaded(tree), looked_after(WEB, DB), "pve1")

    assert [(one.name, str(one.origin), list(one.guests)) for one in told] == (
        [("p", "policies/p.yaml:1", found)] if found else []
    )


def test_nothing_is_said_of_guests_that_are_left_out() -> None:
    tree = {"policies/p.yaml": "kind: Policy\nname: p\n"}
    wishes = Wishes(but=Choice(ids=frozenset({"102"})))
    (told,) = unmeant(loaded(tree), looked_after(WEB, DB, wishes=wishes), "pve1")

    assert told.guests == ("101",)


def test_a_name_of_another_guest_s_document_is_not_this_one_s() -> None:
    tree = {"hosts/g.yaml": "kind: Host\nname: pve1/101\nlabels: {env: prod}\n"}
    facts = facts_of_guest(looked_after(WEB)[0], "pve2")

    assert "env" not in Resolver(loaded(tree)).labels_of(facts)
    assert "env" in Resolver(loaded(tree)).labels_of(replace(facts, guest_of="pve1"))
