"""``patchledger setup`` and ``adjust``: from answers to an installation, tested and shown first."""

import contextlib
import difflib
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from reconciler.cli.showing.terminal import Format, note, print_json, tell
from reconciler.cli.verbs import asking, detected, setup_checks
from reconciler.cli.verbs import plan as planning
from reconciler.cli.verbs.enrolling import Proposed, enrol, pusher_of
from reconciler.cli.verbs.guests import unmeant_lines
from reconciler.cli.verbs.wizard import Wizard
from reconciler.cli.wiring.compose import check_manager, check_usable
from reconciler.cli.wiring.guests import folders_of, guests_of, policy_at
from reconciler.errors import DONE, Misuse, ReconcilerError, exit_code, worst
from reconciler.host.config import Config, Notifier, load_config
from reconciler.host.install import credentials, units
from reconciler.host.install.answers import (
    OPTIONS,
    Answers,
    Draft,
    NotifierAnswer,
    merged,
    present_answers,
    read_answers,
    shown_text,
)
from reconciler.host.install.installation import (
    Action,
    Aim,
    FileKind,
    Layout,
    Manifest,
    Present,
    WriteFile,
    plan_installation,
    wanted,
)
from reconciler.host.install.installer import Installer
from reconciler.planning.facts.matching import unmeant
from reconciler.policy.remotes import redact_url
from reconciler.process import BASE_PATH
from reconciler.records import dataclass

_OPTION_OF = {
    option.removeprefix("--").replace("-", "_"): (place, option) for place, option in OPTIONS.items()
}


@dataclass(frozen=True, slots=True)
class SetupOptions:
    """What ``setup`` or ``adjust`` is told; their help says what each is."""

    command: Literal["setup", "adjust"]
    config: str
    answers: str | None
    yes: bool
    dry_run: bool
    unchecked: bool
    no_plan: bool
    unit_dir: str | None
    program: str | None
    format: Format
    host: str | None
    label: list[str] | None
    remove_label: list[str] | None
    policy_remote: str | None
    policy_ref: str | None
    report_remote: list[str] | None
    signing_key: str | None
    identity: str | None
    known_hosts: str | None
    git_credential: str | None
    ca_file: str | None
    trust_floor: str | None
    enrol_with: str | None
    notifier: list[str] | None
    keep_secrets: Literal["credential", "file"] | None
    tick: str | None
    updaters: Literal["park", "leave"] | None


def run(options: SetupOptions) -> int:
    """Set this host up, or show what that would do, and return the exit code.

    Raises:
        Misuse: Answers are wrong (all mistakes are told), it may not be done, or nobody answers.
        Transient: Another setup is at work, or a remote or notifier cannot be reached.
        Stalled: A remote or notifier refuses, or systemd does.
    """
    layout = layout_of(options.config, options.unit_dir)
    installer = Installer(layout, lambda line: note(f"done: {line}"))
    if options.dry_run:
        return _set_up(options, layout, installer, setup_checks.PolicyLook())
    require_root(layout, options.command)
    _require_setup(options, layout)
    if not options.yes and not asking.is_present():
        raise Misuse(
            f"{options.command} asks questions, and there is no terminal to answer on",
            "give --yes, with --answers FILE or options",
        )
    with installer.locked(), installer.policy_copy() as copy:
        return _set_up(options, layout, installer, setup_checks.PolicyLook(copy))


def layout_of(config: str, unit_dir: str | None) -> Layout:
    """Return where the files of the installation are that the command line means.

    Args:
        config: The configuration file.
        unit_dir: Folder of the units; ``None`` for the one that was installed into, or the system's.

    Raises:
        Misuse: What was installed there cannot be read.
    """
    layout = Layout(Path(config).absolute())
    if unit_dir:
        return replace(layout, units=Path(unit_dir).absolute())
    installed = Installer(layout, note).manifest()
    return layout if installed is None else replace(layout, units=installed.units)


