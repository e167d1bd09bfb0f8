"""35 kinds of address: what each service gets of a long message, and what tells the incident."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote_plus

import pytest

from reconciler.notify import AppriseSender, FileSource, Notifiers, Outbox, Route, Sent
from reconciler.planning.notices.events import Event, Notice
from reconciler.planning.notices.message import Contents, Message, PackageLine, compose
from tests.labs.mail import Post
from tests.labs.services import Asked, Services

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[3]
KeepSecret = Callable[[str, str], Path]
UUID = "a1b2c3d4-0000-4000-8000-a1b2c3d4e5f6"
TOKEN = "abcdefghijklmnopqrstuvwxyz1234"
HOSTILE = "@everyone <!channel> @here [pay](http://evil.example/) ![x](http://evil.example/x.png) ``` **b**"
INCIDENT = "web-01/failed"


def message(log: str = "", packages: int = 60) -> Message:
    listed = tuple(
        PackageLine(f"libfoo{number}", "amd64", f"1.{number}-1", f"1.{number}-2", security=number % 2 == 0)
        for number in range(packages)
    )
    facts = (("Host", "web-01"), ("Outcome", "failed"), ("Reason", HOSTILE))
    happened = "web-01: the run 20261122T020000Z failed: grub-pc could not be configured"
    return compose(
        "web-01",
        "failed: grub-pc @everyone could not be *configured*",
        Contents((), facts, "Packages", listed, log, happened=happened, asked="look at it"),
    )


LONG = message((HOSTILE + " dpkg: error processing package grub-pc\n") * 60)


@dataclass(frozen=True)
class Kind:
    """A service: its address, the bound of its own for one message, and what it answers."""

    name: str
    url: str
    limit: int
    answer: bytes = b"{}"


KINDS = (
    Kind("mail", "", 0),
    Kind("json", "json://hooks.example.org/x", 0),
    Kind("xml", "xml://hooks.example.org/x", 0),
    Kind("form", "form://hooks.example.org/x", 0),
    Kind("apprise", "apprise://apprise.example.org/token", 0),
    Kind("Discord", f"discord://123456789012345678/{TOKEN}", 2000),
    Kind("Guilded", f"guilded://{UUID}/{TOKEN}", 2000),
    Kind("Telegram", "tgram://123456789:abcdefg_hijklmnop/12315544", 4096, b'{"ok": true, "result": {}}'),
    Kind("Slack", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops", 35000, b"ok"),
    Kind("Mattermost", "mmost://chat.example.org/abcdefghijklmnopqrstuvwxyz", 4000, b"ok"),
    Kind("Rocket.Chat", "rocket://abcdef/ghijkl@chat.example.org/#ops", 1000, b'{"success": true}'),
    Kind(
        "Teams workflows",
        "workflows://prod.westus.logic.azure.com:443/643e69f83c8944438d68119179a10a64/XX",
        1000,
    ),
    Kind("Google Chat", "gchat://space/key/token", 4000),
    Kind("Webex", f"webex://{'a' * 80}", 1000),
    Kind("Zulip", "zulip://bot@acme/ABCDEFGHIJKLMNOPQRSTUVWXYZ123456/ops", 10000),
    Kind("Revolt", "revolt://bottoken1234567890/01ABC0123456789ABCDEFGHJKM", 2000),
    Kind("Matrix", "matrix://token12345678901234567890@matrix.example.org?mode=slack", 65000),
    Kind("Nextcloud Talk", "nctalk://bob:s3cret@cloud.example.org/roomid", 32000, b'{"ocs": {}}'),
    Kind("ntfy", "ntfy://ntfy.example.org/updates", 7800),
    Kind("Gotify", "gotify://push.example.org/AbcDefGhi.jklm", 0),
    Kind("Pushover", f"pover://{TOKEN}@{TOKEN}", 1024, b'{"status": 1}'),
    Kind("Bark", "bark://bark.example.org/devicekey", 0, b'{"code": 200}'),
    Kind("Signal", "signal://signal.example.org/+15551234567/+15551234568", 0),
    Kind("Twilio SMS", f"twilio://AC{'1' * 32}:{'1' * 32}@12345678901/15551234567", 160),
    Kind(
        "Amazon SNS",
        "sns://AHIAJGNT76XIMXDBIJYA/bu1dHSdO22pfaaVy/wmNsdjJ4C07D3ABC/us-east-1/+12223334444",
        160,
    ),
    Kind("Home Assistant", "hassio://home.example.org/longtoken1234", 0),
    Kind("PagerDuty", "pagerduty://ABCDEFGHIJKLMNOP@AAAAAAAAAAAA", 1024),
    Kind("Opsgenie", f"opsgenie://{UUID}/", 15000, b'{"requestId": "43a29c5c"}'),
    Kind("Splunk On-Call", f"splunk://routing_key@{UUID}", 400),
    Kind("ilert", "ilert://abcdef0123456789", 0),
    Kind("SIGNL4", "signl4://secret123456", 0),
    Kind("GoAlert", f"goalert://goalert.example.org/{UUID}", 6144),
    Kind("incident.io", "incidentio://01ABCDEFGHJKMNPQRSTVWXYZ00/token1234", 0),
    Kind("Notifico", "notifico://2144/uJmKaBW9WFk42miB146ci3Kj", 512),
    Kind("Synology Chat", "synology://nas.example.org/token", 0, b'{"success": true}'),
)


def texts(asked: Asked) -> Iterator[str]:
    """Yield every text of a request, however it is put."""
    body = asked.body.decode()
    if body.startswith("payload="):
        body = unquote_plus(body.removeprefix("payload="))
    try:
        found: list[Any] = [json.loads(body)]
    except ValueError:
        fields = [value for values in parse_qs(body).values() for value in values]
        found = fields if fields and "<" not in body[:5] else [body]
    found += [unquote_plus(asked.path.partition("?")[2])]
    while found:
        one = found.pop()
        if isinstance(one, dict):
            found += one.values()
        elif isinstance(one, list):
            found += one
        elif isinstance(one, str):
            yield one


def form_of(text: str) -> str:
    if "<!DOCTYPE" in text:
        return "HTML"
    if "```\n" in text:
        return "code block"
    if "&lt;" in text or "&#60;" in text:
        return "escaped HTML"
    return "Markdown" if r"\[pay\]" in text or r"\*" in text else "text"


@pytest.fixture
def told(
    tmp_path: Path, keep_secret: KeepSecret, services: Services, authority_file: Path, post: Post
) -> dict[str, list[str]]:
    """The texts that each kind got, the longest first; every one answered that it took the message."""
    got: dict[str, list[str]] = {}
    now = [""]

    def answers(asked: Asked) -> tuple[int, bytes]:
        got.setdefault(now[0], []).extend(texts(asked))
        return 200, next(kind.answer for kind in KINDS if kind.name == now[0])

    services.answers = answers
    outbox = Outbox(tmp_path / "outbox")
    sources = {}
    for number, kind in enumerate(KINDS):
        url = kind.url or post.url("ops@example.org")
        sources[f"{number:02}"] = FileSource(keep_secret(f"{number:02}", url))
        notice = Notice(Event.FAILED, "web-01/failed/1", "one", NOW, LONG, incident=INCIDENT)
        outbox.enqueue(notice, Route(f"{number:02}", frozenset(Event)))

    environment = services.environment(str(authority_file))
    sender = AppriseSender(Notifiers(sources), environment=environment, timeout=300)

    class Announced:
        """Says whose turn it is, for the services to know whom they are asked as."""

        def __init__(self) -> None:
            self.courier = sender()

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self.courier.__exit__()

        def receivers(self, to: str) -> Any:
            now[0] = KINDS[int(to)].name
            return self.courier.receivers(to)

        def send(self, entry: Any) -> Any:
            return self.courier.send(entry)

    done = outbox.deliver(Announced, NOW)
    assert {KINDS[int(each.to)].name: each.verdict for each in done if each.verdict != Sent()} == {}
    (mail,) = post.mails["ops@example.org"]
    page = mail.get_body(("html",))
    assert page is not None
    got["mail"] = [page.get_content(), mail["References"]]
    return {name: sorted(found, key=len, reverse=True) for name, found in got.items()}


def test_each_kind_gets_the_message_in_its_form_and_size(told: dict[str, list[str]]) -> None:
    rows = ["| service | takes | gets | form | incident |", "|---|---|---|---|---|"]
    for kind in KINDS:
        found = told[kind.name]
        longest = found[0]
        assert not kind.limit or len(longest) <= kind.limit, kind.name
        whole = "\n".join(found)
        assert "grub" in whole, kind.name
        assert not re.search(r"github.*\.(png|ico)", whole), kind.name
        what = (
            "all of it"
            if "End of the log" in longest
            else "without the log"
            if "libfoo59" in longest
            else "what happened and the facts"
            if longest.count("\n") > 3 and "..." not in longest[-8:]
            else "what happened, cut"
        )
        key = "yes" if any(INCIDENT in text for text in found) or kind.name == "mail" else "no"
        takes = f"{kind.limit:,}" if kind.limit else "all"
        rows.append(f"| {kind.name} | {takes} | {what} | {form_of(longest)} | {key} |")
    table = "\n".join(rows)
    sys.stdout.write(f"{table}\n")
    assert table in (ROOT / "docs/reference/notifiers.md").read_text(encoding="utf-8")


CHATS = ("Discord", "Guilded", "Mattermost", "Zulip", "Nextcloud Talk")


def test_what_packages_chose_calls_nobody_and_is_no_link(told: dict[str, list[str]]) -> None:
    machines = {"mail", "json", "xml", "form", "apprise", "Twilio SMS", "Amazon SNS"}
    keepers = {"PagerDuty", "Opsgenie", "Splunk On-Call", "ilert", "SIGNL4", "GoAlert", "incident.io"}
    for kind in KINDS:
        whole = "\n".join(told[kind.name])
        if kind.name not in machines | keepers:
            assert not re.search(r"@(everyone|here)", whole), kind.name
        assert "channel" in whole or "..." in whole or "&#60;" in whole, kind.name
    for name in CHATS:
        body = told[name][0]
        inside = body[body.index("```\n") + 4 : body.rindex("\n```")]
        assert "```" not in inside, name
        assert "![x]" not in body[: body.index("```\n")], name
    # Google Chat knows links as <address|words> alone.
    for name in ("Rocket.Chat", "Teams workflows", "Webex", "Revolt"):
        assert "[pay](" not in "\n".join(told[name]), name


def test_a_short_message_is_whole_everywhere_but_in_sms(
    tmp_path: Path, keep_secret: KeepSecret, services: Services, authority_file: Path
) -> None:
    url = next(kind.url for kind in KINDS if kind.name == "Discord")
    for query, expected in (("", "End of the log"), ("?overflow=split", "End of the log")):
        services.asked.clear()
        outbox = Outbox(tmp_path / f"outbox{query}")
        short = message("dpkg: error\n", packages=2) if not query else LONG
        notice = Notice(Event.FAILED, "web-01/failed/1", "one", NOW, short)
        outbox.enqueue(notice, Route("ops", frozenset(Event)))
        sources = {"ops": FileSource(keep_secret("ops", url + query))}
        sender = AppriseSender(Notifiers(sources), environment=services.environment(str(authority_file)))
        assert [each.verdict for each in outbox.deliver(sender, NOW)] == [Sent()]
        assert expected in "".join(asked.json["content"] for asked in services.asked)
        assert (len(services.asked) > 1) is bool(query)
