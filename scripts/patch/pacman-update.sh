#!/bin/sh
# Observe, refresh, dry-run and patch with pacman on this machine, or on the root that a configuration names.
#
# Part of patchledger, and a plain tool as well:  sh pacman-update.sh --dry-run --exclude linux
# Contract: docs/reference/patch-scripts.md. In short:
#   - pacman's own databases are never refreshed without being upgraded to: what is offered is read into a folder
#     of ours (--cache), and becomes the machine's when the upgrade to it has succeeded;
#   - nothing but --refresh, --download, --apply and --repair changes anything: the resolver works on a database of
#     ours, for an empty root, with nothing that it could fetch packages from;
#   - upgrades are always full ones (-Su); what is excluded is --ignore'd in that same run.

SELF=pacman-update.sh
# shellcheck source=scripts/patch/common.sh
[ -n "${COMMON:-}" ] || . "$(dirname "$0")/common.sh"
unset COLUMNS 2>/dev/null

# --- arguments ---------------------------------------------------------------------------------------------

NAME_START='A-Za-z0-9@_+' NAME_CHARS='A-Za-z0-9@._+:-' VERSION_CHARS='A-Za-z0-9.+:~_@-' VERSION_FORM='*'
ROOT_HAS=var/lib/pacman/local NOT_HAD='--relations --security-source --include --keep-size --keep-days'
take_options "$@"
if [ "$VERB" = --refresh ] && [ -z "$CACHE" ]; then
    misuse '--refresh needs --cache: without an upgrade, pacman'\''s own databases must stay as they are'
fi
# To pacman, both are the same.
EXCLUDE=$EXCLUDE,$BLOCK

# --- pacman's words ----------------------------------------------------------------------------------------

# All that is looked for in what it says, which is English by LC_ALL. What has a form is taken apart where it is read.
SAYS_PROCEED='^:: Proceed with '
SAYS_ERROR='^error'
SAYS_UNRESOLVED='failed to prepare transaction|unresolvable package conflicts'
SAYS_NO_SPACE='No space left|not enough free disk space'
# Of a question. That it can fetch nothing is our doing.
SAYS_NO_DATABASE='database file for .* does not exist|Unrecognized archive format'
SAYS_GONE='target not found'
SAYS_NO_SERVER='^error: no servers configured'
SAYS_NOT_COMMITTED='^error: failed to commit'
SAYS_NOTHING_DONE='^Errors occurred, no packages were upgraded'
# Of refresh.
SAYS_DENIED='unless you are root'
SAYS_QUOTA='quota exceeded'
SAYS_DATABASES_UNTRUSTED='signature|PGP|keyring|key "'
SAYS_DATABASES_STALE='failed retrieving|failed to synchronize|failed to update|no servers configured'
# Of what changes packages.
SAYS_FULL_PARTITION='Partition .* too full'
SAYS_LOCKED='unable to lock database'
SAYS_NOT_FOUND='404|Could(n.t| not) open file|[Nn]ot [Ff]ound|No such file'
SAYS_NO_SIGNATURE='failed retrieving file .*\.sig'
SAYS_CORRUPT='invalid or corrupted package \(checksum\)'
SAYS_NOT_FETCHED='failed retrieving|download library error|no servers configured'
SAYS_HOOK_FAILED='failed to run transaction hooks'
SAYS_GUARD='^it would '
SAYS_FILE_CONFLICT='conflicting files'
SAYS_NOT_TRUSTED='^error: [^ ]+: (signature from|missing required signature|key ")|could not be looked up remotely'
SAYS_UNTRUSTED='PGP signature|missing required signature|required key|signature from|key "|keyring is not writable'

# --- the machine -------------------------------------------------------------------------------------------

begin pacman pacman pacman-conf bsdtar
make_work_dir
# shellcheck disable=SC2086 # a name each
tools $TEXT bsdtar touch
UID_NOW=$(id -u)

# The operator's configuration with all that it includes, in pacman's own words. Where another root is asked for,
# the paths in it are meant below that.
CONF=${PACMAN_CONF:-$BELOW/etc/pacman.conf}

below_root() { # PATH: where it lies, in $below
    case $1 in
        "$BELOW" | "$BELOW"/*) below=$1 ;;
        *) below=$BELOW$1 ;;
    esac
}

# What another root's configuration includes lies below that root, unless it says so itself.
flatten() {
    [ -n "$BELOW" ] || {
        # With 1 it says what is wrong in there.
        may pacman-conf --config "$CONF"
        return
    }
    awk -v below="$BELOW" '/^[ \t]*Include[ \t]*=/ { path = $0; sub(/^[^=]*=[ \t]*/, "", path)
            if (path ~ /^\// && index(path, below "/") != 1) { print "Include = " below path; next } }
        { print }' "$CONF" >"$WORK/operator.conf" || return
    may pacman-conf --config "$WORK/operator.conf" --rootdir "$BELOW"
}

options_named() { # KEY [WORD]: the values of an option of [options], one a line, each behind a word
    while IFS= read -r option_; do
        case $option_ in "$1 = "*) printf '%s%s\n' "${2:+$2 }" "${option_#"$1 = "}" ;; esac
    done <"$WORK/options"
}

# Of the repositories those whose newer packages an upgrade takes (Usage).
upgrading_from() { # FILE
    awk 'FILENAME == ARGV[1] {
            if (/^\[/) section = $0
            else if ($0 == "Usage = All" || $0 == "Usage = Upgrade") takes[section]
            next
        }
        /^\[/ { on = $0 == "[options]" || ($0 in takes) } on' "$WORK/flat" "$1"
}

# What stands for itself in every run: the folders are given as arguments, and how lists look is ours to know.
FOLDERS='RootDir|DBPath|CacheDir|HookDir|GPGDir|LogFile|VerbosePkgLists|Color|ILoveCandy'
# What is not for the database of ours: it can fetch nothing, so that it can install nothing. What is in it was verified
# when it was read.
FETCHING='Server|CacheServer|XferCommand|DownloadUser|SigLevel|LocalFileSigLevel|CheckSpace'

# The parts of the configuration, each a file: all that counts of it (flat), its options, the names of its repositories,
# and what pacman is told of it for the machine (real.conf) and for the database of ours (void.conf).
take_apart() {
    printf '%s' "$WITHOUT" >"$WORK/without"
    for part in flat options repositories real.conf void.conf; do : >"$WORK/$part"; done
    awk -v to="$WORK/" -v not_real="^($FOLDERS)( = |\$)" -v not_void="^($FOLDERS|$FETCHING)( = |\$)" '
        FILENAME == ARGV[1] { without["[" $0 "]"]; next }
        # Of two repositories of one name pacman takes the first, and complains of the other in every answer.
        /^\[/ { off = ($0 in seen) || ($0 in without); seen[$0]; sections += !off }
        off { next }
        /^\[/ && $0 != "[options]" { print substr($0, 2, length($0) - 2) >(to "repositories") }
        / = / && sections < 2 { print >(to "options") }
        $0 !~ not_real { print >(to "real.conf") }
        $0 !~ not_void { print >(to "void.conf") }
        $0 == "[options]" { print "SigLevel = Never\nLocalFileSigLevel = Never" >(to "void.conf") }
        { print >(to "flat") }' "$WORK/without" "$WORK/all"
    must_have_space
}

# The folders that it names, and what else its options say of this machine.
read_options() {
    RAW_ROOT=$BELOW DB=$BELOW KEYS=$BELOW LOGFILE=$BELOW ARCHIVES='' ARCHITECTURE=''
    : >"$WORK/cachedirs"
    : >"$WORK/hookdirs"
    while IFS= read -r option_; do
        value=${option_#* = }
        below_root "${value%/}"
        case $option_ in
            'RootDir = '*)
                below_root "$value"
                RAW_ROOT=$below
                ;;
            'DBPath = '*) DB=$below ;;
            'GPGDir = '*) KEYS=$below ;;
            'LogFile = '*) LOGFILE=$below ;;
            'CacheDir = '*)
                ARCHIVES=${ARCHIVES:-$below}
                printf '%s\n' "$below" >>"$WORK/cachedirs"
                ;;
            'HookDir = '*) printf '%s\n' "$below" >>"$WORK/hookdirs" ;;
            'Architecture = '*) ARCHITECTURE=${ARCHITECTURE:-$value} ;;
        esac
    done <"$WORK/options"
}

configure() {
    if ! flatten >"$WORK/all" 2>"$WORK/err" </dev/null; then
        section configuration flatten
        finish "$OTHER"
    fi
    take_apart
    read_options
    ROOT=${RAW_ROOT%/}
    LOCK=$DB/db.lck
    # What a run of ours is about; there as long as it runs, and longer where it was killed.
    RUN=$DB/patchledger
    # As it comes, what is fetched for --refresh is fetched only where it is newer, which costs less than a limit saves.
    case $VERB in --download | --apply | --repair) limit_rate ;; esac
    OURS=${CACHE:+$CACHE/pacman}
    # All of these say where to look, and one that is missing would be another place.
    sure
    SYNC=$DB/sync
    [ -z "$OURS" ] || ! ours_count || SYNC=$OURS/sync
    sure
}

