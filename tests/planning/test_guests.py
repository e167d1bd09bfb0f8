"""Which guests there are, by what was found and what the hypervisor's configuration says."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.guests import (
    Choice,
    FrozenGuest,
    Gone,
    Guest,
    GuestKind,
    Inspected,
    Locked,
    Moved,
    Pin,
    Running,
    State,
    Stopped,
    Template,
    Unsupported,
    Wishes,
    inventory,
)
from tests.examples import examples

PVE = GuestKind.PROXMOX


def guest(number: str, state: State | None = None, *tags: str) -> Guest:
    return Guest(number, PVE, f"name-{number}", state or Running(), tags)


def left_out(*found: Guest, wishes: Wishes | None = None) -> dict[str, str]:
    listed = inventory([Inspected(found)], wishes or Wishes()).guests
    return {one.id: one.left_out for one in listed}


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (Running(), ""),
        (Stopped(), "it is stopped"),
        (FrozenGuest(), "it is frozen"),
        (Locked("backup"), "it is locked (backup)"),
        (Template(), "it is a template"),
        (Moved("pve2"), "it is on pve2"),
        (Gone(), "it is not there"),
        (Unsupported("it is made of stone"), "it is made of stone"),
    ],
)
def test_each_state_but_running_is_a_reason(state: State, why: str) -> None:
    assert left_out(guest("101", state)) == {"101": why}


def test_the_operator_s_wish_comes_before_the_state() -> None:
    wishes = Wishes(but=Choice(frozenset({"101"}), frozenset({"no-patch"})))
    assert left_out(
        guest("101", Stopped()), guest("102", None, "web", "no-patch"), guest("103"), wishes=wishes
    ) == {
        "101": "guests.except names id 101",
        "102": "guests.except names tag no-patch",
        "103": "",
    }


def test_only_leaves_all_others_out() -> None:
    wishes = Wishes(only=Choice(frozenset({"101"}), frozenset({"web"})))
    assert left_out(guest("101"), guest("102", None, "web"), guest("103", Stopped()), wishes=wishes) == {
        "101": "",
        "102": "",
        "103": "guests.only does not name it",
    }


def test_labels_of_the_configuration_beat_tags_and_other_tags_are_told() -> None:
    tagged = guest("101", None, "web", "env", "_x", "c++", "db-")
    (listed,) = inventory([Inspected((tagged,))], Wishes(labels={"101": {"env": "prod"}})).guests
    assert listed.labels == {"web": "true", "env": "prod", "guest": "proxmox"}
    assert listed.notes == tuple(f"tag {tag} is no label's name" for tag in ("_x", "c++", "db-"))


def test_two_guests_of_one_name_have_two_numbers() -> None:
    twins = (Guest("101", PVE, "web", Running()), Guest("102", PVE, "web", Running()))
    assert left_out(*twins) == {"101": "", "102": ""}


def test_no_guest_is_met_by_what_means_another_one() -> None:
    """Whoever administers a guest chooses its name: an approval of another one would be about it as well."""
    tenant, other = Guest("105", PVE, "101", Running()), Guest("101", PVE, "web", Running())
    told = {one.id: one for one in inventory([Inspected((tenant, other))], Wishes()).guests}
    assert (told["105"].name, told["101"].name) == ("", "web")
    assert told["105"].notes == ("its name is the id of guest 101, so that nothing matches it by name",)
    assert {one.left_out for one in told.values()} == {""}


def test_of_two_guests_with_one_id_neither_is_taken() -> None:
    found = [
        Inspected((Guest("web", GuestKind.LXC, "Web", Running()),)),
        Inspected(
            (Guest("web", GuestKind.INCUS, "web", Running()), Guest("db", GuestKind.INCUS, "db", Running()))
        ),
    ]
    told = {one.name: one.left_out for one in inventory(found, Wishes()).guests}
    assert told == {
        "Web": "its id web is that of incus web as well",
        "web": "its id web is that of lxc Web as well",
        "db": "",
    }


def test_a_name_that_gives_no_id() -> None:
    assert left_out(Guest("", GuestKind.LXC, "---", Running())) == {
        "": "its name gives no id: it has no letter or digit"
    }


def test_a_guest_that_the_configuration_names_and_nobody_has_is_told() -> None:
    found = [Inspected((guest("101"),), elsewhere={"102": "pve2", "900": "pve3"})]
    wishes = Wishes(Choice(frozenset({"101", "102"})), labels={"103": {"env": "prod"}})
    listed = {one.id: (one.kind, one.state) for one in inventory(found, wishes).guests}
    assert listed == {"101": (PVE, Running()), "102": (PVE, Moved("pve2")), "103": (None, Gone())}


def test_nobody_is_said_to_be_gone_where_a_place_could_not_be_looked_into() -> None:
    found = [Inspected((guest("101"),)), Inspected(problem="Incus does not answer")]
    made = inventory(found, Wishes(labels={"web": {}}))
    assert [one.id for one in made.guests] == ["101"]
    assert made.problems == ("Incus does not answer",)


def test_they_stand_in_the_order_of_their_numbers() -> None:
    assert list(left_out(guest("1000"), guest("999"), guest("101"))) == ["101", "999", "1000"]


IDS = st.sampled_from(["", "101", "102", "web", "db"])
STATES = st.sampled_from([Running(), Stopped(), FrozenGuest(), Locked("backup"), Template(), Moved("pve2")])
GUESTS = st.builds(
    Guest,
    IDS,
    st.sampled_from(GuestKind),
    st.text(max_size=8),
    STATES,
    st.lists(st.text(max_size=5)).map(tuple),
)
CHOICES = st.builds(Choice, st.frozensets(IDS), st.frozensets(st.text(max_size=5)))
WISHES = st.builds(
    Wishes,
    st.none() | CHOICES,
    CHOICES,
    st.dictionaries(IDS, st.dictionaries(st.sampled_from(["env", "web"]), st.just("x"))),
)


@given(st.lists(st.lists(GUESTS, max_size=4), max_size=3), WISHES)
@examples(200)
def test_who_is_taken_runs_has_an_id_of_its_own_and_is_wanted(
    found: list[list[Guest]], wishes: Wishes
) -> None:
    places = [Inspected(tuple(guests)) for guests in found]
    made = inventory(places, wishes)
    taken = [one for one in made.guests if not one.left_out]
    ids = Counter(one.id for guests in found for one in guests)
    assert all(one.state == Running() and one.id and ids[one.id] == 1 for one in taken)
    assert not any(wishes.but.why(one) for one in taken)
    assert all(wishes.only is None or wishes.only.why(one) for one in taken)
    assert all(wishes.labels.get(one.id, {}).items() <= one.labels.items() for one in made.guests)
    assert len(made.guests) >= sum(map(len, found))
    turned = inventory(places[::-1], wishes)
    assert Counter(map(fate, made.guests)) == Counter(map(fate, turned.guests))


def fate(listed: Guest) -> tuple[object, ...]:
    return (listed.kind, listed.id, listed.name, listed.tags, bool(listed.left_out))


A, B = "a" * 32, "b" * 32


@pytest.mark.parametrize(
    ("pin", "volume", "machine_id", "said"),
    [
        (Pin("101"), "x:101", A, ""),
        (Pin("101", "x:101", A), "x:101", A, ""),
        (Pin("101", "x:101", A), "y:101", A, ""),
        (Pin("101", "x:101", A), "x:101", B, f"its machine id is {B}, and was {A}"),
        (Pin("101", "x:101", A), "", B, f"its machine id is {B}, and was {A}"),
        (Pin("101", "x:101", A), "x:101", "", ""),
        (Pin("101", "x:101", A), "y:101", "", "its root is on y:101, and was on x:101"),
        (Pin("101", "x:101"), "y:101", A, "its root is on y:101, and was on x:101"),
        (Pin("101", "x:101"), "x:101", A, ""),
        (Pin("101", "", A), "x:101", "", ""),
    ],
)
def test_a_number_that_was_given_again_is_another_guest(
    pin: Pin, volume: str, machine_id: str, said: str
) -> None:
    assert pin.contradicted(volume, machine_id) == said


def test_a_pin_keeps_what_is_not_known_now() -> None:
    assert Pin("101", "x:101", A).and_seen("", "") == Pin("101", "x:101", A)
    assert Pin("101", "x:101").and_seen("y:101", A) == Pin("101", "y:101", A)


def test_guests_that_were_looked_after_before_are_missed() -> None:
    there = guest("101", None, "web")
    place = Inspected((there,), elsewhere={"102": "pve2"})
    found = inventory([place], Wishes(), frozenset({"101", "102", "103"})).guests
    assert {one.id: one.left_out for one in found} == {
        "101": "",
        "102": "it is on pve2",
        "103": "it is not there",
    }
    unread = inventory([place, Inspected(problem="no /etc/pve")], Wishes(), frozenset({"103"})).guests
    assert [one.id for one in unread] == ["101"]
