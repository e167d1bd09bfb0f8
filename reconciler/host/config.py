"""This host's own configuration: ``config.yaml``, read once, checked whole.

It says where policy comes from and where reports go; what to do and when is policy's business alone. Every
path of the product can be set here, so that all of it also runs as an ordinary user in a folder.
"""

import json
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    Strict,
    field_serializer,
    field_validator,
    model_validator,
)

from reconciler.errors import Misuse
from reconciler.host import DEFAULT_STATE_DIR
from reconciler.ownership import check_ours
from reconciler.planning.facts.guests import GuestKind
from reconciler.policy.fields import Duration, Length, OneOrMany, Pin, Strictly
from reconciler.policy.managers import ManagerName
from reconciler.policy.problems import Problem
from reconciler.policy.remotes import open_remote
from reconciler.policy.shards import name_of, ranked
from reconciler.policy.values import (
    BRANCH,
    COMMIT,
    CREDENTIAL,
    HOST_NAME,
    LABEL_KEY,
    REPOSITORY_NAME,
    VARIABLE,
    names_a_branch,
    refuse,
)
from reconciler.policy.yamltext import parse_documents, validate


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise refuse("is not an absolute path", "write the whole path, from /")
    return path


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


def _text_of_number(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _collected(path: Path) -> Path:
    if path.suffix != ".prom":
        raise refuse("does not end in .prom", "the textfile collector reads no other files")
    return path


MetricsPath = Annotated[AbsolutePath, AfterValidator(_collected)]


def _open_address(address: str) -> str:
    try:
        open_remote(address)
    except Misuse as error:
        raise refuse(error.message, error.hint) from error
    return address


Address = Annotated[str, Field(min_length=1), AfterValidator(_open_address)]
"""Of a git repository; every tick would refuse another one, and this file is no place for passwords."""


# Which variables is not restricted: whoever may write this file says what runs as root anyway.
VariableName = Annotated[str, Field(pattern=VARIABLE)]
# A number is written without quotes wherever it is no key.
GuestId = Annotated[str, BeforeValidator(_text_of_number), Field(pattern=HOST_NAME)]
GuestTag = Annotated[str, BeforeValidator(_text_of_number), Field(pattern=r"^[^\s,;]+$")]
VariableValue = Annotated[str, Field(pattern=r"^[^\x00]*$")]


class PolicyRemote(Strictly):
    """Where policy comes from."""

    remote: Address
    """URL or absolute path of the policy repository (https, ssh, file or a path)."""

    ref: str = Field(default="main", pattern=BRANCH)
    """Branch that is followed."""


class ReportRemote(Strictly):
    """Where reports go."""

    remote: OneOrMany[Address] | None = None
    """URL or absolute path of the report repository, or a list of which the host's id chooses one; without it
    reports stay in the local queue."""

    signing_key: AbsolutePath | None = None
    """SSH private key that signs report commits."""

    heartbeat: Duration = timedelta(hours=24)
    """A report that says nothing new is committed at most this often."""

    @field_validator("remote")
    @classmethod
    def _each_once(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        names = [name_of(address) for address in value or ()]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise refuse(f"names the repository {twice} twice", "name each once, in whichever form")
        return value

    @field_serializer("remote")
    def _short(self, value: tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        return value[0] if value is not None and len(value) == 1 else value


class GitSection(Strictly):
    """How git reaches the remotes."""

    known_hosts: AbsolutePath | None = None
    """File of the SSH servers' keys; unknown servers are always refused."""

    identity: AbsolutePath | None = None
    """SSH private key to log in with."""

    ca_file: AbsolutePath | None = None
    """PEM file of the authorities trusted for https remotes, instead of the system's."""

    client_certificate: AbsolutePath | None = None
    """PEM file shown to an https server."""

    client_key: AbsolutePath | None = None
    """Its private key."""

    credential: AbsolutePath | None = None
    """File with ``username=`` and ``password=`` lines, or with a token alone; others must not read it."""

    timeout: Duration = timedelta(minutes=5)
    """Longest time one fetch or push may take."""


class Forge(Strictly):
    """A forge whose merge button is trusted: its key vouches for merges by these accounts."""

    key: AbsolutePath
    """File of the keys that it signs with: on each line its name, then the key, as in a list of signers."""

    accounts: tuple[Annotated[str, Field(pattern=r"^[^\s<>]+@[^\s<>]+$")], ...] = Field(min_length=1)
    """Addresses that the forge writes as the author of a merge by those who may merge."""


class Trust(Strictly):
    """What makes a policy revision acceptable."""

    mode: Literal["none", "signed"] = "none"
    """``none`` accepts what the remote serves, forward only; ``signed`` only what listed keys signed."""

    allowed_signers: AbsolutePath | None = None
    """File of the keys that this host trusts by itself, as ssh-keygen(1) describes it."""

    repository: Annotated[str, Field(pattern=REPOSITORY_NAME)] | None = None
    """Name that the policy repository gives itself in ``patchledger.yaml``."""

    revoked: AbsolutePath | None = None
    """File of keys, or of their fingerprints, that count no more wherever they are listed."""

    forge: Forge | None = None
    """Merges by listed accounts count as well, where this forge signed them: that is trust in the forge."""

    require_ref: bool = False
    """Each commit must name the followed branch in a trailer, as ``Policy-Ref: main``."""

    max_head_age: Length | None = None
    """How old the newest commit may be for anything to be applied; ``policy heartbeat`` renews it."""

    floor: str | None = Field(default=None, pattern=COMMIT)
    """Commit the policy must descend from; setting it also accepts a rewritten history once."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.mode == "signed":
            missing = [key for key in ("allowed_signers", "repository") if getattr(self, key) is None]
            if missing:
                raise refuse(f"mode signed needs {' and '.join(missing)} as well")
        elif self.model_fields_set - {"mode", "floor"}:
            raise refuse("holds keys that count with mode: signed alone", "add that, or leave them out")
        return self


class Notifier(Strictly):
    """Where one notifier's secret URL is kept; exactly one of the two."""

    credential: str | None = Field(default=None, pattern=CREDENTIAL)
    """Name of a systemd credential (a file of ``$CREDENTIALS_DIRECTORY``)."""

    file: AbsolutePath | None = None
    """File that its owner alone may read."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.credential is None) == (self.file is None):
            raise refuse("needs exactly one of credential and file")
        return self


class Proposals(Strictly):
    """The forge on which plans are proposed for an approval; exactly one of ``credential`` and ``file``."""

    forge: Literal["github", "gitlab", "forgejo"] | None = None
    """Which it is; without it, what the address sounds like. Gitea counts as ``forgejo``."""

    api: Annotated[str, Field(pattern=r"^https?://[^\s]+$"), AfterValidator(_open_address)] | None = None
    """Where its REST begins; without it, on the server of ``policy.remote``."""

    repository: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+$")
    """What it calls the policy repository; without it, the path of ``policy.remote``."""

    credential: str | None = Field(default=None, pattern=CREDENTIAL)
    """Name of a systemd credential (a file of ``$CREDENTIALS_DIRECTORY``) that holds the token."""

    file: AbsolutePath | None = None
    """File with the token, that its owner alone may read."""

    signing_key: AbsolutePath | None = None
    """SSH private key that signs what is proposed, where the forge asks for that; none that signs policy."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.credential is None) == (self.file is None):
            raise refuse("needs exactly one of credential and file")
        return self


class LogRetention(Strictly):
    """Which logs of runs stay in ``log_dir``: a run goes as soon as one of the two says so."""

    count: int = Field(default=100, ge=1, le=100_000)
    """Runs that are kept at most."""

    age: Length = timedelta(days=365)
    """How long a run is kept after it began."""


class Retention(Strictly):
    """How much history is kept; what was once committed, git keeps for ever."""

    runs: int = Field(default=20, ge=1, le=1000)
    """Runs whose files stay in the newest tree of the report branch."""

    logs: LogRetention = LogRetention.model_construct()


class GuestChoice(Strictly):
    """Some guests: those that one of the two names."""

    ids: OneOrMany[GuestId] = ()
    """By their ids: the number of a Proxmox guest, else the guest's name in the alphabet of host ids."""

    tags: OneOrMany[GuestTag] = ()
    """By tags that Proxmox has of them; one is enough."""

    @model_validator(mode="after")
    def _names_some(self) -> Self:
        if not self.model_fields_set:
            raise refuse("names no guest", "name ids or tags, or leave it out")
        return self


class Guests(Strictly):
    """Guests of this hypervisor, which are looked after from here."""

    from_: OneOrMany[GuestKind] = Field(alias="from")
    """Where guests are looked for."""

    only: GuestChoice | None = None
    """Look after these alone."""

    except_: GuestChoice | None = Field(default=None, alias="except")
    """Look after all but these."""

    labels: dict[GuestId, dict[Annotated[str, Field(pattern=LABEL_KEY)], str]] = Field(default_factory=dict)
    """Labels of guests, by id; they beat the guests' tags."""

    parallel: Annotated[int, Strict(), Field(ge=1, le=64)] = 2
    """How many guests are looked after at a time."""

    wait: Duration = timedelta(hours=1)
    """How long a run waits for a package manager that works in a guest, before it looks after all others."""

    environment: dict[VariableName, VariableValue] = Field(default_factory=dict)
    """Variables given to patch scripts in guests, none of them the host's."""

    hooks_dir: AbsolutePath = Path("/etc/patchledger/guest-hooks")
    """Hooks of guests, which run on the hypervisor."""

    @field_validator("from_")
    @classmethod
    def _each_place_once(cls, value: tuple[GuestKind, ...]) -> tuple[GuestKind, ...]:
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.only is not None and self.except_ is not None:
            raise refuse("holds only and except", "keep one of the two")
        return self


class Config(Strictly):
    """The whole of ``config.yaml``."""

    host: str = Field(pattern=HOST_NAME)
    """This host's id: also the name of its report branch."""

    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that policies match on; labels of a Host document beat these."""

    policy: PolicyRemote
    reports: ReportRemote = ReportRemote.model_construct()
    git: GitSection = GitSection.model_construct()
    trust: Trust = Trust.model_construct()
    tick: Length = timedelta(minutes=15)
    """How often a tick begins at least, by the timer or by ``watch``; ``status`` tells when one is due."""

    tick_timeout: Length = timedelta(days=1)
    """A tick of ``watch`` that is at work so long is ended, unless a package manager is at work."""

    alert_after: int = Field(default=8, ge=1, le=10_000)
    """Ticks in a row that end with exit code 5 before that is told, and the exit code is 1."""

    retention: Retention = Retention.model_construct()
    notifiers: dict[str, Notifier] = Field(default_factory=dict)
    """Names that a policy's ``notify`` may route to."""

    proposals: Proposals | None = None
    """Where ``approve --propose`` opens pull requests, and with which token."""

    root: AbsolutePath | None = None
    """Plan for and patch this other root, not the running system, by the package manager's own option."""

    manager: ManagerName | None = None
    """The package manager; without it, the distribution's own."""

    environment: dict[VariableName, VariableValue] = Field(default_factory=dict)
    """Variables given to patch scripts and git, such as proxies or ``APT_CONFIG``; nothing else is passed."""

    override_freeze: bool = False
    """``run --now --override-freeze`` may pass over a freeze on this host."""

    allow_policy_scripts: tuple[Pin, ...] = ()
    """SHA-256 of scripts of the policy repository that may run in the place of the program's own, as root."""

    hooks_dir: AbsolutePath = Path("/etc/patchledger/hooks")
    """The host's own hooks: ``pre.d``, ``post.d``, ``pre-reboot.d`` and ``health.d`` below it."""

    state_dir: AbsolutePath = Path(DEFAULT_STATE_DIR)
    """Mirrors, the report queue, caches and what cannot be observed again."""

    log_dir: AbsolutePath = Path("/var/log/patchledger")
    """A record and a log of each run, for ``log``; made with mode 0750 when the first run ends."""

    guests: Guests | None = None
    """Guests of this hypervisor; without it none is ever looked for."""

    motd: AbsolutePath | None = None
    """File that says in a line or two how the host is, for pam_motd(8); every user may read it."""

    metrics: MetricsPath | None = None
    """File of node_exporter's textfile collector; every user may read it."""

    @property
    def report_remotes(self) -> tuple[str, ...]:
        """Where reports may go: first where this host's do, then the others, as its id ranks them."""
        return ranked(self.host, self.reports.remote or ())

    @property
    def report_remote(self) -> str | None:
        """Where this host's reports go, ``None`` where they stay here."""
        return next(iter(self.report_remotes), None)

    @property
    def is_one_repository(self) -> bool:
        """Whether policy comes from where reports may go."""
        return name_of(self.policy.remote) in map(name_of, self.report_remotes)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.trust.mode == "none" and self.is_one_repository:
            raise refuse(
                "is the policy repository too, so that who writes reports writes policy",
                "give reports a repository of their own, or obey only signed policy (trust.mode: signed)",
                key="reports.remote",
            )
        return self

    @model_validator(mode="after")
    def _hooks_apart(self) -> Self:
        if self.guests is not None:
            own, theirs = self.hooks_dir, self.guests.hooks_dir
            if own.is_relative_to(theirs) or theirs.is_relative_to(own):
                said = f"is, or lies in, the folder of this host's own hooks ({own}), or that lies in it"
                hint = "the host's hooks would run for each guest: give these a folder of their own"
                raise refuse(said, hint, key="guests.hooks_dir")
        return self

    @model_validator(mode="after")
    def _scripts_are_signed(self) -> Self:
        if self.allow_policy_scripts and self.trust.mode != "signed":
            raise refuse("needs trust.mode: signed", "add that, or leave it out", key="allow_policy_scripts")
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values of the environments of this host and its guests: they must not stand where others read."""
        of_guests = {} if self.guests is None else self.guests.environment
        return (*self.environment.values(), *of_guests.values())

    @field_validator("host")
    @classmethod
    def _safe_in_a_ref(cls, value: str) -> str:
        if not names_a_branch(value):
            raise refuse("cannot name a git branch", "leave out '..' and a '.' or '.lock' at the end")
        return value


def load_config(path: Path) -> Config:
    """Read and check the configuration file.

    Raises:
        Misuse: It is missing, unreadable, writable by others, or says something wrong; every mistake is
            listed.
    """
    return read_config(path)[0]


def read_config(path: Path) -> tuple[Config, bytes]:
    """Read and check the configuration file, and return with it the bytes that were checked.

    Raises:
        Misuse: As for :func:`load_config`.
    """
    data = read_guarded(path)
    documents, problems = parse_documents(data, str(path))
    if not problems and len(documents) != 1:
        problems = [Problem(str(path), 1, "", "must hold exactly one YAML document")]
    if problems:
        raise _misuse(problems)
    checked = validate(Config, documents[0], str(path))
    if isinstance(checked, Config):
        return checked, data
    raise _misuse(checked)


_RULES = {
    "alert_after",
    "allow_policy_scripts",
    "manager",
    "override_freeze",
    "retention",
    "root",
    "tick",
    "trust",
}


_RULES_OF_GUESTS = {"from_", "only", "except_", "wait"}
"""Labels stand in the guests' own reports; how many are looked after at a time changes nothing of it."""


def digest_of_rules(config: Config) -> str:
    """Identify what of a configuration decides what is done here, for the host's reports.

    Addresses, files, notifiers and the values of variables are left aside: they may hold secrets, and a short
    secret could be guessed from a digest.

    Returns:
        ``sha256:`` and the hexadecimal SHA-256 of JSON with sorted keys and without blanks.
    """
    rules = config.model_dump(
        mode="json",
        include=_RULES,
    )
    if config.guests is not None:
        rules["guests"] = config.guests.model_dump(mode="json", by_alias=True, include=_RULES_OF_GUESTS)
        rules["guests"]["environment"] = sorted(config.guests.environment)
    rules |= {
        "environment": sorted(config.environment),
        "heartbeat": config.reports.heartbeat.total_seconds(),
        "ref": config.policy.ref,
    }
    return "sha256:" + sha256(json.dumps(rules, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_guarded(path: Path, option: str = "--config") -> bytes:
    """Return the content of a file that decides what is done here, and that nobody else may change.

    Args:
        path: Where it is.
        option: What names it on the command line.

    Raises:
        Misuse: It is missing or unreadable, or others could change it or put another file in its place.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        hint = f"give {option} FILE"
        if option == "--config":
            hint = "run `patchledger setup` on a host that was never set up; else give --config FILE"
        raise Misuse(f"{path}: there is no such file", hint) from error
    except IsADirectoryError as error:
        raise Misuse(f"{path}: is a folder", f"name the file in it: {path / 'config.yaml'}") from error
    except OSError as error:
        raise Misuse(
            f"{path}: cannot be read: {error.strerror}", f"run it as root, or give {option} FILE"
        ) from error
    check_ours(str(path.absolute()), option.lstrip("-"))
    return data


def _misuse(problems: list[Problem]) -> Misuse:
    return Misuse("\n".join(str(problem) for problem in problems), "mend the configuration file")
