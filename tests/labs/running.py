"""A small machine as the system that runs: without ``--root``, the lab's root over this one's."""

import subprocess
from pathlib import Path

from reconciler.managers.scripts import PatchScript

# A file system of this process alone: the lab's root over this machine's, and what is written goes to memory.
_SYSTEM = """
set -e
mount -t tmpfs tmpfs "$1"
# A layer cannot be within another one.
mkdir "$1/upper" "$1/work" "$1/root"
cp -a "$2" "$1/lab"
mount -t overlay overlay -o "lowerdir=$1/lab:/,upperdir=$1/upper,workdir=$1/work" "$1/root"
for folder in proc sys dev; do mount --rbind "/$folder" "$1/root/$folder"; done
mount --bind "$3" "$1/root/mnt"
mkdir -p "$1/root/dev/shm"
# What no system may be without, says Debian's own zypper where it is a newer one; here nobody has it.
rm -f "$1/root/etc/zypp/systemCheck"
exec chroot "$1/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root sh -c "$4" "$5"
"""


def run_inside(root: Path, script: PatchScript, tmp_path: Path, commands: str) -> Path:
    """Run commands in a machine, with the script as ``patch`` and a folder for results as ``/mnt``.

    Args:
        root: Of the lab.
        script: The patch script.
        tmp_path: For what is made here, ``results`` among it.
        commands: In ``sh``.

    Returns:
        The folder of results.
    """
    results, scratch = tmp_path / "results", tmp_path / "scratch"
    results.mkdir()
    (results / "script").write_bytes(script.content)
    scratch.mkdir()
    text = f'patch() {{ sh -c "$(cat /mnt/script)" {script.name} "$@"; }}\n{commands}'
    subprocess.run(
        [
            "unshare", "-m", "sh", "-c", _SYSTEM, "sh", str(scratch), str(root), str(results), text,
            script.name,
        ],
        stdin=subprocess.DEVNULL, capture_output=True, check=True,
    )  # fmt: skip
    return results
