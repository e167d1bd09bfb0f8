"""Addresses come from private places only, and no error tells anything of them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import Misuse
from reconciler.notify import Address, CredentialSource, FileSource, Notifiers, redact, secrets_of

URL = "mailtos://bot:p%40ss%2Fw0rd@mail.example.org/?to=ops@example.org"
KeepSecret = Callable[[str, str], Path]


def _from_file(path: Path) -> Notifiers:
    return Notifiers({"ops": FileSource(path)})


def _refusal(notifiers: Notifiers, name: str = "ops") -> str:
    with pytest.raises(Misuse) as caught:
        notifiers.address(name)
    text = f"{caught.value.message} {caught.value.hint}"
    assert redact(text, secrets_of(Address(URL))) == text
    return text


def test_reads_a_private_file(keep_secret: KeepSecret) -> None:
    assert _from_file(keep_secret("ops", URL)).address("ops").reveal() == URL


def test_reads_a_credential_of_the_service_manager(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text(URL)
    # The mode that files have when the service manager adds an ACL for the unit's user.
    (tmp_path / "mail").chmod(0o440)
    assert Notifiers({"ops": CredentialSource("mail")}, tmp_path).address("ops").reveal() == URL


def test_a_credential_without_a_service_manager_is_misuse() -> None:
    assert "passed none" in _refusal(Notifiers({"ops": CredentialSource("mail")}))


@pytest.mark.parametrize("name", ["../mail", "a/b", "", ".", "..", "-x"])
def test_a_credential_name_cannot_leave_its_folder(name: str, tmp_path: Path) -> None:
    (tmp_path.parent / "mail").write_text(URL)
    assert "is no name of a credential" in _refusal(Notifiers({"ops": CredentialSource(name)}, tmp_path))


def test_an_unknown_notifier_is_misuse(keep_secret: KeepSecret) -> None:
    assert "no notifier is called 'oops'" in _refusal(_from_file(keep_secret("ops", URL)), "oops")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_file_that_others_may_open_is_refused(mode: int, keep_secret: KeepSecret) -> None:
    path = keep_secret("ops", URL)
    path.chmod(mode)
    assert "can be read by others" in _refusal(_from_file(path))


def test_a_symbolic_link_is_refused(keep_secret: KeepSecret) -> None:
    link = keep_secret("ops", URL).with_name("link")
    link.symlink_to("ops")
    assert "cannot read" in _refusal(_from_file(link))


def test_a_pipe_is_refused_at_once(keep_secret: KeepSecret) -> None:
    pipe = keep_secret("ops", URL).with_name("pipe")
    os.mkfifo(pipe, 0o600)
    assert "no regular file" in _refusal(_from_file(pipe))


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_where_others_can_write_is_refused(mode: int, keep_secret: KeepSecret) -> None:
    path = keep_secret("ops", URL)
    path.parent.chmod(mode)
    assert "others can change" in _refusal(_from_file(path))


def test_a_writable_folder_further_up_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open" / "private"
    folder.mkdir(parents=True, mode=0o700)
    path = folder / "ops"
    path.touch(0o600)
    path.write_text(URL)
    (tmp_path / "open").chmod(0o777)
    assert "others can change" in _refusal(_from_file(path))


def test_a_relative_path_is_refused() -> None:
    assert "is relative" in _refusal(_from_file(Path("ops")))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "No such file" in _refusal(_from_file(tmp_path / "ops"))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "ops@example.org",
        f"{URL}\n{URL}",
        f"{URL} {URL}",
        f"{URL}\x1b[2J",
        "mailto://" + "p" * 5000,
        "://x",
    ],
)
def test_what_is_not_one_url_is_refused_without_being_shown(content: str, keep_secret: KeepSecret) -> None:
    assert _refusal(_from_file(keep_secret("ops", content))).endswith("special characters as %XX")


def test_check_tells_every_problem_at_once(keep_secret: KeepSecret) -> None:
    sources: dict[str, CredentialSource | FileSource] = {
        "good": FileSource(keep_secret("good", URL)),
        "a": FileSource(keep_secret("a", "nothing")),
        "b": CredentialSource("b"),
    }
    assert [problem.message.split(":")[0] for problem in Notifiers(sources).check()] == [
        "notifier a",
        "notifier b",
    ]


def test_an_address_does_not_show_itself() -> None:
    address = Address(URL)
    assert f"{address} {address!r}" == "Address(mailtos://[redacted]) Address(mailtos://[redacted])"


@pytest.mark.parametrize(
    "text",
    [
        f"Unparseable URL {URL}",
        "login bot p@ss/w0rd failed",
        "GET /p%40ss%2Fw0rd HTTP/1.1",
        "mail.example.org said no to ops@example.org",
    ],
)
def test_redact_removes_every_form_of_every_part(text: str) -> None:
    clean = redact(text, secrets_of(Address(URL)))
    assert "[redacted]" in clean
    assert not [part for part in ("p@ss", "p%40ss", "mail.example.org") if part in clean]


def test_redact_knows_tokens_in_the_path_and_short_passwords() -> None:
    slack = redact(
        "no_team TIiajkdnlazkcOXrIdevi7FQ",
        secrets_of(Address("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")),
    )
    short = redact("password=xy!", secrets_of(Address("json://u:xy@host")))
    assert (slack, short) == ("no_team [redacted]", "password=[redacted]!")


@pytest.mark.parametrize("address", ["syslog://", "dbus://", "json://localhost"])
def test_an_address_may_be_nothing_but_its_scheme(address: str, keep_secret: KeepSecret) -> None:
    assert _from_file(keep_secret("ops", address)).address("ops").reveal() == address
