"""A tick in miniature, for machines of tests: it upgrades one package, unless it finds that at work.

    tick.py HOW-PACKAGE

HOW is ``service`` or ``child``: how the transaction is started. Its folder is ``/var/lib/lab/HOW-PACKAGE``.
A tick that comes when the folder is there says in ``/lab/HOW-PACKAGE.found`` whether it found the transaction
at work, and ends. One that has seen its transaction end makes ``/lab/HOW-PACKAGE.ended``.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler.targets.local import LocalTarget, as_child
from reconciler.targets.service import as_service

PATCH = r"""
SELF=lab
begin lab apt-get
make_work_dir
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
grep NoNewPrivs /proc/self/status >"/lab/$1.sandbox"
[ "$LAB_SECRET" = "$(cat /etc/lab/secret)" ] || refused "the environment is another" 1
act apply apt-get -y install "$1=1.1"
# shellcheck disable=SC2154 # act sets it
[ "$code" -eq 0 ] || finish "$SCRIPT_FAILED"
[ 'kept: ${HOME}' '=' "kept: \${HOME}" ] || refused "%n" 1
finish "$REBOOT"
"""
"""A patch script of the usual form. It ends badly where anybody expanded what is in it."""


def main(instance: str) -> None:
    """Be a tick."""
    how, _, package = instance.partition("-")
    secret = Path("/etc/lab/secret").read_text(encoding="utf-8")
    target = LocalTarget({"LAB_SECRET": secret}, starter={"service": as_service, "child": as_child}[how])
    folder = Path("/var/lib/lab") / instance
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        Path(f"/lab/{instance}.found").write_text(f"{target.is_at_work(folder)}\n", encoding="utf-8")
        return
    common = Path(__file__).parents[2] / "scripts/patch/common.sh"
    target.execute(common.read_bytes() + PATCH.encode(), "lab", [package], folder=folder)
    Path(f"/lab/{instance}.ended").touch()


if __name__ == "__main__":
    main(sys.argv[1])
