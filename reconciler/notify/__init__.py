"""Notifications on transitions: routes from policy, addresses from local credentials, apprise in a child.

What deserves a message is decided by the pure :mod:`reconciler.planning.notices.events`; here it is kept
until it is delivered. An address (an apprise URL) is a secret: it is never an argument of a process, never in
a stored message, a result or an error.
"""

from reconciler.notify.addresses import (
    Address,
    CredentialSource,
    DecryptedSource,
    FileSource,
    GivenSource,
    Notifiers,
    parse_address,
    redact,
    secrets_of,
)
from reconciler.notify.delivery import ANSWERS, CANNOT_BE_ASKED, AppriseSender, ServiceAnswer, ask, cause_of
from reconciler.notify.entries import (
    Courier,
    Down,
    Gone,
    Later,
    Pending,
    Refused,
    Send,
    Sent,
    Verdict,
)
from reconciler.notify.outbox import Outbox, OutboxMessenger
from reconciler.notify.rounds import Delivery
from reconciler.planning.notices.events import Route

__all__ = [
    "ANSWERS",
    "CANNOT_BE_ASKED",
    "Address",
    "AppriseSender",
    "Courier",
    "CredentialSource",
    "DecryptedSource",
    "Delivery",
    "Down",
    "FileSource",
    "GivenSource",
    "Gone",
    "Later",
    "Notifiers",
    "Outbox",
    "OutboxMessenger",
    "Pending",
    "Refused",
    "Route",
    "Send",
    "Sent",
    "ServiceAnswer",
    "Verdict",
    "ask",
    "cause_of",
    "parse_address",
    "redact",
    "secrets_of",
]
