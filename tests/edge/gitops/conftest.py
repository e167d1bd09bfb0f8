"""Repositories and servers shared by the tests of the git layer."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.gitops.git import GitAccess
from reconciler.gitops.policy_mirror import PolicyMirror
from tests.edge.gitops.bench import HttpsServer, Repository, SshServer, git, https_server, ssh_server

POLICY = {"policies/all.yaml": "kind: Policy\nname: all\n", "README.md": "for people\n"}


@pytest.fixture
def upstream(tmp_path: Path) -> Repository:
    """A policy repository with one commit."""
    repository = Repository.create(tmp_path / "server" / "policy.git")
    repository.commit(POLICY)
    return repository


@pytest.fixture
def source(tmp_path: Path, upstream: Repository) -> PolicyMirror:
    """A host's view of ``upstream``, not fetched yet."""
    return PolicyMirror(tmp_path / "state" / "policy.git", f"file://{upstream.path}", "main")


@pytest.fixture
def reports(tmp_path: Path) -> Repository:
    """An empty report repository."""
    return Repository.create(tmp_path / "server" / "reports.git")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``policy.git`` (one commit), ``reports.git`` (pushes allowed), ``empty.git``."""
    folder = tmp_path_factory.mktemp("served")
    Repository.create(folder / "empty.git")
    Repository.create(folder / "policy.git").commit(POLICY)
    git(Repository.create(folder / "reports.git").path, "config", "http.receivepack", "true")
    return folder


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("sshd") / "s", served) as server:
        yield server


@pytest.fixture(scope="session")
def https(tmp_path_factory: pytest.TempPathFactory, served: Path) -> Iterator[HttpsServer]:
    with https_server(tmp_path_factory.mktemp("https") / "s", served) as server:
        yield server


Route = Callable[[Path], tuple[str, GitAccess]]
"""Serves a repository under another name, and returns its address there and how it is reached."""


@pytest.fixture(params=["file", "ssh", "https"])
def route(request: pytest.FixtureRequest, tmp_path: Path, served: Path) -> Route:
    """The way to repositories: a folder, an sshd with forced commands, or a web server with a login."""

    def lead(repository: Path) -> tuple[str, GitAccess]:
        link = served / f"{tmp_path.name}-{repository.parent.name}-{repository.name}"
        link.symlink_to(repository)
        match request.param:
            case "ssh":
                ssh: SshServer = request.getfixturevalue("sshd")
                return f"{ssh.url}/{link.name}", GitAccess(
                    known_hosts=str(ssh.known_hosts), identity=str(ssh.identity)
                )
            case "https":
                https: HttpsServer = request.getfixturevalue("https")
                git(repository, "config", "http.receivepack", "true")
                return f"{https.url}/git/{link.name}", GitAccess(
                    ca_file=str(https.ca_file), credential=str(https.credential)
                )
            case _:
                return f"file://{link}", GitAccess()

    return lead
