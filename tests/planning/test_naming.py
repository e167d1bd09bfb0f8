"""Finding the exceptions of a package finds what comparing it with each of them would."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.facts.package import PackageId
from reconciler.planning.resolving.selection import Naming, is_named_by
from tests.policies import effective

_pattern = st.builds(
    "{}{}{}".format,
    st.sampled_from("ab"),
    st.text("ab*?", max_size=3),
    st.sampled_from(("", ":amd64")),
)
_package = st.builds(
    PackageId, st.text("ab", min_size=1, max_size=4), st.sampled_from(("amd64", "i386", "all"))
)


@given(st.lists(st.lists(_pattern, min_size=1, max_size=3), max_size=6), st.lists(_package, max_size=6))
def test_no_exception_is_missed_and_none_is_added(
    exceptions: list[list[str]], packages: list[PackageId]
) -> None:
    placed = effective(exceptions=[{"packages": one, "action": "hold"} for one in exceptions]).exceptions
    naming = Naming(placed)
    for package in packages:
        expected = [one for one in placed if is_named_by(package, one.value.packages)]
        assert list(naming.of(package)) == expected
    used = {
        one.value.name for one in placed if any(is_named_by(each, one.value.packages) for each in packages)
    }
    assert naming.of_any(packages) == used
