"""apprise in its child process, against real servers: what arrives, what failures say and hide."""

import email
import email.policy
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote

import pytest

from reconciler.notify import (
    Address,
    AppriseSender,
    Down,
    FileSource,
    Notifiers,
    Outbox,
    Refused,
    Route,
    Sent,
    Verdict,
    redact,
    secrets_of,
)
from reconciler.planning.notices.events import Event, Notice
from reconciler.planning.notices.message import Contents, PackageLine, compose
from tests.edge.notify.conftest import PASSWORD, USER, Mailbox
from tests.labs.services import Services
from tests.labs.webhook import Receiver

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
KeepSecret = Callable[[str, str], Path]
MESSAGE = compose(
    "web-01",
    "failed: grub-pc could not be configured",
    Contents(
        lines=(),
        facts=(("Host", "web-01"), ("Outcome", "failed")),
        packages_title="Packages",
        packages=(PackageLine("grub-pc", "amd64", "2.06-13", "2.06-13+deb12u1", security=True),),
        log_excerpt="dpkg: error <b>processing</b> package\n.\nFrom here on",
    ),
)


def _notice(key: str = "web-01/failed/1", event: Event = Event.FAILED) -> Notice:
    return Notice(event, key, "one", NOW, MESSAGE)


def _mail_url(port: int, mode: str, password: str = PASSWORD) -> str:
    return (
        f"mailtos://{USER}:{quote(password, safe='')}@localhost:{port}/"
        f"?smtp=localhost&mode={mode}&from=bot@example.org&to=ops@example.org"
    )


class Host:
    """An outbox and its notifiers; remembers every text that came out, so that secrets can be looked for."""

    def __init__(self, folder: Path, keep_secret: KeepSecret) -> None:
        self.folder = folder
        self.keep_secret = keep_secret
        self.outbox = Outbox(folder)
        self.urls: dict[str, str] = {}
        self.said: list[str] = []

    def try_(
        self, url: str, environment: dict[str, str] | None = None, now: datetime = NOW
    ) -> tuple[Verdict, ...]:
        self.urls["ops"] = url
        self.outbox.enqueue(_notice(), Route("ops", frozenset(Event)))
        return self.deliver(environment, now)

    def deliver(self, environment: dict[str, str] | None = None, now: datetime = NOW) -> tuple[Verdict, ...]:
        sources = {name: FileSource(self.keep_secret(name, url)) for name, url in self.urls.items()}
        sender = AppriseSender(Notifiers(sources), environment=environment, timeout=30)
        results = self.outbox.deliver(sender, now)
        self.said.append(f"{results!r} {sender.__dict__!r}")
        self.said += [path.read_text() for path in self.folder.iterdir()]
        return tuple(each.verdict for each in results)


@pytest.fixture
def host(tmp_path: Path, keep_secret: KeepSecret, capfd: pytest.CaptureFixture[str]) -> Iterator[Host]:
    """A host; after the test, nothing that came out of it may hold any part of an address."""
    made = Host(tmp_path / "outbox", keep_secret)
    yield made
    captured = capfd.readouterr()
    everything = "\n".join([*made.said, captured.out, captured.err])
    assert made.said, "nothing was looked at"
    harmless = {
        "ops@example.org",
        "example.org",
        "localhost",
        "starttls",
        "insecure",
        "mode",
        "smtp",
        "from",
        "json",
        "html",
    }
    for url in made.urls.values():
        secrets = secrets_of(Address(url)) - harmless
        assert redact(everything, secrets) == everything


@pytest.fixture
def trusting(authority_file: Path) -> dict[str, str]:
    return {"SSL_CERT_FILE": str(authority_file)}


def _parsed(mailbox: Mailbox) -> EmailMessage:
    (envelope,) = mailbox.mails
    content = envelope.content
    assert isinstance(content, bytes)
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def _assert_arrived(mailbox: Mailbox) -> None:
    mail = _parsed(mailbox)
    assert (mailbox.secure, mailbox.users) == ([True], [USER.encode()])
    assert mailbox.mails[0].rcpt_tos == ["ops@example.org"]
    assert mail["Subject"] == MESSAGE.title
    page = mail.get_body(("html",))
    assert page is not None
    assert page.get_content().splitlines() == MESSAGE.html.splitlines()
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().splitlines() == [
        MESSAGE.title.removeprefix("[patchledger] "),
        "",
        "Host: web-01",
        "Outcome: failed",
        "",
        "Packages:",
        "- grub-pc:amd64 2.06-13 → 2.06-13+deb12u1 security",
        "",
        "End of the log:",
        "dpkg: error <b>processing</b> package",
        ".",
        "From here on",
    ]


