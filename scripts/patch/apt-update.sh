#!/bin/sh
# Observe, refresh and dry-run apt on this machine, or on the root that APT_CONFIG names, and patch it.
#
# Part of patchledger, and a plain tool as well:  sh apt-update.sh --dry-run --exclude nginx
# Contract: docs/reference/patch-scripts.md. In short:
#   - nothing but --refresh, --download, --apply and --repair changes anything: for all else, apt-get is only ever
#     called with --print-uris, which resolves as usual, prints what it would do and ends; no lock is taken;
#   - what changes packages makes exactly the changes that are named, or none; that is asked of apt itself, under its
#     lock, before dpkg begins;
#   - no cache of apt's is written either: it works on its own copy, kept between runs with --cache;
#   - exclusions go into the resolver as a preferences file of this run alone, before the operator's own.

SELF=apt-update.sh
# shellcheck source=scripts/patch/common.sh
[ -n "${COMMON:-}" ] || . "$(dirname "$0")/common.sh"
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
unset APT_LISTCHANGES_FRONTEND 2>/dev/null

# --- arguments ---------------------------------------------------------------------------------------------

# Of names what dpkg accepts; of versions all that it does, with a warning or without, but for what would be a second
# word, a pattern or a part of its own to the shell or to apt.
NAME_START='A-Za-z0-9' NAME_CHARS='A-Za-z0-9+._:-' VERSION_CHARS='A-Za-z0-9.+:~_^%@#&!()|;{}<>$-' VERSION_FORM='*'
# The other ones, which no command line of apt can name.
ODD_VERSION="[^$VERSION_CHARS]|^-|-\$"
ROOT_HAS=var/lib/dpkg/status NOT_HAD=
take_options "$@"
case $BELOW in *[\"\;\{\}]*) misuse '--root: apt cannot read a path with quotes, ; or braces' ;; esac

# --- apt's and dpkg's words --------------------------------------------------------------------------------

# All that is looked for in what they say, which is English by LC_ALL. What has a form is taken apart where it is read.
WILL_REMOVE='The following packages will be REMOVED:'
WILL_INSTALL='The following NEW packages will be installed:'
WILL_UPGRADE='The following packages will be upgraded:'
WILL_DOWNGRADE='The following packages will be DOWNGRADED:'
# Of update, which ends with 0 before apt 2.3 although a source was unreachable.
SAYS_NOT_ALL_READ='^(Err:|[WE]: .*(Failed to fetch|GPG error|could not be|index files failed))'
SAYS_LISTS_DENIED='Permission denied|are you root'
SAYS_LISTS_LOCKED='Could not get lock|Unable to lock|is held by'
SAYS_LISTS_NO_SPACE='No space left|enough free space|[Qq]uota exceeded'
SAYS_SIGNATURE='NO_PUBKEY|Missing key|EXPKEYSIG|BADSIG|not signed|invalid signature'
SAYS_LISTS_UNTRUSTED="$SAYS_SIGNATURE|EXPSIG|REVKEYSIG|GPG error|couldn't be verified"
SAYS_LISTS_STALE='Failed to fetch|is expired|not valid yet|Hash Sum mismatch|Release file|index files failed|^Err:'
# Of a question.
SAYS_HALF_DONE='dpkg was interrupted'
SAYS_REINSTALL='needs to be reinstalled'
SAYS_GONE='^E: (Version .* was not found|Unable to locate package|Package .* has no installation candidate)'
SAYS_BROKEN='[Uu]nmet dependencies|held broken packages|pkgProblemResolver|[Uu]nable to (correct|satisfy)|remove is disabled'
SAYS_WOULD_REMOVE_ESSENTIAL='^WARNING: The following essential packages will be removed'
# Of what changes packages. What a package's own script says stands among it, so these are anchored.
SAYS_DENIED='^(E: .*(Permission denied|are you root)|dpkg: error: .*superuser privilege)'
SAYS_LOCKED='^(E: (Could not get lock|Unable to lock|Unable to acquire)|dpkg: error: .*locked by another process)'
SAYS_INTERRUPTED='^E: dpkg was interrupted|^E: Sub-process .*(received|exited unexpectedly)|package [a-z -]+ script subprocess was killed by signal'
SAYS_NO_SPACE="No space left on device|^E: You don't have enough free space|[Dd]isk quota exceeded"
SAYS_UNTRUSTED="^(E|W): .*(unauthenticated|$SAYS_SIGNATURE)"
SAYS_CUT='^dpkg-deb: error|^dpkg-deb \(subprocess\): .*(corrupt|unexpected end)'
SAYS_NOT_FETCHED='^E: (Failed to fetch|Unable to fetch|.*Hash Sum mismatch)|^Err:'
SAYS_HOOK='^E: (Problem executing scripts (DPkg::Pre-Invoke|APT::Install::Pre-Invoke)|Failure running (script|hook)) '
SAYS_NOT_ASKED='^E: .*-y was used without'
SAYS_MUST_REMOVE='^E: Packages need to be removed but remove is disabled'
SAYS_ESSENTIAL='^E: Essential packages were removed'
SAYS_UNCONFIGURED='^ *dependency problems - leaving unconfigured'
SAYS_SCRIPT='subprocess'

# --- the machine -------------------------------------------------------------------------------------------

begin apt apt-get apt-cache apt-config dpkg dpkg-query
make_work_dir
# shellcheck disable=SC2086 # one word for each
tools $TEXT

# What holds whatever the operator's configuration says, in every call of apt: what its output looks like, and that it
# does what it is asked, no more and no less. What stands on a command line comes after it.
cat >"$WORK/ours.conf" <<'EOF'
APT::Cache::AllVersions "true";
APT::Cache::Generate "true";
APT::Cache::Show::Version "1";
APT::Color "false";
APT::Get::Assume-No "false";
APT::Get::Assume-Yes "false";
APT::Get::AutoSolving "true";
APT::Get::AutomaticRemove "false";
APT::Get::AutomaticRemove::Kernels "false";
APT::Get::CallResolver "true";
APT::Get::Download "true";
APT::Get::Download-Only "false";
APT::Get::Fix-Broken "false";
APT::Get::Fix-Missing "false";
APT::Get::Fix-Policy-Broken "false";
APT::Get::HideAutoRemove "true";
APT::Get::List-Columns "false";
APT::Get::Mark-Auto "false";
APT::Get::Only-Upgrade "false";
APT::Get::Print-URIs "false";
APT::Get::Purge "false";
APT::Get::ReInstall "false";
APT::Get::Remove "true";
APT::Get::Show-Upgraded "true";
APT::Get::Show-Versions "false";
APT::Get::Simulate "false";
APT::Get::Trivial-Only "false";
APT::Get::Update::InteractiveReleaseInfoChanges "false";
APT::Get::Upgrade "true";
APT::Mark::Simulate "false";
APT::Output-Version "0";
APT::Update "false";
Dpkg::Progress-Fancy "false";
Dpkg::Use-Pty "false";
DpkgPM::Progress "false";
quiet "1";
EOF
# Programs that another root's configuration names for apt to run: they would run in this one.
HOOKS='APT::Install::Pre-Invoke APT::Install::Post-Invoke-Success APT::Update::Pre-Invoke APT::Update::Post-Invoke
APT::Update::Post-Invoke-Success APT::Update::Post-Invoke-Stats AptCli::Hooks DPkg::Pre-Invoke DPkg::Post-Invoke
DPkg::Pre-Install-Pkgs'
# shellcheck disable=SC2086 # one word for each
[ -z "$BELOW" ] || printf '#clear %s;\n' $HOOKS >>"$WORK/ours.conf"
must_have_space

# apt reads the file that APT_CONFIG names before all others, so that with another root nothing of this machine's
# configuration is read. A file the caller named comes first, and may say what is special about that root.
GIVEN=${APT_CONFIG:-}
if [ -n "$BELOW" ]; then
    {
        [ -z "$GIVEN" ] || cat "$GIVEN"
        printf 'Dir "%s/";\nDir::State::status "%s/var/lib/dpkg/status";\n' "$BELOW" "$BELOW"
        printf 'DPkg::Options:: "--root=%s";\n' "$BELOW"
    } >"$WORK/root.conf"
    must_have_space
    APT_CONFIG=$WORK/root.conf
    export APT_CONFIG
fi

# apt's own idea of its folders; apt-config quotes the values for the shell. What it does not name is no default: it
# could be another system's.
ROOT=/ STATUS='' LISTS='' ARCHIVES='' STATE='' MARKS='' PREFERENCES='' ETC='' NATIVE='' HISTORY='' DPKG_PATH='' PKG='' SRC='' RELEASE=''
HTTP_RATE='' HTTPS_RATE='' FTP_RATE=''
learn configuration must apt-config "-c=$WORK/ours.conf" shell ROOT Dir/d STATUS Dir::State::status/f LISTS Dir::State::lists/d \
    ARCHIVES Dir::Cache::archives/d STATE Dir::State/d MARKS Dir::State::extended_states/f \
    PREFERENCES Dir::Etc::preferences/f ETC Dir::Etc/d NATIVE APT::Architecture \
    HISTORY Dir::Log::History/f DPKG_PATH DPkg::Path \
    PKG Dir::Cache::pkgcache/f SRC Dir::Cache::srcpkgcache/f RELEASE APT::Default-Release \
    HTTP_RATE Acquire::http::Dl-Limit HTTPS_RATE Acquire::https::Dl-Limit FTP_RATE Acquire::ftp::Dl-Limit
# shellcheck source=/dev/null
. "$WORK/out"
for value in "Dir::State::status=$STATUS" "Dir::State::lists=$LISTS" "Dir::Cache::archives=$ARCHIVES" "Dir::State=$STATE" \
    "Dir::State::extended_states=$MARKS" "Dir::Etc::preferences=$PREFERENCES" "Dir::Etc=$ETC" "APT::Architecture=$NATIVE"; do
    [ -n "${value#*=}" ] || refused "apt-config does not tell ${value%=}" "$OTHER"
done
ROOT=${ROOT%/} LISTS=${LISTS%/} ARCHIVES=${ARCHIVES%/} STATE=${STATE%/}

# apt's own limits are in KiB, and all servers together keep to one (apt.conf(5)); https has that of http where it has
# none. The operator's stays where it is lower. Of a value apt takes the digits that it begins with ("64k"), and none
# for no limit.
limit_rate() { # SCHEME THE-OPERATOR'S
    own=${2%%[!0-9]*}
    # More digits than the shell can count with are more than any limit of ours.
    case $own in ??????????*) own=0 ;; esac
    [ "${own:-0}" -eq 0 ] || [ "$own" -gt "$RATE" ] || return 0
    printf 'Acquire::%s::Dl-Limit "%s";\n' "$1" "$RATE" >>"$WORK/ours.conf"
}

