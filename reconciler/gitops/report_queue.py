"""The report repository: one branch per target, committed first, pushed when the remote can be reached.

- The queue is a bare repository. A report is in it, whole, before anything is sent; what the remote has is
  known from the remote-tracking refs, so a crash at any point repeats at most a push.
- Nothing is ever force-pushed or rewritten. Where the remote has a history that a lost queue does not know,
  the two are joined by a merge commit; where another writer is at work, that is said and nothing is
  overwritten.
- Where the remote is another one than before, the branch goes on there (:mod:`reconciler.gitops.moves`).
- A branch may hold what somebody else wrote: only files of a report are continued, and no foreign name
  reaches git (:mod:`reconciler.gitops.report_tree`).
- A commit needs no work tree: ``ls-tree`` and ``fast-import``, and ``commit-tree`` where commits are signed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reconciler.errors import ReconcilerError, Stalled, Transient
from reconciler.gitops import damage, salvage, second_copy
from reconciler.gitops.commit_tree import commit_tree
from reconciler.gitops.failures import (
    NO_GIT_HINT,
    NO_GIT_SERVER,
    Damaged,
    NoSuchBranch,
    Suspect,
    explain,
)
from reconciler.gitops.git import PLAIN_PUSH, QUIET_FETCH, Git, GitAccess, commit_date
from reconciler.gitops.moves import ELSEWHERE, Moves
from reconciler.gitops.objects import bounded, described
from reconciler.gitops.refs import is_oid, list_refs, read_ref, target_of, write_ref
from reconciler.gitops.refusals import Rejection, refusal, rejections
from reconciler.gitops.report_branches import checked_branch, checked_id, host_branch, is_report_branch
from reconciler.gitops.report_tree import (
    OWN_NAMES,
    Files,
    ReportPath,
    blob_id,
    import_stream,
    read_files,
    surplus_runs,
)
from reconciler.gitops.signed_commits import read_commit
from reconciler.gitops.signed_reports import own_public_key, signatures_of
from reconciler.ownership import check_ours
from reconciler.planning.text.untrusted import commit_message
from reconciler.policy.remotes import Remote, one_line, parse_remote, redact_url
from reconciler.policy.signers import Revocation, fingerprint_of_line
from reconciler.reconcile.ports.reports import (
    NOBODY,
    Commit,
    Diverged,
    NothingNew,
    Pushed,
    Queued,
    SignedReport,
    Stored,
    Writer,
)
from reconciler.records import dataclass

if TYPE_CHECKING:
    from reconciler.process import Completed

_Answer = TypeVar("_Answer")

_NAME = "reports"
_OTHER = "others"
_REPORT = ReportPath("report.json")
_TRACKING = f"refs/remotes/{_NAME}/"
_STAGED = "refs/patchledger/staged"
_ADOPT_TIMEOUT = 30.0
_MOST_ASKED = 8
"""Remotes that a host which knows nothing looks into besides its own, the likeliest first."""
_MAX_REPORT = 64 * 1024 * 1024
_MAX_FOREIGN = 8 * 1024 * 1024
"""Of a report that another wrote, to learn of which machine it is: small pieces of JSON take thirty times
their size in memory, and a tick is ended where it takes too much."""
_MOST_VALUES = 3_000_000
"""In the JSON of one file: about what one of ours has that is as large as may be. Each takes up to a hundred
bytes of memory."""
_MAX_LISTING = 16 * 1024 * 1024
_ASKED_COMMITS = 200
"""How far back a run is looked for: whoever asks is the tick after the one that committed it."""
_ASKED_FOREIGN = 2000
"""How far back reports by the own key are looked for where somebody else may have pushed as well."""
_POLICY_COMMITS = "--format=%(trailers:key=Policy-Commit,valueonly)"
_MAX_HISTORY = 100_000
_READ_AT_ONCE = 20
_MAX_COUNTED = 1000
_MACHINE = "Machine"
"""The trailer of a commit by which a person has a branch continued on another machine."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Author and committer of every report.

    Attributes:
        host: The host id.
        signing_key: ssh private key that signs the commits; empty leaves them unsigned.

    Raises:
        Misuse: The host id is none.
    """

    host: str
    signing_key: str = ""

    def __post_init__(self) -> None:
        checked_id(self.host)

    @property
    def name(self) -> str:
        """Such as ``patchledger on web-01``."""
        return f"patchledger on {self.host}"

    @property
    def address(self) -> str:
        """Such as ``web-01@web-01``: what stands in a list of allowed signers."""
        return f"{self.host}@{self.host}"


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a branch that a person asked to repair.

    Attributes:
        branch: Its name.
        found: What was wrong; None where the remote had nothing that is not known here.
        joined: The commit that joins both; empty where none was needed.
        sent: The remote has been sent what it did not have.
    """

    branch: str
    found: Diverged | None
    joined: str
    sent: bool