def test_mail_with_starttls_and_login(host: Host, starttls: Mailbox, trusting: dict[str, str]) -> None:
    assert host.try_(_mail_url(starttls.port, "starttls"), trusting) == (Sent(),)
    _assert_arrived(starttls)


def test_mail_with_implicit_tls_and_login(
    host: Host, implicit_tls: Mailbox, trusting: dict[str, str]
) -> None:
    assert host.try_(_mail_url(implicit_tls.port, "ssl"), trusting) == (Sent(),)
    _assert_arrived(implicit_tls)


def test_mail_that_is_to_be_plain_is_plain(host: Host, starttls: Mailbox, trusting: dict[str, str]) -> None:
    assert host.try_(_mail_url(starttls.port, "starttls") + "&format=text", trusting) == (Sent(),)
    mail = _parsed(starttls)
    assert mail.get_content_type() == "text/plain"
    assert mail.get_content().splitlines() == MESSAGE.text.splitlines()


def test_a_subject_is_text_and_no_markup(host: Host, starttls: Mailbox, trusting: dict[str, str]) -> None:
    hostile = compose("web-01", "a <b>&amp; é\r\nBcc: all@example.org", Contents((), (), "Packages", ()))
    notice = Notice(Event.FAILED, "web-01/failed/1", "one", NOW, hostile)
    host.urls["ops"] = _mail_url(starttls.port, "starttls")
    host.outbox.enqueue(notice, Route("ops", frozenset(Event)))
    assert host.deliver(trusting) == (Sent(),)
    mail = _parsed(starttls)
    assert mail["Subject"] == "[patchledger] web-01: a <b>&amp; é Bcc: all@example.org"
    assert (mail["Bcc"], starttls.mails[0].rcpt_tos) == (None, ["ops@example.org"])


@pytest.mark.parametrize("mode", ["ssl", "starttls"])
def test_a_wrong_password_and_an_unknown_authority_are_named_in_both_modes(
    host: Host, starttls: Mailbox, implicit_tls: Mailbox, trusting: dict[str, str], mode: str
) -> None:
    box = {"ssl": implicit_tls, "starttls": starttls}[mode]
    url = _mail_url(box.port, mode, "Wr0ng-secret")
    assert host.try_(url, trusting) == (Down("the service refused user or password"),)
    (verdict,) = host.deliver(now=NOW + timedelta(minutes=1))
    assert isinstance(verdict, Down)
    assert "certificate of the service is not trusted" in verdict.reason
    assert (box.mails, box.users) == ([], [])


def test_a_server_without_tls_gets_nothing_not_even_the_password(host: Host, cleartext: Mailbox) -> None:
    (verdict,) = host.try_(_mail_url(cleartext.port, "starttls"))
    assert isinstance(verdict, Down)
    assert (cleartext.mails, cleartext.users) == ([], [])


def test_a_certificate_for_another_name_is_named(
    host: Host, starttls: Mailbox, trusting: dict[str, str]
) -> None:
    url = _mail_url(starttls.port, "starttls").replace("smtp=localhost", "smtp=127.0.0.2")
    (verdict,) = host.try_(url, trusting)
    assert isinstance(verdict, Down)
    assert starttls.mails == []


def test_a_wrong_password_is_named(host: Host, starttls: Mailbox, trusting: dict[str, str]) -> None:
    url = _mail_url(starttls.port, "starttls", "Wr0ng-secret")
    assert host.try_(url, trusting) == (Down("the service refused user or password"),)
    assert starttls.mails == []


def test_an_unknown_authority_is_named(host: Host, starttls: Mailbox) -> None:
    (verdict,) = host.try_(_mail_url(starttls.port, "starttls"))
    assert isinstance(verdict, Down)
    assert "certificate of the service is not trusted" in verdict.reason
    assert (starttls.mails, starttls.users) == ([], [])