if [ -n "$RATE" ]; then
    limit_rate http "$HTTP_RATE"
    limit_rate https "${HTTPS_RATE:-$HTTP_RATE}"
    limit_rate ftp "$FTP_RATE"
    must_have_space
fi
ADMIN=${STATUS%/*}

# Without --cache, parsed lists live as long as this run, and begin as a copy of the machine's own.
own_cache() {
    [ -z "$CACHE" ] || return 0
    CACHE=$WORK/cache
    mkdir "$CACHE"
    # apt makes its own where one is missing, or is another's.
    [ ! -f "$PKG" ] || [ ! -r "$PKG" ] || may cp -p "$PKG" "$CACHE/pkgcache.bin" 2>/dev/null
    [ ! -f "$SRC" ] || [ ! -r "$SRC" ] || may cp -p "$SRC" "$CACHE/srcpkgcache.bin" 2>/dev/null
}

# What apt calls the file of a package: _ and : in name and version are written otherwise, since _ parts them.
AWK_FILES='
function quoted(text) { gsub(/%/, "%25", text); gsub(/_/, "%5f", text); gsub(/:/, "%3a", text); return text }
function unquoted(text) { gsub(/%3a/, ":", text); gsub(/%5f/, "_", text); gsub(/%25/, "%", text); return text }
function stem_of(name, version) { return quoted(name) "_" quoted(version) }
function full(name, arch) { return name (arch == "all" || arch == native ? "" : ":" arch) }
# Its name as apt writes it, "" where the file is called otherwise; the version is left in file_version.
function named_by(file, part, n) {
    sub(/\.[^.]*$/, "", file); n = split(file, part, "_")
    file_version = n == 3 ? unquoted(part[2]) : "?"
    return n == 3 ? full(unquoted(part[1]), part[3]) : ""
}
'

# Of every list of packages that apt has: its file, its source's id and site, and how `apt-cache policy` calls it, by
# tabs. The id is how the names of the source's files begin; it holds no user information. How much of a name that is, is
# told by how many parts the list's own path has, which hold no _ themselves. This is the one place that knows.
lists() {
    # shellcheck disable=SC2016 # for apt-get
    cached must apt-get indextargets --format '$(FILENAME)	$(METAKEY)	$(SITE)	$(DESCRIPTION)' 'Created-By: Packages' | awk -F '\t' '{
        source = $1; sub(/.*\//, "", source); parts = gsub("/", "/", $2) + 1
        while (parts-- > 0) sub(/_[^_]*$/, "", source)
        print $1 "\t" source "_\t" $3 "\t" $4 }'
}

# All of them, also where some are left out below.
know_lists() {
    [ ! -e "$WORK/lists" ] || return 0
    learn lists lists
    keep lists
}

# Those of the sources that serve security updates, as `apt-cache policy NAME` names them: the one place that knows.
security_sources() {
    [ -e "$WORK/lists" ] || : >"$WORK/lists"
    printf '%s' "$SECURITY_SOURCES" | awk '
        # The fields of a release as apt prints them: always in this order, while a value may hold anything.
        function take_release(text, i, at, last) {
            text = "," text; last = ""
            for (i = 1; i <= 7; i++) {
                if (!(at = index(text, "," substr("voanlcb", i, 1) "="))) continue
                if (last != "") is[last] = substr(text, 1, at - 1)
                last = substr("voanlcb", i, 1); text = substr(text, at + 3)
            }
            if (last != "") is[last] = text
        }
        function serves() { return (line in told) || is["a"] ~ /-security$/ || is["n"] ~ /-security$/ || is["l"] == "Debian-Security" }
        function flush() { if (line != "" && serves()) print line; line = ""; split("", is) }
        FILENAME == "-" { named[$0]; next }
        FILENAME == ARGV[2] { split($0, part, "\t"); if (part[2] in named) told[part[4]]; next }
        /^Pinned packages:/ { exit }
        /^ *-?[0-9]+ / { flush(); line = $0; sub(/^ *-?[0-9]+ /, "", line) }
        /^     release / { take_release(substr($0, 14)) }
        END { flush() }' - "$WORK/lists" "$WORK/sources"
}

# The folder with the lists of the sources that count, where not all do.
COUNTED=

cached() { # must|may|run TOOL ARGUMENT...: one of apt's, with our settings, and our own cache files where there are any
    how=$1 program=$2
    shift 2
    "$how" "$program" "-c=$WORK/ours.conf" ${CACHE:+-o "Dir::Cache::pkgcache=$CACHE/pkgcache${COUNTED:+-counted}.bin"} \
        ${CACHE:+-o "Dir::Cache::srcpkgcache=$CACHE/srcpkgcache${COUNTED:+-counted}.bin"} \
        ${COUNTED:+-o "Dir::State::lists=$COUNTED/"} "$@"
}

# apt knows nothing of a source whose list is not there, whatever is said of it elsewhere: no pin can do that, as the
# operator's own for single packages are stronger.
leave_out_sources() {
    [ -n "$WITHOUT" ] || return 0
    know_lists
    printf '%s' "$WITHOUT" | awk -F '\t' 'FILENAME == "-" { out[$0]; next } !($2 in out) && !counted[$1]++ { print $1 }' - "$WORK/lists" >"$WORK/counted"
    sure
    COUNTED=$CACHE/lists
    rm -rf "$COUNTED"
    mkdir -p "$COUNTED/partial"
    for file in "$LISTS"/*Release "$LISTS"/*Release.gpg; do
        [ ! -e "$file" ] || ln -s "$file" "$COUNTED/"
    done
    while read -r file; do ln -s "$file" "$COUNTED/"; done <"$WORK/counted"
}

installed() {
    # shellcheck disable=SC2016 # for dpkg-query
    must dpkg-query "--admindir=$ADMIN" -W -f \
        '${Package}\t${Architecture}\t${Version}\t${db:Status-Want}\t${db:Status-Eflag}\t${db:Status-Status}\t${Installed-Size}\t${source:Package}\t${source:Version}\n'
}

# name:arch of every package in $WORK/installed that is on the machine.
present() {
    awk -F '\t' '$6 != "not-installed" && $6 != "config-files" { print $1 ":" $2 }' "$WORK/installed"
}

policy() { # FILE-WITH-NAMES APT-OPTION...
    names=$1
    shift
    # shellcheck disable=SC2046 # one argument per name is wanted, and names hold no blanks
    cached must apt-cache "$@" policy $(cat "$names")
}

# --- observe -----------------------------------------------------------------------------------------------

foreign() {
    must dpkg "--admindir=$ADMIN" --print-foreign-architectures
}

machine() {
    printf 'architecture=%s\nforeign=%s\n' "$NATIVE" \
        "$(foreign | tr '\n' ' ')"
    machine_facts
    printf 'apt=%s\ndpkg=%s\n' "$(must apt-get --version | sed -n '1s/^apt \([^ ]*\).*/\1/p')" \
        "$(must dpkg-query --version | sed -n '1s/.*version \([^ ]*[^ .]\)\.\{0,1\}\( .*\)\{0,1\}$/\1/p')"
}

tell_sources() {
    [ -z "$SECURITY_SOURCES" ] || know_lists
    question sources cached must apt-cache policy
    keep sources
    question security security_sources
}

