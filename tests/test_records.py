"""What :mod:`reconciler.records` makes is what the library makes; only when methods are compiled differs."""

import copy
import dataclasses
import pickle
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from pydantic import TypeAdapter

from reconciler import records

T = TypeVar("T")
Decorator = Callable[..., Callable[[type], type]]
_FIELDS = {
    "number": int,
    "names": "tuple[str, ...]",
    "told": "dict[str, int]",
    "kind": "ClassVar[str]",
    "found": str,
    "seen": "list[str]",
    "hidden": int,
}


def plain(self: Any) -> str:
    return f"#{self.number}"


def after(self: Any) -> None:
    self.told["made"] = self.number


MORE: dict[str, dict[str, Any]] = {
    "plain": {},
    "its own text": {"__repr__": plain},
    "its own equality": {"__eq__": lambda self, other: self.number == getattr(other, "number", None)},
    "its own hash": {"__hash__": lambda self: hash(type(self).__name__)},
    "after it was made": {"__post_init__": after},
    "with a property": {"shown": property(plain)},
    "documented": {"__doc__": "One of them."},
}
# As most are: all of the fields can be given.
GIVEN = {"found": field(default="nothing"), "seen": field(default_factory=list, compare=False)}
MORE |= {f"{name}, all given": GIVEN | more for name, more in MORE.items()}
# More than are filled before what fills them is compiled.
MANY = 60


class Shown:
    """Adds what is about fields, and has none."""

    __slots__ = ()

    number: int

    def __repr__(self) -> str:
        return f"<{self.number}>"

    @property
    def doubled(self) -> int:
        """Twice the number."""
        return 2 * self.number


def made(decorator: Any, more: dict[str, Any], bases: tuple[type, ...] = (), **options: bool) -> Any:
    """Return a class with fields of all sorts, as its author would write it."""
    body = {
        "__module__": __name__,
        "__annotations__": dict(_FIELDS),
        "names": (),
        "told": field(default_factory=dict, compare=False),
        "kind": "thing",
        "found": field(default="nothing", init=False),
        "seen": field(default_factory=list, init=False, compare=False),
        "hidden": field(default=3, repr=False, hash=False),
        **more,
    }
    return decorator(**options)(type("Thing", bases, body))


def outcome(act: Callable[[], object]) -> object:
    try:
        return act()
    except (TypeError, AttributeError) as error:  # FrozenInstanceError is one
        return type(error), str(error)


OPTIONS: list[dict[str, bool]] = [
    {"frozen": True, "slots": True},
    {"frozen": True},
    {"slots": True},
    {},
    {"frozen": True, "slots": True, "order": True},
    {"frozen": True, "kw_only": True},
]


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("bases", [(), (Shown,)], ids=["alone", "with a base"])
def test_it_behaves_as_the_librarys_own(
    more: dict[str, Any], options: dict[str, bool], bases: tuple[type, ...]
) -> None:
    decorators = (records.dataclass, dataclasses.dataclass)
    ours, theirs = (made(one, more, bases, **options) for one in decorators)

    def facts(kind: Any) -> list[object]:
        one, same, other = kind(number=1, names=("a",)), kind(number=1, names=("a",)), kind(number=2)
        return [
            [(f.name, f.default, f.compare, f.kw_only) for f in dataclasses.fields(kind)],
            kind.__match_args__,
            "__dict__" in dir(one),
            getattr(kind, "__slots__", None),
            str(kind.__dataclass_params__),
            repr(one),
            (one == same, one == other, one != other, one == "another"),
            outcome(lambda: hash(one) == hash(same)),
            outcome(lambda: one < other),
            one.told,
            dataclasses.replace(one, number=3).number,
            dataclasses.asdict(one),
            copy.copy(one) == one,
            copy.deepcopy(one) == one,
            outcome(lambda: setattr(one, "number", 4)),
            outcome(lambda: delattr(one, "names")),
            outcome(kind),
            outcome(lambda: kind(1, unknown=2)),
            outcome(lambda: kind("one", "two").number),
            outcome(lambda: kind(1, number=2).number),
            outcome(lambda: kind(names=("a",)).names),
            outcome(lambda: kind(*range(9)).names),
            outcome(lambda: kind(number=5, hidden=6).hidden),
            one.told is not other.told,
            kind.kind,
            outcome(lambda: one.doubled),
            kind.__mro__[1:] == (*bases, object),
        ]

    assert facts(ours) == facts(theirs)
    made_often = [(ours(number=7).number, theirs(number=7).number) for _ in range(MANY)]
    assert set(made_often) == {(7, 7)}
    # And once all of it is compiled.
    assert facts(ours) == facts(theirs)


