"""The commands of people who write policies: arguments here, the work in the modules beside this one.

Nothing heavy is imported before a command is chosen, so that help stays quick.
"""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from reconciler.policy.managers import NAMES

if TYPE_CHECKING:
    from argparse import _SubParsersAction

EXAMPLES = ("minimal", "production", "homelab")
CHECK_FORMATS = ("text", "json", "sarif", "junit", "github")


def register(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Add ``policy check``, ``show``, ``schema`` and ``init``; each sets ``handler`` to its function."""
    group = subparsers.add_parser("policy", help="check, explain and start policy repositories")
    verbs = group.add_subparsers(dest="verb", metavar="VERB", required=True)
    _register_check(verbs.add_parser("check", help="say everything that is wrong with a policy repository"))
    _register_show(verbs.add_parser("show", help="say what holds for one host, and where it is written"))
    _register_schema(verbs.add_parser("schema", help="print a JSON Schema of the policy language"))
    _register_init(verbs.add_parser("init", help="start a policy repository from an example"))


def _add_source(parser: ArgumentParser) -> None:
    parser.add_argument(
        "folder", nargs="?", default=".", metavar="FOLDER", help="policy repository (default: .)"
    )
    parser.add_argument("--rev", metavar="REV", help="read this commit, branch or tag instead of the files")


def _add_format(parser: ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text", help="default: text")


def _register_check(parser: ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("--format", choices=CHECK_FORMATS, default="text", help="default: text")
    parser.add_argument("--watch", action="store_true", help="check again after every change, until Ctrl-C")
    parser.set_defaults(handler=check)


def _register_show(parser: ArgumentParser) -> None:
    parser.add_argument("host", metavar="HOST", help="id of the host, or name of the guest")
    _add_source(parser)
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a label the host has; may be repeated",
    )
    parser.add_argument("--os", default="", metavar="ID[-VERSION]", help="such as debian-12")
    parser.add_argument("--manager", default="", choices=NAMES)
    parser.add_argument("--guest-of", metavar="HOST", help="id of its hypervisor")
    _add_format(parser)
    parser.set_defaults(handler=show)


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
    parser.set_defaults(handler=schema)


def _register_init(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a new or empty folder")
    parser.add_argument("--example", choices=EXAMPLES, default="minimal", help="default: minimal")
    _add_format(parser)
    parser.set_defaults(handler=init)


def check(arguments: Namespace) -> int:
    """Run ``policy check`` and return 0, or 3 where there are problems."""
    from reconciler.cli.verbs.policy import check as policy_check  # noqa: PLC0415 - only this command pays

    if arguments.watch:
        return policy_check.watch(arguments.folder, arguments.rev, arguments.format)
    return policy_check.check(arguments.folder, arguments.rev, arguments.format)


def show(arguments: Namespace) -> int:
    """Run ``policy show`` and return 0, or 3 where the repository is invalid."""
    from reconciler.cli.verbs.policy import show as policy_show  # noqa: PLC0415 - as above

    host = policy_show.facts(
        arguments.host, arguments.label, arguments.os, arguments.manager, arguments.guest_of
    )
    return policy_show.show(host, arguments.folder, arguments.rev, arguments.format)


def schema(arguments: Namespace) -> int:
    """Run ``policy schema`` and return 0."""
    from reconciler.cli.verbs.policy import start as policy_start  # noqa: PLC0415 - as above

    return policy_start.schema(arguments.name, arguments.write, arguments.format)


def init(arguments: Namespace) -> int:
    """Run ``policy init`` and return 0."""
    from reconciler.cli.verbs.policy import start as policy_start  # noqa: PLC0415 - as above

    return policy_start.init(arguments.folder, arguments.example, arguments.format)