marks() {
    [ ! -e "$MARKS" ] || cat "$MARKS"
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

# What apt says of installed packages whose dependencies are not met. That is a matter of dpkg's database alone, and
# dear to ask: where all were met, it is asked again when the database is another file.
dependencies() {
    stat -c '%i %s %z' "$STATUS" >"$WORK/state"
    if [ -e "$CACHE/met" ] && cmp -s "$WORK/state" "$CACHE/met"; then return 0; fi
    cached may apt-get -q=1 -o Debug::NoLocking=true check >"$WORK/check"
    checked=$?
    if [ "$checked" -ne 0 ]; then
        cat "$WORK/check"
        return "$checked"
    fi
    may cp "$WORK/state" "$CACHE/met" 2>/dev/null || :
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
        [ ! -e "$folder/reboot-required.pkgs" ] || sort -u "$folder/reboot-required.pkgs"
        return
    done
}

# name:arch=version of everything newer than what is installed, from `apt-cache policy`, as far as apt can be asked for it.
newer() {
    awk -v odd="$ODD_VERSION" '/^[^ ]/ { package = substr($0, 1, length($0) - 1); newer = 1; next }
        /^ \*\*\* / { newer = 0; next }
        newer && /^     [^ ]/ && ($2 > 0) && $1 !~ odd { print package "=" $1 }' "$1"
}

# All of apt's configuration, a setting a line.
configured() {
    must apt-config -o 'APT::Config::Dump::Format=%F "%v";%n' -o APT::Config::Dump::EmptyValue=true dump
}

# The operator's hooks that apt asks before it begins. In another root they are not.
hooks() {
    [ -n "$BELOW" ] || configured | awk '
        tolower($1) ~ /^(dpkg::pre-(invoke|install-pkgs)|apt::install::pre-invoke|aptcli::hooks::.*)::$/'
}

# The programs that hooks name, as far as these stand there by their path.
hook_files() { # of the hooks on standard input
    grep -o '/[A-Za-z0-9._/+-]*' | sort -u | while read -r file; do
        [ ! -f "$file" ] || printf '%s\n' "$file"
    done
}

hooks_as_they_are() {
    hooks >"$WORK/asking"
    must_have_space
    cat "$WORK/asking"
    hook_files <"$WORK/asking" | while read -r file; do stat -c '%n %i %s %z' "$file"; done
}

# What an observation depends on, so that a caller can tell by stat(2) alone that nothing changed.
inputs() {
    printf '%s\n' "$STATUS" "$ADMIN/updates" "$MARKS" "$LISTS" "${ETC%/}" \
        "$ROOT/usr/share/keyrings" "$ROOT/etc/dpkg/dpkg.cfg.d" "$ROOT/boot" "$ROOT/etc/os-release" \
        "$ROOT/run/reboot-required" "$ROOT/var/run/reboot-required" \
        ${GIVEN:+"$GIVEN"}
    hooks | hook_files
}

observe() {
    own_cache
    leave_out_sources
    show_os
    question machine machine
    question installed installed
    keep installed
    present >"$WORK/names"
    question automatic marks
    know_lists
    question lists cut -f 2- "$WORK/lists"
    tell_sources
    if [ -s "$WORK/names" ]; then
        question policy policy "$WORK/names"
        newer "$WORK/out" >"$WORK/newer"
        show "$WORK/newer"
        # What would be on offer without it is told as well: it may hide the security service.
        [ -z "$RELEASE" ] || question unpreferred policy "$WORK/names" -o APT::Default-Release=
    fi
    question releases releases
    question times file_times
    section dependencies dependencies
    question journal journal
    question locks locks
    question filesystems filesystems
    question reboot reboot_required
    question clock clock
    question hooks hooks_as_they_are
    finish "$OK"
}

stanzas() { # must|may FILE-WITH-NAME=VERSION
    # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
    cached "$1" apt-cache show $(cat "$2")
}

# By source and name, as archives write their lists: apt reads these forwards, and from the start for each step back.
in_order_of_lists() { # FILE-WITH-NAME=VERSION
    awk 'FILENAME == ARGV[1] { split($0, row, "\t"); source[row[1]] = row[8]; next }
        { name = $0; sub(/[:=].*/, "", name); print (name in source ? source[name] : name), name, $0 }' \
        "$WORK/installed" "$1" | sort | cut -d ' ' -f 3-
}

show() { # FILE-WITH-NAME=VERSION
    [ -s "$1" ] || return 0
    learn records in_order_of_lists "$1"
    keep in-order
    question available stanzas must "$WORK/in-order"
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

# Of what must not move, in words, the packages that stand first in the lines of a file.
excluded_in() { # FILE
    lines_of "$EXCLUDE,$BLOCK" | as_apt_writes all | awk 'FILENAME == ARGV[1] { there[$1]; next }
        $0 in there { printf " %s", $0 }' "$1" -
}

# Names that may not come in, those without an architecture in every one.
everywhere() { # COMMA-LIST
    others=$(foreign)
    for name in $(lines_of "$1" | as_apt_writes all); do
        printf '%s\n' "$name"
        case $name in *:*) continue ;; esac
        for arch in $others; do printf '%s:%s\n' "$name" "$arch"; done
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

# What becomes of each installed package in security mode, as "NAME" of what stays and "NAME VERSION" of what must be
# told which version it goes to. It goes to the highest version of the security service, unless the operator prefers
# another one to that, be it newer, older, or the one that is installed: the order of priorities is theirs. What apt
# does by itself is not named; another build of the installed version, elsewhere than at the security service, it would
# take by itself.
security_moves() { # POLICY-OUTPUT
    awk 'FILENAME == ARGV[1] { security[$0]; next }
        FILENAME == ARGV[2] { name = $0; sub(/=.*/, "", name); chosen[name]; next }
        /^[^ ]/ { flush(); package = substr($0, 1, length($0) - 1); installed = candidate = best = ""; newer = 1; built_anew = 0; best_priority = 0; delete priority }
        /^  Installed: / { installed = $2 "" }
        /^  Candidate: / { candidate = $2 "" }
        /^ \*\*\* / { newer = 0; version = $2 ""; priority[version] = $3 + 0; next }
        /^     [^ ]/ { version = $1 ""; priority[version] = $2 + 0; if (version == installed) built_anew = 1; next }
        /^ *-?[0-9]+ / {
            line = $0; sub(/^ *-?[0-9]+ /, "", line)
            if (newer && best == "" && $1 > 0 && (line in security)) { best = version; best_priority = priority[version] }
        }
        function flush() {
            if (package == "" || (package in chosen) || candidate == "(none)") return
            if (best == "" || best_priority <= 0 || priority[candidate] > best_priority) best = installed
            else built_anew = 0
            if (best == candidate && !built_anew) return
            # To apt, what follows "version" is a pattern.
            gsub(/[][*?\\]/, "\\\\&", best)
            print package (best == installed ? "" : " " best)
        }
        END { flush() }' "$WORK/security" "$WORK/choices" "$1"
}

preferences() {
    cat "$WORK/pins"
    [ ! -e "$PREFERENCES" ] || cat "$PREFERENCES"
}

# APT::Default-Release prefers a release and is no pin: as the security service is another one, it would hide it.
security_pins() {
    [ -z "$SECURITY_SOURCES" ] || know_lists
    learn sources cached must apt-cache policy
    keep sources
    learn security security_sources
    keep security
    [ -s "$WORK/names" ] || return 0
    learn candidates policy "$WORK/names" -o APT::Default-Release=
    keep candidates
    security_moves "$WORK/candidates" >"$WORK/moves"
    while read -r name version; do
        if [ -n "$version" ]; then pin "$name" "version $version" 32767; else pin "$name" 'release *' -1; fi
    done <"$WORK/moves" >>"$WORK/pins"
}

# Of the choices those that no source has, so that nothing else comes instead.
not_on_offer() { # POLICY-OUTPUT
    awk 'FILENAME == ARGV[1] { if (/^[^ ]/) package = substr($0, 1, length($0) - 1)
            else if (/^( \*\*\*|    ) [^ ]/) { version = $1 == "***" ? $2 : $1; have[package "=" version] }
            next }
        !($0 in have)' "$1" "$WORK/choices"
}

# Every chosen version must be on offer, else nothing is resolved: never the newest instead.
choices_exist() {
    # What is asked for alone is chosen as well, so that nothing else can want another version of it.
    lines_of "$CHOOSE,$ONLY" | as_apt_writes all | sort -u >"$WORK/choices"
    [ -s "$WORK/choices" ] || return 0
    sed 's/=.*//' "$WORK/choices" >"$WORK/chosen-names"
    learn candidates policy "$WORK/chosen-names"
    keep candidates
    not_on_offer "$WORK/candidates" >"$WORK/gone"
    [ ! -s "$WORK/gone" ]
}

# What --security leaves to every source: the version that apt would choose without it, unless another is chosen.
included() { # POLICY-OUTPUT
    awk 'FILENAME == ARGV[1] { name = $0; sub(/=.*/, "", name); chosen[name]; next }
        /^[^ ]/ { package = substr($0, 1, length($0) - 1) }
        /^  Installed: / { installed = $2 }
        /^  Candidate: / && $2 != "(none)" && $2 "" != installed "" && !(package in chosen) {
            print package "=" $2 }' "$WORK/choices" "$1"
}

include() {
    lines_of "$INCLUDE" | as_apt_writes >"$WORK/included-names"
    [ -s "$WORK/included-names" ] || return 0
    learn candidates policy "$WORK/included-names"
    keep candidates
    included "$WORK/candidates" >"$WORK/included"
    cat "$WORK/included" >>"$WORK/choices"
}

settings_of_asking() {
    # An archives folder that is not there: what has been downloaded already is listed too.
    printf 'Dir::Cache::archives "%s/none/";\nAcquire::ForceHash "SHA256";\n' "$WORK"
    # Hooks of the operator that would run although nothing is installed; a list can only be emptied by a file.
    printf '#clear %s;\n' APT::Install::Pre-Invoke APT::Install::Post-Invoke-Success AptCli::Hooks
}

resolve() {
    settings_of_asking >"$WORK/ask.conf"
    set -- -q=1 "-c=$WORK/ask.conf" --print-uris
    [ ! -s "$WORK/preferences" ] || set -- -o "Dir::Etc::preferences=$WORK/preferences" "$@"
    [ -z "$SECURITY" ] || set -- -o APT::Default-Release= "$@"
    if [ -n "$GOING" ]; then
        # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
        cached may apt-get "$@" install $(cat "$WORK/going")
    elif [ -n "$ONLY" ]; then
        # What is only recommended is no reason why something cannot be installed, nor is what was built from the
        # same source, which apt would upgrade along.
        set -- "$@" -o APT::Get::Upgrade-By-Source-Package=false
        # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
        cached may apt-get "$@" --no-install-recommends install $(lines_of "$ONLY" | as_apt_writes all) \
            $(cat "$WORK/stay")
    elif [ -n "$FULL" ] && [ -z "$SECURITY" ]; then
        # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
        cached may apt-get "$@" dist-upgrade $(cat "$WORK/stay")
    else
        cached may apt-get "$@" upgrade --with-new-pkgs
    fi
}

# NAME VERSION COUNT of each installed package: how many builds of the installed version apt knows, that one included.
builds() { # POLICY-OUTPUT
    awk '/^[^ ]/ { flush(); name = substr($0, 1, length($0) - 1); installed = ""; delete count }
        /^ \*\*\* / { installed = $2 ""; count[installed]++; next }
        /^     [^ ]/ { count[$1 ""]++ }
        function flush() { if (installed != "") print name, installed, count[installed] }
        END { flush() }' "$1"
}

# Let what is excluded be asked for as well, as it is installed. Not where another build of that version is on offer,
# which apt would take for what is asked for.
let_excluded_stay() {
    lines_of "$EXCLUDE" | as_apt_writes >"$WORK/excluded"
    learn candidates policy "$WORK/excluded"
    keep candidates
    builds "$WORK/candidates" | awk '$3 == 1 { print $1 "=" $2 }' >"$WORK/stay"
}

# A whole upgrade would rather remove a package without a candidate than keep others back for it. What is asked for as
# well, in the version that is there, apt keeps; where it finds nothing then, its first answer stands.
resolve_keeping_excluded() {
    collect resolve
    [ "$code" -eq 0 ] && [ -n "$FULL" ] && [ -z "$ONLY$SECURITY" ] || return 0
    cp "$WORK/out" "$WORK/answer"
    under_heading "$WILL_REMOVE" >"$WORK/removed"
    [ -n "$(excluded_in "$WORK/removed")" ] || return 0
    keep_as first err
    let_excluded_stay
    collect resolve
    [ "$code" -ne 0 ] || return 0
    code=0
    cp "$WORK/answer" "$WORK/out"
    cp "$WORK/first" "$WORK/err"
}

# What apt would move, and could not be told to: it stays as if it were blocked, and keeps no other from moving.
resolve_what_can_be_named() {
    resolve_keeping_excluded
    tries=5
    while [ "$code" -eq 0 ] && [ -z "$ONLY" ] && [ "$tries" -gt 0 ]; do
        cp "$WORK/out" "$WORK/answer"
        unnameable >"$WORK/unnameable"
        [ -s "$WORK/unnameable" ] || return 0
        while read -r name; do
            pin "$name" 'release *' -1
            BLOCK=$BLOCK${BLOCK:+,}$name
        done <"$WORK/unnameable" >"$WORK/more-pins"
        cat "$WORK/pins" >>"$WORK/more-pins"
        cp "$WORK/more-pins" "$WORK/pins"
        preferences >"$WORK/preferences"
        must_have_space
        : >"$WORK/stay"
        resolve_keeping_excluded
        tries=$((tries - 1))
    done
}

unnameable() {
    for heading in "$WILL_INSTALL" "$WILL_UPGRADE" "$WILL_DOWNGRADE"; do under_heading "$heading"; done >"$WORK/moving"
    awk -v native="$NATIVE" -v odd="$ODD_VERSION" "$AWK_FILES"' FILENAME == ARGV[1] { moving[$1]; next }
        /^\x27/ { name = named_by($2); if (file_version !~ odd) delete moving[name] }
        END { for (name in moving) print name }' "$WORK/moving" "$WORK/answer"
}

# The packages that from this upgrade on are only there for the sake of others (APT::Move-Autobit-Sections): that a person
# wanted one of them, apt takes for a wish for what comes in for it.
handing_on() {
    values_of APT::Move-Autobit-Sections >"$WORK/shells"
    # shellcheck disable=SC2016 # for dpkg-query
    must dpkg-query "--admindir=$ADMIN" -W -f '${Package}\t${Architecture}\t${Section}\n' >"$WORK/sections"
    awk -F '\t' -v native="$NATIVE" "$AWK_FILES"'
        function is_shell(section) {
            section = tolower(section)
            if (section in shells) return 1
            sub(/^.*\//, "", section)
            return section in shells
        }
        function flush() {
            if ((name in was) && was[name] != "" && to != "" && !is_shell(was[name]) && is_shell(to)) print name
            name = to = ""
        }
        FILENAME == ARGV[1] { shells[tolower($0)]; next }
        FILENAME == ARGV[2] { was[full($1, $2)] = $3; next }
        /^Package: / { flush(); name = substr($0, 10) }
        /^Architecture: / { name = full(name, substr($0, 15)) }
        /^Section: / { to = substr($0, 10) }
        END { flush() }' "$WORK/shells" "$WORK/sections" "$WORK/records"
}

# Of packages that apt would remove: what they need and what else they provide, as they are installed.
relations() {
    # shellcheck disable=SC2046,SC2016 # one argument per name is wanted, and names hold no blanks; the rest is for dpkg-query
    must dpkg-query "--admindir=$ADMIN" -W -f '${Package}\t${Architecture}\t${Pre-Depends}, ${Depends}\t${Provides}\n' \
        $(cat "$WORK/removed")
}

# NAME=VERSION of what apt would remove, as it is installed: asked for as well, it must stay.
staying() {
    awk -F '\t' -v native="$NATIVE" 'FILENAME == ARGV[1] { gone[$0]; next }
        { full = $1 ($2 == "all" || $2 == native ? "" : ":" $2) }
        full in gone && n++ < 50 { print full "=" $3 }' "$WORK/removed" "$WORK/installed"
}

# The names below one of apt's headings, one a line; apt wraps them, and marks a purge with a star.
under_heading() { # HEADING
    awk -v heading="$1" '/^[^ ]/ { on = ($0 == heading) } on && /^  / { for (i = 1; i <= NF; i++) {
        sub(/\*$/, "", $i); print $i } }' "$WORK/answer"
}

