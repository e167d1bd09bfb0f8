"""The same without ``--root``: a machine of its own, over the lab's root, as the system that runs."""

import subprocess
from pathlib import Path

from reconciler.managers.scripts import PatchScript
from reconciler.managers.zypper import ZYPPER
from reconciler.planning.facts.observation import RebootNeed
from tests.edge.zypper.test_observe import NOW
from tests.labs.zypper import ZypperLab
from tests.managers.told import parse_answer, parse_observe

# A file system of this process alone: the lab's root over this machine's, and what is written goes to memory.
SYSTEM = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=$2:/,upperdir=$1/upper,workdir=$1/work" "$1/root"
for folder in proc sys dev; do mount --rbind "/$folder" "$1/root/$folder"; done
mount --bind "$3" "$1/root/mnt"
mkdir -p "$1/root/dev/shm"
# What no system may be without, says Debian's own zypper where it is a newer one; here nobody has it.
rm -f "$1/root/etc/zypp/systemCheck"
exec chroot "$1/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root sh -c "$4" zypper-update.sh
"""


def run_inside(lab: ZypperLab, script: PatchScript, tmp_path: Path, commands: str) -> Path:
    """Run commands inside, with the script as ``patch`` and a folder for results as ``/mnt``."""
    results = tmp_path / "results"
    results.mkdir()
    (results / "script").write_bytes(script.content)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    text = f'patch() {{ sh -c "$(cat /mnt/script)" zypper-update.sh "$@"; }}\n{commands}'
    subprocess.run(
        ["unshare", "-m", "sh", "-c", SYSTEM, "sh", str(scratch), str(lab.root), str(results), text],
        stdin=subprocess.DEVNULL, capture_output=True, check=True,
    )  # fmt: skip
    return results


def test_a_machine_is_observed_planned_and_patched(
    lab: ZypperLab, script: PatchScript, tmp_path: Path
) -> None:
    lab.lock("lima")
    locks = lab.locks.read_text()
    results = run_inside(
        lab,
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
