"""Whose reports count: those signed by the key that the host's document named at their time.

The rules:

1. A Host document with a ``report_key`` enrols a host. One without is about labels alone.
2. A report is judged by the document at the policy commit that the host followed then. So a report that was
   signed before the key changed stays valid, and one that the old key signs afterwards does not.
3. A host never goes back: what names an older policy than a good report before it is judged by that one.
   So whoever has found an old key cannot choose the time that suits it.
4. Where the document went, or lost its key, nothing counts until it is enrolled anew. (A host whose document
   is there applies updates all the same: it is retired by its own rules where that went,
   :mod:`reconciler.reconcile.identity`.)
5. What a key signed that was revoked where this is asked counts no more, whenever it says that it was signed:
   whoever stole the key writes any date.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.policy.signers import NOTHING_REVOKED, Revocation, fingerprint_of_line
from reconciler.policy.values import GLOB, LABEL_KEY
from reconciler.records import dataclass

if TYPE_CHECKING:  # whoever judges reports has read which key is whose
    from reconciler.policy.documents import Host
from reconciler.policy.machine_ids import machine_id_of


@dataclass(frozen=True, slots=True)
class Applicant:
    """What a machine has to say of itself to be enrolled.

    Attributes:
        host: Its host id.
        labels: What it says of itself; a document's labels beat them, so that they must be repeated there.
        machine_id: Content of its ``/etc/machine-id``, empty where it has none.
        report_key: The public key that signs its reports, as ``ssh-ed25519 AAAA…``.
    """

    host: str
    labels: Mapping[str, str]
    machine_id: str
    report_key: str

    @property
    def file(self) -> str:
        """Where its document goes."""
        return f"hosts/{self.host}.yaml"

    def document(self) -> str:
        """Return the Host document that enrols it; labels that no document can have are left out."""
        labels = {
            key: value
            for key, value in sorted(self.labels.items())
            if re.fullmatch(LABEL_KEY, key) and re.fullmatch(GLOB, value)
        }
        lines = ["kind: Host", f"name: {json.dumps(self.host)}"]
        lines += ["labels:", *(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in labels.items())]
        lines = lines if labels else lines[:2]
        lines += [f'machine_id: "{self.machine_id}"'] if machine_id_of(self.machine_id) else []
        return "\n".join([*lines, f'report_key: "{self.report_key} {self.host}"', ""])

    def is_named_by(self, document: "Host") -> bool:
        """Say whether a document is this machine's: by its key, and by its machine id where it has one."""
        key = document.report_key
        return (
            key is not None
            and fingerprint_of_line(key) == fingerprint_of_line(self.report_key)
            and document.machine_id in {None, self.machine_id}
        )


class Standing(StrEnum):
    """What a signature of a report is worth."""

    ENROLLED = "enrolled"
    """By the host's key."""
    FORMER_KEY = "former-key"
    """By the key that was the host's then; it has another one now, or is retired."""
    OTHER_KEY = "other-key"
    """By a key that was not the host's: it proves nothing."""
    REVOKED = "revoked"
    """By the host's key, which is revoked."""
    RETIRED = "retired"
    """The host had been retired by then."""
    UNENROLLED = "unenrolled"
    """No document had named a key of the host yet."""
    UNKNOWN_POLICY = "unknown-policy"
    """It names a policy commit that the policy does not hold, or none."""

    @property
    def counts(self) -> bool:
        """Whether the report is the host's."""
        match self:
            case Standing.ENROLLED | Standing.FORMER_KEY:
                return True
            case Standing.OTHER_KEY | Standing.REVOKED | Standing.RETIRED:
                return False
            case Standing.UNENROLLED | Standing.UNKNOWN_POLICY:
                return False


@dataclass(frozen=True, slots=True)
class Told:
    """What a signed report says.

    Attributes:
        key: Fingerprint of the key that signed it.
        policy: The policy commit that it names; empty where it names none.
    """

    key: str
    policy: str


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The keys of one host, along the first-parent line of the policy.

    Attributes:
        places: Of each commit of the line in it, counted from 0 for the oldest; one for all hosts.
        changes: From which place on which key counts, in order; before the first none did.
        revoked: Keys that count no more.
        is_open: Nobody is enrolled anywhere: each report counts, and none is proved.
    """

    places: Mapping[str, int]
    changes: Sequence[tuple[int, str]]
    revoked: Revocation = field(default=NOTHING_REVOKED, repr=False)
    is_open: bool = False

    @property
    def key(self) -> str:
        """The key that counts now, empty where none does."""
        return self.changes[-1][1] if self.changes else ""

    def standing(self, told: Told) -> Standing:
        """Say what one report is worth by itself, by the policy commit that it names."""
        return self._at(self.places.get(told.policy, -1), told.key)

    def standings(self, branch: Iterable[Told], after: str = "") -> Iterator[Standing]:
        """Say what each report of a branch is worth.

        Args:
            branch: Its reports, the oldest first. One that names no policy is judged by that of the one
                before it.
            after: The policy that the last good report before these names, empty where there was none.
        """
        newest = self.places.get(after, -1)
        for told in branch:
            at = self.places.get(told.policy, -1) if told.policy else newest
            found = self._at(max(at, newest) if at >= 0 else -1, told.key)
            newest = max(at, newest) if found.counts else newest
            yield found

    def _at(self, at: int, key: str) -> Standing:
        if self.is_open:
            return Standing.ENROLLED
        if at < 0:
            return Standing.UNKNOWN_POLICY
        until = [change for change in self.changes if change[0] <= at]
        named = until[-1][1] if until else ""
        if named:
            if key != named:
                return Standing.OTHER_KEY
            if self.revoked.has(key):
                return Standing.REVOKED
            return Standing.ENROLLED if self.key == named else Standing.FORMER_KEY
        return Standing.RETIRED if until else Standing.UNENROLLED
