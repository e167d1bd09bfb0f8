"""Dataclasses whose methods are compiled when they are used.

:func:`dataclasses.dataclass` compiles the source of six methods for each class when its module is imported,
which takes a fifth of a millisecond and more. This program has six hundred such classes, so that it was most
of what a command cost; of those that a command imports, it makes instances of every fourth. What
:func:`dataclass` makes here are the same classes: fields, ``__slots__``, ``__match_args__``, ``replace``,
``asdict``, ``is_dataclass``, equality, hashes, text and errors are the library's own. Only when their methods
are compiled differs.
"""

import dataclasses

__all__ = ["dataclass"]

TYPE_CHECKING = False  # as typing.TYPE_CHECKING
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from dataclasses import dataclass
    from typing import Any

    from _typeshed import DataclassInstance
else:

    def dataclass(
        cls: "type[Any] | None" = None, /, *, frozen: bool = False, slots: bool = False, **more: bool
    ) -> "type[Any] | Callable[[type[Any]], type[Any]]":
        """Make a dataclass as :func:`dataclasses.dataclass` does, with the same arguments."""

        def made(cls: "type[Any]") -> "type[Any]":
            if more or not _is_apart(cls):
                return dataclasses.dataclass(cls, frozen=frozen, slots=slots, **more)
            return _deferred(cls, frozen=frozen, slots=slots)

        return made if cls is None else made(cls)


_FILLED = 50
"""Instances of a class before its ``__init__`` is compiled, which takes as long as to fill a hundred. Of most
classes a command makes one or two."""

_NOT_COPIED = ("__dict__", "__weakref__")
"""What each class gets of its own, and none is made with."""

_ASKED = {"__repr__": {"repr": True}, "__eq__": {"eq": True}, "__hash__": {"unsafe_hash": True}}
"""What the library is asked for to have it make one method."""


def _is_apart(cls: "type[Any]") -> bool:
    """Say whether all fields of a class are its own, and nothing watches how it is made.

    It builds on nothing, or on one plain class that adds methods.
    """
    (base, *others) = cls.__bases__
    is_plain = type(cls) is type and "__orig_bases__" not in cls.__dict__
    return is_plain and not others and not dataclasses.is_dataclass(base)


def _deferred(cls: "type[Any]", *, frozen: bool, slots: bool) -> "type[Any]":
    """Return the class with its fields, and methods that are compiled when one of them is first called."""
    # It would write the signature there, which takes as long as the rest.
    cls.__doc__ = cls.__doc__ or cls.__name__
    written = {name: value for name, value in cls.__dict__.items() if name not in _NOT_COPIED}
    made = _library(cls, slots=slots)
    parameters = made.__dataclass_params__
    parameters.init = parameters.repr = parameters.eq = True
    parameters.frozen = frozen
    names = [name for name in ("__init__", "__repr__", "__eq__") if name not in written]
    has_hash = written.get("__hash__") is not None
    if frozen:
        _freeze(made, written, slots=slots)
        if not has_hash:
            names.append("__hash__")
    elif not has_hash:
        setattr(made, "__hash__", None)  # noqa: B010 - which a type checker takes for a mistake

    def twin(name: str) -> "type[Any]":
        """Have the library make one method, for a class that is the same and which nobody sees."""
        same: type[Any] = type(made.__name__, made.__bases__, dict(written))
        if name == "__init__":
            return _library(same, init=True, frozen=frozen, slots=slots)
        return _library(same, **_ASKED[name])

    for name in names:
        method = _waiting(made, name, twin)
        setattr(made, name, _filling(made, method, frozen=frozen) if name == "__init__" else method)
    return made


def _library(cls: "type[Any]", **asked: bool) -> "type[Any]":
    """Return what the library makes of a class, with no method but those that are asked for."""
    return dataclasses.dataclass(cls, **{"init": False, "repr": False, "eq": False, **asked})


def _waiting(made: "type[Any]", name: str, twin: "Callable[[str], type[Any]]") -> "Callable[..., Any]":
    """Return what stands for a method until it is first called."""

    def method(self: object, /, *arguments: object, **named: object) -> object:
        compiled = twin(name).__dict__[name]
        compiled.__qualname__ = f"{made.__qualname__}.{name}"
        setattr(made, name, compiled)
        return compiled(self, *arguments, **named)

    return method


def _filling(made: "type[Any]", compiles: "Callable[..., Any]", *, frozen: bool) -> "Callable[..., Any]":
    """Return what stands for ``__init__``: it fills the first instances, and then has it compiled."""
    fill: Callable[[Any, Sequence[object], dict[str, object]], bool] | None = None
    left = _FILLED

    def method(self: object, /, *arguments: object, **named: object) -> None:
        nonlocal fill, left
        left -= 1
        fill = fill or _filler(made, frozen=frozen)
        # Whatever is wrong with the arguments, the library's own method says.
        if left < 0 or not fill(self, arguments, named):
            compiles(self, *arguments, **named)

    method.__qualname__ = f"{made.__qualname__}.__init__"
    return method


def _filler(
    made: "type[Any]", *, frozen: bool
) -> "Callable[[Any, Sequence[object], dict[str, object]], bool]":
    """Return what fills an instance as the library's ``__init__`` does, and says whether it could."""
    fields = dataclasses.fields(made)
    # Not where some of them are none, or are not asked for: what that means is for the library to say.
    is_plain = len(fields) == len(made.__dataclass_fields__) and all(f.init and not f.kw_only for f in fields)
    known = [(one.name, one.default, one.default_factory) for one in fields]
    place = object.__setattr__ if frozen else setattr
    is_followed = hasattr(made, "__post_init__")
    missing = dataclasses.MISSING

    def fill(self: "Any", arguments: "Sequence[object]", named: "dict[str, object]") -> bool:  # noqa: ANN401 - one of any class
        if not is_plain or len(arguments) > len(known):
            return False
        values = list(arguments)
        taken = 0
        for name, default, factory in known[len(arguments) :]:
            if name in named:
                values.append(named[name])
                taken += 1
            elif default is not missing:
                values.append(default)
            elif factory is not missing:
                values.append(factory())
            else:
                return False
        if taken < len(named):
            return False
        for (name, _, _), value in zip(known, values, strict=True):
            place(self, name, value)
        if is_followed:
            self.__post_init__()
        return True

    return fill


def _freeze(made: "type[Any]", written: "dict[str, Any]", *, slots: bool) -> None:
    methods: dict[str, Callable[..., Any]] = {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
    # Without these, a copy would be filled by what refuses.
    if slots and "__getstate__" not in written:
        methods |= {"__getstate__": _state, "__setstate__": _fill}
    for name, method in methods.items():
        setattr(made, name, method)


def _refuse_to_set(_: object, name: str, __: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_: object, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: "DataclassInstance") -> "list[object]":
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _fill(self: "DataclassInstance", state: "list[object]") -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
