"""Health checks against real sockets on loopback.

systemd does not run where these tests do, so ``systemctl`` is a small script in a folder of the test that
answers in the words of the real one (systemd 252).
"""

import socket
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest
import trustme

from reconciler.host.machine.checks import EVERY, Checks, settle
from reconciler.planning.runs.hooks_and_health import CheckResult
from reconciler.policy.documents import Health
from tests.labs.programs import Programs
from tests.labs.talker import Talk, endless, saying, silent, talking

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SOON = timedelta(seconds=1)


def checks(patience: timedelta = timedelta(seconds=20), systemd: Path = Path("/nowhere")) -> Checks:
    return Checks({}, systemd=systemd, patience=patience)


def http(url: str, patience: timedelta = timedelta(seconds=20)) -> CheckResult:
    (result,) = checks(patience).check(Health(http=(url,)))
    assert result.name == f"http {url}"
    return result


def asked(talk: Talk, patience: timedelta = timedelta(seconds=20)) -> tuple[bool, str]:
    with talking(talk) as talker:
        result = http(f"http://127.0.0.1:{talker.port}/healthz", patience)
    return result.ok, result.detail


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


# --- Ports ----------------------------------------------------------------------------------------------


@pytest.mark.root
def test_a_port_that_accepts_is_well() -> None:
    with talking(silent) as talker:
        (result,) = checks().check(Health(tcp=(f"127.0.0.1:{talker.port}",)))
        (named,) = checks().check(Health(tcp=(f"localhost:{talker.port}",)))
    assert result == CheckResult(f"tcp 127.0.0.1:{talker.port}", ok=True, detail="accepts connections")
    assert named.ok


def test_a_port_where_nobody_listens_is_not() -> None:
    (result,) = checks().check(Health(tcp=(f"127.0.0.1:{free_port()}",)))
    assert (result.ok, result.detail) == (False, "Connection refused")


def test_ports_are_asked_by_ipv6_too() -> None:
    try:
        with talking(silent, address="::1") as talker:
            (result,) = checks().check(Health(tcp=(f"[::1]:{talker.port}",)))
            page = f"http://[::1]:{talker.port}/"
        assert (result.name, result.ok) == (f"tcp [::1]:{talker.port}", True)
    except OSError:  # A machine without IPv6: then the check says so.
        (result,) = checks().check(Health(tcp=("[::1]:9",)))
        page = "http://[::1]:9/"
        assert not result.ok
    assert not http(page).ok


def test_a_server_too_busy_to_accept_is_not_waited_for_longer_than_allowed() -> None:
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        for line in (first, second):  # The queue is full: the next SYN gets no answer.
            line.setblocking(False)
            line.connect_ex(("127.0.0.1", port))
        start = monotonic()
        (result,) = checks(SOON).check(Health(tcp=(f"127.0.0.1:{port}",)))
    assert (result.ok, result.detail) == (False, "no answer in time")
    assert 0.9 < monotonic() - start < 10


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b"])
def test_a_name_that_leads_nowhere_is_not_well(host: str) -> None:
    tcp, page = checks().check(Health(tcp=(f"{host}:80",), http=(f"http://{host}/",)))
    assert (tcp.ok, page.ok) == (False, False)
    assert tcp.detail
    assert tcp.detail == page.detail


# --- URLs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "ok"),
    [
        (200, True),
        (204, True),
        (302, True),
        (399, True),
        (400, False),
        (404, False),
        (500, False),
        (503, False),
    ],
)
def test_the_status_decides(status: int, ok: bool) -> None:  # noqa: FBT001 - a column of the table
    answer = f"HTTP/1.1 {status} Words\r\nLocation: ftp://elsewhere/\r\nContent-Length: 0\r\n\r\n".encode()
    assert asked(saying(answer)) == (ok, f"status {status}")


def test_a_redirect_is_not_followed() -> None:
    with talking(saying(OK)) as other:
        target = f"Location: http://127.0.0.1:{other.port}/\r\n".encode()
        assert asked(saying(b"HTTP/1.1 301 Moved\r\n" + target + b"\r\n")) == (True, "status 301")
    assert other.heard == []


