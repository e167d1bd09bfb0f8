"""Loading a tree of files: everything in the known folders must be right, and all that is wrong is told."""

from base64 import b64encode
from hashlib import sha256
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import __version__
from reconciler.policy.load import Origin, PolicyFile, Readings, Rejected, Revision, is_met, load
from tests.examples import examples
from tests.policy.trees import MIDNIGHT, files, loaded, outdated, refused

POLICY = "kind: Policy\nname: base\n"
FREEZE = "kind: Freeze\nname: f\nfrom: 2026-01-01\nuntil: 2026-01-02\ntimezone: UTC\nreason: r\n"
EXCEPTION = "kind: Exception\nname: e\npackages: a\naction: hold\nreason: r\nexpires: 2026-01-01\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0tVgMq3VtCN1jKQ7d0kk3cIVJkC1rEwXo5l2sBRoCk"
SIGNERS = f'# who may sign\n\na@example.org {KEY} a\n*@example.org,b namespaces="git" {KEY}\n'
ICS = (
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\nBEGIN:VEVENT\r\nUID:a\r\nDTSTAMP:20260101T000000Z\r\n"
    "DTSTART:20270116T210000Z\r\nDURATION:{}\r\nSUMMARY:Night\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)


def test_an_empty_repository_is_valid_and_warned_about() -> None:
    revision = loaded({"README.md": "x"})

    assert revision.policies == ()
    assert [str(warning) for warning in revision.warnings] == [
        "policies:1: holds no Policy, so every host has the defaults and only plans (see `policy init`)"
    ]


def test_a_file_that_two_commits_hold_is_taken_apart_once_and_stands_in_each_of_them() -> None:
    readings = Readings()
    first = load(files({"policies/a.yaml": POLICY, "freezes/f.yaml": FREEZE}), "1" * 40, readings)
    other = {"policies/a.yaml": POLICY, "freezes/f.yaml": FREEZE.replace("name: f", "name: g")}
    second = load(files(other), "2" * 40, readings)

    assert isinstance(first, Revision)
    assert isinstance(second, Revision)
    assert second.policies[0].value is first.policies[0].value
    assert [str(one.origin) for one in (*first.policies, *second.policies)] == [
        f"policies/a.yaml:1@{number * 12}" for number in "12"
    ]
    assert [one.value.name for one in (*first.freezes, *second.freezes)] == ["f", "g"]
    assert second == load(files(other), "2" * 40)


@pytest.mark.parametrize("text", ["kind: Policy\nname: base\naction: aply\n", "kind: Policy\nname: [\n"])
def test_what_is_wrong_with_a_file_is_told_of_each_commit_that_holds_it(text: str) -> None:
    readings = Readings()
    tree = files({"policies/a.yaml": text, "freezes/f.yaml": FREEZE})
    first, second = (load(tree, number * 40, readings) for number in "12")

    assert isinstance(first, Rejected)
    assert first == second == load(tree)


def test_of_many_large_files_those_of_before_are_forgotten() -> None:
    readings = Readings(most=2 * len(FREEZE))
    trees = [files({"policies/a.yaml": f"{POLICY}# {number}{'-' * 200}\n"}) for number in range(5)]
    first = load(trees[0], "", readings)
    for tree in trees:
        assert load(tree, "", readings) == load(tree)
    again = load(trees[0], "", readings)
    assert isinstance(first, Revision)
    assert isinstance(again, Revision)
    assert first.policies[0].value is not again.policies[0].value


def test_all_kinds_are_read_and_sorted_by_name() -> None:
    revision = loaded(
        {
            "policies/z.yaml": "kind: Policy\nname: b\n---\nkind: Policy\nname: a\n",
            "schedules/s.yaml": MIDNIGHT,
            "freezes/f.yaml": FREEZE,
            "exceptions/e.yaml": EXCEPTION,
            "approvals/a.yaml": f"kind: Approval\nname: a\nplan: sha256:{'0' * 64}\nexpires: 2026-01-01\n",
            "hosts/h.yaml": "kind: Host\nname: h\n",
            "rollouts/r.yaml": "kind: Rollout\nname: r\nrings: [{name: a}, {name: b}]\n",
            "calendars/c.ics": ICS.format("PT4H"),
            "trust/allowed_signers": SIGNERS,
            "patchledger.yaml": 'requires: ">=0.1"\n',
            ".github/workflows/check.yml": "not: [read",
            "docs/policies.yaml": "not: [read",
        },
        "c" * 40,
    )

    assert [placed.value.name for placed in revision.policies] == ["a", "b"]
    assert [placed.origin for placed in revision.policies] == [
        Origin("policies/z.yaml", 4, "c" * 40),
        Origin("policies/z.yaml", 1, "c" * 40),
    ]
    one_of_each = (
        revision.schedules,
        revision.freezes,
        revision.exceptions,
        revision.approvals,
        revision.hosts,
        revision.rollouts,
    )
    assert [len(documents) for documents in one_of_each] == [1] * 6
    assert list(revision.calendars) == ["calendars/c.ics"]
    assert revision.requires == ">=0.1"
    assert revision.warnings == ()


def test_a_key_s_origin_is_its_own_line() -> None:
    revision = loaded(
        {"policies/p.yaml": "kind: Policy\nname: p\nreboot:\n  notice: 1m\n  when: always\n"}, "a" * 40
    )
    placed = revision.policies[0]

    assert str(placed.origin_of(("reboot", "when"))) == f"policies/p.yaml:5@{'a' * 12}"
    assert str(placed.origin_of(("updates",))) == f"policies/p.yaml:1@{'a' * 12}"


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("120000", "policies/p.yaml:1: is a symbolic link (put the file itself here)"),
        ("160000", "policies/p.yaml:1: is a submodule (put the files themselves here)"),
        ("040000", "policies/p.yaml:1: has the unknown mode 040000"),
    ],
)
def test_only_regular_files_are_read(mode: str, told: str) -> None:
    found = load([PolicyFile("policies/p.yaml", mode, POLICY.encode())])

    assert isinstance(found, Rejected)
    assert [str(problem) for problem in found.problems] == [told]


