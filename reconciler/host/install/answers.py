"""What ``setup`` is told: the keys of ``config.yaml`` and a few more, from a file, options or questions.

A :class:`Draft` is what is known so far, with where each part came from. It is checked whole, so that every
mistake is told at once, in the words of the place it was made in: ``answers.yaml:3: policy.ref: …`` or
``--policy-ref: …``. Nothing here reads or writes anything but :func:`read_answers`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, field_validator, model_validator

from reconciler.errors import Misuse
from reconciler.host.config import AbsolutePath, Config, Notifier, read_guarded
from reconciler.policy.problems import Problem, dotted
from reconciler.policy.schema import WrittenDefaults
from reconciler.policy.values import NAME, format_duration, refuse, suggested_id
from reconciler.policy.yamltext import YamlDocument, parse_documents, validate
from reconciler.records import dataclass

Path_ = tuple[str, ...]
"""The place of an answer, such as ``("policy", "remote")``."""

OPTIONS: Mapping[str, str] = {
    "host": "--host",
    "policy": "--policy-remote",
    "policy.remote": "--policy-remote",
    "policy.ref": "--policy-ref",
    "reports.remote": "--report-remote",
    "reports.signing_key": "--signing-key",
    "git.identity": "--identity",
    "git.known_hosts": "--known-hosts",
    "git.credential": "--git-credential",
    "git.ca_file": "--ca-file",
    "trust.floor": "--trust-floor",
    "tick": "--tick",
    "updaters": "--updaters",
}
"""The option that gives an answer, by the answer's place."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]+")
_HEAD = """\
# Written by `patchledger setup`; `patchledger adjust` asks again, with these answers.
"""


def _one_address(value: object) -> object:
    """Refuse what is no address without quoting it, since it may be nearly one."""
    if not isinstance(value, str) or _ADDRESS.fullmatch(value.strip()) is None:
        raise refuse(
            "is not one apprise URL", "write it in one line that begins with a service, such as mailtos://"
        )
    return value.strip()


class NotifierAnswer(Notifier):
    """Where a notifier's secret URL comes from; exactly one of credential, file, address and address_file."""

    address: Annotated[SecretStr, BeforeValidator(_one_address)] | None = None
    """The apprise URL itself; nobody else may then read the answers file."""

    address_file: AbsolutePath | None = None
    """File that holds the apprise URL and that its owner alone may read; it may be removed afterwards."""

    keep: Literal["credential", "file"] = "credential"
    """How the address is kept: encrypted for this machine, or as a plain file that root alone may read."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        given = [self.credential, self.file, self.address, self.address_file]
        if len([one for one in given if one is not None]) != 1:
            raise refuse("needs exactly one of address, address_file, credential and file")
        return self

    @property
    def is_new(self) -> bool:
        """Whether there is an address that ``setup`` has to keep."""
        return self.address is not None or self.address_file is not None


class Answers(Config):
    """All answers: those that stand in ``config.yaml`` afterwards, and what only ``setup`` needs to know."""

    notifiers: dict[Annotated[str, Field(pattern=NAME)], NotifierAnswer] = Field(  # type: ignore[assignment] # never written to
        default_factory=dict
    )
    """Names that a policy's ``notify`` may route to, and their addresses."""

    updaters: Literal["park", "leave"] = "park"
    """What becomes of other programs that upgrade packages by themselves; parked ones are given back."""

    @field_validator("tick")
    @classmethod
    def _fit_for_a_timer(cls, value: timedelta) -> timedelta:
        if value % timedelta(minutes=1) or not timedelta(minutes=1) <= value <= timedelta(days=1):
            raise refuse("is not a timer's", "take whole minutes, from 1m to 1d; 15m suits most")
        return value


