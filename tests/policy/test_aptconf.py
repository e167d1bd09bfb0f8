"""apt.conf is read as apt reads it, and what cannot be read is told with its line."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.policy.aptconf import Configuration, read_configuration
from reconciler.policy.problems import Problem

PIECES = (
    *("a", "B", "A::c", "::", "x::", "{", "}", ";", '"', '"q"', '"q r"', "//", "/*", "*/", "#", "#clear a;"),
    *("#include", " ", "\n", "\t", "%41", "[", "]", "1", ";\n", "{\n", "};\n", '"a::b"', '"z";', "é", "\0"),
)


def read(*texts: str) -> Configuration:
    found = read_configuration([(f"f{number}", text) for number, text in enumerate(texts)])
    assert isinstance(found, Configuration), found
    return found


def fault(text: str) -> str:
    found = read_configuration([("f", text)])
    assert isinstance(found, Problem), found
    return str(found)


def values(conf: Configuration, name: str) -> list[str]:
    return [entry.value for entry in conf.list(name)]


def test_scopes_nest_and_names_have_no_case() -> None:
    conf = read('A { B { c "1"; }; d "2"; };\na::B::E "3";')

    assert [(entry.name, entry.value) for entry in conf.below("a")] == [
        ("A::B::c", "1"),
        ("A::d", "2"),
        ("a::B::E", "3"),
    ]


def test_lists_are_values_without_names_and_names_that_end_with_colons() -> None:
    conf = read('L { "a"; "b"; };\nL:: "c";\nL { d "e"; };', 'L:: "f";')

    assert values(conf, "l") == ["a", "b", "c", "e", "f"]


def test_texts_beside_one_another_are_one_and_only_values_of_lists_are_unescaped() -> None:
    conf = read('A "1"  "2";\nB "x""y";\nC "50%25";\nL { "50%25"; };\nD word;')

    assert [conf.find(name) and conf.find(name).value for name in "ABCD"] == ["1 2", "xy", "50%25", "word"]  # type: ignore[union-attr]
    assert values(conf, "L") == ["50%"]


def test_comments_end_with_their_line_or_their_mark_and_quotes_protect_them() -> None:
    conf = read('// A "0";\n# B "0";\nA "http://x"; // y\nB "#"; # z\n/* C "0";\n "*/ C /* in */ "1";\n')

    assert {name: conf.find(name) and conf.find(name).value for name in "ABC"} == {  # type: ignore[union-attr]
        "A": "http://x",
        "B": "#",
        "C": "1",
    }


def test_a_later_value_replaces_and_clear_takes_a_whole_list_back() -> None:
    conf = read('A "1";\nL { "a"; "b"; };', 'A "2";\n#clear L;\nL { "c"; };')

    found = conf.find("A")
    assert found is not None
    assert (found.value, found.file, found.line) == ("2", "f1", 1)
    assert values(conf, "L") == ["c"]


def test_statements_go_on_over_lines_and_are_where_they_end() -> None:
    conf = read('A\n  "1"\n;\n')

    found = conf.find("A")
    assert found is not None
    assert (found.value, found.line) == ("1", 3)


def test_what_apt_cannot_read_is_told_with_its_line() -> None:
    assert fault('A "1";\n{ };') == "f:2: apt cannot read this: a block has no name"
    assert fault('A "1" x;') == 'f:1: apt cannot read this: "A \\"1\\" x" is no name with a value'.replace(
        "\\", ""
    )
    assert fault("\n\n#nothing A;\n#clear;") == 'f:4: apt cannot read this: "#" is no directive with a value'
    assert fault("A {\n#clear B;\n};") == "f:2: apt cannot read this: a directive inside of a block"
    assert fault('A "1"\n') == 'f:2: apt cannot read this: "A "1"" does not end'
    assert "deeper than 100" in fault("a{" * 5000)


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_any_text_is_read_or_told_in_one_line_with_its_place(text: str) -> None:
    found = read_configuration([("f", text)])

    if isinstance(found, Problem):
        assert str(found).startswith(f"f:{found.line}: ")
        assert 1 <= found.line <= text.count("\n") + 1
        assert len(str(found).splitlines()) == 1


@given(st.text(max_size=60))
def test_so_is_any_text_at_all(text: str) -> None:
    found = read_configuration([("f", text)])

    assert isinstance(found, Configuration | Problem)
