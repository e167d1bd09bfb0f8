#!/bin/sh
# Observe, refresh and dry-run apt on this machine, or on the root that APT_CONFIG names.
#
# Part of patchledger, and a plain tool as well:  sh apt-update.sh --dry-run --exclude nginx
# Contract: docs/reference/patch-scripts.md. In short:
#   - nothing but --refresh changes anything: apt-get is only ever called with --print-uris, which resolves as
#     usual, prints what it would do and ends; no lock is taken; all else reads files;
#   - no cache of apt's is written either: it works on its own copy, kept between runs with --cache;
#   - exclusions go into the resolver as a preferences file of this run alone, before the operator's own.

SELF=apt-update.sh
# shellcheck source=scripts/patch/common.sh
[ -n "${COMMON:-}" ] || . "$(dirname "$0")/common.sh"
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
unset APT_LISTCHANGES_FRONTEND 2>/dev/null

usage() {
    cat <<'EOF'
usage: apt-update.sh VERB [OPTION]...

verbs
  --observe              print what is installed, offered, configured and pending
  --dry-run              print what an upgrade would do; changes nothing
  --inputs               print the files and folders whose change can change any answer
  --refresh              read the package lists anew (apt-get update); the only verb that changes anything
  --help                 print this

options of --dry-run
  --full                 allow removals (dist-upgrade); without it nothing is removed
  --security             only what the distribution's security service offers; never removes
  --exclude A,B          these must not move (name or name:arch; may be repeated)
  --block A,B            these must neither move nor come in (may be repeated)
  --include A,B          with --security: these may move to what any source offers (may be repeated)
  --choose NAME=VERSION  take this available version instead of the newest (may be repeated)
  --only NAME=VERSION    instead of an upgrade: what installing this version alone would do, or why it cannot be

options of all verbs
  --cache DIR            keep apt's parsed package lists in this existing folder
  --root DIR             look at the system below this folder, a chroot or an image, instead of the running one

exit codes
  0 done             10 nothing to do          20 locked             21 lists unreachable or stale
  22 signature, key  23 no space               25 cannot resolve, or a removal was refused
  26 version gone     2 usage                   1 anything else
EOF
}

# --- arguments ---------------------------------------------------------------------------------------------

check_names() { # WHAT NAMES
    rest=$2,
    while [ -n "$rest" ]; do
        name=${rest%%,*}
        rest=${rest#*,}
        case $name in
            '' | *[!a-z0-9+.:-]* | [!a-z0-9]*) misuse "$1: '$name' is no package name" ;;
        esac
    done
}

check_choice() { # OPTION NAME=VERSION
    case $2 in
        *=*) check_names "$1" "${2%%=*}" ;;
        *) misuse "$1: '$2' is not NAME=VERSION" ;;
    esac
    case ${2#*=} in
        '' | *[!A-Za-z0-9.+:~-]* | [!A-Za-z0-9]*) misuse "$1: '${2#*=}' is no version" ;;
    esac
}

VERB=
FULL=
SECURITY=
EXCLUDE=
BLOCK=
INCLUDE=
CHOOSE=
ONLY=
CACHE=
BELOW=

verb() {
    [ -z "$VERB" ] || misuse "$VERB and $1 at once"
    VERB=$1
}

