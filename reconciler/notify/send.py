"""The child that sends: started by path with ``python -I``, it imports nothing of ours.

Each line of standard input is a question in JSON, each line of standard output its answer; so nothing is sent
that nobody waits for, and what was sent is known before the next message is begun.

- ``{"ask": "receivers", "url", "to"}``: ``{"receivers": [DIGEST]}``, or a word where the address is none.
- an :class:`Order`: ``{"word": WORD}``.

A word is one of a closed list: whatever apprise, a library or a server says may contain the address, so it
is only classified, never passed on. What a server said is read where it came in, by protocol, since apprise
tells no more than yes or no.
"""

import json
import logging
import re
import smtplib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1, sha256
from html import escape
from typing import Any, TypedDict
from urllib.parse import quote

import apprise
import requests.adapters
from apprise.conversion import convert_between
from apprise.plugins.custom_form import NotifyForm
from apprise.plugins.custom_json import NotifyJSON
from apprise.plugins.email import NotifyEmail
from apprise.plugins.email import base as email_base


class Order(TypedDict):
    """One message, the address it goes to, and which of its receivers gets it; empty where it has one."""

    ask: str
    url: str
    to: str
    receiver: str
    title: str
    text: str
    markdown: str
    html: str
    trouble: str
    id: str
    host: str
    incident: str
    closes: list[str]
    opens: list[str]
    shorter: list[tuple[str, str]]


# The address chooses; else mail is HTML with a plain alternative, and everything else plain text: services
# differ in what they take for Markdown or HTML, and text that is escaped for one is hard to read in another.
# apprise escapes it for those that take nothing plain.
_FORMAT = re.compile(r"[?&]format=(text|markdown|html)\b", re.IGNORECASE)

