"""A host, its git server and its archive in one booted machine, for somebody who types what a page prints.

``git.example.org``, ``git.example``, ``mail.example.org`` and ``web-01`` are the machine itself, so that
addresses of a page hold as they are printed. Of packages only :data:`OLD` are installed, in the eyes of dpkg.
"""

import contextlib
import re
import shutil
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.labs.apt import MAIN, SECURITY, AptLab, Deb
from tests.labs.conversation import Conversation
from tests.labs.machine import INSIDE, LAB, Machine
from tests.labs.pages import to_follow

T = TypeVar("T")
LIBRARIES = "/opt/libraries"
PYTHON = "/usr/local/lib/patchledger/bin/python"
PROGRAM = "/usr/local/bin/patchledger"
POLICY, REPORTS = "/root/policy", "/root/reports"
"""Clones of whoever works on the host."""
PUSH = f"git -C {POLICY} push -q -u origin HEAD:main"
REBOOTS = "mkdir -p /run && touch /run/reboot-required"
OLD = tuple(Deb(name, "1.0") for name in ("alpha", "bravo", "charlie", "delta", "golf"))
NEW = tuple(Deb(name, "1.1") for name in ("alpha", "bravo", "charlie"))
DELTA = Deb("delta", "1.1", scripts={"postinst": REBOOTS})
"""A security update, as ``golf`` is one."""
FIRST = """\
kind: Policy
name: base
action: plan
schedule: sunday-night
notify: [{to: ops, on: [applied, failed, recovered]}]
"""
SCHEDULE = """\
kind: Schedule
name: sunday-night
timezone: Europe/Berlin
windows:
  - {start: "Sun 02:00", duration: 3h}
"""
NOW_OPEN = SCHEDULE.replace("Sun 02:00", "*-*-* *:00")
"""The same when its window is open."""
SSHD = f"""\
Port 22
ListenAddress 127.0.0.1
HostKey {LAB}/hostkey
AuthorizedKeysFile /etc/ssh/authorized/%u
StrictModes no
UsePAM no
PermitRootLogin yes
PidFile none
Subsystem sftp internal-sftp
"""
NGINX = """\
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def do_POST(self):
        with open("/lab/notices", "ab") as kept:
            kept.write(self.rfile.read(int(self.headers["Content-Length"])) + b"\\n")
        self.do_GET()
http.server.HTTPServer(("127.0.0.1", 80), Handler).serve_forever()
"""
SET_UP = f"""
systemctl mask --quiet packagekit.service packagekit-offline-update.service
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer
rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/* /root/.ssh /root/.gitconfig
rm -rf /etc/patchledger /var/lib/patchledger /var/log/patchledger
mkdir -m 700 /root/.ssh
mkdir -p /etc/ssh/authorized /ops /usr/local/bin
useradd --password '*' --create-home --shell /usr/bin/git-shell git
ssh-keygen -q -t ed25519 -N '' -f {LAB}/hostkey
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
cp /root/.ssh/id_ed25519.pub /etc/ssh/authorized/git
cp /root/.ssh/id_ed25519.pub /etc/ssh/authorized/root
for name in git.example.org git.example web-01; do
    echo "$name $(cut -d' ' -f1,2 {LAB}/hostkey.pub)"
done >/root/.ssh/known_hosts
install -m 755 {LAB}/patchledger {PROGRAM}
install -m 644 {LAB}/keys/lab.asc /etc/apt/lab.asc
cp {LAB}/*.service /etc/systemd/system/
git config --global user.name Ada
git config --global user.email ada@example.org
git config --global init.defaultBranch main
git config --system --add safe.directory '*'
git init -q --bare /ops/reports.git
git init -q --bare /ops/policy.git
chown -R git: /ops
ln -s /ops/reports.git /ops/policy.git /
systemctl daemon-reload
systemctl enable --now --quiet sshd-lab.service nginx.service
dpkg -i {LAB}/old/*.deb
apt-get -q update
git clone -q ssh://git@git.example.org/ops/policy.git {POLICY}
"""