# pacman has no limit of its own, but lets another program fetch, one file after another; the operator's own stays.
limit_rate() {
    [ -n "$RATE" ] && [ -z "$(options_named XferCommand)" ] || return 0
    place curl || refused 'no curl is here, which --limit-rate needs' "$OTHER"
    # As pacman itself, it gives up a server that sends nothing for 10 seconds, unless the operator wants it to wait.
    patience='--speed-limit 1 --speed-time 10'
    [ -z "$(awk '$0 == "DisableDownloadTimeout"' "$WORK/flat")" ] || patience=
    # It says of what it cannot fetch what pacman would, and begins anew where a server gives no rest of a file.
    cat >"$WORK/fetch" <<EOF
get() {
    words=\$('$_place' -q -fsSL --connect-timeout 10 $patience --limit-rate ${RATE}K "\$@" 2>&1)
}
get -C - -o "\$1" "\$2" && exit
[ \$? -ne 33 ] || { rm -f "\$1"; get -o "\$1" "\$2" && exit; }
from=\${2#*://}
printf "error: failed retrieving file '%s' from %s : %s\n" "\${2##*/}" "\${from%%/*}" "\${words#curl: (*) }" >&2
exit 1
EOF
    # pacman may fetch as a user of its own.
    must chmod 755 "$WORK"
    cp "$WORK/real.conf" "$WORK/unlimited.conf"
    awk -v get="/bin/sh $WORK/fetch %o %u" '{ print } $0 == "[options]" { print "XferCommand = " get }' \
        "$WORK/unlimited.conf" >"$WORK/real.conf"
}

# Whether the databases of ours count, or pacman's own, where the operator refreshed or upgraded since: the mirror says
# when each was written, and a later look never finds an older one, so the sum tells.
ours_count() {
    set --
    for entry in "$DB/sync"/*.db; do [ ! -e "$entry" ] || set -- "$@" "$entry"; done
    own=$#
    for entry in "$OURS/sync"/*.db; do [ ! -e "$entry" ] || set -- "$@" "$entry"; done
    [ $# -gt "$own" ] || return 1
    stat -c %Y "$@" >"$WORK/written" || return 1
    later=0
    while read -r written; do
        if [ "$own" -gt 0 ]; then later=$((later - written)); else later=$((later + written)); fi
        own=$((own - 1))
    done <"$WORK/written"
    [ "$later" -ge 0 ]
}

# What is installed and what is offered, $WORK/db, for pacman to resolve in: copies.
snapshot() {
    # While somebody is at work, entries come and go.
    if [ -e "$LOCK" ]; then whole=may; else whole=must; fi
    mkdir -p "$WORK/db/sync" "$WORK/void/cache" "$WORK/void/hooks" "$WORK/void/keys"
    : >"$WORK/rows"
    if can_be_linked; then
        ln -s "$DB/local" "$WORK/db/local"
        read_entries ''
    else
        copy_entries
    fi
    state_of_databases >"$WORK/databases"
    copy_databases "$SYNC" "$WORK/db/sync"
    must_have_space
    sort "$WORK/rows" >"$WORK/installed"
}

# Of what is installed a link does where pacman is only asked. For an upgrade, it fetches before it writes anything, and
# here it has nowhere to fetch from and no files at hand. What takes packages out of the copy, or begins a run, has one;
# so has whoever asks while another is at work, or finds entries that are half written.
can_be_linked() {
    case $VERB$UNUSED$GOING in --observe | --dry-run) ;; *) return 1 ;; esac
    [ ! -e "$LOCK" ] && [ -e "$DB/local/ALPM_DB_VERSION" ] || return 1
    for entry in "$DB/local"/*/; do
        [ -s "${entry}desc" ] && [ -e "${entry}files" ] || return 1
    done
}

# pacman wants a list of files of every package, which nobody asks it about.
copy_entries() {
    mkdir "$WORK/db/local"
    for entry in "$DB/local"/*/desc; do
        [ -e "$entry" ] || break
        (cd "$DB/local" && printf '%s\0' ./*/desc) | sed -z 's/\/desc$//' | (cd "$WORK/db/local" && xargs -0 mkdir --)
        read_entries "$WORK/db/local/"
        break
    done
    [ ! -e "$DB/local/ALPM_DB_VERSION" ] || cp "$DB/local/ALPM_DB_VERSION" "$WORK/db/local/"
}

# One awk reads all entries, copies them where a folder is named, and says what is installed: name, version, arch, reason
# (1: for others), size, groups, base (what it was built from) of every package, in $WORK/rows.
read_entries() { # FOLDER/ or ''
    (cd "$DB/local" && "$whole" awk -v copy="$1" -v rows="$WORK/rows" 'BEGIN {
        for (i = 1; i < ARGC; i++) {
            entry = ARGV[i]; to = copy substr(entry, 1, length(entry) - 4)
            name = version = arch = reason = size = groups = base = key = ""
            if (copy != "") printf "" >(to "desc")
            while ((got = (getline line <entry)) > 0) {
                if (copy != "") print line >(to "desc")
                if (line ~ /^%.*%$/) key = line
                else if (line == "") key = ""
                else if (key == "%NAME%") name = line
                else if (key == "%VERSION%") version = line
                else if (key == "%ARCH%") arch = line
                else if (key == "%REASON%") reason = line
                else if (key == "%SIZE%") size = line
                else if (key == "%BASE%") base = line
                else if (key == "%GROUPS%") groups = groups (groups == "" ? "" : " ") line
            }
            if (got < 0) failed = 2
            if (copy != "") {
                if (close(to "desc")) failed = 2
                print "%FILES%" >(to "files")
                if (close(to "files")) failed = 2
            }
            close(entry)
            if (name != "") print name "\t" version "\t" arch "\t" reason + 0 "\t" size "\t" groups "\t" base >rows
        }
        exit failed }' ./*/desc)
}

copy_databases() { # FROM TO
    for entry in "$1"/*.db "$1"/*.db.sig; do
        [ ! -e "$entry" ] || cp -p "$entry" "$2/" || return
    done
}

# Packages of which the database has a folder and no description: whoever wrote it was stopped.
broken_entries() {
    for entry in "$DB/local"/*/; do
        [ -d "$entry" ] || continue
        entry=${entry%/}
        [ -s "$entry/desc" ] || printf '%s\n' "${entry##*/}"
    done
}

# Which databases there are, where what is found in them is kept. The time of the status, since the other one is the
# mirror's, in whole seconds.
state_of_databases() {
    [ -n "$CACHE" ] || return 0
    set --
    while read -r repository; do
        [ ! -e "$SYNC/$repository.db" ] || set -- "$@" "$SYNC/$repository.db"
    done <"$WORK/repositories"
    [ $# -eq 0 ] || stat -c '%i %s %z %n' "$@"
}

# Of every package in a list, as NAME or "NAME VERSION", by the first repository that has it: what the databases say. Tabs
# between fields, blanks between values; these have none. A version may come from a later repository than the name, where
# only that one has what another package needs. To read all of a database takes longer than all else, so what was looked
# for, and what was found, is kept as long as the databases are the same.
offered() { # FILE
    [ -s "$1" ] || return 0
    kept=
    [ ! -s "$WORK/databases" ] || kept=$CACHE/offered
    ended=1
    if [ -n "$kept" ] && [ -r "$kept" ]; then
        offers_found "$kept" "$1"
        ended=$?
        [ "$ended" -ne 0 ] || return 0
    fi
    cat "$1" >"$WORK/look-for"
    # Both, so that an observation and a question do not drive one another out.
    [ "$ended" -ne 3 ] || sed -n 's/^?//p' "$kept" >>"$WORK/look-for"
    {
        awk '{ print (FILENAME == ARGV[1] ? "=" : "?") $0 }' "$WORK/databases" "$WORK/look-for"
        offers_of "$WORK/look-for"
    } >"$WORK/offers"
    offers_found "$WORK/offers" "$1" || fault 1 awk || return
    [ -n "$kept" ] && ! trouble || return 0
    # What somebody left who was stopped.
    for file in "$kept".*; do [ ! -e "$file" ] || rm -f "$file"; done
    # By a name of its own, since another plan may be made beside this one.
    { may cp "$WORK/offers" "$kept.$$" && may mv "$kept.$$" "$kept"; } 2>/dev/null || return 0
}

# What was found of the names in a list; none, and 1, where that was in other databases, or 3, where not all of these were
# looked for. Behind "=" is the state of the databases, behind "?" what was looked for, behind "|" what was found.
offers_found() { # FILE LIST
    # shellcheck disable=SC2016 # for awk
    may awk -F '\t' 'FILENAME == ARGV[1] { now = now $0 "\n"; next }
        FILENAME == ARGV[2] { wanted[$0]; next }
        { mark = substr($0, 1, 1); $0 = substr($0, 2) }
        mark == "=" { then_ = then_ $0 "\n" }
        mark == "?" { looked_for[$0] }
        mark == "|" && (($2 in wanted) || ($2 " " $3) in wanted) && !($2 in seen) { seen[$2]; row[++count] = $0 }
        END {
            if (now != then_) exit 1
            for (name in wanted) if (!(name in looked_for)) exit 3
            for (i = 1; i <= count; i++) print row[i]
        }' "$WORK/databases" "$2" "$1"
}

offers_of() { # LIST
    while read -r repository; do
        [ -r "$WORK/db/sync/$repository.db" ] || continue
        bsdtar -xOf "$WORK/db/sync/$repository.db" 2>/dev/null | awk -v repository="$repository" -v names="$1" '
            BEGIN { while ((getline <names) > 0) { wanted[$0]; of_any_version[$1] } }
            passed { if ($0 != "%FILENAME%") next; passed = 0 }
            /^%.*%$/ { if ($0 == "%FILENAME%") flush(); key = substr($0, 2, length($0) - 2); next }
            key == "NAME" && $0 != "" && !($0 in of_any_version) { passed = 1; split("", value); next }
            $0 != "" { if (key in value) value[key] = value[key] " " $0; else value[key] = $0 }
            function flush() {
                if (value["NAME"] in wanted || value["NAME"] " " value["VERSION"] in wanted)
                    print "|" repository "\t" value["NAME"] "\t" value["VERSION"] "\t" value["ARCH"] "\t" value["CSIZE"] "\t" \
                        value["ISIZE"] "\t" value["SHA256SUM"] "\t" value["DEPENDS"] "\t" value["PROVIDES"] "\t" \
                        value["CONFLICTS"] "\t" value["REPLACES"]
                split("", value)
            }
            END { flush() }'
    done <"$WORK/repositories"
}

as_root() { # COMMAND...: pacman wants to be root, also for a database that is ours
    if [ "$UID_NOW" -ne 0 ] && run unshare -r true 2>/dev/null; then may unshare -r "$@"; else may "$@"; fi
}

in_void() { # ARGUMENT...
    as_root pacman --config "$WORK/void.conf" --root "$WORK/void" --dbpath "$WORK/db" --cachedir "$WORK/void/cache" \
        --hookdir "$WORK/void/hooks" --gpgdir "$WORK/void/keys" --logfile /dev/null --color never --noconfirm "$@"
}

# Resolve in the copy. pacman is not told --print, which would leave out conflicts, but to do it: all is done but for
# fetching, which fails. That it would begin is the answer.
resolving() { # ARGUMENT...
    in_void "$@" >"$WORK/said.out" 2>"$WORK/said.err" </dev/null
    rc=$?
    : >"$WORK/complained"
    : >"$WORK/proceeds"
    awk -v proceed="$SAYS_PROCEED" -v not_done="$SAYS_NOTHING_DONE" -v our_doing="$SAYS_NO_SERVER|$SAYS_NOT_COMMITTED" \
        -v to="$WORK/" 'FILENAME == ARGV[1] {
            if ($0 ~ proceed) { proceeds = 1; print >(to "proceeds") }
            if ($0 !~ not_done) print
            next
        }
        !proceeds || $0 !~ our_doing { print >(to "complained") }' "$WORK/said.out" "$WORK/said.err"
    [ ! -s "$WORK/complained" ] || cat "$WORK/complained" >&2
    [ -s "$WORK/proceeds" ] || return "$rc"
}