while [ $# -gt 0 ]; do
    case $1 in
        --exclude=* | --block=* | --include=* | --choose=* | --only=* | --cache=* | --root=*) option=${1%%=*} value=${1#*=} ;;
        --exclude | --block | --include | --choose | --only | --cache | --root)
            [ $# -gt 1 ] || misuse "$1 needs a value"
            option=$1 value=$2
            shift
            ;;
        *) option=$1 value= ;;
    esac
    case $option in
        --observe | --dry-run | --inputs | --refresh) verb "$option" ;;
        --download | --apply | --repair) misuse "$option: not in this version" ;;
        --help | -h)
            usage
            exit 0
            ;;
        --full) FULL=1 ;;
        --security) SECURITY=1 ;;
        --exclude)
            check_names --exclude "$value"
            EXCLUDE=$EXCLUDE${EXCLUDE:+,}$value
            ;;
        --block)
            check_names --block "$value"
            BLOCK=$BLOCK${BLOCK:+,}$value
            ;;
        --include)
            check_names --include "$value"
            INCLUDE=$INCLUDE${INCLUDE:+,}$value
            ;;
        --choose)
            check_choice --choose "$value"
            CHOOSE=$CHOOSE${CHOOSE:+,}$value
            ;;
        --only)
            [ -z "$ONLY" ] || misuse '--only twice'
            check_choice --only "$value"
            ONLY=$value
            ;;
        --cache)
            case $value in /*) CACHE=$value ;; *) misuse '--cache needs an absolute path' ;; esac
            [ -d "$CACHE" ] || misuse "--cache: $CACHE is no folder"
            ;;
        --root)
            case $value in *[\"\;\{\}]*) misuse '--root: apt cannot read a path with quotes, ; or braces' ;; esac
            case $value in /*) BELOW=${value%/} ;; *) misuse '--root needs an absolute path' ;; esac
            [ -e "$BELOW/var/lib/dpkg/status" ] || misuse "--root: there is no dpkg database below $value"
            ;;
        *) misuse "unknown argument '$option'; see --help" ;;
    esac
    shift
done
[ -n "$VERB" ] || misuse 'one of --observe, --dry-run, --inputs, --refresh is needed; see --help'
if [ "$VERB" != --dry-run ] && [ -n "$FULL$SECURITY$EXCLUDE$BLOCK$INCLUDE$CHOOSE$ONLY" ]; then
    misuse "$VERB takes no choice of packages"
fi

# --- the machine -------------------------------------------------------------------------------------------

begin apt apt-get apt-cache apt-config dpkg dpkg-query
workshop

# apt reads the file that APT_CONFIG names before all others, so that with another root nothing of this machine's
# configuration is read. A file the caller named comes first, and may say what is special about that root.
GIVEN=${APT_CONFIG:-}
if [ -n "$BELOW" ]; then
    {
        [ -z "$GIVEN" ] || cat "$GIVEN"
        printf 'Dir "%s/";\nDir::State::status "%s/var/lib/dpkg/status";\n' "$BELOW" "$BELOW"
    } >"$WORK/root.conf"
    room
    APT_CONFIG=$WORK/root.conf
    export APT_CONFIG
fi

# apt's own idea of its folders; apt-config quotes the values for the shell.
ROOT=/ STATUS='' LISTS='' ARCHIVES='' STATE='' MARKS='' PREFERENCES='' ETC='' NATIVE=''
eval "$(apt-config shell ROOT Dir/d STATUS Dir::State::status/f LISTS Dir::State::lists/d \
    ARCHIVES Dir::Cache::archives/d STATE Dir::State/d MARKS Dir::State::extended_states/f \
    PREFERENCES Dir::Etc::preferences/f ETC Dir::Etc/d NATIVE APT::Architecture 2>/dev/null)"
[ -n "$STATUS" ] || STATUS=/var/lib/dpkg/status
ROOT=${ROOT%/} LISTS=${LISTS%/} ARCHIVES=${ARCHIVES%/} STATE=${STATE%/}
ADMIN=${STATUS%/*}
[ -n "$NATIVE" ] || NATIVE=$(dpkg --print-architecture)

# Without --cache, parsed lists live as long as this run, and begin as a copy of the machine's own.
own_cache() {
    [ -z "$CACHE" ] || return 0
    CACHE=$WORK/cache
    mkdir "$CACHE"
    PKG='' SRC=''
    eval "$(apt-config shell PKG Dir::Cache::pkgcache/f SRC Dir::Cache::srcpkgcache/f 2>/dev/null)"
    [ ! -f "$PKG" ] || [ ! -r "$PKG" ] || cp -p "$PKG" "$CACHE/pkgcache.bin" 2>/dev/null
    [ ! -f "$SRC" ] || [ ! -r "$SRC" ] || cp -p "$SRC" "$CACHE/srcpkgcache.bin" 2>/dev/null
}

cached() { # COMMAND ARGUMENT...: run one of apt's with our own cache files, where there are any
    program=$1
    shift
    "$program" ${CACHE:+-o "Dir::Cache::pkgcache=$CACHE/pkgcache.bin"} \
        ${CACHE:+-o "Dir::Cache::srcpkgcache=$CACHE/srcpkgcache.bin"} "$@"
}

installed() {
    dpkg-query "--admindir=$ADMIN" -W -f \
        '${Package}\t${Architecture}\t${Version}\t${db:Status-Want}\t${db:Status-Eflag}\t${db:Status-Status}\t${Installed-Size}\n'
}

# name:arch of every package in $WORK/installed that is on the machine.
present() {
    awk -F '\t' '$6 != "not-installed" && $6 != "config-files" { print $1 ":" $2 }' "$WORK/installed"
}

policy() { # FILE-WITH-NAMES APT-OPTION...
    names=$1
    shift
    # shellcheck disable=SC2046 # one argument per name is wanted, and names hold no blanks
    cached apt-cache "$@" policy $(cat "$names")
}

# --- observe -----------------------------------------------------------------------------------------------

machine() {
    printf 'architecture=%s\nforeign=%s\n' "$NATIVE" \
        "$(dpkg "--admindir=$ADMIN" --print-foreign-architectures 2>/dev/null | tr '\n' ' ')"
    machine_facts
    printf 'apt=%s\ndpkg=%s\n' "$(apt-get --version | sed -n '1s/^apt \([^ ]*\).*/\1/p')" \
        "$(dpkg-query --version | sed -n '1s/.*version \([^ ]*[^ .]\)\.\{0,1\}\( .*\)\{0,1\}$/\1/p')"
}

