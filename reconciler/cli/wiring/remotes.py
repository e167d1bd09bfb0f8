"""How remotes are reached and what the policy must show, as a configuration says: no more than that is built.

A command that reads other hosts' reports, or looks whether a remote answers, needs nothing else of a host.
"""

from reconciler.errors import ReconcilerError
from reconciler.gitops.git import GitAccess
from reconciler.gitops.signed_history import SigningRules, read_revocation
from reconciler.gitops.signed_reports import own_public_key
from reconciler.host.config import Config
from reconciler.policy.problems import Problem
from reconciler.policy.signers import NOTHING_REVOKED, Revocation, fingerprint_of_line


def signing_rules(config: Config) -> SigningRules | None:
    """Return who must have signed the policy, ``None`` where nobody need."""
    trust = config.trust
    if trust.mode == "none" or trust.allowed_signers is None:
        return None
    ref = followed(config) if trust.require_ref else ""
    key, accounts = (None, ()) if trust.forge is None else (trust.forge.key, trust.forge.accounts)
    return SigningRules(
        trust.allowed_signers,
        trust.revoked,
        ref,
        config.environment,
        key,
        frozenset(accounts),
        report_key(config),
    )


def followed(config: Config) -> str:
    """Return the branch of the policy that is followed, by its short name."""
    return config.policy.ref.removeprefix("refs/heads/")


def git_options(config: Config) -> GitAccess:
    """Return how git reaches the remotes of ``config``."""
    git = config.git
    return GitAccess(
        known_hosts=str(git.known_hosts or ""),
        identity=str(git.identity or ""),
        ca_file=str(git.ca_file or ""),
        client_certificate=str(git.client_certificate or ""),
        client_key=str(git.client_key or ""),
        credential=str(git.credential or ""),
        environment=config.environment,
    )


def report_key(config: Config) -> str:
    """Return the fingerprint of the key that signs this host's reports, empty where none does."""
    key = config.reports.signing_key
    public = "" if key is None else own_public_key(key)
    return fingerprint_of_line(public) if public else ""


def revocation(config: Config) -> Revocation:
    """Return which keys count no more; where that cannot be read, none does."""
    rules = signing_rules(config)
    if rules is None:
        return NOTHING_REVOKED
    try:
        return read_revocation(rules)
    except ReconcilerError as error:
        return Revocation(problems=(Problem(str(rules.revoked), 1, "", error.message, error.hint),))


def is_report_key_revoked(config: Config) -> bool:
    """Say whether the key that signs this host's reports counts no more."""
    key = report_key(config)
    return bool(key) and revocation(config).has(key)
