"""Regular expressions of packages become shell patterns that name the same packages, or nothing."""

import re
import warnings
from fnmatch import fnmatchcase

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.policy.globs import globs_of

PIECES = (
    *("a", "b", "-", "1", r"\.", r"\+", "^", "$", "(", ")", "|", "?", ".*", ".", "+", "*"),
    *("[ab]", "[^a]", "[0-9]", r"\d", "(ab)?", "(?:a|b)", "a$"),
)


@pytest.mark.parametrize(
    ("expression", "globs"),
    [
        ("vim", ("vim*",)),
        ("^linux-", ("linux-*",)),
        ("libc6$", ("libc6",)),
        (r"libstdc\+\+6$", ("libstdc++6",)),
        ("linux-image-.*", ("linux-image-*",)),
        ("linux-image-[0-9]+", ("linux-image-[0-9]*",)),
        ("(lib)?xen(store)?", ("libxenstore*", "libxen*", "xenstore*", "xen*")),
        ("^(mysql|mariadb)-server$", ("mysql-server", "mariadb-server")),
        ("", ("*",)),
    ],
)
def test_what_a_pattern_can_say_becomes_one(expression: str, globs: tuple[str, ...]) -> None:
    assert globs_of(expression) == globs


@pytest.mark.parametrize(
    "expression",
    ["(?i)vim", "[0-9]+x", "a{2}", "a$b", r"(a)\1", "(?!linux)", "*", "(a", "a)", r"\w+", "(a|b|c|d)" * 4],
)
def test_what_it_cannot_say_has_no_counterpart(expression: str) -> None:
    assert globs_of(expression) is None


@given(
    st.lists(st.sampled_from(PIECES), max_size=7).map("".join),
    st.lists(st.text("ab-1.+", min_size=1, max_size=6), min_size=10, max_size=10),
)
def test_a_pattern_names_what_its_expression_names(expression: str, names: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compiled = re.compile(expression)
        except re.error:
            assume(False)
    globs = globs_of(expression)
    assume(globs is not None)

    for name in names:
        assert bool(compiled.match(name)) == any(fnmatchcase(name, glob) for glob in globs or ())
