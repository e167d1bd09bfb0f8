"""Real git repositories and servers for the tests of the git layer.

Everything here drives the ``git`` command directly, with an environment of its own, so that the tests do not
share code with what they test.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import trustme

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {
    "PATH": PATH,
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
    "GIT_CONFIG_KEY_1": "init.defaultBranch",
    "GIT_CONFIG_VALUE_1": "main",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


def git(where: Path, *arguments: str, stdin: str | None = None, **variables: str) -> str:
    """Run git on the repository or in the folder ``where`` and return its output, stripped."""
    done = subprocess.run(
        ["git", "-C", str(where), *arguments],
        input=stdin,
        env={**ENVIRONMENT, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"git {arguments}: {done.stderr}")
    return done.stdout.strip()


@dataclass(frozen=True)
class Repository:
    """A bare repository on the server's side, committed to without a work tree."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> "Repository":
        path.mkdir(parents=True)
        git(path, "init", "--quiet", "--bare")
        return cls(path)

    def commit(
        self,
        files: Mapping[str, str],
        *,
        branch: str = "main",
        parents: tuple[str, ...] | None = None,
        subject: str = "change the policy",
    ) -> str:
        """Commit exactly ``files`` (mode 100644, or given as ``MODE:PATH``) and return the commit."""
        rows = []
        for name, content in files.items():
            mode, _, path = name.rpartition(":")
            oid = (
                content if mode == "160000" else git(self.path, "hash-object", "-w", "--stdin", stdin=content)
            )
            rows.append(f"{mode or '100644'},{oid},{path}")
        index = {"GIT_INDEX_FILE": str(self.path / "scratch-index")}
        git(self.path, "read-tree", "--empty", **index)
        for row in rows:
            git(self.path, "update-index", "--add", "--cacheinfo", row, **index)
        tree = git(self.path, "write-tree", **index)
        if parents is None:
            head = self.head(branch)
            parents = (head,) if head else ()
        options = [word for parent in parents for word in ("-p", parent)]
        oid = git(self.path, "commit-tree", *options, "-m", subject, tree)
        git(self.path, "update-ref", f"refs/heads/{branch}", oid)
        return oid

    def forge(self, date: str, branch: str = "main") -> str:
        """Commit what is there again with a date as git would not write it, and return the commit."""
        tree, parent = self.show_id(f"{branch}^{{tree}}"), self.head(branch)
        who = f"Eve <eve@example.org> {date} +0000"
        text = f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nforged\n"
        oid = git(self.path, "hash-object", "-t", "commit", "-w", "--stdin", "--literally", stdin=text)
        git(self.path, "update-ref", f"refs/heads/{branch}", oid)
        return oid

    def multiply(self, path: str, levels: int) -> str:
        """Commit a tree that holds ``path`` ten to the power of ``levels`` times, and return the commit."""
        tree = self.show_id(f"main:{path}")
        for _ in range(levels):
            rows = "".join(f"040000 tree {tree}\tf{number}\n" for number in range(10))
            tree = git(self.path, "mktree", stdin=rows)
        top = git(self.path, "mktree", stdin=f"040000 tree {tree}\t{path}\n")
        oid = git(self.path, "commit-tree", "-p", self.head(), "-m", "many", top)
        git(self.path, "update-ref", "refs/heads/main", oid)
        return oid

    def show_id(self, name: str) -> str:
        """Return the id of an object such as ``main^{tree}``."""
        return git(self.path, "rev-parse", name)

    def head(self, branch: str = "main") -> str:
        """Return the commit of a branch, empty where there is none."""
        return git(self.path, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")

    def show(self, name: str) -> str:
        """Return the content of an object such as ``hosts/web-01:report.json``."""
        return git(self.path, "show", name)


@contextlib.contextmanager
def git_at_work(git_dir: Path) -> Iterator[int]:
    """Let a git like those of patchledger live on a repository until the block ends; yield its process."""
    argv = ["git", "cat-file", "--batch"]
    env = {**ENVIRONMENT, "GIT_DIR": str(git_dir)}
    with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"HEAD\n")
        child.stdin.flush()
        child.stdout.readline()  # it is on its way
        yield child.pid
        child.stdin.close()


def free_port() -> int:
    """Return a loopback port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(argv: list[str], port: int | None, ready: Path | None = None) -> Iterator[None]:
    """Run a server in a process group of its own until the block ends."""
    with subprocess.Popen(argv, env=ENVIRONMENT, start_new_session=True, stderr=subprocess.DEVNULL) as child:
        try:
            _await_server(child, port, ready)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def _await_server(child: subprocess.Popen[bytes], port: int | None, ready: Path | None) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise AssertionError(f"{child.args!r} ended with {child.returncode}")
        if ready is not None and ready.exists():
            return
        if port is not None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
        time.sleep(0.02)  # a server of another program gives no other sign
    raise AssertionError(f"{child.args!r} did not answer")


def make_key(path: Path) -> Path:
    """Create an ed25519 key pair without a passphrase."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)]
    subprocess.run(command, check=True, env=ENVIRONMENT, stdin=subprocess.DEVNULL)
    return path


@dataclass(frozen=True)
class SshServer:
    """An sshd on loopback that serves the repositories of one folder to one key."""

    url: str
    known_hosts: Path
    identity: Path
    stranger: Path


