"""What ``--dry-run`` answers, against a real resolver."""

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.errors import Stalled
from reconciler.managers.dnf import DNF
from reconciler.managers.scripted import ScriptedManager
from reconciler.managers.scripts import PatchScript
from reconciler.planning.facts.observation import Answer, Question, Unmet
from reconciler.targets.local import LocalTarget
from tests.labs import naming
from tests.labs.dnf import DNF as PROGRAM
from tests.labs.dnf import IS_5, DnfLab
from tests.labs.rpm import Advisory, Rpm

SAFE = {
    "base": "1.1-1",
    "configured": "1.1-1",
    "epoch": "1:1.0-2",
    "hostile": "1.1-1",
    "kernel-core": "5.4-1",
    "lima": "1.1-1",
    "native": "1.1-1",
    "newdep": "1.1-1",
    "newdep-lib": "1.0-1",
    "obsoleter": "2.0-1",
    "pair": "1.1-1",
    "pair-data": "1.1-1",
    "plain": "1.1-1",
    "secure": "1.0-2",
    "superseded": "1.2-1",
    "twin:i686": "1.1-1",
    "twin:x86_64": "1.1-1",
    "user": "1.1-1",
}
GONE = {"obsoleted": "replace", "kernel-core": "rotate"}
QUESTIONS = (
    Question(),
    Question("full", exclude=("plain",)),
    Question(security=True, include=("plain",)),
    Question(only=("remover", "2.0-1")),
    Question(choose=(("superseded", "1.1-1"),)),
)


def moved(answer: Answer) -> dict[str, str]:
    coming = naming.moved(change for change in answer.changes if change.to_version is not None)
    return {name: version or "" for name, version in coming.items()}


def gone(answer: Answer) -> dict[str, str]:
    return {change.name: change.action for change in answer.changes if change.to_version is None}


def without(*names: str) -> dict[str, str]:
    return {name: version for name, version in SAFE.items() if name not in names}


def test_safe_mode_upgrades_and_installs_and_erases_nothing(dnf: ScriptedManager) -> None:
    answer = dnf.resolve(Question())
    assert moved(answer) == SAFE
    assert gone(answer) == GONE
    assert answer.kept_back == ("remover", "unsat")
    assert answer.exit_code == 0
    assert answer.unmet == (
        Unmet("unsat", "1.1-1", "Depends", "nobody-has-this"),
        Unmet("remover", "2.0-1", "Conflicts", "victim"),
    )
    installs = {change.name: change.by for change in answer.changes if change.action == "install"}
    assert installs == {"kernel-core": (), "newdep-lib": ("newdep",)}


def test_the_oldest_kernel_is_rotated_out_and_named_by_version(dnf: ScriptedManager) -> None:
    (rotated,) = (change for change in dnf.resolve(Question()).changes if change.action == "rotate")
    assert (rotated.name, rotated.from_version, rotated.by) == ("kernel-core", "5.1-1", ("kernel-core",))


def test_full_mode_erases_what_stands_in_the_way(dnf: ScriptedManager) -> None:
    answer = dnf.resolve(Question("full"))
    assert moved(answer) == {**SAFE, "remover": "2.0-1"}
    assert gone(answer) == {**GONE, "victim": "remove"}
    assert answer.kept_back == ("unsat",)
    (victim,) = (change for change in answer.changes if change.name == "victim")
    assert victim.by == ("remover",)


def test_full_mode_does_not_erase_what_only_its_broken_update_lets_go(
    own_lab: DnfLab, own_dnf: ScriptedManager
) -> None:
    own_lab.install(Rpm("tool", "1.0-1", fields={"Requires": "tool-libs = 1.0"}), Rpm("tool-libs", "1.0-1"))
    own_lab.repository.publish(
        Rpm("tool", "1.1-1", fields={"Requires": "not-published-yet"}), Rpm("tool-libs", "1.1-1")
    )
    own_lab.refresh()
    half = own_dnf.resolve(Question("full"))
    assert half.exit_code == 0
    assert moved(half) == SAFE
    assert "tool" not in gone(half)
    own_lab.repository.publish(Rpm("not-published-yet", "1.0-1"))
    own_lab.refresh()
    whole = {"tool": "1.1-1", "tool-libs": "1.1-1", "not-published-yet": "1.0-1", "remover": "2.0-1"}
    assert moved(own_dnf.resolve(Question("full"))) == {**SAFE, **whole}


