"""What nothing needs any more, on a small Debian: old kernels, and packages that once were needed."""

import platform
from collections.abc import Sequence

from tests.labs.apt import MAIN, AptLab, Deb

RUNNING = platform.release()
"""apt never lets the running kernel go, and what runs is this machine's."""


# Where a test measures /boot, a kernel has an image and makes an initramfs, as on a real machine.
MEASURED = "boot/measured"
IMAGE, INITRAMFS = 8, 15
"""In MiB."""
_POSTINST = f"""\
[ -e "$DPKG_ROOT/{MEASURED}" ] && [ "$1" = configure ] || exit 0
head -c {IMAGE}M /dev/zero >"$DPKG_ROOT/boot/vmlinuz-@" || exit 1
head -c {INITRAMFS}M /dev/zero >"$DPKG_ROOT/boot/initrd.img-@" || exit 1"""
_POSTRM = 'rm -f "$DPKG_ROOT/boot/vmlinuz-@" "$DPKG_ROOT/boot/initrd.img-@"'


def kernel(release: str, version: str) -> Deb:
    """Return a kernel as Debian names it."""
    scripts = {"postinst": _POSTINST.replace("@", release), "postrm": _POSTRM.replace("@", release)}
    return Deb(f"linux-image-{release}", version, fields={"Section": "kernel"}, scripts=scripts)


KERNELS: Sequence[Deb] = tuple(
    kernel(f"6.1.0-{number}-amd64", f"6.1.{number}-1") for number in (10, 11, 12, 13)
)
"""Four kernels, none of which runs; a meta package needs the newest."""
OLD_KERNELS = tuple(one.name for one in KERNELS[:-1])
"""Those that apt lets go: it keeps the one that runs and the newest."""


def unused(number: int) -> tuple[Deb, ...]:
    """Return so many packages, once installed for others."""
    return tuple(Deb(f"unused-{one:02}", "1.0") for one in range(number))


RULE = """\
APT::NeverAutoRemove { "^linux-image-[a-z0-9]*$"; };
APT::VersionedKernelPackages { "linux-.*"; ".*-modules"; };"""
"""What Debian configures of it."""


def arrange_kernels(lab: AptLab, *, rule: str = RULE, has_running: bool = True) -> None:
    """Install four kernels that a person did not ask for, the running one, and what needs the newest."""
    lab.configure(rule)
    running = (kernel(RUNNING, "1.0"),) if has_running else ()
    meta = Deb("linux-image-amd64", "6.1.13-1", fields={"Depends": KERNELS[-1].name})
    lab.publish(MAIN, *KERNELS, *running, meta)
    lab.refresh()
    lab.install(*KERNELS, *running, meta)
    lab.mark_auto(*(one.name for one in (*KERNELS, *running)))


def arrange_unused(lab: AptLab, *, before: int, by_update: int) -> None:
    """Install packages that nothing needs, and others that nothing needs once ``plain`` is updated."""
    packages = unused(before + by_update)
    needed = packages[before:]
    needs = {"Depends": ", ".join(one.name for one in needed)} if needed else {}
    needing = Deb("needing", "1.0", fields=needs)
    lab.publish(MAIN, *packages, Deb("needing", "1.1"))
    lab.refresh()
    lab.install(*packages, needing)
    lab.mark_auto(*(one.name for one in packages))