marks() {
    [ ! -r "$MARKS" ] || cat "$MARKS"
}

# Of every signed release file: its name, then a field; all before the lists of checksums.
releases() {
    set -- "$LISTS"/*Release
    [ -e "$1" ] || return 0
    awk 'FNR == 1 { body = 0 }
        /^(MD5Sum|SHA1|SHA256|SHA512):/ { body = 1 }
        !body && /^(Origin|Label|Suite|Codename|Version|Date|Valid-Until):/ {
            name = FILENAME; sub(".*/", "", name); print name "\t" $0
        }' "$@"
}

# Changed and status-changed times: apt gives the files the server's time, so the second says when it came.
file_times() {
    set -- "$LISTS"/*Release "$STATE"/periodic/update-success-stamp "$STATE"/periodic/update-stamp
    for file in "$@"; do
        [ ! -e "$file" ] || stat -c '%Y %Z %n' "$file"
    done
}

journal() {
    for file in "$ADMIN"/updates/[0-9]*; do
        [ ! -e "$file" ] || printf '%s\n' "${file##*/}"
    done
}

locks() {
    lock_holders "$ADMIN/lock-frontend" "$ADMIN/lock" "$LISTS/lock" "$ARCHIVES/lock"
}

filesystems() {
    filesystems_of "$ARCHIVES" "${ROOT:-/}" "$ROOT/boot" "$ROOT/var"
}

reboot_required() {
    for folder in "$ROOT/run" "$ROOT/var/run"; do
        [ -e "$folder/reboot-required" ] || continue
        echo required
        [ ! -r "$folder/reboot-required.pkgs" ] || sort -u "$folder/reboot-required.pkgs"
        return
    done
}

# name:arch=version of everything newer than what is installed, from `apt-cache policy`.
newer() {
    awk '/^[^ ]/ { package = substr($0, 1, length($0) - 1); newer = 1; next }
        /^ \*\*\* / { newer = 0; next }
        newer && /^     [^ ]/ && ($2 > 0) { print package "=" $1 }' "$1"
}