def test_an_operator_who_wants_the_best_or_says_yes_to_all_changes_nothing(
    lab: DnfLab, dnf: ScriptedManager
) -> None:
    lab.configure("best=1\nassumeyes=1\ndefaultyes=1\nclean_requirements_on_remove=1")
    before = lab.digest()
    assert moved(dnf.resolve(Question())) == SAFE
    assert lab.digest() == before


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_a_plugin_prints_changes_no_answer(
    lab: DnfLab, dnf: ScriptedManager, question: Question
) -> None:
    before = dnf.resolve(question)
    lab.add_talkative_plugin()
    assert dnf.resolve(question) == before


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_leaves_no_trace(
    lab: DnfLab, script: PatchScript, shell: tuple[str, ...], question: Question
) -> None:
    dnf = ScriptedManager(DNF, LocalTarget(lab.environment, shell), script, root=lab.root)
    before = lab.digest()
    assert dnf.resolve(question).exit_code == 0
    assert lab.digest() == before


def test_changes_carry_origin_size_growth_and_security(lab: DnfLab, dnf: ScriptedManager) -> None:
    dnf.observe(datetime.now(UTC))
    changes = naming.named(change for change in dnf.resolve(Question()).changes if change.to_version)
    plain = changes["plain"]
    assert (plain.from_version, plain.arch, plain.origin) == ("1.0-1", "noarch", "lab")
    assert plain.size == lab.repository.file("plain", "1.1-1").stat().st_size
    assert plain.installed_delta == 0
    assert changes["newdep-lib"].installed_delta == 6
    assert [name for name, change in changes.items() if change.security] == ["secure"]


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (("lima",), ("lima",)),
        (("plain", "secure"), ("plain", "secure")),
        (("base",), ("base", "user")),  # user needs the new base
        (("pair-data",), ("pair", "pair-data")),
        (("native:x86_64",), ("native",)),
        (("native:i686",), ()),
        (("newdep-lib",), ()),  # not installed: it may come in
        (("nobody-knows-it",), ()),
        (("obsoleted",), ("obsoleter",)),  # what must not move is not replaced either
        (("kernel-core",), ("kernel-core",)),
    ],
)
def test_an_exclusion_does_not_move_and_the_rest_goes_on(
    dnf: ScriptedManager, names: tuple[str, ...], left: tuple[str, ...]
) -> None:
    assert moved(dnf.resolve(Question(exclude=names))) == without(*left)


@pytest.mark.parametrize(
    ("names", "left"),
    [(("newdep-lib",), ("newdep", "newdep-lib")), (("plain",), ("plain",)), (("nobody-knows-it",), ())],
)
def test_a_block_neither_moves_nor_comes_in(
    dnf: ScriptedManager, names: tuple[str, ...], left: tuple[str, ...]
) -> None:
    assert moved(dnf.resolve(Question(block=names))) == without(*left)


def test_full_mode_does_not_erase_what_must_not_move(dnf: ScriptedManager) -> None:
    answer = dnf.resolve(Question("full", exclude=("victim",)))
    assert "victim" not in gone(answer)
    assert "remover" not in moved(answer)
    assert moved(answer).items() >= without("remover").items()


def exclude(lab: DnfLab) -> None:
    lab.configure("excludepkgs=lima")


def exclude_in_a_repositorys_file(lab: DnfLab) -> None:
    lab.configure_repository(more="excludepkgs=lima")


def lock(lab: DnfLab) -> None:
    lab.lock("lima", "1.0-1")


def lock_out(lab: DnfLab) -> None:
    lab.lock("lima", "1.1-1", is_out=True)


