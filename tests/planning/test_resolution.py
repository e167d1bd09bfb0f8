"""What hosts must share to be judged once for all."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.planning.facts.observation import (
    Answer,
    Available,
    Exchange,
    FirstSeen,
    Installed,
    Observation,
    Offer,
    Quarantined,
    Question,
    Source,
)
from reconciler.planning.gates.recording import Recording, record, resolution_of
from reconciler.planning.text import canonical
from tests.report_samples import FACTS, INPUTS, NOW, OBSERVATION, change

BASH = Installed("bash", "amd64", "1.0")
OTHER = Installed("other", "amd64", "3.0")
OFFER = Offer("bash", "amd64", "1.0", "1.1", (Available("1.1", ("Debian",), False),))
SEEN = replace(
    OBSERVATION,
    installed=(BASH, OTHER),
    offers=(OFFER,),
    first_seen=(FirstSeen("Debian", "bash", "1.1", NOW),),
    quarantined=(Quarantined("zlib", "amd64", "2", NOW, "run-1", "exit 3", "c" * 40),),
    sources=(Source("Debian", "http://deb.example.org", NOW, None, NOW),),
)
EXCHANGE = Exchange(Question(), Answer((change(),)))


def recorded(seen: Observation = SEEN, exchange: Exchange = EXCHANGE) -> Recording:
    return record(seen, (exchange,), INPUTS, FACTS, program="patchledger 1", now=NOW)


def seen_with(**changes: Any) -> Callable[[Recording], Recording]:
    return lambda one: replace(one, observation=replace(one.observation, **changes))


LATER = NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    "other",
    [
        lambda one: replace(
            one, target="web-02", labels=(("env", "test"),), now=LATER, program="patchledger 2"
        ),
        lambda one: replace(one, policy_commit="d" * 40, own_labels=(("env", "test"),)),
        seen_with(installed=(BASH, replace(OTHER, version="4.0"))),
        seen_with(facts=replace(SEEN.facts, boot_id="another", machine_id="0" * 32, kernel="6.12")),
        seen_with(at=LATER, database="another"),
        seen_with(first_seen=(replace(SEEN.first_seen[0], at=LATER),)),
        seen_with(quarantined=(replace(SEEN.quarantined[0], at=LATER, run="run-2", message="exit 4"),)),
        seen_with(sources=(replace(SEEN.sources[0], url="http://mirror.example.org", fetched=LATER),)),
    ],
)
def test_the_host_and_the_time_are_not_in_it(other: Callable[[Recording], Recording]) -> None:
    assert resolution_of(other(recorded())) == resolution_of(recorded())


@pytest.mark.parametrize(
    "other",
    [
        seen_with(installed=(replace(BASH, held=True), OTHER)),
        seen_with(offers=(replace(OFFER, candidate="1.2"),)),
        seen_with(facts=replace(SEEN.facts, architecture="arm64")),
        seen_with(manager="dnf"),
        seen_with(first_seen=(replace(SEEN.first_seen[0], at=NOW - timedelta(days=1)),)),
        seen_with(quarantined=()),
        seen_with(sources=(replace(SEEN.sources[0], security=True),)),
        lambda one: replace(one, exchanges=(replace(EXCHANGE, question=Question("full")),)),
        lambda one: replace(one, exchanges=(replace(EXCHANGE, answer=Answer(())),)),
        lambda one: replace(one, security_exchanges=(EXCHANGE,)),
    ],
)
def test_all_that_planning_reads_is_in_it(other: Callable[[Recording], Recording]) -> None:
    assert resolution_of(other(recorded())) != resolution_of(recorded())


def test_it_is_the_same_once_it_was_written_down() -> None:
    odd = replace(OFFER, candidate="1\udc80")
    written = replace(OFFER, candidate="1\N{REPLACEMENT CHARACTER}")
    assert resolution_of(recorded(replace(SEEN, offers=(odd,)))) == resolution_of(
        recorded(replace(SEEN, offers=(written,)))
    )


def test_what_has_no_canonical_form_has_no_digest() -> None:
    with pytest.raises(TypeError, match="datetime has no digest"):
        canonical.digest({"at": NOW})
