"""Who wrote the lines of policy that an explanation names, who signed them, and how long they hold."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from reconciler.cli.wiring.remotes import signing_rules
from reconciler.errors import ReconcilerError
from reconciler.gitops.authorship import Authorship, Place, authorship
from reconciler.gitops.git import Git
from reconciler.gitops.policy_mirror import PolicyMirror
from reconciler.gitops.signed_history import SignedHistory
from reconciler.host.config import Config
from reconciler.planning.gates.types import SignedBy
from reconciler.planning.text.canonical import instant
from reconciler.planning.text.untrusted import one_line
from reconciler.planning.text.wording import minute
from reconciler.policy.resolve import Effective
from reconciler.policy.zones import end_instant, zone
from reconciler.reconcile.ports.policies import Unverified
from reconciler.records import dataclass

_MOST = 20
"""Lines of policy that are looked up: each takes two or three processes."""
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class WrittenLine:
    """A line of policy.

    Attributes:
        origin: ``FILE:LINE@COMMIT``, as explanations name it.
        by: Who wrote it, or last changed the document that begins there and ends by itself; ``None`` where
            git cannot tell.
        signature: Who signed the commit that brought it, or why that counts no more, in words; empty where
            signatures are not asked for.
        expires: When it stops to hold by itself; ``None`` where it does not.
    """

    origin: str
    by: Authorship | None
    signature: str
    expires: datetime | None

    def text(self) -> str:
        """Return it in words, on one line."""
        place = self.origin.partition("@")[0]
        until = "" if self.expires is None else f"; until {minute(self.expires)}"
        if self.by is None:
            return f"{place}: git cannot tell who wrote it{until}"
        by = self.by
        who = f"by {one_line(by.author, _LONGEST)} on {minute(by.at)}"
        merged = "" if by.accepted in {"", by.commit} else f", accepted with {by.accepted[:12]}"
        signed = f", {self.signature}" if self.signature else ""
        subject = one_line(by.subject, _LONGEST)
        return f'{place}: {who} in {by.commit[:12]} "{subject}"{merged}{signed}{until}'

    def plain(self) -> dict[str, object]:
        """Return it as JSON data."""
        by = self.by
        return {
            "origin": self.origin,
            "commit": None if by is None else by.commit,
            "author": None if by is None else by.author,
            "at": None if by is None else instant(by.at),
            "subject": None if by is None else by.subject,
            "accepted": None if by is None else by.accepted or None,
            "signature": self.signature or None,
            "expires": None if self.expires is None else instant(self.expires),
        }


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of one policy commit, and which of them begin a document that ends by itself.

    Attributes:
        commit: Of the policy.
        origins: As explanations name them; others, and those of the host itself, are passed over.
        ends: When documents end, by their origins.
    """

    commit: str
    origins: tuple[str, ...]
    ends: Mapping[str, datetime]

    @classmethod
    def of(cls, effective: Effective, origins: Iterable[str]) -> "Lines":
        """Return lines of what holds for a host."""
        return cls(effective.commit, tuple(origins), _ends(effective))


def written_lines(config: Config, source: PolicyMirror, lines: Lines, now: datetime) -> list[WrittenLine]:
    """Return who wrote the lines that are named, each once, in their order.

    Args:
        config: Of the host.
        source: The policy that it follows.
        lines: Which.
        now: The present instant, by which keys count.
    """
    named = dict.fromkeys(lines.origins)
    chosen = [one for one in named if _place(one, lines.commit) is not None][:_MOST]
    try:
        line = source.line(lines.commit) if chosen else ()
    except ReconcilerError:
        line = ()  # What holds is explained all the same.
    rules = signing_rules(config)
    asker = _Asker(None if rules is None else SignedHistory(source, rules), now)
    found = []
    for origin in chosen:
        place = _place(origin, lines.commit, is_document=origin in lines.ends)
        by = authorship(Git(source.mirror), place, line) if place and line else None
        signature = "" if by is None else asker.who(by.accepted)
        found.append(WrittenLine(origin, by, signature, lines.ends.get(origin)))
    return found


def _place(origin: str, commit: str, *, is_document: bool = False) -> Place | None:
    file_line, _, short = origin.rpartition("@")
    file, _, line = file_line.rpartition(":")
    if not file or not line.isdecimal() or not short or not commit.startswith(short):
        return None
    return Place(file, int(line), commit, is_document)


def _ends(effective: Effective) -> Mapping[str, datetime]:
    """Return when documents end, by their origins."""
    found = {str(one.origin): one.value.ends() for one in effective.exceptions}
    found |= {str(one.origin): one.value.ends() for one in effective.approvals}
    for freeze in effective.freezes:
        found[str(freeze.origin)] = end_instant(freeze.value.until, zone(freeze.value.timezone))
    return found


class _Asker:
    """Says who signed a commit, each asked once."""

    def __init__(self, history: SignedHistory | None, now: datetime) -> None:
        self._history = history
        self._now = now
        self._known: dict[str, str] = {}

    def who(self, commit: str) -> str:
        if self._history is None or not commit:
            return ""
        if commit not in self._known:
            self._known[commit] = self._ask(self._history, commit)
        return self._known[commit]

    def _ask(self, history: SignedHistory, commit: str) -> str:
        try:
            found = history.verify((commit,), self._now)
        except ReconcilerError as error:
            return f"its signature cannot be looked at: {error.message}"
        match found:
            case Unverified(message=message):
                return f"its signature is not good today: {message}"
            case (SignedBy(signer=signer, fingerprint=fingerprint), *_):
                return f"signed by {one_line(signer, _LONGEST)} ({fingerprint})"
            case _:
                return "its signature cannot be looked at"