@pytest.mark.root
def test_what_is_asked_is_the_url_and_no_more() -> None:
    with talking(saying(OK)) as talker:
        port = talker.port
        assert http(f'http://127.0.0.1:{port}?a=b%20c&d=é/"#fragment').ok
        assert http(f"http://localhost:{port}/x/ü;y#z").ok
    first, second = (request.decode().split("\r\n") for request in talker.heard)
    assert first[0] == "GET /?a=b%20c&d=%C3%A9/%22 HTTP/1.1"
    assert second[0] == "GET /x/%C3%BC;y HTTP/1.1"
    assert set(first[1:]) == {
        *(f"Host: 127.0.0.1:{port}", "Accept-Encoding: identity", "User-Agent: patchledger"),
        *("Connection: close", ""),
    }


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with talking(saying(OK)) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert asked(saying(OK)) == (True, "status 200")
    assert proxy.heard == []


@pytest.mark.parametrize(
    "talk",
    [
        silent,
        endless(b"", b"x", every=0.05),
        endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", every=0.05),
        endless(b"HTTP/1.1 100 Continue\r\n\r\n", b"x", every=0.05),
    ],
    ids=["says nothing", "drips its first line", "drips headers", "drips after a 100"],
)
def test_no_server_holds_us_longer_than_allowed(talk: Talk) -> None:
    start = monotonic()
    assert asked(talk, SOON) == (False, "no answer in time")
    assert 0.9 < monotonic() - start < 10


@pytest.mark.parametrize(
    "talk",
    [
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"x", every=0.05),
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
        saying(b"HTTP/1.0 200\r\n\r\n"),
        saying(b"HTTP/1.1 100 Continue\r\n\r\n", OK),
    ],
    ids=["floods", "drips", "stops short", "says little", "says 100 first"],
)
def test_the_body_is_nobodys_business(talk: Talk) -> None:
    assert asked(talk) == (True, "status 200")


@pytest.mark.parametrize(
    ("talk", "detail"),
    [
        (saying(), "Remote end closed connection without response"),
        (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), "no answer in HTTP (BadStatusLine)"),
        (saying(b"HTTP/1.1 abc\r\n\r\n"), "no answer in HTTP (BadStatusLine)"),
        (endless(b"", b"x" * 65536), "no answer in HTTP (LineTooLong)"),
        (endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), "no answer in HTTP (HTTPException)"),
    ],
    ids=["nothing", "another protocol", "no status", "an endless line", "endless headers"],
)
def test_what_is_no_http_is_not_well(talk: Talk, detail: str) -> None:
    assert asked(talk) == (False, detail)


