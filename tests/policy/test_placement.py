"""What lies beside the folders that are read: free, unless it is policy that nobody would read."""

import pytest

from reconciler.policy.load import PolicyFile, Rejected, Revision, load
from reconciler.policy.placement import MOST_LOOKED_INTO
from tests.policy.trees import Tree, files, loaded, refused

FREEZE = "kind: Freeze\nname: f\nfrom: 2026-01-01\nuntil: 2026-01-02\ntimezone: UTC\nreason: r\n"
HOLD = "kind: Exception\nname: e\npackages: a\naction: hold\nreason: r\nexpires: 2026-01-01\n"
EXPECTATION = "kind: Expectation\nname: e\nexpect: {action: apply}\n"
POLICY = "kind: Policy\nname: p\n"
BASE: Tree = {"policies/p.yaml": POLICY}
LATE = FREEZE.removeprefix("kind: Freeze\n") + "kind: freezes\n"
BROKEN_JSON = '{\n  "name": &f "f",\n  "kind": "Freeze"\n}\n'
IN_JSON = '[\n  {\n    "name": "f",\n    "kind": "Freeze"\n  }\n]\n'


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("freeze/f.yaml", FREEZE, "freeze/f.yaml:1: kind: is a document of kind Freeze in a place"),
        ("Freezes/f.yaml", FREEZE, "Freezes/f.yaml:1: kind: is a document of kind Freeze"),
        ("year-end.yaml", FREEZE, "year-end.yaml:1: kind: is a document of kind Freeze"),
        ("Freezes.yaml", FREEZE, "Freezes.yaml:1: kind: is a document of kind Freeze"),
        (".year-end.yml", FREEZE, ".year-end.yml:1: kind: is a document of kind Freeze"),
        ("year-end.yaml.bak", FREEZE, "year-end.yaml.bak:1: kind: is a document of kind Freeze"),
        ("year-end.YAML", FREEZE, "year-end.YAML:1: kind: is a document of kind Freeze"),
        ("freeze", FREEZE, "freeze:1: kind: is a document of kind Freeze"),
        ("freeze/year-end", FREEZE, "freeze/year-end:1: kind: is a document of kind Freeze"),
        ("prod/freezes/f.yaml", FREEZE, "prod/freezes/f.yaml:1: kind: is a document of kind Freeze"),
        ("other/f.json", IN_JSON, "other/f.json:4: kind: is a document of kind Freeze"),
        ("exception/e.yaml", HOLD, "exception/e.yaml:1: kind: is a document of kind Exception"),
        ("x.yaml", f"{POLICY}---\n{HOLD}", "x.yaml:4: kind: is a document of kind Exception"),
        ("x.yaml", LATE, "x.yaml:6: kind: is a document of kind Freeze"),
        ("x.json", BROKEN_JSON, "x.json:3: kind: is a document of kind Freeze"),
        ("x.yaml", f"{FREEZE}from: [unclosed\n", "x.yaml:1: kind: is a document of kind Freeze"),
        ("x.yaml", f"--- \n{FREEZE}more: *alias\n", "x.yaml:2: kind: is a document of kind Freeze"),
        ("caf\\xe9.yaml", b"# \xe9\n" + FREEZE.encode(), "caf\\xe9.yaml:2: kind: is a document of"),
    ],
)  # fmt: skip
def test_a_freeze_or_an_exception_that_is_not_read_makes_the_revision_invalid(
    path: str, text: str | bytes, told: str
) -> None:
    problems = refused({**BASE, path: text})

    assert len(problems) == 1, problems
    assert problems[0].startswith(told)
    assert "(move it to " in problems[0]