def require_root(layout: Layout, verb: str) -> None:
    """Refuse to touch the system's units as somebody else than root.

    Raises:
        Misuse: This is not root.
    """
    if layout.is_system and os.geteuid() != 0:
        raise Misuse(
            f"{verb} changes {layout.folder} and {layout.units}, and only root may", "run it as root"
        )


def _set_up(
    options: SetupOptions, layout: Layout, installer: Installer, policy: setup_checks.PolicyLook
) -> int:
    manifest = installer.manifest()
    asks = not options.yes and not options.dry_run
    answers, places, failures = _answered(options, layout, manifest, policy, asks=asks)
    for failure in failures:
        tell(failure)
    if not failures:
        _warn_of_access(answers)
    certain = [one for one in failures if isinstance(one, Misuse)]
    if certain and not options.dry_run:
        note("nothing was changed; mend that first: no server is to blame, and every tick would refuse it")
        return worst(map(exit_code, failures))
    if failures and not options.unchecked and not options.dry_run:
        note("nothing was changed; --unchecked goes on all the same")
        return worst(map(exit_code, failures))
    answers = _with_key(_with_floor(answers, policy, has_failed=bool(failures)), layout)
    aim = _aim(answers, layout, places, options.program)
    present = installer.present(manifest, aim)
    enables = options.command == "setup" or manifest is None
    actions = plan_installation(aim, layout, present, answers.updaters, enables=enables)
    if options.dry_run:
        _show(actions, options.format)
        return worst([DONE, *map(exit_code, failures)])
    if asks and actions and not asking.agreed(actions, default=True):
        raise Misuse("nothing was changed", "run setup again")
    if not asks:
        for action in actions:  # Whoever is asked has seen them.
            if isinstance(action, WriteFile) and action.kind is FileKind.CONFIGURATION and action.before:
                note(*(f"  {line}" for line in _difference(action)))
    installer.carry_out(actions)
    _tell_end(actions, aim, layout, present, enables=enables)
    _tell_of_guests(aim.config, policy)
    return _finish(options, layout, actions, _enrolled(aim.config, policy, options))


def _answered(
    options: SetupOptions,
    layout: Layout,
    manifest: Manifest | None,
    policy: setup_checks.PolicyLook,
    *,
    asks: bool,
) -> tuple[Answers, dict[str, Path], list[ReconcilerError]]:
    """Return the answers, where things are by them, and what failed that they name."""
    draft = _with_options(_begin(options, layout, manifest), options)
    found = detected.look(is_system=layout.is_system)
    if draft.answer(("host",)) is None and found.host:
        draft = draft.with_answer(("host",), found.host, "this host's name")
    places = _places(draft, layout)
    if asks and options.answers is None:
        given = frozenset(place for place, origin in draft.origins.items() if origin.startswith("--"))
        # Whoever is asked sees each failure at its question, and goes on or not.
        answers = Wizard(draft, asking.OwnTerminal(), found, places, given, policy).run()
        check_usable(answers)
        check_manager(answers)
        return answers, places, []
    answers = _checked(draft)
    _refuse_unencrypted(answers, found.why_no_credentials)
    known = setup_checks.notifiers_in_use(layout.config)
    kept = {**_encrypted((one.credential for one in known.values()), layout), **places}
    return answers, places, _failures(answers, kept, policy, known, sends=not options.dry_run)


def _enrolled(config: Config, policy: setup_checks.PolicyLook, options: SetupOptions) -> Proposed:
    """Tell how this host is enrolled, where its reports are pushed, and propose it where somebody may."""
    if config.report_remote is None and options.enrol_with is None:
        return Proposed()
    found = enrol(config, policy, pusher_of(config, options.enrol_with))
    if found.failure is not None and options.enrol_with is not None:
        tell(found.failure)
    elif found.failure is not None:
        note(f"whether this host is enrolled cannot be told now: {found.failure.message}")
    if found.document and options.format == "text":
        sys.stdout.write(found.document)
        sys.stdout.flush()
    return found