def test_whatever_is_asked_first_compiles_all() -> None:
    firsts: list[Callable[[Any], object]] = [repr, hash, lambda one: one == 1, lambda one: one.number]
    for first in firsts:
        kind = made(records.dataclass, {}, frozen=True)
        first(kind(1))
        assert kind(1) == kind(1)
        assert kind.__init__.__qualname__ == "Thing.__init__"
        assert "number" in kind.__init__.__annotations__


def test_an_instance_that_was_made_otherwise_compares_too() -> None:
    kind = made(records.dataclass, {}, frozen=True, slots=True)
    one, other = object.__new__(kind), object.__new__(kind)
    for each in (one, other):
        for name, value in {"number": 1, "names": (), "found": "", "hidden": 3}.items():
            object.__setattr__(each, name, value)
    assert one == other


@records.dataclass(frozen=True, slots=True)
class Base:
    """What others build on."""

    name: str
    kind: ClassVar[str] = "base"


@records.dataclass(frozen=True, slots=True)
class Derived(Base):
    """One of them."""

    number: int = 0


@records.dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """Something."""

    value: T


def test_classes_build_on_one_another() -> None:
    assert Derived("a", 1) == Derived("a", 1) != Derived("a", 2)
    assert repr(Derived("a")) == "Derived(name='a', number=0)"
    assert isinstance(Derived("a"), Base)
    assert Base("a") != Derived("a")
    assert Held(1) == Held(1) != Held(2)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'name'"):
        Derived("a").name = "b"  # type: ignore[misc] # that is what is refused


def test_it_can_be_put_away_and_matched() -> None:
    assert pickle.loads(pickle.dumps(Derived("a", 1))) == Derived("a", 1)  # noqa: S301 - our own
    match Derived("a", 1):
        case Derived(name, number):
            assert (name, number) == ("a", 1)


def test_pydantic_reads_it_as_one_of_the_librarys() -> None:
    assert TypeAdapter(Derived).validate_python({"name": "a", "number": 2}) == Derived("a", 2)
    assert TypeAdapter(Base).validate_json('{"name": "a"}') == Base("a")
    assert TypeAdapter(Base).dump_python(Base("a")) == {"name": "a"}


def test_a_module_that_only_declares_compiles_nothing() -> None:
    """Which is what it is for: of six hundred classes a command makes use of some."""
    source = "from reconciler.records import dataclass\n" + "".join(
        f'@dataclass(frozen=True, slots=True)\nclass C{n}:\n    """One."""\n    a: int\n    b: str = ""\n'
        for n in range(20)
    )
    compiled: list[str] = []

    def see(event: str, arguments: tuple[object, ...]) -> None:
        # From Python 3.13 on, the library compiles a frame for methods even where there are none.
        if event == "compile" and is_watching and "return ()" not in str(arguments[0]):
            compiled.append(str(arguments[0]))

    is_watching = True
    code = compile(source, "declared", "exec")
    sys.addaudithook(see)
    compiled.clear()
    module = ModuleType("declared")
    sys.modules["declared"] = module
    exec(code, module.__dict__)  # noqa: S102 - our own
    assert not compiled
    one = module.C3(1)
    assert (one.a, one.b) == (1, "")
    assert not compiled
    assert [module.C3(1) for _ in range(MANY)] == [one] * MANY
    assert compiled
    is_watching = False
    assert compiled
