"""How much one revision of a policy repository may hold, whatever it is spread over.

Every host of a fleet reads all of it, and asks its windows several questions in one tick. The limits are
counts, so that they are the same on every machine and ``policy check`` tells what a host would say. Each is
cut so that a revision that reaches all of them costs a tick less than two seconds of one CPU and 200 MiB.
"""

from reconciler.policy.problems import Problem
from reconciler.records import dataclass


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A number of things that all files of a revision may hold together."""

    most: int
    what: str


YAML_BYTES = Ceiling(4 * 1024 * 1024, "bytes of documents")
DOCUMENTS = Ceiling(10_000, "documents")
VALUES = Ceiling(60_000, "values in documents")
CALENDAR_BYTES = Ceiling(1024 * 1024, "bytes of calendars")
CALENDAR_LINES = Ceiling(20_000, "lines of calendars")
WINDOWS = Ceiling(2000, "windows, with all dates of a calendar for each entry that names it")
RULES = Ceiling(100, "recurrence rules, with all of a calendar for each entry that names it")
COUNTED_YEARS = Ceiling(250, "years through which COUNT is counted")
OCCURRENCES = Ceiling(5000, "starts of windows within a day, or within the length of a longer window")
MATCH_PATTERNS = Ceiling(2000, "patterns with *, ? or [ in `match`")
PACKAGE_PATTERNS = Ceiling(200, "patterns for packages of Exceptions, those that only end with * not counted")
SIGNER_LINES = Ceiling(10_000, "lines of allowed_signers")

LIMITS = (
    YAML_BYTES,
    DOCUMENTS,
    VALUES,
    CALENDAR_BYTES,
    CALENDAR_LINES,
    WINDOWS,
    RULES,
    COUNTED_YEARS,
    OCCURRENCES,
    MATCH_PATTERNS,
    PACKAGE_PATTERNS,
    SIGNER_LINES,
)


class FullError(Exception):
    """What is looked at is more than is looked at; nothing behind it is.

    Attributes:
        problem: What there is too much of, and where that was found.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


class Budget:
    """Counts what one revision holds."""

    def __init__(self) -> None:
        self._spent = dict.fromkeys(LIMITS, 0)

    def spend(self, *costs: tuple[Ceiling, int]) -> Ceiling | None:
        """Count more of some things, and return the first of which there are now too many."""
        for limit, amount in costs:
            self._spent[limit] += amount
            if self._spent[limit] > limit.most:
                return limit
        return None


def too_much(limit: Ceiling, file: str, line: int = 1, path: str = "") -> FullError:
    """Return what to raise where a limit is passed."""
    message = f"is too much: all files together may have {limit.most:,} {limit.what}"
    return FullError(Problem(file, line, path, message, "take out what is over, or use several repositories"))