bare() { # COMMA-LIST: the names without their architecture
    lines_of "$1" | sed 's/:.*//; /^$/d'
}

ignoring() { # sets $ignore, as arguments: lists of which none is longer than one argument may be
    case $EXCLUDE in *[!,]*) ;; *) ignore='' && return ;; esac
    ignore=$(bare "$EXCLUDE" | awk '{ printf "%s%s", NR % 500 == 1 ? " --ignore " : ",", $0 }')
}

# "install name version" and "remove name version" of pacman's list, from a file with its output.
transaction() { # FILE
    awk '/^Packages \([0-9]+\) / { sub(/^Packages \([0-9]+\) /, ""); n = split($0, item, /  +/)
        for (i = 1; i <= n; i++) {
            text = item[i]; what = "install"
            if (text == "") continue
            if (text ~ / \[removal\]$/) { what = "remove"; sub(/ \[removal\]$/, "", text) }
            if (!match(text, /-[^-]+-[^-]+$/)) continue
            print what, substr(text, 1, RSTART - 1), substr(text, RSTART + 1) } }' "$1"
}

# --- locks -------------------------------------------------------------------------------------------------

# Who has a file of pacman's database open: pacman and its relatives keep their lock so as long as they live, and we
# keep what is ours. Where other processes cannot be looked into, a pacman of this very system counts.
holders() { # FILE
    : >"$WORK/holders"
    # Files and processes come and go while they are looked at.
    [ -e "$1" ] && file=$(may stat -c '%d:%i' "$1" 2>/dev/null) || return 0
    # shellcheck disable=SC2012 # links are read and not followed: what they lead to may not answer
    may ls -l /proc/[0-9]*/fd 2>/dev/null | awk -v name="${1##*/}" '/^\/proc\/[0-9]+\/fd:$/ { dir = substr($0, 1, length($0) - 1) }
        substr($0, length($0) - length(name)) == "/" name { for (i = 1; i < NF; i++) if ($(i + 1) == "->") print dir "/" $i }' |
        while read -r open; do
            [ "$(may stat -L -c '%d:%i' "$open" 2>/dev/null)" = "$file" ] || continue
            pid=${open#/proc/}
            printf '%s\n' "${pid%%/*}"
        done >"$WORK/holders"
    for comm in /proc/[0-9]*/comm; do
        { read -r name <"$comm"; } 2>/dev/null || continue
        [ "$name" = pacman ] || continue
        of=${comm%/comm}
        [ "$(may stat -L -c '%d:%i' "$of/root" 2>/dev/null)" = "$(may stat -L -c '%d:%i' /proc/self/root 2>/dev/null)" ] || continue
        # One that only asks takes no lock. One that is told another configuration or folder works on another database,
        # or has the file open as well.
        arguments=$({ may tr '\0' '\n' <"$of/cmdline"; } 2>/dev/null)
        printf '%s\n' "$arguments" | grep -qE '^(-[SURD].*|--(sync|upgrade|remove|database))$' || continue
        printf '%s\n' "$arguments" | grep -qE '^(-[br].*|--(config|dbpath|root|sysroot)(=.*)?)$' ||
            printf '%s\n' "${of#/proc/}" >>"$WORK/holders"
    done
    sort -u "$WORK/holders" | while read -r pid; do tell_holder same "$pid" "$1"; done
}

held() {
    holders "$LOCK"
    holders "$RUN/journal"
}

# What is there although nobody works any more: only root can tell.
left_over() {
    [ "$UID_NOW" -eq 0 ] || return 0
    [ -e "$LOCK" ] && [ -z "$(holders "$LOCK")" ] && [ -e "$LOCK" ] && printf '%s\n' "$LOCK"
    [ -e "$RUN" ] && [ -z "$(holders "$RUN/journal")" ] && [ -e "$RUN" ] && printf '%s\n' "$RUN"
    return 0
}

OUR_LOCK=

leave() {
    give_lock_back
    run rm -rf "$WORK"
}

give_lock_back() {
    [ -z "$OUR_LOCK" ] || run rm -f "$LOCK"
    OUR_LOCK=
    exec 9>&-
}

# pacman's own lock, taken as pacman takes it, and kept open as it does: so nobody else begins while we look and
# prepare, and a lock that outlives us is known as such.
try_lock() {
    set -C
    if command exec 9>"$LOCK"; then
        set +C
        OUR_LOCK=1
        trap leave EXIT
        printf 'patchledger %s\n' "$$" >&9
        return
    fi 2>/dev/null
    set +C
    return 1
}

take_lock() {
    waited=0
    until try_lock; do
        if [ ! -e "$LOCK" ]; then
            # Either it went between the two looks, or it cannot be made at all.
            if [ ! -w "$DB" ] || [ "$waited" -ge 3 ]; then refused "the lock $LOCK cannot be made" "$OTHER"; fi
        else
            held=$(holders "$LOCK")
            sure
            if [ -z "$held" ] && [ -e "$LOCK" ]; then
                if [ "$VERB" = --repair ]; then
                    began_with=1
                    rm -f "$LOCK"
                    continue
                fi
                refused "$LOCK is left over: who made it is dead; --repair removes it" "$INTERRUPTED"
            fi
            [ -z "$held" ] || [ "$waited" -lt "$LOCK_WAIT" ] || refused "$LOCK is held by $(named_holders "$held")" "$LOCKED"
        fi
        run sleep 1
        waited=$((waited + 1))
    done
}

named_holders() { # LINES
    printf '%s\n' "$1" | awk -F '\t' '{ printf "%s%s (pid %s)", s, $3, $2; s = ", " }'
}

# --- observe -----------------------------------------------------------------------------------------------

machine() {
    printf 'architecture=%s\n' "$ARCHITECTURE"
    machine_facts
    must pacman --version >"$WORK/version"
    while read -r words; do
        words=${words#*Pacman v}
        case $words in [0-9]*) printf 'pacman=%s\n' "${words%% *}" ;; esac
    done <"$WORK/version"
    printf 'database=%s\n' "$DB"
    # The modules of the running kernel are gone where its package was upgraded.
    modules=none
    for folder in "$ROOT/usr/lib/modules"/*; do [ ! -d "$folder" ] || modules=missing; done
    [ ! -d "$ROOT/usr/lib/modules/${kernel%% *}" ] || modules=present
    printf 'modules=%s\n' "$modules"
}

ignored() {
    options_named IgnorePkg package
    options_named IgnoreGroup group
}

# Of every repository: when its database was written, when it came here (- without one), where from.
sources() {
    unread=/dev/null
    if [ "$SYNC" != "$DB/sync" ] && [ -e "$OURS/refreshed" ]; then unread=$OURS/refreshed; fi
    set --
    while read -r repository; do
        [ ! -e "$SYNC/$repository.db" ] || {
            printf '%s\n' "$repository"
            set -- "$@" "$SYNC/$repository.db"
        }
    done <"$WORK/repositories" >"$WORK/there"
    stat -c '%Y %Z' "$unread" "$@" >"$WORK/times"
    # All that refreshed names by itself was read at another time than the rest.
    awk -v unread="$unread" '
        FILENAME == ARGV[1] {
            if (/^\[/) section = $0
            else if (/^Server = / && !(section in server)) server[section] = substr($0, 10)
            next
        }
        FILENAME == ARGV[2] { there[FNR] = $0; next }
        FILENAME == ARGV[3] {
            if (FNR == 1) stamp = unread == "/dev/null" ? 0 : $1
            else { name = there[FNR - 1]; written[name] = $1; came[name] = $2 < stamp ? stamp : $2 }
            next
        }
        FILENAME == unread { came[$2] = $1; next }
        { print ($0 in written ? written[$0] " " came[$0] : "- -") " " $0 " " server["[" $0 "]"] }
        ' "$WORK/flat" "$WORK/there" "$WORK/times" "$unread" "$WORK/repositories"
}

lost() {
    [ -s "$WORK/left" ] || return 0
    in_hand | awk '{ print $2 }'
}

# What a source has that an upgrade takes nothing from is no offer, and hides none.
upgradable() {
    upgrading_from "$WORK/void.conf" >"$WORK/upgrading.conf"
    in_void -Qu --config "$WORK/upgrading.conf" 2>"$WORK/said.err"
    rc=$?
    [ ! -s "$WORK/said.err" ] || cat "$WORK/said.err" >&2
    # With nothing to upgrade it ends with 1 and says nothing.
    if [ "$rc" -eq 1 ] && ! grep -q "$SAYS_ERROR" "$WORK/said.err"; then return 0; fi
    return "$rc"
}

# What pacman would put in the place of an installed package: the old name, and the new one with its version; and where
# one of both is held, "ignored". It asks before it resolves, so that what comes of that does not count.
successors() {
    resolving -Su >"$WORK/su" 2>&1
    # That it cannot resolve (1) is no matter here.
    [ "$rc" -le 1 ] || return "$rc"
    grep -qE '^:: Replace |^warning: ignoring package replacement ' "$WORK/su" || return 0
    if grep -q '^:: Replace ' "$WORK/su"; then in_void -Sl; fi >"$WORK/all" || return
    awk -v OFS='\t' 'FILENAME == ARGV[1] { version[$1 "/" $2] = $3; next }
        /^:: Replace [^ ]+ with [^ ]+\/[^ ]+\? / { new = $5; sub(/\?$/, "", new); at = version[new]; sub(/^[^\/]*\//, "", new); print $3, new, at, "" }
        /^warning: ignoring package replacement \([^ ]+ => [^ ]+\)$/ { old = $5; new = $7; sub(/^\(/, "", old); sub(/\)$/, "", new)
            sub(/-[^-]+-[^-]+$/, "", old); match(new, /-[^-]+-[^-]+$/); print old, substr(new, 1, RSTART - 1), substr(new, RSTART + 1), "ignored" }' \
        "$WORK/all" "$WORK/su" | sort -u
}

# What an observation depends on, so that a caller can tell by stat(2) alone that nothing changed. The log tells of
# marks, which change files far below.
inputs() {
    printf '%s\n' "$DB/local" "$DB/sync" "$LOCK" "$RUN" "$LOGFILE" "$CONF" ${OURS:+"$OURS"} "$ROOT/etc/os-release" \
        "$ROOT/usr/lib/modules"
    sed -n 's/^[ \t]*Include[ \t]*=[ \t]*\(\/.*\)/\1/p' "$CONF" | while read -r pattern; do
        below_root "$pattern"
        pattern=$below
        printf '%s\n' "${pattern%/*}"
        for file in $pattern; do printf '%s\n' "$file"; done
    done
}

# What the database itself says of dependencies: 0 where all of them hold, and what it misses.
check() {
    may pacman --config "$WORK/real.conf" --root "$RAW_ROOT" --dbpath "$DB" --color never -Dk
}

folders() {
    filesystems_of "$ARCHIVES" "$ROOT/" "$ROOT/boot" "$ROOT/var"
}

observe() {
    snapshot
    show_os
    section machine machine
    show_file installed "$WORK/installed"
    section ignored ignored
    section sources sources
    section upgradable upgradable
    [ "$code" -eq 0 ] || finish "$OTHER"
    awk '{ print $1, $4 }' "$WORK/out" >"$WORK/names"
    explain successors successors
    [ ! -s "$WORK/out" ] || cut -f 2,3 "$WORK/out" | tr '\t' ' ' >>"$WORK/names"
    section available offered "$WORK/names"
    section broken broken_entries
    section dependencies check
    section locks held
    section stale left_over
    # What a dead run of ours had in hand.
    : >"$WORK/left"
    if [ -e "$RUN/journal" ] && grep -qxF "$RUN" "$WORK/out"; then cp "$RUN/journal" "$WORK/left"; fi
    section lost lost
    section filesystems folders
    section clock clock
    finish "$OK"
}

# --- dry-run -----------------------------------------------------------------------------------------------

# Each chosen version must be on offer. One of a later repository is, too: it may take the place of another package.
choices_exist() {
    : >"$WORK/on-offer"
    [ -n "$CHOOSE$ONLY" ] || return 0
    lines_of "$CHOOSE,$ONLY" | sed '/^$/d; s/:[^=]*=/=/' >"$WORK/choices"
    sed 's/=/ /' "$WORK/choices" >"$WORK/names"
    offered "$WORK/names" | awk -F '\t' '{ print $2 "=" $3, $1 "/" $2 }' >"$WORK/on-offer"
    awk 'FILENAME == ARGV[1] { have[$1]; next } !($0 in have)' "$WORK/on-offer" "$WORK/choices" >"$WORK/gone"
    [ ! -s "$WORK/gone" ]
}

# One update alone, with all that must move along: what it needs, as pacman finds it, and what it would break, where
# an update mends that.
resolve_only() {
    # With its repository, else the first one of its name counts.
    set -- "$(awk 'FILENAME == ARGV[1] { only = $0; next } $1 == only { print $2 }' "$WORK/choices" "$WORK/on-offer")"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        # shellcheck disable=SC2086 # words, and names hold no blanks
        resolving -S $ignore "$@" >"$WORK/only.out" 2>"$WORK/only.err"
        rc=$?
        added=
        sed -n 's/^:: installing .* breaks dependency .* required by \([^ ]*\)$/\1/p' "$WORK/only.out" "$WORK/only.err" >"$WORK/broken"
        while read -r name; do
            case " $* " in *" $name "*) continue ;; esac
            case "$ignore " in *[\ ,]"$name"[\ ,]*) continue ;; esac
            grep -q "^$name [^[]*\$" "$WORK/upgradable" || continue
            set -- "$@" "$name"
            added=1
        done <"$WORK/broken"
        [ -n "$added" ] || break
    done
    cat "$WORK/only.out"
    cat "$WORK/only.err" >&2
    return "$rc"
}

resolve() {
    if [ -n "$ONLY" ]; then
        resolve_only
    else
        # shellcheck disable=SC2086 # words, and names hold no blanks
        resolving -Su $ignore
    fi
}

unresolved() {
    if says "$SAYS_NO_DATABASE"; then finish "$STALE"; fi
    if says "$SAYS_UNRESOLVED|$SAYS_GONE"; then finish "$UNRESOLVED"; fi
    if says "$SAYS_NO_SPACE"; then finish "$NO_SPACE"; fi
    finish "$OTHER"
}

# What would be done, in $WORK/would, with the sections that tell of it.
ask_resolver() {
    section resolve resolve
    [ "$code" -eq 0 ] || unresolved
    transaction "$WORK/out" >"$WORK/would"
}

dry_run() {
    snapshot
    [ -z "$UNUSED" ] || tell_unused
    [ -z "$GOING" ] || tell_going
    [ -z "$SECURITY" ] || refused 'pacman does not know which updates fix security problems' "$UNRESOLVED"
    section machine machine
    show_file installed "$WORK/installed"
    choices_exist || refused "no longer offered:$(each_in "$WORK/gone")" "$GONE"
    [ -z "$ONLY" ] || upgradable >"$WORK/upgradable" 2>"$WORK/err" || refused "pacman cannot say what is newer: $(tail -n 1 "$WORK/err")" "$OTHER"
    ignoring
    ask_resolver
    [ -s "$WORK/would" ] || finish "$NOTHING"
    awk '$1 == "install" { print $2, $3 }' "$WORK/would" >"$WORK/names"
    section available offered "$WORK/names"
    finish "$OK"
}

# --- what nothing needs any more ----------------------------------------------------------------------------

# Remove from the copy; the operator's HoldPkg counts or does not, by the configuration.
remove_from_copy() { # ARGUMENT...
    in_void --dbonly --noscriptlet "$@" </dev/null
}

# What came in for others and is needed by none, not even optionally. pacman lists what nothing at all needs; what only
# such packages need is listed once those are away, which they are in the copy.
unused() {
    awk '!/^HoldPkg( = |$)/' "$WORK/void.conf" >"$WORK/unheld.conf"
    : >"$WORK/unused"
    while :; do
        in_void -Qdtq >"$WORK/tops" 2>"$WORK/err" </dev/null
        rc=$?
        # With none it ends with 1 and says nothing.
        if [ ! -s "$WORK/tops" ]; then
            [ "$rc" -le 1 ] && ! grep -q "$SAYS_ERROR" "$WORK/err" && break
            cat "$WORK/err" >&2
            return 1
        fi
        cat "$WORK/tops" >>"$WORK/unused"
        # shellcheck disable=SC2046 # one argument per name is wanted, and names hold no blanks
        remove_from_copy --config "$WORK/unheld.conf" -R $(cat "$WORK/tops") >/dev/null || return
    done
    awk -F '\t' -v OFS='\t' 'FILENAME == ARGV[1] { unused[$0]; next } $1 in unused { print $1, $3, $2, "package" }' \
        "$WORK/unused" "$WORK/installed"
}

tell_unused() {
    show_file installed "$WORK/installed"
    section unused unused
    [ "$code" -eq 0 ] || finish "$OTHER"
    [ -s "$WORK/out" ] || finish "$NOTHING"
    finish "$OK"
}

# What the operator says of packages that are to stay as they are, of rows of name and version.
kept_by_operator() { # FILE
    { options_named IgnorePkg && options_named HoldPkg; } >"$WORK/patterns"
    options_named IgnoreGroup >"$WORK/groups"
    while read -r name _; do
        groups=$(awk -F '\t' -v name="$name" '$1 == name { print $6 }' "$WORK/installed")
        while read -r pattern; do
            # shellcheck disable=SC2254 # a pattern is wanted
            case $name in $pattern) echo "$name" ;; esac
        done <"$WORK/patterns"
        while read -r pattern; do
            for group in $groups; do
                # shellcheck disable=SC2254 # the same
                case $group in $pattern) echo "$name" ;; esac
            done
        done <"$WORK/groups"
    done <"$1" | awk '!seen[$0]++'
}

# Read NAME:ARCH=VERSION one a line; print name and version of what is there in it. What is not goes to "gone".
there_in() {
    awk -F '\t' -v gone="$WORK/gone" 'FILENAME == ARGV[1] { row[$1 ":" $3 "=" $2] = $1 " " $2; next }
        $0 in row { print row[$0]; next }
        { print >gone }' "$WORK/installed" -
}

# With what needs it, so that this is told. Here all of it goes, and nothing marks it: as where some of it does.
resolve_going() {
    # shellcheck disable=SC2046 # one argument per name is wanted, and names hold no blanks
    remove_from_copy -Rc $(cut -d ' ' -f 1 "$WORK/going") >"$WORK/said.out" 2>"$WORK/said.err"
    rc=$?
    awk '/^Packages \([0-9]+\) / { gsub(/  +/, " [removal]  "); sub(/ *$/, ""); if (!/\[removal\]$/) $0 = $0 " [removal]" } { print }' "$WORK/said.out"
    cat "$WORK/said.err" >&2
    return "$rc"
}

# What the removal of these would do, of all of them or none.
tell_going() {
    show_file installed "$WORK/installed"
    : >"$WORK/gone"
    printf '%s' "$GOING" | there_in >"$WORK/going"
    [ ! -s "$WORK/gone" ] || refused "not installed any more:$(each_in "$WORK/gone")" "$GONE"
    kept_by_operator "$WORK/going" >"$WORK/kept"
    [ ! -s "$WORK/kept" ] || refused "the operator keeps these as they are:$(each_in "$WORK/kept")" "$UNRESOLVED"
    section resolve resolve_going
    [ "$code" -eq 0 ] || unresolved
    transaction "$WORK/out" | sort -u >"$WORK/would"
    sed 's/^/remove /' "$WORK/going" | sort -u >"$WORK/named"
    awk 'FILENAME == ARGV[1] { would[$0]; next } !($0 in would) { print "it would not " $0 }' "$WORK/would" "$WORK/named" >"$WORK/differences"
    [ ! -s "$WORK/differences" ] || refused "pacman would do something else: $(in_one_line <"$WORK/differences")" "$UNRESOLVED"
    finish "$OK"
}

# --- refresh -----------------------------------------------------------------------------------------------

fetch() { # CONFIGURATION
    as_root pacman --config "$1" --root "$RAW_ROOT" --dbpath "$WORK/new" --gpgdir "$KEYS" --logfile /dev/null \
        --color never --noconfirm -Sy
}

is_database() { # REPOSITORY
    # With 1 it is none.
    may bsdtar -tf "$WORK/new/sync/$1.db" >/dev/null
}

are_databases() {
    while read -r repository; do
        is_database "$repository" || return 1
    done <"$WORK/repositories"
}

# Each by itself, so that those that cannot be read are known by name, and keep no other one from being read.
fetch_each() {
    while read -r repository; do
        awk -v wanted="[$repository]" '/^\[/ { on = $0 == "[options]" || $0 == wanted } on' "$WORK/real.conf" >"$WORK/one.conf"
        fetch "$WORK/one.conf" >/dev/null 2>&1 </dev/null && is_database "$repository" 2>/dev/null && continue
        printf '%s\n' "$repository"
        rm -f "$WORK/new/sync/$repository.db" "$WORK/new/sync/$repository.db.sig"
        for entry in "$SYNC/$repository.db" "$SYNC/$repository.db.sig"; do
            [ ! -e "$entry" ] || cp -p "$entry" "$WORK/new/sync/"
        done
    done <"$WORK/repositories" >"$WORK/unread"
}

refresh() {
    mkdir -p "$WORK/new/sync"
    # pacman may fetch as a user of its own.
    must chmod 755 "$WORK" "$WORK/new"
    copy_databases "$SYNC" "$WORK/new/sync"
    sources >"$WORK/were"
    section refresh fetch "$WORK/real.conf"
    ended=$(fetched)
    problem=
    if [ "$ended" -eq 0 ] && ! are_databases 2>"$WORK/err"; then
        problem="what was fetched is no database: $(tail -n 1 "$WORK/err")"
        ended=$STALE
    fi
    : >"$WORK/unread"
    case $ended in
        "$OK") ;;
        "$STALE" | "$UNTRUSTED") fetch_each ;;
        *) finish "$ended" ;;
    esac
    if cmp -s "$WORK/unread" "$WORK/repositories"; then tell_unread; fi
    take_fetched
    if [ -s "$WORK/unread" ]; then tell_unread; fi
    finish "$OK"
}

tell_unread() {
    section unread cat "$WORK/unread"
    [ -z "$problem" ] || refused "$problem" "$ended"
    finish "$ended"
}

take_fetched() {
    rm -rf "$OURS/sync.new" "$OURS/sync.old"
    sure
    if ! { may mkdir -p "$OURS" && may cp -rp "$WORK/new/sync" "$OURS/sync.new"; } 2>"$WORK/err"; then
        refused "$(tail -n 1 "$WORK/err")" "$(grep -qE "$SAYS_NO_SPACE" "$WORK/err" && echo "$NO_SPACE" || echo "$OTHER")"
    fi
    [ ! -e "$OURS/sync" ] || mv "$OURS/sync" "$OURS/sync.old"
    mv "$OURS/sync.new" "$OURS/sync"
    rm -rf "$OURS/sync.old"
    # All were read now, but for these: when that was last.
    awk 'FILENAME == ARGV[1] { unread[$0]; next } ($3 in unread) && $2 != "-" { print $2, $3 }' \
        "$WORK/unread" "$WORK/were" >"$OURS/refreshed"
}

fetched() {
    if [ "$code" -eq 0 ]; then
        echo "$OK"
    elif says "$SAYS_DENIED"; then
        echo "$OTHER"
    elif says "$SAYS_NO_SPACE|$SAYS_QUOTA"; then
        echo "$NO_SPACE"
    elif says "$SAYS_DATABASES_UNTRUSTED"; then
        echo "$UNTRUSTED"
    elif says "$SAYS_DATABASES_STALE"; then
        echo "$STALE"
    else
        echo "$OTHER"
    fi
}

# --- apply -------------------------------------------------------------------------------------------------

# On the machine's own folders, and with the operator's own rules for signatures.
with_folders() { # DATABASE ARGUMENT...
    database=$1
    shift
    set -- --config "$WORK/real.conf" --root "$RAW_ROOT" --dbpath "$database" --gpgdir "$KEYS" --logfile "$LOGFILE" \
        --color never --noconfirm "$@"
    while read -r dir; do set -- --cachedir "$dir" "$@"; done <"$WORK/cachedirs"
    while read -r dir; do set -- --hookdir "$dir" "$@"; done <"$WORK/hookdirs"
    run pacman "$@"
}

real() { # ARGUMENT...
    with_folders "$DB" "$@"
}

fetching() { # ARGUMENT...: nothing is installed, so the copy of what is installed will do
    with_folders "$WORK/db" -Suw "$@"
}

# What is named and not there yet: $WORK/named. What is there in its version already, which pacman installs again with what
# it replaces: $WORK/again.
remaining() {
    : >"$WORK/again"
    printf '%s' "$NAMED" | sed 's/:[^ ]*//' | awk -v again="$WORK/again" 'FILENAME == ARGV[1] { split($0, row, "\t"); have[row[1]] = row[2]; next }
        $1 == "install" && have[$2] == $3 { print $1, $2, $3 >again; next }
        $1 == "install" { print $1, $2, $3 }
        $1 == "remove" && ($2 in have) { print $1, $2, have[$2] }' "$WORK/installed" - | sort -u >"$WORK/named"
}

# A version of what goes that is named is what must be there, if anything is.
versions_are_there() {
    printf '%s' "$GOING_VERSIONS" | awk 'FILENAME == ARGV[1] { split($0, row, "\t"); have[row[1]] = row[2]; next }
        { name = $1; sub(/:[^:]*$/, "", name) } (name in have) && have[name] != $2 { print $1 "=" $2 }' "$WORK/installed" - >"$WORK/gone"
    [ ! -s "$WORK/gone" ] || refused "not installed any more:$(each_in "$WORK/gone")" "$GONE"
}

# Whether only packages are named that are not there, and nothing that goes for them: an upgrade brings such only with
# what needs it, or in the place of another.
comes_back() {
    awk 'FILENAME == ARGV[1] { split($0, row, "\t"); have[row[1]]; next }
        $1 != "install" || $2 in have { print; exit }' "$WORK/installed" "$WORK/named" >"$WORK/other-changes"
    [ ! -s "$WORK/other-changes" ] && [ ! -s "$WORK/again" ]
}

# Of what comes back, what is on offer and was not kept.
fetch_back() {
    : >>"$WORK/others"
    kept_files && return
    awk -F = 'FILENAME == ARGV[1] { lost[$0]; next } !($0 in lost) { print $1 }' "$WORK/others" "$WORK/gone" >"$WORK/to-fetch"
    [ -s "$WORK/to-fetch" ] || return 0
    # Where pacman fetches as a user of its own, it must get through.
    must chmod 755 "$WORK" "$WORK/db"
    # shellcheck disable=SC2046 # one argument per name is wanted
    section fetch with_folders "$WORK/db" -Swdd $(cat "$WORK/to-fetch")
}

# Whether another version than the one on offer is named, or nothing but removals: that is not what an upgrade does.
goes_back() {
    sed -n '/^install/p' "$WORK/named" "$WORK/again" >"$WORK/installs"
    [ -s "$WORK/installs" ] || return 0
    cut -d ' ' -f 2- "$WORK/installs" >"$WORK/names"
    offered "$WORK/names" | awk -F '\t' '{ print "install " $2 " " $3 }' >"$WORK/on-offer"
    awk 'FILENAME == ARGV[1] { have[$0]; next } !($0 in have) { print $2 "=" $3 }' \
        "$WORK/on-offer" "$WORK/installs" >"$WORK/others"
    [ -s "$WORK/others" ] || comes_back
}

# The package files of named versions that were kept, in $WORK/files; those without one in $WORK/gone.
kept_files() {
    : >"$WORK/files"
    : >"$WORK/gone"
    awk '$1 == "install" { print $2, $3 }' "$WORK/named" >"$WORK/wanted"
    while read -r name version; do
        found=
        while read -r dir; do
            for file in "$dir/$name-$version"-*.pkg.tar*; do
                # What follows is the architecture and the kind of archive.
                case ${file#"$dir/$name-$version-"} in *-* | *.sig | *.part) continue ;; esac
                [ ! -f "$file" ] || found=$file
            done
        done <"$WORK/cachedirs"
        if [ -n "$found" ]; then printf '%s\n' "$found" >>"$WORK/files"; else printf '%s=%s\n' "$name" "$version" >>"$WORK/gone"; fi
    done <"$WORK/wanted"
    [ ! -s "$WORK/gone" ]
}

# The names that must be named and are not, and the other way round.
differences() {
    awk 'FILENAME == ARGV[1] { would[$0]; next } FILENAME == ARGV[2] { named[$0]; next } { again[$0] }
        END { for (each in would) if (!(each in named) && !(each in again)) print "it would also " each
            for (each in named) if (!(each in would)) print "it would not " each }' "$WORK/would" "$WORK/named" "$WORK/again" | sort
}

must_be_equal() {
    sort -u -o "$WORK/would" "$WORK/would"
    differences >"$WORK/differences"
    [ -s "$WORK/differences" ] || return 0
    refused "pacman would do something else: $(in_one_line <"$WORK/differences")" "$UNRESOLVED"
}

# Going back, in the copy: files first, with what conflicts with them and is named for removal, then the rest.
resolve_back() {
    : >"$WORK/went"
    if [ -s "$WORK/files" ]; then
        # shellcheck disable=SC2046 # one argument per file is wanted; pacman's cache holds names without blanks
        in_void --dbonly --noscriptlet --ask 4 -U $(cat "$WORK/files") >"$WORK/said.out" 2>"$WORK/said.err" </dev/null
        rc=$?
        cat "$WORK/said.out"
        cat "$WORK/said.err" >&2
        [ "$rc" -eq 0 ] || return "$rc"
        transaction "$WORK/said.out" >>"$WORK/went"
    fi
    rest=$(left_to_remove)
    [ -n "$rest" ] || return 0
    # shellcheck disable=SC2086 # one argument per name is wanted
    in_void --dbonly --noscriptlet -R $rest >"$WORK/said.out" 2>"$WORK/said.err" </dev/null
    rc=$?
    cat "$WORK/said.out"
    cat "$WORK/said.err" >&2
    # Here all of it goes, and nothing marks it.
    transaction "$WORK/said.out" | sed 's/^install/remove/' >>"$WORK/went"
    return "$rc"
}

# What is named for removal, and has not gone in the first of two steps.
left_to_remove() {
    awk 'FILENAME == ARGV[1] { gone[$0]; next } $1 == "remove" && !($0 in gone) { print $2 }' "$WORK/went" "$WORK/named"
}

go_back() {
    if [ -n "$FILES" ]; then
        # shellcheck disable=SC2086 # one argument per file is wanted
        real --ask 4 -U $FILES || return
    fi
    [ -n "$REST" ] || return 0
    # shellcheck disable=SC2086 # one argument per name is wanted
    real -R $REST
}

# What is to be done, for whoever finds it after we died: "change", name, version before, version after, reason; and
# "replace", name, version, of whom; and "work", our private folder.
journal() {
    printf 'work %s\n' "$WORK"
    awk '$1 == "install" { print $2, $3 }' "$WORK/would" >"$WORK/names"
    offered "$WORK/names" | awk -F '\t' 'FILENAME == ARGV[1] { split($0, row, " "); if (row[1] == "remove") goes[row[2]]; next }
        { n = split($11, of, " "); for (i = 1; i <= n; i++) { sub(/[<>=].*/, "", of[i]); if (of[i] in goes) print "replace", $2, $3, of[i] } }' \
        "$WORK/would" -
    awk 'FILENAME == ARGV[1] { split($0, row, "\t"); have[row[1]] = row[2]; reason[row[1]] = row[4]; next }
        $1 == "install" { print "change", $2, ($2 in have) ? have[$2] : "-", $3, ($2 in have) ? reason[$2] : 0 }' \
        "$WORK/installed" "$WORK/named"
}

# Once more under pacman's own lock, when it knows what it is going to do and has not begun: a hook of this run alone
# that lets nothing pass but the named packages. It is run inside of the root, by its shell, which may have no tools.
guard() { # FILE-OF-NAMES FILE
    names=$(sort -u "$1" | tr '\n' ' ')
    cat >"$2" <<EOT
all=' $names'
left=\$all
while read -r name; do
    case \$all in *" \$name "*) ;; *) echo "it would also change \$name"; exit 1 ;; esac
    case \$left in *" \$name "*) left="\${left%% \$name *} \${left#* \$name }" ;; esac
