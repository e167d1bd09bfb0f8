#!/bin/sh
# A branch that says it approves may do nothing else: approve/... and proposals/..., as `patchledger approve` calls them.
# BRANCH: its name; TARGET_BRANCH: that it is to be merged into
set -eu
PATH=${PATCHLEDGER_VENV:-$HOME/.patchledger-ci}/bin:$PATH
case ${BRANCH:?is not set} in
approve/* | proposals/*) ;;
*) exit 0 ;;
esac
git fetch --quiet origin "+refs/heads/$TARGET_BRANCH:refs/remotes/origin/$TARGET_BRANCH"
patchledger policy check --rev HEAD --only approvals --base "refs/remotes/origin/$TARGET_BRANCH"
