"""``policy init``, ``schema`` and ``heartbeat``: begin a policy repository, and keep it fresh."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.cli.showing import interfaces
from reconciler.cli.showing.terminal import print_json
from reconciler.cli.verbs.samples import policy_sample
from reconciler.errors import Misuse
from reconciler.host.config import Config
from reconciler.host.install.answers import answers_schema
from reconciler.planning.fleet.summary import summary_schema
from reconciler.planning.reporting.schema import plan_schema_json, report_schema_json, run_schema_json
from reconciler.policy.schema import WrittenDefaults, schema_text, schemas
from reconciler.policy.values import nearest
from reconciler.resources import locate

_SUFFIX = ".schema.json"
_MODELINE = re.compile(r"(?m)^(# yaml-language-server: \$schema=)(?:\.\./)+schemas/(.*)$")


def all_schemas() -> dict[str, str]:
    """Return the text of every schema by its file name below ``schemas/``."""
    texts = {name: schema_text(made) for name, made in schemas().items()}
    texts["plan.schema.json"] = plan_schema_json().decode()
    texts["report.schema.json"] = report_schema_json().decode()
    texts["run.schema.json"] = run_schema_json().decode()
    texts["fleet.schema.json"] = schema_text(summary_schema())
    texts |= {f"{name}{_SUFFIX}": schema_text(made) for name, made in interfaces.schemas().items()}
    texts["config.schema.json"] = schema_text(_config_schema())
    texts["setup.schema.json"] = schema_text(answers_schema())
    return texts


def _config_schema() -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of a host",
        **Config.model_json_schema(schema_generator=WrittenDefaults),
    }


def schema(name: str, folder: str | None, form: str) -> int:
    """Print one schema, or write all of them below a folder, and return 0.

    A schema is JSON in every format; with ``json`` the names of written files are a list.

    Raises:
        Misuse: There is no schema of that name, or the folder cannot be written.
    """
    made = all_schemas()
    if folder is not None:
        _write({Path(folder) / file: text for file, text in made.items()})
        sys.stderr.write(f"wrote {len(made)} schemas to {folder}\n")
        if form == "json":
            print_json(sorted(str(Path(folder) / file) for file in made))
        return 0
    wanted = name.removesuffix(_SUFFIX)
    text = made.get(f"{wanted}{_SUFFIX}")
    if text is None:
        known = [file.removesuffix(_SUFFIX) for file in made]
        of_kind = f"did you mean kinds/{name}?" if f"kinds/{name}" in known else nearest(name, known)
        raise Misuse(f"there is no schema {name}", of_kind or "see `policy schema --write DIR`")
    sys.stdout.write(text)
    return 0


def init(folder: str | None, example: str, form: str, *, is_full: bool = False) -> int:
    """Copy an example into a new git repository with a first commit, and return 0.

    Args:
        folder: Of the repository.
        example: Its name.
        form: How the result is printed.
        is_full: With a policy that has every setting as a comment.

    Raises:
        Misuse: No folder is named, or it is not empty or cannot be written.
        Stalled: git fails.
    """
    if folder is None:
        raise Misuse("no folder is named", "patchledger policy init DIR")
    source = locate(f"examples/policies/{example}")
    files = {path.relative_to(source): path.read_text(encoding="utf-8") for path in _files(source)}
    if is_full:
        files[Path("policies/every-option.yaml")] = policy_sample()
    commit = plant(folder, files, f"Start from the {example} example")
    if form == "json":
        print_json({"folder": folder, "example": example, "commit": commit})
    else:
        sys.stdout.write(f"{folder}\n")
    sys.stderr.write(f"next: edit the files, then run patchledger policy check {folder}\n")
    return 0


def heartbeat(folder: str, form: str) -> int:
    """Sign an empty commit in a clone of the policy repository, and return 0.

    Raises:
        Misuse: That is no clone, or no branch is checked out.
        Stalled: git cannot sign.
    """
    from reconciler.gitops.working_copy import heartbeat as commit_nothing

    commit = commit_nothing(Path(folder))
    if form == "json":
        print_json({"folder": folder, "commit": commit})
    else:
        sys.stdout.write(f"{commit}\n")
    sys.stderr.write(f"next: git -C {folder} push\n")
    return 0


def plant(folder: str, files: Mapping[Path, str], message: str) -> str:
    """Write files, and the schemas that they name, into a new git repository; return its first commit.

    Args:
        folder: A new or empty one.
        files: By their paths inside.
        message: Of the commit.

    Raises:
        Misuse: The folder is not empty or cannot be written.
        Stalled: git fails.
    """
    from reconciler.gitops.working_copy import initialise

    top = Path(folder)
    if top.exists() and (not top.is_dir() or any(top.iterdir())):
        raise Misuse(f"{folder} is not an empty folder", "name a new one")
    written = {top / path: _with_near_schema(path, text) for path, text in files.items()}
    named = {found[2] for text in files.values() for found in _MODELINE.finditer(text)}
    made = all_schemas()
    written |= {top / "schemas" / name: made[name] for name in sorted(named)}
    _write(written)
    return initialise(top, message)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _with_near_schema(path: Path, text: str) -> str:
    """Point the editor's line to the copies of the schemas inside the new repository."""
    up = "../" * (len(path.parts) - 1) or "./"
    return _MODELINE.sub(rf"\g<1>{up}schemas/\g<2>", text)


def _write(texts: dict[Path, str]) -> None:
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Misuse(f"cannot write {error.filename}: {error.strerror}", "choose another folder") from error
