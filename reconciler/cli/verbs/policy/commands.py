"""What people who write policies may ask for: arguments only, and no heavy import, so that help is quick."""

from argparse import ArgumentParser
from typing import TYPE_CHECKING

from reconciler.policy.managers import NAMES

if TYPE_CHECKING:
    from argparse import _SubParsersAction

EXAMPLES = ("minimal", "production", "homelab")
UPDATERS = {
    "unattended-upgrades": "/etc/apt/apt.conf.d/*",
    "dnf-automatic": "/etc/dnf/automatic.conf",
    "inventory": "/etc/ansible/hosts",
}
"""Whose configuration can be converted, and where it is; ``inventory`` is Ansible's list of hosts."""

_WHAT = {"inventory": "hosts and groups of Ansible"}
CHECK_FORMATS = ("text", "json", "sarif", "junit", "github", "gitlab")
TEST_FORMATS = ("text", "json", "junit")


def register(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Add the verbs of ``policy``; the chosen one is ``verb``."""
    group = subparsers.add_parser("policy", help="check, explain and start policy repositories")
    verbs = group.add_subparsers(dest="verb", metavar="VERB", required=True)
    _register_check(verbs.add_parser("check", help="say everything that is wrong with a policy repository"))
    _register_show(verbs.add_parser("show", help="say what holds for one host, and where it is written"))
    _register_test(verbs.add_parser("test", help="say whether the policy does what its authors expect of it"))
    _register_impact(
        verbs.add_parser(
            "impact",
            help="say what a change of policy does to the whole fleet, before it is merged",
            description="Judge two policies at one instant by what the hosts reported, and show what becomes "
            "of settings, windows, reboots, exceptions, approvals and updates, for each group of hosts for "
            "which the same changes.",
        )
    )
    _register_schema(verbs.add_parser("schema", help="print a JSON Schema of the policy language"))
    _register_init(
        verbs.add_parser("init", help="start a policy repository from an example, or from what there is")
    )
    _register_heartbeat(
        verbs.add_parser("heartbeat", help="sign an empty commit, so that hosts see that the policy is fresh")
    )


def _register_heartbeat(parser: ArgumentParser) -> None:
    _add_folder(parser, "a clone of the policy")
    _add_format(parser)


def _add_folder(parser: ArgumentParser, what: str) -> None:
    parser.add_argument("folder", nargs="?", default=".", metavar="FOLDER", help=f"{what} (default: .)")


def _add_source(parser: ArgumentParser) -> None:
    _add_folder(parser, "policy repository")
    parser.add_argument("--rev", metavar="REV", help="read this commit, branch or tag instead of the files")


def _add_format(parser: ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def _register_check(parser: ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("--format", choices=CHECK_FORMATS, default="text", help="default: text")
    parser.add_argument(
        "--only",
        choices=("approvals",),
        help="with --rev and --base: nothing outside of this folder may be changed",
    )
    parser.add_argument("--base", metavar="REV", help="what the revision is compared with by --only")
    parser.add_argument(
        "--summary",
        action="append",
        default=[],
        metavar="FILE",
        help="summary.json of `fleet publish`: name the hosts that refuse the policy; may be repeated",
    )
    parser.add_argument("--watch", action="store_true", help="check again after every change, until Ctrl-C")


def _register_test(parser: ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("--format", choices=TEST_FORMATS, default="text", help="default: text")


def _register_show(parser: ArgumentParser) -> None:
    parser.add_argument(
        "host", nargs="?", metavar="HOST", help="id of the host, of a guest HOST/GUEST; left out with --all"
    )
    _add_source(parser)
    parser.add_argument("--all", action="store_true", help="a table of all hosts with a Host document")
    parser.add_argument(
        "--setting",
        action="append",
        default=[],
        metavar="KEY",
        help="with --all: a column of the table, such as reboot.when; may be repeated",
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a label the host has; may be repeated",
    )
    parser.add_argument("--os", default="", metavar="ID[-VERSION]", help="such as debian-12")
    parser.add_argument("--manager", default="", choices=NAMES)
    parser.add_argument("--guest-of", metavar="HOST", help="id of its hypervisor, where it is a guest")
    parser.add_argument("--guest-name", metavar="NAME", help="what its hypervisor calls the guest")
    _add_format(parser)


def _register_impact(parser: ArgumentParser) -> None:
    _add_folder(parser, "a clone of the policy")
    parser.add_argument(
        "--base", required=True, metavar="REV", help="the policy in force: commit, branch or tag"
    )
    parser.add_argument(
        "--head", metavar="REV|FOLDER", help="the proposed one (default: the files of FOLDER as they are)"
    )
    facts = parser.add_mutually_exclusive_group(required=True)
    facts.add_argument(
        "--summary",
        action="append",
        metavar="FILE|REMOTE",
        help="what hosts reported: summary.json of `fleet publish`, or a report repository with it; may be "
        "repeated",
    )
    facts.add_argument(
        "--reports",
        action="append",
        metavar="REMOTE|DIR",
        help="a report repository: plans are then made again from what hosts recorded; may be repeated",
    )
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="with --reports: keep copies, and whose the reports are, in this folder for the next time",
    )
    parser.add_argument(
        "--at", metavar="TIME", help="judge at this instant, such as 2026-12-24T02:00Z (default: now)"
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="write impact.json, impact.md and impact.html into this folder as well",
    )
    parser.add_argument("--exit-code", action="store_true", help="exit with 4 where a host changes")
    parser.add_argument(
        "--forbid",
        action="append",
        default=[],
        metavar="WORD,...",
        help="exit with 1 where it has something of this that must not be missed, such as "
        "lost-windows,reboots; may be repeated",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json", "markdown"),
        default="text",
        help="default: text; markdown is for a comment on a pull request",
    )


def _register_schema(parser: ArgumentParser) -> None:
    parser.add_argument(
        "name",
        nargs="?",
        default="policy",
        metavar="NAME",
        help="policy (any kind, the default), kinds/host, ...",
    )
    parser.add_argument("--write", metavar="DIR", help="write all of them below this folder instead")
    _add_format(parser)


def _register_init(parser: ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        nargs="?",
        metavar="DIR",
        help="a new or empty folder; may be left out with --from-..., which then prints what it would write",
    )
    parser.add_argument(
        "--full",
        action="store_true",
        help="with --example: add a policy that has every setting as a comment, with its default and choices",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--example", choices=EXAMPLES, default="minimal", help="default: minimal")
    for tool, files in UPDATERS.items():
        start.add_argument(
            f"--from-{tool}",
            nargs="+",
            metavar="FILE",
            help=f"from {_WHAT.get(tool, 'its configuration')}, such as {files}",
        )
    parser.add_argument(
        "--os-release",
        metavar="FILE",
        help="with --from-unattended-upgrades: of a host that the files are from (default: this machine's)",
    )
    parser.add_argument(
        "--timezone", metavar="ZONE", help="with --from-...: the hosts' (default: this machine's)"
    )
    _add_format(parser)
