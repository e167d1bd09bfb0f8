"""A kind and a key know since when they exist, and the policy must say so in `requires`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import BaseModel

from reconciler.policy.documents import KINDS, Policy
from reconciler.policy.fields import FIRST, Since, Strictly
from reconciler.policy.load import Origin, Placed, Revision
from reconciler.policy.since import admits_nothing_before, check_hosts, check_requires
from reconciler.policy.yamltext import parse_documents, validate
from tests.policy.trees import loaded


class Nested(Strictly):
    """A mapping of a later version."""

    old: int = 1
    new: Annotated[int, Since("0.4")] = 1


class LaterPolicy(Policy):
    """What a Policy may be some versions later."""

    pace: Annotated[Literal["slow", "fast"] | None, Since("0.2")] = None
    care: Nested | None = None


class LaterKind(Policy):
    """A kind that came later."""

    since: ClassVar[str] = "0.3"


TEXT = b"kind: Policy\nname: p\nupdates: all\npace: slow\ncare: {old: 2, new: 3}\n"


def revision(requires: str, model: type[Policy] = LaterPolicy, text: bytes = TEXT) -> Revision:
    (document,), _ = parse_documents(text, "policies/p.yaml")
    value = validate(model, document, "policies/p.yaml")
    assert isinstance(value, Policy), value
    placed = Placed(value, Origin("policies/p.yaml", 1), document)
    return replace(loaded({}), policies=(placed,), requires=requires)


def said(found: Revision, versions: Mapping[str, str] | None = None) -> list[str]:
    return [str(one) for one in check_requires(found, versions or {})]


PACE = (
    "policies/p.yaml:4: pace: exists since patchledger 0.2, and an older host refuses the whole revision"
    '{} (write `requires: ">=0.2"` in patchledger.yaml)'
)
NEW = (
    "policies/p.yaml:5: care.new: exists since patchledger 0.4, and an older host refuses the whole revision"
    '{} (write `requires: ">=0.4"` in patchledger.yaml)'
)


@pytest.mark.parametrize(
    ("requires", "expected"),
    [
        ("", [PACE.format(""), NEW.format("")]),
        (">=0.1", [PACE.format(""), NEW.format("")]),
        ("<1", [PACE.format(""), NEW.format("")]),
        (">=0.2", [NEW.format("")]),
        (">=0.4, <1", []),
        ("==0.4.1", []),
    ],
)
def test_newer_keys_ask_for_the_version_in_which_they_came(requires: str, expected: list[str]) -> None:
    assert said(revision(requires)) == expected


def test_the_hosts_that_would_refuse_are_named() -> None:
    versions = {"web-01": "0.1.0", "web-02": "0.2.1", "db-01": "0.3"}

    assert said(revision(""), versions) == [
        PACE.format(": web-01 (0.1.0)"),
        NEW.format(": db-01 (0.3), web-01 (0.1.0), web-02 (0.2.1)"),
    ]


def test_a_newer_kind_asks_for_its_version() -> None:
    found = revision(">=0.2", LaterKind, b"kind: Policy\nname: p\n")

    kind = "this kind exists since patchledger 0.3, and an older host refuses the whole revision"
    assert said(found) == [f'policies/p.yaml:1: {kind} (write `requires: ">=0.3"` in patchledger.yaml)']


def test_hosts_that_requires_does_not_admit_are_told() -> None:
    versions = {f"web-{number:02}": "0.1.0" for number in range(7)} | {"db-01": "1.2"}
    (warning,) = check_hosts(revision(">=1"), versions)

    assert warning.message.endswith(
        "refuse the revision: web-00 (0.1.0), web-01 (0.1.0), web-02 (0.1.0), web-03 (0.1.0), web-04 (0.1.0)"
        " and 2 more"
    )
    assert check_hosts(revision(">=0.1"), versions) == ()
    assert check_hosts(revision(""), versions) == ()


@pytest.mark.parametrize(
    ("requires", "is_enough"),
    [(">=1.4", True), (">1.4", True), ("==1.4", True), (">=1.5, <2", True), ("", False), ("<2", False)],
)
def test_what_admits_no_older_version(requires: str, *, is_enough: bool) -> None:
    assert admits_nothing_before(requires, "1.4") is is_enough


def keys_of(model: type[BaseModel], path: str) -> Iterator[tuple[str, str]]:
    """Yield every key below a model with the version in which it came."""
    for name, field in sorted(model.model_fields.items()):
        here = f"{path}.{field.alias or name}"
        marks = [mark.version for mark in field.metadata if isinstance(mark, Since)]
        yield here, marks[0] if marks else FIRST
        for inner in sorted(models_in(field.annotation), key=lambda one: one.__name__):
            if inner is not model:
                yield from keys_of(inner, here)


def models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {found for part in getattr(annotation, "__args__", ()) for found in models_in(part)}


def test_every_key_has_its_version_and_a_new_one_cannot_come_without(
    golden: Callable[[str, bytes], None],
) -> None:
    """A key that is added after a release is marked, or the list would say that it was always there."""
    lines = [f"{kind} {model.since}" for kind, model in KINDS.items()]
    lines += [
        f"{path} {version}"
        for kind, model in KINDS.items()
        for path, version in dict(keys_of(model, kind)).items()
    ]

    golden("policy/keys.txt", "".join(f"{line}\n" for line in lines).encode())