# "name_version_arch.deb" of a --print-uris line, as name:arch=version for the given names.
with_versions() { # FILE-WITH-NAMES
    awk -v native="$NATIVE" "$AWK_FILES"' FILENAME == ARGV[1] { want[$1]; next }
        /^\x27/ { name = named_by($2); if (name in want) print name "=" file_version }' "$1" "$WORK/answer"
}

unresolved() {
    if complains "$SAYS_HALF_DONE"; then finish "$INTERRUPTED"; fi
    if [ -n "$ONLY" ]; then finish "$UNRESOLVED"; fi
    if complains "$SAYS_BROKEN"; then
        finish "$UNRESOLVED"
    fi
    finish "$OTHER"
}

# What apt would let go by itself, with what it is unused as. A kernel is what apt takes for one: a name of
# APT::VersionedKernelPackages and a release behind it. Which of them may go is apt's rule, and where no such names are
# configured it has none, and would let go all of them; the one that is running never goes.
unused() {
    values_of APT::VersionedKernelPackages >"$WORK/kernels"
    must uname -r >"$WORK/running"
    under_heading "$WILL_REMOVE" >"$WORK/removed"
    awk -F '\t' -v native="$NATIVE" "$AWK_FILES"'
        function is_kernel(name, pattern) {
            for (pattern in kernels) if (name ~ ("^(" pattern ")-[0-9]+[.][0-9]")) return 1
            return name ~ /^linux-[a-z-]+-[0-9]+[.][0-9]/
        }
        function is_running(name, at) { at = index(name, "-" running); return at && at + length(running) == length(name) }
        FILENAME == ARGV[1] { kernels[$0]; has_rule = 1; next }
        FILENAME == ARGV[2] { running = $0; next }
        FILENAME == ARGV[3] { going[$0]; next }
        full($1, $2) in going {
            if (!is_kernel($1)) print $1 "\t" $2 "\t" $3 "\tpackage"
            else if (has_rule && !is_running($1)) print $1 "\t" $2 "\t" $3 "\tkernel"
        }' "$WORK/kernels" "$WORK/running" "$WORK/removed" "$WORK/installed"
}

tell_unused() {
    settings_of_asking >"$WORK/ask.conf"
    must_have_space
    collect cached may apt-get -q=1 "-c=$WORK/ask.conf" --print-uris autoremove
    if [ "$code" -ne 0 ]; then
        tell autoremove
        unresolved
    fi
    keep answer
    question unused unused
    [ -s "$WORK/out" ] || finish "$NOTHING"
    finish "$OK"
}

# What is to go, as apt is told it; end where another version of it is there.
named_to_go() {
    printf '%s' "$GOING" | awk -v native="$NATIVE" -v gone="$WORK/gone" "$AWK_FILES"'
        FILENAME == ARGV[1] { split($0, row, "\t"); there[row[1] ":" row[2] "=" row[3]]; next }
        !($0 in there) { print >gone; next }
        { name = $0; sub(/=.*/, "", name); arch = name; sub(/.*:/, "", arch); sub(/:[^:]*$/, "", name); print full(name, arch) "-" }' \
        "$WORK/installed" - >"$WORK/going"
}

dry_run() {
    own_cache
    leave_out_sources
    question machine machine
    question installed installed
    keep installed
    present >"$WORK/names"
    [ -z "$UNUSED" ] || tell_unused
    tr ':' '\t' <"$WORK/names" >"$WORK/present"
    if [ -n "$GOING" ]; then
        : >"$WORK/gone"
        named_to_go
        [ ! -s "$WORK/gone" ] || refused "not installed any more:$(each_in "$WORK/gone")" "$GONE"
    fi
    choices_exist || refused "no longer available:$(each_in "$WORK/gone")" "$GONE"
    : >"$WORK/preferences"
    [ -z "$SECURITY" ] || include
    package_pins >"$WORK/pins"
    [ -z "$SECURITY" ] || security_pins
    [ ! -s "$WORK/pins" ] || preferences >"$WORK/preferences"
    : >"$WORK/stay"
    sure
    resolve_what_can_be_named
    tell resolve
    sure
    keep answer
    answered=$code
    question preferences cat "$WORK/preferences"
    code=$answered
    [ "$code" -eq 0 ] || unresolved
    under_heading "$WILL_REMOVE" >"$WORK/removed"
    under_heading "$WILL_INSTALL" >"$WORK/new"
    under_heading "$WILL_UPGRADE" | cat - "$WORK/new" >"$WORK/moving"
    under_heading "$WILL_DOWNGRADE" >>"$WORK/moving"
    if [ ! -s "$WORK/moving" ] && [ ! -s "$WORK/removed" ]; then
        finish "$NOTHING"
    fi
    if [ -s "$WORK/moving" ]; then
        tell_sources
        question policy policy "$WORK/moving"
    fi
    # Where something comes in new or goes, the records of all that moves tell whose doing it is.
    if [ -s "$WORK/new" ] || [ -s "$WORK/removed" ]; then
        with_versions "$WORK/moving" >"$WORK/versions"
        show "$WORK/versions"
        keep records
        [ ! -s "$WORK/new" ] || question handing-on handing_on
    fi
    [ -s "$WORK/removed" ] || finish "$OK"
    question relations relations
    if [ -n "$ONLY" ]; then
        # Why something must go: apt says so when it may not.
        staying >"$WORK/stay"
        section why resolve
    fi
    bad=$(excluded_in "$WORK/removed")
    [ -z "$bad" ] || refused "apt would remove what must not move:$bad" "$UNRESOLVED"
    finish "$OK"
}

# --- relations ---------------------------------------------------------------------------------------------

declared() {
    # shellcheck disable=SC2046,SC2016 # one argument per name is wanted, and names hold no blanks; the rest is for dpkg-query
    must dpkg-query "--admindir=$ADMIN" -W \
        -f '${Package}\t${Architecture}\t${Pre-Depends}, ${Depends}\t${Breaks}, ${Conflicts}\t${Provides}\n' \
        $(cat "$WORK/moving")
}

# What is named: as it would be, and as it is installed.
relate() {
    own_cache
    question machine machine
    question installed installed
    keep installed
    present | tr ':' '\t' >"$WORK/present"
    printf '%s' "$NAMED" | awk '$1 == "install" { print $2 "=" $3 }' | as_apt_writes all >"$WORK/versions"
    printf '%s' "$NAMED" | awk '{ print $2 }' | as_apt_writes >"$WORK/moving"
    must_have_space
    show "$WORK/versions"
    if [ -s "$WORK/moving" ]; then question declared declared; else question declared true; fi
    finish "$OK"
}

# --- refresh -----------------------------------------------------------------------------------------------

# Ids of the sources whose files could not be had: apt calls each by its address and its release.
unread() {
    awk -F '\t' 'FILENAME == ARGV[1] { id[$1] = $2; next }
        FILENAME == ARGV[2] { if ($1 in id) of[id[$1]] = $2; next }
        { for (one in of) if (index($0, of[one] " ") == 1 || index($0, of[one] "/") == 1) print one }' \
        "$WORK/lists" "$WORK/targets" "$WORK/failed" | sort -u
}

tell_unread() {
    sed -n 's/^Err:[0-9]* //p' "$WORK/out" >"$WORK/failed"
    # What was fetched may be such that apt cannot say anything now.
    # shellcheck disable=SC2016 # for apt-get
    cached may apt-get indextargets --format '$(FILENAME)	$(SITE) $(RELEASE)' 'Created-By: Packages' >"$WORK/targets" 2>"$WORK/err" || return 0
    know_lists
    section unread unread
}

# Leave out what was not apt's last word on a file: of one that need not be there it tries each form ("Err:", apt 3) and lets
# it be ("Ign:"), and of another it finds a form that it can use ("Get:", where lists are kept compressed).
without_overcome() {
    awk -F '[: ]' '$1 !~ /^(Err|Ign|Get|Hit)$/ || $2 !~ /^[0-9]+$/ { if (FNR != NR) print; next }
        FNR == NR { last[$2] = $1; next }
        $1 != "Err" || last[$2] == "Err"' "$WORK/out" "$WORK/out" >"$WORK/told"
    must_have_space
    mv "$WORK/told" "$WORK/out"
}

