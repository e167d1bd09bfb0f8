"""Which machine a guest is: a Host document that names one decides, as for a host."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import git
from tests.edge.guests.conftest import Acting, as_before, version
from tests.edge.guests.test_target import made
from tests.edge.guests.test_ticks import OPEN, Hypervisor
from tests.labs.apt import AptLab


@pytest.fixture
def pve(acting: Acting, apt_world: AptLab, tmp_path: Path) -> Iterator[Hypervisor]:
    yield made(acting, apt_world, tmp_path)
    as_before(acting, "201")


def test_a_guest_that_is_not_the_machine_of_its_document_is_refused(pve: Hypervisor, acting: Acting) -> None:
    meant = acting.inside("201", "cat /etc/machine-id").strip()
    document = f"kind: Host\nname: pve1/201\nmachine_id: {meant}\n"
    (pve.folder / "policy/hosts").mkdir()
    (pve.folder / "policy/hosts/201.yaml").write_text(document)
    pve.policy(OPEN)
    code, said = pve.run("run", "--target", "201")
    assert code == 0, said
    reported = git(pve.folder / "reports.git", "rev-parse", "guests/pve1/201")

    acting.inside("201", f"echo {'5' * 32} >/etc/machine-id")
    try:
        for _ in range(2):
            code, said = pve.run("run", "--target", "201")
            assert code == 1, said
            words = " ".join(said.split())
            assert f"the policy has pve1/201 on the machine {meant[:12]} (hosts/201.yaml:1@" in words
            assert "No report was committed: the branch guests/pve1/201 is another machine's." in words
        assert " ".join(pve.run("plan", "--target", "201")[1].split()).count(
            "the policy has pve1/201 on the machine"
        )
        assert (pve.applied(), version(acting, "201")) == ([], "ii 1.0")
        assert git(pve.folder / "reports.git", "rev-parse", "guests/pve1/201") == reported
        assert not (pve.folder / "state/former-guests").exists()

        (pve.folder / "policy/hosts/201.yaml").write_text(document.replace(meant, "5" * 32))
        pve.policy(OPEN)
        code, said = pve.run("run", "--target", "201")
        assert (code, f"its machine id is {'5' * 32}, and was {meant}" in said) == (0, True), said
        (pve.folder / "policy/hosts/201.yaml").write_text(document)
        pve.policy(OPEN)
    finally:
        acting.inside("201", f"echo {meant} >/etc/machine-id")
