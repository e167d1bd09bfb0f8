"""What the packages bring of others: a bill of materials in CycloneDX 1.6, and from it the list of licences.

Usage: ``python -m scripts.packaging.sbom bill SITE REPORT ...``  (prints the bill of what lies in SITE; each
REPORT is what pip said when it installed there)
       ``python -m scripts.packaging.sbom licences BILL``  (prints its parts with their licences, for people)
"""

import importlib.metadata
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_OURS = "patchledger"
_LICENCES = {
    "cronsim": "BSD-3-Clause",
    "gitdb": "BSD-3-Clause",
    "python-dateutil": "BSD-3-Clause AND (Apache-2.0 OR BSD-3-Clause)",
}
"""As their texts have it, of parts whose metadata names none."""
_NAMESPACE = uuid.UUID("3d0c2f4e-6c56-5d0a-9d0f-5c8e1c0b7a11")

Json = dict[str, Any]


def main() -> None:
    """Print what is asked for."""
    match sys.argv[1:]:
        case ["bill", site, *reports]:
            sys.stdout.write(json.dumps(bill(Path(site), list(map(Path, reports))), indent=1) + "\n")
        case ["licences", file]:
            sys.stdout.writelines(f"{line}\n" for line in _told(json.loads(Path(file).read_bytes())))
        case _:
            sys.exit(__doc__)


def bill(site: Path, reports: list[Path]) -> Json:
    """Return the bill of materials of what is installed in ``site``."""
    files = _files(reports)
    distributions = importlib.metadata.distributions(path=[str(site)])
    found = {str(canonicalize_name(one.name)): one for one in distributions}
    parts = [_part(one, files.get(name, {})) for name, one in sorted(found.items()) if name != _OURS]
    linked: dict[str, Json] = {}
    edges: dict[str, set[str]] = {}
    for name, one in sorted(found.items()):
        inside, needs = _crates(site, name)
        if name == "pyyaml":
            inside |= _libyaml(site)
        linked |= inside
        needs[_ref(one)] = {*_needs(one, found), *inside}
        for ref, below in needs.items():  # a crate is in more than one part
            edges.setdefault(ref, set()).update(below)
    built = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    ours = found[_OURS]
    told: Json = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": f"{built:%Y-%m-%dT%H:%M:%SZ}",
            "component": {**_component(_ref(ours), _OURS, ours.version, "MIT"), "type": "application"},
        },
        "components": [*parts, *(linked[ref] for ref in sorted(linked))],
        "dependencies": [{"ref": ref, "dependsOn": sorted(needs)} for ref, needs in sorted(edges.items())],
    }
    return {**told, "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps(told, sort_keys=True))}"}


def _component(ref: str, name: str, version: str, licence: str) -> Json:
    return {
        "type": "library",
        "bom-ref": ref,
        "name": name,
        "version": version,
        "licenses": [{"expression": licence}],
        "purl": ref,
    }


def _files(reports: list[Path]) -> dict[str, dict[str, str]]:
    """Return the files that pip installed: by part, their hashes by address."""
    files: dict[str, dict[str, str]] = {}
    for report in reports:
        for one in json.loads(report.read_bytes())["install"]:
            download = one["download_info"]
            if download["url"].startswith("https:"):
                name = canonicalize_name(one["metadata"]["name"])
                hashes = download["archive_info"]["hash"]
                files.setdefault(name, {})[download["url"]] = hashes.removeprefix("sha256=")
    return files


def _part(one: importlib.metadata.Distribution, files: Mapping[str, str]) -> Json:
    told = _component(_ref(one), one.name, one.version, licence_of(one))
    # Where a mirror served it is of no interest; what it is called, and what it is, are.
    names = sorted((url.rpartition("/")[2], digest) for url, digest in files.items())
    told["externalReferences"] = [
        {"type": "distribution", "url": name, "hashes": [{"alg": "SHA-256", "content": digest}]}
        for name, digest in names
    ]
    return told


def licence_of(one: importlib.metadata.Distribution) -> str:
    """Return an installed part's licence as an SPDX expression.

    Raises:
        LookupError: It names none, and nobody has looked for one.
    """
    told = one.metadata
    named = [*told.get_all("License-Expression", []), *told.get_all("License", [])]
    licence = _LICENCES.get(canonicalize_name(one.name)) or "".join(named[:1]).partition("\n")[0]
    if not re.fullmatch(r"[\w.+-]+( (AND|OR|WITH) [\w.+-]+)*|.*\)", licence):
        raise LookupError(f"{one.name}: which licence is {licence!r}? Read it, and name it in {__name__}")
    return licence


def _ref(one: importlib.metadata.Distribution) -> str:
    kind = "generic" if one.name == _OURS else "pypi"
    return f"pkg:{kind}/{canonicalize_name(one.name)}@{one.version}"


def _needs(
    one: importlib.metadata.Distribution, found: Mapping[str, importlib.metadata.Distribution]
) -> list[str]:
    names = {
        canonicalize_name(needed.name)
        for needed in map(Requirement, one.requires or ())
        if needed.marker is None or needed.marker.evaluate({"extra": ""})
    }
    return [_ref(found[name]) for name in names if name in found]


def _crates(site: Path, name: str) -> tuple[dict[str, Json], dict[str, set[str]]]:
    """Return what was linked into a part, as its own bill says: components, and their needs."""
    crates: dict[str, Json] = {}
    edges: dict[str, set[str]] = {}
    for file in sorted(site.glob(f"{name.replace('-', '_')}-*.dist-info/sboms/*.cyclonedx.json")):
        told = json.loads(file.read_bytes())
        refs = {each["bom-ref"]: f"pkg:cargo/{each['name']}@{each['version']}" for each in told["components"]}
        for each in told["components"]:
            licence = each["licenses"][0]["expression"]
            component = _component(refs[each["bom-ref"]], each["name"], each["version"], licence)
            crates[component["bom-ref"]] = {**component, "hashes": each.get("hashes", [])}
        for edge in told["dependencies"]:
            if edge["ref"] in refs:
                needs = edge.get("dependsOn", ())
                edges.setdefault(refs[edge["ref"]], set()).update(refs[ref] for ref in needs if ref in refs)
    return crates, edges


def _libyaml(site: Path) -> dict[str, Json]:
    """Return the C library in PyYAML, which does not say so in a form for programs, by its reference."""
    (file, *_) = sorted(site.glob("yaml/_yaml.*.so"))
    found = re.search(rb"\0(\d+\.\d+\.\d+)\0", file.read_bytes())
    if found is None:
        raise LookupError(f"{file} does not say which libyaml it has")
    version = found[1].decode()
    ref = f"pkg:generic/libyaml@{version}"
    return {ref: _component(ref, "libyaml", version, "MIT")}


def _told(told: Json) -> Iterator[str]:
    """Yield the lines for people: parts of Python first, then what is linked into them."""
    for title, kind in (
        ("Python packages", "pypi"),
        ("Linked into them", "generic"),
        ("Rust crates linked into them", "cargo"),
    ):
        yield f"{title}:"
        yield from (
            f"  {one['name']} {one['version']}: {one['licenses'][0]['expression']}"
            for one in told["components"]
            if one["purl"].startswith(f"pkg:{kind}/")
        )
        yield ""


if __name__ == "__main__":
    main()
