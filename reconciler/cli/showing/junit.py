"""JUnit's XML, as forges read the results of tests."""

from collections.abc import Sequence
from html import escape

from reconciler.policy.problems import visible
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class JunitCase:
    """One test case.

    Attributes:
        name: What was tested.
        failures: Of each its sentence, and the whole of it; empty where it passed.
    """

    name: str
    failures: tuple[tuple[str, str], ...]


def junit(suite: str, classname: str, cases: Sequence[JunitCase]) -> str:
    """Return a document with one suite; what the texts hold can be any text."""
    failed = sum(bool(case.failures) for case in cases)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuite name="{_xml(suite)}" tests="{len(cases)}" failures="{failed}">\n'
        f"{''.join(_case(classname, case) for case in cases)}</testsuite>\n"
    )


def _case(classname: str, case: JunitCase) -> str:
    head = f'  <testcase classname="{_xml(classname)}" name="{_xml(case.name)}"'
    if not case.failures:
        return f"{head}/>\n"
    failures = (
        f'    <failure message="{_xml(message)}">{_xml(text)}</failure>\n' for message, text in case.failures
    )
    return f"{head}>\n{''.join(failures)}  </testcase>\n"


def _xml(text: str) -> str:
    return escape(visible(text))