@pytest.mark.parametrize(
    "path", ["policies", "schedules", "calendars", "trust", "scripts", "patchledger.yaml"]
)
def test_links_in_place_of_what_is_read_are_refused(path: str) -> None:
    found = load([PolicyFile(path, "120000", b"/etc")])

    assert isinstance(found, Rejected)
    assert [problem.file for problem in found.problems] == [path]


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("policies/p.yml", POLICY, "policies/p.yml:1: has the wrong suffix (name it p.yaml)"),
        (
            "policies/README.md",
            "x",
            "policies/README.md:1: has the wrong suffix (only *.yaml is read here: remove it",
        ),
        ("policies/.yaml", POLICY, "policies/.yaml:1: is hidden (give it a name that does not begin with"),
        ("freezes/.year-end.yaml", FREEZE, "freezes/.year-end.yaml:1: is hidden (give it a name that"),
        ("trust/.allowed_signers", SIGNERS, "trust/.allowed_signers:1: is hidden"),
        ("policies", "x", "policies:1: must be a folder"),
        (
            "policies/eu/p.yaml",
            POLICY,
            "policies/eu/p.yaml:1: is in a folder below policies/ (move it to policies/)",
        ),
        (
            "calendars/c.txt",
            "x",
            "calendars/c.txt:1: has the wrong suffix (only *.ics is read here: remove it",
        ),
        ("calendars/c.ics", "x", "calendars/c.ics:1: not an iCalendar file"),
        (
            "trust/keys",
            "x",
            "trust/keys:1: is not read (trust/ holds only trust/allowed_signers and trust/publishers)",
        ),
        ("trust/allowed_signers", f"{SIGNERS}{KEY}\n", "trust/allowed_signers:5: holds no public key"),
        (
            "trust/allowed_signers",
            "a ssh-ed25519 AAAA",
            "trust/allowed_signers:1: the key is not whole, or of another type than the line says",
        ),
        ("policies/p.yaml", "name: p\n", "policies/p.yaml:1: kind: is required (one of Policy, Schedule"),
        (
            "policies/p.yaml",
            "kind: Polcy\nname: p\n",
            'policies/p.yaml:1: kind: "Polcy" is not a kind (did you mean Policy?)',
        ),
        (
            "policies/p.yaml",
            "kind: [Policy]\nname: p\n",
            "policies/p.yaml:1: kind: \"['Policy']\" is not a kind",
        ),
        ("policies/p.yaml", "- a\n", "policies/p.yaml:1: is a list (write `---`"),
        (
            "policies/p.yaml",
            "\n\nkind: Host\nname: p\n",
            "policies/p.yaml:3: kind: Host does not belong in policies/ (move it to hosts/)",
        ),
        (
            "patchledger.yaml",
            "require: '>=1'\n",
            "patchledger.yaml:1: require: is not a key here (did you mean requires?)",
        ),
        (
            "patchledger.yaml",
            "requires: 1.4\n",
            'patchledger.yaml:1: requires: 1.4 is not a text (write ">=1.4", with quotes)',
        ),
        (
            "patchledger.yaml",
            "requires: new\n",
            'patchledger.yaml:1: requires: "new" is not a version requirement',
        ),
        (
            "patchledger.yaml",
            "requires: '>=0'\n---\na: b\n",
            "patchledger.yaml:3: holds more than one document (join them)",
        ),
    ],
)
def test_a_file_that_is_out_of_place_is_told(path: str, text: str, told: str) -> None:
    problems = refused({path: text})

    assert len(problems) == 1, problems
    assert problems[0].startswith(told)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "schedule: nigth",
            'policies/p.yaml:3: schedule: there is no Schedule "nigth" (did you mean night?)',
        ),
        (
            "schedule: [night, day]",
            'policies/p.yaml:3: schedule[1]: there is no Schedule "day" (write it in schedules/)',
        ),
        (
            "rollout: {name: wekly, ring: a}",
            'policies/p.yaml:3: rollout.name: there is no Rollout "wekly" (did you mean weekly?)',
        ),
        (
            "rollout:\n  name: weekly\n  ring: canry",
            'policies/p.yaml:5: rollout.ring: Rollout weekly has no ring "canry" (did you mean canary?)',
        ),
    ],
)
def test_references_must_lead_somewhere(line: str, told: str) -> None:
    problems = refused(
        {
            "policies/p.yaml": f"kind: Policy\nname: p\n{line}\n",
            "schedules/s.yaml": MIDNIGHT,
            "rollouts/r.yaml": "kind: Rollout\nname: weekly\nrings: [{name: canary}, {name: rest}]\n",
        }
    )

    assert problems == [told]


