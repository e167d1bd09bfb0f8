"""What a run would disturb.

systemd and its login service do not run where these tests do, so ``systemctl``, ``loginctl`` and ``busctl``
are small scripts in a folder of the test, which answer as those of systemd 252 did on a booted machine. Power
supplies and processes are folders laid out as sysfs and proc(5) have them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.host.machine.inhibitors import Places, observe_inhibitors, session_in_words
from reconciler.planning.gates.types import Inhibitor, InhibitorKind
from tests.labs.programs import Programs

BATTERY = {"type": "Battery", "status": "Discharging"}


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that is laid out in a folder."""

    folder: Path
    programs: Programs

    def seen(self) -> tuple[Inhibitor, ...]:
        return observe_inhibitors(
            self.programs.environment,
            Places(self.folder / "power", self.folder / "proc", self.folder / "systemd"),
        )

    def boots_systemd(self, login: str = "active") -> None:
        """Let systemd run, with nobody logged in and no locks."""
        (self.folder / "systemd").mkdir()
        self.programs.put("systemctl", f"echo {login}")
        self.programs.put("loginctl", "exit 0")
        self.has_locks("")

    def has_locks(self, rows: str) -> None:
        self.programs.put("busctl", f'cat <<"END"\n{{"type":"a(ssssuu)","data":[[{rows}]]}}\nEND')

    def has_sessions(self, **sessions: str) -> None:
        """Let these be listed; each value is what ``show-session`` prints, lines joined by blanks."""
        listed = "\n".join(f"     {number} 1000 somebody seat0 tty1" for number in sessions)
        shown = "\n".join(f"*'-- {number}') printf '%s\\n' {lines};;" for number, lines in sessions.items())
        self.programs.put(
            "loginctl",
            f"case \"$*\" in\nlist*) cat <<'END'\n{listed}\nEND\n;;\n{shown}\n"
            "*) echo 'No session' >&2; exit 1;;\nesac",
        )

    def has_supplies(self, supplies: Mapping[str, Mapping[str, str]]) -> None:
        for name, values in supplies.items():
            (self.folder / "power" / name).mkdir(parents=True)
            for file, value in values.items():
                (self.folder / "power" / name / file).write_text(f"{value}\n", encoding="ascii")

    def runs_as(self, *lineage: int, cgroup: str = "0::/system.slice/patchledger.service") -> None:
        """Let our process be the first of ``lineage``, each started by the next."""
        for pid, parent in zip(lineage, (*lineage[1:], 1), strict=True):
            (self.folder / "proc" / str(pid)).mkdir(parents=True)
            stat = f"{pid} (a) name (x) S {parent} 1 1 0"
            (self.folder / "proc" / str(pid) / "stat").write_text(stat, encoding="ascii")
        (self.folder / "proc" / "self").symlink_to(str(lineage[0]))
        (self.folder / "proc" / "self" / "cgroup").write_text(f"{cgroup}\n", encoding="ascii")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, Programs(tmp_path / "bin"))


def details(machine: Machine, kind: InhibitorKind) -> list[str]:
    seen = machine.seen()
    assert {one.kind for one in seen} <= {kind}
    return [one.detail for one in seen]


def test_without_systemd_or_batteries_nothing_inhibits(machine: Machine) -> None:
    assert machine.seen() == ()
    machine.boots_systemd()
    assert machine.seen() == ()


def test_without_places_the_running_system_is_asked() -> None:
    assert observe_inhibitors({}) == observe_inhibitors(
        {}, Places(Path("/sys/class/power_supply"), Path("/proc"), Path("/run/systemd/system"))
    )


# --- Power ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("supplies", "inhibits"),
    [
        ({}, False),
        ({"BAT0": BATTERY}, True),
        ({"AC": {"type": "Mains", "online": "0"}, "BAT0": BATTERY}, True),
        ({"AC": {"type": "Mains", "online": "1"}, "BAT0": BATTERY}, False),
        (
            {"AC": {"type": "Mains", "online": "0"}, "usb": {"type": "USB", "online": "1"}, "BAT0": BATTERY},
            False,
        ),
        (
            {"AC": {"type": "Mains", "online": "0"}, "usb": {"type": "USB", "online": "0"}, "BAT0": BATTERY},
            True,
        ),
        ({"AC": {"type": "Mains", "online": "0"}}, False),
        ({"AC": {"type": "Mains", "online": "0"}, "BAT0": {"type": "Battery", "status": "Full"}}, False),
        ({"BAT0": {"type": "Battery", "status": "Not charging"}}, False),
        ({"mouse": {**BATTERY, "scope": "Device"}}, False),
        ({"BAT0": {**BATTERY, "scope": "System"}}, True),
        ({"ups": {"type": "UPS", "status": "Discharging"}}, True),
        ({"odd": {}}, False),
    ],
)
def test_a_battery_in_use_inhibits_where_no_mains_is_there(
    machine: Machine, supplies: dict[str, dict[str, str]], *, inhibits: bool
) -> None:
    machine.has_supplies(supplies)
    assert bool(details(machine, "battery")) == inhibits


def test_batteries_are_named_without_their_charge(machine: Machine) -> None:
    machine.has_supplies({"BAT1": BATTERY, "BAT0": {**BATTERY, "capacity": "71"}})
    assert machine.seen() == (Inhibitor("battery", "running on battery (BAT0, BAT1)"),)


# --- Sessions -------------------------------------------------------------------------------------------


