#!/bin/sh
# Shows the impact on the pull request as one comment, which later runs update: comment.sh github|gitlab|forgejo
# TOKEN: may comment; it stands in no argument list
# COMMENT_AUTHOR: whose comment is looked for, since anybody may write one with our mark
# PULL_REQUEST: its number (GitHub, Forgejo)
set -eu
out=${IMPACT_DIR:-impact}
fail() {
    printf 'comment: %s\n' "$*" >&2
    exit 1
}

# ask METHOD URL [FILE]: leaves what the forge answers in answer.json
ask() {
    status=$(printf '%s\n' "$header" | curl --silent --show-error --max-time 60 --request "$1" --header @- \
        --header 'Accept: application/json' --header 'Content-Type: application/json' \
        ${3:+--data-binary "@$3"} --output "$out/answer.json" --write-out '%{http_code}' "$2") ||
        fail "$1 $2: the forge does not answer"
    case $status in
    2??) ;;
    *) fail "$1 $2: the forge answers $status: $(tr -cd '[:print:]' <"$out/answer.json" | cut -c 1-300)" ;;
    esac
}

# field NAME: of the object in answer.json
field() {
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1], encoding="utf-8"))[sys.argv[2]])' \
        "$out/answer.json" "$1"
}

case ${1:-} in
github | forgejo)
    issues=$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/issues
    comments=$issues/$PULL_REQUEST/comments
    comment=$issues/comments
    change=PATCH
    ;;
gitlab)
    comments=$CI_API_V4_URL/projects/$CI_PROJECT_ID/merge_requests/$CI_MERGE_REQUEST_IID/notes
    comment=$comments
    change=PUT
    ;;
*) fail "${1:-nothing} is no forge that is known" ;;
esac
case $1 in
github) header="Authorization: Bearer $TOKEN" author=${COMMENT_AUTHOR:-github-actions[bot]} ;;
forgejo) header="Authorization: token $TOKEN" author=${COMMENT_AUTHOR:-forgejo-actions} ;;
gitlab)
    header="PRIVATE-TOKEN: $TOKEN" author=${COMMENT_AUTHOR:-}
    if [ -z "$author" ]; then
        ask GET "$CI_API_V4_URL/user"
        author=$(field username)
    fi
    ;;
esac

mark=$(sed -n 1p "$out/impact.md")
found="" page=1
: >"$out/before.json"
# The pages end with an empty one; a forge that knows no pages answers the same again.
while [ -z "$found" ] && [ "$page" -le 100 ]; do
    ask GET "$comments?per_page=100&sort=asc&page=$page"
    if cmp -s "$out/answer.json" "$out/before.json"; then
        break
    fi
    found=$(
        python3 - "$out/answer.json" "$mark" "$author" <<'PYTHON'
import json
import sys

path, mark, author = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    comments = json.load(file)
for one in comments:
    who = one.get("user") or one.get("author") or {}
    if one["body"].startswith(mark) and author in (who.get("login"), who.get("username")):
        print(int(one["id"]))
        break
else:
    print("" if comments else "none")
PYTHON
    )
    mv "$out/answer.json" "$out/before.json"
    page=$((page + 1))
done

python3 -c 'import json, sys; print(json.dumps({"body": open(sys.argv[1], encoding="utf-8").read()}))' \
    "$out/impact.md" >"$out/body.json"
case $found in
'' | none) ask POST "$comments" "$out/body.json" ;;
*) ask "$change" "$comment/$found" "$out/body.json" ;;
esac
rm -f -- "$out/answer.json" "$out/before.json" "$out/body.json"