# Read from the top: the first pattern that a line of apprise's log matches decides. They are what no server
# said: how far a conversation came at all.
_SIGNS = (
    (
        "untrusted-certificate",
        re.compile(r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|hostname mismatch", re.IGNORECASE),
    ),
    ("no-encryption", re.compile(r"STARTTLS extension not supported", re.IGNORECASE)),
    ("login-refused", re.compile(r"authentication|AUTH extension not supported|\(535,", re.IGNORECASE)),
    ("timeout", re.compile(r"timed out|timeout", re.IGNORECASE)),
    (
        "unreachable",
        re.compile(
            r"refused\]?$|connection refused|name or service not known|name resolution|no route|unreachable"
            r"|connection reset|connection unexpectedly closed|remotedisconnected|connection aborted",
            re.IGNORECASE,
        ),
    ),
    ("refused", re.compile(r"refused", re.IGNORECASE)),
)

# What services call those who get a message.
_RECEIVERS = (
    "targets", "channels", "topics", "rooms", "users", "phone", "groups", "devices", "target_phones",
    "target_groups", "subreddits", "dm_users", "channel_ids", "members",
)  # fmt: skip
_ALONE = 16  # characters of a digest


class _Wire:
    """What was said on the wire while one message was tried.

    Attributes:
        touches: How often anything left this process.
        statuses: Of HTTP answers.
        replies: Of SMTP: command and code.
        lines: What apprise says about failures, in memory only.
    """

    def __init__(self) -> None:
        self.touches = 0
        self.statuses: list[int] = []
        self.replies: list[tuple[str, int]] = []
        self.lines: list[str] = []

    def clear(self) -> None:
        """Begin anew, for the next message."""
        self.touches = 0
        for heard in (self.statuses, self.replies, self.lines):
            heard.clear()


_WIRE = _Wire()
_LEAVES = frozenset(
    {"socket.connect", "socket.sendto", "socket.sendmsg", "syslog.syslog", "subprocess.Popen"}
)


def _listen() -> None:
    """Hear what is said on the wire: connections, HTTP answers, SMTP replies, and apprise's own log."""

    def audit(event: str, _: tuple[object, ...]) -> None:
        _WIRE.touches += event in _LEAVES

    sys.addaudithook(audit)
    adapter, smtp = requests.adapters.HTTPAdapter, smtplib.SMTP
    send, put, get = adapter.send, smtp.putcmd, smtp.getreply
    command = "connect"

    def heard(self: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as the library has it
        answer = send(self, *arguments, **options)
        _WIRE.touches += 1
        _WIRE.statuses.append(answer.status_code)
        return answer

    def said(self: Any, cmd: str, args: str = "") -> None:  # noqa: ANN401
        nonlocal command
        command = cmd.lower()
        put(self, cmd, args)

    def replied(self: Any) -> Any:  # noqa: ANN401
        nonlocal command
        answer = get(self)
        _WIRE.replies.append((command, answer[0]))
        command = "message" if command == "data" else command
        return answer

    adapter.send, smtp.putcmd, smtp.getreply = heard, said, replied  # type: ignore[method-assign]
    smtp.auth_plain = _plain  # type: ignore[method-assign]


class _Ear(logging.Handler):
    """Keeps what apprise says about failures while one message is tried, in memory only."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of ``record`` where it tells of a failure; others quote address and message."""
        line = record.getMessage()
        if record.levelno >= logging.WARNING or line.startswith("Socket Exception:"):
            _WIRE.lines.append(line)


def main() -> int:
    """Answer the questions of standard input, each before the next, and return 0."""
    log = logging.getLogger("apprise")
    log.handlers, log.propagate = [_Ear(logging.DEBUG)], False
    log.setLevel(logging.DEBUG)
    _listen()
    while question := sys.stdin.readline():
        _WIRE.clear()
        order = json.loads(question)
        answer = _receivers(order) if order["ask"] == "receivers" else {"word": _word(order)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


def _receivers(order: dict[str, str]) -> dict[str, object]:
    with _told():
        service = _service(order["url"])
        if service is not None:
            return {"receivers": [_digest(order["to"], each) for each in _all_of(service)]}
    return {"word": "bad-address"}


@contextmanager
def _told() -> Iterator[None]:
    """Let an error of a plugin be a line like what it logs."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and its text may hold the address
        _WIRE.lines.append(type(error).__name__)


def _word(order: Order) -> str:
    # One object for each message: the pause that apprise keeps between messages of one object is meant for
    # floods, and a service that minds says so.
    words: list[str] = []
    with _told():
        service = _for_one(order)
        if isinstance(service, str):
            return service
        opens, closes = _ACTIONS.get(type(service).__name__, ("", ""))
        if order["trouble"] != "recovered" and _has_a_key(service):
            closes = ""  # all of it is one incident there, which is not over
        for incident, action in _steps(order, opens, closes):
            _WIRE.clear()
            # An object for each, since it keeps what it was given.
            one = _identified(_for_one(order), order, incident, action)
            words.append(_sent() if _try(one, order) else _classify())
            # What it refuses, such as an end that it knows no beginning of, keeps it from no other one.
            if words[-1] not in {"sent", "refused"}:
                return words[-1]
        return "refused" if "refused" in words else "sent"
    return _classify()


def _steps(order: Order, opens: str, closes: str) -> list[tuple[str, str]]:
    """Return what a service that keeps incidents is told of each, and of others that it is one message.

    What begins comes first: of several targets, some may be in trouble while others are well again.
    """
    own = order["incident"] or order["id"]
    if not closes:
        return [(own, opens)]
    is_end = order["trouble"] == "recovered" and order["closes"]
    begun = [] if is_end else [own, *order["opens"]]
    return [(one, opens) for one in begun] + [(one, closes) for one in order["closes"] if one not in begun]


def _for_one(order: Order) -> Any:  # noqa: ANN401 - plugins differ in what they have
    """Return the service, knowing only the one who gets the message, or a word where it cannot be had."""
    service = _service(order["url"], order["host"])
    if service is None:
        return "bad-address"
    if isinstance(service, NotifyEmail) and _is_open(service, order["url"]):
        return "clear-password"
    if order["receiver"] and not _narrow(service, order["to"], order["receiver"]):
        return "gone"
    return service


def _try(service: Any, order: Order) -> bool:  # noqa: ANN401
    title, body, form = _form(order, service)
    kind = _KIND.get(order["trouble"], apprise.NotifyType.INFO)
    # By way of the hub, which escapes what a service would render: the service itself takes that for done.
    hub = apprise.Apprise(asset=service.asset)
    service.optional = False  # else a no would be a yes
    hub.add(service)
    return bool(hub.notify(title=title, body=body, body_format=form, notify_type=kind))


def _service(url: str, host: str = "") -> Any:  # noqa: ANN401
    asset = apprise.AppriseAsset(
        app_id="patchledger",
        app_desc=host or "patchledger",
        app_url="",
        # No chat loads a picture of anybody's because of us.
        image_url_mask="",
        image_url_logo="",
        image_path_mask="",
        async_mode=False,
        secure_logging=True,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )
    return apprise.Apprise.instantiate(url, asset=asset)


_MODE = re.compile(r"[?&]mode=insecure", re.IGNORECASE)


def _is_open(service: NotifyEmail, url: str) -> bool:
    """Say whether a password would go over the wire for all to read, and the address does not say so."""
    is_clear = str(service.secure_mode) == "insecure"
    return bool(is_clear and service.user and service.password and not _MODE.search(url))


# --- Receivers ----------------------------------------------------------------------------------------------


def _all_of(service: Any) -> list[tuple[str, object]]:  # noqa: ANN401
    """Return the receivers of an address one by one: what list of the service each is in, and its entry.

    Who gets a copy of a mail is a receiver like others, since a server may refuse them as well. Where the
    service has another idea of their number, such as with ``batch=yes``, they are one.
    """
    if isinstance(service, NotifyEmail):
        copies = [("cc", each) for each in sorted(service.cc)] + [
            ("bcc", each) for each in sorted(service.bcc)
        ]
        return [("targets", each) for each in service.targets] + copies
    found = []
    for name in () if type(service).__name__ in _OF_ONE_ALERT else _RECEIVERS:
        listed = getattr(service, name, None)
        if isinstance(listed, (list, tuple, set)):
            found += [(name, each) for each in (sorted(listed) if isinstance(listed, set) else listed)]
    return found if len(found) == len(service) else [("", "")]


def _digest(to: str, receiver: tuple[str, object]) -> str:
    entry = receiver[1]
    # Of a mail's receiver the address, whatever name it has and wherever it stands.
    known = entry[1] if receiver[0] == "targets" and isinstance(entry, tuple) else entry
    return sha256(f"{to}\0{known!r}".encode()).hexdigest()[:_ALONE]


def _narrow(service: Any, to: str, digest: str) -> bool:  # noqa: ANN401
    """Let the service know one of its receivers only; return whether it has that one."""
    every = _all_of(service)
    found = next((each for each in every if _digest(to, each) == digest), None)
    if found is None:
        return False
    name, receiver = found
    if isinstance(service, NotifyEmail):
        if service.cc:
            service.headers.setdefault("Cc", ", ".join(sorted(service.cc)))
        chosen: Any = receiver if name == "targets" else (False, receiver)
        service.targets = [chosen]
        service.cc, service.bcc = set(), set()
        return True
    for each in {each for each, _ in every if each}:
        kind = type(getattr(service, each))
        setattr(service, each, kind([receiver] if each == name else []))
    return True


# --- Identity -----------------------------------------------------------------------------------------------

# The services that keep incidents, and their words for one that is there and one that is over. What the
# address says of this holds.
_ACTIONS = {
    "NotifyPagerDuty": ("trigger", "resolve"),
    "NotifyILert": ("trigger", "resolve"),
    "NotifySquadcast": ("trigger", "resolve"),
    "NotifyIncidentIO": ("trigger", "resolve"),
    "NotifyFireHydrant": ("trigger", "resolve"),
    "NotifySIGNL4": ("trigger", "resolve"),
    "NotifyGoAlert": ("trigger", "close"),
    "NotifyPagerTree": ("create", "resolve"),
    "NotifySplunk": ("map", "recovery"),
    "NotifyOpsgenie": ("new", "close"),
    "NotifyJira": ("new", "close"),
}
_OF_ONE_ALERT = frozenset({"NotifyOpsgenie", "NotifyJira"})  # all who respond to it are named in one request
_ACTION = re.compile(r"[?&]action=[^&]", re.IGNORECASE)
# What they call the identity of an incident.
_NAMES = ("dedup", "alias", "external_id", "thirdparty")


def _has_a_key(service: Any) -> bool:  # noqa: ANN401
    """Say whether the address names one incident for all that is sent to it."""
    return any(getattr(service, name, "") for name in _NAMES)


_TROUBLES = frozenset(
    {
        "failed",
        "interrupted",
        "policy-rejected",
        "metadata-stale",
        "overdue",
        "recovered",
        "overrun",
        "window-missed",
    }
)


def _identified(service: Any, order: Order, incident: str, action: str) -> Any:  # noqa: ANN401
    """Let a message carry who it is, which incident it belongs to and which host it is of."""
    if isinstance(service, NotifyEmail):
        _head(service, order)
        if service.user and service.password:
            service.user, service.password = _Utf8(service.user), _Utf8(service.password)
    elif isinstance(service, (NotifyJSON, NotifyForm)):
        more = {"id": order["id"], "incident": order["incident"], "host": order["host"]}
        service.payload_extras = {**more, **service.payload_extras}
    for name in _NAMES:
        if not getattr(service, name, incident):
            setattr(service, name, incident)
    if getattr(service, "entity_id", "") == f"{service.app_id}/{getattr(service, 'routing_key', '')}":
        service.entity_id = incident
    if getattr(service, "source", "") == "Apprise":
        service.source, service.component = order["host"], service.app_id
    if action and not _ACTION.search(order["url"]):
        # Where the service maps our words itself, what was applied would be the end of something.
        service.action = "info" if action == "map" and order["trouble"] not in _TROUBLES else action
        if type(service).__name__ in _OF_ONE_ALERT:
            _by_alias(service)
    return service


def _by_alias(service: Any) -> None:  # noqa: ANN401
    """Let Opsgenie, and what came after it, close an alert by its alias, whichever process opened it."""
    service.batch_size = max(service.batch_size, len(service.targets))  # one alert for all who respond
    kept = sha1((service.entity or service.alias).encode(), usedforsecurity=False).hexdigest()[:10]
    service.store.set(kept, [quote(service.alias, safe="")])
    fetch = service._fetch  # noqa: SLF001 - the one way to say by what an alert is known

    def fetched(method: Any, url: str, payload: Any, params: Any = None) -> Any:  # noqa: ANN401
        return fetch(method, url, payload, {"identifierType": "alias"} if params else None)

    service._fetch = fetched  # noqa: SLF001


class _Utf8(str):
    """A login with characters beyond ASCII, which smtplib cannot send (RFC 4616 has them as UTF-8)."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Encode it as UTF-8, whatever is asked for."""
        del encoding
        return super().encode("utf-8", errors)


def _plain(self: smtplib.SMTP, challenge: object = None) -> str:
    """Say the login as AUTH PLAIN has it; takes the place of smtplib's own."""
    del challenge
    return _Utf8(f"\0{self.user}\0{self.password}")


def _head(service: NotifyEmail, order: Order) -> None:
    """Give a mail an identity that stays, its place among others, and word that nobody is to answer it."""
    host = re.sub(r"[^a-z0-9.-]", ".", order["host"].lower()) or "localhost"
    known = {name.lower() for name in service.headers}
    ours = {
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "List-Id": f"<patchledger.{host}.localhost>",
    }
    roots = [f"<{sha256(each.encode()).hexdigest()[:32]}@{host}>" for each in _incidents(order)]
    if roots:
        ours |= {"References": " ".join(roots), "In-Reply-To": roots[0]}
    service.headers.update({name: text for name, text in ours.items() if name.lower() not in known})
    identity = f"<{order['id']}@{host}>"
    email_base.make_msgid = lambda *_, **__: identity  # type: ignore[attr-defined]


def _incidents(order: Order) -> list[str]:
    own = [order["incident"]] if order["incident"] else []
    is_end = order["trouble"] == "recovered" and order["closes"]
    return list(dict.fromkeys([*([] if is_end else [*own, *order["opens"]]), *order["closes"]]))


# --- Form ---------------------------------------------------------------------------------------------------

# Services that render Markdown and say that they take plain text: what packages and machines have chosen
# would be pictures, links and mentions there. Nothing is rendered in a block of code.
_RENDERING = frozenset(
    {
        "NotifyDiscord",
        "NotifyGuilded",
        "NotifyMattermost",
        "NotifyZulip",
        "NotifyNextcloudTalk",
        "NotifyDingTalk",
    }
)
# Machines, and mail: nobody is called by an @ there.
_PLAIN = frozenset(
    {
        "NotifyJSON", "NotifyXML", "NotifyForm", "NotifyAppriseAPI", "NotifyEmail", "NotifySyslog",
        "NotifyRSyslog", "NotifyMQTT", "NotifySMSEagle", "NotifyTwilio", "NotifySNS", "NotifyMailgun",
        "NotifySendGrid", "NotifySES", "NotifySparkPost", "NotifyPostmark", "NotifyOffice365", *_ACTIONS,
    }
)  # fmt: skip
_MENTION = re.compile(r"@(?=\w)")
_JOINER = "\u2060"
_MARKUP = re.compile(r"([\\`*_~|<>\[\]#])")
_SMALL = 1000  # where every character counts, and some cost an alphabet of more bytes
_MARGIN = 32  # for what a service puts around a title in the body


def _form(order: Order, service: Any) -> tuple[str, str, apprise.NotifyFormat | None]:  # noqa: ANN401
    """Return title and body in the form that the address asks for, or else that its service takes.

    The body is the longest account that fits. Without a format it is not converted by apprise any more.
    """
    asked = _FORMAT.search(order["url"])
    name, title = type(service).__name__, order["title"]
    form = asked[1].lower() if asked else "html" if isinstance(service, NotifyEmail) else "text"
    accounts = [(order["text"], order["markdown"]), *order["shorter"]]
    if name not in _PLAIN:
        title, accounts = _quiet(title), [(_quiet(text), _quiet(markdown)) for text, markdown in accounts]
    fits = _Fitting(service, title, order["url"])
    if form == "html" and order["html"] and fits.takes(order["html"], apprise.NotifyFormat.HTML):
        return title, order["html"], apprise.NotifyFormat.HTML
    if form == "markdown":
        kind = apprise.NotifyFormat.MARKDOWN
        return title, fits.best([markdown for _, markdown in accounts], kind), kind
    texts = [text for text, _ in accounts]
    if name in _RENDERING:
        title = _MARKUP.sub(r"\\\1", title)
        return title, fits.best([text.replace("``", f"`{_JOINER}`") for text in texts], None), None
    return title, fits.best(texts, apprise.NotifyFormat.TEXT), apprise.NotifyFormat.TEXT


def _quiet(text: str) -> str:
    """Let nobody be called by what a package or a machine has written."""
    return _MENTION.sub(f"@{_JOINER}", text)


class _Fitting:
    """Knows how much of a message a service takes; all where the address says what becomes of the rest."""

    def __init__(self, service: Any, title: str, url: str) -> None:  # noqa: ANN401
        self.service = service
        merged = len(title) + _MARGIN if service.title_maxlen <= 0 else 0
        self.limit = service.body_maxlen - merged
        self.is_bounded = not re.search(r"[?&]overflow=", url, re.IGNORECASE)

    def takes(self, body: str, form: apprise.NotifyFormat | None) -> bool:
        """Say whether ``body`` fits after apprise has made of it what the service takes."""
        return not self.is_bounded or len(self._converted(body, form)) <= self.limit

    def best(self, bodies: list[str], form: apprise.NotifyFormat | None) -> str:
        """Return the longest that fits, or the shortest of them, cut."""
        wrap = self._block if form is None else str
        for body in bodies:
            if self.takes(wrap(body), form):
                return wrap(body)
        shortest, sign = bodies[-1], "..." if self.limit < _SMALL else "\u2026"
        room = max(1, self.limit - len(wrap(sign)))
        while room > 1 and not self.takes(wrap(shortest[:room].rstrip() + sign), form):
            room -= max(1, room // 16)
        return wrap(shortest[:room].rstrip() + sign)

    @staticmethod
    def _block(text: str) -> str:
        return f"```\n{text.rstrip()}\n```"

    def _converted(self, body: str, form: apprise.NotifyFormat | None) -> str:
        if form is None:
            return body
        convert: Any = convert_between
        made = str(convert(form, self.service.resolve_format(form), body))
        return max(made, escape(body), key=len) if form is apprise.NotifyFormat.TEXT else made


_KIND = {
    "applied": apprise.NotifyType.SUCCESS,
    "recovered": apprise.NotifyType.SUCCESS,
    "failed": apprise.NotifyType.FAILURE,
    "interrupted": apprise.NotifyType.FAILURE,
    "policy-rejected": apprise.NotifyType.FAILURE,
    "metadata-stale": apprise.NotifyType.WARNING,
    "overrun": apprise.NotifyType.WARNING,
    "window-missed": apprise.NotifyType.WARNING,
}


# --- What became of it --------------------------------------------------------------------------------------


def _sent() -> str:
    """Return what a yes of apprise is worth: nothing where nothing left this process."""
    return "sent" if _WIRE.touches else "nothing-sent"


def _classify() -> str:
    said = _of_mail() or _of_web()
    if said is not None:
        return said
    for word, sign in _SIGNS:
        if any(sign.search(line) for line in _WIRE.lines):
            return word
    if _WIRE.statuses or _WIRE.replies:
        return "odd-answer"
    return "unknown"


_BAD, _PERMANENT, _CLOSING = 400, 500, 421

# By the command that a mail server said no to: what it means for now, and for good.
_NO_MAIL = {
    "auth": ("busy", "login-refused"),
    "starttls": ("no-encryption", "no-encryption"),
    "mail": ("busy", "sender-refused"),
    "rcpt": ("receiver-later", "receiver-refused"),
    "data": ("message-later", "refused"),
    "message": ("message-later", "refused"),
}
# Of HTTP each status that has a meaning of its own, and what all others of its hundred mean.
_NO_WEB = {
    401: "login-refused",
    407: "login-refused",
    408: "message-later",
    425: "message-later",
    429: "busy",
}
_NO_WEBS = {3: "redirected", 4: "refused", 5: "server-error"}


def _of_mail() -> str | None:
    """Return what the first reply of a mail server that was no yes means."""
    for command, code in _WIRE.replies:
        # What is said to EHLO is asked again in the old way, and goodbye is no matter of the message.
        if code < _BAD or command in {"ehlo", "quit"}:
            continue
        if code == _CLOSING:
            return "busy"
        return _NO_MAIL.get(command, ("busy", "host-refused"))[code >= _PERMANENT]
    return None


def _of_web() -> str | None:
    """Return what the last HTTP answer means, where it was no yes."""
    status = _WIRE.statuses[-1] if _WIRE.statuses else 0
    return _NO_WEB.get(status) or _NO_WEBS.get(status // 100)


if __name__ == "__main__":
    sys.exit(main())