@pytest.mark.parametrize("hold", [exclude, exclude_in_a_repositorys_file, lock, lock_out])
def test_the_operators_excludes_and_locks_hold(
    lab: DnfLab, dnf: ScriptedManager, hold: Callable[[DnfLab], None]
) -> None:
    hold(lab)
    assert moved(dnf.resolve(Question())) == without("lima")


def test_security_takes_the_lowest_version_that_holds_all_advisories(dnf: ScriptedManager) -> None:
    assert moved(dnf.resolve(Question(security=True))) == {"secure": "1.0-2", "superseded": "1.1-1"}


@pytest.mark.parametrize(
    ("exclude", "comes", "kept_back"),
    [
        ((), {"tool": "1.1-1", "tool-libs": "1.1-1", "solo": "1.2-1", "keeper": "1.1-1"}, ()),
        (("keeper",), {"tool": "1.1-1", "tool-libs": "1.1-1", "solo": "1.1-1"}, ()),
        (("keeper", "tool-libs"), {"solo": "1.1-1"}, ("tool",)),
    ],
)
def test_security_takes_the_next_advised_version_where_the_newest_cannot_come(
    own_lab: DnfLab,
    own_dnf: ScriptedManager,
    exclude: tuple[str, ...],
    comes: dict[str, str],
    kept_back: tuple[str, ...],
) -> None:
    tools = [Rpm("tool", f"1.{n}-1", fields={"Requires": f"tool-libs = 1.{n}-1"}) for n in range(3)]
    libs = [Rpm("tool-libs", f"1.{n}-1") for n in range(2)]
    solo = [Rpm("solo", f"1.{n}-1") for n in range(2)]
    own_lab.install(tools[0], libs[0], solo[0], Rpm("keeper", "1.0-1"))
    broken = Rpm("tool-libs", "1.2-1", fields={"Requires": "nobody-has-this"})
    needy = Rpm("solo", "1.2-1", fields={"Requires": "keeper >= 1.1"})
    advised = (*tools[1:], libs[1], broken, solo[1], needy)
    own_lab.repository.publish(*advised, Rpm("keeper", "1.1-1"), Rpm("solo", "1.3-1"))
    own_lab.repository.advise(*(Advisory(f"LAB-{one.nevra}", (one.nevra,)) for one in advised))
    own_lab.refresh()
    answer = own_dnf.resolve(Question(security=True, exclude=exclude))
    assert moved(answer) == comes
    # dnf 5 counts what it was told to exclude.
    assert set(answer.kept_back) - set(exclude) == set(kept_back)


def test_a_rename_too_is_made_in_the_next_advised_version(own_lab: DnfLab, own_dnf: ScriptedManager) -> None:
    own_lab.install(Rpm("oldname", "1.0-1"))
    takes = {"Obsoletes": "oldname < 3", "Provides": "oldname = 2"}
    own_lab.repository.publish(
        Rpm("newname", "2.0-1", fields=takes),
        Rpm("newname", "2.1-1", fields={**takes, "Requires": "nobody-has-this"}),
    )
    own_lab.repository.advise(Advisory("LAB-SA-9", ("newname-2.0-1", "newname-2.1-1")))
    own_lab.refresh()
    answer = own_dnf.resolve(Question(security=True))
    # dnf 5 tells which renames advisories name in its own minimal upgrade alone: the newest or none.
    assert moved(answer) == ({} if IS_5 else {"newname": "2.0-1"})
    assert gone(answer) == ({} if IS_5 else {"oldname": "replace"})


@pytest.mark.parametrize(
    ("question", "moves"),
    [
        (Question(security=True, exclude=("secure",)), {"superseded": "1.1-1"}),
        (Question(security=True, exclude=("secure", "superseded")), {}),
        (
            Question(security=True, include=("plain", "superseded")),
            {"secure": "1.0-2", "superseded": "1.2-1", "plain": "1.1-1"},
        ),
        (
            Question(security=True, choose=(("superseded", "1.2-1"),)),
            {"secure": "1.0-2", "superseded": "1.2-1"},
        ),
        (Question(choose=(("superseded", "1.1-1"),)), {**SAFE, "superseded": "1.1-1"}),
        (Question(choose=(("superseded:noarch", "1.1-1"),)), {**SAFE, "superseded": "1.1-1"}),
    ],
)
def test_what_is_chosen_included_or_excluded_beside(
    dnf: ScriptedManager, question: Question, moves: dict[str, str]
) -> None:
    answer = dnf.resolve(question)
    assert moved(answer) == moves
    assert answer.exit_code == (0 if moves else 10)


