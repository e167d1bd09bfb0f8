"""The argument parser: every verb, its options and its help. Imports nothing heavy, so that help is quick.

Manual page and shell completions are made from this parser.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from reconciler import __version__
from reconciler.cli.parser import Parser
from reconciler.host import DEFAULT_CONFIG
from reconciler.policy.managers import NAMES

_TARGET = "one guest, by its id or name, or as HOST/ID"
_ABOUT = f"about a guest instead of this host: {_TARGET}"
_WINDOW_COUNT = 10
_LOG_COUNT = 20

_DESCRIPTION = """\
GitOps for OS patching. The policy is a git repository; every update gets a reason; reports go back to git as
files; and a plan is applied only inside a window, after every gate was asked again."""

_EPILOG = """\
exit codes: 0 done, nothing to do, or deferred with a reason; 1 failed, `fleet audit`: something is refuted;
2 usage or local configuration; 3 policy rejected; 4 `plan --check`: updates pending, `fleet status --check`:
a target needs somebody, `fleet audit --strict`: something is unproved, `policy impact --exit-code`: a host
changes; 5 transient (network, lock); 70 a defect of patchledger; 130 interrupted; 141 the reader of the
output went away"""


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse has no public name for it


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; the chosen verb is ``command`` (and ``subcommand``)."""
    from reconciler.cli.verbs import fleet_commands as fleet  # noqa: PLC0415 - of other verbs
    from reconciler.cli.verbs.policy import commands as policy  # noqa: PLC0415 - of other verbs

    return _parser(
        (
            _add_run,
            _add_plan_verbs,
            _add_windows,
            policy.register,
            _add_watch_verbs,
            _add_view_verbs,
            _add_guests,
            _add_setup_verbs,
            _add_units_verbs,
            _add_notices_verbs,
            _add_reports_verbs,
            fleet.register,
            fleet.register_approve,
        )
    )


