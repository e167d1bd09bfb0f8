"""The samples of every option: of a Policy, and of all that ``setup`` and ``config.yaml`` can be told."""

from typing import Any

from reconciler.host.install.answers import answers_schema
from reconciler.policy.documents import Policy
from reconciler.policy.sample import Sample, sample_text
from reconciler.policy.schema import of_model

_DIGEST = "sha256:" + "0123456789abcdef" * 4

_POLICY = Sample(
    head="Every setting of a Policy, as it is by default, or with an example where that is no value. Take the"
    " # away from what this policy is to say. The page “policy” of the reference explains each.",
    written={
        "kind": "Policy",
        "name": "every-option",
        "description": "All that a Policy can say; it says nothing yet.",
    },
    examples={
        "priority": 10,
        "match.name": "web-*",
        "match.labels": {"env": "production", "role": ["web", "proxy"]},
        "match.os": ["debian-12", "ubuntu"],
        "match.manager": "apt",
        "match.guest_of": "pve1",
        "match.not": {"labels": {"canary": "true"}},
        "schedule": ["sunday-night"],
        "refresh.may_be_missing": "marked",
        "deadline.critical": "2d",
        "deadline.security": "14d",
        "deadline.other": "30d",
        "security_sources": ["o=Kali,n=kali-*"],
        "sources.only": ["Debian:*"],
        "sources.except": ["backports"],
        "allow_removals": ["libold*"],
        "restart_services.never": ["postgresql.service"],
        "health.units": ["nginx.service"],
        "health.tcp": ["localhost:443"],
        "health.http": ["https://localhost/health"],
        "concurrency.group": "web",
        "concurrency.slots": 2,
        "rollout.name": "weekly",
        "rollout.ring": "canary",
        "announce": "1d",
        "notify": [{"to": "ops", "on": ["failed", "recovered"]}],
        "scripts": {"apt-update.sh": _DIGEST},
    },
    alternatives={},
)

_SETUP = Sample(
    head="Every answer of `patchledger setup --answers FILE`, as it is by default, or with an example where"
    " that is no value. Take the # away from what is to be said. All but `updaters`, and the address of a"
    " notifier, stands in config.yaml in the same form. The page “configuration”"
    " of the reference explains each.",
    written={
        "host": "web-01",
        "policy.remote": "git@git.example.org:ops/policy.git",
        "reports.remote": "git@git.example.org:ops/reports.git",
    },
    examples={
        "labels": {"env": "production", "role": "web"},
        "reports.signing_key": "/etc/patchledger/report_key",
        "git.known_hosts": "/etc/patchledger/known_hosts",
        "git.identity": "/etc/patchledger/id_ed25519",
        "git.ca_file": "/etc/ssl/certs/our-authority.pem",
        "git.client_certificate": "/etc/patchledger/client.pem",
        "git.client_key": "/etc/patchledger/client.key",
        "git.credential": "/etc/patchledger/git-token",
        "trust.mode": "signed",
        "trust.allowed_signers": "/etc/patchledger/allowed_signers",
        "trust.repository": "ops/policy",
        "trust.revoked": "/etc/patchledger/revoked",
        "trust.forge.key": "/etc/patchledger/forge.key",
        "trust.forge.accounts": ["ada@example.org"],
        "trust.max_head_age": "30d",
        "trust.floor": "0123456789abcdef0123456789abcdef01234567",
        "notifiers": {
            "ops": {"address_file": "/root/ops-url", "keep": "credential"},
            "chat": {"file": "/etc/patchledger/secrets/chat"},
            "board": {"credential": "notifier-board"},
            "pager": {"address": "json://pager.example.org/"},
        },
        "proposals.forge": "forgejo",
        "proposals.api": "https://git.example.org/api/v1",
        "proposals.repository": "ops/policy",
        "proposals.credential": "forge-token",
        "proposals.file": "/etc/patchledger/secrets/forge-token",
        "proposals.signing_key": "/etc/patchledger/proposals_key",
        "root": "/srv/chroot",
        "manager": "apt",
        "environment": {"https_proxy": "http://proxy.example.org:3128"},
        "allow_policy_scripts": [_DIGEST],
        "guests.from": ["proxmox"],
        "guests.only.ids": ["101", "102"],
        "guests.only.tags": ["patched"],
        "guests.except.ids": ["900"],
        "guests.except.tags": ["by-hand"],
        "guests.labels": {"101": {"role": "web"}},
        "guests.environment": {"https_proxy": "http://proxy.example.org:3128"},
        "motd": "/run/motd.d/patchledger",
        "metrics": "/var/lib/prometheus/node-exporter/patchledger.prom",
    },
    alternatives={"proposals.file": "credential", "guests.except": "only"},
)


def policy_sample() -> str:
    """Return a Policy with every setting as a comment."""
    return sample_text(of_model(Policy), _POLICY)


def setup_sample() -> str:
    """Return an answers file with every answer, those that are not needed as a comment."""
    schema: dict[str, Any] = answers_schema()
    return sample_text(schema, _SETUP)