@dataclass
class Reader:
    """Somebody who works as root on the machine.

    Attributes:
        here: The folder that they are in.
        instead: What is typed instead of a word of a page that is an example of the reader's own.
        conversed: What was seen of commands that were typed on a terminal, and not on the page's turn yet.
    """

    machine: Machine
    here: str = "/root"
    instead: dict[str, str] = field(default_factory=dict)
    conversed: dict[str, str] = field(default_factory=dict)

    def type(self, text: str, stdin: str = "") -> tuple[int, str]:
        """Type a command; return its exit code, and all that it prints."""
        for shown, own in self.instead.items():
            text = text.replace(shown, own)
        (self.machine.lab / "typed").write_text(f"{text}\n", encoding="utf-8")
        script = f'cd {self.here}; . {LAB}/typed; code=$?; pwd >{LAB}/here; echo; echo "$code"'
        said = self.machine.run("sh", "-c", script, stdin=stdin)
        self.here = (self.machine.lab / "here").read_text(encoding="utf-8").strip()
        printed, _, code = said.rstrip("\n").rpartition("\n")
        return int(code), printed.removesuffix("\n") + "\n"

    def run(self, script: str, stdin: str = "") -> str:
        """Run a script that is no part of a page and must succeed; return what it prints."""
        return self.machine.run("sh", "-euc", f"cd {self.here}\n{script}", stdin=stdin)

    def converse(self, text: str, *answers: tuple[str, str]) -> None:
        """Type a command of a page on a terminal before its turn, and answer each question when it comes."""
        argv = [*self.machine.entering, "TERM=xterm", "sh", "-c", f"cd {self.here}; {text}"]
        with Conversation.start(argv, {}) as talk:
            for question, answer in answers:
                talk.answer(question, answer)
            assert talk.end() == 0, talk.text
            self.conversed[text] = talk.text

    def reboot(self) -> None:
        """Let the machine go down and come up again."""
        self.machine.run("systemctl", "reboot", check=False)
        self.machine.wait_until_booted()

    def publish(self, files: Mapping[str, str], message: str = "change") -> None:
        """Commit files to the policy, and push them."""
        for name, text in files.items():
            self.machine.run("install", "-D", "/dev/stdin", f"{POLICY}/{name}", stdin=text)
        self.run(f"cd {POLICY}; git add -A; git commit -q -m '{message}'; {PUSH}")

    def follow(
        self,
        page: str,
        *,
        where: Mapping[str, str] | None = None,
        before: Mapping[str, Callable[[], object]] | None = None,
        codes: Mapping[str, int] | None = None,
        typing: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """Type every command of a how-to, in order, and compare what the page shows of what they print.

        Args:
            page: Its file name.
            where: The folder of the reader in a section of the page.
            before: What happens before a command, which is named by how it begins. What is typed there on a
                terminal is not typed again.
            codes: Exit codes of commands, named likewise, that are to end with another one than 0.
            typing: What a command reads from its standard input, named likewise.

        Returns:
            What each command printed, by its text as the page has it; of equal ones the last.
        """
        events, folders = dict(before or {}), dict(where or {})
        printed: dict[str, str] = {}
        found = to_follow(page)
        texts = {one.text for one in found}
        for one in found:
            self.here = folders.get(one.section, self.here)
            for start in [start for start in events if _means(start, one.text, texts)]:
                events.pop(start)()
            if one.text in self.conversed:
                printed[one.text] = self.conversed.pop(one.text)
                continue
            expected, read = _of(one.text, codes or {}, 0), _of(one.text, typing or {}, "")
            code, printed[one.text] = self.type(one.text, read)
            assert code == expected, f"{one.text}: {code}\n{printed[one.text]}"
            if one.shown:
                assert normal(self._own(one.shown)) == normal(printed[one.text]), printed[one.text]
        assert not events, f"{page} prints no such command"
        return printed

    def _own(self, shown: str) -> str:
        for word, own in self.instead.items():
            shown = shown.replace(word, own)
        return shown


def _means(start: str, text: str, texts: AbstractSet[str]) -> bool:
    """Tell whether a command is the one that is named by how it begins: a whole one names itself alone."""
    return text == start or (start not in texts and text.startswith(start))


def _of(text: str, named: Mapping[str, T], otherwise: T) -> T:
    return next((value for start, value in named.items() if text.startswith(start)), otherwise)


_CHANGING = (
    (r"\b\d{8}T\d{6}Z-[0-9a-f]{12}\b", "RUN"),
    (r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?=\d{4}-)", ""),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:Z| UTC| [A-Z]\w+/\w+)?", "INSTANT"),
    (r"\b(?:sha256:)?[0-9a-f]{7,64}\b", "ID"),
)