done
case \$left in *[!\\ ]*) echo "it would not change\$left"; exit 1 ;; esac
EOT
}

guard_by_hook() {
    cat >"$WORK/hooks/00-patchledger.hook" <<EOT
[Trigger]
Operation = Install
Operation = Upgrade
Operation = Remove
Type = Package
Target = *
[Action]
Description = Checking that nothing else is changed...
When = PreTransaction
Exec = /bin/sh ${RUN#"$ROOT"}/guard
AbortOnFail
NeedsTargets
EOT
}

# Put down what this run is about, let pacman see what the plan was made with, and let it have its lock. libalpm removes
# a symbolic link on its way to a package's entry, so it cannot be shown another folder with a link to the real one in it.
begin_run() {
    rm -rf "$RUN.new"
    may mkdir -p "$RUN.new/sync" "$WORK/hooks" || refused "$RUN cannot be made" "$NO_SPACE"
    journal >"$RUN.new/journal"
    copy_databases "$DB/sync" "$RUN.new/sync"
    if [ -z "$BACK" ]; then
        case $RUN in "$ROOT"/*) guard_by_hook ;; esac
        printf '%s\n' "$WORK/hooks" >>"$WORK/hookdirs"
    fi
    sure
    rm -rf "$RUN"
    if ! may mv "$RUN.new" "$RUN" || ! grep -q . "$RUN/journal"; then
        refused "what is to be done cannot be written to $RUN" "$NO_SPACE"
    fi
    exec 8>>"$RUN/journal"
    [ -n "$BACK" ] || put_databases "$WORK/db/sync"
    give_lock_back
}

# The run is over. Where it did not come to what is offered, pacman's databases become again what they were.
end_run() { # 0 or another CODE
    kept=
    if [ "$1" -ne 0 ] && [ -z "$BACK" ] && try_lock; then
        put_databases "$RUN/sync" || kept=1
        give_lock_back
    fi
    exec 8>&-
    # What could not be put back is left to --repair.
    [ -n "$kept" ] || rm -rf "$RUN"
}

put_databases() { # FOLDER
    put=0
    mkdir -p "$DB/sync" || put=1
    for file in "$DB/sync"/*.db "$DB/sync"/*.db.sig; do
        [ -e "$1/${file##*/}" ] || rm -f "$file"
    done
    for file in "$1"/*.db "$1"/*.db.sig; do
        [ -e "$file" ] || continue
        name=${file##*/}
        [ -e "$DB/sync/$name" ] && cmp -s "$file" "$DB/sync/$name" && continue
        { cp -p "$file" "$DB/sync/.$name.new" && mv "$DB/sync/.$name.new" "$DB/sync/$name"; } || put=1
    done
    return "$put"
}

