"""Run the ``git`` command with nothing but what is said here.

Nothing of the caller's git environment or configuration reaches it: no ``GIT_*`` variable, no system or
global configuration, no hooks, prompts, credential helpers, replace objects or automatic housekeeping. One
transport is allowed per call, that of the remote's address. Objects are checked on arrival; a transfer is
bounded in size (``prlimit``) and time. Settings travel in the environment (``GIT_CONFIG_COUNT``), since
argument lists are public.

Imported by the quiet tick, so it imports little.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.errors import Misuse
from reconciler.ownership import check_ours
from reconciler.policy.remotes import Remote, redact_url, refuse_readable
from reconciler.process import Completed, run
from reconciler.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOCAL_TIMEOUT = 120.0
_FETCH = ("fetch", "--no-tags", "--no-auto-gc", "--no-write-fetch-head")
QUIET_FETCH = (*_FETCH, "--quiet")
"""Fetch what the refspecs that follow say, and nothing else."""

TELLING_FETCH = ("-c", "fetch.unpackLimit=1", *_FETCH, "--progress")
"""The same, and say how far it is; all branches are named at the end.

What is not kept as one pack is unpacked by a program that says nothing where no terminal is (git's
unpack-objects.c)."""

CUT_OFF = "shallow roots are not allowed"
"""What git warns of, and calls well, where it takes nothing of a remote that has not all of the history."""

PLAIN_PUSH = ("push", "--porcelain", "--no-follow-tags", "--no-signed", "--recurse-submodules=no")
"""Push what the refspecs that follow say, and nothing else, and say what became of each."""

_DEFAULT_MAX_BYTES = 256 * 1024 * 1024
_CREDENTIAL_LIMIT = 16 * 1024
_LAST_SECOND = 221845392000  # of the year 8999, so that a lead time still fits behind it

_SETTINGS = {
    "core.bigFileThreshold": "8m",  # what is larger is streamed, and never held in memory
    "core.deltaBaseCacheLimit": "16m",
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.attributesFile": "/dev/null",
    "core.excludesFile": "/dev/null",
    "core.fsync": "committed,reference",  # git's default leaves loose objects to luck at a power cut
    "core.logAllRefUpdates": "false",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "http.followRedirects": "false",  # a redirect may lead to another server
    "http.lowSpeedLimit": "200",
    "http.lowSpeedTime": "30",
    "log.showSignature": "false",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "pack.windowMemory": "32m",
    "protocol.version": "2",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
    "transfer.fsckObjects": "true",
}

_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_ASKPASS": "true",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_DEFAULT_HASH": "sha1",
    "GIT_DEFAULT_REF_FORMAT": "files",  # refs.py reads them as files
    "GIT_EDITOR": "true",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_SSH_VARIANT": "ssh",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C.UTF-8",
    "SSH_ASKPASS_REQUIRE": "never",
}

_STORABLE = frozenset(
    {"path", "home", "http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"}
)
"""Variables of the configured environment that git is known to need, in lower case."""

# git asks the helper (with "get") only for the server it is configured for, and is told nothing to store or
# erase. Secrets are in no argument list: `printf` is built into the shell, and a file is read by the helper
# itself, so that its content is in no environment either.
_FILE_HELPER = (
    '!f() { test "$1" != get || { '
    'printf "username=%s\\n%s" "$PATCHLEDGER_GIT_USERNAME" "$PATCHLEDGER_GIT_KEY"; '
    'sed -e "s/^[[:space:]]*//" -e "s/[[:space:]]*$//" -e "/^$/d" "$PATCHLEDGER_GIT_FILE"; echo; }; }; f'
)
_ADDRESS_HELPER = (
    '!f() { test "$1" != get || printf "username=%s\\npassword=%s\\n" '
    '"$PATCHLEDGER_GIT_USERNAME" "$PATCHLEDGER_GIT_PASSWORD"; }; f'
)
_ADDRESS_SECRET = "PATCHLEDGER_GIT_PASSWORD"  # noqa: S105 - the name of a variable
_ADDRESS_NAMES = ("PATCHLEDGER_GIT_USERNAME", _ADDRESS_SECRET)


@dataclass(frozen=True, slots=True)
class GitAccess:
    """How to reach the remotes: the ``git`` section of the configuration.

    Every file is an absolute path; an empty text means "not set".

    Attributes:
        known_hosts: The only file ssh takes host keys from; without it ssh's own files.
        identity: Private key for ssh, the only one then offered.
        ca_file: PEM file of the authorities trusted for https, instead of the system's.
        client_certificate: PEM file shown to an https server.
        client_key: Its private key.
        credential: File with ``username=…`` and ``password=…`` lines, or with nothing but a token; readable
            by its owner and group only.
        environment: Added to git's environment, for proxies (``https_proxy``, ``no_proxy``); names that begin
            with ``GIT_`` are left out.
        connect_timeout: Seconds until ssh gives up a connection.
        max_bytes: No file that git writes, so no transfer, may become larger.
        checks_objects: Refuse a transfer with an object that is not well-formed. Who reads what many wrote
            does without, since one of them would keep it from all others, and looks at each object itself.
    """

    known_hosts: str = ""
    identity: str = ""
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    credential: str = field(default="", repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect_timeout: int = 15
    max_bytes: int = _DEFAULT_MAX_BYTES
    checks_objects: bool = True


class Git:
    """The ``git`` command on one repository.

    Args:
        git_dir: The repository itself (``.git`` or a bare one); it need not exist yet.
        options: How to reach remotes.
    """

    def __init__(self, git_dir: "Path", options: GitAccess | None = None) -> None:
        self.git_dir = git_dir
        self.options = options or GitAccess()

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        timeout: float = LOCAL_TIMEOUT,
        limit: int | None = None,
        ends_at_limit: bool = False,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run ``git`` with ``arguments`` on local data only; return what it printed, whatever its exit code.

        Args:
            arguments: The subcommand and what follows.
            stdin: What it reads; nothing without it.
            timeout: Seconds until it is killed.
            limit: Bytes kept of its output; ``max_bytes`` without it.
            ends_at_limit: Kill it when it writes more.
            settings: Git configuration beside the fixed one.
            environment: Variables beside the fixed ones.

        Raises:
            Stalled: There is no ``git``.
        """
        return run(
            ["git", *arguments],
            env=self._environment(settings or {}, environment or {}),
            stdin=stdin,
            timeout=timeout,
            limit=limit or self.options.max_bytes,
            ends_at_limit=ends_at_limit,
        )

    def talk(
        self,
        remote: Remote,
        name: str,
        *arguments: str,
        timeout: float,
        hear: "Callable[[bytes], None] | None" = None,
    ) -> Completed:
        """Run a ``git`` command that talks to ``remote``, as one child, and return what it printed.

        Args:
            remote: The only server and transport it may use.
            name: What the remote is called in ``arguments`` and in ``refs/remotes/``.
            arguments: The subcommand and what follows.
            timeout: Seconds until the whole group of processes is killed.
            hear: As of :func:`reconciler.process.run`.

        Raises:
            Misuse: A file of the options is missing, not absolute, or open to other users.
            Stalled: There is no ``git`` or ``prlimit``.
        """
        argv, environment = self.invocation(remote, name, *arguments)
        return run(argv, env=environment, timeout=timeout, limit=1024 * 1024, hear=hear)

    def list_heads(self, remote: Remote, name: str, *patterns: str, timeout: float) -> Completed | None:
        """Ask ``remote`` for its branches, and return what was printed, or None where no git server answered.

        Over HTTP, git takes a page of one line, such as a login page, for an old server that has no branches
        (gitprotocol-http(5)). So what is believed is an answer in git's own packets, which are traced.

        Args:
            remote: As of :meth:`talk`.
            name: As of :meth:`talk`.
            patterns: Only branches that match one of these; all without them.
            timeout: As of :meth:`talk`.

        Raises:
            Misuse: As of :meth:`talk`.
            Stalled: As of :meth:`talk`.
        """
        argv, environment = self.invocation(remote, name, "ls-remote", "--quiet", "--heads", name, *patterns)
        traced = {**environment, "GIT_TRACE_PACKET": "2"}
        listed = run(argv, env=traced, timeout=timeout, limit=1024 * 1024)
        is_web = remote.protocol in {"http", "https"}
        return None if is_web and not listed.returncode and b"packet:" not in listed.stderr else listed

    def invocation(self, remote: Remote, name: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """Return the argument list and the environment with which :meth:`talk` runs a command.

        Raises:
            Misuse: As of :meth:`talk`.
        """
        settings = {
            "transfer.fsckObjects": "true" if self.options.checks_objects else "false",
            f"remote.{name}.url": remote.url,
            f"remote.{name}.fetch": f"+refs/heads/*:refs/remotes/{name}/*",
            **_transport_settings(remote, name, self.options),
        }
        environment = {"GIT_ALLOW_PROTOCOL": remote.protocol, **_credential(remote, self.options)}
        if remote.protocol == "ssh":
            environment["GIT_SSH_COMMAND"] = ssh_command(self.options)
        argv = ["prlimit", f"--fsize={self.options.max_bytes}", "--", "git", *arguments]
        return argv, self._environment(settings, environment)

    def storable(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of an :meth:`invocation` without what must not be written to a disk.

        Of the configured ``environment`` only what git is known to need stays, such as proxies, and that only
        without passwords: any other variable may hold a secret. The server may then refuse; nothing else
        changes.
        """
        # A name may be a token that needs no password.
        secrets = _ADDRESS_NAMES if _ADDRESS_SECRET in environment else ()
        return {
            name: value
            for name, value in environment.items()
            if name not in secrets and self._is_storable(name, value)
        }

    def _is_storable(self, name: str, value: str) -> bool:
        if name.startswith("GIT_"):
            return True  # ours: the configuration cannot set these
        foreign = name in self.options.environment and name.lower() not in _STORABLE
        return not foreign and redact_url(value) == value

    def _environment(self, settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
        foreign = {
            key: value for key, value in self.options.environment.items() if not key.startswith("GIT_")
        }
        merged = {**_SETTINGS, "safe.directory": str(self.git_dir), **settings}
        config = {"GIT_CONFIG_COUNT": str(len(merged))}
        for number, (key, value) in enumerate(merged.items()):
            config[f"GIT_CONFIG_KEY_{number}"] = key
            config[f"GIT_CONFIG_VALUE_{number}"] = value
        return {**foreign, **_ENVIRONMENT, "GIT_DIR": str(self.git_dir), **config, **environment}


def commit_date(seconds: str | bytes) -> datetime:
    """Return the date of a commit in UTC, whatever its maker wrote: git takes years that no calendar has."""
    return datetime.fromtimestamp(min(max(int(seconds), 0), _LAST_SECOND), UTC)


def ssh_command(options: GitAccess) -> str:
    """Return the command line git starts ssh with: no prompts, strict host keys, nothing shared or forwarded.

    ssh's own configuration files stay in force behind these options (system-wide algorithm policies live
    there); what is said here wins over them.

    Raises:
        Misuse: ``identity`` or ``known_hosts`` cannot be used.
    """
    chosen = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": str(options.connect_timeout),
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "3",
        "ControlMaster": "no",
        "ControlPath": "none",  # a shared connection would keep our pipes open after the end
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "PermitLocalCommand": "no",
        "UpdateHostKeys": "no",
    }
    if options.known_hosts:
        chosen["UserKnownHostsFile"] = _ssh_path(options.known_hosts, "git.known_hosts")
        chosen["GlobalKnownHostsFile"] = "/dev/null"
    if options.identity:
        chosen["IdentityFile"] = _ssh_path(options.identity, "git.identity")
        chosen["IdentitiesOnly"] = "yes"
    return " ".join(["ssh", *(f"-o {shell_quote(f'{key}={value}')}" for key, value in chosen.items())])


def shell_quote(text: str) -> str:
    """Return ``text`` as one word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _ssh_path(path: str, setting: str) -> str:
    if set(path) & set('"$\\\n\r\0'):
        raise Misuse(f"{setting}: ssh cannot use a path with quotes, $ or backslashes", "rename the file")
    # ssh expands % in these options.
    return '"' + _own(path, setting).replace("%", "%%") + '"'


def _own(path: str, setting: str) -> str:
    """Return the path of a file that can be read, and that nobody else may change."""
    check_ours(_readable(path, setting), setting)
    return path


def _readable(path: str, setting: str) -> str:
    if not path.startswith("/"):
        raise Misuse(f"{setting}: {path} is not an absolute path", "write the whole path")
    if not os.access(path, os.R_OK):
        raise Misuse(f"{setting}: {path} does not exist or may not be read", "correct the path")
    return path


def _transport_settings(remote: Remote, name: str, options: GitAccess) -> dict[str, str]:
    if remote.protocol == "file":
        # Only the configured path, and only for reading: serving a push would run the hooks of its owner.
        folder = shell_quote(f"safe.directory={remote.path}")
        return {f"remote.{name}.uploadpack": f"git -c {folder} upload-pack"}
    if remote.protocol == "ssh":
        return {}
    files = {
        "http.sslCAInfo": ("git.ca_file", options.ca_file),
        "http.sslCert": ("git.client_certificate", options.client_certificate),
        "http.sslKey": ("git.client_key", options.client_key),
    }
    chosen = {key: _own(path, setting) for key, (setting, path) in files.items() if path}
    if options.credential:
        chosen[f"credential.{remote.authority}.helper"] = _FILE_HELPER
    elif remote.username or remote.password:
        chosen[f"credential.{remote.authority}.helper"] = _ADDRESS_HELPER
    return chosen


def _credential(remote: Remote, options: GitAccess) -> dict[str, str]:
    if remote.protocol not in {"http", "https"}:
        return {}
    if not options.credential:
        if remote.password:
            refuse_readable(remote, "a password")
        return {"PATCHLEDGER_GIT_USERNAME": remote.username, _ADDRESS_SECRET: remote.password}
    refuse_readable(remote, f"the credential in {options.credential}")
    return {
        "PATCHLEDGER_GIT_FILE": options.credential,
        "PATCHLEDGER_GIT_KEY": _key_of_credential(options.credential),
        "PATCHLEDGER_GIT_USERNAME": remote.username or "git",  # what the file says comes later, and wins
    }


def _key_of_credential(path: str) -> str:
    """Check the credential's file; return ``password=`` where it holds nothing but that, else nothing."""
    setting = "git.credential"
    with open(_readable(path, setting), "rb") as file:
        # Group-readable is allowed: systemd shows its credentials so where an access list lets a user in.
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o037:
            raise Misuse(f"{setting}: {path} is open to other users", f"chmod 600 {path}")
        text = file.read(_CREDENTIAL_LIMIT).decode("utf-8", "replace")
    check_ours(path, setting)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and not lines[0].startswith(("username=", "password=")):
        return "password="
    if not any(line.startswith("password=") for line in lines):
        raise Misuse(
            f"{setting}: {path} holds no credential",
            "write the lines username=… and password=… into it, or nothing but a token",
        )
    return ""