def _tell_of_guests(config: Config, policy: setup_checks.PolicyLook) -> None:
    """Name the policies that would apply to guests from now on, and were not written for them."""
    if config.guests is None:
        return
    try:
        with policy.opened(config) as (source, served):
            revision = policy_at(source, served.head)
    except ReconcilerError as failure:
        note(f"which policies match guests cannot be told now: {failure.message}")
        return
    if revision is not None:
        note(
            *unmeant_lines(
                unmeant(revision, guests_of(config.guests, folders_of(config)).guests, config.host)
            )
        )


def _with_floor(answers: Answers, policy: setup_checks.PolicyLook, *, has_failed: bool) -> Answers:
    """Begin a signed policy at its head, which was verified: from there on every commit counts."""
    trust = answers.trust
    if trust.mode == "none" or trust.floor is not None or has_failed:
        return answers
    floor = policy.first_floor(answers)
    return answers.model_copy(update={"trust": trust.model_copy(update={"floor": floor})})


def _with_key(answers: Answers, layout: Layout) -> Answers:
    """Have reports signed by a key of this host's own, where they leave it and can be signed."""
    reports = answers.reports
    if reports.remote is None or reports.signing_key is not None:
        return answers
    if shutil.which("ssh-keygen", path=BASE_PATH) is None:
        note("reports will not be signed: ssh-keygen is missing; install it and run setup again")
        return answers
    signed = reports.model_copy(update={"signing_key": layout.report_key})
    return answers.model_copy(update={"reports": signed})


# --- Answers --------------------------------------------------------------------------------------------


def _begin(options: SetupOptions, layout: Layout, manifest: Manifest | None) -> Draft:
    """Return the answers to begin with: the file's, the present ones, or these with the file's above them."""
    given = None if options.answers is None else read_answers(Path(options.answers))
    if given is not None and options.command == "setup":
        return _with_present_floor(given, layout)
    _require_setup(options, layout)
    if not layout.config.exists():
        return Draft()
    present = present_answers(load_config(layout.config), "park" if manifest is None else manifest.updaters)
    return present if given is None else merged(present, given)


def _require_setup(options: SetupOptions, layout: Layout) -> None:
    """Refuse to adjust what is not there.

    Raises:
        Misuse: There is no configuration, and none is given.
    """
    if options.command == "adjust" and options.answers is None and not layout.config.exists():
        raise Misuse(f"{layout.config}: this host is not set up", "run `patchledger setup`")


def _with_present_floor(given: Draft, layout: Layout) -> Draft:
    """Return answers with the floor that this host has, where they name none for the same policy.

    Another floor is how a person has a rewritten history followed, so none is ever chosen anew by itself.
    """
    try:
        present = load_config(layout.config) if layout.config.exists() else None
    except ReconcilerError:
        return given  # it is made anew, since it cannot be used
    place = ("trust", "floor")
    if (
        present is None
        or present.trust.floor is None
        or given.answer(("trust", "mode")) != present.trust.mode
        or given.answer(place) is not None
        or given.answer(("trust", "repository")) != present.trust.repository
    ):
        return given
    return given.with_answer(place, present.trust.floor, "the present configuration")


def _with_options(draft: Draft, options: SetupOptions) -> Draft:
    for name, (place, option) in _OPTION_OF.items():
        value: object = getattr(options, name)
        if value is not None:
            draft = draft.with_answer(tuple(place.split(".")), value, option)
    if options.label or options.remove_label:
        draft = draft.with_answer(("labels",), _labels(draft, options), "--label")
    for text in options.notifier or ():
        name, file = _pair(text, "--notifier NAME=FILE")
        answer: dict[str, str] = (
            {"address": sys.stdin.readline().strip()}
            if file == "-"
            else {"address_file": str(Path(file).absolute())}
        )
        if options.keep_secrets:
            answer["keep"] = options.keep_secrets
        draft = draft.with_answer(("notifiers", name), answer, f"--notifier {name}")
    return draft


