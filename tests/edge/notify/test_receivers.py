"""Each receiver of an address for itself: what one of them answers is no matter of the others."""

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.notify import (
    AppriseSender,
    Delivery,
    Down,
    FileSource,
    Later,
    Notifiers,
    Outbox,
    Pending,
    Refused,
    Route,
    Sent,
)
from reconciler.planning.notices.events import Event, Notice
from reconciler.planning.notices.message import Message
from tests.edge.notify.test_outbox import Service
from tests.labs.mail import GREYLISTED, OK, UNKNOWN, Post
from tests.labs.webhook import Receiver

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
TICK = timedelta(minutes=15)
ALL = Route("ops", frozenset(Event))
KeepSecret = Callable[[str, str], Path]
OPS, GONE, SRE = "ops@example.org", "gone@example.org", "sre@example.org"


def _notice(key: str, event: Event = Event.FAILED) -> Notice:
    message = Message(f"title {key}", f"text {key}", f"**{key}**", f"<body><p>{key}</p></body>")
    return Notice(event, f"web-01/{event}/{key}", "one", NOW, message)


class Host:
    """An outbox, and one notifier by its address."""

    def __init__(self, folder: Path, keep_secret: KeepSecret) -> None:
        self.box = Outbox(folder)
        self.keep_secret = keep_secret
        self.url = ""

    def tell(self, *keys: str) -> None:
        for key in keys:
            self.box.enqueue(_notice(key), ALL)

    def deliver(self, now: datetime = NOW) -> tuple[Delivery, ...]:
        sources = {"ops": FileSource(self.keep_secret("ops", self.url))}
        return self.box.deliver(AppriseSender(Notifiers(sources), timeout=60), now)


@pytest.fixture
def host(tmp_path: Path, keep_secret: KeepSecret) -> Host:
    return Host(tmp_path / "outbox", keep_secret)


# --- One receiver is no matter of the others ----------------------------------------------------------------


def test_one_refused_receiver_costs_the_others_nothing_and_is_given_up(host: Host, post: Post) -> None:
    post.rcpt[GONE] = UNKNOWN
    host.url = post.url(OPS, GONE, SRE)
    host.tell("a")
    done = [each for minutes in range(0, 180, 15) for each in host.deliver(NOW + timedelta(minutes=minutes))]
    assert post.subjects() == {OPS: ["title a"], SRE: ["title a"]}
    assert post.asked == {OPS: 1, GONE: 3, SRE: 1}
    assert host.box.pending() == ()
    refused = [each for each in done if isinstance(each.verdict, Refused)]
    assert [(each.place, each.is_over) for each in refused] == [
        ("receiver 2 of 3", False),
        ("receiver 2 of 3", False),
        ("receiver 2 of 3", True),
    ]
    (said,) = host.box.complaints(NOW)
    assert said == (
        "a message to ops (receiver 2 of 3) given up since 2026-11-22: the server refused this receiver"
    )


def test_a_later_message_is_tried_once_there_and_one_that_is_taken_ends_it(host: Host, post: Post) -> None:
    post.rcpt[GONE] = UNKNOWN
    host.url = post.url(OPS, GONE)
    host.tell("a")
    for hours in range(3):
        host.deliver(NOW + timedelta(hours=hours))
    host.tell("b")
    host.deliver(NOW + timedelta(hours=4))
    assert (host.box.pending(), post.asked[GONE]) == ((), 4)
    assert "2 messages to ops" in host.box.complaints(NOW)[0]
    del post.rcpt[GONE]
    host.tell("c")
    host.deliver(NOW + timedelta(hours=5))
    assert post.subjects() == {OPS: ["title a", "title b", "title c"], GONE: ["title c"]}
    assert host.box.complaints(NOW) == ()


def test_who_gets_a_copy_is_a_receiver_as_well(host: Host, post: Post) -> None:
    post.rcpt["boss@example.org"] = UNKNOWN
    host.url = post.url(OPS, more=f"&cc={SRE},boss@example.org&bcc=log@example.org")
    host.tell("a")
    for hours in range(4):
        host.deliver(NOW + timedelta(hours=hours))
    assert post.subjects() == {OPS: ["title a"], SRE: ["title a"], "log@example.org": ["title a"]}
    assert "boss@example.org" in post.mails[OPS][0]["Cc"]
    assert "log@example.org" not in post.mails[OPS][0].as_string()


