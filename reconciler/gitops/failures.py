"""Say what a failed git command means: try again, fix something, or look at the local repository.

Git's exit code is nearly always 128, so the reason is read from its English text (``LC_ALL=C.UTF-8``). The
texts below are those of git, curl and OpenSSH that have been stable for many releases. An unknown text is
never taken for an
answer: it is a :class:`Suspect`, after which the caller asks whether the local repository is sound.
"""

from reconciler.errors import Misuse, ReconcilerError, Stalled, Transient
from reconciler.policy.remotes import Remote, one_line, redact_url
from reconciler.process import Completed


class Damaged(Transient):
    """The local repository cannot be used any more; it is to be moved aside and built anew."""


class Suspect(Transient):
    """The failure may come from a damaged local repository."""


class NoSuchBranch(Stalled):
    """The remote answers, but has no such branch."""


NO_GIT_SERVER = "what answers is no git server"
NO_GIT_HINT = (
    "look for a login page or a proxy in between, and at the address in the configuration; it is tried again"
)

# Needles, kind, word for machines, reason, hint. Tuples, since building a class of them costs every quiet
# tick a millisecond.
_Rule = tuple[tuple[str, ...], type[ReconcilerError], str, str, str]

_CERTIFICATE_HINT = (
    "ask the server's owner whether it has expired, and look at this host's clock; if its authority is a"
    " private one, name the file of that in git.ca_file"
)
_NETWORK_HINT = "nothing to do: it is tried again; check the network if it lasts"