class ReportQueue:
    """This host's side of the report repository.

    One process at a time may use a queue; the machine's lock file sees to that.

    Args:
        queue: The bare repository that is the queue, made on first use.
        remote: Address of the report repository; None keeps the reports here.
        identity: Who writes.
        options: How to reach the remotes.
        others: Addresses of remotes where this host's reports may be from before: they are looked for there
            where nothing is known here.
        copies: Gives files that hold what reports hold, too: a queue that is damaged takes from them.
        revoked: Gives the keys that count no more: what this host's own signed proves nothing then.

    Attributes:
        notices: What a person should know and is no failure, such as a queue that was built anew.
        rebuilds: How often it was built anew: what was decided by the queue of before is to be decided again.

    Raises:
        Misuse: The address cannot be used.
    """

    def __init__(
        self,
        queue: "Path",
        remote: str | None,
        identity: Identity,
        options: GitAccess | None = None,
        *,
        others: "Sequence[str]" = (),
        copies: "Callable[[], Iterable[Path]]" = tuple,
        revoked: "Callable[[], Revocation]" = Revocation,
    ) -> None:
        self.queue = queue.absolute()
        self.notices: tuple[str, ...] = ()
        self.rebuilds = 0
        self.shown = redact_url(remote or "")
        self._remote = parse_remote(remote) if remote else None
        self._address = remote
        self._others = others
        self._copies = copies
        self._revoked = revoked
        self._identity = identity
        self._git = Git(self.queue, options)
        self._moves = Moves(self._git, remote, _TRACKING)
        self._rebuilt = self.queue.with_name(self.queue.name + ".rebuilt")
        self._asked: set[str] = set()
        self._is_away = False
        self._keep_runs: int | None = None
        self._read: dict[str, Stored] = {}

    def last(self, branch: str, file: str = "report.json") -> Stored | None:
        """Return the last report of ``branch``, or None where there is none.

        Raises:
            Stalled: The file system refuses.
        """
        path = ReportPath(file)
        return self._whole(lambda: self._last(branch, path))

    def policy_commits(self, branch: str) -> Iterator[str]:
        """Yield the policy commits that the reports of ``branch`` name in their trailers, the newest first.

        All of the branch is looked at, as far as this queue and its remote know it: by the commit graph, and
        never by dates. Each commit is named once; that it exists, nobody says.

        Raises:
            Stalled: The file system refuses.
        """
        named = self._whole(lambda: self._policy_commits(branch))
        yield from dict.fromkeys(word for word in named.split() if is_oid(word))

    def since(self, branch: str, at: datetime) -> Iterator[bytes]:
        """Yield ``report.json`` of each report of ``branch`` that says something new, the oldest first.

        The first is the last one before ``at``, where there is one. A report that git has as a file again is
        not given twice; of the newest commits alone, as far as this queue and its remote know them.

        Args:
            branch: As for :meth:`commit`.
            at: Aware; compared with the dates of commits.

        Raises:
            Stalled: The file system refuses.
        """
        chosen = self._whole(lambda: self._reports_since(branch, at))
        for start in range(0, len(chosen), _READ_AT_ONCE):
            part = chosen[start : start + _READ_AT_ONCE]
            held = self._whole(partial(bounded, self._git, part, "cannot read the reports", _MAX_REPORT))
            yield from (data for data in held if data is not None)

    def proven(self, branch: str) -> Stored | None:
        """Return the newest report of ``branch`` that this host's own key signed, None without one.

        Only the newest commits are looked at, as far as this queue and its remote know them.

        Raises:
            Stalled: The file system refuses.
        """
        key = self._own_key()
        return self._whole(lambda: self._proven(branch, key)) if key else None

    def own_policy_commits(self, branch: str) -> frozenset[str] | None:
        """Return the policy commits that reports of ``branch`` name which this host's own key signed.

        Only the newest commits are looked at, as far as this queue and its remote know them.

        Returns:
            ``None`` where this host has no key.

        Raises:
            Stalled: The file system refuses.
        """
        key = self._own_key()
        return self._whole(lambda: frozenset(self._own_policy_commits(branch, key))) if key else None

    def record_of(self, branch: str, run: str) -> bytes | None:
        """Return the record of a run that one of the last commits of ``branch`` tells of.

        Args:
            branch: As for :meth:`commit`.
            run: Its id: the trailer ``Run`` of the commit.

        Returns:
            ``runs/<id>.json`` as that commit has it, empty where it has none; ``None`` where no commit tells
            of the run.

        Raises:
            Stalled: The file system refuses.
        """
        return self._whole(lambda: self._record_of(branch, run))

    def commit(
        self,
        branch: str,
        files: Mapping[str, bytes],
        message: str,
        when: datetime,
        *,
        keep_runs: int,
        is_heartbeat: bool = False,
    ) -> Commit | NothingNew:
        """Commit ``files`` on top of ``branch``; the other files of a report stay, and nothing else does.

        Args:
            branch: Such as from :func:`host_branch`.
            files: Content by path, such as ``runs/20261122T020000Z-0123456789ab.json``.
            message: From :func:`reconciler.planning.text.untrusted.commit_message`.
            when: Date of the commit, aware.
            keep_runs: How many runs stay in the tree, the newest by name; git's history keeps the rest.
            is_heartbeat: Make a commit also where every file is as in the last one.

        Raises:
            Stalled: The file system refuses or is full; the branch is as before.
            Misuse: The signing key cannot be used.
            Transient: Another process is writing the queue.
        """
        self._keep_runs = keep_runs
        named = {ReportPath(path): data for path, data in files.items()}
        done = self._whole(
            lambda: self._commit(branch, named, message, when, keep_runs, is_heartbeat=is_heartbeat)
        )
        if isinstance(done, Commit):
            with suppress(ReconcilerError):  # Only tidying: what matters is found when it is read.
                damage.keep_small(self._git)
        return done

    def unpushed(self) -> tuple[str, ...]:
        """Return the branches that have commits the remote is not known to have, without starting a process.

        Raises:
            Damaged: A ref of the queue cannot be read; :meth:`rebuild` it.
        """
        pushed, moved = list_refs(self.queue, _TRACKING), self._moves.heads()
        heads = list_refs(self.queue, "refs/heads/")
        names = ((ref.removeprefix("refs/heads/"), oid) for ref, oid in heads.items())
        return tuple(
            name
            for name, oid in names
            if is_report_branch(name) and oid not in {pushed.get(_TRACKING + name), moved.get(name)}
        )

    def unpushed_heads(self) -> tuple[set[str], set[str]]:
        """Return the heads of what :meth:`unpushed` names, and all commits that a remote is known to have.

        Raises:
            Damaged: As of :meth:`unpushed`.
        """
        heads = list_refs(self.queue, "refs/heads/")
        lacking = {heads[f"refs/heads/{name}"] for name in self.unpushed()}
        return lacking, {*list_refs(self.queue, _TRACKING).values(), *self._moves.heads().values()}

    def push(self, branches: Iterable[str] | None = None, *, timeout: float) -> Pushed | Queued:
        """Send what the remote does not have, never forced, all branches at once.

        Args:
            branches: Only these; every unpushed one without it.
            timeout: Seconds for each conversation with the remote.

        Returns:
            :class:`Queued` where the remote cannot be reached: the next push sends it.

        Raises:
            Stalled: Authentication, host key, no such repository, a server's hook said no, or another writer
                uses a branch; names the branches. Every other branch was pushed and nothing is lost.
            Misuse: A file of the options cannot be used.
        """
        chosen = None if branches is None else frozenset(branches)
        return self._whole(lambda: self._push(chosen, timeout))

    def standing(self, branch: str, *, timeout: float, ask: bool) -> Diverged | None:
        """Say whether somebody else has changed the remote's branch; None where not, or nobody can tell now.

        A branch that is gone there, or went back to an older report of ours, counts as not pushed from then
        on: the next push sends it again, and nothing is lost.

        Args:
            branch: Such as from :func:`host_branch`.
            timeout: Seconds for the question.
            ask: Ask the remote, by one fetch; else it is as it was seen last.
        """
        if not self.queue.exists():
            return None
        if not ask:
            return self._parted(branch)  # for a dry-run, too, which mends nothing
        return self._whole(lambda: self._asked_standing(branch, min(timeout, _ADOPT_TIMEOUT)))

    def question(self, branch: str) -> dict[str, Any] | None:
        """Return how a quiet tick sees that the remote's branch is as it was left; ``None`` without a remote.

        Returns:
            ``head``, the commit that the remote is known to have; ``folder`` and ``ref``, the file to read it
            from where the remote is a repository of this machine that has one, else an empty ``folder``;
            ``argv`` and ``env`` of the question by one child, without secrets.
        """
        ref = f"refs/heads/{branch}"
        head = read_ref(self.queue, _TRACKING + branch)
        if self._remote is None or head is None:
            return None
        argv, environment = self._git.invocation(self._remote, _NAME, "ls-remote", "--quiet", _NAME, ref)
        folder = Path(self._remote.path) if self._remote.path else None
        if folder is not None and (folder / ".git").is_dir():
            folder /= ".git"
        if folder is not None and not (folder / ref).is_file():
            folder = None
        env = self._git.storable(environment)
        return {"head": head, "folder": str(folder or ""), "ref": ref, "argv": argv, "env": env}

    def branches(self) -> tuple[str, ...]:
        """Return the report branches of the queue, sorted.

        Raises:
            Damaged: A ref of the queue cannot be read.
        """
        names = (ref.removeprefix("refs/heads/") for ref in list_refs(self.queue, "refs/heads/"))
        return tuple(name for name in names if is_report_branch(name))

    def repair(
        self, branch: str, *, timeout: float, keep_runs: int, machine: str = "", dry_run: bool = False
    ) -> Repaired:
        """Join a branch that somebody else has changed with this host's, and push it; no commit is dropped.

        Where the last report is of another machine, a commit says that the branch goes on on this one.

        Args:
            branch: Such as from :func:`host_branch`.
            timeout: Seconds for each conversation with the remote.
            keep_runs: As of :meth:`commit`.
            machine: The machine id of this host, empty where it has none.
            dry_run: Only look.

        Raises:
            Transient: The remote cannot be reached, or another writer was faster.
            Stalled: As of :meth:`push`.
        """
        return self._whole(lambda: self._repair(branch, timeout, keep_runs, machine, dry_run=dry_run))

    def continue_on(self, branch: str, machine: str, *, keep_runs: int) -> str:
        """Say on a branch that it goes on on another machine; return that commit, empty where none is made.

        For whoever knows which machine a target is, such as the hypervisor of a guest. Nothing is pushed.

        Args:
            branch: Of the target.
            machine: Its machine id from now on, empty where it has none: then nothing is said.
            keep_runs: As of :meth:`commit`.

        Raises:
            Stalled: It cannot be committed.
        """
        self._keep_runs = keep_runs
        return self._whole(lambda: self._continued_on(machine, branch))

    def join(self, branch: str, *, timeout: float) -> str:
        """Merge what the remote has on ``branch`` into this host's; return the new head, which can be pushed.

        For a person to call after a queue was lost or restored from a backup. The report is this host's; the
        newest runs of both stay, as many as the last :meth:`commit` was to keep.

        Raises:
            Transient: The remote cannot be reached.
            Stalled: The branch is missing on either side.
        """
        problem = self._fetch_own(branch, timeout)
        if problem is not None:
            raise problem
        return self._joined_head(branch)

    def _joined_head(self, branch: str) -> str:
        theirs = read_ref(self.queue, _TRACKING + branch)
        ours = self._head(branch)
        if theirs is None or ours is None:
            raise Stalled(f"branch {branch} is not on both sides", "push it, or commit a report first")
        if self._is_ancestor(theirs, ours):
            return ours
        if self._is_ancestor(ours, theirs):
            write_ref(self.queue, f"refs/heads/{branch}", theirs)
            return theirs
        when = max(self._date(theirs), self._date(ours))
        said = {"Host": target_of(branch), "Rejoined": theirs}
        message = commit_message("join the reports of this host with what was pushed before", said)
        # The remote's side is the first parent: the push is a fast-forward, its history stays the main line.
        files = self._joined(self._listing(theirs, branch), self._listing(ours, branch))
        return self._make((theirs, ours), files, {}, message, when, branch=branch)

    def _joined(self, theirs: Files, ours: Files) -> Files:
        """Return this host's report with the newest runs of both; a record that was pushed stays as it is."""
        runs = {path: oid for path, oid in {**ours, **theirs}.items() if path.run}
        surplus = set() if self._keep_runs is None else surplus_runs(runs, self._keep_runs)
        own = {path: oid for path, oid in ours.items() if not path.run}
        return own | {path: oid for path, oid in runs.items() if path not in surplus}

    def soundness(self) -> bool | None:
        """Say what :func:`reconciler.gitops.damage.soundness` does."""
        return damage.soundness(self._git)

    def rebuild(self, *, waits: bool = False) -> "Path":
        """Build a new queue of all reports that can be read, move the damaged one aside, and return that.

        The old one stays in its place until the new one is whole: being killed meanwhile loses nothing.

        Args:
            waits: Nothing is needed now of what is damaged: rather than that a report is made again or lost,
                the old one stays while the remote is away, which may have what is missing here.

        Raises:
            Stalled: The file system refuses.
            Transient: It waits for the remote.
        """
        try:
            return self._build_anew(waits=waits)
        except OSError as error:
            raise Stalled(
                f"cannot build {self.queue} anew: {error.strerror}",
                f"free space on that file system, or look at what begins with {self.queue}.",
            ) from error

    def _end_killed_rebuild(self) -> None:
        """Put the new queue in its place where a run was killed in the last moment of a rebuild."""
        if not self.queue.exists() and self._rebuilt.exists():
            self._rebuilt.rename(self.queue)

    def _build_anew(self, *, waits: bool) -> "Path":
        self._end_killed_rebuild()
        with suppress(Damaged):  # then nobody can say what the remote of before has
            self._follow()
        building = self.queue.with_name(self.queue.name + ".building")
        damage.remove_tree(building)
        fresh = ReportQueue(building, self._address, self._identity, self._git.options)
        damage.create_bare(building, fresh._git)
        salvage.copy_objects(fresh._git, self.queue)
        second_copy.take_back(fresh._git, self.queue)
        salvage.add_files(fresh._git, self._copies())
        heads, pushed = self._surviving("refs/heads/"), self._surviving(_TRACKING)
        for name, oid in self._surviving(ELSEWHERE).items():
            if oid is not None and fresh._is_whole(oid):
                write_ref(building, ELSEWHERE + name, oid)
        branches = sorted({host_branch(self._identity.host), *heads, *pushed})
        told = [fresh._restore(name, heads.get(name), pushed.get(name)) for name in branches]
        gaps = [name for name, one in zip(branches, told, strict=True) if one.has_gap]
        if waits and gaps and fresh._is_away:
            damage.remove_tree(building)
            raise Transient(f"something of {', '.join(gaps)} cannot be read here, and {self.shown} is away")
        self._asked.update(branches)
        damage.remove_tree(self._rebuilt)  # of a run that was killed: the queue in its place knows more
        building.rename(self._rebuilt)
        aside = damage.move_aside(self.queue, keep=None)
        self._rebuilt.rename(self.queue)
        self.rebuilds += 1
        carried = sum(one.carried for one in told)
        what = f"some reports of {', '.join(gaps)} could not be read" if gaps else "no report was lost"
        self.notices += (
            (
                f"the report queue was damaged and was built anew with {carried} unpushed reports; "
                f"the old one is {aside}; {what}"
            ),
        )
        return aside

    def _whole(self, ask: Callable[[], _Answer]) -> _Answer:
        """Return what ``ask`` does with the queue: the one door to it.

        A damaged queue is built anew, and locks of gits that are dead are removed, before it is asked again.
        """
        try:
            return ask()
        except Damaged:
            self.rebuild()
        except Transient:
            if not damage.unlock(self.queue):
                raise
        return ask()

    def _asked_standing(self, branch: str, timeout: float) -> Diverged | None:
        # What the remote has was never seen where a queue is new: then the push joins by itself.
        self._follow()
        is_new = read_ref(self.queue, _TRACKING + branch) is None and not self._has_moved(branch)
        if is_new or self._fetch_own(branch, timeout) is not None:
            return None
        return self._parted(branch)

    def _parted(self, branch: str) -> Diverged | None:
        ours = read_ref(self.queue, f"refs/heads/{branch}")
        theirs = read_ref(self.queue, _TRACKING + branch)
        if ours is None or theirs is None or ours == theirs or self._is_ancestor(theirs, ours):
            return None
        if self._has_moved(branch) and self._is_own(branch, theirs):
            return None  # of a time when this host's reports went there
        walk = ("log", f"--max-count={_MAX_COUNTED}", "--format=%ct %s", theirs, f"^{ours}", "--")
        listed = self._git.run(*walk, limit=_MAX_LISTING)
        if listed.returncode:
            raise self._unreadable(listed, branch)
        lines = listed.text.rstrip("\n").split("\n")
        seconds, _, subject = lines[0].partition(" ")
        moved_on = self._is_ancestor(ours, theirs)
        newest = commit_date(seconds)
        said = one_line(subject, 100)
        mine = self._is_own_key(branch, theirs)
        return Diverged(branch, ours, theirs, len(lines), newest, said, moved_on, self._writer(theirs), mine)

    def _writer(self, commit: str) -> Writer:
        """Return which machine a report says it is of; nobody's is one larger than any of ours."""
        name = f"{commit}:report.json"
        report = self._git.run("cat-file", "blob", name, limit=_MAX_FOREIGN, ends_at_limit=True)
        is_report = not report.returncode and not report.truncated and _may_be_ours(report.stdout)
        return Writer.of(report.stdout) if is_report else NOBODY

    def _is_own_key(self, branch: str, commit: str) -> bool:
        """Say whether a report is signed by the key that signs this host's."""
        key = self._own_key()
        return bool(key) and any(True for _ in self._signed_by(key, branch, [commit]))

    def _own_key(self) -> str:
        """Return the fingerprint of the key by which reports are known to be this host's.

        Empty without one, and where it is revoked: another may have it, and sign what it likes.
        """
        key = self._identity.signing_key
        own = own_public_key(Path(key)) if key else ""
        found = fingerprint_of_line(own) if own else ""
        return "" if found and self._revoked().has(found) else found

    def _signed_by(self, key: str, branch: str, commits: Sequence[str]) -> Iterator[SignedReport]:
        try:
            for one in signatures_of(self._git, branch, commits, only=key):
                if isinstance(one, SignedReport):
                    yield one
        except OSError as error:
            raise Stalled(f"signatures of reports cannot be verified: {error}", "free some space") from error

    def _is_own(self, branch: str, theirs: str) -> bool:
        """Say whether what another repository has of a branch is this host's: by its key, if it has one."""
        if self._identity.signing_key:
            return self._is_own_key(branch, theirs)
        ours = read_ref(self.queue, f"refs/heads/{branch}")
        machines = {self._writer(oid).machine for oid in (ours, theirs) if oid is not None}
        return len(machines - {""}) <= 1

    def _has_moved(self, branch: str) -> bool:
        """Say whether all of a branch stands in another remote, and nothing was reported since."""
        head = read_ref(self.queue, f"refs/heads/{branch}")
        return head is not None and self._moves.head(branch) == head and bool(self._moves.address(branch))

    def _elsewhere(self, branch: str, head: str) -> str:
        """Return where a branch's last report stands if it is not in the remote of now, else nothing."""
        theirs = read_ref(self.queue, _TRACKING + branch)
        if not self._has_moved(branch) or theirs == head:
            return ""
        return redact_url(self._moves.address(branch))

    def _upon(self, branch: str, head: str | None) -> tuple[str, ...]:
        """Return what the next report of a branch goes on from: of one that has moved, what was there."""
        if head is None or not self._elsewhere(branch, head):
            return () if head is None else (head,)
        theirs = read_ref(self.queue, _TRACKING + branch)
        if theirs is None or not self._is_own(branch, theirs):
            return ()
        return (head,) if self._is_ancestor(theirs, head) else (theirs,)

    def _is_of_another_machine(self, branch: str) -> bool:
        ours, theirs = read_ref(self.queue, f"refs/heads/{branch}"), read_ref(self.queue, _TRACKING + branch)
        machines = {self._writer(oid).machine for oid in (ours, theirs) if oid is not None}
        return len(machines - {""}) > 1

    def _repair(
        self, branch: str, timeout: float, keep_runs: int, machine: str, *, dry_run: bool
    ) -> Repaired:
        self._keep_runs = keep_runs
        self._head(branch)
        problem = self._fetch_own(branch, timeout)
        if problem is not None:
            raise problem
        found = self._parted(branch)
        if dry_run:
            return Repaired(branch, found, "", sent=False)
        joined = self._joined_head(branch) if found is not None else ""
        joined = self._continued_on(machine, branch) or joined
        is_waiting = branch in self.unpushed()
        answer = self._push(frozenset({branch}), timeout)
        if isinstance(answer, Queued):
            raise answer.problem
        return Repaired(branch, found, joined, sent=is_waiting)

    def _continued_on(self, machine: str, branch: str) -> str:
        """Say on the branch that it goes on on this machine, where its last report is of another one."""
        last = self._last(branch, _REPORT)
        of = "" if last is None else last.machine or Writer.of(last.data).machine
        if last is None or not of or not machine or of == machine:
            return ""
        said = {"Host": target_of(branch), _MACHINE: machine}
        message = commit_message("continue the reports of this host on another machine", said)
        return self._make((last.oid,), self._listing(last.oid, branch), {}, message, last.when, branch=branch)

    def _last(self, branch: str, file: ReportPath) -> Stored | None:
        head = self._head(branch)
        if head is None:
            return None
        known = self._read.get(branch)
        if file == _REPORT and known is not None and known.oid == head:
            # A tick asks when it looks, and when it reports; meanwhile the remote may have told what it has.
            return replace(known, elsewhere=self._elsewhere(branch, head))
        stored = self._stored(head, branch, file)
        if file == _REPORT:
            self._read[branch] = stored
        return stored

    def _stored(self, head: str, branch: str, file: ReportPath) -> Stored:
        wanted = f"{head}\n{head}:{file.text}\n".encode()
        asked = self._git.run("cat-file", "--batch", stdin=wanted, limit=_MAX_REPORT, ends_at_limit=True)
        header, _, rest = asked.stdout.partition(b"\n")
        if (asked.returncode and not asked.truncated) or header.split()[1:2] != [b"commit"]:
            raise self._unreadable(asked, branch)
        size = int(header.split()[-1])
        blob_header, _, blob = rest[size + 1 :].partition(b"\n")
        words = blob_header.split()
        # Whatever else bears the name, such as a folder, and what is larger than any report of ours, is none.
        is_report = words[1:2] == [b"blob"] and not asked.truncated
        data = blob[: int(words[2])] if is_report else b""
        data = data if _may_be_ours(data) else b""
        machines = read_commit(head, rest[:size]).trailers(_MACHINE)
        machine = machines[0] if len(machines) == 1 else ""
        return Stored(head, _committed_at(rest[:size]), data, machine, self._elsewhere(branch, head))

    def _policy_commits(self, branch: str) -> str:
        return self._listed(branch, _MAX_HISTORY, _POLICY_COMMITS)

    def _listed(self, branch: str, most: int, form: str) -> str:
        """Return what git's log tells of the newest commits that this queue and its remote have."""
        head = self._head(branch)
        theirs = read_ref(self.queue, _TRACKING + branch)
        tips = [oid for oid in (head, theirs, self._moves.head(branch)) if oid is not None]
        if not tips:
            return ""
        walk = ("log", "--topo-order", f"--max-count={most}", form, *tips, "--")
        asked = self._git.run(*walk, limit=_MAX_LISTING, ends_at_limit=True)
        if asked.returncode and not asked.truncated:
            raise self._unreadable(asked, branch)
        return asked.text

    def _reports_since(self, branch: str, at: datetime) -> list[str]:
        """Return the ids of report files, the oldest first; one that stands several times in a row once."""
        told = (line.split() for line in self._listed(branch, _MAX_HISTORY, "--format=%H %ct").splitlines())
        commits: list[str] = []
        for oid, seconds in told:
            commits.append(oid)
            if commit_date(seconds) < at:
                break
        names = [f"{oid}:{_REPORT.text}" for oid in reversed(commits)]
        found = described(self._git, names, "cannot read the reports")
        return [oid for oid, _ in groupby(oid for oid, kind, _ in found if kind == "blob")]

    def _proven(self, branch: str, key: str) -> Stored | None:
        commits = self._listed(branch, _ASKED_COMMITS, "--format=%H").split()
        newest = next(self._signed_by(key, branch, commits), None)
        return None if newest is None else self._stored(newest.commit, branch, _REPORT)

    def _own_policy_commits(self, branch: str, key: str) -> Iterator[str]:
        commits = self._listed(branch, _ASKED_FOREIGN, "--format=%H").split()
        yield from (one.policy for one in self._signed_by(key, branch, commits))

    def _record_of(self, branch: str, run: str) -> bytes | None:
        head = self._head(branch)
        if head is None:
            return None
        form = "--format=%H %(trailers:key=Run,valueonly,separator=%x20)"
        tips = filter(None, (head, self._moves.head(branch)))
        listed = self._git.run("log", f"--max-count={_ASKED_COMMITS}", form, *tips)
        if listed.returncode:
            raise self._unreadable(listed, branch)
        told = (line.split() for line in listed.lines)
        commit = next((oid for oid, *runs in told if run in runs), None)
        if commit is None:
            return None
        record = self._git.run("cat-file", "blob", f"{commit}:runs/{run}.json", limit=_MAX_REPORT)
        return b"" if record.returncode else record.stdout

    def _commit(
        self,
        branch: str,
        files: Mapping[ReportPath, bytes],
        message: str,
        when: datetime,
        keep_runs: int,
        *,
        is_heartbeat: bool,
    ) -> Commit | NothingNew:
        parent = self._head(branch)
        present = self._listing(parent, branch) if parent else {}
        # What is told now is in this commit at least, also where the clock was set back and others are newer.
        surplus = surplus_runs({*present, *files}, keep_runs).difference(files)
        written = {
            path: data
            for path, data in files.items()
            if path not in surplus and blob_id(data, parent) != present.get(path)
        }
        kept = {path: oid for path, oid in present.items() if path not in surplus and path not in written}
        is_same = parent is not None and not written and len(kept) == len(present)
        if is_same and parent and not is_heartbeat and not self._elsewhere(branch, parent):
            return NothingNew(parent)
        parents = self._upon(branch, parent)
        return Commit(self._make(parents, kept, written, message, when, branch=branch))

    def _head(self, branch: str) -> str | None:
        """Return the head of a branch; where the queue does not know it, it is looked for, once."""
        checked_branch(branch)
        self._end_killed_rebuild()
        is_new = not self.queue.exists()
        if is_new:
            damage.create_bare(self.queue, self._git)
        self._follow()
        head = read_ref(self.queue, f"refs/heads/{branch}")
        if head is None and branch not in self._asked:
            self._asked.add(branch)
            if is_new and not second_copy.take_back(self._git, self.queue):
                return self._start_from_remote(branch)
            restored = self._restore(branch, None, read_ref(self.queue, _TRACKING + branch))
            head = restored.head
            if restored.carried:
                found = f"its {restored.carried} unpushed reports were found again"
                self.notices += (f"the report queue had lost the head of branch {branch}; {found}",)
            elif head is not None:
                self._tell(branch)
        return head

    def _follow(self) -> None:
        for branch in self._moves.follow():
            before = redact_url(self._moves.address(branch))
            self.notices += (f"reports of {branch} go to {self.shown} from now on, and no more to {before}",)

    def _start_from_remote(self, branch: str) -> str | None:
        self._fetch_own(branch, _ADOPT_TIMEOUT)
        theirs, before = read_ref(self.queue, _TRACKING + branch), self._found_elsewhere(branch)
        is_older = theirs is not None and before is not None and self._date(theirs) >= self._date(before)
        head = theirs if before is None or is_older else before
        if head is not None:
            write_ref(self.queue, f"refs/heads/{branch}", head)
            self._tell(branch, self._elsewhere(branch, head))
        return head

    def _found_elsewhere(self, branch: str) -> str | None:
        """Look for a branch in the other remotes, and return the newest of what is this host's there."""
        found = {}
        for address in self._others[:_MOST_ASKED]:
            problem = self._fetch(parse_remote(address), _OTHER, branch, _ADOPT_TIMEOUT)
            oid = read_ref(self.queue, f"refs/remotes/{_OTHER}/{branch}") if problem is None else None
            if oid is not None and self._is_own(branch, oid):
                found[oid] = address
        newest = max(found, key=self._date, default=None)
        if newest is not None:
            self._moves.put(branch, found[newest], newest)
        return newest

    def _restore(self, branch: str, head: str | None, before: str | None) -> salvage.Restored:
        """Set a branch on all of its reports that can be read, upon what the remote has.

        Args:
            branch: Such as from :func:`host_branch`.
            head: What it pointed to, as far as is known.
            before: What the remote had, as far as is known: it counts where the remote does not answer.
        """
        problem = self._fetch_own(branch, _ADOPT_TIMEOUT)
        self._is_away = self._is_away or problem is not None
        theirs = read_ref(self.queue, _TRACKING + branch)
        has_answered = self._remote is not None and problem is None
        pushed = theirs or self._moves.head(branch) or (None if has_answered else before)
        restored = salvage.restore(
            self._git, branch, head, pushed, self._remake, signs=bool(self._identity.signing_key)
        )
        if restored.head is not None:
            write_ref(self.queue, f"refs/heads/{branch}", restored.head)
        return restored

    def _remake(self, parent: str | None, files: Files, saved: salvage.Saved) -> str:
        """Commit a report again, on another parent."""
        return self._make((parent,) if parent else (), files, {}, saved.message, saved.when)

    def _tell(self, branch: str, where: str = "") -> None:
        self.notices += (
            (
                f"branch {branch} was in {where or self.shown} before this queue was made, and is continued;"
                " if this host was not reinstalled, another machine has its id"
            ),
        )

    def _fetch_own(self, branch: str, timeout: float) -> ReconcilerError | None:
        """Fetch this branch from the remote, and forget it where it is gone there; return what went wrong."""
        if self._remote is None:
            return None
        return self._fetch(self._remote, _NAME, branch, timeout)

    def _fetch(self, remote: Remote, name: str, branch: str, timeout: float) -> ReconcilerError | None:
        """Fetch a branch from a remote as :meth:`_fetch_own` does, to what is of the remote's ``name``."""
        doing, into = f"cannot fetch {branch} from {redact_url(remote.url)}", f"refs/remotes/{name}/{branch}"
        fetch = (*QUIET_FETCH, name, f"+refs/heads/{branch}:{into}")
        done = self._git.talk(remote, name, *fetch, timeout=timeout)
        if done.returncode and not done.timed_out and damage.unlock(self.queue):
            done = self._git.talk(remote, name, *fetch, timeout=timeout)
        if not done.returncode and not done.timed_out:
            return None
        problem = explain(done, doing, remote)
        if not isinstance(problem, NoSuchBranch):
            return problem
        if self._git.list_heads(remote, name, f"refs/heads/{branch}", timeout=timeout) is None:
            return Transient(f"{doing}: {NO_GIT_SERVER}", NO_GIT_HINT)
        self._git.run("update-ref", "-d", into)
        return None

    def _listing(self, commit: str, branch: str) -> Files:
        """Return the files of a commit that are a report's; none where somebody wrote more than any host."""
        asked = ("ls-tree", "-z", "--full-tree", commit, *OWN_NAMES)
        listed = self._git.run(*asked, limit=_MAX_LISTING, ends_at_limit=True)
        if listed.returncode and not listed.truncated:
            raise self._unreadable(listed, branch)
        return {} if listed.truncated else read_files(listed.stdout)

    def _make(
        self,
        parents: tuple[str, ...],
        kept: Files,
        written: Mapping[ReportPath, bytes],
        message: str,
        when: datetime,
        *,
        branch: str = "",
    ) -> str:
        """Commit exactly these files, signed where a key is configured; set ``branch`` to it, if given."""
        is_signed = bool(self._identity.signing_key)
        before = read_ref(self.queue, f"refs/heads/{branch}") if branch else None
        # What does not continue the branch, since that has moved, is no business of fast-import's.
        is_left_to_git = bool(branch) and not is_signed and before in {None, *parents}
        ref = f"refs/heads/{branch}" if is_left_to_git else _STAGED
        who = f"{self._identity.name} <{self._identity.address}>"
        stream = import_stream(
            ref, parents, committer=who, when=when, message=message, kept=kept, written=written
        )
        oid = self._import(ref, stream)
        if is_signed:
            oid = self._commit_tree(f"{oid}^{{tree}}", parents, message, when)
        if branch and not is_left_to_git:
            write_ref(self.queue, f"refs/heads/{branch}", oid)
        return oid

    def _import(self, ref: str, stream: bytes) -> str:
        # Forced for the scratch ref only: each signed commit starts it anew.
        options = ("--force",) if ref == _STAGED else ()
        done = self._git.run("fast-import", "--quiet", "--done", *options, stdin=stream)
        oid = done.text.strip()
        if done.returncode or not is_oid(oid):
            damage.sweep(self.queue)
            raise damage.judge(self._git, done, f"cannot commit the report to {self.queue}")
        return oid

    def _commit_tree(self, tree: str, parents: Iterable[str], message: str, when: datetime) -> str:
        who = self._identity
        if who.signing_key:
            check_ours(who.signing_key, "reports.signing_key")
        return commit_tree(
            self._git,
            tree,
            parents,
            message.encode("utf-8", "replace"),
            who=(who.name, who.address),
            when=when,
            key=who.signing_key or "",
            doing=f"cannot commit the report to {self.queue}",
        )

    def _push(self, branches: frozenset[str] | None, timeout: float) -> Pushed | Queued:
        if self.queue.exists():
            self._follow()
        waiting = self.unpushed()
        chosen = waiting if branches is None else tuple(name for name in waiting if name in branches)
        if self._remote is None or not chosen:
            return Pushed(())
        problem = self._send(self._remote, chosen, timeout)
        if isinstance(problem, Transient):
            return Queued(problem, chosen)
        if problem is not None:
            raise problem
        heads = list_refs(self.queue, "refs/heads/")
        for name in set(chosen).intersection(self.unpushed()):
            # The remote has it, but git could not note that down.
            damage.unlock(self.queue)
            write_ref(self.queue, _TRACKING + name, heads[f"refs/heads/{name}"])
        return Pushed(chosen)

    def _send(self, remote: Remote, branches: tuple[str, ...], timeout: float) -> ReconcilerError | None:
        """Push; join what a lost queue did not know and push again; return what remains wrong."""
        fresh = {name for name in branches if read_ref(self.queue, _TRACKING + name) is None}
        done = self._push_once(remote, branches, timeout)
        rejected = rejections(done.text)
        behind = [item.branch for item in rejected if item.is_behind]
        # Behind what it never knew is a queue that was lost: its own reports are there, and are joined. One
        # that is behind what it knew met somebody who rewrote the branch: that is for people.
        if behind and fresh.issuperset(behind) and len(behind) == len(rejected):
            self._look_here_first(rejected)
            for branch in behind:
                self._fetch_own(branch, timeout)
            if any(map(self._is_of_another_machine, behind)):
                return refusal(rejected, done.error_text, self.shown, self.queue)
            for branch in behind:
                self.join(branch, timeout=timeout)
                self._tell(branch)
            done = self._push_once(remote, branches, timeout)
            rejected = rejections(done.text)
        if not done.returncode and not done.timed_out:
            return None
        if rejected:
            self._look_here_first(rejected)
            return refusal(rejected, done.error_text, self.shown, self.queue)
        # No word of the server: a lock that a killed git left here is one reason, and can be taken away.
        if damage.unlock(self.queue):
            done = self._push_once(remote, branches, timeout)
        problem = explain(done, f"cannot push reports to {self.shown}", remote)
        if isinstance(problem, Suspect) and not damage.is_sound(self._git):
            raise Damaged(f"{self.queue} is damaged: {problem.message}")
        return problem if done.returncode or done.timed_out else None

    def _look_here_first(self, rejected: tuple[Rejection, ...]) -> None:
        """Raise where the fault is here: git calls a branch diverged whose commits it cannot read, too.

        Nor can a server unpack what a damaged queue sends. What a hook says is about the server alone.
        """
        if all("hook declined" in item.reason for item in rejected) or damage.is_sound(self._git):
            return
        raise Damaged(f"{self.queue} is damaged: {one_line(rejected[0].reason)}")

    def _push_once(self, remote: Remote, branches: tuple[str, ...], timeout: float) -> "Completed":
        refspecs = [f"refs/heads/{name}:refs/heads/{name}" for name in branches]
        return self._git.talk(remote, _NAME, *PLAIN_PUSH, _NAME, *refspecs, timeout=timeout)

    def _is_ancestor(self, older: str, newer: str) -> bool:
        asked = self._git.run("merge-base", "--is-ancestor", older, newer)
        if asked.returncode not in {0, 1}:
            raise self._unreadable(asked, older)
        return not asked.returncode

    def _date(self, commit: str) -> datetime:
        shown = self._git.run("cat-file", "commit", commit)
        if shown.returncode:
            raise self._unreadable(shown, commit)
        return _committed_at(shown.stdout)

    def _is_whole(self, commit: str) -> bool:
        return not self._git.run("rev-list", "--objects", "--quiet", commit, "--").returncode

    def _unreadable(self, completed: "Completed", what: str) -> ReconcilerError:
        problem = damage.judge(self._git, completed, f"cannot read the last report of {what}")
        # `cat-file --batch` ends well although an object is missing.
        return Damaged(problem.message) if isinstance(problem, Suspect) else problem

    def _surviving(self, prefix: str) -> dict[str, str | None]:
        """Return the branches below a prefix of a damaged queue, with the commit where that can be read."""
        found: dict[str, str | None] = {}
        with suppress(OSError):
            for line in (self.queue / "packed-refs").read_text("utf-8", "replace").split("\n"):
                oid, _, name = line.partition(f" {prefix}")
                found[name] = oid if is_oid(oid) else None
        folder = self.queue / prefix
        for path in folder.rglob("*"):
            if path.is_file():
                oid = path.read_text("utf-8", "replace").strip()
                found[str(path.relative_to(folder))] = oid if is_oid(oid) else None
        return {name: oid for name, oid in found.items() if is_report_branch(name)}


def _may_be_ours(data: bytes) -> bool:
    """Say whether JSON is small enough to be read, by its values and not by its bytes alone."""
    return sum(map(data.count, (b",", b"[", b"{"))) <= _MOST_VALUES


def _committed_at(commit: bytes) -> datetime:
    line = next(line for line in commit.split(b"\n") if line.startswith(b"committer "))
    return commit_date(line.split()[-2])