def test_a_receiver_that_left_the_address_hears_nothing_more(host: Host, post: Post) -> None:
    post.rcpt[GONE] = UNKNOWN
    host.url = post.url(OPS, GONE)
    host.tell("a")
    host.deliver()
    host.url = post.url(OPS)
    assert [each.is_over for each in host.deliver(NOW + TICK)] == [True]
    assert (host.box.pending(), post.asked[GONE], host.box.complaints(NOW)) == ((), 1, ())


def test_greylisting_holds_back_one_receiver_and_keeps_its_order(host: Host, post: Post) -> None:
    post.rcpt[OPS] = GREYLISTED
    host.url = post.url(OPS, SRE)
    host.tell("a", "b")
    said = {each.place: each.verdict for each in host.deliver()}
    assert said["receiver 1 of 2"] == Later(
        "the server takes nothing for this receiver now; it is asked again"
    )
    assert post.subjects() == {SRE: ["title a", "title b"]}
    assert post.asked[OPS] == 1  # what comes after it waits as well
    del post.rcpt[OPS]
    host.deliver(NOW + TICK)
    assert post.subjects()[OPS] == ["title a", "title b"]


def test_a_message_that_is_too_large_for_now_holds_up_no_other(host: Host, post: Post) -> None:
    answers = iter(["452 4.3.1 insufficient storage", OK])
    post.data = lambda: next(answers, OK)
    host.url = post.url(OPS)
    host.tell("a", "b")
    first, second = (each.verdict for each in host.deliver())
    assert first == Later("the server did not take this message now; it is asked again", holds=False)
    assert second == Sent()
    host.deliver(NOW + TICK)
    assert post.subjects() == {OPS: ["title b", "title a"]}


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (400, Refused("the service refused this message")),
        (404, Refused("the service refused this message")),
        (413, Refused("the service refused this message")),
        (301, Down("the service is somewhere else, which the address has to name")),
        (401, Down("the service refused user or password")),
        (408, Later("the server did not take this message now; it is asked again", holds=False)),
        (425, Later("the server did not take this message now; it is asked again", holds=False)),
        (429, Down("the service is busy or takes no more for now; it is asked again")),
        (503, Down("the service answered with an error of its own")),
    ],
)
def test_what_a_web_service_says(
    host: Host, receiver: Receiver, status: int, verdict: Refused | Later | Down
) -> None:
    receiver.status = status
    host.url = f"json://127.0.0.1:{receiver.port}/"
    host.tell("a")
    assert [each.verdict for each in host.deliver()] == [verdict]


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("550 5.7.1 spam", Refused("the service refused this message")),
        ("552 5.3.4 too big", Refused("the service refused this message")),
        ("554 5.6.0 no", Refused("the service refused this message")),
        ("451 4.3.0 try again", Later("the server did not take this message now; it is asked again", False)),
        ("421 4.3.2 going down", Down("the service is busy or takes no more for now; it is asked again")),
        ("", Down("the service cannot be reached")),
    ],
)
def test_what_a_mail_server_says_to_a_mail(
    host: Host, post: Post, said: str, verdict: Refused | Later | Down
) -> None:
    post.data = lambda: said
    host.url = post.url(OPS)
    host.tell("a")
    assert [each.verdict for each in host.deliver()] == [verdict]


def test_a_web_service_with_several_rooms_is_asked_for_each(host: Host, receiver: Receiver) -> None:
    host.url = f"mmost://127.0.0.1:{receiver.port}/abcdefghijklmnopqrstuvwxyz/?channels=town,ops"
    host.tell("a")
    assert [each.place for each in host.deliver()] == ["receiver 1 of 2", "receiver 2 of 2"]
    assert sorted(body["channel"] for body in receiver.bodies) == ["ops", "town"]


