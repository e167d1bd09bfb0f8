"""Every package manager that this version knows."""

from collections.abc import Mapping

from reconciler.managers.apt import APT
from reconciler.managers.detect import Manager
from reconciler.managers.dialect import Dialect
from reconciler.managers.dnf import DNF
from reconciler.managers.zypper import ZYPPER

DIALECTS: Mapping[Manager, Dialect] = {"apt": APT, "dnf": DNF, "zypper": ZYPPER}
"""How each one's patch script is read."""
