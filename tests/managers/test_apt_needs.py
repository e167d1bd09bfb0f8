"""Which packages of a transaction must move before, or with, which others, by what they declare."""

from collections.abc import Mapping

import pytest

from reconciler.managers.apt_relations import Package, needs_of
from reconciler.planning.facts.package import PackageId

Record = Mapping[str, str]


def moving(name: str, before: str = "1.0", **record: str) -> Package:
    return Package(name, "2.0", {key.replace("_", "-"): value for key, value in record.items()}, before)


@pytest.mark.parametrize(
    ("packages", "installed", "needs"),
    [
        ([moving("a"), moving("b")], {}, {}),
        # A dependency that what is installed does not meet.
        ([moving("a", Depends="b (>= 2.0)"), moving("b")], {}, {"a": ("b",)}),
        ([moving("a", Pre_Depends="b (>= 2.0)"), moving("b")], {}, {"a": ("b",)}),
        ([moving("a", Depends="b (>= 1.0)"), moving("b")], {}, {}),
        ([moving("a", Depends="b"), moving("b")], {}, {}),
        # One that comes in new is there only with its step.
        ([moving("a", Depends="b"), moving("b", before="")], {}, {"a": ("b",)}),
        ([moving("a", Depends="virtual"), moving("b", before="", Provides="virtual")], {}, {"a": ("b",)}),
        # Another alternative may be there already, and nobody here knows.
        ([moving("a", Depends="b (>= 2.0) | elsewhere"), moving("b")], {}, {}),
        # What moves breaks what is installed of the other.
        ([moving("a", Breaks="b (<< 2.0)"), moving("b")], {}, {"a": ("b",)}),
        ([moving("a", Conflicts="b (<< 1.0)"), moving("b")], {}, {}),
        # What is installed of the other does not bear the new version.
        ([moving("a"), moving("b")], {"b": {"Depends": "a (= 1.0)"}}, {"a": ("b",)}),
        ([moving("a"), moving("b")], {"b": {"Breaks": "a (>= 2.0)"}}, {"a": ("b",)}),
        ([moving("a"), moving("b")], {"b": {"Depends": "a (>= 1.0)"}}, {}),
        ([moving("a"), moving("b")], {"b": {"Depends": "a (= 1.0) | elsewhere"}}, {}),
        # A pair of one version: both ways.
        (
            [moving("a", Depends="b (= 2.0)"), moving("b")],
            {"a": {"Depends": "b (= 1.0)"}},
            {"a": ("b",), "b": ("a",)},
        ),
    ],
)  # fmt: skip
def test_declared_relations_decide(
    packages: list[Package], installed: Mapping[str, Record], needs: dict[str, tuple[str, ...]]
) -> None:
    found = needs_of(
        {PackageId(one.name, "amd64"): one for one in packages},
        {PackageId(name, "amd64"): record for name, record in installed.items()},
    )
    assert found == {PackageId(name, "amd64"): others for name, others in needs.items()}


def test_what_one_architecture_declares_does_not_hide_what_another_does() -> None:
    amd64, i386, a = PackageId("b", "amd64"), PackageId("b", "i386"), PackageId("a", "amd64")
    packages = {a: moving("a"), amd64: moving("b", Depends="a (>= 2.0)"), i386: moving("b")}
    installed = {amd64: {"Depends": "a (= 1.0)"}, i386: {"Depends": "a"}}
    assert needs_of(packages, installed) == {a: ("b",), amd64: ("a",)}