def test_a_reference_to_a_document_with_problems_of_its_own_is_not_blamed() -> None:
    problems = refused(
        {
            "policies/p.yaml": "kind: Policy\nname: p\nschedule: night\n",
            "schedules/s.yaml": MIDNIGHT.replace("UTC", "Mars"),
        }
    )

    assert [problem.partition(": ")[0] for problem in problems] == ["schedules/s.yaml:3"]


def test_two_documents_of_one_kind_and_name_are_refused_with_both_places() -> None:
    problems = refused(
        {
            "policies/a.yaml": POLICY,
            "policies/b.yaml": f"# second\n{POLICY}",
            "hosts/h.yaml": "kind: Host\nname: base\n",
        }
    )

    assert problems == [
        'policies/b.yaml:3: name: Policy "base" exists already at policies/a.yaml:1 (rename one of them)'
    ]


def test_a_calendar_that_a_schedule_names_must_exist() -> None:
    schedule = "kind: Schedule\nname: s\ntimezone: UTC\nwindows:\n- {ics: calendars/bord.ics}\n"

    problems = refused({"schedules/s.yaml": schedule, "calendars/board.ics": ICS.format("PT4H")})

    told = 'schedules/s.yaml:5: windows[0].ics: there is no file "calendars/bord.ics"'
    assert problems == [f"{told} (did you mean calendars/board.ics?)"]


