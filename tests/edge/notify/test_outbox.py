"""Messages wait in files until a service takes them; nothing is lost, nothing is sent twice."""

import contextlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.notify import Down, Later, Outbox, Pending, Refused, Route, Sent, Verdict
from reconciler.notify.outbox import BATCH, LIMIT, OutboxMessenger
from reconciler.planning.notices.events import Event, Notice
from reconciler.planning.notices.message import Message

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
ALL = Route("ops", frozenset(Event))
MINUTE = timedelta(minutes=1)


def _notice(key: str, event: Event = Event.FAILED, occasion: str = "one") -> Notice:
    message = Message(f"title {key}", f"text {key}", f"**{key}**", f"<body><p>{key}</p></body>")
    return Notice(event, key, occasion, NOW, message)


@dataclass
class Service:
    """A service in memory that answers as it is told.

    Attributes:
        says: To every message.
        refuses: Keys of messages that it refuses for good.
        named: The receivers of its address.
        to: What single receivers say, where that is something else.
    """

    says: Verdict | None = field(default_factory=Sent)
    refuses: frozenset[str] = frozenset()
    named: tuple[str, ...] = ("a" * 16,)
    to: dict[str, Verdict] = field(default_factory=dict)
    got: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    pages: list[str] = field(default_factory=list)
    boxes: dict[str, list[str]] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    calls: int = 0

    def __call__(self) -> contextlib.AbstractContextManager["Service"]:
        self.calls += 1
        return contextlib.nullcontext(self)

    def receivers(self, to: str) -> tuple[str, ...] | Down:
        del to
        return self.named

    def send(self, entry: Pending) -> Verdict | None:
        verdict = Refused("too long") if entry.key in self.refuses else self.says
        verdict = self.to.get(entry.receiver, verdict)
        self.tried.append(f"{entry.key} {entry.receiver[:1]}".strip())
        if isinstance(verdict, Sent):
            self.got.append(entry.key)
            self.bodies.append(entry.text)
            self.pages.append(entry.html)
            self.boxes.setdefault(entry.receiver[:1], []).append(entry.key)
        return verdict


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


def test_a_message_is_delivered_once(outbox: Outbox) -> None:
    service = Service()
    assert outbox.enqueue(_notice("a"), ALL)
    assert [(each.to, each.title, each.verdict) for each in outbox.deliver(service, NOW)] == [
        ("ops", "title a", Sent())
    ]
    assert outbox.deliver(service, NOW + timedelta(days=1)) == ()
    assert (service.got, outbox.pending()) == (["a"], ())


def test_an_empty_outbox_starts_nothing(outbox: Outbox, tmp_path: Path) -> None:
    service = Service()
    assert outbox.deliver(service, NOW) == ()
    assert (service.calls, list(tmp_path.iterdir())) == (0, [])


def test_a_route_gets_only_what_it_asks_for(outbox: Outbox) -> None:
    assert not outbox.enqueue(_notice("a", Event.APPLIED), Route("ops", frozenset({Event.FAILED})))
    assert outbox.pending() == ()


def test_the_same_notice_is_kept_once_and_sent_once(outbox: Outbox) -> None:
    service = Service()
    assert [outbox.enqueue(_notice("a"), ALL) for _ in range(2)] == [True, False]
    outbox.deliver(service, NOW)
    assert not outbox.enqueue(_notice("a"), ALL)


def test_the_same_incident_on_another_occasion_is_told_again(outbox: Outbox) -> None:
    outbox.enqueue(_notice("a"), ALL)
    outbox.deliver(Service(), NOW)
    assert outbox.enqueue(_notice("a", occasion="two"), ALL)


def test_two_routes_each_get_it(outbox: Outbox) -> None:
    assert outbox.enqueue(_notice("a"), ALL)
    assert outbox.enqueue(_notice("a"), Route("oncall", frozenset({Event.FAILED})))
    assert sorted(each.to for each in outbox.deliver(Service(), NOW)) == ["oncall", "ops"]


