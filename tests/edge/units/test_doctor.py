"""``doctor`` on a booted machine: units, timer, credentials and other updaters as systemd has them."""

import json

from tests.edge.units.conftest import PASSWORD, Host


def examined(host: Host, *options: str) -> tuple[dict[str, list[str]], str]:
    """Return messages by level, and all hints."""
    said = host.patchledger("doctor", "--format", "json", *options, check=False)
    assert PASSWORD not in said
    levels: dict[str, list[str]] = {}
    found = json.loads(said)["findings"]
    for one in found:
        levels.setdefault(one["level"], []).append(one["message"])
    return levels, " ".join(one["hint"] for one in found)


def test_what_systemd_knows_is_told(host: Host) -> None:
    found, hints = examined(host)
    assert "problem" not in found
    assert "ops: the credential ops decrypts" in found["ok"]
    assert "ops answers" in found["ok"]
    assert "patchledger.timer is not enabled and started" in found["warning"]
    assert any(
        message.startswith("packagekit-offline updates this machine too") for message in found["warning"]
    )
    assert "systemctl mask --now packagekit-offline-update.service" in hints

    host.run("systemctl", "mask", "packagekit-offline-update.service")
    host.run("systemctl", "enable", "--now", "patchledger.timer")
    host.run("systemctl", "start", "patchledger.service")
    found, _ = examined(host)
    assert "nothing else updates this machine by itself" in found["ok"]
    assert any(message.startswith("the next tick is at ") for message in found["ok"])
    assert any(message.startswith("the last tick ended well at ") for message in found["ok"])


def test_a_unit_that_does_not_load_the_credential_is_found(host: Host) -> None:
    unit = "/etc/systemd/system/patchledger.service"
    text = host.run("cat", unit)
    host.run("tee", unit, stdin="".join(line for line in text.splitlines(True) if "Credential" not in line))
    found, _ = examined(host)
    assert found["problem"] == [f"ops: {unit} does not load the credential ops"]
    host.run("tee", unit, stdin=text)


def test_a_cloned_machine_has_lost_its_secrets(host: Host) -> None:
    """The key of a machine is bound to its id: that is how a clone looks, and how a reinstalled host does."""
    host.run("tee", "/etc/machine-id", stdin="0123456789abcdef0123456789abcdef\n")
    host.reboot()
    host.run("systemctl", "start", "patchledger.service", check=False)
    assert host.show("patchledger.service", "ExecMainStatus") == "243"
    found, hints = examined(host, "--offline")
    lost, failed = found["problem"]
    assert lost.startswith("ops: the credential ops cannot be had: ")
    assert "does not decrypt" in lost
    assert "a credential could not be loaded" in failed
    assert "encrypt it again here" in hints
