#!/bin/sh
# Keeps a pull request open for each plan that waits for an approval: propose.sh github|gitlab|forgejo
# TOKEN: may push proposals/* and open pull requests, and merge nothing
# REPORTS: the report repository
# REPORTS_TOKEN: may read policy and reports by https, where TOKEN may not read the reports; on another server than the
# policy's they are read with this, or with nothing: TOKEN, which may push, is given to no other server
# ALLOWED_SIGNERS, REPOSITORY_NAME: where the policy is signed, as on a host: the list itself, and what the policy calls itself
# POLICY, POLICY_REF: address and branch of the policy, where it is not this repository's
# PROPOSE: more words, such as --max-open 10
set -eu
umask 077
PATH=${PATCHLEDGER_VENV:-$HOME/.patchledger-ci}/bin:$PATH
: "${TOKEN:?is not set}" "${REPORTS:?is not set}"
folder=$(mktemp -d)
trap 'rm -rf -- "$folder"' EXIT
printf '%s\n' "$TOKEN" >"$folder/token"
printf '%s\n' "${REPORTS_TOKEN:-$TOKEN}" >"$folder/read-token"
printf '%s\n' "${ALLOWED_SIGNERS:-}" >"$folder/allowed_signers"
python3 - "$1" "$folder" >"$folder/config.yaml" <<'PYTHON'
import json
import os
import sys
from urllib.parse import urlsplit

forge, folder = sys.argv[1:]
known = os.environ
if forge == "gitlab":
    server, repository, branch = "CI_SERVER_URL", "CI_PROJECT_PATH", "CI_DEFAULT_BRANCH"
    api = known["CI_API_V4_URL"]
else:
    server, repository, branch = "GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_REF_NAME"
    api = known["GITHUB_API_URL"]
address = known.get("POLICY") or f"{known[server]}/{known[repository]}.git"
told = {
    "host": "proposals",
    "policy": {"remote": address, "ref": known.get("POLICY_REF") or known.get(branch) or "main"},
    "reports": {"remote": known["REPORTS"]},
    "git": {"credential": f"{folder}/read-token"},
    "proposals": {"forge": forge, "api": api, "repository": known[repository], "file": f"{folder}/token"},
    "state_dir": f"{folder}/state",
    "log_dir": f"{folder}/log",
}
policy, reports = (urlsplit(one) for one in (address, known["REPORTS"]))
is_elsewhere = (policy.scheme, policy.hostname, policy.port) != (reports.scheme, reports.hostname, reports.port)
if reports.scheme in ("http", "https") and is_elsewhere and not known.get("REPORTS_TOKEN"):
    del told["git"]
    print("propose: REPORTS is on another server, which is not given TOKEN: see REPORTS_TOKEN", file=sys.stderr)
if known.get("ALLOWED_SIGNERS"):
    told["trust"] = {
        "mode": "signed",
        "allowed_signers": f"{folder}/allowed_signers",
        "repository": known["REPOSITORY_NAME"],
    }
print(json.dumps(told))
PYTHON
# shellcheck disable=SC2086 # several words
patchledger --config "$folder/config.yaml" approve --propose ${PROPOSE:-}
