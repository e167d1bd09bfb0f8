"""Pull requests of one repository, on each of the forges.

GitHub: "REST API endpoints for pull requests" and "for issue comments". Forgejo: ``/api/swagger``, repository
and issue. GitLab: "Merge requests API" and "Notes API".
"""

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Protocol, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from reconciler.errors import Stalled, Transient
from reconciler.forges.line import ForgeLine, ForgeRefused
from reconciler.forges.places import ForgePlace
from reconciler.records import dataclass

_PAGE = 50
"""Pull requests of one answer: as many as Forgejo gives, where nobody configured it otherwise."""
_MOST_PAGES = 100
_ENOUGH_PAGES = 20
"""Of those that were closed, which Forgejo does not tell by their branch: the last thousand."""
_NO_FORGE = "look at proposals.api and proposals.forge"
_EXISTS = (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request from one branch of the repository to another.

    Attributes:
        number: As people and the REST know it.
        branch: That is to be merged.
        commit: Where the forge last saw that branch.
        title: In one line.
        body: Markdown.
        address: For people.
        is_merged: It was merged.
    """

    number: int
    branch: str
    commit: str
    title: str
    body: str
    address: str
    is_merged: bool = False


class PullRequests(Protocol):
    """The pull requests of one repository into one branch.

    Every method raises what :meth:`reconciler.forges.line.ForgeLine.ask` does.
    """

    def opened(self) -> tuple[Pull, ...]:
        """Return those that are open, from branches of the repository itself."""

    def was_declined(self, branch: str, commit: str) -> bool:
        """Tell whether somebody closed one from this branch at this commit, without a merge."""

    def open(self, branch: str, title: str, body: str) -> Pull:
        """Open one; where there is one, return that."""

    def edit(self, number: int, title: str, body: str) -> None:
        """Change what one is called and says."""

    def comment(self, number: int, text: str) -> None:
        """Say something on one, open or closed."""

    def close(self, number: int) -> None:
        """Close one."""


def pull_requests(place: ForgePlace, line: ForgeLine, base: str) -> PullRequests:
    """Return the pull requests of a repository.

    Args:
        place: Which repository.
        line: A way to the forge.
        base: The branch that they go into.
    """
    if place.kind == "gitlab":
        return _MergeRequests(line, place.repository, base)
    return _Pulls(line, place.repository, base, is_github=place.kind == "github")


class _Known(BaseModel):
    """What is read of an answer; forges say much more."""

    model_config = ConfigDict(frozen=True, extra="ignore")


_Told = TypeVar("_Told", bound=_Known)


class _Repository(_Known):
    full_name: str


class _Head(_Known):
    ref: str
    sha: str
    repo: _Repository | None = None


class _PullTold(_Known):
    number: int
    title: str
    body: str | None = None
    html_url: str
    head: _Head
    base: _Head
    merged_at: str | None = None


class _MergeRequestTold(_Known):
    iid: int
    title: str
    description: str | None = None
    web_url: str
    source_branch: str
    source_project_id: int | None = None
    target_project_id: int
    sha: str | None = None
    state: str


def _read(kind: type[_Told], told: object, doing: str) -> _Told:
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        said = f"{doing}: the answer is no pull request ({place or 'all of it'})"
        raise Transient(said, _NO_FORGE) from None


@dataclass(frozen=True, slots=True)
class _Listing:
    """A list that a forge gives page by page.

    Attributes:
        path: Below the address.
        key: What tells its items apart.
        size: What the length of a page is called.
    """

    path: str
    key: str
    size: str = "per_page"

    def items(self, line: ForgeLine, query: Mapping[str, str | int], *, is_whole: bool) -> Iterator[object]:
        """Yield what it holds, until a page has nothing that was not seen before.

        Neither the length of a page nor a link tells: forges give fewer than they are asked for, and a link
        may lead anywhere.

        Args:
            line: A way to the forge.
            query: Of the address.
            is_whole: All of it is needed; else so many pages are enough.

        Raises:
            Stalled: It is needed whole, and has too many pages.
        """
        seen: set[object] = set()
        most = _MOST_PAGES if is_whole else _ENOUGH_PAGES
        for page in range(1, most + 1):
            told = line.ask("GET", self.path, {**query, self.size: _PAGE, "page": page})
            if not isinstance(told, list):
                raise Transient(f"GET {line.api}{self.path}: the answer is no list", _NO_FORGE)
            new = [one for one in told if isinstance(one, dict) and str(one.get(self.key)) not in seen]
            if not new:
                return
            seen |= {str(one.get(self.key)) for one in new}
            yield from new
        if is_whole:
            said = f"GET {line.api}{self.path}: it lists more than {most * _PAGE} pull requests"
            raise Stalled(said, "close what nobody needs")


@dataclass(frozen=True, slots=True)
class _Pulls:
    """GitHub, and Forgejo, whose REST is nearly the same."""

    line: ForgeLine
    repository: str
    base: str
    is_github: bool

    @property
    def _path(self) -> str:
        return f"/repos/{quote(self.repository)}"

    def opened(self) -> tuple[Pull, ...]:
        return tuple(self._listed({"state": "open"}, is_whole=True))

    def was_declined(self, branch: str, commit: str) -> bool:
        owner = self.repository.partition("/")[0]
        query = {"head": f"{owner}:{branch}"} if self.is_github else {"sort": "recentupdate"}
        return _has_declined(self._listed({"state": "closed", **query}, is_whole=False), branch, commit)

    def open(self, branch: str, title: str, body: str) -> Pull:
        asked = {"title": title, "body": body, "head": branch, "base": self.base}

        def ask() -> Pull:
            told = self.line.ask("POST", f"{self._path}/pulls", body=asked)
            return self._pull(_read(_PullTold, told, self._doing("POST")))

        return _opened_once(ask, self.opened, branch)

    def edit(self, number: int, title: str, body: str) -> None:
        self.line.ask("PATCH", f"{self._path}/pulls/{number}", body={"title": title, "body": body})

    def comment(self, number: int, text: str) -> None:
        self.line.ask("POST", f"{self._path}/issues/{number}/comments", body={"body": text})

    def close(self, number: int) -> None:
        self.line.ask("PATCH", f"{self._path}/pulls/{number}", body={"state": "closed"})

    def _doing(self, method: str) -> str:
        return f"{method} {self.line.api}{self._path}/pulls"

    def _listed(self, query: Mapping[str, str | int], *, is_whole: bool) -> Iterator[Pull]:
        listing = _Listing(f"{self._path}/pulls", "number", "per_page" if self.is_github else "limit")
        for told in listing.items(self.line, query, is_whole=is_whole):
            one = _read(_PullTold, told, self._doing("GET"))
            # Whose copy the branch is of: anybody may have one, with branches of any name.
            home = "" if one.head.repo is None else one.head.repo.full_name
            if home.lower() == self.repository.lower() and one.base.ref == self.base:
                yield self._pull(one)

    def _pull(self, one: _PullTold) -> Pull:
        return Pull(
            one.number,
            one.head.ref,
            one.head.sha,
            one.title,
            one.body or "",
            one.html_url,
            bool(one.merged_at),
        )


@dataclass(frozen=True, slots=True)
class _MergeRequests:
    """GitLab."""

    line: ForgeLine
    repository: str
    base: str

    @property
    def _path(self) -> str:
        return f"/projects/{quote(self.repository, safe='')}/merge_requests"

    def opened(self) -> tuple[Pull, ...]:
        return tuple(self._listed({"state": "opened"}, is_whole=True))

    def was_declined(self, branch: str, commit: str) -> bool:
        query = {"state": "closed", "source_branch": branch}
        return _has_declined(self._listed(query, is_whole=False), branch, commit)

    def open(self, branch: str, title: str, body: str) -> Pull:
        asked = {
            "title": title,
            "description": body,
            "source_branch": branch,
            "target_branch": self.base,
            "remove_source_branch": True,
        }

        def ask() -> Pull:
            told = self.line.ask("POST", self._path, body=asked)
            return self._pull(_read(_MergeRequestTold, told, f"POST {self.line.api}{self._path}"))

        return _opened_once(ask, self.opened, branch)

    def edit(self, number: int, title: str, body: str) -> None:
        self.line.ask("PUT", f"{self._path}/{number}", body={"title": title, "description": body})

    def comment(self, number: int, text: str) -> None:
        self.line.ask("POST", f"{self._path}/{number}/notes", body={"body": text})

    def close(self, number: int) -> None:
        self.line.ask("PUT", f"{self._path}/{number}", body={"state_event": "close"})

    def _listed(self, query: Mapping[str, str | int], *, is_whole: bool) -> Iterator[Pull]:
        asked = {**query, "target_branch": self.base, "scope": "all"}
        for told in _Listing(self._path, "iid").items(self.line, asked, is_whole=is_whole):
            one = _read(_MergeRequestTold, told, f"GET {self.line.api}{self._path}")
            if one.source_project_id == one.target_project_id:
                yield self._pull(one)

    def _pull(self, one: _MergeRequestTold) -> Pull:
        return Pull(
            one.iid,
            one.source_branch,
            one.sha or "",
            one.title,
            one.description or "",
            one.web_url,
            one.state == "merged",
        )


def _has_declined(closed: Iterator[Pull], branch: str, commit: str) -> bool:
    # Past those of this commit nothing is asked for.
    return any((one.branch, one.commit, one.is_merged) == (branch, commit, False) for one in closed)


def _opened_once(ask: Callable[[], Pull], opened: Callable[[], tuple[Pull, ...]], branch: str) -> Pull:
    """Open a pull request; where it is refused since there is one, return that.

    The words of the refusal are not read: whether there is one, the list tells.
    """
    try:
        return ask()
    except ForgeRefused as refused:
        if refused.status not in _EXISTS:
            raise
        there = next((one for one in opened() if one.branch == branch), None)
        if there is None:
            raise
        return there
