#!/bin/sh
# Every mistake of the policy, beside its line: check.sh github, check.sh forgejo, or check.sh gitlab FILE
set -eu
PATH=${PATCHLEDGER_VENV:-$HOME/.patchledger-ci}/bin:$PATH
case ${1:-} in
gitlab)
    # The report is for the merge request, the text for whoever reads the job.
    status=0
    patchledger policy check --format gitlab >"$2" 2>/dev/null || status=$?
    patchledger policy check
    exit "$status"
    ;;
github | forgejo)
    patchledger policy check --format github
    ;;
*)
    printf 'check: %s is no forge that is known\n' "${1:-nothing}" >&2
    exit 2
    ;;
esac
