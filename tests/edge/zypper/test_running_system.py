"""The same without ``--root``: a machine of its own, over the lab's root, as the system that runs."""

from pathlib import Path

from reconciler.managers.scripts import PatchScript
from reconciler.managers.zypper import ZYPPER
from reconciler.planning.facts.observation import RebootNeed
from tests.edge.zypper.test_observe import NOW
from tests.labs.running import run_inside
from tests.labs.zypper import ZypperLab
from tests.managers.told import parse_answer, parse_observe


def test_a_machine_is_observed_planned_and_patched(
    lab: ZypperLab, script: PatchScript, tmp_path: Path
) -> None:
    lab.lock("lima")
    locks = lab.locks.read_text()
    results = run_inside(
        lab.root,
        script,
        tmp_path,
        """
        state() { find /etc/zypp /var/lib/zypp /var/cache/zypp -type f -exec stat -c '%n %Y %s' {} + | sort; }
        mkdir /var/cache/ours
        state >/mnt/before
        patch --observe --cache /var/cache/ours >/mnt/observe
        patch --dry-run --security --exclude secure --cache /var/cache/ours >/mnt/answer
        state >/mnt/after
        code=0
        patch --apply --install rebooting:noarch=1.1-1 --exclude secure >/mnt/apply || code=$?
        echo "$code" >/mnt/code
        cat /etc/zypp/locks >/mnt/locks
        patch --observe --cache /var/cache/ours >/mnt/again
        """,
    )
    text = {path.name: path.read_text() for path in results.iterdir()}
    assert text["before"] == text["after"]
    seen = {one.name: one for one in parse_observe(ZYPPER, text["observe"], NOW).installed}
    assert seen["lima"].held
    answer = parse_answer(ZYPPER, text["answer"])
    assert {change.name for change in answer.changes} == {"newdep", "newdep-lib", "rebooting", "superseded"}
    assert text["code"] == "11\n"
    assert text["locks"] == locks
    again = parse_observe(ZYPPER, text["again"], NOW)
    assert {one.version for one in again.installed if one.name == "rebooting"} == {"1.1-1"}
    assert again.reboot.need is RebootNeed.REQUIRED