settle() { # sets $BACK, and makes sure that exactly the named changes would be made
    versions_are_there
    remaining
    [ -s "$WORK/named" ] || finish "$NOTHING"
    ignoring
    if goes_back; then
        BACK=1
        fetch_back
        kept_files || refused "no longer offered, nor kept:$(grep -xF -f "$WORK/others" "$WORK/gone" | awk '{ printf " %s", $0 }')" "$GONE"
        : >"$WORK/out"
        section resolve resolve_back
        [ "$code" -eq 0 ] || unresolved
        mv "$WORK/went" "$WORK/would"
        must_be_equal
        awk '$1 == "remove"' "$WORK/would" | sort >"$WORK/removals"
        # What the first of the two steps removes by itself; see left_to_remove. What pacman is told must be whole.
        transaction "$WORK/out" >"$WORK/went"
        FILES=$(cat "$WORK/files")
        REST=$(left_to_remove)
        sure
        return
    fi
    section resolve resolve
    [ "$code" -eq 0 ] || unresolved
    transaction "$WORK/out" >"$WORK/would"
    must_be_equal
}

only_root() {
    [ "$UID_NOW" -eq 0 ] || refused "$VERB: you cannot do this unless you are root" "$OTHER"
}

# Packages of keys are those of that name which need nothing but pacman; other keyrings are programs.
keyrings() {
    find "$WORK/db/local" -name desc -exec awk '
        function flush() { if (name ~ /(^|-)keyring$/ && !needs) print name; name = ""; needs = 0 }
        FNR == 1 { flush() }
        /^%.*%$/ { key = $0; next }
        $0 == "" { key = ""; next }
        key == "%NAME%" { name = $0 }
        key == "%DEPENDS%" && !/^pacman([<>=]|$)/ { needs = 1 }
        END { flush() }' {} + | sort
}

