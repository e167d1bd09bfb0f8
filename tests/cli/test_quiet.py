"""The quiet tick starts what a file names, so it believes only what nobody else could have written."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.cli.wiring import quiet
from reconciler.host.state.fingerprint import Fingerprint, digest, signature

COMMIT = "a" * 40
REF = "refs/remotes/policy/main"


class Place:
    """A configuration and a state folder in which nothing has changed."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "etc" / "config.yaml"
        self.state = folder / "state"
        self.mirror = folder / "mirror"
        self.fetched = folder / "fetched"
        self.ref = self.mirror / REF
        self.fingerprint = self.state / quiet.FILE
        for made in (self.config.parent, self.state, self.ref.parent):
            made.mkdir(mode=0o700, parents=True)
        self.config.write_text(f"state_dir: {self.state}\n", encoding="utf-8")
        self.ref.write_text(COMMIT + "\n", encoding="ascii")
        (self.mirror / "stamp").touch()
        self.leave()
        for file in (self.config, self.fingerprint):
            file.chmod(0o600)

    def leave(self, *, since: float = 0.0, reports: dict[str, object] | None = None) -> None:
        """Write what a full tick leaves that had nothing to do over."""
        known = Fingerprint(
            program=quiet.PROGRAM,
            config=digest(self.config.read_bytes()),
            watched=(),
            signature=signature(()),
            commit=COMMIT,
            mirror=str(self.mirror),
            ref=REF,
            stamp=str(self.mirror / "stamp"),
            argv=("touch", str(self.fetched)),
            env={},
            timeout=10.0,
            since=since,
            until=time.time() + 3600,
            says="web-01: nothing changed",
            reports=reports,
        )
        self.fingerprint.write_bytes(known.to_json())

    def leave_reports(
        self,
        *,
        folder: Path | str = "",
        answer: str = COMMIT,
        name: str = "refs/heads/hosts/web-01",
        exit_code: int = 0,
    ) -> Path:
        """Leave a report branch at ``COMMIT``, too; return the file that shows that it was asked for."""
        asked = self.state / "asked"
        script = f"touch {asked}; printf '{answer}\\t{name}\\n'; exit {exit_code}"
        self.leave(
            reports={
                "head": COMMIT,
                "folder": str(folder),
                "ref": "refs/heads/hosts/web-01",
                "argv": ["sh", "-c", script],
                "env": {"PATH": os.environ["PATH"]},
                "stamp": str(self.fingerprint),
            }
        )
        self.fingerprint.chmod(0o600)
        return asked

    def tick(self) -> int | None:
        return quiet.tick(("--config", str(self.config), "run"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_nothing_changed_is_one_line(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.tick() == 0
    assert capsys.readouterr().out == "web-01: nothing changed\n"
    assert place.fetched.exists()


@pytest.mark.parametrize(
    "open_up",
    [
        lambda place: place.config.chmod(0o602),
        lambda place: place.config.parent.chmod(0o777),
        lambda place: place.fingerprint.chmod(0o602),
        lambda place: place.state.chmod(0o707),
    ],
)
def test_what_others_may_write_is_not_believed(place: Place, open_up: Callable[[Place], None]) -> None:
    open_up(place)
    assert place.tick() is None
    assert not place.fetched.exists()


def test_a_clock_that_was_set_back_is_looked_at_properly(place: Place) -> None:
    place.leave(since=time.time() + 600)
    assert place.tick() is None


DAMAGED = [
    b"",
    b"[]",
    b"[" * 200_000,
    b'{"format": 3}',
    b'{"format": 3, "until": "x"}',
]


@pytest.mark.parametrize("data", DAMAGED)
def test_a_damaged_fingerprint_is_looked_at_properly(place: Place, data: bytes) -> None:
    place.fingerprint.write_bytes(data)
    assert place.tick() is None


@pytest.mark.parametrize("field", sorted(Fingerprint.__slots__))
@pytest.mark.parametrize("value", [b"7", b'"x"', b"null", b"[1]", b"[]", b'{"A=B": 1}', b'"\\u0000"'])
def test_a_wrong_value_in_it_never_raises(place: Place, field: str, value: bytes) -> None:

    fields = json.loads(place.fingerprint.read_bytes())
    fields[field] = json.loads(value)
    place.fingerprint.write_text(json.dumps(fields), encoding="utf-8")
    assert place.tick() in {0, None}


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b"ref: refs/heads/x\n", b""])
def test_a_damaged_ref_is_looked_at_properly(place: Place, content: bytes) -> None:
    place.ref.write_bytes(content)
    assert place.tick() is None


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b"\n\n", f"{COMMIT} {REF}x\n".encode()])
def test_damaged_packed_refs_are_looked_at_properly(place: Place, content: bytes) -> None:
    place.ref.unlink()
    (place.mirror / "packed-refs").write_bytes(content)
    assert place.tick() is None


OTHER = "e" * 40
HOUR = 3600


def test_a_report_branch_elsewhere_is_asked_for_once_an_hour(place: Place) -> None:
    asked = place.leave_reports()
    assert place.tick() == 0
    assert not asked.exists()
    os.utime(place.fingerprint, (time.time() - HOUR - 1,) * 2)
    assert place.tick() == 0
    assert asked.exists()
    asked.unlink()
    assert place.tick() == 0
    assert not asked.exists()


@pytest.mark.parametrize("answer", [OTHER, ""])
def test_a_report_branch_that_others_changed_makes_a_full_tick(place: Place, answer: str) -> None:
    place.leave_reports(answer=answer)
    os.utime(place.fingerprint, (time.time() - HOUR - 1,) * 2)
    assert place.tick() is None


def test_a_report_remote_that_does_not_answer_changes_nothing(place: Place) -> None:
    place.leave_reports(answer=OTHER, exit_code=128)
    os.utime(place.fingerprint, (time.time() - HOUR - 1,) * 2)
    assert place.tick() == 0


def test_a_report_branch_on_this_machine_is_read_each_time(place: Place, tmp_path: Path) -> None:
    ref = tmp_path / "reports" / "refs/heads/hosts/web-01"
    ref.parent.mkdir(parents=True)
    ref.write_text(COMMIT + "\n", encoding="ascii")
    asked = place.leave_reports(folder=tmp_path / "reports")
    assert place.tick() == 0
    ref.write_text(OTHER + "\n", encoding="ascii")
    assert place.tick() is None
    ref.unlink()
    assert place.tick() is None
    os.mkfifo(ref)  # nobody ever writes into it
    assert place.tick() is None
    assert not asked.exists()


def test_a_branch_whose_name_only_ends_like_ours_is_not_ours(place: Place) -> None:
    place.leave_reports(name="refs/aaa/refs/heads/hosts/web-01")
    os.utime(place.fingerprint, (time.time() - HOUR - 1,) * 2)
    assert place.tick() is None