@pytest.mark.root
def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    with talking(saying(OK), context=context) as talker:
        url = f"https://localhost:{talker.port}/healthz"
        unknown = http(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        known = http(url)
        other = http(f"https://127.0.0.1:{talker.port}/healthz")
    assert (unknown.ok, unknown.detail) == (
        False,
        "certificate refused: unable to get local issuer certificate",
    )
    assert (known.ok, known.detail) == (True, "status 200")
    assert not other.ok
    assert other.detail.startswith("certificate refused: IP address mismatch")


def test_a_handshake_that_never_comes_is_not_waited_for() -> None:
    with talking(silent) as talker:
        result = http(f"https://127.0.0.1:{talker.port}/", SOON)
    assert (result.ok, result.detail) == (False, "no answer in time")


# --- Units ----------------------------------------------------------------------------------------------


@pytest.fixture
def with_systemctl(tmp_path: Path) -> Callable[[str], Checks]:
    """Return a function that makes checks which ask a ``systemctl`` of the given shell text."""
    programs = Programs(tmp_path / "bin")

    def make(text: str) -> Checks:
        programs.put("systemctl", text)
        return Checks(programs.environment, systemd=tmp_path)

    return make


def test_units_are_well_while_systemd_calls_them_active(with_systemctl: Callable[[str], Checks]) -> None:
    health = Health(units=("nginx", "db.socket", "a.b", "slow.service", "gone", "app@1"))
    results = with_systemctl(
        '[ "$2 $3 $5 $7 $8" = "-- nginx.service a.b.service gone.service app@1.service" ] || exit 9'
        "\nprintf '%s\\n' active failed reloading activating inactive active; exit 3"
    ).check(health)
    assert [(result.name, result.ok, result.detail) for result in results] == [
        ("unit nginx.service", True, "active"),
        ("unit db.socket", False, "failed"),
        ("unit a.b.service", True, "reloading"),
        ("unit slow.service", False, "activating"),
        ("unit gone.service", False, "inactive"),
        ("unit app@1.service", True, "active"),
    ]


def test_failed_units_are_failing_checks(with_systemctl: Callable[[str], Checks]) -> None:
    script = (
        '[ "$*" = "list-units --failed --plain --no-legend --full --no-pager" ] || exit 9\n'
        "echo 'nginx.service  loaded failed failed A high performance web server'\n"
        "echo 'bad.mount      loaded failed failed bad.mount'"
    )
    assert with_systemctl(script).failed_units() == (
        CheckResult("unit bad.mount", ok=False, detail="failed"),
        CheckResult("unit nginx.service", ok=False, detail="failed"),
    )
    assert with_systemctl("exit 0").failed_units() == ()


def test_a_systemd_that_does_not_answer_is_not_well(with_systemctl: Callable[[str], Checks]) -> None:
    deaf = with_systemctl("echo 'Failed to connect to bus: Connection refused' >&2; exit 1")
    (failed,) = deaf.failed_units()
    (unit,) = deaf.check(Health(units=("nginx",)))
    assert (failed.name, failed.ok) == ("failed units", False)
    assert failed.detail == "systemctl list-units failed: Failed to connect to bus: Connection refused"
    assert (unit.name, unit.ok) == ("unit nginx.service", False)
    assert unit.detail == "systemctl is-active failed: Failed to connect to bus: Connection refused"


def test_without_systemctl_units_are_not_well(tmp_path: Path) -> None:
    missing = Checks({"PATH": str(tmp_path)}, systemd=tmp_path)
    assert [check.detail for check in missing.check(Health(units=("nginx",)))] == [
        "cannot start systemctl: No such file or directory"
    ]


def test_where_systemd_does_not_run_nothing_has_failed_and_no_unit_is_active() -> None:
    assert checks().failed_units() == ()
    assert checks().check(Health(units=("nginx",))) == (
        CheckResult("unit nginx.service", ok=False, detail="systemd does not run here"),
    )


def test_checks_come_in_the_order_of_the_policy() -> None:
    port = free_port()
    health = Health(http=(f"http://127.0.0.1:{port}/",), tcp=(f"127.0.0.1:{port}",), units=("a",))
    assert [check.name.split()[0] for check in checks().check(health)] == ["unit", "tcp", "http"]
    assert checks().check(Health()) == ()


# --- Settling -------------------------------------------------------------------------------------------


class Stopwatch:
    """A clock that moves only when somebody waits, or when an answer takes its time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def elapsed(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def settled(
    answers: Callable[[int], bool], within: float, *, took: float = 0.0, before: bool | None = None
) -> tuple[bool, int, list[float]]:
    """Ask one check; return its last state, how often it was asked, and the waits."""
    watch, asked_times = Stopwatch(), 0

    def ask() -> list[CheckResult]:
        nonlocal asked_times
        asked_times += 1
        watch.now += took
        return [CheckResult("shop", ok=answers(asked_times))]

    known = [] if before is None else [CheckResult("shop", ok=before)]
    (last,) = settle(ask, known, timedelta(seconds=within), wait=watch.wait, elapsed=watch.elapsed)
    return last.ok, asked_times, watch.waits


def test_what_is_well_at_once_waits_for_nothing() -> None:
    assert settled(lambda _: True, 30) == (True, 1, [])


def test_it_is_asked_until_it_is_well() -> None:
    assert settled(lambda number: number == 3, 30) == (True, 3, [EVERY.total_seconds()] * 2)


def test_when_the_time_is_over_the_last_answer_stands() -> None:
    assert settled(lambda _: False, 5) == (False, 4, [2.0, 2.0, 1.0])


def test_the_last_question_is_asked_when_the_time_is_over() -> None:
    assert settled(lambda number: number == 4, 5) == (True, 4, [2.0, 2.0, 1.0])


def test_without_time_it_is_asked_once() -> None:
    assert settled(lambda _: False, 0) == (False, 1, [])


def test_slow_answers_use_up_the_time() -> None:
    assert settled(lambda _: False, 10, took=6) == (False, 2, [2.0])
    assert settled(lambda _: False, 10, took=20) == (False, 1, [])


def test_what_failed_before_is_not_waited_for() -> None:
    assert settled(lambda _: False, 30, before=False) == (False, 1, [])
    assert settled(lambda _: False, 2, before=True) == (False, 2, [2.0])