# Keys that are changed come before the packages that may be signed by them, where pacman makes that a step of its own.
find_keyrings() {
    keyrings >"$WORK/keyrings"
    awk 'FILENAME == ARGV[1] { keyring[$0]; next } $1 == "install" && ($2 in keyring)' "$WORK/keyrings" "$WORK/would" >"$WORK/first"
    awk '{ print $2 }' "$WORK/first" >"$WORK/first-names"
    # shellcheck disable=SC2046 # one argument per name is wanted, and names hold no blanks
    if [ ! -s "$WORK/first" ] || cmp -s "$WORK/first" "$WORK/would" ||
        ! resolving -S $(cat "$WORK/first-names") >"$WORK/out" 2>"$WORK/err" ||
        ! transaction "$WORK/out" | sort -u | cmp -s - "$WORK/first"; then
        : >"$WORK/first-names"
    fi
    FIRST=$(cat "$WORK/first-names")
    awk 'FILENAME == ARGV[1] { first[$0]; next } !($2 in first) { print $2 }' "$WORK/first-names" "$WORK/would" >"$WORK/rest-names"
    sure
}

upgrade() {
    if [ -n "$FIRST" ]; then
        guard "$WORK/first-names" "$RUN/guard"
        # shellcheck disable=SC2086 # one argument per name is wanted
        real -S $FIRST || return
    fi
    guard "$WORK/rest-names" "$RUN/guard"
    # shellcheck disable=SC2086 # words, and names hold no blanks
    real -Su $ignore
}

