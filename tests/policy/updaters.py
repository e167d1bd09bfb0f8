"""Configurations of other updaters: the keys that distributions ship, written anew and shorter."""

from collections.abc import Mapping
from datetime import date

from reconciler.policy.conversion import Converted, Machine, yaml_of
from reconciler.policy.documents import PackageException, Policy, Schedule
from reconciler.policy.load import PolicyFile, Revision, load
from reconciler.policy.overlaps import check_overlaps
from reconciler.policy.problems import Problem

BOOKWORM = Machine("debian", "12", "bookworm", "Europe/Berlin", date(2026, 11, 29))
JAMMY = Machine("ubuntu", "22.04", "jammy", "UTC", date(2026, 11, 29))
FEDORA = Machine("fedora", "42", "", "UTC", date(2026, 11, 29))

DEBIAN = """\
// Which packages are upgraded: keyword=value,...
//   ${distro_codename}   for instance "bookworm"
Unattended-Upgrade::Origins-Pattern {
//      "origin=Debian,codename=${distro_codename}-updates";
        "origin=Debian,codename=${distro_codename},label=Debian";
        "origin=Debian,codename=${distro_codename},label=Debian-Security";
        "origin=Debian,codename=${distro_codename}-security,label=Debian-Security";

//      "o=Debian Backports,a=${distro_codename}-backports,l=Debian Backports";
};

Unattended-Upgrade::Package-Blacklist {
//  "linux-";
//  "libc6$";
//  "(lib)?xen(store)?";
};

//Unattended-Upgrade::MinimalSteps "true";
//Unattended-Upgrade::Mail "";
//Unattended-Upgrade::Automatic-Reboot "false";
//Acquire::http::Dl-Limit "70";
"""

UBUNTU = """\
Unattended-Upgrade::Allowed-Origins {
        "${distro_id}:${distro_codename}";
\t"${distro_id}:${distro_codename}-security";
\t"${distro_id}ESMApps:${distro_codename}-apps-security";
\t"${distro_id}ESM:${distro_codename}-infra-security";
//\t"${distro_id}:${distro_codename}-updates";
//\t"${distro_id}:${distro_codename}-backports";
};
Unattended-Upgrade::Package-Blacklist {
//  "linux-";
};
Unattended-Upgrade::DevRelease "auto";
// Unattended-Upgrade::Mail "";
"""

PERIODIC = """\
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
"""

DNF4 = """\
[commands]
#  default or security
upgrade_type = default
random_sleep = 0
network_online_timeout = 60
download_updates = yes
apply_updates = no
reboot = never
reboot_command = "shutdown -r +5 'Rebooting'"

[emitters]
# system_name = my-host
emit_via = stdio
send_error_messages = no

[email]
email_from = root@example.com
email_to = root
email_host = localhost

[command]
# command_format = "cat"

[command_email]
email_from = root@example.com
email_to = root

[base]
# overrides dnf.conf
debuglevel = 1
"""

DNF5 = """\
[commands]
apply_updates = no
download_updates = yes
network_online_timeout = 60
random_sleep = 0
upgrade_type = default
reboot = never
reboot_command = "shutdown -r +5 'Rebooting'"

[emitters]
emit_via = stdio
emit_no_updates = no

[email]
email_from = root
email_port = 25
email_tls = no

[base]
"""


def revision_of(converted: Converted | Problem) -> Revision:
    """Load documents as a host does, after they were written and with nothing wrong."""
    assert isinstance(converted, Converted), converted
    files = [
        PolicyFile(path, "100644", yaml_of(document).encode())
        for path, document in converted.documents.items()
    ]
    revision = load(files)
    assert isinstance(revision, Revision), revision
    assert (revision.warnings, check_overlaps(revision)) == ((), ((), ()))
    return revision


def policy_of(converted: Converted | Problem) -> Policy:
    (placed,) = revision_of(converted).policies
    return placed.value


def schedule_of(converted: Converted | Problem) -> Schedule:
    (placed,) = revision_of(converted).schedules
    return placed.value


def exceptions_of(converted: Converted | Problem) -> Mapping[str, PackageException]:
    return {placed.value.name: placed.value for placed in revision_of(converted).exceptions}


def told(converted: Converted | Problem) -> list[str]:
    assert isinstance(converted, Converted), converted
    return [str(problem) for problem in converted.left]
