"""A transaction falls into small steps, each of which leaves a whole system behind."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.observation import Change
from reconciler.planning.package import PackageId
from reconciler.planning.steps import bundle, split


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


def test_neighbours_are_joined_until_they_are_worth_a_call() -> None:
    steps = split([upgrade(name) for name in "abcdefg"], {})
    assert [len(step.changes) for step in bundle(steps, 3)] == [3, 3, 1]
    assert bundle(steps, 1) == steps
    assert bundle((), 3) == ()


@given(GRAPHS, st.integers(1, 5))
def test_a_bundle_keeps_the_order(graph: tuple[int, set[tuple[int, int]]], least: int) -> None:
    count, _ = graph
    steps = split([upgrade(f"p{number}") for number in range(count)], {})
    bundles = bundle(steps, least)
    assert [change for step in bundles for change in step.changes] == [
        change for step in steps for change in step.changes
    ]
    assert all(len(step.changes) >= least for step in bundles[:-1])
