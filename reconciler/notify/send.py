"""The child that sends: started by path with ``python -I``, it imports nothing of ours.

Standard input is a JSON list of ``{number, url, title, text, markdown, html, trouble}``. For each message
that was tried, standard output gets one line ``NUMBER WORD`` at once, so that what was sent is known even
when this process is ended. The word is one of a closed list: whatever apprise, a library or a server says may
contain the address, so it is only classified, never passed on.
"""

import json
import logging
import re
import sys
from typing import TypedDict

import apprise


class Order(TypedDict):
    """One message and the address it goes to."""

    number: int
    url: str
    title: str
    text: str
    markdown: str
    html: str
    trouble: str


_STOPPING = frozenset(
    {
        "bad-address",
        "untrusted-certificate",
        "login-refused",
        "unreachable",
        "timeout",
        "server-error",
        "unknown",
    }
)

# The address chooses; else mail is HTML with a plain alternative, and everything else plain text: services
# differ in what they take for Markdown or HTML, and text that is escaped for one is hard to read in another.
_FORMAT = re.compile(r"[?&]format=(text|markdown|html)\b", re.IGNORECASE)
_MAIL = re.compile(r"mailtos?://", re.IGNORECASE)

# Read from the top: the first pattern that a line of apprise's log matches decides.
_SIGNS = (
    (
        "untrusted-certificate",
        re.compile(r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|hostname mismatch", re.IGNORECASE),
    ),
    ("login-refused", re.compile(r"authentication|\b53[0458]\b.*auth|error=40[13]\b|\(535,", re.IGNORECASE)),
    ("timeout", re.compile(r"timed out|timeout", re.IGNORECASE)),
    (
        "unreachable",
        re.compile(
            r"refused\]?$|connection refused|name or service not known|name resolution|no route|unreachable"
            r"|connection reset|connection unexpectedly closed|remotedisconnected",
            re.IGNORECASE,
        ),
    ),
    ("server-error", re.compile(r"error=(5\d\d|429)\b")),
    ("refused", re.compile(r"error=4\d\d\b|\(5\d\d,|refused", re.IGNORECASE)),
)


class _Ear(logging.Handler):
    """Keeps what apprise says about failures while one message is tried, in memory only."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of ``record`` where it tells of a failure; others quote address and message."""
        line = record.getMessage()
        if record.levelno >= logging.WARNING or line.startswith("Socket Exception:"):
            self.lines.append(line)


def main() -> int:
    """Send the messages of standard input and return 0, whatever became of them."""
    orders: list[Order] = json.load(sys.stdin)
    ear = _Ear()
    log = logging.getLogger("apprise")
    log.handlers, log.propagate = [ear], False
    log.setLevel(logging.DEBUG)
    stopped: set[str] = set()
    for order in orders:
        if order["url"] in stopped:
            continue
        ear.lines.clear()
        word = _try(order, ear)
        if word in _STOPPING:
            stopped.add(order["url"])
        sys.stdout.write(f"{order['number']} {word}\n")
        sys.stdout.flush()
    return 0


def _try(order: Order, ear: _Ear) -> str:
    asset = apprise.AppriseAsset(
        app_id="patchledger",
        app_desc="patchledger",
        app_url="",
        async_mode=False,
        secure_logging=True,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )
    try:
        # One object for each message: the pause that apprise keeps between messages of one object is meant
        # for floods, and a service that minds says so.
        service = apprise.Apprise.instantiate(order["url"], asset=asset)
        if service is None:
            return "bad-address"
        hub = apprise.Apprise(asset=asset)
        if not hub.add(service):
            return "bad-address"
        body, form = _body(order)
        sent = hub.notify(
            title=order["title"],
            body=body,
            body_format=form,
            notify_type=_KIND.get(order["trouble"], apprise.NotifyType.INFO),
        )
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and its text may hold the address
        ear.lines.append(type(error).__name__)
        return _classify(ear.lines)
    return "sent" if sent else _classify(ear.lines)


def _body(order: Order) -> tuple[str, apprise.NotifyFormat]:
    """Return the message in the form that its address asks for."""
    asked = _FORMAT.search(order["url"])
    form = asked[1].lower() if asked else "html" if _MAIL.match(order["url"]) else "text"
    if form == "html" and order["html"]:
        return order["html"], apprise.NotifyFormat.HTML
    if form == "markdown":
        return order["markdown"], apprise.NotifyFormat.MARKDOWN
    return order["text"], apprise.NotifyFormat.TEXT


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


def _classify(lines: list[str]) -> str:
    for word, sign in _SIGNS:
        if any(sign.search(line) for line in lines):
            return word
    return "unknown"


if __name__ == "__main__":
    sys.exit(main())
