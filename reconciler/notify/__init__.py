"""Notifications on transitions: routes from policy, addresses from local credentials, apprise in a child.

What deserves a message is decided by the pure :mod:`reconciler.planning.events`; here it is kept until it is
delivered. An address (an apprise URL) is a secret: it is never an argument of a process, never in a stored
message, a result or an error.
"""

from reconciler.notify.addresses import Address, CredentialSource, FileSource, Notifiers, redact, secrets_of
from reconciler.notify.delivery import Answer, AppriseSender, cause_of
from reconciler.notify.outbox import Delivery, Down, Outbox, Pending, Refused, Send, Sent, Verdict
from reconciler.planning.events import Route

__all__ = [
    "Address",
    "Answer",
    "AppriseSender",
    "CredentialSource",
    "Delivery",
    "Down",
    "FileSource",
    "Notifiers",
    "Outbox",
    "Pending",
    "Refused",
    "Route",
    "Send",
    "Sent",
    "Verdict",
    "cause_of",
    "redact",
    "secrets_of",
]
