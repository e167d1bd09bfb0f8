"""Every package manager that this version knows."""

from importlib import import_module
from typing import cast, get_args

from reconciler.managers.detect import Manager
from reconciler.managers.dialect import Dialect

MANAGERS: tuple[Manager, ...] = get_args(Manager)


def dialect_of(manager: Manager) -> Dialect:
    """Return how a manager's patch script is read; the parsers of the others are not imported."""
    return cast("Dialect", getattr(import_module(f"reconciler.managers.{manager}"), manager.upper()))
