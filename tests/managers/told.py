"""What a script printed, read as a whole: the text of a test, or a recorded one."""

from collections.abc import Sequence
from datetime import datetime

from reconciler.managers.dialect import Dialect, read_answer, read_observation, read_refresh
from reconciler.managers.sections import parse_sections
from reconciler.planning.facts.observation import Answer, Observation, Offer, Refresh


def parse_observe(dialect: Dialect, text: str, at: datetime) -> Observation:
    """Turn the output of ``--observe`` into an observation."""
    return read_observation(dialect, parse_sections(text), at)


def parse_answer(dialect: Dialect, text: str, offers: Sequence[Offer] = ()) -> Answer:
    """Turn the output of ``--dry-run`` into an answer."""
    return read_answer(dialect, parse_sections(text), offers)


def parse_refresh(dialect: Dialect, text: str) -> Refresh:
    """Turn the output of ``--refresh`` into what became of it."""
    return read_refresh(dialect, parse_sections(text))
