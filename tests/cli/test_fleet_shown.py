"""A fleet on a terminal, whatever its hosts say of themselves."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.showing.fleet import in_full, overview
from reconciler.planning.fleet.rows import NewestRun, OldestSecurity, Row, TargetState
from reconciler.planning.fleet.summary import Head
from reconciler.planning.reporting.document import Decided
from reconciler.planning.reporting.host_status import NextWindow
from reconciler.planning.text.layout import UnknownWord
from tests.planning_texts import HOSTILE_TEXT
from tests.report_samples import NOW

HEARD = (
    "nothing was heard of it since Sun 2026-11-22 04:00 Europe/Berlin; "
    "then: since Sun 2026-11-01 01:00 Europe/Berlin"
)


def hostile(text: str) -> Row:
    """Return a row of which a host chose all that one can choose."""
    word: Any = UnknownWord(text)
    return Row(
        text,
        f"hosts/{text}",
        TargetState.FAILED,
        text,
        head="1" * 40,
        heard=NOW,
        program=text,
        policies=(text,),
        os=text,
        manager=text,
        guest_of=text,
        labels={text: text},
        headline=text,
        decision=Decided(word, text, NOW),
        oldest_security=OldestSecurity(text, text, NOW),
        last_run=NewestRun(text, NOW, word, text),
        next_window=NextWindow(NOW, NOW + timedelta(hours=1), text),
        timezone=text,
    )


@given(st.lists(HOSTILE_TEXT, max_size=4), st.sampled_from([None, 40, 120]))
def test_whatever_hosts_say_a_terminal_is_told_nothing_but_text(texts: list[str], width: int | None) -> None:
    rows = [hostile(text) for text in texts]
    lines = [*overview(Head("c" * 40, policy_is_verified=True), rows, NOW, width, colour=False)]
    for row in rows:
        lines += in_full(row, width, colour=False)
    assert all(line.isprintable() for line in lines)


def test_times_are_those_of_the_windows_of_each_target() -> None:
    late = "nothing was heard of it since 2026-11-22 03:00 UTC; then: since 2026-11-01T00:00:00Z"
    row = replace(hostile("web-01"), timezone="Europe/Berlin", reason=late)
    head = Head("c" * 40, policy_is_verified=True)
    assert [line.split("  ") for line in overview(head, [row], NOW, None, colour=False)][-1][1:] == [
        "failed",
        "web-01",
        "Sun 2026-11-22 04:00 Europe/Berlin",
        HEARD,
    ]
    full = "\n".join(in_full(row, None, colour=False))
    assert "Sun 2026-11-22 04:00 to 05:00 Europe/Berlin (web-01)" in full
    assert "UTC" not in full