# What an observation depends on, so that a caller can tell by stat(2) alone that nothing changed.
inputs() {
    printf '%s\n' "$STATUS" "$ADMIN/updates" "$MARKS" "$LISTS" "${ETC%/}" \
        "$ROOT/usr/share/keyrings" "$ROOT/etc/dpkg/dpkg.cfg.d" "$ROOT/boot" "$ROOT/etc/os-release" \
        "$ROOT/run/reboot-required" "$ROOT/var/run/reboot-required" \
        ${GIVEN:+"$GIVEN"}
}

observe() {
    own_cache
    section os os_release
    section machine machine
    section installed installed
    [ "$code" -eq 0 ] || finish "$OTHER"
    keep installed
    present >"$WORK/names"
    section automatic marks
    section sources cached apt-cache policy
    if [ -s "$WORK/names" ]; then
        section_policy "$WORK/names"
        newer "$WORK/out" >"$WORK/newer"
        show "$WORK/newer"
    fi
    section releases releases
    section times file_times
    section audit dpkg "--admindir=$ADMIN" --audit
    section journal journal
    section locks locks
    section filesystems filesystems
    section reboot reboot_required
    section clock clock
    finish "$OK"
}

section_policy() { # FILE-WITH-NAMES
    section policy policy "$1"
    [ "$code" -eq 0 ] || finish "$OTHER"
}

stanzas() {
    # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
    cached apt-cache show $(cat "$1")
}

show() { # FILE-WITH-NAME=VERSION
    [ ! -s "$1" ] || section available stanzas "$1"
}

# --- dry-run -----------------------------------------------------------------------------------------------

# Read names, or NAME=VERSION, one a line, and print those of installed packages as apt writes them: name:arch
# only where foreign. apt takes a name without an architecture for the native one alone, people mean all that are
# installed. With "all" as the argument, names of packages that are not installed are printed too.
as_apt_writes() { # [all]
    awk -F '\t' -v native="$NATIVE" -v every="${1:-}" 'FILENAME == ARGV[1] {
            arch = $2 == "all" ? native : $2; full = $1 (arch == native ? "" : ":" arch)
            have[$1] = have[$1] " " full; have[$1 ":" $2] = have[$1 ":" arch] = full
            next
        }
        /./ {
            name = version = $0; sub(/=.*/, "", name); version = substr($0, length(name) + 1)
            if (name in have) { n = split(have[name], found, " ") }
            else if (every) { n = 1; found[1] = name; sub(":(all|" native ")$", "", found[1]) }
            else n = 0
            for (i = 1; i <= n; i++) print found[i] version
        }' "$WORK/present" -
}

# Names that may not come in, those without an architecture in every one.
everywhere() { # COMMA-LIST
    foreign=$(dpkg "--admindir=$ADMIN" --print-foreign-architectures 2>/dev/null)
    for name in $(lines_of "$1" | as_apt_writes all); do
        printf '%s\n' "$name"
        case $name in *:*) continue ;; esac
        for arch in $foreign; do printf '%s:%s\n' "$name" "$arch"; done
    done
}

pin() { # NAME PIN PRIORITY
    printf 'Package: %s\nPin: %s\nPin-Priority: %s\n\n' "$1" "$2" "$3"
}

# Pins for single packages. A negative priority on every version leaves apt none to choose, so the package stays
# what it is; one that is not installed cannot come in, so that is for --block only.
package_pins() {
    for name in $(lines_of "$EXCLUDE" | as_apt_writes) $(everywhere "$BLOCK"); do
        pin "$name" 'release *' -1
    done
    while read -r choice; do
        pin "${choice%%=*}" "version ${choice#*=}" 32767
    done <"$WORK/choices"
}

