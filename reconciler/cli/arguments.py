"""The argument parser: every verb, its options and its help. Imports nothing heavy, so that help is quick.

Manual page and shell completions are made from this parser.
"""

import argparse
from typing import TypeAlias

from reconciler import __version__
from reconciler.cli import policy
from reconciler.host import DEFAULT_CONFIG

_WINDOW_COUNT = 10

_DESCRIPTION = """\
GitOps for OS patching. The policy is a git repository; every update gets a reason; reports go back to git as
files; and a plan is applied only inside a window, after every gate was asked again."""

_EPILOG = """\
exit codes: 0 done, nothing to do, or deferred with a reason; 1 failed; 2 usage or local configuration;
3 policy rejected; 4 `plan --check`: updates pending; 5 transient (network, lock); 70 a defect of patchledger;
130 interrupted"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; the chosen verb is ``command`` (and ``subcommand``)."""
    parser = argparse.ArgumentParser(
        prog="patchledger",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"patchledger {__version__}")
    parser.add_argument(
        "--config",
        metavar="FILE",
        default=DEFAULT_CONFIG,
        help=f"configuration file (default: {DEFAULT_CONFIG})",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_host_verbs(commands)
    add_windows(commands)
    policy.register(commands)
    _add_notices_verbs(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse has no public name for it


def _format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def _add_host_verbs(commands: _Commands) -> None:
    run = commands.add_parser(
        "run",
        help="one tick: fetch the policy, plan, decide, report, apply",
        description="Fetch the policy, look at this machine, plan, decide, and commit and push the report. "
        "Where nothing changed since the last run, say so at once. The plan is applied where the policy says "
        "so and every gate is open: inside a window, approved, not frozen.",
    )
    run.add_argument(
        "--now",
        action="store_true",
        help="pass over the window; needs --reason, and is reported",
    )
    run.add_argument("--reason", metavar="TEXT", help="why --now; stands in the report with your name")
    run.add_argument(
        "--override-freeze",
        action="store_true",
        help="with --now: pass over a freeze too, where this host's configuration allows it",
    )
    _format(run)
    plan = commands.add_parser(
        "plan",
        aliases=["dry-run"],
        help="show what would be done and why, and report nothing",
        description="Plan this machine's pending updates by the policy as it is now, and print the plan. "
        "No report is made. As root the package metadata are refreshed when the policy says they are due.",
    )
    plan.add_argument(
        "--root", metavar="DIR", help="plan for the system below this folder, a chroot or an image"
    )
    plan.add_argument("--check", action="store_true", help="exit with 4 when updates are pending")
    plan.add_argument(
        "--notify",
        action="store_true",
        help="send the plan to every notifier that the policy names for this host",
    )
    _format(plan)
    explain = commands.add_parser(
        "explain",
        help="say why a package is or is not upgraded",
        description="Say why a package is or is not upgraded, with the file, line and commit of the policy "
        "that decides. Answers from the last run; plans anew where there was none.",
    )
    explain.add_argument(
        "package", nargs="?", metavar="PACKAGE", help="name or name:arch; all updates without it"
    )
    explain.add_argument("--fresh", action="store_true", help="plan anew instead of reading the last report")
    _format(explain)
    status = commands.add_parser(
        "status",
        help="show the last report: what, when, and why not now",
        description="Show the last report.",
    )
    _format(status)


def add_windows(commands: _Commands) -> argparse.ArgumentParser:
    """Add the ``windows`` verb and return its parser."""
    windows = commands.add_parser(
        "windows",
        help="show when maintenance windows open",
        description="Show this host's next windows, those of one Schedule, or preview an expression.",
    )
    source = windows.add_mutually_exclusive_group()
    source.add_argument("--schedule", metavar="NAME", help="a Schedule of the policy instead of this host's")
    source.add_argument(
        "--start", metavar="EXPR", help="preview systemd OnCalendar syntax, such as 'Sun 02:00'"
    )
    source.add_argument("--cron", metavar="EXPR", help="preview a cron expression, such as '0 22 * * 6'")
    source.add_argument("--rrule", metavar="RULE", help="preview a rule, such as 'FREQ=MONTHLY;BYDAY=2TU'")
    windows.add_argument("--at", metavar="HH:MM", help="local time of day of --rrule")
    windows.add_argument("--from-date", metavar="DATE", help="anchor of --rrule with INTERVAL or COUNT")
    windows.add_argument("--offset", metavar="D", help="days between --rrule and its window, such as 4d")
    windows.add_argument("--duration", metavar="D", help="length of a previewed window (default: 1h)")
    windows.add_argument(
        "--timezone", metavar="Z", help="zone of a preview (default: UTC), or to show times in"
    )
    windows.add_argument("--from", dest="from_", metavar="T", help="look from this time on (default: now)")
    windows.add_argument(
        "--count", type=int, default=_WINDOW_COUNT, metavar="N", help=f"how many (default: {_WINDOW_COUNT})"
    )
    windows.add_argument(
        "--policy", metavar="FOLDER", help="all Schedules of this folder, or --schedule of them"
    )
    _format(windows)
    return windows


def _add_notices_verbs(commands: _Commands) -> None:
    notify = commands.add_parser(
        "notify",
        help="try the notifiers of this host",
        description="Try the notifiers of this host's configuration.",
    )
    subcommands = notify.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    test = subcommands.add_parser(
        "test",
        help="send a test message and say whether each service took it",
        description="Send a test message through every notifier of this host's configuration, or through "
        "one, and say for each whether its service took it, or why not.",
    )
    test.add_argument("name", nargs="?", metavar="NAME", help="a notifier; all of them without it")
    _format(test)