def test_a_service_that_is_down_is_asked_ever_less_often_and_loses_nothing(outbox: Outbox) -> None:
    for key in ("a", "b", "c"):
        outbox.enqueue(_notice(key), ALL)
    service = Service(Down("refused"))
    asked = [minute for minute in range(24 * 60) if outbox.deliver(service, NOW + minute * MINUTE)]
    assert asked == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 871, 1231]
    service.says = Sent()
    outbox.deliver(service, NOW + timedelta(days=2))
    assert (service.got, outbox.pending()) == (["a", "b", "c"], ())


def test_a_new_message_asks_a_silent_service_at_once_and_the_older_go_first(outbox: Outbox) -> None:
    outbox.enqueue(_notice("failed"), ALL)
    for minute in range(10):
        outbox.deliver(Service(Down("refused")), NOW + minute * MINUTE)
    outbox.enqueue(_notice("recovered"), ALL)
    service = Service()
    outbox.deliver(service, NOW + 11 * MINUTE)
    assert service.got == ["failed", "recovered"]


def test_a_message_that_is_refused_does_not_hold_up_the_others(outbox: Outbox) -> None:
    for key in ("poison", "b"):
        outbox.enqueue(_notice(key), ALL)
    service = Service(refuses=frozenset({"poison"}))
    outbox.deliver(service, NOW)
    (left,) = outbox.pending()
    assert service.got == ["b"]
    assert (left.key, left.attempts, left.reason, left.not_before) == ("poison", 1, "too long", NOW + MINUTE)


def test_a_clock_set_back_does_not_silence_a_route(outbox: Outbox) -> None:
    outbox.enqueue(_notice("a"), ALL)
    outbox.deliver(Service(Down("refused")), NOW)
    service = Service()
    outbox.deliver(service, NOW - timedelta(days=365))
    assert service.got == ["a"]


def test_the_files_survive_a_restart_and_hold_the_whole_message(outbox: Outbox, tmp_path: Path) -> None:
    outbox.enqueue(_notice("a", Event.REBOOT), ALL)
    (entry,) = Outbox(tmp_path / "outbox").pending()
    assert (entry.to, entry.event, entry.at) == ("ops", Event.REBOOT, NOW)
    assert (entry.title, entry.text, entry.markdown) == ("title a", "text a", "**a**")
    assert entry.html == "<body><p>a</p></body>"


def test_a_message_of_an_older_version_is_still_sent(outbox: Outbox, tmp_path: Path) -> None:
    outbox.enqueue(_notice("a"), ALL)
    file = next((tmp_path / "outbox").glob("*.json"))
    older = json.loads(file.read_text())
    del older["html"]
    file.write_text(json.dumps(older))
    service = Service()
    outbox.deliver(service, NOW)
    assert service.got == ["a"]


def test_a_crash_after_sending_repeats_a_message_but_never_loses_one(outbox: Outbox, tmp_path: Path) -> None:
    class Crash(Exception):
        pass

    outbox.enqueue(_notice("a"), ALL)

    class Crashing(Service):
        def send(self, entry: Pending) -> Verdict | None:
            raise Crash(entry.key)

    with pytest.raises(Crash):
        outbox.deliver(Crashing(), NOW)
    service = Service()
    Outbox(tmp_path / "outbox").deliver(service, NOW)
    assert service.got == ["a"]


def test_what_was_not_tried_stays_due(outbox: Outbox) -> None:
    outbox.enqueue(_notice("a"), ALL)
    assert outbox.deliver(Service(says=None), NOW) == ()
    assert [(each.attempts, each.not_before) for each in outbox.pending()] == [(0, NOW)]


def test_a_long_queue_goes_out_in_batches_in_order(outbox: Outbox) -> None:
    keys = [f"{number:03}" for number in range(BATCH + 5)]
    for key in keys:
        outbox.enqueue(_notice(key), ALL)
    service = Service()
    assert len(outbox.deliver(service, NOW)) == BATCH
    outbox.deliver(service, NOW)
    assert service.got == keys


