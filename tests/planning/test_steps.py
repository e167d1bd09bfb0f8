"""A transaction falls into small steps, each of which leaves a whole system behind."""

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts import exit_codes
from reconciler.planning.facts.observation import Answer, Change
from reconciler.planning.facts.package import PackageId
from reconciler.planning.runs.steps import is_own, own_last, part_of, security_first, split
from reconciler.policy.managers import MANAGERS


def upgrade(name: str, arch: str = "amd64") -> Change:
    return Change("upgrade", name, arch, "1.0", "1.1")


def names(changes: list[Change], needs: dict[str, tuple[str, ...]] | None) -> list[list[str]]:
    known = None if needs is None else {PackageId(name, "amd64"): others for name, others in needs.items()}
    return [[change.name for change in step.changes] for step in split(changes, known)]


def test_what_needs_nothing_is_a_step_of_its_own_in_the_resolvers_order() -> None:
    assert names([upgrade("b"), upgrade("a")], {}) == [["b"], ["a"]]


def test_what_is_needed_comes_first() -> None:
    assert names([upgrade("user"), upgrade("base")], {"user": ("base",)}) == [["base"], ["user"]]


def test_what_needs_each_other_moves_together() -> None:
    changes = [upgrade("a"), upgrade("b"), upgrade("c"), upgrade("d")]
    assert names(changes, {"a": ("b",), "b": ("c",), "c": ("a",)}) == [["a", "b", "c"], ["d"]]


def apart(
    changes: list[Change], needs: Mapping[str, tuple[str, ...]] | None
) -> tuple[list[list[str]], list[str]]:
    known = None if needs is None else {PackageId(name, "amd64"): others for name, others in needs.items()}
    first, last = own_last(split(changes, known), known, "apt")
    return [[change.name for change in step.changes] for step in first], [
        change.name for step in last for change in step.changes
    ]


def test_what_this_program_stands_on_comes_last_together() -> None:
    changes = [upgrade("git"), upgrade("nginx"), upgrade("libpython3.13-stdlib"), upgrade("curl")]
    assert apart(changes, {}) == ([["nginx"], ["curl"]], ["git", "libpython3.13-stdlib"])


def test_what_needs_it_comes_with_it_and_what_it_needs_before() -> None:
    changes = [upgrade("python3-yaml"), upgrade("app"), upgrade("python3"), upgrade("libc6"), upgrade("x")]
    needs = {"python3-yaml": ("python3",), "app": ("python3-yaml",), "python3": ("libc6",)}
    assert apart(changes, needs) == ([["libc6"], ["x"]], ["python3", "python3-yaml", "app"])


def test_without_steps_nothing_is_set_apart_but_the_whole() -> None:
    assert apart([upgrade("a"), upgrade("git")], None) == ([], ["a", "git"])
    assert apart([upgrade("a"), upgrade("b")], None) == ([["a", "b"]], [])


def test_the_names_are_those_of_what_runs_it() -> None:
    owns = {
        "apt": "libpython3.11-minimal",
        "dnf": "python3.12-libs",
        "zypper": "python311-base",
    }
    assert all(is_own(name, manager) for manager, name in owns.items())
    managers = [one.name for one in MANAGERS if one.knows_partial_upgrades]
    assert all(is_own(name, manager) for manager in managers for name in ("patchledger", "systemd", "git"))
    assert not any(is_own(name, "apt") for name in ("python3-yaml", "gitolite3", "libpython2.7", "nginx"))


def test_unknown_relations_make_one_step() -> None:
    assert names([upgrade("a"), upgrade("b")], None) == [["a", "b"]]
    assert names([], None) == names([], {}) == []


def test_a_removal_goes_with_whose_doing_it_is() -> None:
    gone = Change("replace", "old", "amd64", "1.0", None, by=("new",))
    assert names([gone, upgrade("other"), upgrade("new")], {}) == [["old", "new"], ["other"]]


def test_one_name_in_two_architectures_moves_at_once() -> None:
    changes = [upgrade("lib"), upgrade("x"), upgrade("lib", "i386")]
    assert names(changes, {}) == [["lib", "lib"], ["x"]]