def test_two_hundred_receivers(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox")
    named = tuple(f"{number:016x}" for number in range(200))
    service = Service(named=named, to=dict.fromkeys(named[::3], Refused("no")))
    box.enqueue(_notice("a"), ALL)
    for hours in range(4):
        box.deliver(service, NOW + timedelta(hours=hours))
    assert len(service.got) == 133
    assert len(service.tried) == 133 + 3 * 67
    assert box.pending() == ()
    assert len(box.refused()) == 50  # as many as anybody reads


def test_one_that_hangs_is_asked_last_the_next_time(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox")
    service = Service(named=("a" * 16, "b" * 16), to={"a" * 16: Down("no answer in time")})
    for key in "12":
        box.enqueue(_notice(key), ALL)
    for hours in range(3):
        box.deliver(service, NOW + timedelta(hours=12 * hours))
    assert service.boxes == {"b": ["web-01/failed/1", "web-01/failed/2"]}
    service.to = {}
    box.deliver(service, NOW + timedelta(days=3))
    assert service.boxes["a"] == service.boxes["b"]


# --- What became of one is known before the next ------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("named", [("a" * 16,), ("a" * 16, "b" * 16)])
def test_a_kill_repeats_what_was_on_its_way_and_nothing_else(tmp_path: Path, named: tuple[str, ...]) -> None:
    folder = tmp_path / "outbox"
    for number in range(5):
        Outbox(folder).enqueue(_notice(str(number)), ALL)

    class Mortal(Service):
        def send(self, entry: Pending) -> Sent | Refused | Later | Down | None:
            verdict = super().send(entry)
            if len(self.got) == 4:
                raise Killed
            assert verdict == Sent()
            return Sent()

    first, second = Mortal(named=named), Service(named=named)
    with pytest.raises(Killed):
        Outbox(folder).deliver(first, NOW)
    Outbox(folder).deliver(second, NOW)
    assert len(first.got) + len(second.got) == 5 * len(named) + 1
    for box in {each[:1] for each in named} if len(named) > 1 else {""}:
        got = first.boxes.get(box, []) + second.boxes.get(box, [])
        assert list(dict.fromkeys(got)) == [f"web-01/failed/{number}" for number in range(5)]


def test_what_a_crash_left_although_it_was_delivered_is_not_sent_again(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox")
    box.enqueue(_notice("a"), ALL)
    (file,) = (tmp_path / "outbox").glob("*.json")
    content = file.read_bytes()
    box.deliver(Service(), NOW)
    file.write_bytes(content)
    again = Service()
    box.deliver(again, NOW)
    assert (again.got, box.pending()) == ([], ())


def test_an_outbox_of_an_earlier_version_is_delivered(tmp_path: Path) -> None:
    box = Outbox(tmp_path / "outbox")
    box.enqueue(_notice("a"), ALL)
    (file,) = (tmp_path / "outbox").glob("*.json")
    known = file.name[13:45]
    older = file.read_text().replace('"receiver": "", ', "").replace('"refusals": 0, ', "")
    assert "receiver" not in older
    file.write_text(older)
    (tmp_path / "outbox" / "told").unlink()
    (tmp_path / "outbox" / "delivered").write_text('{"delivered": [], "lost": 3}')
    service = Service(named=("a" * 16, "b" * 16))
    box.deliver(service, NOW)
    assert service.boxes == {"a": ["web-01/failed/a"], "b": ["web-01/failed/a"]}
    assert "3 earlier messages were dropped" in service.bodies[0]
    (tmp_path / "outbox" / "told").unlink()
    (tmp_path / "outbox" / "delivered").write_text(f'{{"delivered": ["{known}"], "lost": 0}}')
    assert not box.enqueue(_notice("a"), ALL)


# --- A full disk --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _full(folder: Path) -> Iterator[None]:
    filler = folder / "filler"
    with filler.open("wb") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), b"x" * 4096)
    yield
    filler.unlink()


@pytest.mark.parametrize("named", [("a" * 16,), ("a" * 16, "b" * 16)])
def test_on_a_full_disk_nothing_is_sent_twice(small_disk: Path, named: tuple[str, ...]) -> None:
    box = Outbox(small_disk / "outbox")
    for number in range(8):
        box.enqueue(_notice(str(number)), ALL)
    service = Service(named=named)
    with _full(small_disk):
        with pytest.raises(Stalled, match="cannot keep notifications"):
            box.enqueue(_notice("more"), ALL)
        for hours in range(3):
            with contextlib.suppress(Stalled):
                box.deliver(service, NOW + timedelta(hours=hours))
    box.deliver(service, NOW + timedelta(hours=4))
    assert sorted(service.got) == sorted([f"web-01/failed/{number}" for number in range(8)] * len(named))
    assert box.pending() == ()