def test_a_full_outbox_drops_what_tells_of_no_trouble_first_and_says_so(outbox: Outbox) -> None:
    outbox.enqueue(_notice("trouble", Event.FAILED), ALL)
    for number in range(LIMIT + 1):
        outbox.enqueue(_notice(f"{number:03}", Event.PLAN_CHANGED), ALL)
    keys = [each.key for each in outbox.pending()]
    assert (len(keys), keys[0], keys[1]) == (LIMIT, "trouble", "002")
    service = Service()
    outbox.deliver(service, NOW)
    assert "2 earlier messages were dropped" in service.bodies[0]
    assert service.pages[0].startswith("<body><p>2 earlier messages were dropped")
    assert not [body for body in service.bodies[1:] if "dropped" in body]


def test_a_damaged_file_is_set_aside_and_the_rest_is_sent(outbox: Outbox, tmp_path: Path) -> None:
    outbox.enqueue(_notice("a"), ALL)
    outbox.enqueue(_notice("b"), ALL)
    first = min((tmp_path / "outbox").glob("*.json"))
    first.write_bytes(first.read_bytes()[:40])
    service = Service()
    outbox.deliver(service, NOW)
    assert service.got == ["b"]
    assert first.with_suffix(".bad").exists()


def test_what_was_set_aside_is_told_and_its_number_is_bounded(outbox: Outbox, tmp_path: Path) -> None:
    for number in range(30):
        outbox.enqueue(_notice(str(number)), ALL)
        newest = max((tmp_path / "outbox").glob("*.json"))
        newest.write_text("{")
        outbox.pending()
    assert len(list((tmp_path / "outbox").glob("*.bad"))) == 20
    assert outbox.complaints(NOW) == (
        "20 messages could not be read and will not be sent: outbox/*.bad of the state folder",
    )


def test_what_was_given_up_is_told_for_a_month(outbox: Outbox) -> None:
    outbox.enqueue(_notice("a"), ALL)
    service = Service(refuses=frozenset({"a"}))
    for hours in range(3):
        outbox.deliver(service, NOW + timedelta(hours=hours))
    assert outbox.complaints(NOW + timedelta(days=29)) == (
        "a message to ops given up since 2026-11-22: too long",
    )
    assert outbox.complaints(NOW + timedelta(days=31)) == ()
    assert outbox.refused() != ()
    outbox.deliver(service, NOW + timedelta(days=31))
    assert outbox.refused() == ()


@pytest.mark.parametrize(
    "content", ["[", "[]", '{"refused": [{}]}', '{"refused": 7}', "\\xff", "[" * 100_000]
)
def test_a_damaged_file_of_what_was_given_up_is_none(outbox: Outbox, tmp_path: Path, content: str) -> None:
    outbox.enqueue(_notice("a"), ALL)
    (tmp_path / "outbox" / "refused").write_text(content)
    assert outbox.complaints(NOW) == ()
    outbox.deliver(Service(refuses=frozenset({"a"})), NOW)


@pytest.mark.parametrize("content", [b"", b"x" * 61_000, b"\xff\n" * 9, b"0000000001 \n"])
def test_a_damaged_memory_of_what_was_told_is_none(outbox: Outbox, tmp_path: Path, content: bytes) -> None:
    outbox.enqueue(_notice("a"), ALL)
    (tmp_path / "outbox" / "told").write_bytes(content)
    assert [each.verdict for each in outbox.deliver(Service(), NOW)] == [Sent()]
    assert not outbox.enqueue(_notice("a"), ALL)