# Security mode: keep every source of the security service where it is and put all others below the installed
# version (100), in the order they have among themselves, so that they can serve new dependencies and no
# upgrade. Sources that the operator switched off (0 and less) stay off. Reads `apt-cache policy`; also writes
# the security sources, as `apt-cache policy NAME` names them, to $WORK/security.
source_pins() {
    : >"$WORK/security"
    awk -v list="$WORK/security" '
        function flush() {
            if (line == "" || release ~ /(^|,)a=now(,|$)/) return
            n++; prio[n] = priority
            how[n] = release ~ /(^|,)[oanl]=/ ? "release " release : "origin \"" site "\""
            safe[n] = release ~ /(^|,)[an]=[^,]*-security(,|$)/ || release ~ /(^|,)l=Debian-Security(,|$)/
            if (safe[n]) print line > list
            else if (priority > 0) used[priority]
        }
        /^Pinned packages:/ { exit }
        /^ *-?[0-9]+ / { flush(); line = $0; sub(/^ *-?[0-9]+ /, "", line); priority = $1; release = site = "" }
        /^     release / { release = substr($0, 14) }
        /^     origin / { site = substr($0, 13) }
        END {
            flush()
            for (i = 1; i <= n; i++) if (safe[i]) stanza(how[i], prio[i])
            for (i = 1; i <= n; i++) if (!safe[i] && prio[i] > 0) {
                rank = 10; for (p in used) if (p + 0 < prio[i] + 0) rank++
                stanza(how[i], rank)
            }
        }
        function stanza(match_, priority_) {
            printf "Package: *\nPin: %s\nPin-Priority: %s\n\n", match_, priority_
        }' "$1"
}

# Installed packages that would now still go to a version of another source, since the operator pinned that
# package itself: they stay.
not_security() { # POLICY-OUTPUT
    awk 'FILENAME == ARGV[1] { security[$0]; next }
        FILENAME == ARGV[2] { name = $0; sub(/=.*/, "", name); chosen[name]; next }
        /^[^ ]/ { flush(); package = substr($0, 1, length($0) - 1); candidate = ""; newer = 1; good = moves = 0 }
        /^  Candidate: / { candidate = $2 }
        /^ \*\*\* / { newer = 0; mine = 0; next }
        /^     [^ ]/ { mine = newer && $1 == candidate; if (mine) moves = 1; next }
        mine && /^ *-?[0-9]+ / { line = $0; sub(/^ *-?[0-9]+ /, "", line); if (line in security) good = 1 }
        function flush() { if (moves && !good && !(package in chosen)) print package }
        END { flush() }' "$WORK/security" "$WORK/choices" "$1"
}

preferences() {
    cat "$WORK/pins" "$WORK/source-pins"
    [ ! -r "$PREFERENCES" ] || cat "$PREFERENCES"
}

security_pins() {
    cached apt-cache policy >"$WORK/sources" 2>/dev/null </dev/null
    source_pins "$WORK/sources" >"$WORK/source-pins"
    preferences >"$WORK/preferences"
    policy "$WORK/names" -o "Dir::Etc::preferences=$WORK/preferences" -o APT::Default-Release= \
        >"$WORK/candidates" 2>/dev/null </dev/null
    for name in $(not_security "$WORK/candidates"); do
        pin "$name" 'release *' -1
    done >>"$WORK/pins"
}

# Every chosen version must be on offer, else nothing is resolved: never the newest instead.
choices_exist() {
    # What is asked for alone is chosen as well, so that nothing else can want another version of it.
    lines_of "$CHOOSE,$ONLY" | as_apt_writes all | sort -u >"$WORK/choices"
    [ -s "$WORK/choices" ] || return 0
    sed 's/=.*//' "$WORK/choices" >"$WORK/chosen-names"
    policy "$WORK/chosen-names" >"$WORK/candidates" 2>/dev/null </dev/null
    awk 'FILENAME == ARGV[1] { if (/^[^ ]/) package = substr($0, 1, length($0) - 1)
            else if (/^( \*\*\*|    ) [^ ]/) { version = $1 == "***" ? $2 : $1; have[package "=" version] }
            next }
        !($0 in have) { print; missing = 1 }
        END { exit missing }' "$WORK/candidates" "$WORK/choices" >"$WORK/gone"
}

