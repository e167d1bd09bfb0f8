"""Whether the machine's connection costs money.

``busctl`` is a small script that answers as that of systemd 252 did for a NetworkManager 1.42.4: with each of
these settings of the connection that the default route led through, with a metered one that it did not lead
through, stopped by a signal, and gone.
"""

from pathlib import Path

import pytest

from reconciler.host.machine.links import NetworkLink
from reconciler.planning.facts.links import FREE, Cost
from tests.labs.programs import Programs


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "bin")


@pytest.fixture
def running(tmp_path: Path) -> Path:
    folder = tmp_path / "NetworkManager"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("answer", "metered"),
    [
        ("v u 1", "a connection that NetworkManager calls metered"),
        ("v u 3", "a connection that NetworkManager takes for metered"),
        ("v u 2", ""),
        ("v u 4", ""),
        ("v u 0", ""),  # also a metered one that no default route leads through
    ],
)
def test_what_networkmanager_says_counts(
    programs: Programs, running: Path, answer: str, metered: str
) -> None:
    programs.put("busctl", f"echo '{answer}'")
    assert NetworkLink(programs.environment, running).cost() == Cost(metered, is_watched=True)


def test_without_networkmanager_nothing_is_asked_and_nothing_costs(
    programs: Programs, tmp_path: Path
) -> None:
    programs.put("busctl", f"touch {tmp_path}/asked; echo 'v u 1'")
    assert NetworkLink(programs.environment, tmp_path / "none").cost() == FREE
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    "words",
    [
        # dbus-daemon 1.14, and dbus-broker 33, which Fedora, RHEL and Arch have.
        "Call failed: The name org.freedesktop.NetworkManager was not provided by any .service files",
        "Call failed: Destination does not exist",
    ],
)
def test_one_that_has_gone_knows_of_no_costs(programs: Programs, running: Path, words: str) -> None:
    programs.put(
        "busctl", f'case $* in *NameHasOwner*) echo "b false" ;; *) echo "{words}" >&2; exit 1 ;; esac'
    )
    assert NetworkLink(programs.environment, running).cost() == FREE


@pytest.mark.parametrize(
    "words",
    [
        # systemd 252; 257 and 262.
        "Failed to connect to bus: No such file or directory",
        "Failed to connect to system scope bus via local transport: No such file or directory",
        "Failed to connect to system scope bus via local transport: Connection refused",
    ],
)
def test_where_no_bus_is_nobody_knows_of_costs(programs: Programs, running: Path, words: str) -> None:
    programs.put("busctl", f"echo '{words}' >&2; exit 1")
    assert NetworkLink(programs.environment, running).cost() == FREE


def test_one_that_gives_no_answer_is_asked_again_after_a_minute(programs: Programs, running: Path) -> None:
    programs.put("busctl", "echo 'Call failed: Connection timed out' >&2; exit 1")
    now = [0.0]
    link = NetworkLink(programs.environment, running, lambda: now[0])
    silent, asked = link.cost(), programs.asked("busctl")
    assert (link.cost(), programs.asked("busctl")) == (silent, asked)
    programs.put("busctl", "echo 'v u 1'")
    now[0] = 59.0
    assert link.cost() == silent
    now[0] = 70.0
    assert link.cost().metered
    programs.put("busctl", "echo 'v u 2'")
    assert not link.cost().metered


def test_a_bus_that_lets_nobody_in_is_told(programs: Programs, running: Path) -> None:
    programs.put("busctl", "echo 'Failed to connect to bus: Operation not permitted' >&2; exit 1")
    assert NetworkLink(programs.environment, running).cost().trouble == (
        "NetworkManager cannot be asked: Failed to connect to bus: Operation not permitted"
    )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("echo 'Call failed: Connection timed out' >&2; exit 1", "Call failed: Connection timed out"),
        ("exit 1", "it does not answer"),
        ("echo 'v u 17'", "v u 17"),
        ("echo 'v s \"yes\"'", 'v s "yes"'),
    ],
)
def test_one_that_gives_no_answer_is_told_and_does_not_count(
    programs: Programs, running: Path, answer: str, told: str
) -> None:
    programs.put("busctl", answer)
    cost = NetworkLink(programs.environment, running).cost()
    assert (cost.metered, cost.is_watched) == ("", True)
    assert cost.trouble == f"NetworkManager cannot be asked: {told}"