def parser_for(argv: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser that takes or refuses ``argv`` like the whole one.

    To make all verbs with their options and help takes longer than to parse; one that is called often and can
    be told at once has a parser without the others.
    """
    words = argv[2:] if argv and argv[0] == "--config" else argv
    adds = _OFTEN.get(words[0]) if words else None
    return build_parser() if adds is None else _parser((adds,))


def _parser(verbs: Iterable[Callable[[_Commands], None]]) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = Parser(
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
    for add in verbs:
        add(commands)
    return parser


def _format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def _add_run(commands: _Commands) -> None:
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
    run.add_argument("--target", metavar="GUEST", help=f"one tick in a guest alone: {_TARGET}")
    _format(run)


def _add_plan_verbs(commands: _Commands) -> None:
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
    plan.add_argument(
        "--policy-ref",
        metavar="BRANCH",
        help="plan by this branch of the policy instead of the one that is followed, and remember nothing",
    )
    plan.add_argument("--check", action="store_true", help="exit with 4 when updates are pending")
    plan.add_argument(
        "--notify",
        action="store_true",
        help="send the plan to every notifier that the policy names for this host, or for --target",
    )
    plan.add_argument("--target", metavar="GUEST", help=_ABOUT)
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
    explain.add_argument(
        "--since", metavar="DATE", help="say what became of PACKAGE from that day on, and what changed it"
    )
    explain.add_argument("--fresh", action="store_true", help="plan anew instead of reading the last report")
    explain.add_argument("--target", metavar="GUEST", help=_ABOUT)
    _format(explain)
    status = commands.add_parser(
        "status",
        help="show the last report: what, when, and why not now",
        description="Show the last report; of a hypervisor with a line for each guest.",
    )
    status.add_argument("--target", metavar="GUEST", help=_ABOUT)
    _format(status)


_OFTEN: Mapping[str, Callable[[_Commands], None]] = {
    "run": _add_run,
    "plan": _add_plan_verbs,
    "dry-run": _add_plan_verbs,
    "explain": _add_plan_verbs,
    "status": _add_plan_verbs,
}
"""What makes the verbs that are called often."""


def _add_windows(commands: _Commands) -> None:
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
        "--policy", metavar="FOLDER", help="all Schedules of this folder, or --schedule or --host of them"
    )
    windows.add_argument(
        "--host",
        metavar="NAME",
        help="with --policy: the windows and freezes of this host, or of a guest, HOST/GUEST",
    )
    windows.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a label that --host has by itself; may be repeated",
    )
    windows.add_argument(
        "--os", default="", metavar="ID[-VERSION]", help="of --host or --target, such as debian-12"
    )
    windows.add_argument("--manager", default="", choices=NAMES, help="of --host or --target")
    windows.add_argument("--target", metavar="GUEST", help=f"those of a guest of this host: {_TARGET}")
    windows.add_argument(
        "--month",
        nargs="?",
        const="this",
        metavar="YYYY-MM",
        help="draw a month (default: this one): of this host, --host, --target, or all hosts of --policy",
    )
    windows.add_argument("--svg", metavar="FILE", help="with --month: write it as a picture as well")
    windows.add_argument("--guest-name", metavar="NAME", help="what its hypervisor calls the guest of --host")
    _format(windows)


def _add_watch_verbs(commands: _Commands) -> None:
    watch = commands.add_parser(
        "watch",
        help="make ticks until stopped, instead of a timer",
        description="Make ticks until stopped: at least every `tick` of the configuration; when the "
        "configuration, the hooks, a local policy repository or the file `wake` in the state folder change; "
        "and at the edges of windows and freezes. SIGHUP reads the configuration anew; SIGTERM ends it at "
        "any time. Tells a service manager how it is (Type=notify).",
    )
    watch.add_argument(
        "--check", action="store_true", help="check the configuration, say what would wake it, and end"
    )
    watch.add_argument("--format", choices=("text", "json"), default="text", help="of --check; default: text")


def _add_view_verbs(commands: _Commands) -> None:
    log = commands.add_parser(
        "log",
        help="list the runs of this host, or show one with what the package manager said",
        description="List this host's runs, the newest last; or show one run's record and its log. "
        "They are kept in log_dir, as long as retention.logs says.",
    )
    log.add_argument(
        "run", nargs="?", metavar="RUN", help="id of a run, the beginning of one, or `last`; all without it"
    )
    log.add_argument(
        "--last", type=int, metavar="N", help=f"list only the N newest (default: {_LOG_COUNT}; 0: all)"
    )
    log.add_argument("--target", metavar="GUEST", help=_ABOUT)
    _format(log)
    pause = commands.add_parser(
        "pause",
        help="apply nothing on this host until resumed, or until a given time",
        description="Apply nothing on this host, and reboot it not, until `resume` or --until. It is still "
        "looked at and reported on. The reason and your name stand in status and reports. Guests of this "
        "host go on: each is held by --target.",
    )
    pause.add_argument("--reason", metavar="TEXT", required=True, help="why, for those who wonder")
    pause.add_argument(
        "--until",
        metavar="WHEN",
        help="when it ends by itself: a duration (3d), a date (through its end), or a time with its zone",
    )
    pause.add_argument("--target", metavar="GUEST", help=f"hold a guest alone: {_TARGET}")
    _format(pause)
    resume = commands.add_parser(
        "resume",
        help="end the pause of this host",
        description="End the pause of this host. The next run applies what policy and gates allow.",
    )
    resume.add_argument("--target", metavar="GUEST", help=f"let a guest go on: {_TARGET}")
    _format(resume)


def _add_guests(commands: _Commands) -> None:
    guests = commands.add_parser(
        "guests",
        help="list the guests of this hypervisor, and why one would not be looked after",
        description="List the guests of this hypervisor, as `guests` of the configuration says, with state "
        "and labels, and why one would not be looked after. No process is started in a guest, nor one for "
        "each.",
    )
    guests.add_argument("--target", metavar="GUEST", help=_TARGET)
    _format(guests)


def _add_setup_verbs(commands: _Commands) -> None:
    setup = commands.add_parser(
        "setup",
        help="install on this host: ask, test, write configuration and units, enable the timer",
        description="Ask what this host needs to know, test each answer at once, and show what will be done; "
        "then write the configuration and the units, keep secrets encrypted, park other updaters, enable the "
        "timer, and plan for the first time. With --yes nothing is asked: answers come from --answers, from "
        "options, and from what is set up already. Doing it twice changes nothing.",
    )
    setup.add_argument(
        "--sample",
        action="store_true",
        help="print an answers file with every answer, its default and choices, and do nothing",
    )
    _add_setup_options(setup)
    adjust = commands.add_parser(
        "adjust",
        help="change what setup was told, beginning with the present answers",
        description="As setup, beginning with the present answers; an answers file may hold only what "
        "changes. A timer that is disabled stays so.",
    )
    _add_setup_options(adjust)
    enable = commands.add_parser(
        "enable", help="let ticks happen by themselves", description="Enable the timer, and start it."
    )
    enable.add_argument("--watch", action="store_true", help="the daemon instead of the timer")
    commands.add_parser(
        "disable",
        help="let no tick happen by itself, and keep everything else",
        description="Stop and disable timer and daemon. Parked updaters stay parked, so that nothing "
        "upgrades this host until `patchledger enable` or `patchledger cleanup`.",
    )
    cleanup = commands.add_parser(
        "cleanup",
        help="remove all that setup has installed, and give parked updaters back",
        description="Remove units, credentials, configuration, state and logs, and give parked updaters "
        "back. The operator's own files, such as hooks and keys, stay, and so do reports that were not "
        "pushed.",
    )
    cleanup.add_argument("--yes", action="store_true", help="do not ask")
    cleanup.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    cleanup.add_argument(
        "--purge", action="store_true", help="remove hooks, unpushed reports and earlier configurations, too"
    )
    _format(cleanup)
    for parser in (setup, adjust, enable, cleanup, commands.choices["disable"]):
        parser.add_argument("--unit-dir", metavar="DIR", help=argparse.SUPPRESS)


def _add_setup_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--answers", metavar="FILE", help="answers in YAML; `patchledger policy schema setup` describes them"
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing, and do it")
    parser.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    parser.add_argument(
        "--unchecked", action="store_true", help="go on although a remote or notifier fails its test"
    )
    parser.add_argument("--no-plan", action="store_true", help="do not plan for the first time at the end")
    parser.add_argument("--host", metavar="ID", help="id of this host (default: its name)")
    parser.add_argument(
        "--label",
        metavar="KEY=VALUE",
        action="append",
        help="a label that policies match on, beside those that the host has; repeatable",
    )
    parser.add_argument("--remove-label", metavar="KEY", action="append", help="a label to drop; repeatable")
    _add_access_options(parser)
    parser.add_argument(
        "--notifier",
        metavar="NAME=FILE",
        action="append",
        help="a notifier, and the private file that holds its apprise URL (-: one line of standard input)",
    )
    parser.add_argument(
        "--keep-secrets",
        choices=("credential", "file"),
        help="keep addresses of --notifier encrypted (the default), or as plain files for root alone",
    )
    parser.add_argument("--tick", metavar="D", help="time between two ticks (default: 15m)")
    parser.add_argument(
        "--updaters", choices=("park", "leave"), help="what becomes of other updaters (default: park)"
    )
    parser.add_argument("--program", metavar="FILE", help=argparse.SUPPRESS)
    _format(parser)


def _add_access_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policy-remote", metavar="URL", help="address of the policy repository")
    parser.add_argument("--policy-ref", metavar="BRANCH", help="its branch (default: main)")
    parser.add_argument(
        "--report-remote",
        metavar="URL",
        action="append",
        help="address of the report repository; of several, if repeated, the host's id chooses one",
    )
    parser.add_argument(
        "--signing-key",
        metavar="FILE",
        help="SSH private key that signs reports, made where there is none (default: report_key by --config)",
    )
    parser.add_argument("--identity", metavar="FILE", help="SSH private key to log in with")
    parser.add_argument("--known-hosts", metavar="FILE", help="keys of the SSH servers")
    parser.add_argument(
        "--git-credential", metavar="FILE", help="user name and password, or a token, for https remotes"
    )
    parser.add_argument("--ca-file", metavar="FILE", help="authorities trusted for https remotes")
    parser.add_argument("--trust-floor", metavar="COMMIT", help="commit the policy must descend from")
    parser.add_argument(
        "--enrol-with",
        metavar="FILE",
        help="push a branch that enrols this host with this credential, which is kept nowhere: a private key "
        "for ssh, a token or password for https (-: a token, one line of standard input)",
    )


def _add_units_verbs(commands: _Commands) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="look at all that this host needs, and say what is wrong",
        description="Look at configuration, programs, remotes, package manager, folders, hooks, credentials, "
        "notifiers, clock, other updaters and the timer, and say what is wrong and what to do. Nothing is "
        "changed or sent, and no secret is shown.",
    )
    doctor.add_argument("--offline", action="store_true", help="ask no server")
    _format(doctor)


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


def _add_reports_verbs(commands: _Commands) -> None:
    reports = commands.add_parser(
        "reports",
        help="mend this host's branch of the report repository",
        description="Mend this host's branch of the report repository.",
    )
    subcommands = reports.add_subparsers(dest="subcommand", metavar="COMMAND", required=True)
    repair = subcommands.add_parser(
        "repair",
        help="join this host's reports with what somebody else wrote to its branch",
        description="Where this host's report branch holds reports that it does not know, since another "
        "machine has its id, it was restored from a backup, or the branch was rewritten: join both by a "
        "merge commit, and push it. Nothing is forced, and no commit is dropped. Where the branch is gone or "
        "went back, send it again, as the next run would.",
    )
    repair.add_argument("--dry-run", action="store_true", help="say what was found, and do nothing")
    _format(repair)