def test_needs_outside_of_the_transaction_count_for_nothing() -> None:
    assert names([upgrade("a")], {"a": ("elsewhere",)}) == [["a"]]


GRAPHS = st.integers(1, 9).flatmap(
    lambda count: st.tuples(
        st.just(count), st.sets(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=20)
    )
)


@given(GRAPHS)
def test_every_change_is_made_once_and_never_before_what_it_needs(
    graph: tuple[int, set[tuple[int, int]]],
) -> None:
    count, edges = graph
    changes = [upgrade(f"p{number}") for number in range(count)]
    needs = {f"p{one}": tuple(f"p{other}" for first, other in edges if first == one) for one, _ in edges}
    steps = names(changes, needs)
    assert sorted(name for step in steps for name in step) == sorted(change.name for change in changes)
    place = {name: number for number, step in enumerate(steps) for name in step}
    assert all(place[f"p{other}"] <= place[f"p{one}"] for one, other in edges)
    for step in steps:  # no step is larger than it must be
        for name in step:
            assert set(step) <= reachable(name, needs)


def reachable(start: str, needs: dict[str, tuple[str, ...]]) -> set[str]:
    seen, todo = {start}, [start]
    while todo:
        for other in needs.get(todo.pop(), ()):
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


def urgent_first(*changes: Change, needs: Mapping[str, tuple[str, ...]]) -> list[list[str]]:
    known = {PackageId(name, "amd64"): others for name, others in needs.items()}
    parts = security_first(split(changes, known), known)
    return [[change.name for step in part for change in step.changes] for part in parts]


def fix(name: str) -> Change:
    return replace(upgrade(name), security=True)


def test_security_updates_come_first_with_all_that_they_need() -> None:
    changes = (upgrade("a"), fix("openssl"), upgrade("b"), upgrade("libc6"), upgrade("base"))
    found = urgent_first(*changes, needs={"openssl": ("libc6",), "libc6": ("base",), "a": ("openssl",)})
    assert found == [["base", "libc6", "openssl"], ["a", "b"]]


def test_what_moves_with_a_security_update_comes_with_it() -> None:
    found = urgent_first(upgrade("a"), upgrade("x"), fix("y"), needs={"x": ("y",), "y": ("x",)})
    assert found == [["x", "y"], ["a"]]


def test_without_security_updates_nothing_is_urgent() -> None:
    assert urgent_first(upgrade("a"), upgrade("b"), needs={}) == [[], ["a", "b"]]


@given(GRAPHS, st.sets(st.integers(0, 8)))
def test_nothing_that_is_urgent_needs_what_is_not(
    graph: tuple[int, set[tuple[int, int]]], fixes: set[int]
) -> None:
    count, edges = graph
    changes = [fix(f"p{one}") if one in fixes else upgrade(f"p{one}") for one in range(count)]
    needs = {f"p{one}": tuple(f"p{other}" for first, other in edges if first == one) for one, _ in edges}
    urgent, others = urgent_first(*changes, needs=needs)
    assert sorted(urgent + others) == sorted(change.name for change in changes)
    assert {change.name for change in changes if change.security} <= set(urgent)
    for name in urgent:
        assert reachable(name, needs) <= set(urgent)


WHOLE = (upgrade("a"), upgrade("b"), upgrade("c"))


def test_a_part_is_what_the_resolver_does_with_it_alone_and_with_all() -> None:
    assert part_of(WHOLE, Answer((WHOLE[2], WHOLE[0]))) == (WHOLE[0], WHOLE[2])
    # What an answer says of a change besides, such as its size, makes it no other.
    assert part_of(WHOLE, Answer((replace(WHOLE[0], size=5),))) == (WHOLE[0],)
    assert part_of(WHOLE, Answer((), exit_code=exit_codes.NOTHING_TO_DO)) == ()


def test_an_answer_that_does_anything_else_is_no_part() -> None:
    assert part_of(WHOLE, Answer((replace(WHOLE[0], to_version="1.0.5"),))) is None
    assert part_of(WHOLE, Answer((WHOLE[0], upgrade("more")))) is None
    assert part_of(WHOLE, Answer((WHOLE[0],), exit_code=exit_codes.UNRESOLVED)) is None
