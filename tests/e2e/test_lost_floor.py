"""A host whose state folder was deleted: what its own reports prove to it, and what they only restrict."""

import json
import shutil

import pytest

from tests.e2e.site import POLICY, Site, git
from tests.e2e.test_signed_policy import FILES, Command
from tests.labs.apt import AptLab
from tests.labs.signing import Key, Keys, SignedRepository

BRANCH = "refs/heads/hosts/web-01"


def pushed_on_top(host: "Host", message: str, key: Key | None, report: object = None) -> None:
    """Push a report that another key signed, or none; with another report.json where one is given."""
    work = host.site.folder / f"clone-{'' if key is None else key.who}"
    git(host.site.folder, "clone", "-q", "-b", "hosts/web-01", str(host.site.reports), str(work))
    files = {} if report is None else {"report.json": json.dumps(report)}
    host.site.foreign.add(SignedRepository(work).commit(files, key, message=message))
    git(work, "push", "-q", "origin", "HEAD:hosts/web-01")


class Host:
    """A host that signs its reports, follows what ada signed, and forgets."""

    def __init__(self, site: Site, lab: AptLab, patchledger: Command) -> None:
        self.site, self._lab, self.run = site, lab, patchledger
        self.key = Keys(site.folder / "of-the-host").ssh("web-01")
        (site.folder / "policy").rename(site.folder / "unsigned")
        self.policy = SignedRepository.create(site.policy)

    def trust(self, *lines: str, mode: str = "signed", revoked: str = "") -> None:
        signers, gone = self.site.folder / "allowed_signers", self.site.folder / "revoked"
        signers.write_text("".join(lines), encoding="utf-8")
        gone.write_text(revoked, encoding="utf-8")
        rules = {"allowed_signers": str(signers), "revoked": str(gone), "repository": "example/policy"}
        self.site.configure(
            environment=self._lab.environment,
            reports={"remote": str(self.site.reports), "signing_key": self.key.settings["user.signingkey"]},
            trust={"mode": mode, **(rules if mode == "signed" else {})},
        )

    def forget(self) -> None:
        shutil.rmtree(self.site.state)

    def told(self) -> tuple[str, str]:
        """Return the policy in force by the newest report, and where it was begun."""
        policy = self.site.report()["policy"]
        return policy["commit"], policy["verification"]

    def reason(self) -> str:
        found = [one for one in self.site.report()["conditions"] if one["type"] == "PolicyRejected"]
        return found[0]["reason"] if found else ""


@pytest.fixture
def host(site: Site, lab: AptLab, ada: Key, patchledger: Command) -> Host:
    made = Host(site, lab, patchledger)
    made.policy.commit(FILES, ada)
    made.trust(ada.line())
    assert patchledger("run")[0] == 0
    return made


def test_the_policy_of_its_own_signed_report_is_where_it_goes_on(host: Host, ada: Key, ben: Key) -> None:
    listed = host.policy.commit({"trust/allowed_signers": ada.line() + ben.line()}, ada)
    assert host.run("run")[0] == 0
    host.forget()
    host.trust(Keys(host.site.folder / "new").ssh("carol").line())  # who has signed nothing yet
    assert host.run("run")[0] == 0
    commit, how = host.told()
    assert commit == listed
    assert "in force in this host's own report of" in how
    assert "under its own signature" in how
    assert host.site.report()["policy"]["signed"][-1]["signer"] == ada.who
    # What it listed counts, and nothing else does.
    newer = host.policy.commit({"docs/x": "1"}, ben)
    assert host.run("run")[0] == 0
    assert host.told()[0] == newer


def test_a_report_that_another_key_signed_proves_nothing(host: Host, eve: Key) -> None:
    head = host.policy.head()
    work = host.site.folder / "clone"
    git(host.site.folder, "clone", "-q", "-b", "hosts/web-01", str(host.site.reports), str(work))
    git(work, "reset", "-q", "--hard", git(work, "rev-list", "--max-parents=0", "HEAD"))
    message = f"forged\n\nHost: web-01\nPolicy-Commit: {head}\n"
    forger = SignedRepository(work)
    forger.signed("commit", "-q", "--amend", "-m", message, key=eve)
    host.site.foreign.add(forger.head())
    git(work, "push", "-q", "--force", "origin", "HEAD:hosts/web-01")
    host.forget()
    host.trust(Keys(host.site.folder / "new").ssh("carol").line())
    assert host.run("run")[0] == 3
    assert host.reason() == "UnknownKey"


