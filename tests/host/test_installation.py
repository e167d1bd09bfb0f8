"""What is to be done so that a machine is as answered, and to take it back: plans, and no deeds."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from reconciler.errors import Misuse
from reconciler.host.install import units
from reconciler.host.install.answers import Answers, Draft
from reconciler.host.install.competing import Unit, Updater
from reconciler.host.install.installation import (
    ENABLED,
    SYSTEM_UNITS,
    Action,
    Aim,
    Disable,
    Enable,
    Encrypt,
    Layout,
    MakeFolder,
    MakeKey,
    Manifest,
    Park,
    Present,
    Reload,
    RemoveFile,
    RemoveFolder,
    Restore,
    WriteFile,
    left_behind,
    plan_installation,
    plan_removal,
    read_manifest,
    sha256,
    wanted,
)

LAYOUT = Layout(Path("/etc/patchledger/config.yaml"))
PROGRAM = Path("/usr/bin/patchledger")
STATE, LOGS = Path("/var/lib/patchledger"), Path("/var/log/patchledger")
EMPTY = Present({}, {}, frozenset(), {}, None, (), frozenset(), has_systemd=False)
SYSTEM = replace(
    EMPTY,
    folders=frozenset({SYSTEM_UNITS, *SYSTEM_UNITS.parents, *STATE.parents, *LOGS.parents}),
    has_systemd=True,
)
UPGRADES = Updater(
    "unattended-upgrades", (Unit("unattended-upgrades.service", "enabled", is_active=True),), parked=False
)
ADDRESS = b"json://u:hunter2@localhost"
OPS = {"ops": {"address": ADDRESS.decode()}}


def answers(**more: object) -> Answers:
    found = Draft({"host": "web-01", "policy": {"remote": "/srv/policy"}, **more}).check()
    assert isinstance(found, Answers), found
    return found


def aim(**more: object) -> Aim:
    made = answers(**more)
    addresses = {name: ADDRESS for name, one in made.notifiers.items() if one.is_new}
    known = frozenset({LAYOUT.encrypted("notifier-ops"), Path("/etc/credstore.encrypted/mail")})
    return wanted(made, addresses, LAYOUT, PROGRAM, known=known)


def plan(
    goal: Aim, present: Present, updaters: Literal["park", "leave"] = "park", *, enables: bool = True
) -> tuple[Action, ...]:
    return plan_installation(goal, LAYOUT, present, updaters, enables=enables)


def after(present: Present, actions: Iterable[Action]) -> Present:
    """Return what a machine is like when a plan was carried out on it."""
    for action in actions:
        present = _of_systemd(_of_files(present, action), action)
    data = present.files.get(LAYOUT.manifest)
    manifest = None if data is None else read_manifest(data, LAYOUT.manifest)
    # An empty folder counts as none, as it does for who looks.
    used = any(LAYOUT.folder in path.parents for path in (*present.files, *present.folders))
    folders = present.folders if used else present.folders - {LAYOUT.folder}
    return replace(present, manifest=manifest, folders=folders)


def _of_files(present: Present, action: Action) -> Present:
    files, folders = dict(present.files), set(present.folders)
    match action:
        case MakeFolder(path):
            return replace(present, folders=frozenset(folders | {path}))
        case WriteFile(path, content, kind):
            assert path.parent in folders, f"{path} has no folder"
            assert files.get(path) == action.before
            return replace(present, files={**files, path: content}, modes={**present.modes, path: kind.mode})
        case Encrypt() | MakeKey():
            return _with_secret(present, action)
        case RemoveFile(path):
            return replace(present, files={one: data for one, data in files.items() if one != path})
        case RemoveFolder(path, with_content):
            gone = {one for one in (*files, *folders) if path in one.parents}
            gone |= {path}
            left = {one: data for one, data in files.items() if one not in gone}
            is_done = with_content or len(gone) == 1
            return replace(present, files=left, folders=frozenset(folders - gone)) if is_done else present
        case _:
            return present


def _with_secret(present: Present, action: Encrypt | MakeKey) -> Present:
    path, files, secrets = action.path, dict(present.files), dict(present.secrets)
    assert path.parent in present.folders, f"{path} has no folder"
    match action:
        case Encrypt(name, _, secret):
            files[path], secrets[name] = b"sealed", secret
        case MakeKey():
            assert path not in files, f"{path} would be written over"
            files |= {path: b"private", path.with_name(f"{path.name}.pub"): b"public"}
    return replace(present, files=files, modes={**present.modes, path: 0o600}, secrets=secrets)


def _of_systemd(present: Present, action: Action) -> Present:
    files = dict(present.files)
    match action:
        case Enable(names):
            return replace(present, enabled=present.enabled | set(names))
        case Disable(names):
            return replace(present, enabled=present.enabled - set(names))
        case Park(parked, record):
            assert LAYOUT.manifest in files, "parked before anybody could know of it"
            updaters = tuple(replace(one, parked=True) for one in parked)
            return replace(present, files={**files, record: b"record"}, updaters=updaters)
        case Restore(record):
            del files[record]
            updaters = tuple(replace(one, parked=False) for one in present.updaters)
            return replace(present, files=files, updaters=updaters)
        case _:
            return present


def removal(present: Present, *, kept: tuple[Path, ...] = (), purge: bool = False) -> tuple[Action, ...]:
    assert present.manifest is not None
    return plan_removal(LAYOUT, present, present.manifest, kept=kept, purge=purge)


GOALS = [
    aim(),
    aim(notifiers=OPS, tick="1h"),
    aim(notifiers={"ops": {**OPS["ops"], "keep": "file"}}, state_dir="/srv/state"),
    aim(notifiers={"ops": {"credential": "mail"}}),
    aim(reports={"remote": "/srv/reports.git", "signing_key": str(LAYOUT.report_key)}),
    aim(reports={"remote": "/srv/reports.git", "signing_key": "/etc/patchledger/keys/reports"}),
]


@pytest.mark.parametrize("goal", GOALS)
def test_a_machine_that_is_as_answered_needs_nothing(goal: Aim) -> None:
    there = after(replace(SYSTEM, updaters=(UPGRADES,)), plan(goal, replace(SYSTEM, updaters=(UPGRADES,))))
    assert plan(goal, there) == ()
    assert there.enabled == {units.TIMER, units.BOOT}
    assert [one.parked for one in there.updaters] == [True]


@pytest.mark.parametrize("goal", GOALS)
def test_cleanup_takes_everything_back(goal: Aim) -> None:
    before = replace(SYSTEM, updaters=(UPGRADES,))
    there = after(before, plan(goal, before))
    gone = after(there, removal(there))
    assert (gone.files, gone.folders, gone.enabled) == ({}, before.folders, frozenset())
    assert gone.updaters == before.updaters


@pytest.mark.parametrize("goal", GOALS)
def test_setup_that_was_interrupted_is_completed_or_taken_back(goal: Aim) -> None:
    whole = plan(goal, SYSTEM)
    for steps in range(1, len(whole)):
        half = after(SYSTEM, whole[:steps])
        completed = after(half, plan(goal, half))
        assert completed.manifest == after(SYSTEM, whole).manifest
        assert completed.files == after(SYSTEM, whole).files
        assert plan(goal, completed) == ()
        if half.manifest is not None:
            gone = after(half, removal(half))
            assert (gone.files, gone.folders) == ({}, SYSTEM.folders), f"interrupted before {whole[steps]}"


def test_what_is_made_is_written_down_first() -> None:
    first, second, *rest = plan(aim(notifiers=OPS), SYSTEM)
    assert first == MakeFolder(LAYOUT.folder)
    assert isinstance(second, WriteFile)
    assert second.path == LAYOUT.manifest
    told = read_manifest(second.content, LAYOUT.manifest)
    made = {one.path for one in rest if isinstance(one, WriteFile | Encrypt)} - {LAYOUT.manifest}
    assert made == set(told.files)
    assert {one.path for one in rest if isinstance(one, MakeFolder)} <= set(told.folders)


def test_what_was_there_before_is_kept_beside_it() -> None:
    mine = b"host: by-hand\npolicy: {remote: /x}\n"
    present = replace(
        SYSTEM,
        files={LAYOUT.config: mine},
        folders=SYSTEM.folders | {LAYOUT.folder},
        modes={LAYOUT.config: 0o600},
    )
    there = after(present, plan(aim(), present))
    copy = LAYOUT.folder / f"config.yaml.before-setup-{sha256(mine)[:8]}"
    assert there.files[copy] == mine
    assert there.modes[copy] == 0o600
    # What setup itself wrote is replaced without a copy, and what somebody changed since is not.
    again = after(there, plan(aim(tick="1h"), there))
    assert set(again.files) == set(there.files)
    edited = replace(again, files={**again.files, LAYOUT.config: b"host: edited\n"})
    assert len(after(edited, plan(aim(), edited)).files) == len(again.files) + 1
    gone = after(again, removal(again))
    assert gone.files == {copy: mine}
    assert after(again, removal(again, purge=True)).files == {}


def test_a_notifier_that_is_dropped_takes_its_secret_along() -> None:
    there = after(SYSTEM, plan(aim(notifiers=OPS), SYSTEM))
    assert LAYOUT.encrypted("notifier-ops") in there.files
    without = after(there, plan(aim(), there))
    assert LAYOUT.encrypted("notifier-ops") not in without.files
    kept = aim(notifiers={"ops": {"credential": "notifier-ops"}})
    assert after(there, plan(kept, there)).files[LAYOUT.encrypted("notifier-ops")] == b"sealed"
    assert plan(kept, there) == ()


def test_a_plain_address_that_is_kept_stays() -> None:
    there = after(SYSTEM, plan(aim(notifiers={"ops": {**OPS["ops"], "keep": "file"}}), SYSTEM))
    path = LAYOUT.secrets / "ops"
    assert (there.files[path], there.modes[path]) == (ADDRESS + b"\n", 0o600)
    kept = aim(notifiers={"ops": {"file": str(path)}})
    assert plan(kept, there) == ()
    assert after(there, plan(kept, there)).files[path] == ADDRESS + b"\n"


def test_a_secret_is_encrypted_anew_only_where_it_is_another() -> None:
    goal = aim(notifiers=OPS)
    there = after(SYSTEM, plan(goal, SYSTEM))
    lost = replace(there, secrets={})
    assert [one for one in plan(goal, lost) if isinstance(one, Encrypt)] == [
        Encrypt("notifier-ops", LAYOUT.encrypted("notifier-ops"), ADDRESS)
    ]


def test_nothing_that_is_shown_holds_a_secret() -> None:
    for keep in ("file", "credential"):
        goal = aim(notifiers={"ops": {**OPS["ops"], "keep": keep}})
        actions = plan(goal, SYSTEM)
        assert b"hunter2" in b"".join(
            one.content if isinstance(one, WriteFile) else one.secret
            for one in actions
            if isinstance(one, WriteFile | Encrypt)
        )
        assert "hunter2" not in f"{goal!r} {actions!r} {[str(one) for one in actions]}"


def test_a_credential_that_is_nowhere_is_told() -> None:
    with pytest.raises(Misuse, match=r"notifiers\.ops\.credential: there is no encrypted credential lost"):
        aim(notifiers={"ops": {"credential": "lost"}})


def test_the_units_load_the_credentials_and_may_write_the_data() -> None:
    goal = aim(notifiers={**OPS, "sms": {"credential": "mail"}}, state_dir="/srv/state", root="/srv/image")
    service = goal.files[SYSTEM_UNITS / units.SERVICE].content.decode()
    assert "LoadCredentialEncrypted=mail:/etc/credstore.encrypted/mail\n" in service
    assert "LoadCredentialEncrypted=notifier-ops:/etc/patchledger/credentials/notifier-ops.cred\n" in service
    assert '"/srv/image" "/srv/state"' in service


def test_the_timer_is_started_anew_only_where_it_changed() -> None:
    there = after(SYSTEM, plan(aim(), SYSTEM))
    assert [one for one in plan(aim(tick="1h"), there) if isinstance(one, Enable | Reload)] == [
        Reload(),
        Enable(ENABLED),
    ]
    assert not [one for one in plan(aim(labels={"a": "b"}), there) if isinstance(one, Enable | Reload)]


def test_what_is_disabled_stays_so_when_it_is_adjusted() -> None:
    there = after(SYSTEM, (*plan(aim(), SYSTEM), Disable(ENABLED)))
    assert not [one for one in plan(aim(tick="1h"), there, enables=False) if isinstance(one, Enable)]
    assert Enable(ENABLED) in plan(aim(), there)


def test_the_daemon_stays_instead_of_the_timer() -> None:
    there = after(SYSTEM, (*plan(aim(), SYSTEM), Disable(ENABLED)))
    watched = replace(there, enabled=frozenset({units.WATCH, units.BOOT}))
    assert plan(aim(), watched) == ()
    (enable,) = [one for one in plan(aim(state_dir="/srv/s"), watched) if isinstance(one, Enable)]
    assert enable.units == (units.WATCH, units.BOOT)


def test_updaters_are_parked_and_given_back_as_answered() -> None:
    present = replace(SYSTEM, updaters=(UPGRADES,))
    assert not [one for one in plan(aim(), present, "leave") if isinstance(one, Park)]
    there = after(present, plan(aim(), present))
    back = after(there, plan(aim(), there, "leave"))
    assert back.updaters == (UPGRADES,)
    assert plan(aim(), back, "leave") == ()


def test_elsewhere_systemd_is_left_alone() -> None:
    layout = Layout(Path("/image/etc/config.yaml"), Path("/image/units"))
    goal = wanted(answers(), {}, layout, PROGRAM)
    actions = plan_installation(goal, layout, replace(EMPTY, updaters=(UPGRADES,)), "park")
    assert not [one for one in actions if isinstance(one, Enable | Reload | Park)]
    assert layout.units / units.TIMER in goal.files


def test_what_must_stay_stays_with_its_folder() -> None:
    there = after(SYSTEM, plan(aim(), SYSTEM))
    queue = STATE / "reports.git"
    used = replace(
        there,
        files={**there.files, STATE / "trust.json": b"{}", queue / "HEAD": b"ref"},
        folders=there.folders | {queue, STATE / "policy.git"},
    )
    gone = after(used, removal(used, kept=(queue,)))
    assert gone.files == {queue / "HEAD": b"ref"}
    assert gone.folders == SYSTEM.folders | {STATE, queue}


def test_folders_that_were_there_before_are_left_and_named() -> None:
    home = Path("/srv/state")
    present = replace(SYSTEM, folders=SYSTEM.folders | {home})
    there = after(present, plan(aim(state_dir=str(home)), present))
    used = replace(there, files={**there.files, home / "letters": b"mine"})
    gone = after(used, removal(used))
    assert gone.files == {home / "letters": b"mine"}
    assert used.manifest is not None
    assert left_behind(used.manifest, used) == (home,)


def test_hooks_are_the_operators() -> None:
    hooks = LAYOUT.folder / "hooks"
    there = after(SYSTEM, plan(aim(), SYSTEM))
    used = replace(
        there, files={**there.files, hooks / "pre.d" / "10-stop": b"#!"}, folders=there.folders | {hooks}
    )
    assert after(used, removal(used)).files == {hooks / "pre.d" / "10-stop": b"#!"}
    assert after(used, removal(used, purge=True)).files == {}


def test_data_folders_of_earlier_answers_are_ours_still() -> None:
    there = after(SYSTEM, plan(aim(state_dir="/srv/old"), SYSTEM))
    moved = after(there, plan(aim(), there))
    assert after(moved, removal(moved)).folders == SYSTEM.folders


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"version": 1}', b"\xff"])
def test_a_damaged_manifest_is_told(data: bytes) -> None:
    with pytest.raises(Misuse, match="damaged"):
        read_manifest(data, LAYOUT.manifest)
    with pytest.raises(Misuse, match="version 9"):
        read_manifest(b'{"version": 9}', LAYOUT.manifest)


def test_a_manifest_is_read_as_it_was_written() -> None:
    manifest = Manifest(
        LAYOUT.config, SYSTEM_UNITS, {LAYOUT.config: "ab"}, (STATE,), (STATE, LOGS), Path("/h"), "leave"
    )
    assert read_manifest(manifest.to_json(), LAYOUT.manifest) == manifest