@pytest.mark.parametrize("mode", ["120000", "160000"])
@pytest.mark.parametrize("path", ["freeze", "Freezes", "exception"])
def test_a_link_or_submodule_that_hides_freezes_makes_it_invalid(path: str, mode: str) -> None:
    found = load([*files(BASE), PolicyFile(path, mode, b"elsewhere")])

    assert isinstance(found, Rejected)
    assert [problem.file for problem in found.problems] == [path]


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("policy/p.yaml", POLICY, "policy/p.yaml:1: kind: is a document of kind Policy in a place"),
        ("x.yml", "kind: Host\nname: h\n", "x.yml:1: kind: is a document of kind Host"),
        ("x.json", '{"kind": "Approval"}', "x.json:1: kind: is a document of kind Approval"),
        ("patchledger.yml", 'requires: ">=0.1"\n', "patchledger.yml:1: is in a place that is not read"),
        ("Patchledger.yaml", 'requires: ">=0.1"\n', "Patchledger.yaml:1: is in a place that is not read"),
        ("calendar/board.ics", "x", "calendar/board.ics:1: is in a place that is not read"),
        ("script/apt-update.sh", "x", "script/apt-update.sh:1: is in a place that is not read"),
        ("Trust/allowed_signers", "x", "Trust/allowed_signers:1: is in a place that is not read"),
        ("expectation/e.yaml", EXPECTATION, "expectation/e.yaml:1: kind: is a document of kind Expectation"),
        ("tests/e.yml", EXPECTATION, "tests/e.yml:1: kind: is a document of kind Expectation in a place"),
        ("expectations/p.yaml", POLICY, "expectations/p.yaml:1: kind: is a document of kind Policy in a"),
    ],
)  # fmt: skip
def test_any_other_policy_that_is_not_read_is_told(path: str, text: str, told: str) -> None:
    revision = loaded({**BASE, path: text})

    assert len(revision.misplaced) == 1
    assert str(revision.misplaced[0]).startswith(told)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("README.md", f"# Ours\n\n```yaml\n{FREEZE}```\n"),
        ("docs/freeze.md", FREEZE),
        ("docs/examples/freeze.yaml", FREEZE),
        (".github/freeze.yaml", FREEZE),
        ("freeze/README.md", f"# Freezes\n\nThey look like this:\n\n```yaml\n{FREEZE}```\n"),
        (".github/workflows/check.yml", "on: [push]\njobs: {check: {steps: [{run: make}]}}\n"),
        (".gitlab-ci.yml", "check:\n  script: !reference [a, b]\n"),
        ("docs/list.yaml", f"examples:\n- {FREEZE.replace(chr(10), chr(10) + '  ')}\n"),
        ("k8s/policy.yaml", f"apiVersion: policy/v1\n{POLICY}"),
        ("k8s/broken.yaml", f"apiVersion: {{{{ v }}}}\n{POLICY}"),
        ("k8s/pod.yaml", "kind: Pod\nname: p\n"),
        ("mkdocs.yml", "site_name: x\n"),
        ("package.json", '{"name": "kind", "scripts": {}}'),
        ("hosts.ini", "[web]\nweb-01\n"),
        ("inventory/hosts", "web-01 kind=Host\n"),
        ("host_vars/web-01.yaml", "kind: 3\n"),
        ("script/test.sh", "#!/bin/sh\n"),
        ("scripts.sh", "#!/bin/sh\n"),
        ("Makefile", "check:\n\tpatchledger policy check\n"),
        ("broken.yaml", "a: [\n"),
        ("binary.yaml", bytes(range(256))),
        ("expectations/e.yaml", EXPECTATION),
        ("empty.yaml", ""),
    ],
)  # fmt: skip
def test_everything_else_is_free(path: str, text: str | bytes) -> None:
    assert loaded({**BASE, path: text}).misplaced == ()


def test_links_and_submodules_beside_the_policy_are_free() -> None:
    found = load(
        [*files(BASE), PolicyFile("docs", "160000", b""), PolicyFile("x.yaml", "120000", b"freezes/x.yaml")]
    )

    assert isinstance(found, Revision)
    assert found.misplaced == ()


def test_no_more_is_looked_into_than_a_thousand_files_the_likeliest_first() -> None:
    tree: dict[str, str | bytes] = {f"ci/{number:05}.yaml": "a: b\n" for number in range(MOST_LOOKED_INTO)}
    told = loaded({**BASE, **tree, "zz/policy.yaml": "a: b\n"}).misplaced

    assert [str(problem) for problem in told] == [
        (
            "zz/policy.yaml:1: is not looked into, since there are too many files outside of the known"
            " folders (keep policy in a repository of its own)"
        )
    ]
    assert refused({**BASE, **tree, "freeze/f.yaml": FREEZE})
    expectations = {path.replace("ci/", "expectations/"): EXPECTATION for path in tree}
    assert refused({**BASE, **expectations, "freeze/f.yaml": FREEZE})
    assert loaded({**BASE, **dict(list(tree.items())[1:]), "zz/policy.yaml": "a: b\n"}).misplaced == ()