def test_people_who_are_logged_in_inhibit(machine: Machine) -> None:
    machine.boots_systemd()
    machine.has_sessions(
        c1="Name=gdm Class=greeter State=active Remote=no TTY=tty1 Service=gdm-launch-environment",
        c2="Name=nobody Class=background State=active Remote=no TTY= Service=cron",
        a4="Name=alice Class=user State=active Remote=yes RemoteHost=192.0.2.7 TTY=pts/0 Service=sshd",
        a5="Name=alice Class=user State=online Remote=no RemoteHost= TTY=tty2 Service=login",
        a6="Name=bob Class=user State=closing Remote=yes RemoteHost=192.0.2.8 TTY=pts/1 Service=sshd",
        a7="Name=root Class=manager State=active Remote=no TTY= Service=systemd-user",
    )
    assert details(machine, "sessions") == [
        "the session of alice on pts/0 from 192.0.2.7",
        "the session of alice on tty2",
    ]


def test_our_own_session_does_not(machine: Machine) -> None:
    machine.boots_systemd()
    alice = "Name=alice Class=user State=active Remote=no TTY=tty2"
    machine.has_sessions(a4=alice, a44=alice.replace("alice", "bob"))
    machine.runs_as(500, cgroup="0::/user.slice/user-1000.slice/session-a4.scope")
    assert details(machine, "sessions") == ["the session of bob on tty2"]


def test_a_session_that_ends_while_we_ask_is_left_out(machine: Machine) -> None:
    machine.boots_systemd()
    machine.programs.put("loginctl", 'case "$1" in list*) echo "9 1000 eve";; *) exit 1;; esac')
    assert machine.seen() == ()
    assert len(machine.programs.asked("loginctl")) == 2


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"Class": "user", "Name": "eve", "Display": ":1"}, "the session of eve on :1"),
        ({"Class": "user-early", "Name": "eve", "Service": "sshd"}, "the session of eve on sshd"),
        ({"Class": "user", "Name": "eve", "Remote": "yes"}, "the session of eve from elsewhere"),
        ({"Class": "user"}, "the session of somebody"),
        ({"Class": "lock-screen", "Name": "eve"}, ""),
        ({"Class": "background-light", "Name": "eve"}, ""),
        ({"Class": "manager-early", "Name": "eve"}, ""),
        ({}, ""),
    ],
)
def test_a_session_in_words(properties: dict[str, str], words: str) -> None:
    assert session_in_words(properties) == words


# --- Locks ----------------------------------------------------------------------------------------------


def test_locks_that_block_a_shutdown_or_sleep_inhibit(machine: Machine) -> None:
    machine.boots_systemd()
    machine.has_locks(
        '["shutdown:idle","some installer","writes the disk","block",0,74],'
        '["sleep","NetworkManager","turns off networks","delay",0,77],'
        '["shutdown","unattended-upgrades","stops its work","delay",0,78],'
        '["handle-lid-switch:idle","a desktop","it draws","block",1000,79],'
        '["sleep:shutdown","a backup: full","copies","block",0,80],'
        '["shutdown","a weak one","asks nicely","block-weak",1000,81]'
    )
    assert details(machine, "inhibitors") == [
        "a backup: full, which blocks shutdown and sleep: copies",
        "some installer, which blocks shutdown: writes the disk",
    ]
    (question,) = machine.programs.asked("busctl")
    assert question.split()[:3] == ["--json=short", "call", "org.freedesktop.login1"]
    assert question.split()[-1] == "ListInhibitors"


def test_a_lock_around_our_own_run_does_not(machine: Machine) -> None:
    """As in ``systemd-inhibit patchledger run``."""
    machine.boots_systemd()
    machine.runs_as(900, 800, 700)
    locks = [f'["shutdown","p{pid}","why","block",0,{pid}]' for pid in (600, 700, 800, 900, 901)]
    machine.has_locks(",".join(locks))
    assert details(machine, "inhibitors") == [
        "p600, which blocks shutdown: why",
        "p901, which blocks shutdown: why",
    ]


# --- What cannot be asked -------------------------------------------------------------------------------


def test_without_the_login_service_there_is_nothing_to_ask(machine: Machine) -> None:
    machine.boots_systemd(login="inactive")
    assert machine.seen() == ()
    assert machine.programs.asked("loginctl") == machine.programs.asked("busctl") == []
    assert machine.programs.asked("systemctl") == ["is-active -- systemd-logind.service"]


def test_a_login_service_that_does_not_answer_is_told_as_inhibiting(machine: Machine) -> None:
    machine.boots_systemd()
    machine.programs.put("loginctl", "echo 'Failed to connect to bus: Host is down' >&2; exit 1")
    machine.programs.put("busctl", "echo 'Failed to connect to bus: Host is down' >&2; exit 1")
    lost = "a login service that cannot be asked:"
    assert machine.seen() == (
        Inhibitor(
            "inhibitors", f"{lost} busctl call ListInhibitors failed: Failed to connect to bus: Host is down"
        ),
        Inhibitor(
            "sessions", f"{lost} loginctl list-sessions failed: Failed to connect to bus: Host is down"
        ),
    )


def test_a_systemd_that_does_not_answer_is_asked_all_the_same(machine: Machine) -> None:
    machine.boots_systemd()
    machine.programs.put("systemctl", "exit 1")
    machine.has_locks('["shutdown","x","y","block",0,1]')
    assert details(machine, "inhibitors") == ["x, which blocks shutdown: y"]


@pytest.mark.parametrize(
    "answer", ["", "null", "[]", '{"data":[]}', '{"data":[[["shutdown"]]]}', '{"data":[[[1,2,3,4,"x","y"]]]}']
)
def test_an_answer_that_is_not_understood_is_told_as_inhibiting(machine: Machine, answer: str) -> None:
    machine.boots_systemd()
    machine.programs.put("busctl", f"echo '{answer}'")
    assert details(machine, "inhibitors") == [
        "a login service that cannot be asked: busctl's answer to ListInhibitors is not understood"
    ]