@pytest.mark.parametrize("revoked", ["the key", "a list with mistakes"])
def test_a_report_by_the_hosts_own_key_proves_nothing_where_that_is_revoked(
    host: Host, ada: Key, revoked: str
) -> None:
    """Whoever stole it could have a host that lost its state believe that a policy was verified."""
    evil = host.policy.commit({"docs/x": "1"})
    report = host.site.report()
    by = {"commit": evil, "fingerprint": ada.fingerprint, "method": "ssh", "signer": ada.who}
    report["policy"] |= {"commit": evil, "signed": [by]}
    pushed_on_top(host, f"forged\n\nHost: web-01\nPolicy-Commit: {evil}\n", host.key, report)
    host.forget()
    host.trust(ada.line(), revoked=host.key.fingerprint if revoked == "the key" else "nonsense\n")
    assert host.run("run")[0] == 3
    assert host.told()[0] == ""
    assert host.reason() == ("Unsigned" if revoked == "the key" else "BadSignerList")
    told = {one["reason"]: one["message"] for one in host.site.report()["conditions"]}
    assert f"the key {host.key.fingerprint} that signs the reports of web-01 is revoked" in told["KeyRevoked"]


def test_a_report_that_names_a_commit_that_is_none_stops_no_host_that_signs(host: Host, eve: Key) -> None:
    head = host.policy.head()
    for key in (None, eve):
        pushed_on_top(host, f"forged\n\nHost: web-01\nPolicy-Commit: {'f' * 40}\n", key)
    host.forget()
    assert host.run("run")[0] == 0
    assert host.told()[0] == head


def test_a_report_of_a_policy_that_nobody_had_to_sign_proves_nothing(host: Host, eve: Key) -> None:
    host.trust(mode="none")
    host.policy.commit({"docs/x": "1"}, eve)
    assert host.run("run")[0] == 0
    host.forget()
    host.trust(Keys(host.site.folder / "new").ssh("carol").line())
    assert host.run("run")[0] == 3
    assert host.reason() == "UnknownKey"


def test_reports_that_were_taken_back_are_seen_by_what_is_kept_beside_the_logs(host: Host, ada: Key) -> None:
    older, reported = host.policy.head(), git(host.site.reports, "rev-parse", BRANCH)
    newer = host.policy.commit({"policies/base.yaml": POLICY + "updates: none\n"}, ada)
    assert host.run("run")[0] == 0
    before = host.site.logs.joinpath("memory").read_bytes()
    host.forget()
    git(host.site.reports, "update-ref", BRANCH, reported)
    host.policy.git("reset", "-q", "--hard", older)
    assert host.run("run")[0] == 3
    assert host.reason() == "HistoryRewritten"
    assert host.site.logs.joinpath("memory").read_bytes() == before, "what is refused takes nothing away"
    host.policy.git("reset", "-q", "--hard", newer)
    assert host.run("run")[0] == 0
    assert host.told()[0] == newer


def test_reports_that_were_taken_back_are_seen_by_the_logs_of_runs(host: Host, ada: Key) -> None:
    older, reported = host.policy.head(), git(host.site.reports, "rev-parse", BRANCH)
    newer = host.policy.commit({"policies/base.yaml": POLICY + "updates: none\n"}, ada)
    assert host.run("run")[0] == 0
    host.site.logs.joinpath("memory").unlink()
    # A run leaves this here; what it was about does not matter.
    log = host.site.logs / "20261129T000000Z-aaaaaaaaaaaa.json"
    log.write_text(json.dumps({"policy_commit": newer}), encoding="utf-8")
    host.forget()
    git(host.site.reports, "update-ref", BRANCH, reported)
    host.policy.git("reset", "-q", "--hard", older)
    assert host.run("run")[0] == 3
    assert host.reason() == "HistoryRewritten"
    # Without any memory of its own a host cannot know; it says as of when it speaks.
    shutil.rmtree(host.site.logs)
    host.forget()
    git(host.site.reports, "update-ref", BRANCH, reported)
    assert host.run("run")[0] == 0
    commit, how = host.told()
    assert commit == older
    assert "in force in this host's own report of 20" in how