# The first rule with a needle in git's text wins, so that the cause stands before its consequences.
_RULES: tuple[_Rule, ...] = (
    (
        ("No space left on device", "Out of diskspace", "Disk quota exceeded"),
        Stalled,
        "DiskFull",
        "the disk is full",
        "free space on the file system of the repository; nothing was lost",
    ),
    (
        ("died of signal 25", "File too large", "pack exceeds maximum allowed size"),
        Stalled,
        "TooLarge",
        "the transfer is larger than allowed",
        "look for large files in the history of that repository",
    ),
    (
        ("REMOTE HOST IDENTIFICATION HAS CHANGED", "host key for", "Host key verification failed"),
        Stalled,
        "HostKeyUnknown",
        "the host key of the server is unknown or has changed",
        "compare the key with the server's owner, then put it into the file of git.known_hosts",
    ),
    (
        ("detected dubious ownership",),
        Stalled,
        "OwnerNotTrusted",
        "the repository belongs to another user, whose hooks would run here",
        "use an ssh:// or https:// address of it, or give the repository to this user",
    ),
    (
        ("': Permission denied", "insufficient permission", "Read-only file system"),
        Stalled,
        "FileSystemRefuses",
        "the file system refuses",
        "run as the owner of the repository, and check that the file system is writable",
    ),
    (
        ("File exists", "but expected", "Unable to lock"),
        Transient,
        "Locked",
        "another process is using the local repository",
        "nothing to do: it is tried again",
    ),
    (
        ("Permission denied (", "Too many authentication failures", "No more authentication methods"),
        Stalled,
        "AccessRefused",
        "the server refused the ssh key",
        "give the server the public key of git.identity, or correct that path",
    ),
    (
        (
            "Authentication failed",
            "could not read Username",
            "could not read Password",
            "returned error: 401",
            "HTTP Basic: Access denied",
        ),
        Stalled,
        "AccessRefused",
        "the server refused the user name or password",
        "put a valid credential into the file of git.credential",
    ),
    (
        ("returned error: 403", "HTTP code 407", "access denied", "ERROR: Permission to", "DENIED by"),
        Stalled,
        "AccessRefused",
        "the server forbids the access",
        "give this host's credential the right to use the repository",
    ),
    (
        (
            "server certificate verification failed",
            "SSL certificate problem",
            "certificate subject name",
            "SSL: no alternative certificate",
        ),
        Stalled,
        "CertificateNotTrusted",
        "the certificate of the server is not trusted",
        _CERTIFICATE_HINT,
    ),
    (
        (
            "error setting certificate",
            "error adding trust anchors",
            "could not load PEM client certificate",
            "local SSL certificate",
            "unable to set private key file",
            "error reading ca cert file",
            "error reading X.509",
        ),
        Misuse,
        "CertificateUnusable",
        "a certificate file of this host cannot be used",
        "check git.ca_file, git.client_certificate and git.client_key",
    ),
    (
        (
            "from promisor remote",
            "lazy fetching disabled",
        ),  # ours never are: it is a clone that somebody made
        Misuse,
        "PartialClone",
        "this clone holds only a part of the files",
        "run `git fetch --refetch --no-filter` in it, or clone it anew without --filter",
    ),
    (
        ("couldn't find remote ref",),
        NoSuchBranch,
        "NoSuchPolicy",
        "the branch does not exist there",
        "correct the name of the branch in the configuration",
    ),
    (
        (
            "does not appear to be a git repository",
            "Repository not found",
            "returned error: 404",
            "' not found",
            "no such repository",
        ),
        Stalled,
        "NoSuchPolicy",
        "there is no such git repository",
        "correct the address in the configuration, or create the repository",
    ),
    (
        ("returned error: 30",),
        Stalled,
        "Redirected",
        "the server answers with a redirect, which is not followed",
        "put the present address of the repository into the configuration",
    ),
    (
        ("transport '",),
        Misuse,
        "TransportNotAllowed",
        "that transport is not allowed",
        "use an https:// or ssh:// address",
    ),
    (
        ("mismatched algorithms", "does not support this repository's hash algorithm"),
        Stalled,
        "AnotherHashFunction",
        "the repository uses another hash function than the local one",
        "create the remote repository with the hash function sha1",
    ),
    (
        ("info/refs not valid",),
        Transient,
        "NoGitServer",
        NO_GIT_SERVER,
        NO_GIT_HINT,
    ),
    (
        ("Could not resolve host", "Name or service not known", "Temporary failure in name resolution"),
        Transient,
        "Unreachable",
        "the name of the server cannot be resolved",
        _NETWORK_HINT,
    ),
    (
        (
            "Connection refused",
            "Connection timed out",
            "Operation timed out",
            "No route to host",
            "Network is unreachable",
            "Failed to connect",
            "Could not connect",
            "Couldn't connect",
            "Proxy CONNECT aborted",
        ),
        Transient,
        "Unreachable",
        "the server cannot be reached",
        _NETWORK_HINT,
    ),
    (
        ("returned error: 5", "returned error: 429", "returned error: 408"),
        Transient,
        "Unreachable",
        "the server is failing or busy",
        _NETWORK_HINT,
    ),
    (
        (
            "Connection reset",
            "Connection closed",
            "Connection to ",
            "Empty reply from server",
            "Operation too slow",
            "SSL_ERROR_SYSCALL",
            "TLS connection",
            "gnutls_handshake",
            "kex_exchange_identification",
        ),
        Transient,
        "Unreachable",
        "the connection broke",
        _NETWORK_HINT,
    ),
    (
        ("fsck error", "fsckObjects", "error in object"),
        Stalled,
        "BrokenObjects",
        "the repository holds objects that git's own check refuses",
        "run git fsck in the remote repository",
    ),
    (
        (
            "allowed keys file",
            "Couldn't load public key",
            "Couldn't sign message",
            "failed to sign",
            "Load key",
        ),
        Misuse,
        "KeyUnusable",
        "the signing key cannot be used",
        "name an ssh private key without a passphrase in reports.signing_key, readable by this user only",
    ),
)


def explain(completed: Completed, doing: str, remote: Remote | None = None) -> ReconcilerError:
    """Return what the failure of a git command means, as one line without secrets.

    Args:
        completed: A git command that failed.
        doing: What was tried, such as ``cannot fetch the policy from https://…``.
        remote: Whose password must not be shown.

    Returns:
        A :class:`Transient`, :class:`Stalled` or :class:`Misuse`; a :class:`Suspect` where the text is
        unknown.
    """
    doing = redact_url(doing)
    if completed.timed_out:
        return Transient(f"{doing}: no answer within the time limit", _NETWORK_HINT)
    text = completed.error_text
    if remote is not None and remote.password:
        text = text.replace(remote.password, "***")
    own = "\n".join(line for line in text.splitlines() if not line.startswith("remote: "))
    for needles, kind, code, reason, hint in _RULES:
        needle = next((needle for needle in needles if needle in own), None)
        if needle is not None:
            return kind(f"{doing}: {reason} ({_line_with(own, needle)})", hint, code)
    return Suspect(f"{doing}: {_first_complaint(own) or f'git ended with code {completed.returncode}'}")


def _line_with(text: str, needle: str) -> str:
    return one_line(next((line for line in text.splitlines() if needle in line), needle))


def _first_complaint(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    complaints = [line for line in lines if line.startswith(("fatal: ", "error: ", "ssh: "))]
    return one_line((complaints or lines or [""])[0])