@contextlib.contextmanager
def sshd(folder: Path, authorized: Path) -> Iterator[tuple[str, Path]]:
    """Run an sshd on loopback for the keys of a file; yield its address, and a file that knows its key."""
    folder.mkdir(mode=0o700, exist_ok=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    port, host_key = free_port(), make_key(folder / "host")
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nAuthorizedKeysFile {authorized}\n"
        f"PidFile {folder}/pid\nPermitRootLogin forced-commands-only\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nAcceptEnv GIT_PROTOCOL\n"
        "KexAlgorithms curve25519-sha256\n"
        f"SetEnv HOME={folder}\n"  # what whoever runs the tests has a shell do is not done for each command
    )
    known_hosts = folder / "known hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {host_key.with_suffix('.pub').read_text()}")
    with serving(["/usr/sbin/sshd", "-D", "-f", str(folder / "config"), "-E", str(folder / "log")], port):
        user = os.environ.get("USER") or "root"
        yield f"ssh://{user}@127.0.0.1:{port}", known_hosts


@contextlib.contextmanager
def ssh_server(folder: Path, repositories: Path) -> Iterator[SshServer]:
    """Start it; ``url`` plus ``/NAME.git`` is a repository."""
    folder.mkdir(mode=0o700)
    identity, stranger = (make_key(folder / name) for name in ("client", "stranger"))
    public = identity.with_suffix(".pub").read_text()
    wrapper = folder / "serve"
    wrapper.write_text(f'#!/bin/sh\ncd {repositories} && exec git-shell -c "$SSH_ORIGINAL_COMMAND"\n')
    wrapper.chmod(0o755)
    authorized = folder / "authorized"
    authorized.write_text(f'restrict,command="{wrapper}" {public}')
    with sshd(folder, authorized) as (address, known_hosts):
        yield SshServer(f"{address}{repositories}", known_hosts, identity, stranger)


@dataclass(frozen=True)
class HttpsServer:
    """An nginx on loopback in front of ``git http-backend``, with a private CA.

    ``/git`` asks for user ``host`` with the password ``p@ss/w``, ``/mutual`` for a client certificate,
    ``/busy`` answers 503, ``/forbidden`` 403, ``/portal`` and ``/page`` with a web page of one or more lines,
    ``/moved`` redirects to ``/git``.
    """

    url: str
    ca_file: Path
    client: Path
    credential: Path


_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors; user root;
events {{ worker_connections 64; }}
http {{
  access_log off; client_max_body_size 0;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;
    ssl_client_certificate {folder}/ca.pem; ssl_verify_client optional;
    location /busy/ {{ return 503; }}
    location /forbidden/ {{ return 403; }}
    location /portal/ {{ default_type text/html; return 200 "<html>log in</html>"; }}
    location /page/ {{ default_type text/html; return 200 "<html>\n<body>log in</body>\n</html>\n"; }}
    location ~ ^/moved(?<rest>/.*)$ {{ return 301 /git$rest$is_args$args; }}
    location ~ ^/git(?<inside>/.*)$ {{
      auth_basic git; auth_basic_user_file {folder}/htpasswd; {backend}
    }}
    location ~ ^/mutual(?<inside>/.*)$ {{
      if ($ssl_client_verify != SUCCESS) {{ return 403; }}
      {backend}
    }}
  }}
}}
"""
_BACKEND = """
      include /etc/nginx/fastcgi_params;
      fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
      fastcgi_param GIT_PROJECT_ROOT {repositories}; fastcgi_param GIT_HTTP_EXPORT_ALL 1;
      fastcgi_param HOME /nonexistent; fastcgi_param PATH_INFO $inside; fastcgi_param REMOTE_USER host;
      fastcgi_param GIT_PROTOCOL $http_git_protocol; fastcgi_pass unix:{folder}/fcgi;
"""


@contextlib.contextmanager
def https_server(folder: Path, repositories: Path) -> Iterator[HttpsServer]:
    """Start it; ``url`` plus ``/git/NAME.git`` is a repository."""
    folder.mkdir()
    port = free_port()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    client = authority.issue_cert("web-01.example.org")
    client.private_key_and_cert_chain_pem.write_to_path(str(folder / "client.pem"))
    hashed = subprocess.run(
        ["openssl", "passwd", "-apr1", "p@ss/w"], check=True, capture_output=True, text=True, env=ENVIRONMENT
    ).stdout
    (folder / "htpasswd").write_text(f"host:{hashed}")
    credential = folder / "credential"
    credential.write_text("username=host\npassword=p@ss/w\n")
    credential.chmod(0o600)
    backend = _BACKEND.format(folder=folder, repositories=repositories)
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, port=port, backend=backend))
    gateway = [
        shutil.which("fcgiwrap", path=PATH) or "fcgiwrap",
        "-f",
        "-c",
        "2",
        "-s",
        f"unix:{folder}/fcgi",
    ]
    server = [
        "/usr/sbin/nginx",
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        str(folder / "errors"),
    ]
    with serving(gateway, None, folder / "fcgi"), serving(server, port):
        yield HttpsServer(f"https://127.0.0.1:{port}", folder / "ca.pem", folder / "client.pem", credential)