@pytest.mark.parametrize(
    ("field_name", "value"),
    [
        ("attempts", "x"), ("attempts", -1), ("attempts", 1.5), ("title", 7), ("text", None), ("to", ["ops"]),
        ("order", "1"), ("not_before", "2026-11-22T02:00:00"), ("at", 7), ("event", []), ("more", 1),
        ("closes", 7), ("closes", [7]), ("incident", None), ("shorter", ["a"]), ("shorter", [["a"]]),
        ("shorter", [["a", 7]]), ("receiver", 7), ("receiver", "../x"), ("refusals", True),
    ],
)  # fmt: skip
def test_a_file_with_a_wrong_value_is_set_aside(
    outbox: Outbox, tmp_path: Path, field_name: str, value: object
) -> None:
    outbox.enqueue(_notice("a"), ALL)
    file = next((tmp_path / "outbox").glob("*.json"))
    file.write_text(json.dumps({**json.loads(file.read_text()), field_name: value}))
    assert outbox.deliver(Service(says=Down("away")), NOW) == ()
    assert file.with_suffix(".bad").exists()


def test_files_that_are_nested_without_end_are_set_aside(outbox: Outbox, tmp_path: Path) -> None:
    outbox.enqueue(_notice("a"), ALL)
    file = next((tmp_path / "outbox").glob("*.json"))
    file.write_text("[" * 100_000)
    (tmp_path / "outbox" / "delivered").write_text("[" * 100_000)
    assert outbox.pending() == ()
    assert outbox.enqueue(_notice("b"), ALL)
    assert [each.verdict for each in outbox.deliver(Service(), NOW)] == [Sent()]


@pytest.mark.parametrize("lost", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_a_memory_with_a_number_that_is_none_is_forgotten(outbox: Outbox, tmp_path: Path, lost: str) -> None:
    outbox.enqueue(_notice("a"), ALL)
    (tmp_path / "outbox" / "delivered").write_text(f'{{"delivered": [], "lost": {lost}}}')
    assert [each.verdict for each in outbox.deliver(Service(), NOW)] == [Sent()]


def test_only_the_owner_can_read_the_files(outbox: Outbox, tmp_path: Path) -> None:
    outbox.enqueue(_notice("a"), ALL)
    outbox.deliver(Service(Down("refused")), NOW)
    folder = tmp_path / "outbox"
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o600"}


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Stalled, match="cannot keep notifications"):
        Outbox(tmp_path / "file" / "outbox").enqueue(_notice("a"), ALL)


def test_the_memory_of_what_was_sent_is_bounded(outbox: Outbox, tmp_path: Path) -> None:
    for number in range(30):
        for key in range(BATCH):
            outbox.enqueue(_notice(f"{number}-{key}"), ALL)
        outbox.deliver(Service(), NOW)
    for key in range(600, 1100):
        outbox.enqueue(_notice(f"{key}"), ALL)
        outbox.deliver(Service(), NOW)
    assert (tmp_path / "outbox" / "told").stat().st_size == 61_000
    assert not outbox.enqueue(_notice("1099"), ALL)
    assert outbox.enqueue(_notice("0-0"), ALL)


def test_what_no_room_would_help_with_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    """Such as a disk without inodes: the room that is held back is there, and giving it back helps nobody."""
    folder = tmp_path / "outbox"
    (folder / ".told.new" / "in the way").mkdir(parents=True)
    messenger = OutboxMessenger(Outbox(folder), Service())
    with pytest.raises(Stalled, match="cannot keep notifications"):
        messenger.tell((_notice("a"),), (ALL,), NOW)
    assert messenger.outbox.pending() == ()
    (folder / ".told.new" / "in the way").rmdir()
    (folder / ".told.new").rmdir()
    assert messenger.tell((_notice("a"),), (ALL,), NOW) == ()


def test_a_crash_while_each_receiver_gets_a_file_repeats_nothing(outbox: Outbox, tmp_path: Path) -> None:
    service = Service(named=("a" * 16, "b" * 16))
    outbox.enqueue(_notice("x"), ALL)
    (whole,) = (tmp_path / "outbox").glob("*.json")
    content = whole.read_bytes()
    service.to = {"a" * 16: Later("greylisted"), "b" * 16: Later("greylisted")}
    outbox.deliver(service, NOW)
    # As it was before the file for all of them was removed.
    whole.write_bytes(content)
    service.to = {}
    outbox.deliver(service, NOW + MINUTE)
    assert service.boxes == {"a": ["x"], "b": ["x"]}
    assert outbox.pending() == ()