@dataclass(frozen=True, slots=True)
class Draft:
    """Answers as far as they are known.

    Attributes:
        data: Plain data, as a YAML file holds it.
        file: Where ``document`` was read, for its mistakes; empty without one.
        document: The file that was read.
        origins: Where answers that are not the file's came from, by their dotted place: an option, or words.
    """

    data: Mapping[str, object] = field(default_factory=dict, repr=False)
    file: str = ""
    document: YamlDocument | None = None
    origins: Mapping[str, str] = field(default_factory=dict)

    def with_answer(self, place: Path_, value: object, origin: str = "") -> "Draft":
        """Return the draft with one answer more, or another one; ``None`` takes an answer back."""
        origins = {name: known for name, known in self.origins.items() if name != dotted(place)}
        return Draft(
            _set(self.data, place, value), self.file, self.document, {**origins, dotted(place): origin}
        )

    def answer(self, place: Path_) -> object:
        """Return an answer, ``None`` where there is none."""
        found: object = self.data
        for part in place:
            found = found.get(part) if isinstance(found, Mapping) else None
        return found

    def check(self) -> Answers | list[str]:
        """Return the whole answers, or every mistake in them."""
        found = self._validated()
        return found if isinstance(found, Answers) else [self._told(problem) for problem in found]

    def mistakes(self, place: Path_) -> list[str]:
        """Return what is wrong with one answer, in words for who has just given it."""
        found = self._validated()
        if isinstance(found, Answers):
            return []
        here = dotted(place)
        return [
            f"{problem.message}{f' ({problem.hint})' if problem.hint else ''}"
            for problem in found
            if problem.path == here or problem.path.startswith((f"{here}.", f"{here}["))
        ]

    def _validated(self) -> Answers | list[Problem]:
        data = _plain(self.data)
        if self.document is None:
            return validate(Answers, YamlDocument(data, json.dumps(data).encode(), first_line=1), self.file)
        return validate(Answers, self.document.with_data(data), self.file)

    def _told(self, problem: Problem) -> str:
        advice = f" ({problem.hint})" if problem.hint else ""
        place = problem.path
        while place:
            if self.origins.get(place):
                return f"{self.origins[place]}: {problem.message}{advice}"
            place = place.rpartition(".")[0]
        if self.document is not None:
            return str(problem)
        option = OPTIONS.get(problem.path)
        return f"{problem.path or 'the answers'}: {problem.message}" + (
            f" (give {option} or --answers FILE)" if option and problem.message == "is required" else advice
        )


def read_answers(path: Path) -> Draft:
    """Read an answers file; its mistakes are told by :meth:`Draft.check`.

    Raises:
        Misuse: It cannot be read or is no YAML, others may change it, or it holds a secret that others may
            read.
    """
    data = read_guarded(path, "--answers")
    documents, problems = parse_documents(data, str(path))
    if not problems and len(documents) != 1:
        problems = [Problem(str(path), 1, "", "must hold exactly one YAML document")]
    found = None if problems else documents[0].data
    if not problems and not isinstance(found, dict):
        problems = [Problem(str(path), 1, "", "is not a mapping of keys")]
    if problems or not isinstance(found, dict):
        raise Misuse("\n".join(map(str, problems)), "mend the answers file")
    if _holds_address(found) and path.stat().st_mode & 0o077:
        raise Misuse(
            f"{path}: others may read it, and it holds the address of a notifier", f"chmod 600 {path}"
        )
    return Draft(found, str(path), documents[0])


def present_answers(config: Config, updaters: Literal["park", "leave"]) -> Draft:
    """Return the answers that led to a configuration, as ``adjust`` begins with them."""
    data = {**config_data(config), "updaters": updaters}
    return Draft(data, origins=dict.fromkeys(data, "the present configuration"))


def merged(below: Draft, above: Draft) -> Draft:
    """Return ``below`` with every answer that ``above`` has in its place; sections are merged key by key."""
    origins = {name: said for name, said in below.origins.items() if name not in above.data}
    return Draft(_merge(below.data, above.data), above.file, above.document, {**origins, **above.origins})


def host_id(name: str) -> str:
    """Return the host id that a host's name suggests, fit for a git branch; empty where it suggests none."""
    text = suggested_id(name)
    return "" if text in {"localhost", "localhost.localdomain"} else text


def configuration(answers: Answers, kept: Mapping[str, Mapping[str, str]]) -> Config:
    """Return the configuration that answers stand for.

    Args:
        answers: Checked.
        kept: Where each notifier's address is in the end, as ``config.yaml`` says it.
    """
    data = {key: value for key, value in config_data(answers).items() if key != "updaters"}
    data.pop("notifiers", None)
    if kept:
        data["notifiers"] = {name: dict(place) for name, place in kept.items()}
    return Config.model_validate(data)


def config_data(config: Config) -> dict[str, object]:
    """Return a configuration as plain data, without what is as by default; secrets are left out."""
    data = config.model_dump(exclude_defaults=True, by_alias=True)
    return {**{key: _leaves(item) for key, item in data.items() if item is not None}, "host": config.host}


