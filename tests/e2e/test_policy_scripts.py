"""Scripts of the policy repository: they run where policy pins them and the host accepts them."""

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from reconciler.cli.verbs.run import run_once
from reconciler.cli.wiring.compose import wire
from reconciler.host.config import load_config
from reconciler.reconcile.tick import Tick
from reconciler.resources import locate
from tests.e2e.site import OPENING, POLICY, SCHEDULE, SetClock, Site
from tests.labs.apt import AptLab
from tests.labs.signing import Key, SignedRepository

Command = Callable[..., tuple[int, str, str]]
NAME = "apt-update.sh"
INSIDE = OPENING + timedelta(minutes=5)
OURS = locate(f"scripts/patch/{NAME}").read_text(encoding="utf-8")
THEIRS = OURS + "\n# as our policy has it\n"


def digest_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def pinned(text: str) -> str:
    return f'{POLICY}scripts: {{{NAME}: "sha256:{digest_of(text)}"}}\n'


class Fleet:
    """A signed policy that brings a script, and a host that may accept it."""

    def __init__(self, site: Site, machine: AptLab, ada: Key) -> None:
        self.site, self.machine, self._ada = site, machine, ada
        (site.folder / "policy").rename(site.folder / "unsigned")
        self._policy = SignedRepository.create(site.policy)
        (site.folder / "allowed_signers").write_text(ada.line(), encoding="utf-8")
        self.at = INSIDE

    def accept(self, *texts: str) -> None:
        trust = {
            "mode": "signed",
            "allowed_signers": str(self.site.folder / "allowed_signers"),
            "repository": "example/policy",
        }
        accepted = [f"sha256:{digest_of(text)}" for text in texts]
        self.site.configure(environment=self.machine.environment, trust=trust, allow_policy_scripts=accepted)

    def bring(self, text: str | None, policy: str) -> None:
        script = {} if text is None else {f"scripts/{NAME}": text}
        files = {"policies/base.yaml": policy, "schedules/nightly.yaml": SCHEDULE}
        self._policy.commit(
            {**files, "patchledger.yaml": "repository: example/policy\n", **script}, self._ada
        )

    def withdraw(self) -> None:
        self._policy.git("rm", "-q", f"scripts/{NAME}")

    def tick(self) -> Tick:
        self.at += timedelta(minutes=15)
        return run_once(self.site.config, wire(load_config(self.site.config), SetClock(self.at)))

    def script(self) -> dict[str, Any]:
        """Return what the newest report says of the script."""
        (told,) = (one for one in self.site.report()["scripts"] if one["name"] == NAME)
        return dict(told)

    def condition(self) -> tuple[str, str]:
        found = [one for one in self.site.report()["conditions"] if one["type"] == "ScriptMismatch"]
        return (found[0]["reason"], found[0]["message"]) if found else ("", "")


@pytest.fixture
def fleet(site: Site, lab: AptLab, ada: Key) -> Fleet:
    return Fleet(site, lab, ada)


def test_a_script_of_the_policy_runs_where_it_is_pinned_and_accepted(
    fleet: Fleet, patchledger: Command
) -> None:
    fleet.accept(THEIRS)
    fleet.bring(THEIRS, pinned(THEIRS))
    (record,) = fleet.tick().runs
    assert record.outcome == "applied"
    assert fleet.script() == {"is_of_policy": True, "name": NAME, "sha256": digest_of(THEIRS)}
    assert [(one.name, one.is_of_policy) for one in record.scripts] == [(NAME, True), ("common.sh", False)]
    assert (fleet.site.state / "scripts" / NAME).read_text(encoding="utf-8") == THEIRS

    said = " ".join(patchledger("doctor")[1].split())
    assert "1 script of the policy repository may run here" in said
    assert f"the last run was by {NAME} of the policy repository, sha256 {digest_of(THEIRS)}" in said

    fleet.withdraw()
    fleet.bring(None, POLICY)
    fleet.tick()
    assert fleet.script() == {"name": NAME, "sha256": digest_of(OURS)}
    assert fleet.condition() == ("", "")


def test_a_script_that_the_host_does_not_accept_is_not_run_and_neither_is_its_own(fleet: Fleet) -> None:
    fleet.accept(OURS)
    fleet.bring(THEIRS, pinned(THEIRS))
    before = fleet.machine.versions()
    done = fleet.tick()
    assert (done.report.decision.outcome, done.runs) == ("unhealthy", ())
    reason, message = fleet.condition()
    assert reason == "NotAccepted"
    assert f"{NAME} of the policy repository, sha256 {digest_of(THEIRS)}, is not accepted" in message
    assert fleet.machine.versions() == before
    assert fleet.script() == {"name": NAME, "sha256": digest_of(OURS)}


def test_bytes_that_differ_from_the_pin_are_run_by_nobody(fleet: Fleet) -> None:
    fleet.accept(THEIRS, THEIRS + "# 2\n")
    elsewhere = pinned(THEIRS).replace("name: base", "name: elsewhere\nmatch: {labels: {env: nowhere}}")
    fleet.bring(THEIRS, pinned(THEIRS + "# 2\n") + f"---\n{elsewhere}")
    done = fleet.tick()
    assert (done.report.decision.outcome, done.runs) == ("unhealthy", ())
    assert fleet.condition()[0] == "PinnedOtherwise"


def test_a_script_that_does_not_say_what_it_should_is_told_and_the_host_reports_on(fleet: Fleet) -> None:
    broken = "exit 0\n"
    fleet.accept(broken)
    fleet.bring(broken, pinned(broken))
    done = fleet.tick()
    assert (done.report.decision.outcome, done.runs) == ("unhealthy", ())
    assert fleet.condition()[0] == "Unusable"
    assert fleet.script()["sha256"] == digest_of(OURS)


def test_a_script_that_worked_once_does_not_stand_in_the_way_of_its_successor(fleet: Fleet) -> None:
    """It takes the first look, since the policy is only then known to pin another."""
    flag = fleet.site.folder / "flag"
    ageing = f"[ ! -e {flag} ] || exit 0\n{THEIRS}"
    fleet.accept(ageing, THEIRS)
    fleet.bring(ageing, pinned(ageing))
    assert [one.outcome for one in fleet.tick().runs] == ["applied"]
    flag.touch()
    fleet.bring(ageing, pinned(ageing) + "max_policy_age: 3d\n")
    fleet.tick()
    assert fleet.condition()[0] == "Unusable"
    fleet.bring(THEIRS, pinned(THEIRS))
    fleet.tick()
    assert fleet.condition() == ("", "")
    assert fleet.script() == {"is_of_policy": True, "name": NAME, "sha256": digest_of(THEIRS)}


def test_a_script_on_the_disk_that_nobody_accepted_is_not_run(fleet: Fleet) -> None:
    fleet.accept(THEIRS)
    fleet.bring(THEIRS, pinned(THEIRS))
    kept = fleet.site.state / "scripts" / NAME
    kept.parent.mkdir(parents=True)
    kept.write_text(f"touch {fleet.site.folder}/evil\n", encoding="utf-8")
    assert [one.outcome for one in fleet.tick().runs] == ["applied"]
    assert not (fleet.site.folder / "evil").exists()
    assert fleet.script()["sha256"] == digest_of(THEIRS)


def test_scripts_are_accepted_from_a_signed_policy_alone(site: Site, patchledger: Command) -> None:
    site.configure(allow_policy_scripts=[f"sha256:{'0' * 64}"])
    code, _, err = patchledger("run")
    assert code == 2
    assert "allow_policy_scripts: needs trust.mode: signed" in err
