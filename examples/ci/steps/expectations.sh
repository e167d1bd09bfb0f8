#!/bin/sh
# What the authors of the policy expect of it: expectations.sh [FILE], which then holds JUnit as well.
set -eu
PATH=${PATCHLEDGER_VENV:-$HOME/.patchledger-ci}/bin:$PATH
if [ ! -d expectations ]; then
    printf 'expectations: there is no folder expectations/, so nothing is expected\n' >&2
    exit 0
fi
if [ -n "${1:-}" ]; then
    patchledger policy test --format junit >"$1" 2>/dev/null || : # said by the next line, which decides
fi
patchledger policy test
