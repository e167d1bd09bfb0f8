"""Reading YAML: which values come out, what is refused and where, and that nothing can make it raise."""

import sys
from collections import Counter
from types import FrameType

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.policy import yamltext
from reconciler.policy.problems import Problem
from reconciler.policy.yamltext import (
    MAX_BYTES,
    FastComposer,
    PythonComposer,
    parse_documents,
)
from tests.examples import examples

FILE = "policies/a.yaml"


def value_of(text: str) -> object:
    documents, problems = parse_documents(f"key: {text}".encode(), FILE)
    assert problems == []
    assert isinstance(documents[0].data, dict)
    return documents[0].data["key"]


def problem_of(data: bytes) -> Problem:
    documents, problems = parse_documents(data, FILE)
    assert len(problems) == 1, (documents, problems)
    return problems[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Off", "Off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("tRue", "tRue"),
        ("", None),
        ("~", None),
        ("null", None),
        ("nUll", "nUll"),
        ("12", 12),
        ("-12", -12),
        ("+12", 12),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.22.1-9", "1.22.1-9"),
        ("-.inf", float("-inf")),
        ("2026-12-20", "2026-12-20"),
        ("2026-12-20 18:00:00", "2026-12-20 18:00:00"),
        ("=", "="),
        ('"12"', "12"),
        ("'true'", "true"),
        ("|-\n  12\n  13", "12\n13"),
        ("9" * 30, "9" * 30),
        ("a&b", "a&b"),
        ('"*-*-* 02:00"', "*-*-* 02:00"),
        ("db-*", "db-*"),
        ("{a: [1, b], c: {}}", {"a": [1, "b"], "c": {}}),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    found = value_of(text)

    assert found == value
    assert type(found) is type(value)


def test_keys_that_yaml_1_1_would_turn_into_booleans_stay_text() -> None:
    documents, problems = parse_documents(b"on: 1\nno: 2\ny: 3\n", FILE)

    assert problems == []
    assert documents[0].data == {"on": 1, "no": 2, "y": 3}


def test_a_file_may_hold_several_documents_and_empty_ones_are_skipped() -> None:
    documents, problems = parse_documents(b"---\n---\na: 1\n---\n# nothing\n---\nb: 2\n", FILE)

    assert problems == []
    assert [document.data for document in documents] == [{"a": 1}, {"b": 2}]
    assert [document.line() for document in documents] == [3, 7]
    assert documents[1].line(("b",)) == 7


@pytest.mark.parametrize(
    ("data", "line", "part"),
    [
        (b"", 1, "holds no document"),
        (b"# only a comment\n---\n", 1, "holds no document"),
        (b"a: 1\nb: &x 2\n", 2, "anchor &x"),
        (b"a: 1\nb: [*x]\n", 2, "alias *x"),
        (b'{"a":&x 1}', 1, "anchor &x"),
        (b"a:\n  <<: {b: 1}\n", 2, "a: merge keys"),
        (b"a: 1\nb: 2\na: 3\n", 3, 'key "a" is written twice'),
        (b"a: {b: 1,\n  b: 2}\n", 2, 'a: key "b" is written twice'),
        (b"a: 1\n2: b\n", 2, "key 2 is not a text"),
        (b"a: 1\ntrue: b\n", 2, "key true is not a text"),
        (b"~: b\n", 1, "key ~ is not a text"),
        (b"? [a]\n: b\n", 1, "a key is not a text"),
        (b"a: 1\nb: !!str 2\n", 2, 'b: tag "tag:yaml.org,2002:str"'),
        (b"a: 1\nb: !ruby/object {}\n", 2, 'b: tag "!ruby/object"'),
        (b"a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, "b: tag"),
        (b"a: 1\n\tb: 2\n", 2, "a tab cannot stand here"),
        (b"a: 1\nb: [1\n", 3, "is not YAML"),
        (b"a: b: c\n", 1, "quote a text that holds a colon"),
        (b"a: @b\n", 1, "quote a text that begins with @"),
        (b"a: 1\nb: \xff\n", 2, "is not UTF-8: byte 8 is 0xff"),
        (b"a: 1\nb: \x00\n", 2, "control character U+0000"),
        (b"a: 1\nb: \x1b[31m\n", 2, "control character U+001B"),
        (b"%YAML 1.1\n---\na: 1\n", 1, "directive"),
        (b"a: " + b"[" * 70 + b"]" * 70, 1, "deeper than 64"),
        (b"- " * 100 + b"a", 1, "deeper than 64"),
        (b"a: " + b"b" * MAX_BYTES, 1, "larger than 256 KiB"),
        ("a: 1\n".encode("utf-16"), 1, "is not UTF-8"),
    ],
)
def test_what_is_refused_is_told_with_its_line(data: bytes, line: int, part: str) -> None:
    problem = problem_of(data)

    assert problem.file == FILE
    assert problem.line == line
    assert part in str(problem)


def test_all_refusals_of_a_document_are_told_at_once() -> None:
    _, problems = parse_documents(b"a: !x 1\na: 2\n3: 4\n<<: {}\n", FILE)

    assert [problem.line for problem in problems] == [1, 2, 3, 4]


def test_nesting_that_would_exhaust_the_stack_of_libyaml_is_only_a_problem() -> None:
    assert "deeper than 64" in problem_of(b"[" * 30_000).message
    assert "deeper than 64" in problem_of(b"- " * 30_000).message
    assert "deeper than 64" in problem_of(b"? " * 30_000).message


def test_an_alias_bomb_is_refused_before_it_is_expanded() -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]

    documents, problems = parse_documents("\n".join(lines).encode(), FILE)

    assert documents == []
    assert problems[0] == Problem(FILE, 1, "", "anchor &a0 is not allowed", "write the value out")


def test_a_byte_order_mark_is_ignored() -> None:
    documents, problems = parse_documents(b"\xef\xbb\xbfa: 1\n", FILE)

    assert problems == []
    assert documents[0].data == {"a": 1}


def test_every_key_and_entry_has_its_line_and_its_text_as_written() -> None:
    text = (
        b"kind: Policy\nmatch:\n  labels:\n    env: [a,\n      1.10]\nreboot: {when: never,\n  notice: 5m}\n"
    )
    document = parse_documents(text, FILE)[0][0]

    assert document.line(("match", "labels", "env")) == 4
    assert document.line(("match", "labels", "env", 1)) == 5
    assert document.line(("reboot", "notice")) == 7
    assert document.line(("reboot", "absent", "deeper")) == 6
    assert document.written(("match", "labels", "env", 1)) == "1.10"
    assert document.written(("match",)) is None


@pytest.mark.parametrize("size", [100, 20_000])
def test_lines_are_right_in_small_and_in_large_files(size: int) -> None:
    text = "# filler\n" * (size // 9) + "kind: Policy\nname: x\n"
    document = parse_documents(text.encode(), FILE)[0][0]

    assert document.line(("name",)) == text.count("\n")


PIECES = [
    "a",
    "b: ",
    "- ",
    "\n",
    "  ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    ": ",
    "'",
    '"',
    "&x ",
    "*x",
    "!t ",
    "#",
    "|",
]
PIECES += [">", "1", "~", "true", "<<: ", "? ", "---\n", "...\n", "\t", "%", "é", "\u2028", "\x85"]
yamlish = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@given(st.one_of(st.binary(max_size=300), yamlish.map(str.encode)))
@examples(400)
def test_no_bytes_make_the_parser_raise_and_every_answer_says_something(data: bytes) -> None:
    documents, problems = parse_documents(data, FILE)

    assert documents or problems
    lines = data.count(b"\n") + data.count(b"\r") + 2
    assert all(problem.file == FILE and 1 <= problem.line <= lines for problem in problems)
    assert all(document.line(("no", "such", "key")) >= 1 for document in documents)


@given(yamlish)
@examples(300)
def test_both_composers_give_the_same_documents(text: str) -> None:
    fast = parse_documents(text.encode(), FILE, FastComposer)
    slow = parse_documents(text.encode(), FILE, PythonComposer)

    if not fast[1] and not slow[1]:
        assert [document.data for document in fast[0]] == [document.data for document in slow[0]]


@given(yamlish)
@examples(300)
def test_no_anchor_or_alias_gets_past(text: str) -> None:
    _, problems = parse_documents(text.encode(), FILE)
    if problems:
        return  # Refused for whatever reason, so nothing got past.

    events = list(yaml.parse(text, Loader=yaml.CSafeLoader))

    assert [event for event in events if getattr(event, "anchor", None) is not None] == []


def test_the_composer_without_libyaml_reads_a_policy_alike() -> None:
    text = b'kind: Policy\nname: a # c\nmatch: {labels: {env: [x, "y"]}}\nbudget: 30m\n'
    text += b"---\nkind: Host\nname: h\n"

    fast, slow = (parse_documents(text, FILE, composer) for composer in (FastComposer, PythonComposer))

    assert fast[1] == slow[1] == []
    assert [document.data for document in fast[0]] == [document.data for document in slow[0]]
    assert len(fast[0]) == 2


def test_the_places_of_many_documents_cost_no_more_than_reading_each_again() -> None:
    """A file of 256 KiB may hold 20,000 documents with a mistake each: of each only itself is read again."""
    documents, _ = parse_documents(b"---\nkind: X\n" * 1000, "a.yaml")
    readings = Counter[str]()

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename == yamltext.__file__:
            readings[frame.f_code.co_name] += 1

    sys.setprofile(watch)
    try:
        lines = [document.line(("kind",)) for document in documents]
    finally:
        sys.setprofile(None)
    assert lines == [*range(2, 2001, 2)]
    assert (readings["_line_starts"], readings["_node"], readings["_locate"]) == (1, 1000, 2000)
