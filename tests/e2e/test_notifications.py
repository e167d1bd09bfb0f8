"""From a policy's ``notify`` to a receiver: told once, told when it is over, never with the secret."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.site import POLICY, Site
from tests.labs.apt import AptLab
from tests.labs.webhook import Receiver, receive

Command = Callable[..., tuple[int, str, str]]
SECRET = "hunter2-token"
NOTIFY = POLICY + "notify: [{to: ops, on: [plan-changed, policy-rejected, recovered]}]\n"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    yield from receive(Receiver())


def titles(receiver: Receiver) -> list[str]:
    """Return the titles that were accepted."""
    return [body["title"] for body in receiver.bodies]


@pytest.fixture
def notified(site: Site, lab: AptLab, receiver: Receiver) -> Site:
    address = site.folder / "ops.url"
    address.write_text(f"json://ops:{SECRET}@127.0.0.1:{receiver.port}/hook\n", encoding="utf-8")
    address.chmod(0o600)
    site.configure(environment=lab.environment, notifiers={"ops": {"file": str(address)}})
    site.commit({"policies/base.yaml": NOTIFY})
    return site


def test_transitions_are_told_once_and_recovery_too(
    notified: Site, receiver: Receiver, patchledger: Command
) -> None:
    patchledger("run")
    assert titles(receiver) == []  # what is merely so on the first run is no news
    notified.commit({"policies/base.yaml": NOTIFY + "updatez: all\n"})
    for _ in range(2):
        assert patchledger("run")[0] == 3
    assert len(titles(receiver)) == 1
    assert "policy not accepted" in titles(receiver)[0]
    notified.commit({"policies/base.yaml": NOTIFY + "updates: security\n"})
    assert patchledger("run")[0] == 0
    assert [title.split(": ")[1].split(" ")[0] for title in titles(receiver)[1:]] == ["recovered", "plan"]


def test_nothing_is_lost_while_the_receiver_is_down_and_the_secret_is_nowhere(
    notified: Site, receiver: Receiver, patchledger: Command
) -> None:
    patchledger("run")
    receiver.status = 500
    notified.commit({"policies/base.yaml": NOTIFY + "updates: security\n"})
    code, out, err = patchledger("run")
    assert code == 5
    assert "ops" in err
    assert SECRET not in out + err
    (waiting,) = (path for path in (notified.state / "outbox").iterdir() if path.suffix == ".json")
    assert "plan-changed" in waiting.read_text(encoding="utf-8")
    assert SECRET not in _everything(notified.state, notified.reports)
    assert titles(receiver) == []


def _everything(*folders: Path) -> str:
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return "".join(path.read_bytes().decode("latin-1") for path in files)