def test_a_refused_port_is_named_and_the_message_goes_out_later(
    host: Host, starttls: Mailbox, trusting: dict[str, str]
) -> None:
    assert host.try_(_mail_url(1, "starttls"), trusting) == (Down("the service cannot be reached"),)
    host.urls["ops"] = _mail_url(starttls.port, "starttls")
    assert host.deliver(trusting, NOW + timedelta(seconds=59)) == ()
    assert host.deliver(trusting, NOW + timedelta(minutes=1)) == (Sent(),)
    _assert_arrived(starttls)


def test_an_address_apprise_does_not_know_is_named_without_being_shown(host: Host) -> None:
    (verdict,) = host.try_("nosuch://T0kenT0kenT0ken@somewhere/s3cret-path")
    assert verdict == Down("apprise does not understand the address of this notifier")


def test_a_missing_notifier_keeps_the_message(host: Host) -> None:
    host.outbox.enqueue(_notice(), Route("nobody", frozenset(Event)))
    (verdict,) = host.deliver()
    assert verdict == Down("no notifier is called 'nobody' on this host")
    assert [each.to for each in host.outbox.pending()] == ["nobody"]


def _hook(port: int) -> str:
    return f"json://hook-user:h00k-secret@127.0.0.1:{port}/t0ken-in-path"


def test_a_hook_that_fails_gets_the_message_after_it_recovers(host: Host, receiver: Receiver) -> None:
    receiver.status = 500
    assert host.try_(_hook(receiver.port)) == (Down("the service answered with an error of its own"),)
    receiver.status = 200
    assert host.deliver(now=NOW + timedelta(minutes=1)) == (Sent(),)
    assert len(receiver.refused) == 1
    (body,) = receiver.bodies
    assert (body["title"], body["type"]) == (MESSAGE.title, "failure")
    assert body["message"].splitlines() == MESSAGE.text.rstrip().splitlines()
    assert receiver.paths == ["/t0ken-in-path"] * 2


def test_an_address_is_in_no_argument_and_no_environment(host: Host, receiver: Receiver) -> None:
    host.try_(_hook(receiver.port), {"SSL_CERT_FILE": "/some/file"})
    assert "send.py" in receiver.processes
    assert "/some/file" in receiver.processes
    host.said.append(receiver.processes)


def test_a_hook_that_wants_markdown_gets_markdown(host: Host, receiver: Receiver) -> None:
    assert host.try_(_hook(receiver.port) + "?format=markdown") == (Sent(),)
    assert "**security**" in receiver.bodies[0]["message"]


def test_a_hook_that_wants_html_gets_html(host: Host, receiver: Receiver) -> None:
    assert host.try_(_hook(receiver.port) + "?format=html") == (Sent(),)
    assert receiver.bodies[0]["message"] == MESSAGE.html.strip()


def test_an_alert_arrives_although_the_service_was_down_at_first_and_the_process_ended(
    host: Host, starttls: Mailbox, trusting: dict[str, str]
) -> None:
    good, dead = _mail_url(starttls.port, "starttls"), _mail_url(1, "starttls")
    assert host.try_(dead, trusting) == (Down("the service cannot be reached"),)
    for minutes in (1, 3):
        host.outbox = Outbox(host.folder)  # as after a restart
        assert host.deliver(trusting, NOW + timedelta(minutes=minutes)) == (
            Down("the service cannot be reached"),
        )
    host.urls["ops"], host.outbox = good, Outbox(host.folder)
    assert host.deliver(trusting, NOW + timedelta(minutes=7)) == (Sent(),)
    _assert_arrived(starttls)
    assert host.deliver(trusting, NOW + timedelta(hours=7)) == ()


def test_a_refused_message_does_not_stop_the_next(host: Host, receiver: Receiver) -> None:
    receiver.status = 400
    host.outbox.enqueue(_notice("web-01/failed/0"), Route("ops", frozenset(Event)))
    assert host.try_(_hook(receiver.port)) == (Refused("the service refused this message"),) * 2
    assert len(receiver.refused) == 2


def test_one_dead_service_does_not_hold_up_another(host: Host, receiver: Receiver) -> None:
    host.urls["pager"] = _hook(1)
    host.outbox.enqueue(_notice("web-01/failed/0"), Route("pager", frozenset(Event)))
    host.outbox.enqueue(_notice("web-01/failed/1"), Route("pager", frozenset(Event)))
    assert host.try_(_hook(receiver.port)) == (Sent(), Down("the service cannot be reached"))
    assert len(receiver.bodies) == 1


