"""A host's metrics for node_exporter's textfile collector; docs/reference/metrics.md lists them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import Gauge
from prometheus_client.registry import CollectorRegistry

from reconciler.planning.runs.record import RunResult, outcome_of, result_of

_COUNTS = {
    "security": "Security updates on offer, whatever becomes of them.",
    "pending": "Updates that the plan applies once the gates are open.",
    "pending_security": "Security updates among the pending ones.",
    "held": "Updates that an exception or the operator holds back.",
    "waiting": "Updates that are too young, phased or not approved.",
    "refused": "Updates that cannot be had, or would remove something.",
    "not_selected": "Updates that the policy does not want.",
    "overdue": "Updates past their deadline.",
}


def metrics_text(
    document: Mapping[str, Any] | None, tick: Mapping[str, Any], *, paused: bool, outbox: int, unpushed: int
) -> bytes:
    """Return the metrics of a host in the text format of Prometheus.

    Args:
        document: What :func:`reconciler.planning.reporting.host_status.status_document` gave; ``None`` while
            there was no report, and then nothing is said that would come from it.
        tick: The content of ``tick.json``.
        paused: The operator has paused the host.
        outbox: Notifications that wait.
        unpushed: Report branches with something that the remote does not have.
    """
    registry = CollectorRegistry()
    every = [
        ("last_tick_timestamp_seconds", "When the last tick that looked properly ended.", _at(tick["ended"])),
        ("last_tick_exit_code", "Exit code of that tick; 0 where all went well.", float(tick["exit_code"])),
        ("paused", "1 while the operator has paused this host.", float(paused)),
        ("outbox_messages", "Notifications that wait for delivery.", float(outbox)),
        ("unpushed_report_branches", "Report branches that the remote does not have whole.", float(unpushed)),
        *(() if document is None else _of_report(document)),
    ]
    for name, words, value in every:
        Gauge(f"patchledger_{name}", words, registry=registry).set(value)
    if document is not None:
        _labelled(document, registry)
    return generate_latest(registry)


def _of_report(document: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    yield "report_timestamp_seconds", "When the newest report was made.", _at(document["looked_at"])
    for key, words in _COUNTS.items():
        yield f"updates_{key}", words, float(document["counts"].get(key, 0))
    if document["reboot"]["need"] != "unknown":
        is_needed = document["reboot"]["need"] == "required"
        yield "reboot_required", "1 where the machine wants a reboot; absent where unknown.", float(is_needed)
    window = document["next_window"]
    if window is not None:
        words = "When the window opens, or opened, in which a run can start next."
        yield "next_window_start_timestamp_seconds", words, _at(window["start"])
    last = document["last_run"]
    if last is not None:
        outcome = outcome_of(last["outcome"])
        is_well = outcome is not None and result_of(outcome) is RunResult.APPLIED
        yield "last_run_timestamp_seconds", "When the last run ended.", _at(last["ended"])
        yield "last_run_success", "1 where the last run did what it was to do.", float(is_well)
        yield "last_run_changed_packages", "Packages that the last run changed.", float(len(last["changed"]))


def _labelled(document: Mapping[str, Any], registry: CollectorRegistry) -> None:
    decision = Gauge("patchledger_decision", "1 for the decision's outcome.", ["outcome"], registry=registry)
    decision.labels(document["decision"]["outcome"]).set(1)
    words = "1 for every abnormal condition that holds."
    conditions = Gauge("patchledger_condition", words, ["type"], registry=registry)
    for condition in document["conditions"]:
        conditions.labels(condition["type"]).set(1)
    words = "1 for everything that is wrong with the host."
    wrong = Gauge("patchledger_ailment", words, ["type"], registry=registry)
    for ailment in document["ailments"]:
        wrong.labels(ailment).set(1)
    info = Gauge("patchledger_info", "Always 1.", ["program", "policy_commit"], registry=registry)
    info.labels(document["program"], document["policy"]["commit"]).set(1)


def _at(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()