def test_a_chosen_version_that_is_gone_is_told(dnf: ScriptedManager) -> None:
    answer = dnf.resolve(Question(choose=(("plain", "9-1"),)))
    assert (answer.exit_code, answer.message) == (26, "no longer available: plain=9-1")
    assert answer.changes == ()


@pytest.mark.parametrize(
    ("question", "moves", "unmet"),
    [
        (Question(only=("user", "1.1-1")), {"user": "1.1-1", "base": "1.1-1"}, ()),
        (Question(only=("native:x86_64", "1.1-1")), {"native": "1.1-1"}, ()),
        (Question(only=("superseded", "1.1-1")), {"superseded": "1.1-1"}, ()),
        (
            Question(only=("remover", "2.0-1")),
            {"remover": "2.0-1"},
            (Unmet("remover", "2.0-1", "Conflicts", "victim"),),
        ),
        (Question(only=("unsat", "1.1-1")), {}, (Unmet("unsat", "1.1-1", "Depends", "nobody-has-this"),)),
        (
            Question(only=("user", "1.1-1"), exclude=("base",)),
            {},
            (Unmet("user", "1.1-1", "Depends", "base >= 1.1"),),
        ),
        (
            Question(only=("newdep", "1.1-1"), block=("newdep-lib",)),
            {},
            (Unmet("newdep", "1.1-1", "Depends", "newdep-lib"),),
        ),
    ],
)
def test_one_version_alone_shows_what_it_takes_or_what_stands_in_its_way(
    dnf: ScriptedManager, question: Question, moves: dict[str, str], unmet: tuple[Unmet, ...]
) -> None:
    answer = dnf.resolve(question)
    assert moved(answer) == moves
    assert answer.unmet == unmet
    assert answer.exit_code == (0 if moves else 25)


@pytest.mark.parametrize(
    ("question", "version"),
    [
        (Question(), "2.1-1"),
        (Question("full"), "2.1-1"),
        (Question(security=True), "2.0-1"),
        (Question(security=True, include=("oldname",)), "2.1-1"),
        (Question(choose=(("newname", "2.0-1"),)), "2.0-1"),
        (Question(security=True, choose=(("newname", "2.0-1"),)), "2.0-1"),
        (Question(only=("newname", "2.0-1")), "2.0-1"),
        (Question(block=("newname",)), None),
        (Question(security=True, block=("newname",)), None),
        (Question(exclude=("oldname",)), None),
    ],
)
def test_a_rename_is_made_in_the_version_that_is_asked_for(
    own_lab: DnfLab, own_dnf: ScriptedManager, question: Question, version: str | None
) -> None:
    own_lab.install(Rpm("oldname", "1.0-1"))
    own_lab.repository.publish(
        *(
            Rpm("newname", one, fields={"Obsoletes": "oldname < 3", "Provides": f"oldname = {one}"})
            for one in ("2.0-1", "2.1-1")
        )
    )
    own_lab.repository.advise(Advisory("LAB-SA-9", ("newname-2.0-1",)))
    own_lab.refresh()
    answer = own_dnf.resolve(question)
    assert moved(answer).get("newname") == version
    assert gone(answer).get("oldname") == ("replace" if version else None)


def test_advisories_of_any_words_or_none_are_security(own_lab: DnfLab, own_dnf: ScriptedManager) -> None:
    own_lab.repository.advise(
        Advisory("Two words", ("plain-1.1-1",)), Advisory("LAB-9", ("base-1.1-1",), severity="")
    )
    own_lab.refresh()
    assert moved(own_dnf.resolve(Question(security=True))) == {"plain": "1.1-1", "base": "1.1-1"}


