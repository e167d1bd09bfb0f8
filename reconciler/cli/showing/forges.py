"""What opens a pull request with the command line of a forge."""

import shlex
from collections.abc import Iterator

from reconciler.forges import kind_of
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A branch that is there and is to be merged.

    Attributes:
        branch: Its name.
        base: The branch that it goes into.
        title: In one line.
        commit: Whose message has the text.
    """

    branch: str
    base: str
    title: str
    commit: str

    def commands(self, address: str) -> Iterator[str]:
        """Yield the command for the forge that an address looks like, or that of each forge we know.

        They are lines for a POSIX shell.
        """
        host = address.partition("://")[2] or address
        kind = kind_of(host.partition("/")[0])
        branch, base, title = map(shlex.quote, (self.branch, self.base, self.title))
        body = f'"$(git log -1 --format=%b {self.commit})"'
        if kind in {"github", None}:
            yield f"gh pr create --head {branch} --base {base} --title {title} --body {body}"
        if kind in {"gitlab", None}:
            start = f"glab mr create --source-branch {branch} --target-branch {base}"
            yield f"{start} --title {title} --description {body}"
        if kind in {"forgejo", None}:
            yield f"tea pulls create --head {branch} --base {base} --title {title} --description {body}"