# What --security leaves to every source: the version that apt would choose without it, unless another is chosen.
include() {
    lines_of "$INCLUDE" | as_apt_writes >"$WORK/included-names"
    [ -s "$WORK/included-names" ] || return 0
    policy "$WORK/included-names" >"$WORK/candidates" 2>/dev/null </dev/null
    awk 'FILENAME == ARGV[1] { name = $0; sub(/=.*/, "", name); chosen[name]; next }
        /^[^ ]/ { package = substr($0, 1, length($0) - 1) }
        /^  Installed: / { installed = $2 }
        /^  Candidate: / && $2 != "(none)" && $2 != installed && !(package in chosen) {
            print package "=" $2 }' "$WORK/choices" "$WORK/candidates" >"$WORK/included"
    cat "$WORK/included" >>"$WORK/choices"
}

resolve() {
    # Hooks of the operator that would run although nothing is installed; a list can only be emptied by a file.
    printf '#clear APT::Install::Pre-Invoke;\n#clear AptCli::Hooks;\n' >"$WORK/apt.conf"
    # An archives folder that is not there: what has been downloaded already is listed too.
    set -- -q=1 "-c=$WORK/apt.conf" -o "Dir::Cache::archives=$WORK/none/" -o Acquire::ForceHash=SHA256 -o APT::Get::Show-Versions=false \
        -o APT::Get::AutomaticRemove=false -o APT::Get::Purge=false -o APT::Color=false --print-uris
    [ ! -s "$WORK/preferences" ] || set -- -o "Dir::Etc::preferences=$WORK/preferences" "$@"
    [ -z "$SECURITY" ] || set -- -o APT::Default-Release= "$@"
    if [ -n "$ONLY" ]; then
        # What is only recommended is no reason why something cannot be installed.
        # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
        cached apt-get "$@" --no-install-recommends install $(lines_of "$ONLY" | as_apt_writes all) \
            $(cat "$WORK/stay")
    elif [ -n "$FULL" ] && [ -z "$SECURITY" ]; then
        cached apt-get "$@" dist-upgrade
    else
        cached apt-get "$@" upgrade --with-new-pkgs
    fi
}

# Of packages that apt would remove: what they need and what else they provide, as they are installed.
relations() {
    # shellcheck disable=SC2046 # one argument per name is wanted, and names hold no blanks
    dpkg-query "--admindir=$ADMIN" -W -f '${Package}\t${Architecture}\t${Pre-Depends}, ${Depends}\t${Provides}\n' \
        $(cat "$WORK/removed")
}

# NAME=VERSION of what apt would remove, as it is installed: asked for as well, it must stay.
staying() {
    awk -F '\t' -v native="$NATIVE" 'FILENAME == ARGV[1] { gone[$0]; next }
        { full = $1 ($2 == "all" || $2 == native ? "" : ":" $2) }
        full in gone && n++ < 50 { print full "=" $3 }' "$WORK/removed" "$WORK/installed"
}

# The names below one of apt's headings, one a line; apt wraps them, and marks a purge with a star.
below() { # HEADING
    awk -v heading="$1" '/^[^ ]/ { on = ($0 == heading) } on && /^  / { for (i = 1; i <= NF; i++) {
        sub(/\*$/, "", $i); print $i } }' "$WORK/answer"
}

# "name_version_arch.deb" of a --print-uris line, as name:arch=version for the given names.
with_versions() { # FILE-WITH-NAMES
    awk -v native="$NATIVE" 'FILENAME == ARGV[1] { want[$1]; next }
        /^\x27/ { file = $2; sub(/\.[^.]*$/, "", file); n = split(file, part, "_")
            if (n != 3) next
            gsub(/%3a/, ":", part[2]); gsub(/%5f/, "_", part[2])
            if ((part[1] in want) && (part[3] == native || part[3] == "all")) print part[1] "=" part[2]
            else if ((part[1] ":" part[3]) in want) print part[1] ":" part[3] "=" part[2] }' "$1" "$WORK/answer"
}

complains() {
    grep -qE "$1" "$WORK/err" "$WORK/answer"
}

unresolved() {
    if complains 'dpkg was interrupted'; then finish "$INTERRUPTED"; fi
    if [ -n "$ONLY" ]; then finish "$UNRESOLVED"; fi
    if complains '[Uu]nmet dependencies|held broken packages|pkgProblemResolver|[Uu]nable to correct|remove is disabled|[Uu]nable to satisfy'; then
        finish "$UNRESOLVED"
    fi
    finish "$OTHER"
}