refresh() {
    # With -q it would be quiet twice, and not tell which files it could not have.
    section refresh cached may apt-get -o APT::Update::Error-Mode=any update
    without_overcome
    if [ "$code" -eq 0 ] && ! says "$SAYS_NOT_ALL_READ"; then
        # The stamp that Ubuntu's update-notifier keeps too: when the lists were last read without a fault.
        [ ! -d "$STATE/periodic" ] || (umask 022 && : >"$STATE/periodic/update-success-stamp")
        finish "$OK"
    fi
    if says "$SAYS_LISTS_DENIED"; then finish "$OTHER"; fi
    if says "$SAYS_LISTS_LOCKED"; then finish "$LOCKED"; fi
    if says "$SAYS_LISTS_NO_SPACE"; then finish "$NO_SPACE"; fi
    ended=$OTHER
    if says "$SAYS_LISTS_UNTRUSTED"; then
        ended=$UNTRUSTED
    elif says "$SAYS_LISTS_STALE"; then
        ended=$STALE
    fi
    tell_unread
    finish "$ended"
}

# --- what download, apply and repair share -----------------------------------------------------------------

snapshot() {
    learn installed installed
    keep installed
}

# Who holds a lock for sure, in words. Where the file system shows another device in the kernel's list, the inode alone
# could be chance: then it is left to apt, which waits for its lock as well.
holder() {
    locks | awk -F '\t' '$1 == "same" {
        if ($2 > 0) print $4 " is held by " ($3 == "" ? "a process" : $3) " (pid " $2 ")"
        else print $4 " is held by a process outside of this container"
        exit }'
}

# Wait until nobody holds a lock any more, and see then what is installed.
wait_for_locks() {
    other=$(holder)
    while [ -n "$other" ]; do
        [ "$LOCK_WAIT" -gt 0 ] || refused "$other" "$LOCKED"
        sleep 1
        LOCK_WAIT=$((LOCK_WAIT - 1))
        other=$(holder)
    done
    snapshot
}

# Of what is named, in words, what was another version, hold or state before.
changed_meanwhile() { # INSTALLED-BEFORE
    printf '%s' "$NAMED" | awk -v native="$NATIVE" '
        function full(name) { sub(":(all|" native ")$", "", name); return name }
        FILENAME == ARGV[1] { before[full($1 ":" $2)] = $3 " " $4 " " $6; next }
        FILENAME == ARGV[2] { after[full($1 ":" $2)] = $3 " " $4 " " $6; next }
        { name = full($2); if (before[name] != after[name]) print " " name }' \
        "$1" "$WORK/installed" - | sort -u | tr -d '\n'
}

# The same; but another run of apt that is awaited may change what was asked for, and then it is not what was meant.
wait_and_compare() {
    snapshot
    [ -n "$(holder)" ] || return 0
    keep_as before installed
    wait_for_locks
    changed=$(changed_meanwhile "$WORK/before")
    [ -z "$changed" ] || refused "changed by another program meanwhile:$changed" "$UNRESOLVED"
}

keep_as() { # NEW OLD
    cp "$WORK/$2" "$WORK/$1"
    must_have_space
}

# For maintainer scripts and hooks: nobody is there to answer, and services are not theirs to restart.
nobody_answers() {
    APT_LISTCHANGES_FRONTEND=none APT_LISTBUGS_FRONTEND=none NEEDRESTART_SUSPEND=1 NEEDRESTART_MODE=l
    export APT_LISTCHANGES_FRONTEND APT_LISTBUGS_FRONTEND NEEDRESTART_SUSPEND NEEDRESTART_MODE
    unset UCF_FORCE_CONFFOLD UCF_FORCE_CONFFNEW 2>/dev/null
    if [ "$CONFFILES" = new ]; then
        FORCES='--no-force-confdef --no-force-confold --force-confnew'
        UCF_FORCE_CONFFNEW=1
        export UCF_FORCE_CONFFNEW
    else
        FORCES='--no-force-confnew --force-confdef --force-confold'
        UCF_FORCE_CONFFOLD=1
        export UCF_FORCE_CONFFOLD
    fi
}

# Whether a repair installs anew what is there half done.
AGAIN=

# What is only recommended is not named, or is named itself.
settings_of_named() {
    printf '%s "false";\n' APT::Install-Recommends APT::Install-Suggests APT::Get::Upgrade-By-Source-Package
    [ -z "$AGAIN" ] || printf 'APT::Get::%s "true";\n' ReInstall Fix-Broken
}

settings_of_acting() {
    settings_of_named
    printf 'DPkg::Lock::Timeout "%s";\n' "$LOCK_WAIT"
    for force in $FORCES; do printf 'DPkg::Options:: "%s";\n' "$force"; done
    [ "$VERB" != --download ] || echo 'APT::Get::Download-Only "true";'
    cat "$WORK/wanted" "$WORK/allowed" | grep ' -$' >/dev/null || echo 'APT::Get::Remove "false";'
    # Every version is named, and apt's own idea of one is refused below.
    echo 'APT::Get::allow-downgrades "true";'
    # Its options are found by the first word.
    hook="command awk -v native=$NATIVE -v differs='$WORK/differs' -v out='$WORK' -v archives='$ARCHIVES/' \
-f '$WORK/guard' '$WORK/wanted' '$WORK/allowed' -"
    # Where apt or a hook of the operator's deletes what was installed, a link made before that stays.
    ! keeps || hook="$hook && { xargs ln -f -t '$KEPT' <'$WORK/linking' 2>/dev/null && : >'$WORK/linked' || :; }"
    printf 'DPkg::Pre-Install-Pkgs:: "%s";\n' "$hook"
    printf 'DPkg::Tools::Options::command::Version "3";\n'
}

# Under its lock and before dpkg begins, apt tells what it will do (apt.conf(5), DPkg::Pre-Install-Pkgs, version 3).
# This program, which apt runs and waits for, reads that behind "wanted" and "allowed" and ends with 1 where it is not
# exactly what is named: whatever changed since apt was asked, nothing else happens. What differs is in a file.
guard() {
    printf '%s' "$AWK_FILES"
    cat <<'EOF'
function differ(what) { print what >differs; bad = 1 }
FILENAME == ARGV[1] { before[$1] = $2 ""; after[$1] = $3 ""; next }
FILENAME == ARGV[2] { allowed[$1 " " $3]; next }
/^$/ { listed = 1; next }
!listed { next }
$NF == "**CONFIGURE**" { next }
$NF == "**REMOVE**" {
    name = full($1, $3)
    # What comes back in another version may be removed for a moment.
    if ((name " -") in allowed) found[name]
    else if (!(name in after)) differ("remove " name)
    else if (after[name] == "-") found[name]
    next
}
{
    name = full($1, $7)
    found[name]
    if ((name " " $6) in allowed) next
    if (after[name] != $6 "") differ("install " name " " $6)
    else if (before[name] != $2 "") differ("change " name " " $2)
    print $9 "\t" stem_of($1, $6) "_" $7 ".deb" >(out "/coming")
    if (index($9, archives) == 1) print $9 >(out "/linking")
}
END {
    # What comes again in the version that is there moves nothing, and apt does not always name it.
    for (name in after) if (!(name in found) && before[name] != after[name])
        differ((after[name] == "-" ? "keep " : "not install ") name)
    exit bad
}
EOF
}

# The values of a list in apt's configuration, one a line.
values_of() { # NAME
    configured | awk -v list="$1" 'index(tolower($1), tolower(list) "::") == 1 {
        sub(/^[^ ]* "/, ""); sub(/";$/, ""); if ($0 != "") print }'
}

# Run what apt would run around dpkg, such as what makes /usr writable. In another root, it would run in this one.
run_hooks() { # Pre-Invoke|Post-Invoke
    [ -z "$BELOW" ] || return 0
    values_of "DPkg::$1" >"$WORK/hooks"
    while IFS= read -r hook; do
        /bin/sh -c "$hook" </dev/null || {
            failed=$?
            printf "E: Problem executing scripts DPkg::%s '%s'\n" "$1" "$hook"
            return "$failed"
        }
    done <"$WORK/hooks"
}

