"""A package transaction survives what it does to us, and what is done to it."""

from reconciler.planning.facts.exit_codes import REBOOT
from reconciler.planning.gates.reboot import has_rebooted
from tests.edge.systemd.conftest import SECRET, Site

REBOOT_IN = (
    "from datetime import timedelta; from reconciler.host.machine.reboot import request_reboot;"
    "request_reboot(notice=timedelta(minutes={}), message='a test')"
)
IS_SHUTTING_DOWN = (
    "import pathlib, subprocess;"
    "said = subprocess.run(['systemctl', 'is-system-running'], capture_output=True).stdout;"
    "print(pathlib.Path('/run/systemd/shutdown/scheduled').exists() or b'stopping' in said)"
)
BOOT_ID = "from reconciler.host.machine import identity; print(identity.boot_id())"


def assert_done(site: Site, instance: str) -> None:
    """The package is upgraded, and whoever comes later can read so."""
    site.wait(instance)
    assert site.state(instance.partition("-")[2]) == "ii 1.1"
    result = site.result(instance)
    assert (result["exit_code"], result["native_code"], result["is_finished"]) == (REBOOT, 0, True)
    assert not site.is_at_work(instance)


def test_a_package_may_restart_the_unit_that_installs_it(site: Site) -> None:
    site.machine.run("systemctl", "start", "tick@service-alone.service", check=False)
    assert_done(site, "service-alone")
    assert (site.machine.lab / "service-alone.found").read_text() == "True\n", "the restarted tick found it"
    assert (site.machine.lab / "alone.sandbox").read_text() == "NoNewPrivs:\t0\n", "no sandbox is inherited"


def test_as_a_child_the_package_manager_dies_with_the_unit(site: Site) -> None:
    """Why it must be a service: the stop of a unit kills its whole control group, sessions or not."""
    site.machine.run("systemctl", "start", "tick@child-caught.service", check=False)
    site.machine.run("systemctl", "stop", "tick@child-caught.service")
    assert site.state("caught") in {"iF 1.1", "iU 1.1"}
    assert "dpkg was interrupted" in site.machine.run("apt-get", "-y", "install", "alone", check=False)
    assert not site.is_at_work("child-caught")
    result = site.result("child-caught")
    assert not result["is_finished"]
    site.machine.run("dpkg", "--configure", "-a")  # its postinst restarts a tick that finds nothing at work
    assert (site.machine.lab / "child-caught.found").read_text() == "False\n"


def test_killing_the_caller_leaves_the_transaction_at_work(site: Site) -> None:
    site.start("service-killed")
    tick = "tick@service-killed.service"
    site.machine.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", tick)
    assert site.is_at_work("service-killed")
    assert site.active(site.unit("service-killed")) == "activating"
    site.go_on("service-killed")
    assert_done(site, "service-killed")
    assert not (site.machine.lab / "service-killed.ended").exists(), "nobody waited for it"
    assert site.unit("service-killed") not in site.machine.run("systemctl", "list-units", "--all")


def test_nobody_can_read_the_environment_or_the_script(site: Site) -> None:
    site.start("service-private")
    unit = site.unit("service-private")
    shown = [
        site.machine.run("systemctl", "show", unit),
        site.machine.run("systemctl", "cat", unit),
        site.machine.run("journalctl", "--no-pager", "--output=export"),
        site.machine.run("setpriv", "--reuid=nobody", "ps", "axeww"),
        site.machine.run("ps", "axww"),
        site.machine.run("grep", "-rs", "hunter", "/run/systemd", "/var/lib/lab", "/tmp", check=False),  # noqa: S108 - the machine's
    ]
    assert unit in shown[2]
    assert "service-private" in shown[3]
    assert not [text for text in shown if SECRET.split()[0] in text]
    assert not [text for text in shown if "begin lab" in text]
    site.go_on("service-private")
    assert_done(site, "service-private")


def test_stopping_the_service_waits_for_its_end(site: Site) -> None:
    site.start("service-stopped")
    unit = site.unit("service-stopped")
    site.machine.run("systemctl", "stop", "--no-block", unit)
    assert "deactivating" in site.states(unit)
    assert site.is_at_work("service-stopped")
    site.go_on("service-stopped")
    assert_done(site, "service-stopped")


def test_a_new_systemd_and_a_lost_message_bus_are_not_the_end(site: Site) -> None:
    site.start("service-unheard")
    site.machine.run("systemctl", "daemon-reexec")
    site.machine.run("systemctl", "kill", "--signal=KILL", "dbus.service")
    assert site.is_at_work("service-unheard")
    assert site.active("tick@service-unheard.service") == "activating", "the tick waits on"
    site.go_on("service-unheard")
    assert_done(site, "service-unheard")
    site.machine.run("systemctl", "start", "tick@service-unheard.service")  # or waits for the one at work
    assert (site.machine.lab / "service-unheard.ended").exists()


def test_a_reboot_is_announced_and_can_be_called_off(site: Site) -> None:
    assert site.machine.evaluate(IS_SHUTTING_DOWN) == "False"
    site.machine.evaluate(REBOOT_IN.format(7))
    assert site.machine.evaluate(IS_SHUTTING_DOWN) == "True"
    assert "MODE=reboot" in site.machine.run("cat", "/run/systemd/shutdown/scheduled")
    site.machine.run("shutdown", "-c")
    assert site.machine.evaluate(IS_SHUTTING_DOWN) == "False"


def test_a_reboot_waits_for_the_transaction_and_is_proven_by_the_boot_id(site: Site) -> None:
    before = site.machine.evaluate(BOOT_ID)
    site.start("service-rebooting")
    unit = site.unit("service-rebooting")
    site.machine.evaluate(REBOOT_IN.format(0))
    assert "deactivating" in site.states(unit), "the shutdown has come to it"
    assert site.machine.evaluate(IS_SHUTTING_DOWN) == "True"
    assert site.is_at_work("service-rebooting")
    assert not has_rebooted(before, site.machine.evaluate(BOOT_ID))
    site.go_on("service-rebooting")
    site.machine.wait_until_booted()
    assert has_rebooted(before, site.machine.evaluate(BOOT_ID))
    assert site.machine.evaluate(IS_SHUTTING_DOWN) == "False"
    assert_done(site, "service-rebooting")