def test_a_long_name_does_not_break_the_table(own_lab: DnfLab, own_dnf: ScriptedManager) -> None:
    name = "a-package-whose-name-alone-is-longer-than-any-line-of-a-terminal-of-eighty-columns-can-be"
    version = "1.0.20261122git0123456789abcdef-1.module_el9"
    own_lab.install(Rpm(name, "0-1"))
    own_lab.repository.publish(Rpm(name, version))
    own_lab.refresh()
    assert moved(own_dnf.resolve(Question())) == {**SAFE, name: version}


def test_nothing_to_do(own_lab: DnfLab, own_dnf: ScriptedManager) -> None:
    own_lab.dnf("-y", "upgrade")
    answer = own_dnf.resolve(Question())
    assert (answer.exit_code, answer.changes) == (10, ())
    assert answer.kept_back == ("remover", "unsat")


def test_yum_is_dnf_by_its_older_name(lab: DnfLab, script: PatchScript, tmp_path: Path) -> None:
    for tool in Path("/usr/bin").iterdir():
        if not tool.name.startswith(("dnf", "yum")):
            (tmp_path / tool.name).symlink_to(tool)
    (tmp_path / "yum").symlink_to(Path("/usr/bin", PROGRAM).resolve())
    target = LocalTarget({**lab.environment, "PATH": str(tmp_path)})
    yum = ScriptedManager(DNF, target, script, lab.cache, root=lab.root)
    assert moved(yum.resolve(Question(security=True))) == {"secure": "1.0-2", "superseded": "1.1-1"}


def test_an_ordinary_user_may_look_but_not_ask(lab: DnfLab, script: PatchScript) -> None:
    as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh")
    for folder in (lab.folder.parent, lab.folder.parent.parent):
        folder.chmod(0o755)
    dnf = ScriptedManager(DNF, LocalTarget(lab.environment, as_nobody), script, root=lab.root)
    observation = dnf.observe(datetime.now(UTC))
    assert not observation.privileged
    assert "plain" in {offer.name for offer in observation.offers}
    # dnf 5 answers everybody.
    with nullcontext() if IS_5 else pytest.raises(Stalled, match="superuser"):
        dnf.resolve(Question())


def test_what_would_take_the_place_of_a_protected_package_keeps_nothing_else(
    lab: DnfLab, dnf: ScriptedManager
) -> None:
    protected = lab.root / "etc/dnf/protected.d/lab.conf"
    protected.parent.mkdir(parents=True, exist_ok=True)
    protected.write_text("obsoleted\n")
    lab.configure("protected_packages=obsoleted,rpm")
    for mode in ("safe", "full"):
        answer = dnf.resolve(Question(mode))
        came = {one.name for one in answer.changes if one.to_version is not None}
        assert answer.exit_code == 0
        assert "plain" in came
        # dnf 5 lets another take the place of what it would not remove.
        assert ("obsoleter" in came) is IS_5
        assert ("obsoleted" in {one.name for one in answer.changes}) is IS_5
    alone = dnf.resolve(Question(only=("obsoleter", "2.0-1")))
    refused = Unmet("obsoleter", "2.0-1", "Removes", "the protected package obsoleted")
    assert alone.unmet == (() if IS_5 else (refused,))


def test_what_may_not_move_may_be_more_than_one_argument_of_a_process_holds(dnf: ScriptedManager) -> None:
    many = tuple(f"{'quite-a-long-name-' * 13}{number}" for number in range(600))
    answer = dnf.resolve(Question(security=True, include=("plain",), exclude=("secure",), block=many))
    assert answer.message == ""
    moved = naming.moved(answer.changes)
    assert moved["plain"] == "1.1-1"
    assert "secure" not in moved


@pytest.mark.parametrize("line", ["debuglevel=0", "errorlevel=0"])
def test_how_much_dnf_is_told_to_say_changes_no_answer(lab: DnfLab, dnf: ScriptedManager, line: str) -> None:
    before = dnf.resolve(Question())
    configuration = lab.root / "etc/dnf/dnf.conf"
    configuration.write_text(f"{configuration.read_text()}{line}\n")
    assert dnf.resolve(Question()) == before
