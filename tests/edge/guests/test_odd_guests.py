"""Guests that are odd, broken or hostile: each one's own row says so, and everybody else is patched."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.e2e.site import git
from tests.edge.guests.conftest import SET_UP, Acting, version
from tests.edge.guests.test_ticks import OPEN, Hypervisor, hypervisor
from tests.labs.guests import LAB, Made

__all__ = ["hypervisor"]  # the fixture


@dataclass(frozen=True, slots=True)
class Odd:
    """A guest that is odd.

    Attributes:
        name: That its configuration says.
        lines: Of that configuration.
        before: What is done to its root before it starts, on the node.
        inside: What is done inside, once it runs.
    """

    name: str = ""
    lines: tuple[str, ...] = ()
    before: str = "true"
    inside: str = ""


SHELL = "cd usr/bin; mv dash real; printf '#!/usr/bin/real\\n%s\\n' '{}' >dash; chmod 755 dash"
VERSION = r"12\033[2J|<b>*x*\033]0;x\007"
SHOWS = f"cd etc; rm os-release; printf 'ID=debian\\nVERSION_ID=\"{VERSION}\"\\n' >os-release"
UNKNOWN = (
    "rm etc/os-release usr/lib/os-release; echo ID=x >usr/lib/os-release; cp usr/bin/true usr/bin/zypper"
)
WANTS = "etc/systemd/system/timers.target.wants"
OWN = f"mkdir -p {WANTS}; ln -s /usr/lib/systemd/system/patchledger.timer {WANTS}/"
READ_ONLY = "mkdir -p /dev/shm; mount -t tmpfs none /dev/shm; mount -o remount,ro,bind /"
FULL = (
    "mount -t tmpfs -o size=90M none /mnt; cp -a /var/. /mnt; mount --bind /mnt /var;"
    " cat /dev/zero >/var/x || true"
)
ODD = {
    "411": Odd("web", ("this is no line of a configuration", "=: ::", "\x01\x02", "tags: c++;_x;db-"), SHOWS),
    "412": Odd("böse kiste | <b>&*_`"),
    "413": Odd("loud", (), SHELL.format("yes 0123456789 | head -c 30000000")),
    "414": Odd("liar", (), SHELL.format('echo "patchledger-patch 1 apt"; echo "[x]"; echo "exit 0"')),
    "415": Odd("two", (), UNKNOWN),
    "416": Odd("own", (), OWN),
    "417": Odd("read-only", (), "true", READ_ONLY),
    "418": Odd("full", (), "true", FULL),
}
SNAPSHOT = "[before]\ntemplate: 1\nlock: backup\n"
FINE = ("fine", "up to date")


@contextmanager
def there(acting: Acting) -> Iterator[None]:
    """Have all of them on the node, with the package to update."""
    with ExitStack() as stack:
        for number, odd in ODD.items():
            acting.node.make(Made(number, odd.name, odd.lines, init="/bin/sleep infinity"))
            stack.callback(acting.node.run, "rm", "-f", f"/etc/pve/lxc/{number}.conf")
            acting.node.run("pct", "start", number)
            stack.callback(acting.node.run, "pct", "stop", number, check=False)
            acting.node.run("cp", "-R", f"{LAB}/repository", f"{acting.root(number)}/srv/repository")
            acting.inside(number, f"{SET_UP}\n{odd.inside}")
            acting.node.run("sh", "-euc", f"cd {acting.root(number)}; {odd.before}")
        acting.node.run("sh", "-euc", "cat >>/etc/pve/lxc/411.conf", stdin=SNAPSHOT)
        yield


def test_the_row_of_each_says_what_is_wrong_and_all_others_are_patched(
    hypervisor: Hypervisor, acting: Acting
) -> None:
    hypervisor.configure({}, {"parallel": 4})
    hypervisor.policy(OPEN)
    with there(acting):
        assert hypervisor.run()[0] == 1
        code, said = hypervisor.run()
        assert code == 1, said
        rows = hypervisor.rows()
        for number in ("201", "204", "411", "412"):
            assert rows[number] == FINE, said
            assert version(acting, number).endswith("ii 1.1")  # after words of pct of its own
        assert version(acting, "416") == "ii 1.0"
    assert {number: rows[number] for number in ("413", "414", "415", "416")} == {
        "413": ("failed", "what it says has no end"),
        "414": ("failed", "what it said did not come whole"),
        "415": ("failed", "this guest has apt and zypper, and its distribution is not known here"),
        "416": ("unsupported", "it patches itself: patchledger.timer is enabled in it"),
    }
    for number, outcome, word in (("417", "failed", "Read-only file system"), ("418", "pending", "no-space")):
        assert (rows[number][0], word in rows[number][1]) == (outcome, True), rows[number]
    reports = hypervisor.folder / "reports.git"
    shown = (
        said
        + git(reports, "show", "guests/pve1/411:report.md")
        + git(reports, "show", "hosts/pve1:report.md")
    )
    assert not [one for one in shown if ord(one) < ord(" ") and one != "\n"]
    assert "<b>" not in shown