def test_one_setting_makes_a_private_authority_known_for_https_too(
    host: Host, secure_receiver: Receiver, trusting: dict[str, str]
) -> None:
    url = f"jsons://127.0.0.1:{secure_receiver.port}/t0ken-in-path"
    assert host.try_(url, trusting) == (Sent(),)
    assert len(secure_receiver.bodies) == 1


def test_whom_the_system_trusts_is_trusted_for_https(
    secure_receiver: Receiver, keep_secret: KeepSecret, tmp_path: Path, authority_file: Path
) -> None:
    url = f"jsons://127.0.0.1:{secure_receiver.port}/t0ken-in-path"
    notifiers = Notifiers({"ops": FileSource(keep_secret("ops", url))})
    said = []
    for number, places in enumerate(
        ([str(tmp_path / "none")], [str(tmp_path / "none"), str(authority_file)])
    ):
        outbox = Outbox(tmp_path / f"outbox{number}")
        outbox.enqueue(_notice(), Route("ops", frozenset(Event)))
        (done,) = outbox.deliver(AppriseSender(notifiers, authorities=places), NOW)
        said.append(done.verdict)
    assert isinstance(said[0], Down)
    assert said[1] == Sent()


def test_a_password_goes_nowhere_unencrypted_unless_the_address_says_so(
    host: Host, cleartext: Mailbox
) -> None:
    url = _mail_url(cleartext.port, "none").replace("mailtos", "mailto").replace("&mode=none", "")
    (verdict,) = host.try_(url)
    assert isinstance(verdict, Down)
    assert "would send its password unencrypted" in verdict.reason
    assert (cleartext.mails, cleartext.users) == ([], [])
    host.urls["ops"] = url + "&mode=insecure"
    assert host.deliver(now=NOW + timedelta(minutes=1)) == (Sent(),)
    assert cleartext.users == [USER.encode()]


@pytest.mark.parametrize("password", [r"""p@:/?#[]!$&'()*+,;="%\ <>^`{|}~""", "päß wörd", "%41%", "\u202e"])
def test_a_password_may_have_any_character(host: Host, cleartext: Mailbox, password: str) -> None:
    cleartext.password = password
    url = _mail_url(cleartext.port, "insecure", password).replace("mailtos", "mailto")
    assert host.try_(url) == (Sent(),)
    assert cleartext.users == [USER.encode()]


@pytest.mark.parametrize("answer", [b"<!DOCTYPE html><h1>Log in to the network</h1>", b"", b"\xff\xfe", b"{"])
def test_a_service_that_answers_something_else_has_taken_nothing(
    host: Host, services: Services, authority_file: Path, answer: bytes
) -> None:
    services.answers = lambda _: (200, answer)
    verdicts = host.try_(
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops", services.environment(str(authority_file))
    )
    assert verdicts == (Down("the service answered something that it does not say when it takes a message"),)


def test_a_service_that_answers_nothing_at_all_cannot_be_reached(host: Host) -> None:
    import socket  # noqa: PLC0415
    import threading  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert host.try_(_hook(listener.getsockname()[1])) == (Down("the service cannot be reached"),)
        thread.join()


def test_a_service_that_does_not_answer_is_left_and_counts_as_an_attempt(
    host: Host, server_context: ssl.SSLContext
) -> None:
    import socket  # noqa: PLC0415

    del server_context
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert host.try_(_hook(port) + "?rto=0.5") == (Down("the service did not answer in time"),)


def test_a_hanging_child_is_ended_and_what_was_sent_counts(
    host: Host, receiver: Receiver, keep_secret: KeepSecret
) -> None:
    import socket  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        host.urls = {"a-works": _hook(receiver.port), "b-hangs": _hook(port) + "?rto=60"}
        sources = {name: FileSource(keep_secret(name, url)) for name, url in host.urls.items()}
        for name in host.urls:
            host.outbox.enqueue(_notice(), Route(name, frozenset(Event)))
        results = host.outbox.deliver(AppriseSender(Notifiers(sources), timeout=10), NOW)
    host.said.append(repr(results))
    assert [each.verdict for each in results] == [Sent(), Down("the service did not answer in time")]
    assert [each.to for each in host.outbox.pending()] == ["b-hangs"]