# Of the packages that pacman was about to install, those whose signature names a key.
signed_by() { # KEY
    id=$(printf '%s' "$1" | tr A-F a-f)
    id=${id#"${id%????????????????}"}
    for database in "$WORK/db/sync"/*.db; do
        bsdtar -xOf "$database" 2>/dev/null | awk 'FILENAME == ARGV[1] { if ($1 == "install") coming[$2, $3]; next }
            /^%.*%$/ { key = $0; next }
            key == "%NAME%" && $0 != "" { name = $0 } key == "%VERSION%" && $0 != "" { version = $0 }
            key == "%PGPSIG%" && $0 != "" && (name, version) in coming { print name, $0 }' "$WORK/would" -
    done | while read -r name signature; do
        printf '%s' "$signature" | must base64 -d | names_key && printf '%s\n' "$name"
    done
    awk '$1 == "install" { print $2, $3 }' "$WORK/would" | while read -r name version; do
        while read -r dir; do
            for file in "$dir/$name-$version"-*.pkg.tar*.sig; do
                [ ! -f "$file" ] || ! names_key <"$file" || printf '%s\n' "$name"
            done
        done <"$WORK/cachedirs"
    done
}

names_key() {
    must od -An -v -tx1 | tr -d ' \n' | grep -q "$id"
}

# Whose signatures pacman does not take, and why, for "not_begun". Another version of the package of keys may have the key.
not_trusted() {
    awk -F '"' '/^:: Import PGP key / { split($1, word, /[ ,]+/); print word[5] "\t" $2; next }
        /could not be looked up remotely$/ { print $2 "\t" }' "$WORK/said" | awk -F '\t' '!seen[$1]++' >"$WORK/keys"
    keyrings | head -n 1 >"$WORK/keyrings"
    {
        while IFS="$TAB" read -r key user; do
            signed_by "$key" | sort -u | while read -r name; do
                printf '%s\tit is signed by the key %s%s, which is not in the keyring of pacman\n' "$name" "$key" "${user:+ ($user)}"
            done
        done <"$WORK/keys"
        sed -n 's/^error: \([^ ]*\): \(signature from .*\|missing required signature.*\|key ".*\)$/\1\t\2/p' "$WORK/said"
    } | awk -F '\t' -v OFS='\t' 'FILENAME == ARGV[1] { keyring[$0]; next }
        FILENAME == ARGV[2] { if ($1 in keyring) { rival = $1; version = $2 } next }
        { print $1, $2, rival, version }' "$WORK/keyrings" "$WORK/installed" -
}

# Of rows of a name, a file and words those whose file no mirror has brought, without the file.
not_cached() {
    while IFS="$TAB" read -r name file words; do
        while read -r dir; do
            [ ! -f "$dir/$file" ] || continue 2
        done <"$WORK/cachedirs"
        printf '%s\t%s\n' "$name" "$words"
    done
}

# Packages whose signatures no mirror has, and its words, for "not_begun".
not_signed() {
    awk -v OFS='\t' -v not_there="$SAYS_NOT_FOUND" 'FILENAME == ARGV[1] { if ($1 == "install") start[$2] = $2 "-" $3 "-"; next }
        /^error: failed retrieving file .*\.sig. from / && $0 ~ not_there {
            file = $0; sub(/^error: failed retrieving file ./, "", file); sub(/. from .*/, "", file)
            for (name in start) if (index(file, start[name]) == 1) print name, file, $0 }' "$WORK/would" "$WORK/said" |
        not_cached
}

# Of what pacman said, whose files it could not have, and why, for "not_fetched": from no mirror, since it may have had
# them from the next.
unfetched() {
    awk -v OFS='\t' '
        function of(file, name) { for (name in start) if (index(file, start[name]) == 1) return name; return "" }
        function tell(name, file, words) { gsub(/\t/, " ", words); if (name != "") print name, file, words }
        FILENAME == ARGV[1] { if ($1 == "install") start[$2] = $2 "-" $3 "-"; next }
        /^error: failed retrieving file .*[^g]. from / {
            file = $0; sub(/^error: failed retrieving file ./, "", file); sub(/. from .*/, "", file)
            words = $0; sub(/^.*. from /, "", words); tell(of(file), file, words) }
        / is corrupted \(invalid or corrupted package \(checksum\)\)/ {
            file = $0; sub(/ is corrupted .*/, "", file); sub(/^.*\//, "", file)
            tell(of(file), "-", "invalid or corrupted package (checksum)") }
        match($0, /error: [^ ]+: invalid or corrupted package \(checksum\)/) {
            name = substr($0, RSTART + 7); sub(/:.*/, "", name); if (name in start) tell(name, "-", substr($0, RSTART + 7)) }
        ' "$WORK/would" "$WORK/said" |
        not_cached
}

# Of what "fetch_what_can_be" wants to know.
know_rest() {
    REST=$(cut -d ' ' -f 1 "$WORK/rest")
}

all_came() {
    :
}

look_for_another() {
    return 1
}

fetch_rest() {
    # shellcheck disable=SC2086 # one argument per name is wanted
    with_folders "$WORK/db" -Swdd $REST
}

# Of what is to come the names and versions whose files are not known to be missing.
not_lacked() {
    awk 'FILENAME == ARGV[1] { split($0, row, "\t"); lacked[row[1]]; next }
        $1 == "install" && !($2 in lacked) { print $2, $3 }' "$WORK/lacked" "$WORK/would"
}

# Whether pacman has fetched any of these.
some_there() {
    [ -n "$(not_lacked | while read -r name version; do
        while read -r dir; do
            for file in "$dir/$name-$version"-*.pkg.tar*; do [ ! -f "$file" ] || echo "$file"; done
        done <"$WORK/cachedirs"
    done)" ]
}

tell_unfetched() {
    # Where pacman fetches as a user of its own, it must get through.
    must chmod 755 "$WORK" "$WORK/db"
    fetch_what_can_be fetch_rest
    [ -n "$had" ] || ! some_there || had=some
    not_fetched "$WORK/lacked" "$(awk '$1 == "install" { n++ } END { print n + 0 }' "$WORK/would")" "$had"
}

# Whose scriptlets failed. pacman carries on and ends with 0; of hooks it tells what they say of themselves.
failures() {
    awk '/^:: Running (pre|post)-transaction hooks/ { hook = 1; name = ""; next }
        hook && /^\( *[0-9]+\/[0-9]+\) / { name = $0; sub(/^\([^)]*\) /, "", name); sub(/\.\.\.$/, "", name); name = "hook " name; next }
        /^(\( *[0-9]+\/[0-9]+\) )?(upgrading|installing|reinstalling|downgrading|removing) [^ ]+\.\.\.$/ {
            name = $NF; sub(/\.\.\.$/, "", name); hook = 0; next }
        /^error: (command|scriptlet|problem occurred|failed to run|could not extract)/ && name != "" {
            print name "\t" $0 }' "$WORK/said"
}

# Files beside which pacman put another, below the root.
waiting() {
    sed -n 's/^warning: .* \(installed\|saved\) as \(.*\.pac\(new\|save\|orig\)\)$/\2/p' "$WORK/said" | while read -r path; do
        printf '%s\n' "${path#"$ROOT"}"
    done
}

# Where the package's own file is wanted: it takes the place, and what was there is kept beside it.
take_new() {
    while read -r path; do
        case $path in *.pacnew) ;; *) continue ;; esac
        own=${path%.pacnew}
        mv "$ROOT$own" "$ROOT$own.pacsave" && mv "$ROOT$path" "$ROOT$own" && printf '%s.pacsave\n' "$own"
    done <"$WORK/waiting" >"$WORK/taken"
    { grep -v '\.pacnew$' "$WORK/waiting" && :; cat "$WORK/taken"; } >"$WORK/waiting.new"
    mv "$WORK/waiting.new" "$WORK/waiting"
}

marks() {
    real -D --asdeps "$@"
}

