"""A package is a name and an architecture; a name alone means all of them."""

import pytest

from reconciler.planning.facts.package import Mention, Names, PackageId, of_other_architecture

MA, MI, X = PackageId("ma", "amd64"), PackageId("ma", "i386"), PackageId("x", "all")


def test_packages_are_sorted_by_name_then_architecture() -> None:
    assert sorted([X, MI, MA]) == [MA, MI, X]
    assert str(MI) == "ma:i386"


@pytest.mark.parametrize(
    ("text", "meant"),
    [("ma", {MA, MI}), ("ma:i386", {MI}), ("ma:amd64", {MA}), ("x", {X}), ("m", set()), ("", set())],
)
def test_a_name_without_architecture_means_every_one(text: str, meant: set[PackageId]) -> None:
    assert {one for one in (MA, MI, X) if Mention.parse(text).means(one)} == meant


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("ma", "ma:i386", True), ("ma:i386", "ma", True), ("ma:amd64", "ma:i386", False), ("ma", "x", False)],
)
def test_two_mentions_may_mean_the_same(one: str, other: str, *, expected: bool) -> None:
    assert Mention.parse(one).overlaps(Mention.parse(other)) is expected


def test_an_architecture_is_shown_where_the_name_alone_could_mean_another() -> None:
    name = Names.among([MA, MI, X, X])
    assert [name(one) for one in (MA, MI, X)] == ["ma:amd64", "ma:i386", "x"]
    assert Names.among([MI])(MI) == "ma"


@pytest.mark.parametrize(
    ("gone", "come", "expected"),
    [
        (
            [PackageId("x", "all")],
            [PackageId("x", "amd64")],
            {PackageId("x", "all"): PackageId("x", "amd64")},
        ),
        ([X], [X], {}),
        ([MA, MI], [PackageId("ma", "all")], {}),
        ([X], [MA], {}),
    ],
)
def test_an_architecture_changed_where_one_of_the_name_went_and_one_came(
    gone: list[PackageId], come: list[PackageId], expected: dict[PackageId, PackageId]
) -> None:
    assert of_other_architecture(gone, come) == expected
