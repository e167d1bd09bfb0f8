#!/bin/sh
# Ends as impact.sh found: 0; 1 where something is forbidden; 3 where the policy is invalid.
set -eu
out=${IMPACT_DIR:-impact}
status=$(cat "$out/status")
case $status in
0) printf 'gate: nothing of what is forbidden\n' ;;
1) printf 'gate: something is forbidden, and the step before the comment says what\n' >&2 ;;
3) printf 'gate: the policy is invalid\n' >&2 ;;
*) printf 'gate: the impact ended with %s\n' "$status" >&2 ;;
esac
exit "$status"