def _labels(draft: Draft, options: SetupOptions) -> dict[str, object]:
    """Return the present labels with those of options: a lost one may put a host under other policies."""
    present = draft.answer(("labels",))
    labels: dict[str, object] = dict(present) if isinstance(present, Mapping) else {}
    for key in options.remove_label or ():
        if key not in labels:
            known = ", ".join(sorted(labels)) or "none"
            raise Misuse(f"--remove-label {key}: there is no such label", f"the labels are {known}")
        del labels[key]
    return {**labels, **dict(_pair(text, "--label KEY=VALUE") for text in options.label or ())}


def _pair(text: str, form: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not (key and separator and value):
        # Whatever it is, it may be an address.
        raise Misuse(f"an option is not written as {form}", f"write {form}")
    return key, value


def _checked(draft: Draft) -> Answers:
    found = draft.check()
    if isinstance(found, Answers):
        return found
    raise Misuse("\n".join(found), "mend the answers; nothing was changed")


def _refuse_unencrypted(answers: Answers, why: str) -> None:
    """Never keep a secret in plain text because it cannot be encrypted, unless that was asked for.

    Raises:
        Misuse: A credential is to be encrypted, and cannot be.
    """
    names = [name for name, one in answers.notifiers.items() if one.is_new and one.keep == "credential"]
    if why and names:
        raise Misuse(
            f"the address of {', '.join(names)} cannot be encrypted: {why}",
            "say `keep: file` (--keep-secrets file) to keep it in a plain file for root alone",
        )


def _failures(
    answers: Answers,
    places: Mapping[str, Path],
    policy: setup_checks.PolicyLook,
    known: Mapping[str, Notifier],
    *,
    sends: bool,
) -> list[ReconcilerError]:
    """Test all answers, tell what is well, and return everything that fails.

    Args:
        answers: Checked.
        places: Encrypted file by credential name.
        policy: Looks at the policy.
        known: The notifiers of the present configuration.
        sends: Test those whose address is new by a message; the others are only asked whether they answer.

    Raises:
        Misuse: The file of an address cannot be used.
    """
    addresses = setup_checks.addresses_of(answers)

    def notify(name: str, one: NotifierAnswer) -> str:
        address = addresses.get(name) or setup_checks.address_in_use(name, one, places)
        if setup_checks.is_in_use(name, address, known.get(name), places):
            return setup_checks.ask_notifier(answers, name, address, is_known=True)
        check = setup_checks.check_notifier if sends else setup_checks.ask_notifier
        return check(answers, name, address)

    tests = [
        partial(_usable, answers),
        partial(policy.check, answers),
        partial(setup_checks.check_reports, answers),
        partial(setup_checks.check_report_key, answers),
        *(partial(notify, name, one) for name, one in answers.notifiers.items()),
    ]
    failures = []
    for test in tests:
        try:
            said = test()
        except ReconcilerError as error:
            failures.append(error)
        else:
            note(*([f"ok: {said}"] if said else []))
    return failures


def _usable(answers: Answers) -> str:
    """Refuse what every tick would refuse, by the door through which a tick goes."""
    check_usable(answers)
    check_manager(answers)
    return ""


def _warn_of_access(answers: Answers) -> None:
    """Warn where this host could write the policy that it obeys."""
    match setup_checks.policy_access(answers):
        case setup_checks.Access.MAY_WRITE, said:
            note(f"warning: {said}", setup_checks.ACCESS_HINT)
        case setup_checks.Access.UNKNOWN, said:
            note(said)
        case setup_checks.Access.READS_ONLY, said:
            note(f"ok: {said}")
        case None:
            pass


def _places(draft: Draft, layout: Layout) -> dict[str, Path]:
    """Return the encrypted files of the credentials that the draft names, as far as they are there."""
    notifiers = draft.answer(("notifiers",))
    each = notifiers.values() if isinstance(notifiers, Mapping) else ()
    return _encrypted((one.get("credential") if isinstance(one, Mapping) else None for one in each), layout)


def _encrypted(names: Iterable[object], layout: Layout) -> dict[str, Path]:
    """Return the encrypted file of each credential that is there, by its name."""
    found: dict[str, Path] = {}
    for name in names:
        if isinstance(name, str):
            try:
                paths = credentials.places(name, layout.credentials)
            except Misuse:
                continue  # told when the answers are checked
            there = next((path for path in paths if path.is_file()), None)
            if there is not None:
                found[name] = there
    return found


def _aim(answers: Answers, layout: Layout, places: Mapping[str, Path], program: str | None) -> Aim:
    addresses = {name: one.reveal().encode() for name, one in setup_checks.addresses_of(answers).items()}
    return wanted(
        answers,
        addresses,
        layout,
        detected.program(program, as_root=layout.is_system),
        writable=setup_checks.local_report_folder(answers),
        known=frozenset(places.values()),
    )


# --- Telling --------------------------------------------------------------------------------------------


def _show(actions: Sequence[Action], form: Format) -> None:
    """Print what would be done, with the difference that it makes to each file."""
    if form == "json":
        print_json({"actions": [str(action) for action in actions]})
        return
    if not actions:
        sys.stdout.write("Nothing to do: this host is set up as answered.\n")
    for action in actions:
        sys.stdout.write(f"{action}\n")
        if isinstance(action, WriteFile) and action.kind in (FileKind.UNIT, FileKind.CONFIGURATION):
            sys.stdout.writelines(f"    {line}\n" for line in _difference(action))


def _difference(action: WriteFile) -> list[str]:
    hide = shown_text if action.kind is FileKind.CONFIGURATION else str
    before, after = (
        redact_url(hide(data.decode("utf-8", "replace"))).splitlines()
        for data in (action.before or b"", action.content)
    )
    return list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]