@pytest.mark.parametrize(
    ("duration", "splay", "budget", "is_enough"),
    [
        ("50m", "0m", None, True),
        ("49m", "0m", None, False),
        ("70m", "20m", None, True),
        ("69m", "20m", None, False),
        ("80m", "0m", "1h", True),
        ("79m", "0m", "1h", False),
        ("40m", "0m", "20m", True),
    ],
)
def test_a_window_must_hold_splay_budget_and_a_late_tick(
    duration: str,
    splay: str,
    budget: str | None,
    is_enough: bool,  # noqa: FBT001 - a column of the table
) -> None:
    policy = "kind: Policy\nname: p\nschedule: s\n" + (f"budget: {budget}\n" if budget else "")
    entry = f'{{start: "02:00", duration: {duration}, splay: {splay}}}'
    tree = {
        "policies/p.yaml": policy,
        "schedules/s.yaml": f"kind: Schedule\nname: s\ntimezone: UTC\nwindows:\n- {entry}\n",
    }

    found = load(files(tree))

    assert isinstance(found, Revision) == is_enough
    if isinstance(found, Rejected):
        assert [problem.path for problem in found.problems] == ["windows[0].duration"]
        assert "is too short for splay" in found.problems[0].message


def test_the_longest_budget_of_all_policies_that_name_a_schedule_counts() -> None:
    tree = {
        "policies/p.yaml": "kind: Policy\nname: a\nschedule: night\n",
        "policies/q.yaml": "kind: Policy\nname: b\nschedule: night\nbudget: 4h\n",
        "schedules/s.yaml": MIDNIGHT,
    }

    assert refused(tree) == [
        (
            "schedules/s.yaml:5: windows[0].duration: 3h is too short for splay 0d + 4h (budget of Policy b)"
            " + 20m = 4h20m (lengthen it or lower the budget)"
        )
    ]


def test_events_of_a_calendar_must_be_long_enough_too() -> None:
    tree = {
        "schedules/s.yaml": "kind: Schedule\nname: s\ntimezone: UTC\nwindows:\n- {ics: calendars/c.ics}\n",
        "calendars/c.ics": ICS.format("PT30M"),
    }

    assert refused(tree) == [
        (
            "schedules/s.yaml:5: windows[0].ics: the shortest event of calendars/c.ics is too short by 20m"
            " (lengthen it or lower the budget)"
        )
    ]


def test_replacement_scripts_must_be_pinned_by_a_policy() -> None:
    text = "#!/bin/sh\n"
    pin = f"sha256:{sha256(text.encode()).hexdigest()}"
    pinned = {
        "policies/p.yaml": f'kind: Policy\nname: p\nscripts: {{apt-update.sh: "{pin}"}}\n',
        "scripts/apt-update.sh": text,
    }

    assert dict(loaded(pinned).scripts) == {"apt-update.sh": text.encode()}
    assert refused({**pinned, "scripts/apt-update.sh": "echo\n"}) == [
        (
            "scripts/apt-update.sh:1: no Policy pins these bytes (add `scripts: {apt-update.sh:"
            f' "sha256:{sha256(b"echo" + bytes([10])).hexdigest()}"}}` to one)'
        )
    ]


def test_another_version_is_asked_for_before_anything_is_judged() -> None:
    found = outdated(
        {"patchledger.yaml": "requires: '>=99'\nnew_key: 1\n", "policies/p.yaml": "kind: Future\n"}
    )

    assert (found.requires, found.running) == (">=99", __version__)


@pytest.mark.parametrize(
    ("requires", "version", "is_fulfilled"),
    [
        (">=1.4", "1.4", True),
        (">=1.4", "1.4.0", True),
        (">=1.4", "1.10.2", True),
        (">=1.4", "1.3.9", False),
        (">=1.4, <2", "2.0", False),
        ("==1.4", "1.4.0", True),
        ("!=1.4", "1.4", False),
        (">1.4", "1.4.1", True),
        ("<=1.4", "1.4.1", False),
    ],
)
def test_requirements(requires: str, version: str, is_fulfilled: bool) -> None:  # noqa: FBT001 - a column of the table
    assert is_met(requires, version) == is_fulfilled