# dpkg with the options that apt would give it, and with what apt would run before and after it.
dpkg_as_apt() { # ACTION NAME...
    action=$*
    values_of DPkg::Options >"$WORK/dpkg-options"
    run_hooks Pre-Invoke || return
    # Without what apt would give it, dpkg could work on another system.
    if trouble; then return "$OTHER"; fi
    set --
    while IFS= read -r option; do set -- "$@" "$option"; done <"$WORK/dpkg-options"
    (
        PATH=${DPKG_PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
        # shellcheck disable=SC2086 # words, none of which holds blanks
        run dpkg "$@" $FORCES $action
    )
    ended=$?
    run_hooks Post-Invoke || return
    return "$ended"
}

# From here on, nothing ends us between the manager's end and ours. Not ignored, as dpkg would inherit that: the
# shell does as if it heard nothing, once its command has ended.
begin_to_act() {
    trap : HUP INT TERM PIPE
    # Where it cannot be written, the work is not to fail for it.
    [ -n "$LOG" ] && (: >>"$LOG") 2>/dev/null || LOG=$WORK/log
    speak_aloud
    from=$( { must wc -c <"$LOG"; } 2>/dev/null || echo 0)
    conffiles >"$WORK/conffiles-before"
}

since() {
    tail -c "+$((from + 1))" "$LOG" 2>/dev/null
}

said() { # PATTERN: whether apt or dpkg said so in this run
    since | grep -E "$1" >/dev/null
}

# Files that wait for a person, with what tells whether it is still the same file.
conffiles() {
    # What somebody else deletes meanwhile does not wait.
    [ ! -d "$ROOT/etc" ] || may find "$ROOT/etc" \( -name '*.dpkg-dist' -o -name '*.dpkg-old' -o -name '*.dpkg-bak' \
        -o -name '*.ucf-dist' -o -name '*.ucf-old' \) -exec stat -c '%i %z %n' {} +
}

conffiles_made() {
    conffiles | awk -v root="$ROOT" 'FILENAME == ARGV[1] { before[$0]; next }
        !($0 in before) { sub(/^[^ ]* [^ ]* [^ ]* [^ ]* /, ""); print substr($0, length(root) + 1) }' \
        "$WORK/conffiles-before" - | sort
}

# NAME<TAB>MESSAGE of every package that dpkg complained of. An archive is told by its file, which apt numbers
# where it hands over a folder of them. What a repository of this machine calls a file, the guard was told.
failures() {
    [ -e "$WORK/coming" ] || : >"$WORK/coming"
    since | awk -v native="$NATIVE" "$AWK_FILES"'
        FILENAME == ARGV[1] { split($0, told, "\t"); sub(/.*\//, "", told[1]); known[told[1]] = told[2]; next }
        name != "" { sub(/^[ \t]*/, ""); if (!(name in seen)) print name "\t" $0; seen[name]; name = ""; next }
        /^dpkg: error processing package / { name = $5 }
        /^dpkg: error processing archive / {
            sub(/^dpkg: error processing archive /, ""); sub(/ \(--[a-z-]*\):$/, "")
            numbered = /\/apt-dpkg-install-[^\/]*\/[^\/]*$/
            sub(/.*\//, ""); if (numbered) sub(/^[0-9]+-/, "")
            name = named_by($0 in known ? known[$0] : $0)
            if (name == "") { name = $0; sub(/[_.].*/, "", name) }
        }' "$WORK/coming" -
}

# The operator's hooks that were against it, as the failed of the run: "hook WHICH<TAB>what it said". apt has not begun
# then. Ours, which ends the same way, is told from them by its command; what it found is told elsewhere.
refusing_hooks() {
    since | awk -v refusal="$SAYS_HOOK" '
        function told() {
            if (!n) return ended != "" ? ended : "it failed"
            return (n > 2 ? line[n - 2] "; " : "") (n > 1 ? line[n - 1] "; " : "") line[n]
        }
        # What apt says itself may come before or after, as it keeps its lines for a while.
        /^(Reading |Building |Calculating |Solving |The following |  |[0-9]+ upgraded|Need to get |After this |Get:|Fetched |Extracting |Preconfiguring )/ { next }
        $0 ~ refusal {
            hook = $0; gsub(/\t/, " ", hook)
            if (!sub(/^E: Problem executing scripts /, "", hook)) sub(/^E: Failure running (script|hook) /, "", hook)
            if (hook !~ /^command awk -v native=/) print "hook " hook "\t" told()
            next
        }
        /^E: Sub-process .* returned an error code/ { ended = substr($0, 4); next }
        /^[EW]: / { next }
        { sub(/^[ \t]+/, ""); sub(/[ \t\r]+$/, ""); gsub(/\t/, " "); if ($0 != "") line[++n] = $0 }'
}

# Of what was to come what apt could not fetch, and why, for "not_fetched": the line after "Err:" has the cause.
unfetched() {
    printf '%s' "$NAMED" >"$WORK/named"
    must_have_space
    since | awk -v OFS='\t' '
        FILENAME == ARGV[1] {
            if ($1 != "install") next
            name = $2; sub(/:.*/, "", name)
            exact[$2, $3]; some[name, $3] = $2
            next
        }
        package != "" { sub(/^[ \t]+/, ""); gsub(/\t/, " "); print package, $0; package = "" }
        /^Err:[0-9]+ / && NF >= 4 && ($(NF - 2), $NF) in some {
            package = ($(NF - 2) ":" $(NF - 1), $NF) in exact ? $(NF - 2) ":" $(NF - 1) : some[$(NF - 2), $NF] }' "$WORK/named" -
}

# Where files of some packages alone could not be had, and nothing was begun, these are named; and the end.
tell_unfetched() {
    [ "$result" -eq "$STALE" ] && [ ! -s "$WORK/failed" ] && ! said "$SAYS_CUT" || return 0
    unfetched >"$WORK/lacked"
    to_come=$(grep -vc -e '-$' "$WORK/names")
    lacked=$(awk -F '\t' '!seen[$1]++ { n++ } END { print n + 0 }' "$WORK/lacked")
    had=
    # apt tries to fetch each of them.
    [ "$lacked" -eq "$to_come" ] || had=all
    not_fetched "$WORK/lacked" "$to_come" "$had"
}

# Of what --automatic names what is there, and is not marked as installed only for others.
not_marked() {
    [ -n "$AUTOMATIC" ] || return 0
    lines_of "$AUTOMATIC" | awk -F '\t' -v native="$NATIVE" -v marks="$MARKS" '
        function full(name) { sub(":(all|" native ")$", "", name); return name }
        BEGIN {
            while ((getline line <marks) > 0) {
                if (line ~ /^Package: /) package = substr(line, 10)
                else if (line ~ /^Architecture: /) package = full(package ":" substr(line, 15))
                else if (line ~ /^Auto-Installed: 1/) marked[package]
            }
        }
        FILENAME == ARGV[1] {
            if ($6 != "not-installed" && $6 != "config-files") there[full($1 ":" $2)]
            next
        }
        { name = full($0); if ((name in there) && !(name in marked)) print name }' "$WORK/installed" -
}

# As "NAME<TAB>OTHER", the others that a package which is to go leaves behind, where it only held them together
# (APT::Never-MarkAuto-Sections): apt takes these for wanted by a person then, but not where the removal is named.
left_behind() {
    printf '%s' "$NAMED" | sed -n 's/^remove \(.*\) -$/\1/p' | sed 's/:all$//' >"$WORK/going"
    [ -s "$WORK/going" ] || return 0
    values_of APT::Never-MarkAuto-Sections >"$WORK/holding"
    # shellcheck disable=SC2046,SC2016 # one argument per name is wanted, and names hold no blanks; the rest is for dpkg-query
    may dpkg-query "--admindir=$ADMIN" -W -f '${Section}\t${Pre-Depends}, ${Depends}, ${Recommends}\t${Package}\n' \
        $(cat "$WORK/going") 2>/dev/null | awk -F '\t' 'FILENAME == ARGV[1] { holding[tolower($0)]; next }
            {
                section = whole = tolower($1); sub(/^.*\//, "", section)
                if (!(section in holding) && !(whole in holding)) next
                n = split($2, one, /[,|]/)
                for (i = 1; i <= n; i++) { sub(/^ */, "", one[i]); sub(/[ :(].*/, "", one[i]); if (one[i] != "") print $3 "\t" one[i] }
            }' "$WORK/holding" -
}

# Naming a version marks a package as wanted by a person: what is there and was not so marked is marked back.
restore_marks() {
    [ -s "$WORK/left-behind" ] || : >"$WORK/left-behind"
    awk -F '\t' 'FILENAME == ARGV[1] { if ($6 == "installed") there[$1]; next } !($1 in there) { print $2 }' \
        "$WORK/installed" "$WORK/left-behind" >"$WORK/left"
    not_marked | awk 'FILENAME == ARGV[1] { left[$1]; next } { name = $1; sub(/:.*/, "", name) } !(name in left)' \
        "$WORK/left" - >"$WORK/unmarked"
    [ ! -s "$WORK/unmarked" ] || section marks mark auto "$WORK/unmarked"
    awk -F '\t' -v native="$NATIVE" "$AWK_FILES"' FILENAME == ARGV[1] { left[$1]; next }
        ($1 in left) && $6 == "installed" { print full($1, $2) }' "$WORK/left" "$WORK/installed" >"$WORK/wanted-now"
    [ ! -s "$WORK/wanted-now" ] || section wanted mark manual "$WORK/wanted-now"
}

mark() { # auto|manual FILE
    # shellcheck disable=SC2046 # one argument per name is wanted, and names hold no blanks
    cached must apt-mark "$1" $(cat "$2")
}

listing() { # NAME: the section with $WORK/NAME, where it says anything
    [ ! -s "$WORK/$1" ] || section "$1" cat "$WORK/$1"
}

# Packages that are neither one nor the other, as "name<TAB>want<TAB>flag<TAB>status".
unfinished() {
    awk -F '\t' -v native="$NATIVE" '$6 != "installed" && $6 != "config-files" && $6 != "not-installed" ||
        $5 != "ok" { print $1 ($2 == "all" || $2 == native ? "" : ":" $2) "\t" $4 "\t" $5 "\t" $6 }' "$WORK/installed"
}

# Sets $result by what apt and dpkg said.
judge() { # THEIR-EXIT-CODE
    if said "$SAYS_DENIED"; then
        result=$OTHER
    elif said "$SAYS_LOCKED"; then
        result=$LOCKED
    elif [ "$1" -eq 0 ] && [ ! -s "$WORK/failed" ]; then
        result=$OK
    elif said "$SAYS_INTERRUPTED" || [ -n "$(journal)" ]; then
        result=$INTERRUPTED
    elif said "$SAYS_NO_SPACE"; then
        result=$NO_SPACE
    elif said "$SAYS_UNTRUSTED"; then
        result=$UNTRUSTED
    elif said "$SAYS_CUT"; then
        result=$STALE
    elif [ -s "$WORK/failed" ]; then
        result=$SCRIPT_FAILED
    elif said "$SAYS_NOT_FETCHED"; then
        result=$STALE
    elif said "$SAYS_GONE"; then
        result=$GONE
    elif said "$SAYS_NOT_ASKED|$SAYS_BROKEN"; then
        result=$UNRESOLVED
    else
        result=$OTHER
    fi
}
ESSENTIAL='apt would remove packages that are essential'

# --- packages that are kept --------------------------------------------------------------------------------

# "name version" of all that the lists offer, to $WORK/offered.
offered() { # NAMES
    # shellcheck disable=SC2086 # one argument per name is wanted, and names hold no blanks
    cached must apt-cache policy $1 2>/dev/null </dev/null | awk '
        /^[^ ]/ { package = substr($0, 1, length($0) - 1); next }
        /^( \*\*\*|    ) [^ ]/ { version = $1 == "***" ? $2 : $1; next }
        /^ *-?[0-9]+ / && $2 !~ /\/status$/ { print package, version }' >"$WORK/offered"
}

# No list tells the hash of such a file any more: it must be this package, and all of it must unpack.
is_whole() { # FILE NAME VERSION
    arch_=${1##*_}
    # shellcheck disable=SC2016 # for dpkg-deb
    [ "$(may dpkg-deb -W --showformat='${Package} ${Version} ${Architecture}' "$1" 2>/dev/null)" = "${2%%:*} $3 ${arch_%.deb}" ] &&
        may dpkg-deb --ctrl-tarfile "$1" >/dev/null 2>&1 && may dpkg-deb --contents "$1" >/dev/null 2>&1
}

archive_of() { # NAME VERSION: its file among what we kept and among apt's archives; damaged ones to $WORK/damaged
    arch=${1#*:}
    [ "$arch" != "$1" ] || arch=$NATIVE
    stem=$(printf '%s\n%s\n' "${1%%:*}" "$2" | awk "$AWK_FILES"' NR == 1 { name = $0 } NR == 2 { print stem_of(name, $0) }')
    bad=
    for folder in ${KEPT:+"$KEPT"} "$ARCHIVES"; do
        for file in "$folder/${stem}_$arch.deb" "$folder/${stem}_all.deb"; do
            [ -f "$file" ] || continue
            if is_whole "$file" "$1" "$2"; then
                printf '%s\n' "$file"
                return
            fi
            bad=${bad:-$file}
        done
    done
    [ -z "$bad" ] || printf '%s=%s (%s)\n' "$1" "$2" "$bad" >>"$WORK/damaged"
}

# --- download, apply ---------------------------------------------------------------------------------------

# What makes a run that was ended go on, and one that is done end with 10: what is there in the named version counts as
# done. Compare what is named with what is installed, and write to $WORK: wanted, the name, version before and version
# after ("-" for none) of what is still to be done; names, as apt-get takes them; there, held and broken.
still_to_do() {
    : >"$WORK/wanted"
    : >"$WORK/there"
    : >"$WORK/names"
    : >"$WORK/held"
    : >"$WORK/broken"
    printf '%s' "$NAMED" | awk -F '\t' -v native="$NATIVE" -v out="$WORK" '
        function full(name) { sub(":(all|" native ")$", "", name); return name }
        FILENAME == ARGV[1] {
            if ($6 == "config-files" || $6 == "not-installed") next
            name = full($1 ":" $2); version[name] = $3; done[name] = $5 == "ok" && $6 == "installed"
            if ($4 == "hold") held[name]
            if ($5 != "ok" || $6 == "half-installed") print " " name >(out "/broken")
            next
        }
        {
            # As text: awk takes 1.1 and 1.10 for the same number.
            split($0, part, " "); name = full(part[2]); before = (name in version ? version[name] : "-") ""
            after = (part[1] == "install" ? part[3] : "-") ""
            if (before == after && after == "-") next
            if (before == after && done[name]) { print name >(out "/there"); next }
            if (before != after) {
                print name, before, after >(out "/wanted")
                if (name in held) print " " name >(out "/held")
            }
            print name (after == "-" ? "-" : "=" after) >(out "/names")
        }' "$WORK/installed" -
    must_have_space
}

# Add what is there in the named version, and on offer as another build of it. That is an update to apt, which knows two
# packages of that version until it has installed the other one.
built_anew() {
    [ -s "$WORK/there" ] || return 0
    learn candidates policy "$WORK/there"
    keep candidates
    twice_on_offer "$WORK/candidates" >"$WORK/anew"
    awk '{ print $1, $2, $2 }' "$WORK/anew" >>"$WORK/wanted"
    awk '{ print $1 "=" $2 }' "$WORK/anew" >>"$WORK/names"
    must_have_space
}

# NAME VERSION of each package whose installed version is there twice.
twice_on_offer() { builds "$1" | awk '$3 > 1 { print $1, $2 }'; }

# Pins for what must not move or come in, as in a dry-run. What is named must not be among them.
exclusions() {
    : >"$WORK/choices"
    : >"$WORK/preferences"
    [ -n "$EXCLUDE$BLOCK" ] || return 0
    present | tr ':' '\t' >"$WORK/present"
    package_pins >"$WORK/pins"
    [ ! -s "$WORK/pins" ] || preferences >"$WORK/preferences"
    must_have_space
    bad=$(excluded_in "$WORK/wanted")
    [ -z "$bad" ] || refused "named, and must not move:$bad" "$UNRESOLVED"
}

apt_get_install() { # may|run OPTION...
    way=$1
    shift
    [ ! -s "$WORK/preferences" ] || set -- -o "Dir::Etc::preferences=$WORK/preferences" "$@"
    # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
    cached "$way" apt-get -q=1 "$@" install $(cat "$WORK/names")
}

ask() {
    { settings_of_named && settings_of_asking; } >"$WORK/ask.conf"
    apt_get_install may "-c=$WORK/ask.conf" --print-uris
}

# What apt would do besides or instead, in words, one a line: nothing where it is exactly what is wanted, and at most
# what is allowed.
differences() {
    {
        under_heading "$WILL_REMOVE" | sed 's/$/ -/'
        awk -v native="$NATIVE" "$AWK_FILES"' /^\x27/ { name = named_by($2); print (name == "" ? $2 : name), file_version }' \
            "$WORK/answer"
    } | awk 'FILENAME == ARGV[1] { wanted[$1] = $3 ""; next }
        FILENAME == ARGV[2] { allowed[$1 " " $3]; next }
        ($1 in wanted) && wanted[$1] == $2 "" { found[$1]; next }
        ($1 " " $2) in allowed { next }
        $1 in wanted { found[$1]; print ($2 == "-" ? "remove " $1 : "install " $1 " " $2 " instead of " wanted[$1]); next }
        { print ($2 == "-" ? "remove " $1 : "install " $1 " " $2) }
        END {
            for (name in wanted) if (!(name in found)) print (wanted[name] == "-" ? "keep " : "not install ") name
        }' "$WORK/wanted" "$WORK/allowed" -
}

# Of what is named, each archive that lies there: its file, and NAME=VERSION.
archives_there() {
    awk -v native="$NATIVE" "$AWK_FILES"' $3 != "-" {
            n = split($1, part, ":"); print $1 "=" $3, stem_of(part[1], $3), (n > 1 ? part[2] : native) }' "$WORK/wanted" |
        while read -r named stem arch; do
            for file in "${stem}_$arch.deb" "${stem}_all.deb"; do
                [ ! -f "$ARCHIVES/$file" ] || printf '%s %s\n' "$file" "$named"
            done
        done
}

# What tells whether an archive is still the same file, of each that lies there.
archive_stats() {
    archives_there >"$WORK/there"
    [ ! -s "$WORK/there" ] || (cd "$ARCHIVES" && cut -d ' ' -f 1 "$WORK/there" | xargs stat -c '%n %i %s %z')
}

# Of archives, as sha256sum tells them, those whose package the lists know and whose bytes they do not.
spoiled() { # STANZAS-OF-THE-LISTS
    awk "$AWK_FILES"' function told() {
            if (digest != "") { file = stem_of(package, version) "_" arch ".deb"; promised[file]; good[digest, file] }
            digest = ""
        }
        FILENAME == ARGV[1] {
            if ($1 == "Package:") { told(); package = $2 }
            else if ($1 == "Version:") version = $2
            else if ($1 == "Architecture:") arch = $2
            else if ($1 == "SHA256:") digest = $2
            next
        }
        FNR == 1 { told() }
        ($2 in promised) && !(($1, $2) in good) { print $2 }' "$1" -
}

# apt takes an archive of the right size as it lies there. One with other bytes than the lists promise goes, so that it
# is fetched anew. What --download left, and nobody touched since, has been through this.
sift_archives() {
    : >"$WORK/spoiled"
    archive_stats >"$WORK/stats"
    [ -e "$CACHE/sifted" ] || : >"$CACHE/sifted"
    awk 'FILENAME == ARGV[1] { known[$0]; next }
        FILENAME == ARGV[2] { if ($0 in known) whole[$1]; next }
        !($1 in whole)' "$CACHE/sifted" "$WORK/stats" "$WORK/there" >"$WORK/unknown"
    must_have_space
    [ -s "$WORK/unknown" ] || return 0
    cut -d ' ' -f 2 "$WORK/unknown" >"$WORK/unknown-names"
    # A version that the lists do not have any more is promised nothing.
    stanzas may "$WORK/unknown-names" >"$WORK/promised" 2>/dev/null </dev/null
    (cd "$ARCHIVES" && cut -d ' ' -f 1 "$WORK/unknown" | xargs sha256sum) 2>/dev/null | spoiled "$WORK/promised" >"$WORK/spoiled"
    must_have_space
    sure
    while read -r file; do rm -f "$ARCHIVES/$file"; done <"$WORK/spoiled"
    listing spoiled
}

not_resolved() {
    if complains "$SAYS_HALF_DONE|$SAYS_REINSTALL"; then finish "$INTERRUPTED"; fi
    if complains "$SAYS_GONE"; then finish "$GONE"; fi
    if complains "$SAYS_BROKEN"; then finish "$UNRESOLVED"; fi
    finish "$OTHER"
}

# Before anything is fetched ahead: end where apt would do anything but what is named.
exactly() {
    section resolve ask
    keep answer
    [ "$code" -eq 0 ] || not_resolved
    ! complains "$SAYS_WOULD_REMOVE_ESSENTIAL" || refused "$ESSENTIAL" "$UNRESOLVED"
    differences >"$WORK/differs"
    same
}

same() { # end where apt would do anything else, by what stands in $WORK/differs
    [ -s "$WORK/differs" ] || return 0
    differences=$(in_one_line <"$WORK/differs")
    # A name that apt does not know any more is a pattern or a provided name to it.
    case $differences in *'not install '*) refused "apt would do something else: $differences" "$GONE" ;; esac
    refused "apt would do something else: $differences" "$UNRESOLVED"
}

install_for_real() { # OPTION...
    guard >"$WORK/guard"
    : >"$WORK/linking"
    settings_of_acting >"$WORK/act.conf"
    must_have_space
    act "$@" apt_get_install run "-c=$WORK/act.conf" -y
    # apt tells an old cache by second and size of the database, which a quick change can leave alike.
    rm -f "$CACHE"/pkgcache*.bin
}

# dpkg stops where a package cannot be unpacked, and apt then leaves unconfigured what was unpacked before it.
configure_others() {
    [ "$result" -ne "$INTERRUPTED" ] && [ "$result" -ne "$LOCKED" ] && [ -s "$WORK/failed" ] || return 0
    others=$(unfinished | awk -F '\t' 'FILENAME == ARGV[1] { sub(/:.*/, "", $1); failed[$1]; next }
        { sub(/:.*/, "", $1) } $4 == "unpacked" && !($1 in failed)' "$WORK/failed" -)
    [ -n "$others" ] || return 0
    act configure dpkg_as_apt --configure -a
    failures >"$WORK/failed"
    snapshot
}

# Versions that no list offers any more come from what was kept.
take_kept() {
    grep -v -e '-$' "$WORK/names" >"$WORK/coming-names" || return 0
    offered "$(sed 's/=.*//' "$WORK/coming-names")"
    sed 's/=/ /' "$WORK/coming-names" | grep -vxF -f "$WORK/offered" >"$WORK/gone" || return 0
    : >"$WORK/damaged"
    while read -r name version; do
        file=$(archive_of "$name" "$version")
        [ -z "$file" ] || printf '%s %s\n' "$name=$version" "$file"
    done <"$WORK/gone" >"$WORK/files"
    awk 'FILENAME == ARGV[1] { file[$1] = $2; next } { print ($0 in file ? file[$0] : $0) }' \
        "$WORK/files" "$WORK/names" >"$WORK/named-files"
    mv "$WORK/named-files" "$WORK/names"
    must_have_space
    [ ! -s "$WORK/damaged" ] ||
        refused "no longer available, and what was kept is damaged:$(each_in "$WORK/damaged")" "$GONE"
}

# Before anything comes in: the folder of what is kept, within its bounds.
make_room_for_kept() {
    {
        sed -n 's|^/.*/|!|p' "$WORK/names"
        awk -F '\t' "$AWK_FILES"' { print stem_of($1, $3) "_" $2 ".deb" }' "$WORK/installed"
    } | bound_kept
}

# Both verbs go the same way, as far as they go.
download() { apply; }

apply() {
    own_cache
    leave_out_sources
    nobody_answers
    wait_and_compare
    [ -z "$(journal)" ] || refused 'dpkg was interrupted earlier' "$INTERRUPTED"
    still_to_do
    built_anew
    [ ! -s "$WORK/broken" ] ||
        refused "half installed, by a run that was interrupted:$(tr -d '\n' <"$WORK/broken")" "$INTERRUPTED"
    if [ ! -s "$WORK/names" ]; then
        [ "$VERB" = --download ] || restore_marks
        finish "$NOTHING"
    fi
    [ ! -s "$WORK/held" ] || refused "held by the operator:$(tr -d '\n' <"$WORK/held")" "$UNRESOLVED"
    exclusions
    take_kept
    : >"$WORK/allowed"
    : >"$WORK/differs"
    [ "$VERB" = --apply ] || exactly
    sift_archives
    [ "$VERB" = --download ] || make_room_for_kept
    [ "$VERB" = --download ] || left_behind >"$WORK/left-behind"
    begin_to_act
    if [ "$VERB" = --download ]; then install_for_real download; else install_for_real apply; fi
    native=$code
    if said "$SAYS_MUST_REMOVE"; then
        since >"$WORK/answer"
        under_heading "$WILL_REMOVE" | sed 's/^/remove /' >"$WORK/differs"
    fi
    same
    ! said "$SAYS_ESSENTIAL" || refused "$ESSENTIAL" "$UNRESOLVED"
    failures >"$WORK/failed"
    judge "$native"
    refusing_hooks >"$WORK/hooks"
    if [ "$VERB" = --apply ] && [ -s "$WORK/hooks" ]; then
        keep_as failed hooks
        result=$NOT_BEGUN
    fi
    tell_unfetched
    if [ "$VERB" = --download ]; then
        # apt compared with its lists what it has just fetched, and the rest was sifted above.
        [ "$result" -ne "$OK" ] || { archive_stats >"$CACHE/sifted.new" && ! trouble && mv "$CACHE/sifted.new" "$CACHE/sifted"; }
        finish "$result"
    fi
    [ ! -s "$WORK/coming" ] || keep_packages "$ARCHIVES" <"$WORK/coming"
    snapshot
    configure_others
    restore_marks
    conffiles_made >"$WORK/conffiles"
    listing failed
    listing conffiles
    [ "$result" -ne "$OK" ] || [ -z "$(reboot_required)" ] || result=$REBOOT
    finish "$result"
}

# --- repair ------------------------------------------------------------------------------------------------

# What was being done when apt or its dpkg was interrupted, as "name before after": apt's last transaction, where it has
# no end or ended with an error.
underway() {
    [ -e "$HISTORY" ] || return 0
    awk -v native="$NATIVE" '
        /^Start-Date: / { n = failed = 0; next }
        /^Error: / { failed = 1; next }
        /^End-Date: / { if (!failed) n = 0; next }
        /^(Install|Reinstall|Upgrade|Downgrade): / {
            kind = $1; sub(/^[^ ]* /, ""); sub(/\)$/, ""); count = split($0, one, /\), /)
            for (i = 1; i <= count; i++) {
                name = one[i]; sub(/ .*/, "", name); sub(":(all|" native ")$", "", name)
                versions = one[i]; sub(/^[^(]*\(/, "", versions); split(versions, version, ", ")
                if (kind ~ /^(Install|Reinstall)/) version[2] = version[1]
                line[++n] = name " " (kind ~ /^Install/ ? "-" : version[1]) " " version[2]
            }
        }
        END { for (i = 1; i <= n; i++) print line[i] }' "$HISTORY"
}

# The same of packages alone, as dpkg began with them, the last of each.
begun() {
    dpkg_log=$(configured | sed -n 's/^[Dd][Pp]kg::Options:: "--log=\(.*\)";$/\1/p' | tail -n 1)
    [ -n "$dpkg_log" ] || dpkg_log=$ROOT/var/log/dpkg.log
    for file in "$dpkg_log.1" "$dpkg_log"; do
        [ ! -r "$file" ] || cat "$file"
    done | awk -v native="$NATIVE" '$3 == "upgrade" || $3 == "install" {
            name = $4; sub(":(all|" native ")$", "", name); last[name] = $5 " " $6 }
        END { for (name in last) print name, last[name] }'
}

# The version in which each of $WORK/again comes back: the one that was being installed, else the one that is
# recorded; from the lists, else as an archive that was fetched earlier. Writes wanted and names as for apply.
choose_again() {
    : >"$WORK/wanted"
    : >"$WORK/names"
    offered "$(cut -d ' ' -f 1 "$WORK/again")"
    : >"$WORK/damaged"
    while read -r name recorded; do
        for version in $(awk -v name="$name" '$1 == name { print $3; exit }' "$WORK/allowed") \
            $(begun | awk -v name="$name" '$1 == name { print $3 }') "$recorded"; do
            if grep -qxF "$name $version" "$WORK/offered"; then
                word=$name=$version
            else
                word=$(archive_of "$name" "$version")
            fi
            [ -n "$word" ] || continue
            printf '%s %s %s\n' "$name" "$recorded" "$version" >>"$WORK/wanted"
            printf '%s\n' "$word" >>"$WORK/names"
            break
        done
    done <"$WORK/again"
    must_have_space
}

# What may move in a repair, as underway says it: what was to be done.
to_be_done() {
    printf '%s' "$NAMED" | awk -v native="$NATIVE" '{
        name = $2; sub(":(all|" native ")$", "", name); print name, "?", ($1 == "install" ? $3 : "-") }'
    underway
}

# Wherever the resolver may choose, it takes what was to be done, also where something newer is on offer by now.
prefer_what_was_to_be_done() {
    while read -r name _ version; do
        [ "$version" = - ] || pin "$name" "version $version" 32767
    done <"$WORK/allowed" >"$WORK/pins"
    preferences >"$WORK/preferences"
    must_have_space
}

# Whether dependencies of installed packages are not met: of two that move together, one came and the other did not.
lacks() {
    ! dependencies >"$WORK/lacking"
}

# What must be reinstalled, as "name recorded-version": dpkg knows that it is half there, and --configure cannot mend it.
must_come_again() {
    unfinished | awk -F '\t' '$2 !~ /deinstall|purge/ && ($3 != "ok" || $4 == "half-installed") { print $1 }' |
        awk -F '\t' -v native="$NATIVE" 'FILENAME == ARGV[1] { again[$1]; next }
            { name = $1 ($2 == "all" || $2 == native ? "" : ":" $2) } name in again { print name, $3 }' \
            - "$WORK/installed"
}

# The same, and with it all of the transaction that has not come yet.
all_that_was_to_come() {
    must_come_again
    must_come_again | awk -v native="$NATIVE" 'FILENAME == ARGV[1] { split($0, part, "\t")
            version[part[1] (part[2] == "all" || part[2] == native ? "" : ":" part[2])] = part[3]; next }
        FILENAME == "-" { seen[$1]; next }
        $3 != "-" && version[$1] != $3 && !($1 in seen) { seen[$1]; print $1, (version[$1] == "" ? "-" : version[$1]) }' \
        "$WORK/installed" - "$WORK/allowed"
}

# Ask apt to finish it with no more than is needed: what must be reinstalled alone; then what apt itself thinks of to
# mend what is broken; then the whole transaction. Whether one of these is exactly what was to be done.
ask_to_finish() { # ROUND
    must_come_again >"$WORK/again"
    for way in alone mending whole; do
        [ "$way" != whole ] || all_that_was_to_come >"$WORK/again"
        choose_again
        case $way in
            mending) : >"$WORK/names" ;;
            *) [ -s "$WORK/names" ] || continue ;;
        esac
        collect ask
        cp "$WORK/out" "$WORK/answer"
        differences=$(differences | in_one_line)
        [ "$code" -ne 0 ] || [ -n "$differences" ] || break
    done
    tell "resolve$1"
    [ "$code" -eq 0 ] && [ -z "$differences" ]
}

# Bring to its end what dpkg alone cannot: what must be reinstalled, or lacks what was to come with it. All of the
# transaction that it belongs to may come along, and nothing else. A second round is told in sections of its own. Fails
# where apt would do anything else.
reinstall() { # [ROUND]
    must_come_again >"$WORK/again"
    [ -s "$WORK/again" ] || said "$SAYS_UNCONFIGURED" || lacks || return 0
    to_be_done >"$WORK/allowed"
    prefer_what_was_to_be_done
    AGAIN=1
    if ask_to_finish "${1:-}"; then
        install_for_real "reinstall${1:-}"
        native=$code
        snapshot
        return 0
    fi
    printf '[refused%s]\n!to finish what was interrupted, apt would do more than was to be done then%s\n' \
        "${1:-}" "${differences:+: $differences}"
    printf '!look at it and do it with: apt-get -f install\n= 0\n'
    return 1
}

mend() {
    mended=0
    dpkg_as_apt --configure -a || mended=$?
    for end in deinstall/--remove purge/--purge; do
        names=$(unfinished | awk -F '\t' -v want="${end%/*}" '$2 == want { print $1 }')
        [ -z "$names" ] || dpkg_as_apt "${end#*/}" "$names" || mended=$?
    done
    return "$mended"
}

# What is still neither one nor the other, with what dpkg said of it.
remaining() {
    unfinished | awk -F '\t' -v native="$NATIVE" '
        FILENAME == ARGV[1] { name = $1; sub(":" native "$", "", name); told[name] = $2; next }
        { print $1 "\t" ($1 in told ? told[$1] : "is " $4 ($3 == "ok" ? "" : ", and must be reinstalled")) }' "$WORK/told" -
}

repair() {
    own_cache
    nobody_answers
    # What is awaited here may be the very run that is repaired: its apt goes on though its script was killed.
    wait_for_locks
    if [ -z "$(unfinished)$(journal)" ] && ! lacks; then
        restore_marks
        finish "$NOTHING"
    fi
    begin_to_act
    act repair mend
    native=$code
    snapshot
    # What apt first brings a partner for, it does not always install anew in the same go.
    if reinstall && [ -n "$(must_come_again)" ]; then reinstall -again; fi
    failures >"$WORK/failed"
    judge "$native"
    restore_marks
    conffiles_made >"$WORK/conffiles"
    keep_as told failed
    remaining >"$WORK/failed"
    listing failed
    listing conffiles
    rest=$(unfinished)
    [ -n "$rest$(journal)" ] || lacks || finish "$OK"
    case $result in "$LOCKED" | "$NO_SPACE" | "$OTHER" | "$STALE" | "$UNTRUSTED") finish "$result" ;; esac
    # A script that fails each time is not what an interruption left.
    torn=$(printf '%s\n' "$rest" | awk -F '\t' '$3 != "ok" || $4 == "half-installed"')
    if [ -z "$torn" ] && grep -q "$SAYS_SCRIPT" "$WORK/told"; then
        finish "$SCRIPT_FAILED"
    fi
    finish "$INTERRUPTED"
}

do_verb