def _tell_end(
    actions: Sequence[Action], aim: Aim, layout: Layout, present: Present, *, enables: bool
) -> None:
    if not actions:
        note("nothing to do: this host is set up as answered")
    if not layout.is_system:
        note(f"systemd was not asked to use the units in {layout.units}")
    elif not present.has_systemd:
        note("systemd does not run here: the timer starts at the next boot")
    elif not enables and units.TIMER not in present.enabled and units.WATCH not in present.enabled:
        note("the timer is disabled, so nothing happens by itself: patchledger enable")
    else:
        note(f"{aim.config.host} ticks every {int(aim.config.tick.total_seconds() // 60)} minutes")


def _finish(options: SetupOptions, layout: Layout, actions: Sequence[Action], enrolled: Proposed) -> int:
    """Plan for the first time; what goes wrong with it is told, and what was set up stays."""
    if options.format == "json":
        print_json({"actions": [str(action) for action in actions], "enrol": enrolled.document})
    has_failed = options.enrol_with is not None and enrolled.failure is not None
    so_far = exit_code(enrolled.failure) if has_failed and enrolled.failure else DONE
    return so_far if options.no_plan else worst([so_far, _first_plan(options, layout)])


def _first_plan(options: SetupOptions, layout: Layout) -> int:
    first = planning.PlanOptions(str(layout.config))
    try:
        if options.format == "json":
            # Standard output is kept for the result of setup.
            with contextlib.redirect_stdout(sys.stderr):
                return planning.plan(first)
        note("the first plan, which changes nothing:")
        return planning.plan(first)
    except ReconcilerError as error:
        tell(error)
        note("this host is set up; the plan above failed: patchledger plan tries it again")
        return worst([exit_code(error)])
