"""What people who look after many hosts may ask for: arguments only, so that help is quick."""

from typing import TYPE_CHECKING

from reconciler.policy.managers import NAMES

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction

STATES = (
    "unverified",
    "failed",
    "interrupted",
    "silent",
    "overdue",
    "waiting-for-a-person",
    "reboot-pending",
    "changed-outside",
    "fine",
    "retired",
)
"""The words of :class:`reconciler.planning.fleet.rows.TargetState`, whose import help does without."""


def register(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Add the verbs of ``fleet``; the chosen one is ``verb``."""
    group = subparsers.add_parser("fleet", help="read back what many hosts reported, and say how they are")
    verbs = group.add_subparsers(dest="verb", metavar="VERB", required=True)
    _register_publish(verbs)
    _register_status(verbs)
    _register_audit(verbs)
    metrics = verbs.add_parser(
        "metrics",
        help="the fleet for Prometheus",
        description="Write the fleet, as its reports were read last, in the text format of OpenMetrics. "
        "The number of series does not depend on the number of hosts.",
    )
    metrics.add_argument("--output", metavar="FILE", help="replace this file, instead of printing")


def register_approve(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Add ``approve``."""
    approve = subparsers.add_parser(
        "approve",
        help="list the plans that wait for an approval, and propose the documents that approve them",
        description="Say which plans wait for an approval, by the reports that were read last; or write the "
        "documents that approve some of them, and push them as a branch of the policy. Merging it approves. "
        "Run it in a clone of the policy repository: its git configuration and credentials count, and "
        "what is checked out there is not touched.",
    )
    approve.add_argument("target", nargs="*", metavar="TARGET", help="approve what this one waits for")
    approve.add_argument("--list", action="store_true", help="say what waits, and approve nothing")
    approve.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="approve what targets with this label wait for; all of several",
    )
    approve.add_argument("--plan", metavar="DIGEST", help="approve this plan; its first 8 digits are enough")
    approve.add_argument(
        "--versions", action="store_true", help="approve the versions of all packages, instead of the plan"
    )
    approve.add_argument(
        "--propose",
        action="store_true",
        help="for a scheduled job: keep a pull request open for each plan that waits, on the forge that the "
        "configuration names; reads the reports first, and needs no clone",
    )
    approve.add_argument(
        "--max-open", type=int, metavar="N", help="with --propose: pull requests at once (default: 20)"
    )
    approve.add_argument(
        "--expires",
        metavar="WHEN",
        help="needed: 7d, or a date through whose end it lasts; with --propose a duration (default: 14d)",
    )
    approve.add_argument("--timezone", default="UTC", metavar="ZONE", help="of --expires (default: UTC)")
    approve.add_argument("--reason", metavar="TEXT", help="stands in the document")
    approve.add_argument("--folder", default=".", metavar="DIR", help="a clone of the policy (default: .)")
    approve.add_argument("--remote", default="origin", metavar="NAME", help="default: origin")
    approve.add_argument("--base", metavar="BRANCH", help="to be merged into (default: policy.ref)")
    approve.add_argument("--dry-run", action="store_true", help="print the documents, and push nothing")
    approve.add_argument("--fetch", action="store_true", help="read the reports first")
    approve.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def _register_publish(verbs: "_SubParsersAction[ArgumentParser]") -> None:
    publish = verbs.add_parser(
        "publish",
        help="verify all reports, sum them up, and publish that beside them",
        description="Fetch what is new in the report repositories, verify it by the Host documents of the "
        "policy, and push the branches fleet and fleet-rings, signed by the publisher's key. Nothing is "
        "committed where nothing changed, but once in six hours.",
    )
    publish.add_argument("--policy", metavar="REMOTE", help="the policy (default: policy.remote)")
    publish.add_argument(
        "--reports",
        action="append",
        default=[],
        metavar="REMOTE",
        help="a report repository (default: reports.remote); may be repeated",
    )
    publish.add_argument(
        "--signing-key", required=True, metavar="FILE", help="the publisher's SSH private key; no host's"
    )
    publish.add_argument(
        "--accept-rewritten",
        action="append",
        default=[],
        metavar="TARGET",
        help="follow the branch of this target from where it is now; may be repeated",
    )
    publish.add_argument(
        "--notify",
        action="append",
        default=[],
        metavar="NOTIFIER",
        help="tell this notifier what began to need somebody, and what is well again; may be repeated",
    )
    _add_silent_after(publish, "default: 2d")
    publish.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def _add_silent_after(parser: "ArgumentParser", default: str) -> None:
    parser.add_argument(
        "--silent-after",
        metavar="DURATION",
        help="a target is silent that nothing was heard of for longer, such as 3d: longer than the longest "
        f"reports.heartbeat of the hosts ({default})",
    )


def _register_status(verbs: "_SubParsersAction[ArgumentParser]") -> None:
    status = verbs.add_parser(
        "status",
        help="say how all targets are, the worst first",
        description="Show the fleet as its reports were read last, by `fleet publish` or with --fetch.",
    )
    status.add_argument("target", nargs="?", metavar="TARGET", help="show this one in full")
    status.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only targets with this label; all of several",
    )
    status.add_argument(
        "--state",
        action="append",
        default=[],
        choices=STATES,
        metavar="STATE",
        help=f"only targets in this state, or one of several: {', '.join(STATES)}",
    )
    status.add_argument("--manager", choices=NAMES, help="only targets with this package manager")
    status.add_argument("--policy", metavar="NAME", help="only targets that this Policy matches")
    status.add_argument(
        "--check",
        action="store_true",
        help="exit with 4 where one of them is unverified, failed, silent or overdue",
    )
    status.add_argument("--fetch", action="store_true", help="read the reports first, and publish nothing")
    _add_silent_after(status, "only with --fetch; default: as they were read last")
    status.add_argument("--format", choices=("text", "json", "csv"), default="text", help="default: text")


def _register_audit(verbs: "_SubParsersAction[ArgumentParser]") -> None:
    audit = verbs.add_parser(
        "audit",
        help="prove from git alone that what changed in a period was allowed",
        description="Fetch the policy and the reports, decide again all that policy decides, and say of each "
        "run and each change outside of runs whether it is proved, refuted or unproved, and why. Nothing of "
        "a host is asked. Exits with 1 where something is refuted.",
    )
    audit.add_argument(
        "--since", required=True, metavar="WHEN", help="begin of the period: a date, or a time, in UTC"
    )
    audit.add_argument("--until", metavar="WHEN", help="a date through whose end, or a time (default: now)")
    audit.add_argument("--policy", metavar="REMOTE", help="the policy (default: policy.remote)")
    audit.add_argument(
        "--reports",
        action="append",
        default=[],
        metavar="REMOTE",
        help="a report repository (default: reports.remote); may be repeated",
    )
    audit.add_argument(
        "--target", action="append", default=[], metavar="TARGET", help="only this one; may be repeated"
    )
    audit.add_argument(
        "--package",
        action="append",
        default=[],
        metavar="NAME",
        help="show changes of this package alone; may be repeated",
    )
    audit.add_argument(
        "--cve",
        action="append",
        default=[],
        metavar="ID",
        help="show changes that fix this CVE or advisory alone, as dnf and zypper tell; may be repeated",
    )
    audit.add_argument("--strict", action="store_true", help="exit with 4 where something is unproved")
    audit.add_argument(
        "--format", choices=("text", "json", "markdown", "csv"), default="text", help="default: text"
    )