def config_text(config: Config) -> str:
    """Write a configuration as the file holds it; reading it gives the same configuration."""
    data = config_data(config)
    ordered = {name: data[name] for name in type(config).model_fields if name in data}
    return _HEAD + "".join(_yaml(ordered, 0))


_SHORTEST_SECRET = 4


def shown_text(text: str) -> str:
    """Return a configuration file's text without the values of ``environment``, which may be secrets.

    Of a text in another form than ours, in which one would still be seen, nothing is shown.
    """
    if not text:
        return ""  # there is no file yet
    shown = _without_values(text)
    documents, problems = parse_documents(text.encode(), "")
    values = [value for one in documents for value in _environment_of(one.data)]
    if problems or any(value in shown or json.dumps(value)[1:-1] in shown for value in values):
        return "(not shown, since it holds values of `environment` in a form of its own)\n"
    return shown


def _environment_of(data: object) -> tuple[str, ...]:
    environment = data.get("environment") if isinstance(data, Mapping) else None
    values = environment.values() if isinstance(environment, Mapping) else ()
    return tuple(str(value) for value in values if len(str(value)) >= _SHORTEST_SECRET)


def _without_values(text: str) -> str:
    lines, inside = [], False
    for line in text.splitlines(keepends=True):
        if not line.startswith((" ", "#", "\n")):
            key, _, rest = line.partition(":")
            inside = key == "environment"
            lines.append(f"{key}: ***\n" if inside and rest.strip() else line)
        elif inside and line.strip():
            lines.append(f"{line.partition(':')[0]}: ***\n")
        else:
            lines.append(line)
    return "".join(lines)


def _holds_address(data: Mapping[str, object]) -> bool:
    notifiers = data.get("notifiers")
    return isinstance(notifiers, Mapping) and any(
        isinstance(one, Mapping) and "address" in one for one in notifiers.values()
    )


def _set(data: Mapping[str, object], place: Path_, value: object) -> dict[str, object]:
    key, *rest = place
    if rest:
        below = data.get(key)
        inner = _set(below if isinstance(below, Mapping) else {}, tuple(rest), value)
        return _without(data, key) if not inner else {**data, key: inner}
    return _without(data, key) if value is None else {**data, key: value}


def _without(data: Mapping[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in data.items() if name != key}


_LISTS_OF_NAMES = frozenset({"labels", "environment", "notifiers", "guests"})


def _merge(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    result = dict(below)
    for key, value in above.items():
        known = result.get(key)
        # Labels, variables, notifiers and guests are lists of names: who writes them anew may leave one out.
        is_section = key in Config.model_fields and key not in _LISTS_OF_NAMES
        if is_section and isinstance(known, Mapping) and isinstance(value, Mapping):
            result[key] = {**known, **value}
        else:
            result[key] = value
    return result


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _leaves(value: object) -> object:
    """Turn what models hold into what YAML holds."""
    if isinstance(value, dict):
        return {key: _leaves(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_leaves(item) for item in value]
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, SecretStr):
        return None
    return str(value) if isinstance(value, Path) else value


# Texts that no reader of YAML, of whatever version, takes for anything else.
_PLAIN_TEXT = re.compile(r"[A-Za-z/][A-Za-z0-9._/@+-]*(?<!\.)")
# What a reader refuses unless it is spelt out.
_UNREADABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def _yaml(data: Mapping[str, object], depth: int) -> list[str]:
    lines = []
    for key, value in data.items():
        head = f"{'  ' * depth}{_scalar(key)}:"
        if isinstance(value, Mapping) and value:
            lines += [f"{head}\n", *_yaml(value, depth + 1)]
        else:
            lines.append(f"{head} {_scalar(value)}\n")
    return lines


def _scalar(value: object) -> str:
    if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return _UNREADABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def answers_schema() -> dict[str, object]:
    """Return the JSON Schema of an answers file."""
    model: type[BaseModel] = Answers
    schema = model.model_json_schema(schema_generator=WrittenDefaults)
    # A host's id has a default here: the host's name.
    schema["required"] = [key for key in schema["required"] if key != "host"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Answers to `patchledger setup`",
        **{key: value for key, value in schema.items() if key != "title"},
    }
