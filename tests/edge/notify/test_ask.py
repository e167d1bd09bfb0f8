"""Whether a notifier answers is found out without sending anything."""

import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from reconciler.notify import ANSWERS, CANNOT_BE_ASKED, Address, ask
from tests.edge.notify.conftest import PASSWORD, USER, Mailbox
from tests.labs.webhook import Receiver


@pytest.fixture
def trusting(authority_file: Path) -> Mapping[str, str]:
    return {"SSL_CERT_FILE": str(authority_file)}


def mail(mailbox: Mailbox, mode: str, password: str = PASSWORD) -> Address:
    return Address(
        f"mailtos://{USER}:{quote(password, safe='')}@localhost:{mailbox.port}/"
        f"?smtp=localhost&mode={mode}&from=bot@example.org&to=ops@example.org"
    )


def test_mail_is_logged_in_to_and_nothing_is_sent(
    starttls: Mailbox, implicit_tls: Mailbox, trusting: Mapping[str, str]
) -> None:
    assert ask(mail(starttls, "starttls"), trusting) == ANSWERS
    assert ask(mail(implicit_tls, "ssl"), trusting) == ANSWERS
    assert starttls.users == implicit_tls.users == [USER.encode()]
    assert starttls.mails == implicit_tls.mails == []


@pytest.mark.parametrize("password", ["päß wörd", "%41@:/"])
def test_a_login_may_have_any_character(
    starttls: Mailbox, trusting: Mapping[str, str], password: str
) -> None:
    starttls.password = password
    assert ask(mail(starttls, "starttls", password), trusting) == ANSWERS
    assert ask(mail(starttls, "starttls", password + "x"), trusting) == "the service refused user or password"


def test_a_password_without_encryption_is_told_and_not_sent(cleartext: Mailbox) -> None:
    address = mail(cleartext, "none").reveal().replace("mailtos", "mailto").replace("&mode=none", "")
    assert "would send its password unencrypted" in ask(Address(address), {})
    assert cleartext.users == []


def test_a_wrong_password_is_told_and_not_shown(starttls: Mailbox, trusting: Mapping[str, str]) -> None:
    assert (
        ask(mail(starttls, "starttls", "not-the-password"), trusting)
        == "the service refused user or password"
    )


def test_a_certificate_of_an_unknown_authority_is_told(starttls: Mailbox, secure_receiver: Receiver) -> None:
    said = "the certificate of the service is not trusted; SSL_CERT_FILE can name its authority"
    assert ask(mail(starttls, "starttls"), {}) == said
    assert ask(Address(f"jsons://localhost:{secure_receiver.port}/"), {}) == said


def test_a_webhook_is_connected_to(
    receiver: Receiver, secure_receiver: Receiver, trusting: Mapping[str, str]
) -> None:
    assert ask(Address(f"json://localhost:{receiver.port}/"), {}) == ANSWERS
    assert ask(Address(f"jsons://localhost:{secure_receiver.port}/"), trusting) == ANSWERS
    assert receiver.bodies == secure_receiver.bodies == []


def test_a_service_that_is_down_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and listens to nobody
        port = taken.getsockname()[1]
        assert ask(Address(f"json://127.0.0.1:{port}/"), {}) == "the service cannot be reached"


def test_what_only_a_message_would_tell_is_said() -> None:
    assert ask(Address("mqtt://localhost/topic"), {}) in {
        CANNOT_BE_ASKED,
        "apprise does not understand the address of this notifier",
    }
    assert (
        ask(Address("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general"), {}) == CANNOT_BE_ASKED
    )


def test_an_address_that_is_none_is_told() -> None:
    assert ask(Address("nonsense://x"), {}) == "apprise does not understand the address of this notifier"
