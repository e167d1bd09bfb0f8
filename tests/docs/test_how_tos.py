"""The how-tos that are about a host are followed on one, as they are printed."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from reconciler.host.install.units import TIMER, WATCH, UnitInputs, unit_files
from tests.labs.machine import LAB
from tests.labs.pages import HOW_TO, ROOT, blocks, commands, documents, to_follow
from tests.labs.reader import FIRST, NOW_OPEN, OLD, POLICY, PROGRAM, PUSH, PYTHON, REPORTS, Reader, reading
from tests.policy.updaters import DEBIAN, DNF4, PERIODIC

pytestmark = [pytest.mark.root, pytest.mark.lab]

REFERENCE = ROOT / "docs" / "reference"
A_KEY = "ssh-keygen -q -t ed25519 -N ''"
CONFIG = "/etc/patchledger/config.yaml"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with reading(tmp_path) as found:
        yield found


def the_configuration() -> str:
    """Return the configuration that the page about examples prints."""
    (printed,) = (one.text for one in blocks(HOW_TO / "adopt-an-example.md") if CONFIG in one.text)
    return printed


def set_up_by_hand(reader: Reader) -> None:
    """Give the host the configuration of a page, and the keys that it names."""
    reader.run(
        "install -d -m 700 /etc/patchledger\n"
        f"install -m 600 /dev/stdin {CONFIG}\n"
        "install -m 600 /root/.ssh/id_ed25519 /etc/patchledger/git_key\n"
        "cp /root/.ssh/known_hosts /etc/patchledger/known_hosts\n"
        "umask 077; echo json://localhost/ >/etc/patchledger/ops\n"
        f"echo 'notifiers: {{ops: {{file: /etc/patchledger/ops}}}}' >>{CONFIG}",
        stdin=the_configuration(),
    )


def bring_units(reader: Reader) -> None:
    """Write the units that a package brings."""
    told = UnitInputs(Path(PROGRAM), Path(CONFIG), timedelta(minutes=15), ())
    for name, text in unit_files(told).items():
        reader.machine.run("tee", f"/etc/systemd/system/{name}", stdin=text)


def clone_reports(reader: Reader) -> None:
    """Look from where the reports are."""
    reader.run(f"git clone -q ssh://git@git.example.org/ops/reports.git {REPORTS}")
    reader.here = REPORTS


def opened(reader: Reader, more: str = "") -> None:
    """Let the host apply everything, in a window that is open."""
    applies = f"kind: Policy\nname: base\naction: apply\nschedule: sunday-night\nsteps: single\n{more}"
    reader.publish({"policies/base.yaml": applies, "schedules/sunday-night.yaml": NOW_OPEN}, "apply")


def test_applying_in_a_window(reader: Reader) -> None:
    page = "apply-in-a-window.md"
    set_up_by_hand(reader)
    reader.run(f"mv {CONFIG} /root/config.yaml; sed -i 's/production/staging/' /root/config.yaml")

    def the_window_comes() -> None:
        reader.publish({"schedules/sunday-night.yaml": NOW_OPEN})
        reader.run("patchledger run")
        clone_reports(reader)

    said = reader.follow(
        page,
        where={"2. Say so in policy": POLICY, "Not on Sunday, but now": "/root"},
        before={
            "patchledger policy check": lambda: reader.publish(documents(page)),
            "git fetch origin hosts/web-01": the_window_comes,
            "patchledger run --now": reader.reboot,
        },
    )
    assert "no problem" in said["patchledger policy check"]
    assert said["patchledger windows --policy . --schedule sunday-night --count 3"].count(" 3h ") == 3
    assert "window" in said["patchledger status"]
    assert "Traceback" not in "".join(said.values())


def test_pausing(reader: Reader) -> None:
    set_up_by_hand(reader)
    looks: list[str] = []

    def look() -> None:
        looks.append(reader.run("patchledger run; patchledger status"))

    reader.follow("pause.md", before={"patchledger resume": look})
    (paused,) = looks
    assert "paused       closed" in paused
    assert "disk is being replaced" in paused


def test_seeing_why_a_package_waits(reader: Reader) -> None:
    set_up_by_hand(reader)
    reader.run("patchledger run")
    reader.instead = {"nginx": "golf"}

    said = reader.follow(
        "see-why-a-package-waits.md", before={"git fetch origin": lambda: clone_reports(reader)}
    )
    assert "(plan-only)" in said["patchledger explain nginx"]
    assert "golf:all 1.0 → 1.1: planned" in said["patchledger explain nginx --since 2026-11-01"]


def test_finding_out_why_a_run_failed(tmp_path: Path) -> None:
    with reading(tmp_path, scripts={"preinst": "[ ! -e /srv/full ] || exit 3"}) as reader:
        set_up_by_hand(reader)
        reader.run("touch /srv/full")
        opened(reader)
        code, printed = reader.type("patchledger run")
        assert code == 1
        run = printed.partition("runs/")[2].partition(".log")[0]
        reader.instead = {"20261122T010503Z-3f6e1b311ca2": run, "PACKAGE": "golf"}

        said = reader.follow(
            "find-out-why-a-run-failed.md",
            before={
                "git fetch origin": lambda: clone_reports(reader),
                "patchledger run --now": lambda: reader.run("rm /srv/full"),
            },
        )
        assert "PackagesQuarantined" in said["patchledger status"]
        assert reader.run("dpkg-query -W golf") == "golf\t1.1\n"


def test_watching(reader: Reader) -> None:
    page = "watch-instead-of-a-timer.md"
    set_up_by_hand(reader)
    bring_units(reader)
    (tick,) = (one.text for one in blocks(HOW_TO / page) if one.language == "yaml")
    (unit,) = (one.text for one in blocks(HOW_TO / page) if one.language == "ini")
    written = unit.replace("/opt/patchledger/bin/patchledger", PROGRAM)

    def start() -> None:
        reader.run(f"cat >>{CONFIG}", stdin=tick)
        reader.machine.run("tee", f"/etc/systemd/system/{WATCH}", stdin=written)
        reader.run(
            f"systemctl daemon-reload; systemctl enable --now {TIMER}\n"
            f"systemd-analyze verify --man=no {WATCH}"
        )

    said = reader.follow(page, before={"systemctl disable": start})
    assert CONFIG in said["patchledger watch --check"]
    assert "Status: " in said["systemctl status patchledger-watch.service"]

    reader.run(f"echo 'colour: red' >>{CONFIG}")
    follow = f"journalctl --follow --no-tail --output=cat --unit={WATCH} | grep --max-count=1 refused"
    reader.run(f"timeout 60 sh -c '{follow}'")
    (shown,) = (one.text for one in blocks(HOW_TO / page) if one.text.startswith("Status: "))
    before, _, after = shown.removeprefix('Status: "').partition(":8: ")
    status = reader.run(f"systemctl show --property=StatusText --value {WATCH}")
    assert status.startswith(before)
    assert after.removesuffix(' …"\n') in status


def test_sending_mail(tmp_path: Path) -> None:
    page = "send-mail.md"
    authority = trustme.CA()
    (address,) = (one.text for one in blocks(HOW_TO / page) if one.text.startswith("mailtos:"))
    yaml = [one.text for one in blocks(HOW_TO / page) if one.language == "yaml"]
    (unit,) = (one.text for one in blocks(HOW_TO / page) if one.language == "ini")
    files = {"etc/ssl/certs/example-org.pem": authority.cert_pem.bytes().decode()}
    with reading(tmp_path, files) as reader:
        mail = serve_mail(reader, authority.issue_cert("mail.example.org"))
        set_up_by_hand(reader)
        reader.run(f"sed -i /^notifiers/d {CONFIG}; cat >>{CONFIG}", stdin=yaml[0] + yaml[1])
        editor = f"#!/bin/sh\necho '{address.strip()}' >\"$1\"\n"
        reader.run("install -m 755 /dev/stdin /usr/local/bin/editor; systemd-creds setup", stdin=editor)

        def as_a_credential() -> None:
            assert "ops: answered" in reader.run("patchledger notify test ops")
            reader.run(f"sed -i '/^notifiers/,$d' {CONFIG}; cat >>{CONFIG}", stdin=yaml[2])
            bring_units(reader)
            drop_in = "/etc/systemd/system/patchledger.service.d/override.conf"
            reader.run(f"install -D -m 644 /dev/stdin {drop_in}; systemctl daemon-reload", stdin=unit)
            reader.publish(documents(page))

        reader.follow(
            page,
            where={"3. Say in policy what is told": POLICY},
            before={"patchledger policy check": as_a_credential},
            typing={"systemd-creds encrypt": address},
        )
        subjects = [one.partition("Subject: ")[2].partition("\r\n")[0] for one in mail()]
        assert subjects.pop() == "[patchledger] web-01: dry-run: 5 changes (2 security) planned"
        assert {one.partition(": ")[2][:26] for one in subjects} == {"test of the notifier ops: "}
        half = len(subjects) // 2
        assert subjects[:half] == subjects[half:] != [], "by a file, and by a credential"


MAIL = """\
import json, ssl, subprocess, threading
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain("/lab/mail.pem")
class Mailbox:
    async def handle_DATA(self, server, session, envelope):
        with open("/lab/mails", "a") as kept:
            kept.write(json.dumps(envelope.content.decode()) + "\\n")
        return "250 OK"
