"""The policy repository: one bare mirror, one branch, forward only.

- A quiet tick starts one child: ``git fetch`` of one full refspec. (``git ls-remote`` of a pattern would make
  the server send every ref.) The new head is then read from the ref's file.
- What was accepted last is remembered twice: by the caller (:class:`Acceptance`, for the state file) and by a
  ref of the mirror, so that losing either loses nothing. The next head must have it on its first-parent line.
- Where the remote cannot be reached the last good revision stays usable, with its age.
- A damaged mirror is replaced by a new one only after that one was fetched.
"""

import contextlib
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from reconciler.errors import Misuse, ReconcilerError, Stalled, Transient
from reconciler.gitops import damage
from reconciler.gitops.failures import (
    NO_GIT_HINT,
    NO_GIT_SERVER,
    Damaged,
    NoSuchBranch,
    Suspect,
    explain,
)
from reconciler.gitops.git import CUT_OFF, QUIET_FETCH, Git, GitAccess, commit_date
from reconciler.gitops.refs import is_oid, is_ref_safe, read_file, read_ref, write_file, write_ref
from reconciler.policy.remotes import one_line, parse_remote, redact_url
from reconciler.reconcile.ports.policies import (
    Acceptance,
    Advanced,
    CommitInfo,
    Fetched,
    FirstUse,
    Offline,
    Rewritten,
    Succession,
    Unchanged,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_Answer = TypeVar("_Answer")

_NAME = "policy"
_ACCEPTED = "refs/patchledger/accepted"
_FLOOR_FILE = "patchledger-floor"
_FETCHED_FILE = "patchledger-fetched"
_SHORT = 12
_MAX_LINE = 16 * 2**20
"""Bytes of a first-parent line: 400,000 commits."""
_FLOOR_HINT = "if the rewrite was intended, set trust.floor to the full id of a commit of the new history"


class PolicyMirror:
    """The policy repository as this host sees it.

    One process at a time may use a mirror; the machine's lock file sees to that.

    Args:
        mirror: The bare mirror, made on first use.
        remote: Address of the policy repository.
        ref: A branch, as ``main`` or ``refs/heads/main``.
        options: How to reach it.
        floor: ``trust.floor``: full id of a commit every accepted head must have on its first-parent line.

    Attributes:
        shown: The remote, fit for people.
        tracking: Full name of the ref that a fetch updates in the mirror.
        stamp: File whose time says when the remote last answered.
        notices: What a person should know and is no failure, such as a mirror that was fetched anew.

    Raises:
        Misuse: The address, branch or floor cannot be used.
    """

    def __init__(
        self,
        mirror: "Path",
        remote: str,
        ref: str = "main",
        options: GitAccess | None = None,
        floor: str | None = None,
    ) -> None:
        self.mirror = mirror.absolute()
        self.shown = redact_url(remote)
        self.branch = _branch(ref)
        self.floor = _checked_floor(floor)
        self.notices: tuple[str, ...] = ()
        self._remote = parse_remote(remote)
        self._git = Git(self.mirror, options)
        self._reach: tuple[float, datetime] | None = None
        self.stamp = self.mirror / _FETCHED_FILE
        self.tracking = f"refs/remotes/{_NAME}/{self.branch}"
        refspec = f"+refs/heads/{self.branch}:{self.tracking}"
        self._fetch_arguments = (*QUIET_FETCH, _NAME, refspec)

    def fetch(self, *, timeout: float, now: datetime) -> Fetched | Offline:
        """Ask the remote for its branch: one child where nothing is wrong.

        Args:
            timeout: Seconds for each conversation with the remote.
            now: Remembered as the time of a successful fetch.

        Returns:
            :class:`Offline` where the remote cannot be reached but was fetched earlier.

        Raises:
            Transient: It cannot be reached and there is nothing from before.
            Stalled: Authentication, host key, certificate, no such repository or branch, an empty repository,
                a full disk, a transfer too large. What was accepted earlier can still be read.
            Misuse: A file of the options cannot be used.
        """
        if not self.mirror.exists():
            damage.create_bare(self.mirror, self._git)
        self._reach = (timeout, now)
        try:
            self._check_history()
            before = self.head()
            problem = self._fetch_into(self._git, timeout)
            if problem is None:
                return self._arrived(now)
        except Damaged as damaged:
            before, problem = None, damaged
        return self._recovered(before, problem, timeout, now)

    def invocation(self) -> tuple[list[str], dict[str, str]]:
        """Return the argument list and environment of the one child :meth:`fetch` starts.

        For a quiet tick that remembers them, so without secrets: where a password is part of an address the
        child fails, and :meth:`fetch` must be asked.

        Raises:
            Misuse: A file of the options cannot be used.
        """
        argv, environment = self._git.invocation(self._remote, _NAME, *self._fetch_arguments)
        return argv, self._git.storable(environment)

    def head(self) -> str | None:
        """Return the commit of the branch as last fetched, without starting a process; None before the first.

        Raises:
            Damaged: The mirror's ref holds something else.
        """
        return read_ref(self.mirror, self.tracking)

    def fetched_at(self) -> datetime | None:
        """Return when the remote last answered, in UTC; None where the mirror does not know."""
        try:
            return datetime.fromtimestamp(self.stamp.stat().st_mtime, UTC)
        except OSError:
            return None

    def accepted(self) -> Acceptance | None:
        """Return what the mirror remembers as accepted last, without starting a process."""
        try:
            commit = read_ref(self.mirror, _ACCEPTED)
        except Damaged:
            return None  # The state file has it too.
        floor, _, verified = read_file(self.mirror / _FLOOR_FILE).partition("\n")
        return Acceptance(commit, floor.strip(), verified.strip() == commit) if commit else None

    def accept(self, commit: str, *, is_verified: bool = False) -> Acceptance:
        """Remember ``commit`` as the accepted one; return what belongs into the state file.

        Args:
            commit: A fetched one.
            is_verified: Signatures were asked for, and were good.

        Raises:
            Stalled: The file system refuses.
        """
        # Written first, and by its name: whoever is killed in between has verified nothing.
        verified = commit if is_verified else ""
        write_file(self.mirror / _FLOOR_FILE, f"{self.floor}\n{verified}\n", alone=True)
        write_ref(self.mirror, _ACCEPTED, commit, alone=True)
        return Acceptance(commit, self.floor, is_verified)

    def whole(
        self, ask: "Callable[[], _Answer]", *, timeout: float | None = None, now: datetime | None = None
    ) -> "_Answer":
        """Return what ``ask`` reads of the mirror: the one door through which it is read.

        A mirror that turns out to be damaged is fetched anew, once, and asked again.

        Args:
            ask: Reads it.
            timeout: As of :meth:`fetch`, whose last ones count without these.
            now: The same.

        Raises:
            Transient: It is damaged, and the remote cannot be reached, or was not asked before.
            Stalled: As of :meth:`fetch`.
        """
        try:
            return ask()
        except Damaged as damaged:
            reach = self._reach if timeout is None or now is None else (timeout, now)
            if reach is None:
                raise
            try:
                self.rebuild(timeout=reach[0], now=reach[1])
            except Transient as cannot:
                raise Transient(
                    f"{damaged.message}; {cannot.message}", "it is fetched anew as soon as the remote answers"
                ) from cannot
        return ask()

    def succession(self, head: str, acceptance: Acceptance | None = None) -> Succession:
        """Say whether ``head`` may follow what was accepted: history only moves forward.

        Args:
            head: A fetched commit.
            acceptance: From the state file; without it the mirror's own memory is used.

        Raises:
            Transient: As of :meth:`whole`.
            Stalled: As of :meth:`whole`.
        """
        return self.whole(lambda: self._succession(head, acceptance))

    def _succession(self, head: str, acceptance: Acceptance | None) -> Succession:
        acceptance = acceptance or self.accepted()
        if acceptance is not None and acceptance.commit == head:
            return Unchanged(head)
        since = acceptance.commit if acceptance is not None else self.floor
        if acceptance is not None and self.floor and acceptance.floor != self.floor:
            since = self.floor  # The operator has named a new beginning.
        if not since:
            return FirstUse(head)
        if since == head:
            return Advanced(head, since, ())
        return self._line_from(since, head)

    def line(self, commit: str) -> tuple[str, ...]:
        """Return the first-parent line of ``commit``, itself first; empty where the mirror does not hold it.

        Raises:
            Transient: As of :meth:`whole`.
            Stalled: As of :meth:`whole`.
        """
        return self.whole(lambda: self._line(commit))

    def _line(self, commit: str) -> tuple[str, ...]:
        if not self._has(commit):
            return ()
        listed = self._git.run("log", "--first-parent", "--format=%H", commit, "--", limit=_MAX_LINE)
        if listed.returncode:
            raise damage.judge(self._git, listed, f"cannot list the history of {commit[:_SHORT]}")
        return tuple(listed.text.split())

    def describe(self, commit: str) -> CommitInfo:
        """Return when ``commit`` was made, and what its message begins with.

        Raises:
            Transient: There is no such commit, or as of :meth:`whole`.
            Stalled: As of :meth:`whole`.
        """
        return self.whole(lambda: self._describe(commit))

    def _describe(self, commit: str) -> CommitInfo:
        shown = self._git.run("log", "-1", "--format=%ct%x00%s", commit, "--")
        if shown.returncode:
            raise damage.judge(self._git, shown, f"cannot read commit {commit[:_SHORT]}")
        seconds, subject = shown.text.rstrip("\n").split("\0", 1)
        return CommitInfo(commit_date(seconds), one_line(subject, 200))

    def latest(self, commit: str) -> tuple[str, datetime]:
        """Return which commit of the first-parent line of ``commit`` bears the latest date, and that.

        Raises:
            Transient: As of :meth:`whole`.
            Stalled: As of :meth:`whole`.
        """
        return self.whole(lambda: self._latest(commit))

    def _latest(self, commit: str) -> tuple[str, datetime]:
        listed = self._git.run("log", "--first-parent", "--format=%ct %H", commit, "--", limit=_MAX_LINE)
        if listed.returncode:
            raise damage.judge(self._git, listed, f"cannot list the history of {commit[:_SHORT]}")
        dates = (line.split() for line in listed.lines)
        at, oid = max((commit_date(seconds), oid) for seconds, oid in dates)
        return oid, at

    def soundness(self) -> bool | None:
        """Say what :func:`reconciler.gitops.damage.soundness` does."""
        return damage.soundness(self._git)

    def rebuild(self, *, timeout: float, now: datetime) -> Fetched:
        """Fetch a new mirror and move the damaged one aside; where that fails the old one stays.

        Raises:
            Transient: The remote cannot be reached.
            Stalled: As of :meth:`fetch`.
        """
        fresh = self.mirror.with_name(self.mirror.name + ".rebuilt")
        damage.remove_tree(fresh)
        git = Git(fresh, self._git.options)
        damage.create_bare(fresh, git)
        problem = self._fetch_into(git, timeout)
        if problem is not None:
            damage.remove_tree(fresh)
            raise problem
        self._salvage(git)
        aside = damage.move_aside(self.mirror, keep=1)
        fresh.rename(self.mirror)
        self.notices += (f"the policy mirror was damaged; it was fetched anew and the old one is {aside}",)
        return self._arrived(now)

    def _arrived(self, now: datetime) -> Fetched:
        head = self.head()
        if head is None:
            raise Damaged(f"{self.mirror} did not keep the branch it fetched")
        if read_file(self.stamp).strip() != head:
            write_file(self.stamp, head + "\n", alone=True)
        os.utime(self.stamp, (now.timestamp(), now.timestamp()))
        # A quiet tick may have fetched what is new, so this does not ask whether anything is.
        with contextlib.suppress(ReconcilerError):  # Only tidying: what matters is found when it is read.
            damage.keep_small(self._git)
        return Fetched(head)

    def _check_history(self) -> None:
        """Refuse a mirror whose history was cut off or changed by hand."""
        for name in ("shallow", "info/grafts"):
            if (self.mirror / name).exists():
                raise Damaged(f"{self.mirror} does not hold the whole history: there is {name}")

    def _fetch_into(self, git: Git, timeout: float) -> ReconcilerError | None:
        done = git.talk(self._remote, _NAME, *self._fetch_arguments, timeout=timeout)
        if not done.returncode and not done.timed_out:
            if CUT_OFF not in done.error_text:
                return None
            said = f"cannot fetch the policy from {self.shown}: what is there is a shallow clone"
            return Stalled(said, "have the whole history there: git fetch --unshallow")
        return explain(done, f"cannot fetch the policy from {self.shown}", self._remote)

    def _recovered(
        self, before: str | None, problem: ReconcilerError, timeout: float, now: datetime
    ) -> Fetched | Offline:
        """Go on after a failed fetch: retry without stale locks, rebuild, stay offline, or raise."""
        if isinstance(problem, NoSuchBranch):
            problem = self._no_branch(problem, timeout)
        in_doubt = isinstance(problem, Suspect) and not damage.is_sound(self._git)
        if in_doubt or isinstance(problem, Damaged):
            try:
                return self.rebuild(timeout=timeout, now=now)
            except Transient as cannot:
                problem = cannot
        elif isinstance(problem, Transient):
            try:
                again = self._fetch_into(self._git, timeout) if damage.unlock(self.mirror) else problem
            except Transient as locked:
                again = locked
            if again is None:
                return self._arrived(now)
            problem = again
        accepted = self.accepted()
        # Without any policy there is nothing to go on with, and no reason to call that offline.
        if isinstance(problem, Transient) and (before or accepted):
            return Offline(problem)
        raise problem

    def _no_branch(self, problem: NoSuchBranch, timeout: float) -> ReconcilerError:
        listed = self._git.list_heads(self._remote, _NAME, timeout=timeout)
        if listed is None:
            said = f"cannot fetch the policy from {self.shown}: {NO_GIT_SERVER}"
            return Transient(said, NO_GIT_HINT, "NoGitServer")
        if listed.returncode or listed.truncated:
            return problem
        names = [one_line(line.partition("refs/heads/")[2], 60) for line in listed.lines]
        doing = f"cannot fetch the policy from {self.shown}"
        if not names:
            return Stalled(
                f"{doing}: the repository is empty",
                f"push a first commit to its branch {self.branch}",
                problem.reason,
            )
        some = ", ".join(names[:5]) + (", …" if len(names) > len(names[:5]) else "")
        return NoSuchBranch(
            f"{doing}: there is no branch {self.branch}; it has {some}",
            "correct policy.ref in config.yaml",
            problem.reason,
        )

    def _line_from(self, since: str, head: str) -> Succession:
        if not self._has(since):
            return self._rewritten(since, head, "is not in the history of the new head")
        listed = self._git.run("log", "--first-parent", "--format=%H %P", f"^{since}", head, "--")
        if listed.returncode:
            raise damage.judge(self._git, listed, f"cannot compare {since[:_SHORT]} with {head[:_SHORT]}")
        line = [row.split() for row in listed.lines]
        if not line:
            return self._rewritten(since, head, "is newer than the new head (the branch was moved back)")
        if line[-1][1:2] != [since]:
            return self._rewritten(since, head, "is not on the first-parent line of the new head")
        return Advanced(head, since, tuple(row[0] for row in reversed(line)))

    def _has(self, commit: str) -> bool:
        if not self._git.run("cat-file", "-e", f"{commit}^{{commit}}").returncode:
            return True
        if not damage.is_sound(self._git):
            raise Damaged(f"{self.mirror} is damaged: commit {commit[:_SHORT]} cannot be read")
        return False

    def _rewritten(self, since: str, head: str, how: str) -> Rewritten:
        message = (
            f"the policy branch {self.branch} of {self.shown} does not continue what was accepted: "
            f"commit {since} {how} {head}; the accepted one stays in force"
        )
        return Rewritten(head, since, Stalled(message, _FLOOR_HINT))

    def _salvage(self, fresh: Git) -> None:
        """Carry over what only the old mirror remembers, as far as it can be read."""
        accepted = self.accepted()
        # A rewritten branch no longer has the accepted commit; without it the host could not go on with that.
        if accepted is not None and damage.salvage(fresh, self.mirror, accepted.commit):
            write_ref(fresh.git_dir, _ACCEPTED, accepted.commit)
            write_file(fresh.git_dir / _FLOOR_FILE, read_file(self.mirror / _FLOOR_FILE))


def _branch(ref: str) -> str:
    name = ref.removeprefix("refs/heads/")
    if not is_ref_safe(name) or name.startswith("refs/"):
        raise Misuse(f"policy.ref: '{one_line(ref)}' is not a branch", "name a branch, such as main")
    return name


def _checked_floor(floor: str | None) -> str:
    if floor and not is_oid(floor):
        raise Misuse(f"trust.floor: '{one_line(floor)}' is not a full commit id", "write all 40 digits of it")
    return floor or ""