def test_all_problems_are_told_at_once_sorted_by_file_and_line() -> None:
    tree = {
        "schedules/s.yaml": "kind: Schedule\nname: s\n",
        "policies/b.yaml": "kind: Policy\nname: b\nupdates: x\nbudget: 5\n",
        "policies/a.yml": "",
        "hosts/h.yaml": "a: [\n",
    }

    found = load(files(tree))

    assert isinstance(found, Rejected)
    assert [(problem.file, problem.line, problem.path) for problem in found.problems] == [
        ("hosts/h.yaml", 2, ""),
        ("policies/a.yml", 1, ""),
        ("policies/b.yaml", 3, "updates"),
        ("policies/b.yaml", 4, "budget"),
        ("schedules/s.yaml", 1, "timezone"),
        ("schedules/s.yaml", 1, "windows"),
    ]


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "policies/a.yaml",
                "hosts/a.yaml",
                "calendars/a.ics",
                "scripts/apt-update.sh",
                "patchledger.yaml",
            ]
        ),
        st.binary(max_size=100),
        max_size=4,
    )
)
@examples(100)
def test_no_content_makes_loading_raise(tree: dict[str, bytes]) -> None:
    found = load(files(tree))

    assert not isinstance(found, Rejected) or found.problems


@given(st.permutations(["a", "b", "c", "d"]))
@examples(20)
def test_the_order_of_files_does_not_matter(order: list[str]) -> None:
    tree = {f"policies/{name}.yaml": f"kind: Policy\nname: {name}\n" for name in order}

    assert loaded(tree) == loaded(dict(sorted(tree.items())))


def test_a_revision_full_of_mistakes_is_not_read_to_its_end() -> None:
    mistakes = "kind: Policy\nname: a\n" + "".join(f"k{number}: 1\n" for number in range(6000))
    found = load([PolicyFile(f"policies/{name}.yaml", "100644", mistakes.encode()) for name in "abcd"])
    assert isinstance(found, Rejected)
    assert len(found.problems) == 1001
    told = "policies/a.yaml:1003: this and what follows is not told, since there are 1000 mistakes before"
    assert told in {str(problem).partition(" (")[0] for problem in found.problems}


@pytest.mark.parametrize("pair", list(combinations(("signer", "publisher", "host"), 2)), ids="-".join)
def test_no_key_has_two_roles(pair: tuple[str, str]) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0tVgMq3VtCN1jKQ7d0kk3cIVJkC1rEwXo5l2sBRoCk"
    places = {
        "signer": ("trust/allowed_signers", f"ada@example.org {key}\n"),
        "publisher": ("trust/publishers", f"fleet {key}\n"),
        "host": ("hosts/a.yaml", f"kind: Host\nname: a\nreport_key: {key}\n"),
    }
    both = [PolicyFile(path, "100644", text.encode()) for path, text in map(places.__getitem__, pair)]
    for one in both:
        assert isinstance(load([one], ""), Revision)
    found = load(both, "")
    assert isinstance(found, Rejected)
    (problem,) = found.problems
    assert " as well" in problem.message
    assert problem.hint == "one key has one role: make another one"


@pytest.mark.parametrize("kind", ["ssh-rsa", "ssh-dss"])
def test_a_report_key_that_no_list_of_signers_would_have_is_no_defect(kind: str) -> None:
    parts = (kind.encode(), b"\1\0\1", b"\xff" * 128)
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    host = f"kind: Host\nname: {{}}\nreport_key: {kind} {b64encode(blob).decode()}\n"
    one = PolicyFile("hosts/a.yaml", "100644", host.format("a").encode())
    assert isinstance(load([one], ""), Revision)
    found = load([one, PolicyFile("hosts/b.yaml", "100644", host.format("b").encode())], "")
    assert isinstance(found, Rejected)
    assert "is the key of Host a as well" in str(found.problems[0])
