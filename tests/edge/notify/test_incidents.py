"""One incident is one incident everywhere: its key, its end, its place in a thread."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.notify import (
    AppriseSender,
    Delivery,
    Down,
    FileSource,
    Notifiers,
    Outbox,
    Refused,
    Route,
    Sent,
)
from reconciler.planning.notices.events import Event, Notice
from reconciler.planning.notices.message import Message
from tests.labs.mail import GREYLISTED, Post
from tests.labs.services import Asked, Services
from tests.labs.webhook import Receiver

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
ALL = Route("ops", frozenset(Event))
KeepSecret = Callable[[str, str], Path]
UUID = "a1b2c3d4-0000-4000-8000-a1b2c3d4e5f6"


def _notice(event: Event, incident: str = "", closes: tuple[str, ...] = (), occasion: str = "1") -> Notice:
    message = Message(f"[patchledger] web-01: {event}", f"what is {event}\n", "", "")
    return Notice(event, f"web-01/{event}/0", occasion, NOW, message, incident=incident, closes=closes)


FAILED = _notice(Event.FAILED, "web-01/failed")
RECOVERED = _notice(Event.RECOVERED, "web-01/failed", ("web-01/failed",))


class Host:
    """An outbox, one notifier by its address, and the services of the world."""

    def __init__(self, folder: Path, keep_secret: KeepSecret, environment: dict[str, str]) -> None:
        self.box = Outbox(folder)
        self.keep_secret = keep_secret
        self.environment = environment

    def tell(self, url: str, *notices: Notice) -> list[Delivery]:
        for notice in notices:
            self.box.enqueue(notice, ALL)
        sources = {"ops": FileSource(self.keep_secret("ops", url))}
        return [*self.box.deliver(AppriseSender(Notifiers(sources), environment=self.environment), NOW)]


@pytest.fixture
def host(tmp_path: Path, keep_secret: KeepSecret, services: Services, authority_file: Path) -> Host:
    return Host(tmp_path / "outbox", keep_secret, services.environment(str(authority_file)))


def _accepts(asked: Asked) -> tuple[int, bytes]:
    del asked
    return 200, b'{"result": "Request will be processed", "requestId": "43a29c5c"}'


# Address, and what a request says of key and action.
KEEPERS: dict[str, tuple[str, Callable[[Asked], tuple[object, object]], object, object]] = {
    "PagerDuty": (
        "pagerduty://ABCDEFGHIJKLMNOP@AAAAAAAAAAAA",
        lambda asked: (asked.json["dedup_key"], asked.json["event_action"]),
        "trigger",
        "resolve",
    ),
    "iLert": (
        "ilert://abcdef0123456789",
        lambda asked: (asked.json["alertKey"], asked.json["eventType"]),
        "ALERT",
        "RESOLVE",
    ),
    "Squadcast": (
        "squadcast://abcdef0123456789",
        lambda asked: (asked.json["event_id"], asked.json["status"]),
        "trigger",
        "resolve",
    ),
    "incident.io": (
        "incidentio://01ABCDEFGHJKMNPQRSTVWXYZ00/token1234",
        lambda asked: (asked.json["deduplication_key"], asked.json["status"]),
        "firing",
        "resolved",
    ),
    "FireHydrant": (
        "firehydrant://token1234",
        lambda asked: (asked.json["idempotency_key"], asked.json["status"]),
        "OPEN",
        "CLOSED",
    ),
    "SIGNL4": (
        "signl4://secret123456",
        lambda asked: (asked.json["X-S4-ExternalID"], asked.json.get("X-S4-Status")),
        None,
        "resolved",
    ),
    "GoAlert": (
        f"goalert://goalert.example.org/{UUID}",
        lambda asked: (asked.fields["dedup"], asked.fields.get("action")),
        None,
        "close",
    ),
    "PagerTree": (
        "pagertree://int_0123456789",
        lambda asked: (asked.json["id"], asked.json["event_type"]),
        "create",
        "resolve",
    ),
    "Splunk On-Call": (
        f"splunk://routing_key@{UUID}",
        lambda asked: (asked.json["entity_id"], asked.json["message_type"]),
        "CRITICAL",
        "RECOVERY",
    ),
}


@pytest.mark.parametrize("service", KEEPERS)
def test_what_was_opened_is_closed_and_nothing_else_is(host: Host, services: Services, service: str) -> None:
    services.answers = _accepts
    url, read, opened, closed = KEEPERS[service]
    assert [each.verdict for each in host.tell(url, FAILED, RECOVERED)] == [Sent(), Sent()]
    assert [read(asked) for asked in services.asked] == [("web-01/failed", opened), ("web-01/failed", closed)]
    services.asked.clear()
    applied = _notice(Event.APPLIED)
    assert [each.verdict for each in host.tell(url, applied)] == [Sent()]
    (asked,) = services.asked
    assert read(asked)[0] != "web-01/failed"
    assert read(asked)[1] != closed


@pytest.mark.parametrize("scheme", ["opsgenie", "jira"])
def test_alerts_are_closed_by_their_alias(host: Host, services: Services, scheme: str) -> None:
    services.answers = _accepts
    url = f"{scheme}://{UUID}/@ann/@bob"
    assert [each.verdict for each in host.tell(url, FAILED, RECOVERED)] == [Sent(), Sent()]
    opened, closed = services.asked
    assert (opened.json["alias"], opened.json["source"]) == ("web-01/failed", "web-01")
    assert [each["username"] for each in opened.json["responders"]] == ["ann", "bob"]
    assert re.search(r"/web-01%2Ffailed/close\?identifierType=alias$", closed.path)


@pytest.mark.parametrize("event", [each for each in Event if each is not Event.RECOVERED])
def test_each_event_is_an_alert_and_none_is_lost(host: Host, services: Services, event: Event) -> None:
    services.answers = _accepts
    assert [each.verdict for each in host.tell(f"opsgenie://{UUID}/", _notice(event))] == [Sent()]
    assert len(services.asked) == 1


def test_the_end_of_several_is_told_of_each(host: Host, services: Services) -> None:
    services.answers = _accepts
    ended = _notice(Event.RECOVERED, "web-01/failed", ("web-01/failed", "web-01/metadata-stale"))
    host.tell("pagerduty://ABCDEFGHIJKLMNOP@AAAAAAAAAAAA", ended)
    assert [(asked.json["dedup_key"], asked.json["event_action"]) for asked in services.asked] == [
        ("web-01/failed", "resolve"),
        ("web-01/metadata-stale", "resolve"),
    ]


def test_what_begins_is_opened_where_the_message_tells_of_an_end_as_well(
    host: Host, services: Services
) -> None:
    """One guest fails in the tick of a hypervisor in which another is well again."""
    services.answers = _accepts
    both = replace(
        _notice(Event.FAILED, "pve1/102/failed", ("pve1/101/failed",)), opens=("pve1/103/metadata-stale",)
    )
    host.tell("pagerduty://ABCDEFGHIJKLMNOP@AAAAAAAAAAAA", both)
    assert [(asked.json["dedup_key"], asked.json["event_action"]) for asked in services.asked] == [
        ("pve1/102/failed", "trigger"),
        ("pve1/103/metadata-stale", "trigger"),
        ("pve1/101/failed", "resolve"),
    ]


def test_an_end_that_is_refused_keeps_no_other_open(host: Host, services: Services) -> None:
    url, ended = "pagerduty://ABCDEFGHIJKLMNOP@AAAAAAAAAAAA", ("web-01/failed", "web-01/interrupted")
    services.answers = lambda asked: (400 if asked.json["dedup_key"] == ended[0] else 202, b"{}")
    (told,) = host.tell(url, _notice(Event.RECOVERED, ended[0], ended))
    assert told.verdict == Refused("the service refused this message")
    assert [asked.json["dedup_key"] for asked in services.asked] == list(ended)


def test_where_the_address_has_one_key_for_all_what_begins_is_not_closed(
    host: Host, services: Services
) -> None:
    services.answers = _accepts
    both = _notice(Event.FAILED, "pve1/102/failed", ("pve1/101/failed",))
    host.tell("pagerduty://ABCDEFGHIJKLMNOP@AAAAAAAAAAAA/rack-7?dedup=mine", both)
    (asked,) = services.asked
    assert (asked.json["dedup_key"], asked.json["event_action"]) == ("mine", "trigger")


def test_what_the_address_says_of_it_holds(host: Host, services: Services) -> None:
    services.answers = _accepts
    host.tell("pagerduty://ABCDEFGHIJKLMNOP@AAAAAAAAAAAA/rack-7?dedup=mine&action=trigger", RECOVERED)
    (asked,) = services.asked
    assert (asked.json["dedup_key"], asked.json["event_action"]) == ("mine", "trigger")
    assert asked.json["payload"]["source"] == "rack-7"


def test_the_source_of_an_incident_is_the_host(host: Host, services: Services) -> None:
    services.answers = _accepts
    host.tell("pagerduty://ABCDEFGHIJKLMNOP@AAAAAAAAAAAA", FAILED)
    assert services.asked[0].json["payload"]["source"] == "web-01"


def test_a_yes_of_the_library_without_a_request_is_none(host: Host, services: Services) -> None:
    url = f"opsgenie://{UUID}/?action=note"  # a note to an alert that nobody made
    assert [each.verdict for each in host.tell(url, FAILED)] == [
        Down("apprise sent nothing, and said that it had")
    ]
    assert services.asked == []


def test_mails_have_an_identity_that_stays_and_form_a_thread(host: Host, post: Post) -> None:
    url = post.url("ops@example.org")
    post.rcpt["ops@example.org"] = GREYLISTED
    host.tell(url, FAILED)
    post.rcpt.clear()
    sources = {"ops": FileSource(host.keep_secret("ops", url))}
    host.box.deliver(AppriseSender(Notifiers(sources)), NOW + timedelta(hours=1))
    host.tell(url, RECOVERED, _notice(Event.APPLIED))
    failed, recovered, applied = post.mails["ops@example.org"]
    assert failed["References"] == recovered["References"]
    assert re.fullmatch(r"<[0-9a-f]{32}@web-01>", failed["References"])
    assert applied["References"] is None
    assert len({mail["Message-ID"] for mail in (failed, recovered, applied)}) == 3
    assert all(re.fullmatch(r"<[0-9a-f-]+@web-01>", mail["Message-ID"]) for mail in (failed, recovered))
    for mail in (failed, recovered, applied):
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail["X-Auto-Response-Suppress"] == "All"
        assert mail["List-Id"] == "<patchledger.web-01.localhost>"


def test_the_same_message_has_the_same_identity_each_time_and_for_each_receiver_another(
    tmp_path: Path, keep_secret: KeepSecret, post: Post
) -> None:
    url = post.url("ops@example.org", "sre@example.org")
    sources = {"ops": FileSource(keep_secret("ops", url))}
    for name in ("first", "second"):
        box = Outbox(tmp_path / name)
        box.enqueue(FAILED, ALL)
        box.deliver(AppriseSender(Notifiers(sources)), NOW)
    ids = {name: [mail["Message-ID"] for mail in mails] for name, mails in post.mails.items()}
    assert [len(set(each)) for each in ids.values()] == [1, 1]
    assert len({each[0] for each in ids.values()}) == 2


def test_headers_of_the_address_hold(host: Host, post: Post) -> None:
    host.tell(post.url("ops@example.org", more="&%2Blist-id=%3Cours%3E&+Auto-Submitted=no"), FAILED)
    (mail,) = post.mails["ops@example.org"]
    assert (mail.get_all("List-Id"), mail.get_all("Auto-Submitted")) == (["<ours>"], ["no"])


def test_a_receiver_of_ones_own_can_recognise_a_repeat(host: Host, receiver: Receiver) -> None:
    host.environment = {}
    host.tell(f"json://127.0.0.1:{receiver.port}/", FAILED)
    (body,) = receiver.bodies
    assert (body["incident"], body["host"]) == ("web-01/failed", "web-01")
    assert re.fullmatch(r"[0-9a-f]{32}", body["id"])