dry_run() {
    own_cache
    section machine machine
    section installed installed
    [ "$code" -eq 0 ] || finish "$OTHER"
    keep installed
    present >"$WORK/names"
    tr ':' '\t' <"$WORK/names" >"$WORK/present"
    choices_exist || refused "no longer available:$(awk '{ printf " %s", $0 }' "$WORK/gone")" "$GONE"
    : >"$WORK/preferences"
    : >"$WORK/source-pins"
    [ -z "$SECURITY" ] || include
    package_pins >"$WORK/pins"
    [ -z "$SECURITY" ] || security_pins
    if [ -s "$WORK/pins" ] || [ -s "$WORK/source-pins" ]; then
        preferences >"$WORK/preferences"
    fi
    section preferences cat "$WORK/preferences"
    : >"$WORK/stay"
    section resolve resolve
    keep answer
    [ "$code" -eq 0 ] || unresolved
    below 'The following packages will be REMOVED:' >"$WORK/removed"
    below 'The following NEW packages will be installed:' >"$WORK/new"
    below 'The following packages will be upgraded:' | cat - "$WORK/new" >"$WORK/moving"
    below 'The following packages will be DOWNGRADED:' >>"$WORK/moving"
    if [ ! -s "$WORK/moving" ] && [ ! -s "$WORK/removed" ]; then
        finish "$NOTHING"
    fi
    if [ -s "$WORK/moving" ]; then
        section sources cached apt-cache policy
        section_policy "$WORK/moving"
    fi
    # Where something comes in new or goes, the records of all that moves tell whose doing it is.
    if [ -s "$WORK/new" ] || [ -s "$WORK/removed" ]; then
        with_versions "$WORK/moving" >"$WORK/versions"
        show "$WORK/versions"
    fi
    [ -s "$WORK/removed" ] || finish "$OK"
    section relations relations
    if [ -n "$ONLY" ]; then
        # Why something must go: apt says so when it may not.
        staying >"$WORK/stay"
        section why resolve
    fi
    bad=$(lines_of "$EXCLUDE,$BLOCK" | as_apt_writes | awk 'FILENAME == ARGV[1] { gone[$0]; next }
        $0 in gone { printf " %s", $0 }' "$WORK/removed" -)
    [ -z "$bad" ] || refused "apt would remove what must not move:$bad" "$UNRESOLVED"
    finish "$OK"
}

# --- refresh -----------------------------------------------------------------------------------------------

refresh() {
    section refresh cached apt-get -q -o APT::Update::Error-Mode=any -o APT::Color=false update
    # Before apt 2.3 an unreachable source was a warning and success.
    if [ "$code" -eq 0 ] && ! says '^(Err:|[WE]: .*(Failed to fetch|GPG error|could not be|index files failed))'; then
        # The stamp that Ubuntu's update-notifier keeps too: when the lists were last read without a fault.
        [ ! -d "$STATE/periodic" ] || (umask 022 && : >"$STATE/periodic/update-success-stamp")
        finish "$OK"
    fi
    if says 'Permission denied|are you root'; then finish "$OTHER"; fi
    if says 'Could not get lock|Unable to lock|is held by'; then finish "$LOCKED"; fi
    if says "No space left|enough free space|[Qq]uota exceeded"; then finish "$NO_SPACE"; fi
    if says "NO_PUBKEY|EXPKEYSIG|EXPSIG|REVKEYSIG|BADSIG|GPG error|not signed|couldn't be verified|invalid signature"; then
        finish "$UNTRUSTED"
    fi
    if says "Failed to fetch|is expired|not valid yet|Hash Sum mismatch|Release file|index files failed|^Err:"; then
        finish "$STALE"
    fi
    finish "$OTHER"
}

case $VERB in
    --observe) observe ;;
    --inputs)
        section inputs inputs
        finish "$OK"
        ;;
    --dry-run) dry_run ;;
    --refresh) refresh ;;
esac