def normal(text: str) -> list[str]:
    """Return the words of a text, with what is another one each time in a form of its own."""
    for pattern, name in _CHANGING:
        text = re.sub(pattern, name, text)
    return text.split()


@contextlib.contextmanager
def reading(
    folder: Path, files: Mapping[str, str] | None = None, scripts: Mapping[str, str] | None = None
) -> Iterator[Reader]:
    """Boot the machine, with a policy that plans all updates of all hosts.

    Args:
        folder: Holds what is made before.
        files: Content by path in its root, without the leading slash.
        scripts: Maintainer scripts of the ``golf`` that is offered.
    """
    lab = AptLab.empty(folder / "apt")
    lab.publish(MAIN, *OLD, *NEW)
    lab.publish(SECURITY, DELTA, Deb("golf", "1.1", scripts=scripts or {}))
    names = "localhost git.example.org git.example mail.example.org web-01"
    root = {
        "etc/apt/sources.list": "".join(
            f"deb [signed-by=/etc/apt/lab.asc] file:{LAB}/repository {suite} main\n"
            for suite in (MAIN, SECURITY)
        ),
        "etc/hosts": f"127.0.0.1 {names}\n",
        "var/lib/dpkg/status": "",
        **(files or {}),
    }
    libraries = Path(sysconfig.get_path("purelib"))
    with Machine.booted(root, shown={LIBRARIES: libraries}) as machine:
        _fill(machine, lab)
        machine.run(machine.python, "-m", "venv", "--without-pip", "/usr/local/lib/patchledger")
        place = machine.run(PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
        machine.run("tee", f"{place}/patchledger.pth", stdin=f"{INSIDE}\n{LIBRARIES}\n")
        machine.run("sh", "-euc", SET_UP)
        reader = Reader(machine)
        reader.publish({"policies/base.yaml": FIRST, "schedules/sunday-night.yaml": SCHEDULE}, "begin")
        yield reader


def _fill(machine: Machine, lab: AptLab) -> None:
    """Put into the folder that the machine sees what its set-up takes from there."""
    shutil.copytree(lab.repository, machine.lab / "repository")
    shutil.copytree(lab.folder / "keys", machine.lab / "keys")
    (machine.lab / "old").mkdir()
    for package in OLD:
        shutil.copy(lab.repository / "pool" / package.file_name, machine.lab / "old")
    (machine.lab / "patchledger").write_text(f'#!/bin/sh\nexec {PYTHON} -B -m reconciler "$@"\n')
    (machine.lab / "sshd_config").write_text(SSHD)
    (machine.lab / "nginx.py").write_text(NGINX)
    servers = {
        "sshd-lab": f"/usr/sbin/sshd -D -e -f {LAB}/sshd_config",
        "nginx": f"{machine.python} {LAB}/nginx.py",
    }
    for name, command in servers.items():
        keeps = "RuntimeDirectory=sshd\nRuntimeDirectoryPreserve=yes\n"
        text = f"[Service]\n{keeps}ExecStart={command}\n[Install]\nWantedBy=multi-user.target\n"
        (machine.lab / f"{name}.service").write_text(text)
