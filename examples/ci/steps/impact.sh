#!/bin/sh
# What this branch does to the fleet, into the folder impact/; what is forbidden is left for gate.sh to say, so that
# the comment is written first.
# TARGET_BRANCH: that it is to be merged into
# REPORTS: report repository with the branch fleet that `patchledger fleet publish` keeps
# REPORTS_TOKEN, REPORTS_USER: with which git reads it by https, where it is not public
# FORBID: words of `policy impact --forbid`, such as lost-windows,ambiguous; may be empty
set -eu
PATH=${PATCHLEDGER_VENV:-$HOME/.patchledger-ci}/bin:$PATH
: "${TARGET_BRANCH:?is not set}" "${REPORTS:?is not set}"
out=${IMPACT_DIR:-impact}
rm -rf -- "$out"
mkdir -- "$out"

# In a repository of its own, since the credentials of the checkout are for the checkout. The token is handed over by a
# helper, and stands in no argument list.
git init --quiet --bare "$out/reports.git"
# shellcheck disable=SC2016 # git's shell is to read the variables
token='!f() { [ "$1" != get ] || printf "username=%s\npassword=%s\n" "${REPORTS_USER:-x-access-token}" "$REPORTS_TOKEN"; }; f'
GIT_TERMINAL_PROMPT=0 git -C "$out/reports.git" -c credential.helper= ${REPORTS_TOKEN:+-c "credential.helper=$token"} \
    fetch --quiet --depth=1 "$REPORTS" refs/heads/fleet
git -C "$out/reports.git" show FETCH_HEAD:summary.json >"$out/summary.json"
rm -rf -- "$out/reports.git"

# Against where the branch began: what was merged into the other branch since is nothing that this one does.
git fetch --quiet origin "+refs/heads/$TARGET_BRANCH:refs/remotes/origin/$TARGET_BRANCH"
base=$(git merge-base "refs/remotes/origin/$TARGET_BRANCH" HEAD)
status=0
patchledger policy impact --base "$base" --head HEAD --summary "$out/summary.json" --output "$out" \
    ${FORBID:+--forbid "$FORBID"} || status=$?
[ -s "$out/impact.md" ] || exit "$status"
[ -z "${GITHUB_STEP_SUMMARY:-}" ] || cat "$out/impact.md" >>"$GITHUB_STEP_SUMMARY"
printf '%s\n' "$status" >"$out/status"
