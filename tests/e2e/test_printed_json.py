"""Whatever is printed with --format json is as its schema says; each command that has that has a schema."""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.cli import main
from reconciler.cli.arguments import build_parser
from reconciler.cli.verbs.policy.start import all_schemas
from tests.e2e.site import Site

Command = Callable[..., tuple[int, str, str]]

SCHEMA_OF = {
    "plan": "plan",
    "run": "run-result",
    "explain": "explain",
    "status": "status",
    "log": "log",
    "windows": "windows",
    "doctor": "doctor",
    "watch": "watch-check",
    "pause": "pause",
    "resume": "pause",
    "guests": "guests",
    "notify test": "notify-test",
    "setup": "setup-result",
    "adjust": "setup-result",
    "cleanup": "cleanup",
    "approve": "approve",
    "fleet publish": "fleet-publish",
    "fleet status": "fleet-status",
    "fleet audit": "fleet-audit",
    "reports repair": "reports-repair",
    "policy check": "policy-check",
    "policy test": "policy-test",
    "policy show": "policy-show",
    "policy impact": "policy-impact",
    "policy init": "policy-init",
    "policy heartbeat": "policy-heartbeat",
    "policy schema": "policy-schema",
}
"""By command; `explain --since`, `approve --propose` and `policy init --from` have one of their own."""


def commands(
    parser: argparse.ArgumentParser, name: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]  # noqa: SLF001 - has no other way in
    for action in below:
        named = {id(one): (verb, one) for verb, one in reversed(action.choices.items())}  # not its alias
        for verb, one in named.values():
            yield from commands(one, f"{name} {verb}".strip())
    if not below:
        yield name, parser


def test_each_command_that_prints_json_has_a_schema() -> None:
    printing = {
        name
        for name, parser in commands(build_parser())
        for one in parser._actions  # noqa: SLF001
        if "--format" in one.option_strings and "json" in (one.choices or ())
    }
    assert printing == SCHEMA_OF.keys()
    assert {f"{name}.schema.json" for name in SCHEMA_OF.values()} <= all_schemas().keys()


def valid(name: str, text: str) -> Any:
    found = json.loads(text)
    made = json.loads(all_schemas()[f"{name}.schema.json"])
    Draft202012Validator(made, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(found)
    return found


def test_what_a_host_prints(site: Site, patchledger: Command) -> None:
    ran = valid("run-result", patchledger("run", "--format", "json")[1])
    assert ran["pushed"] is True
    name = ran["plan"]["updates"][0]["name"]
    told = valid("explain", patchledger("explain", name, "--format", "json")[1])
    assert told["installed"]
    unknown = valid("explain", patchledger("explain", "no-such-package", "--format", "json")[1])
    assert (unknown["plan"]["updates"], unknown["installed"]) == ([], [])
    since = patchledger("explain", name, "--since", "2020-01-01", "--format", "json")[1]
    assert valid("explain-since", since)[0]["name"] == name
    assert valid("doctor", patchledger("doctor", "--format", "json")[1])["host"] == "web-01"
    assert valid("watch-check", patchledger("watch", "--check", "--format", "json")[1])["tick"] == 900
    valid("plan", patchledger("plan", "--format", "json")[1])
    valid("log", patchledger("log", "--format", "json")[1])
    valid("status", patchledger("status", "--format", "json")[1])
    site.config.write_text("{", encoding="utf-8")
    assert valid("doctor", patchledger("doctor", "--format", "json")[1])["host"] is None


def test_what_is_said_of_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "ops")

    def printed(*arguments: str) -> str:
        capsys.readouterr()
        assert main(["policy", *arguments, "--format", "json"]) == 0
        return capsys.readouterr().out

    valid("policy-init", printed("init", folder, "--example", "production"))
    valid("policy-show", printed("show", "web-01", folder, "--os", "debian-12", "--manager", "apt"))
    assert len(valid("policy-show", printed("show", "--all", folder))) == 4
    assert valid("policy-schema", printed("schema", "--write", str(tmp_path / "schemas")))
    inventory = tmp_path / "inventory"
    inventory.write_text("[web]\nweb-01\n", encoding="utf-8")
    found = printed("init", str(tmp_path / "new"), "--from-inventory", str(inventory))
    assert valid("policy-convert", found)["documents"]