# Marks are part of what is done, also where the rest failed.
mark() {
    snapshot_again
    bare "$AUTOMATIC" >"$WORK/names"
    set --
    awk -F '\t' 'FILENAME == ARGV[1] { wanted[$0]; next } ($1 in wanted) && $4 == 0 { print $1 }' \
        "$WORK/names" "$WORK/installed" >"$WORK/unmarked"
    while read -r name; do set -- "$@" "$name"; done <"$WORK/unmarked"
    [ $# -eq 0 ] || section marks marks "$@"
}

snapshot_again() {
    rm -rf "$WORK/db" "$WORK/void"
    snapshot
}

# Whose files are in the way of whose, for "not_begun"; versions are those that are coming, else those that are there.
in_the_way() {
    transaction "$WORK/said" | awk -v OFS='\t' '{ print $2, $3 }' | cat "$WORK/installed" - | awk -F '\t' -v OFS='\t' '
        function say(one, why, other) { print one, why, other, other == "" ? "" : version[other] }
        FILENAME == ARGV[1] { version[$1] = $2; next }
        match($0, / exists in both .[^ ]+. and .[^ ]+.$/) {
            n = split($0, word, " "); one = substr(word[n - 2], 2, length(word[n - 2]) - 2); other = substr(word[n], 2, length(word[n]) - 2)
            say(one, $0, other); say(other, $0, one); next }
        match($0, /^[^ ]+: .* exists in filesystem( \(owned by [^ ]+\))?$/) {
            one = $0; sub(/:.*/, "", one); other = ""
            if (match($0, /\(owned by [^ ]+\)$/)) other = substr($0, RSTART + 10, RLENGTH - 11)
            say(one, $0, other) }' - "$WORK/said"
}

report() {
    if [ "$VERB" = --apply ] && spoke "$SAYS_FILE_CONFLICT"; then
        in_the_way >"$WORK/ways"
        not_begun "$WORK/ways"
    elif [ "$VERB" = --apply ] && spoke "$SAYS_NOT_TRUSTED"; then
        not_trusted >"$WORK/ways"
        not_begun "$WORK/ways"
    elif [ "$VERB" = --apply ] && spoke "$SAYS_NO_SIGNATURE" && not_signed >"$WORK/ways" && [ -s "$WORK/ways" ]; then
        not_begun "$WORK/ways"
    else
        failures >"$WORK/failed"
        [ ! -s "$WORK/failed" ] || section failed cat "$WORK/failed"
    fi
    waiting >"$WORK/waiting"
    [ "$CONFFILES" = keep ] || [ ! -s "$WORK/waiting" ] || take_new
    [ ! -s "$WORK/waiting" ] || section conffiles cat "$WORK/waiting"
}

# End with the code for what the last act said and ended with.
conclude() { # CODE
    if [ "$1" -eq 0 ]; then
        [ ! -s "$WORK/failed" ] || finish "$SCRIPT_FAILED"
        [ "$VERB" != --apply ] || [ "$ROOT" != '' ] || in_container || case $(machine) in *modules=missing*) finish "$REBOOT" ;; esac
        finish "$OK"
    fi
    if spoke "$SAYS_NO_SPACE|$SAYS_FULL_PARTITION"; then finish "$NO_SPACE"; fi
    if spoke "$SAYS_LOCKED"; then finish "$LOCKED"; fi
    if spoke "$SAYS_NOT_FOUND" && spoke "$SAYS_NO_SIGNATURE"; then
        [ ! -s "$WORK/failed" ] || finish "$NOT_BEGUN"
        finish "$UNTRUSTED"
    fi
    if spoke "$SAYS_NOT_FETCHED|$SAYS_CORRUPT"; then
        [ -n "$BACK" ] || [ "$VERB" = --repair ] || tell_unfetched
        finish "$STALE"
    fi
    if spoke "$SAYS_HOOK_FAILED"; then
        ! spoke "$SAYS_GUARD" || refused "pacman would do something else: $(grep -E "$SAYS_GUARD" "$WORK/said" | in_one_line)" "$UNRESOLVED"
        finish "$NOT_BEGUN"
    fi
    if spoke "$SAYS_FILE_CONFLICT"; then finish "$NOT_BEGUN"; fi
    if spoke "$SAYS_NOT_TRUSTED" && [ -s "$WORK/failed" ]; then finish "$NOT_BEGUN"; fi
    if spoke "$SAYS_UNRESOLVED"; then finish "$UNRESOLVED"; fi
    if spoke "$SAYS_UNTRUSTED"; then finish "$UNTRUSTED"; fi
    [ ! -s "$WORK/failed" ] || finish "$SCRIPT_FAILED"
    finish "$OTHER"
}

BACK=

download() {
    only_root
    snapshot
    settle
    if [ -n "$BACK" ]; then finish "$OK"; fi
    # Where pacman fetches as a user of its own, it must get through.
    must chmod 755 "$WORK" "$WORK/db"
    # shellcheck disable=SC2086 # words, and names hold no blanks
    act download fetching $ignore
    keep_said
    : >"$WORK/failed"
    conclude "$code"
}

apply() {
    only_root
    # Where all is done already, nobody needs to wait for anybody.
    snapshot
    remaining
    [ -s "$WORK/named" ] || finish "$NOTHING"
    take_lock
    [ -z "$(left_over)" ] || refused "$RUN is left over: who made it is dead; --repair ends what it began" "$INTERRUPTED"
    snapshot_again
    settle
    [ -n "$BACK" ] || find_keyrings
    begin_run
    if [ -n "$BACK" ]; then act apply go_back; else act apply upgrade; fi
    done_with=$code
    keep_said
    end_run "$done_with"
    mark
    report
    conclude "$done_with"
}

# --- repair ------------------------------------------------------------------------------------------------

# What cannot be left as it is: pacman forgets the old version before it knows the new one, and removes what is replaced
# before anything else. Name, version, reason, of what is in no database now, from the journal that was left.
in_hand() {
    awk 'FILENAME == ARGV[1] { split($0, row, "\t"); have[row[1]]; next }
        $1 == "change" && $3 != "-" && !($2 in have) { print "install", $2, $4, $5 }
        $1 == "replace" && !($2 in have) && !($4 in have) { print "install", $2, $3, 0 }' "$WORK/installed" "$WORK/left" | sort -u
}

# All that was begun and is not there.
begun() {
    awk 'FILENAME == ARGV[1] { split($0, row, "\t"); have[row[1]] = row[2]; next }
        $1 == "change" && have[$2] != $4 { print "install", $2, $4, $5 }' "$WORK/installed" "$WORK/left"
}

dependencies_hold() {
    check >/dev/null 2>&1
}

named_in_database() { # NAME: whether another entry describes it
    for entry_ in "$DB/local/$1"-*-*/desc; do
        [ -s "$entry_" ] || continue
        entry_=${entry_%/desc}
        entry_=${entry_##*/}
        [ "${entry_%-*-*}" != "$1" ] || return 0
    done
    return 1
}

install_kept() { # ARGUMENT...
    FILES=$(cat "$WORK/files")
    # Half of them, or some that nobody named, are worse than none.
    ! trouble || return 1
    # shellcheck disable=SC2086 # one argument per file is wanted
    real "$@" -U $FILES
}

# What must not be left as it is, first by itself. Where that cannot be, or where what was upgraded does not fit what
# was not, all that was begun: its files were fetched before anything was changed.
finish_begun() {
    if [ -s "$WORK/named" ]; then
        # What is in the way are the package's own files.
        install_kept --overwrite '*' && dependencies_hold && return
    fi
    snapshot_again
    begun >"$WORK/rest"
    ! trouble || return 1
    [ -s "$WORK/rest" ] || return 0
    cat "$WORK/rest" >"$WORK/named"
    if ! kept_files; then
        awk '{ print "error: its file is not kept: " $0 }' "$WORK/gone"
        return 1
    fi
    install_kept --overwrite '*'
}

# Whether everything that was begun is there.
all_there() {
    [ -z "$(begun)" ]
}

is_in_journal() { # NAME
    while read -r kind of _; do
        [ "$kind $of" != "change $1" ] || return 0
    done <"$WORK/left"
    return 1
}

clear_entries() {
    for entry in $(broken_entries); do
        began_with=1
        name=${entry%-*-*}
        # Left of what was being written, or of a version that has been superseded.
        if is_in_journal "$name" || named_in_database "$name"; then rm -rf "${DB:?}/local/$entry"; fi
    done
}

repair() {
    only_root
    : >"$WORK/left"
    began_with=
    busy=$(holders "$RUN/journal")
    [ -z "$busy" ] || refused "$RUN is held by $(named_holders "$busy")" "$LOCKED"
    take_lock
    if [ -e "$RUN" ]; then
        began_with=1
        cp "$RUN/journal" "$WORK/left"
        work=$(sed -n 's/^work \(.*\/patchledger\.[A-Za-z0-9.]*\)$/\1/p' "$WORK/left")
        sure
        [ -z "$work" ] || rm -rf "$work"
    fi
    rm -rf "$RUN.new"
    clear_entries
    snapshot
    sure
    [ ! -d "$RUN/sync" ] || all_there || put_databases "$RUN/sync"
    in_hand >"$WORK/named"
    sure
    give_lock_back
    if [ -s "$WORK/named" ] || { [ -s "$WORK/left" ] && ! dependencies_hold; }; then
        repair_packages
    else
        sure
        rm -rf "$RUN"
        mark
        [ -n "$began_with" ] || finish "$NOTHING"
        printf '[repair]\n|nobody was at work: what was left over is removed\n= 0\n'
    fi
    [ -z "$(broken_entries)" ] || refused "half written, and not by us: $(broken_entries | tr '\n' ' ')" "$INTERRUPTED"
    finish "$OK"
}

repair_packages() {
    kept_files || refused "was being installed, and its file is not kept:$(each_in "$WORK/gone")" "$GONE"
    # Held like by the run that was killed, and lost with it in the same way.
    exec 8>>"$RUN/journal"
    act repair finish_begun
    exec 8>&-
    done_with=$code
    keep_said
    [ "$done_with" -ne 0 ] || trouble || rm -rf "$RUN"
    AUTOMATIC=$AUTOMATIC$(awk '$1 == "change" && $5 == 1 { printf ",%s", $2 }' "$WORK/left")
    mark
    report
    if [ "$done_with" -ne 0 ] || [ -s "$WORK/failed" ]; then conclude "$done_with"; fi
}

configure
do_verb