def known(server, session, envelope, mechanism, data):
    return AuthResult(success=data.login == b"patch-bot" and data.password == b"PASSWORD", handled=False)
class Tls(Controller):
    def factory(self):
        told = {"tls_context": context, "require_starttls": True, "auth_required": True}
        return SMTP(self.handler, authenticator=known, **told)
Tls(Mailbox(), hostname="127.0.0.1", port=587).start()
subprocess.run(["systemd-notify", "--ready"])
threading.Event().wait()
"""


def serve_mail(reader: Reader, certificate: trustme.LeafCert) -> Callable[[], list[str]]:
    """Start the mail server of the page; return what reads the mails that it has got."""
    lab = reader.machine.lab
    (lab / "mail.pem").write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    (lab / "mail.py").write_text(MAIL)
    reader.machine.put_unit(
        "mail.service", f"[Service]\nType=notify\nNotifyAccess=all\nExecStart={PYTHON} -B {LAB}/mail.py\n"
    )
    reader.run("systemctl start mail.service")
    return lambda: [json.loads(line) for line in (lab / "mails").read_text().split("\n") if line]


def test_making_a_way_back(reader: Reader) -> None:
    reader.follow("roll-back.md")
    assert reader.run("ls /var/cache/apt/archives/*.deb").count("_1.0_all.deb") == len(OLD)


def test_adopting_an_example(reader: Reader) -> None:
    said = reader.follow("adopt-an-example.md", before={"patchledger run": lambda: set_up_by_hand(reader)})
    assert said["patchledger policy check"] == "no problem in 2 documents\n"
    assert "Committed report" in said["patchledger run"]
    assert said["patchledger status"].startswith("web-01: 5 updates pending (2 security)\n")


def test_coming_from_other_updaters(reader: Reader) -> None:
    page = "come-from-unattended-upgrades.md"
    reader.run("mkdir alma-01; cat >alma-01/automatic.conf", stdin=DNF4)
    reader.run("cat >/etc/apt/apt.conf.d/20auto-upgrades", stdin=PERIODIC)
    reader.run("cat >/etc/apt/apt.conf.d/50unattended-upgrades", stdin=DEBIAN)
    said = reader.follow(page, before={"patchledger plan": lambda: set_up_by_hand(reader)})
    (shown,) = (one.text for one in blocks(HOW_TO / page) if one.language == "yaml")
    assert any(shown in one for one in said.values())
    assert "no problem in 2 documents" in said["patchledger policy check"]


def test_installing_on_a_host(reader: Reader) -> None:
    page = "install-on-a-host.md"
    (answers,) = (one.text for one in blocks(REFERENCE / "setup.md") if "address_file" in one.text)
    typed = {one.text.split("#")[0].strip(): one.text for one in to_follow(page)}
    reader.run("rm -r /root/.ssh/*; : >/etc/ssh/authorized/git")
    head = reader.run(f"git -C {POLICY} rev-parse HEAD").strip()

    def let_in() -> None:
        reader.run("cat /root/.ssh/patchledger.pub >>/etc/ssh/authorized/git")

    def by_questions() -> None:
        reader.converse(
            typed["patchledger setup"],
            ("Id of this host", "web-01"),
            ("Address of the policy repository", "ssh://git@git.example.org/policy.git"),
            ("Its branch [main]", ""),
            ("SSH private key", "/root/.ssh/patchledger"),
            ("File of the servers' host keys", ""),
            ("Trusted commit", "head"),
            ("Address of the report repository", "ssh://git@git.example.org/reports.git"),
            ("Labels", "env=staging"),
            ("Name of a notifier", ""),
            ("do nothing by themselves. Park them", ""),
            ("Time between two ticks [15m]", ""),
            ("Do it (yes or no) [yes]", ""),
        )

    def by_a_file() -> None:
        told = answers.replace("526c31d369ea7a030f1484d7bda23d0b4fe7234e", head)
        reader.run("umask 077; cat >setup.yaml; echo json://localhost/ >ops.url", stdin=told)

    def secret() -> None:
        tool = '#!/bin/sh\n[ "$*" = "get ops-url" ] && echo json://localhost/new\n'
        reader.run("install -m 755 /dev/stdin /usr/local/bin/secret-tool-of-yours", stdin=tool)

    def adjust() -> None:
        reader.converse(
            typed["patchledger adjust"],
            ("Id of this host", ""),
            ("Address of the policy repository", ""),
            ("Its branch [main]", ""),
            ("SSH private key", ""),
            ("File of the servers' host keys", ""),
            ("Trusted commit", ""),
            ("Address of the report repository", ""),
            ("Labels", ""),
            ("Keep the notifier ops", ""),
            ("Another notifier", ""),
            ("Park", ""),
            ("Time between two ticks [15m]", "30m"),
            ("Do it (yes or no) [yes]", ""),
        )

    said = reader.follow(
        page,
        before={
            "ssh-keyscan": let_in,
            typed["patchledger setup"]: by_questions,
            "patchledger setup --answers setup.yaml --dry-run": by_a_file,
            "secret-tool-of-yours": secret,
            "patchledger adjust": adjust,
            "patchledger cleanup": lambda: reader.converse(
                typed["patchledger cleanup"], ("Do it (yes or no)", "yes")
            ),
        },
    )
    assert "5 updates pending" in said["patchledger status"]
    assert reader.run("ls /etc/systemd/system").count("patchledger") == 0
    assert "web-01 ticks every 15 minutes" in said[typed["patchledger setup"]]
    (secret_typed,) = (text for text in typed.values() if text.startswith("secret-tool-of-yours"))
    assert "a test message was sent to ops" in said[secret_typed]


def test_trying_a_policy(reader: Reader) -> None:
    page = "try-a-policy.md"
    set_up_by_hand(reader)
    reader.run(f"{A_KEY} -f /etc/patchledger/report_key; {A_KEY} -f /root/publisher")
    reader.run(f"sed -i 's|reports.git\"|&, signing_key: /etc/patchledger/report_key|' {CONFIG}")
    key = reader.run("cut -d' ' -f1,2 /etc/patchledger/report_key.pub").strip()
    publisher = reader.run("cut -d' ' -f1,2 /root/publisher.pub").strip()
    enrolled = f"kind: Host\nname: web-01\nreport_key: {key}\n"
    reader.publish({"hosts/web-01.yaml": enrolled, "trust/publishers": f"publisher {publisher}\n"}, "Enrol")
    reader.run("patchledger run")
    (expected,) = (one.text for one in blocks(HOW_TO / page) if "kind: Expectation" in one.text)
    console = "sed 's/^host: .*/host: console-01/; /^labels/d; /^notifiers/d'"
    changed = f"{FIRST}updates: security\n"

    def the_fleet_is_read() -> None:
        reader.run(
            f"{console} {CONFIG} >/root/console.yaml\n"
            "echo 'state_dir: /var/lib/console' >>/root/console.yaml\n"
            "patchledger --config /root/console.yaml fleet publish --signing-key /root/publisher\n"
            f"git -C /reports.git show fleet:summary.json >{POLICY}/summary.json"
        )

    reader.here = POLICY
    reader.run("git checkout -q -b my-branch; mkdir expectations; cat >policies/base.yaml", stdin=changed)
    reader.run("cat >expectations/databases.yaml", stdin=expected)
    reader.run("git add -A; git commit -q -m 'Less'; git push -q origin my-branch")
    said = reader.follow(
        page,
        before={"patchledger policy impact --base origin/main": the_fleet_is_read},
        codes={"patchledger policy impact --base origin/main": 4},
    )
    impacts = [text for command, text in said.items() if "impact" in command]
    assert all(text.startswith("1 of 1 host changes") for text in impacts)
    assert "2 updates pending (2 security), 3 not selected" in said["patchledger plan --policy-ref my-branch"]


def test_taking_a_change_back(reader: Reader) -> None:
    set_up_by_hand(reader)
    opened(reader, more="approval: required\n")
    reader.run("patchledger run")
    report = json.loads(reader.run("git -C /reports.git show hosts/web-01:report.json"))
    approval = (
        "kind: Approval\nname: december-web\n"
        f"plan: {report['plan']['digest']}\nexpires: 2099-01-01\nreason: CHG-1310\n"
    )
    reader.publish({"approvals/december-web.yaml": approval}, "Approve")
    reader.run("patchledger run")
    reader.instead = {"3f1c0de": "HEAD", "nginx 1.22.1-9+deb12u2": "golf 1.1", "nginx": "golf"}
    reader.here = POLICY
    reader.run("git checkout -q -b my-revert -t origin/main; git config push.default upstream")
    said = reader.follow(
        "take-a-change-back.md", before={"patchledger explain": lambda: reader.run("patchledger run")}
    )
    impact = "".join(text for command, text in said.items() if "impact" in command)
    assert "what is applied already stays: nothing is downgraded" in " ".join(impact.split())


def test_enrolling_a_host(reader: Reader) -> None:
    (answers,) = (one.text for one in blocks(REFERENCE / "setup.md") if "address_file" in one.text)
    told = "".join(
        line for line in answers.splitlines(keepends=True) if not line.startswith(("trust", "notif", "  ops"))
    )
    reader.run(
        "cat >setup.yaml; cp .ssh/id_ed25519 .ssh/patchledger; cp .ssh/id_ed25519 enrol-key", stdin=told
    )
    last = "patchledger setup --answers setup.yaml --yes --no-plan"
    said = reader.follow("enrol-a-host.md", before={last: lambda: reader.run(PUSH)})
    assert "this host is enrolled by hosts/web-01.yaml:1@" in said[last]
    proposed = reader.run("git -C /policy.git show enrol/web-01:hosts/web-01.yaml")
    assert proposed == reader.run("cat web-01.yaml")
    key = reader.run("cut -d' ' -f2 /etc/patchledger/report_key.pub").strip()
    assert key in proposed


def test_signing_the_policy(reader: Reader) -> None:
    page = "sign-the-policy.md"
    set_up_by_hand(reader)
    (trust,) = (one.text for one in blocks(HOW_TO / page) if one.language == "yaml")

    def push() -> None:
        reader.run(f"{PUSH}; cd {POLICY}; git checkout -q -b topic; echo '# x' >>policies/base.yaml")
        reader.run(f"cd {POLICY}; git commit -q -a -m 'On a topic'; git checkout -q main")

    def tell_the_host() -> None:
        reader.run(f"cat >>{CONFIG}; cp {POLICY}/trust/allowed_signers /etc/patchledger/", stdin=trust)

    said = reader.follow(page, before={"git merge": push, "patchledger doctor": tell_the_host})
    assert "ada@example.org" in said["patchledger doctor"]


def test_from_the_readme_to_a_first_applied_window(reader: Reader) -> None:
    """What the README says of a host, and both pages that it leads to, with the timer that setup enables."""
    (setup,) = (one.text for one in commands(ROOT / "README.md") if one.text == "patchledger setup")
    to_apply = documents("apply-in-a-window.md")
    reader.converse(
        setup,
        ("Id of this host", "web-01"),
        ("Address of the policy repository", "ssh://git@git.example.org/policy.git"),
        ("Its branch [main]", ""),
        ("SSH private key", ""),
        ("File of the servers' host keys", ""),
        ("Trusted commit", ""),
        ("Address of the report repository", "ssh://git@git.example.org/reports.git"),
        ("Labels", "env=staging"),
        ("Name of a notifier", "ops"),
        ("Apprise URL of ops", "json://localhost/"),
        ("Another notifier", ""),
        ("Park", ""),
        ("Time between two ticks [15m]", ""),
        ("Do it (yes or no) [yes]", ""),
    )
    said = reader.conversed[setup]
    assert "Would change 5 packages" in said
    assert "web-01 ticks every 15 minutes" in said

    reader.publish(to_apply)
    ticks(reader)
    assert "closed   Sun " in reader.run("patchledger status")
    assert reader.run("dpkg-query -W delta") == "delta\t1.0\n"

    reader.publish({"schedules/sunday-night.yaml": NOW_OPEN})
    ticks(reader)
    assert reader.run("dpkg-query -W alpha delta golf") == "alpha\t1.0\ndelta\t1.1\ngolf\t1.1\n"
    assert "applied 2 changes (2 security)" in reader.run(
        "patchledger log last; git -C /reports.git log hosts/web-01"
    )
    assert "applied 2 changes" in (reader.machine.lab / "notices").read_text()


def ticks(reader: Reader) -> None:
    """Let the unit that the timer starts do its work."""
    reader.run("systemctl start patchledger.service")
