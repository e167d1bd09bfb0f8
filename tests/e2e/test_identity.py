"""Whether a machine is the host that it acts as: clones, new installations, other keys, retired hosts."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.gitops.report_queue import Identity, ReportQueue
from reconciler.planning.text.untrusted import commit_message
from reconciler.reconcile.ports.reports import Commit, Pushed
from reconciler.reconcile.tick import Tick
from tests.e2e.site import BEFORE, OPENING, Site, git
from tests.e2e.test_apply import runs, tick
from tests.labs.apt import AptLab
from tests.labs.signing import Key

Command = Callable[..., tuple[int, str, str]]
WEB = "hosts/web-01"
OURS, THEIRS = "0" * 31 + "a", "0" * 31 + "b"
INSIDE = OPENING + timedelta(minutes=5)


@pytest.fixture
def lab(lab: AptLab) -> AptLab:
    become(lab, OURS)
    return lab


@pytest.fixture
def signing(site: Site, lab: AptLab, ada: Key) -> Key:
    """Have the host sign its reports, and return its key."""
    reports = {"remote": str(site.reports), "signing_key": ada.settings["user.signingkey"]}
    site.configure(environment=lab.environment, reports=reports)
    return ada


def become(lab: AptLab, machine: str) -> None:
    (lab.root / "etc/machine-id").write_text(f"{machine}\n", encoding="ascii")


def document(*lines: str) -> str:
    return "\n".join(["kind: Host", "name: web-01", *lines, ""])


def why(done: Tick) -> dict[str, str]:
    """Return the reason of each condition that says whose machine this is."""
    types = {"OtherMachine", "HostRetired", "ReportKeyMismatch", "ReportBranchDiverged"}
    return {str(one.type): one.reason for one in done.report.conditions if one.type in types}


def refused(site: Site, lab: AptLab, at: tuple[str, str]) -> Tick:
    """Make a tick inside the window that must apply nothing, write nothing, and say why."""
    versions, head = lab.versions(), git(site.reports, "for-each-ref")
    done = tick(site, INSIDE)
    assert at in why(done).items()
    assert lab.versions() == versions
    assert git(site.reports, "for-each-ref") == head, "the branch is not ours"
    assert any(at[1] == one.reason and one.stalled for one in done.report.conditions)
    assert done.failures
    return done


@pytest.mark.usefixtures("lab")
def test_the_machine_that_the_document_names_is_the_host(site: Site) -> None:
    site.commit({"hosts/web-01.yaml": document(f'machine_id: "{OURS}"')})
    assert tick(site, INSIDE).failures == ()
    assert runs(site)


@pytest.mark.parametrize("own", [THEIRS, "uninitialized"])
def test_another_machine_than_the_document_names_applies_nothing_and_writes_nothing(
    site: Site, lab: AptLab, patchledger: Command, own: str
) -> None:
    become(lab, own)
    site.commit({"hosts/web-01.yaml": document(f'machine_id: "{OURS}"')})
    refused(site, lab, ("OtherMachine", "Document"))
    code, out, err = patchledger("run")
    assert code == 1
    assert "the policy has web-01 on the machine 00000000000" in err
    assert "give a clone a host id of its own" in err
    assert "No report was committed: the branch hosts/web-01 is another machine's." in out
    assert "OtherMachine" in patchledger("status")[1]
    # A new installation of the host is let in by a commit.
    become(lab, THEIRS)
    site.commit({"hosts/web-01.yaml": document(f'machine_id: "{THEIRS}"')})
    assert tick(site, INSIDE).failures == ()
    assert runs(site)


def test_a_clone_that_got_a_machine_id_of_its_own_is_stalled_at_once(
    site: Site, lab: AptLab, patchledger: Command
) -> None:
    tick(site, BEFORE)
    become(lab, THEIRS)
    refused(site, lab, ("OtherMachine", "LastReport"))
    refused(site, lab, ("OtherMachine", "LastReport"))
    # It is no clone, but the host on new hardware: a person says so.
    code, out, _ = patchledger("reports", "repair")
    assert code == 0
    assert "hosts/web-01: goes on on this machine from" in out
    assert git(site.reports, "log", "-1", "--format=%(trailers:key=Machine,valueonly)", WEB) == THEIRS
    assert tick(site, INSIDE).failures == ()
    assert runs(site)
    assert patchledger("reports", "repair")[1] == "hosts/web-01: nothing to repair\n"
    # And the original, if there is one, sees that it is not the host any more.
    become(lab, OURS)
    refused(site, lab, ("OtherMachine", "LastReport"))


def test_a_new_machine_with_an_id_that_is_taken_is_stalled_at_once(site: Site, lab: AptLab) -> None:
    tick(site, BEFORE)
    shutil.rmtree(site.state)
    become(lab, THEIRS)
    refused(site, lab, ("OtherMachine", "LastReport"))
    site.commit({"hosts/web-01.yaml": document(f'machine_id: "{THEIRS}"')})
    assert tick(site, INSIDE).failures == ()


def test_a_new_machine_that_could_not_ask_does_not_join_the_reports_of_another(
    site: Site, lab: AptLab
) -> None:
    tick(site, BEFORE)
    shutil.rmtree(site.state)
    become(lab, THEIRS)
    site.reports.rename(site.folder / "away")
    tick(site, BEFORE)
    (site.folder / "away").rename(site.reports)
    head = git(site.reports, "rev-parse", WEB)
    tick(site, BEFORE + timedelta(minutes=15))
    assert git(site.reports, "rev-parse", WEB) == head
    refused(site, lab, ("OtherMachine", "ReportBranch"))


def pushed_by_a_clone(site: Site, key: Key | None, enrolled: str = "", **facts: str) -> None:
    """Push what another machine with the same state folder would report."""
    signing = "" if key is None else key.settings["user.signingkey"]
    clone = ReportQueue(site.folder / "clone.git", str(site.reports), Identity("web-01", signing))
    assert clone.last(WEB) is not None
    report = site.report()
    report["host"]["facts"].update(facts)
    report["host"] |= {"enrolled": enrolled} if enrolled else {}
    message = commit_message("web-01: all is well", {"Host": "web-01"})
    data = {"report.json": json.dumps(report).encode()}
    made = clone.commit(WEB, data, message, BEFORE, keep_runs=5)
    assert isinstance(made, Commit)
    site.foreign.add(made.oid)
    assert clone.push(timeout=20) == Pushed((WEB,))


def test_an_identical_clone_is_seen_by_what_its_key_signed_under_another_boot(
    site: Site, lab: AptLab, signing: Key, patchledger: Command
) -> None:
    tick(site, BEFORE)
    pushed_by_a_clone(site, signing, boot_id="another")
    refused(site, lab, ("OtherMachine", "OwnKeyElsewhere"))
    code, _, err = patchledger("run")
    assert code == 1
    assert "a clone of it is at work, or it was restored from a backup" in err
    assert patchledger("reports", "repair")[0] == 0
    assert tick(site, INSIDE).failures == ()
    assert runs(site)


@pytest.mark.parametrize("by", ["nobody", "another host"])
def test_a_report_that_another_key_signed_stops_no_host(
    site: Site, lab: AptLab, signing: Key, eve: Key, by: str
) -> None:
    """Whoever may push to the branch can make the host say so, and no more."""
    site.commit({"hosts/web-01.yaml": document(f'machine_id: "{OURS}"', f"report_key: {signing.public}")})
    tick(site, BEFORE)
    pushed_by_a_clone(site, eve if by == "another host" else None, boot_id="another", machine_id=THEIRS)
    head = git(site.reports, "rev-parse", WEB)
    before = lab.versions()
    done = tick(site, INSIDE)
    assert why(done).keys() == {"ReportBranchDiverged"}
    assert lab.versions() != before
    assert git(site.reports, "rev-parse", WEB) == head, "nothing is overwritten"


def test_a_run_during_which_the_branch_becomes_anothers_is_reported_when_it_is_the_hosts_again(
    site: Site, lab: AptLab
) -> None:
    site.hook("post", "10-clone", f"echo {THEIRS} >{lab.root}/etc/machine-id")
    done = tick(site, INSIDE)
    (record,) = done.runs
    assert why(done) == {"OtherMachine": "LastReport"}
    for _ in range(2):
        refused(site, lab, ("OtherMachine", "LastReport"))
    assert runs(site) == []
    become(lab, OURS)
    later = tick(site, INSIDE)
    assert [one["run"] for one in runs(site)] == [record.run]
    assert later.report.changed_outside == ()
    assert tick(site, INSIDE).runs == ()


def test_a_clone_that_was_taken_in_the_middle_of_a_run_does_not_bring_it_to_an_end(
    site: Site, lab: AptLab
) -> None:
    middle = site.folder / "middle"
    site.hook("pre", "10-clone", f"test -d {middle} || cp -a {site.state} {middle}")
    site.hook("post", "10-end", f"echo end >>{site.folder}/ends")
    tick(site, INSIDE)
    assert (site.folder / "ends").read_text() == "end\n"
    shutil.rmtree(site.state)
    middle.rename(site.state)
    become(lab, THEIRS)
    for _ in range(2):
        refused(site, lab, ("OtherMachine", "LastReport"))
        assert (site.state / "journal.json").exists()
    assert (site.folder / "ends").read_text() == "end\n"
    # It was the host after all: what the run left is looked at, and told.
    become(lab, OURS)
    tick(site, INSIDE)
    assert not (site.state / "journal.json").exists()


def enrolment(site: Site) -> str:
    return str(site.report()["host"].get("enrolled", ""))


def test_a_host_is_enrolled_gets_another_key_is_retired_and_comes_back(
    site: Site, lab: AptLab, signing: Key, eve: Key, patchledger: Command
) -> None:
    tick(site, BEFORE)
    assert enrolment(site) == ""
    site.commit({"hosts/web-01.yaml": document(f"report_key: {signing.public}")})
    assert why(tick(site, BEFORE)) == {}
    assert enrolment(site) == "enrolled"
    assert "this host is enrolled" in patchledger("doctor", "--offline")[1].replace("\n" + " " * 22, " ")

    site.commit({"hosts/web-01.yaml": document(f"report_key: {eve.public}")})
    done = tick(site, BEFORE)
    assert (why(done), done.failures) == ({"ReportKeyMismatch": "OtherKey"}, ())
    assert enrolment(site) == "other-key"

    site.commit({"hosts/web-01.yaml": None})
    before = lab.versions()
    for _ in range(2):
        done = tick(site, INSIDE)
        assert why(done) == {"HostRetired": "NoDocument"}
        assert lab.versions() == before
        assert enrolment(site) == "retired", "it goes on reporting"
        shutil.rmtree(site.state)
    code, _, err = patchledger("run")
    assert code == 1
    assert "host web-01 is retired" in err

    site.commit({"hosts/web-01.yaml": document(f"report_key: {signing.public}")})
    assert tick(site, INSIDE).failures == ()
    assert enrolment(site) == "enrolled"
    assert runs(site)


@pytest.mark.usefixtures("signing")
def test_a_retired_host_knows_it_without_its_state_and_its_reports(site: Site, lab: AptLab, ada: Key) -> None:
    site.commit({"hosts/web-01.yaml": document(f"report_key: {ada.public}")})
    tick(site, BEFORE)
    site.commit({"hosts/web-01.yaml": None})
    tick(site, BEFORE)
    before = lab.versions()
    shutil.rmtree(site.state)
    site.reports.rename(site.folder / "away")
    assert why(tick(site, INSIDE)) == {"HostRetired": "NoDocument"}
    assert lab.versions() == before
    (site.folder / "away").rename(site.reports)


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize("loses", ["nothing", "state"])
def test_nobody_who_merely_pushes_retires_a_host_without_a_key(
    site: Site, patchledger: Command, loses: str
) -> None:
    tick(site, BEFORE)
    pushed_by_a_clone(site, None, enrolled="enrolled", machine_id=OURS)
    if loses == "state":
        shutil.rmtree(site.state)
    else:
        assert patchledger("reports", "repair")[0] == 0
    done = tick(site, INSIDE)
    assert (why(done), done.failures) == ({}, ())
    assert runs(site)


def test_nobody_who_merely_pushes_retires_a_host_that_signs(
    site: Site, signing: Key, patchledger: Command
) -> None:
    """That it was enrolled is believed of a report by its own key alone."""
    del signing
    tick(site, BEFORE)
    pushed_by_a_clone(site, None, enrolled="enrolled")
    assert patchledger("reports", "repair")[0] == 0
    done = tick(site, INSIDE)
    assert (why(done), done.failures) == ({}, ())
    assert runs(site)


@pytest.mark.usefixtures("lab")
def test_a_document_without_a_key_enrols_nobody_and_its_end_retires_nobody(site: Site) -> None:
    site.commit({"hosts/web-01.yaml": document("labels: {env: gold}")})
    tick(site, BEFORE)
    site.commit({"hosts/web-01.yaml": None})
    done = tick(site, INSIDE)
    assert (why(done), done.failures) == ({}, ())
    assert runs(site)


def test_a_package_that_is_half_done_is_not_repaired_on_another_machine(site: Site, lab: AptLab) -> None:
    tick(site, BEFORE)
    status = Path(lab.root / "var/lib/dpkg/status")
    become(lab, THEIRS)
    name = next(iter(lab.versions()))
    text = status.read_text()
    head, found, rest = text.partition(f"Package: {name.partition(':')[0]}\nStatus: install ok installed")
    assert found
    status.write_text(head + found.replace("ok installed", "ok half-configured") + rest)
    broken = status.read_bytes()
    refused(site, lab, ("OtherMachine", "LastReport"))
    assert status.read_bytes() == broken
