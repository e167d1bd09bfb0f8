#!/bin/sh
# Observe, refresh, dry-run and patch a machine of dnf's (or yum's, which is dnf by an older name), or another root.
#
# Part of patchledger, and a plain tool as well:  sh dnf-update.sh --dry-run --exclude nginx
# Contract: docs/reference/patch-scripts.md. In short:
#   - what only looks calls dnf with --assumeno, with rpm told to test only, and with cache, log and history in
#     folders of our own, so that nothing of the machine's is written and no lock is taken;
#   - --download and --apply do exactly the transaction that is named, or nothing: it is resolved first, and the
#     resolver's table compared with it;
#   - the operator's excludes and version locks hold, and are never altered.

SELF=dnf-update.sh
# shellcheck source=scripts/patch/common.sh
[ -n "${COMMON:-}" ] || . "$(dirname "$0")/common.sh"
# An alias of the operator's could make another command of ours.
DNF_DISABLE_ALIASES=1
export DNF_DISABLE_ALIASES

# --- arguments ---------------------------------------------------------------------------------------------

NAME_START='A-Za-z0-9_' NAME_CHARS='A-Za-z0-9._+:-' VERSION_CHARS='A-Za-z0-9._+:~^-' VERSION_FORM='*-*'
ROOT_HAS=etc NOT_HAD='--relations --security-source'
take_options "$@"
# dnf joins paths to it textually.
ROOT=$(cd -P -- "$BELOW/" && pwd -P) || misuse "--root: $BELOW cannot be entered"
ROOT=${ROOT%/}

# --- dnf's and rpm's words ---------------------------------------------------------------------------------

# All that is looked for in what they say, which is English by LC_ALL. What has a form is taken apart where it is read.
SAYS_NO_SPACE='No space left|[Nn]ot enough free space|more space needed on|needs [0-9.]+[kKMG]?B? (more space )?on the|[Qq]uota exceeded'
SAYS_UNREACHABLE='Curl error|Usable URL not found|Cannot download|Failed to download|Status code:|All mirrors|Ignoring repositor|Error downloading|No URLs in mirrorlist|Cannot prepare internal mirrorlist|[Cc]hecksum'
# Of makecache, which passes over one repository that fails.
SAYS_NOT_ALL_READ='^(Ignoring repositor|Error|Failed to|Errors during)'
SAYS_PASSED_OVER='Ignoring repositories: '
SAYS_METADATA_UNTRUSTED='GPG|gpg|repomd\.xml\.asc|[Ss]igning key|[Pp]ublic key|is not signed|[Ss]ignature'
# Of a question: it was understood, and answered no on our behalf.
SAYS_ANSWERED='^Operation aborted'
SAYS_EMPTY='^Error: *$'
SAYS_DENIED='superuser privileges|[Yy]ou need to be root'
SAYS_UNRESOLVED='^ *Problem|Unable to find a match|No match for argument|matches only (excluded packages|packages excluded)|packages marked for|protected packages|conflicting requests'
SAYS_PROTECTED='protected packages'
SAYS_NOTHING_MOVES='packages marked for upgrade'
# Of what changes packages.
# Of one package, whose file or name-version-release.arch ends the sentence or stands in it.
SAYS_NOT_TRUSTED='OpenPGP check for package |Public key for [^ ]+ is not|Package [^ ]+ is not signed|Failing package is: '
SAYS_UNTRUSTED='GPG check FAILED|[Pp]ublic key for|is not signed|[Ss]ignature|GPG key'
SAYS_IMPOSSIBLE='^ *Problem|Unable to find a match|matches only (excluded packages|packages excluded)'
# Of the same without some packages: more than these was passed over.
SAYS_FEWER='^Nothing to do|Ignoring repositor|No match for argument|Unable to find a match|Usable URL not found'
# Of rpm, which tests the whole before it begins.
SAYS_NOT_BEGUN='Transaction test error|conflicts between attempted installs|conflicts with file from package|does not verify'
SAYS_REBOOT='Reboot is required'
# Of dnf's configuration.
SAYS_HIDES='^[[:space:]]*(exclude|excludepkgs|includepkgs)[[:space:]]*='
# rpm -V, of a file that is configuration, and of rpm itself.
SAYS_MAY_DIFFER='^.{9}  c |^rpm: '

# --- the machine -------------------------------------------------------------------------------------------

DNF=dnf
place dnf || ! place dnf5 || DNF=dnf5
place "$DNF" || ! place yum || DNF=yum
begin dnf "$DNF" rpm
make_work_dir
# shellcheck disable=SC2086 # a name each
tools $TEXT paste

FIVE=
END=
SYSTEM=/var/cache/dnf
HISTORY=$ROOT/var/lib/dnf
PROGRAM=$(must readlink -f "$(command -v "$DNF")")
case $PROGRAM in
    *dnf5*)
        FIVE=1
        # It ends no line by itself.
        END='\n'
        SYSTEM=/var/cache/libdnf5
        ;;
    */yum*) # the program before dnf
        printf '[dnf]\n!this yum is no dnf: only yum 4 and later are supported\n= 1\n'
        finish "$OTHER"
        ;;
esac
CONFIGURATION=$ROOT/etc/dnf/dnf.conf
[ -e "$CONFIGURATION" ] || CONFIGURATION=$ROOT/etc/yum.conf

# dnf puts the other root before the paths of some options, and not of others; this path means the same in both.
UP='' folders=$ROOT
while :; do case $folders in */*) UP=$UP/.. folders=${folders#*/} ;; *) break ;; esac done

# What the last line of each of these options says in the [main] section, one a line; nothing where there is none.
settings() { # FILE OPTION...
    [ -r "$1" ] || return 0
    file=$1
    shift
    awk -v wanted="$*" -v all="$FIVE" 'BEGIN { count = split(wanted, option, " "); on = all }
        /^\[/ { on = all || /^\[main\]/ }
        on { for (i = 1; i <= count; i++) if ($0 ~ "^" option[i] "[ \t]*=") {
            value = $0; sub(/^[^=]*=[ \t]*/, "", value); sub(/[ \t]+$/, "", value); says[i] = value } }
        END { for (i = 1; i <= count; i++) print says[i] }' "$file"
}

MAIN=$CONFIGURATION
if [ -n "$FIVE" ]; then
    # dnf 5 has folders of files beside, and tells what is made of them all.
    MAIN=$WORK/configured
    must "$DNF" ${ROOT:+--installroot="$ROOT"} "--setopt=logdir=$UP$WORK" --dump-main-config >"$MAIN" 2>/dev/null </dev/null
fi
settings "$MAIN" "${FIVE:+system_}cachedir" obsoletes reposdir installonly_limit throttle bandwidth >"$WORK/settings"
{
    IFS= read -r given
    IFS= read -r OBSOLETES
    IFS= read -r REPOSITORY_FOLDERS
    IFS= read -r INSTALLONLY_LIMIT
    IFS= read -r THROTTLE
    IFS= read -r BANDWIDTH
} <"$WORK/settings"
case $given in
    '') ;;
    *\$*)
        printf '[dnf]\n!cachedir of %s holds variables, which only dnf can read\n= 1\n' "$CONFIGURATION"
        finish "$OTHER"
        ;;
    *) SYSTEM=$given ;;
esac
SYSTEM=${SYSTEM#"$ROOT"/} SYSTEM=$ROOT/${SYSTEM#/} SYSTEM=${SYSTEM%/}

# All of these say where to look, and one that is missing would be another place.
sure

rpm_() {
    must rpm ${ROOT:+--root "$ROOT"} "$@"
}

# Where rpm's database is, and this machine's architecture: $DATABASE and $ARCHITECTURE.
know_rpm() {
    must rpm --eval '%{_dbpath}' --eval '%{_arch}' >"$WORK/rpm"
    { read -r DATABASE && read -r ARCHITECTURE; } <"$WORK/rpm" || fault 1 rpm
    DATABASE=$ROOT$DATABASE
    sure
}

# dnf's codes are answers: 1 may be a plan. How much it says is not left to the operator's file, since it is read here;
# what is asked with -q says that itself.
dnf_() { # may|run|asking ARGUMENT...
    how=$1
    shift
    case "$FIVE $* " in 1* | *" -q "*) ;; *) set -- --debuglevel=2 --errorlevel=3 "$@" ;; esac
    while IFS= read -r source; do
        [ -z "$source" ] || set -- "--disablerepo=$source" "$@"
    done <<EOF
$WITHOUT
EOF
    if [ -n "$RATE" ]; then limit_rate; fi
    while IFS= read -r throttle; do
        [ -z "$throttle" ] || set -- "--setopt=$throttle" "$@"
    done <<EOF
$LIMITS
EOF
    "$how" "$DNF" ${ROOT:+--installroot="$ROOT"} --setopt=color=never "$@"
}

# The options of dnf by which all repositories together keep to --limit-rate, one a line: a repository that has a
# throttle of its own keeps that where it is lower, and one file is fetched after another, since each repository has as
# much. A throttle is in bytes a second, with k, M or G, or a share of a bandwidth (dnf.conf(5)).
LIMITS=
limit_rate() {
    [ -n "$RATE" ] && [ -z "$LIMITS" ] || return 0
    repository_files >"$WORK/repository-files"
    {
        while IFS= read -r file; do cat "$file" && echo; done <"$WORK/repository-files"
        printf '[main]\nthrottle = %s\nbandwidth = %s\n' "$THROTTLE" "$BANDWIDTH"
    } >"$WORK/throttles"
    LIMITS=$(awk -v most="$((RATE * 1024))" '
        function bytes(text) {
            if (text !~ /^[0-9]+(\.[0-9]+)?[kKmMgG]?$/) return 0
            return text * (text ~ /[kK]$/ ? 1024 : text ~ /[mM]$/ ? 1048576 : text ~ /[gG]$/ ? 1073741824 : 1)
        }
        function rate(text, of) { return int(text ~ /%$/ ? bytes(of) * substr(text, 1, length(text) - 1) / 100 : bytes(text)) }
        /^[ \t]*\[/ { id = $0; sub(/^[ \t]*\[/, "", id); sub(/\].*$/, "", id); if (!(id in known)) { known[id]; order[++n] = id }; next }
        /^(throttle|bandwidth)[ \t]*=/ {
            key = value = $0; sub(/[ \t]*=.*/, "", key); sub(/^[^=]*=[ \t]*/, "", value); sub(/[ \t]+$/, "", value)
            if (key == "throttle") throttle[id] = value; else bandwidth[id] = value
        }
        END {
            print "max_parallel_downloads=1"
            for (i = 1; i <= n; i++) {
                id = order[i]
                # One that says nothing has what holds for all.
                if (id != "main" && !(id in throttle) && !(id in bandwidth)) continue
                own = rate(id in throttle ? throttle[id] : throttle["main"], id in bandwidth ? bandwidth[id] : bandwidth["main"])
                print (id == "main" ? "" : id ".") "throttle=" (own > 0 && own < most ? own : most)
            }
        }' "$WORK/throttles")
    sure
}

# --- dnf 4, asked several things ---------------------------------------------------------------------------

# dnf 4 is a program of Python that needs a tenth of a second for its own modules, whatever it is asked then. So one
# process reads these and waits, and each question is answered by a child of it, which goes on as dnf itself does from
# there: the same program with the same arguments, in a process of its own. Only what looks is asked so. The arguments
# come in one after the other, each behind a "=" and before a 0, and another 0 at the end.
# shellcheck disable=SC2016 # for Python
WAITING='
import sys

called, program, folder = sys.argv[1:]
# The folder of what is run, which is none yet.
del sys.path[0]

import atexit, gc, os, runpy
import dnf.cli.main
import rpm

if hasattr(gc, "freeze"):
    gc.freeze()


def answer(arguments):
    for number, (name, flags) in enumerate(
        [(os.devnull, os.O_RDONLY)]
        + [(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for name in ("told", "complained")]
    ):
        file = os.open(name, flags, 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.argv = [called] + [os.fsdecode(one) for one in arguments]
    sys.path.insert(0, os.path.dirname(program))
    code = 1
    try:
        runpy.run_path(program, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code
        if code is not None and not isinstance(code, int):
            sys.stderr.write("%s\n" % (code,))
            code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    # All of an end but the clearing of memory, which takes as long as the answer.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit((code or 0) & 255)


os.write(1, ("%s %s\n" % (dnf.const.VERSION, rpm.__version__)).encode())
asked = b""
while True:
    more = os.read(0, 1 << 16)
    if not more:
        break
    asked += more
    if not asked.endswith(b"\0\0"):
        continue
    child = os.fork()
    if not child:
        answer([one[1:] for one in asked[:-2].split(b"\0")])
    asked = b""
    status = os.waitpid(child, 0)[1]
    code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    os.write(1, b"%d\n" % code)
'
# Its process, and what it says of itself: the versions of dnf and of its rpm. Where there is none, each is asked alone.
WAITS=
VERSIONS=

# Only for what changes nothing: whatever is started meanwhile holds its pipes open.
begin_waiting() {
    [ -z "$FIVE" ] && [ -r "$PROGRAM" ] || return 0
    IFS= read -r begins <"$PROGRAM"
    case $begins in '#!'*python*) ;; *) return 0 ;; esac
    place mkfifo && "$_place" -m 600 "$WORK/questions" "$WORK/answers" 2>/dev/null || return 0
    # shellcheck disable=SC2086 # the interpreter, and its options
    set -- ${begins#??}
    # Its text is no matter for "ps".
    printf '%s' "$WAITING" >"$WORK/waiting"
    must_have_space
    "$@" -c 'exec(open(3).read())' "$(command -v "$DNF")" "$PROGRAM" "$WORK" \
        3<"$WORK/waiting" <"$WORK/questions" >"$WORK/answers" 2>/dev/null &
    WAITS=$!
    # Each of these waits for the other side, which opens both before it can fail.
    exec 8>"$WORK/questions" 9<"$WORK/answers"
    trap 'end_waiting; run rm -rf "$WORK"' EXIT
    read -r VERSIONS <&9 || VERSIONS=
    [ -n "$VERSIONS" ] || end_waiting
}

end_waiting() {
    [ -n "$WAITS" ] || return 0
    exec 8>&- 9<&-
    wait "$WAITS"
    WAITS=
}

# As "may", of dnf.
asking() { # DNF ARGUMENT...
    if [ -z "$WAITS" ]; then
        may "$@"
        return
    fi
    shift
    { printf '=%s\0' "$@" && printf '\0'; } >&8
    read -r answered <&9 || answered=137
    [ ! -s "$WORK/told" ] || cat "$WORK/told"
    [ ! -s "$WORK/complained" ] || cat "$WORK/complained" >&2
    if [ "$answered" -le 125 ]; then return "$answered"; fi
    fault "$answered" "$DNF"
}

# Our own view of dnf's cache: its metadata by links, what dnf parses from them beside.
view() {
    [ -n "$CACHE" ] || CACHE=$WORK/cache
    VIEW=$CACHE/dnf
    mkdir "$WORK/logs" "$WORK/persist"
    [ -d "$VIEW" ] || mkdir -p "$VIEW"
    for known in "$VIEW"/*/; do
        known=${known%/}
        [ ! -d "$known" ] || [ -d "$SYSTEM/${known##*/}/repodata" ] || rm -rf "$known"
    done
    for folder in "$SYSTEM"/*/; do
        folder=${folder%/}
        [ -d "$folder/repodata" ] || continue
        known=$VIEW/${folder##*/}
        [ -d "$known" ] || mkdir "$known"
        for part in "$known"/*; do
            [ ! -L "$part" ] || [ -e "$part" ] || rm -f "$part"
        done
        for part in "$folder"/*; do
            case ${part##*/} in packages | solv) continue ;; esac
            # A tool for each file of each repository would take longer than to see that it is linked.
            # shellcheck disable=SC3013 # every shell that this is for has it
            [ ! -e "$part" ] || { [ -L "$known/${part##*/}" ] && [ "$part" -ef "$known/${part##*/}" ]; } ||
                ln -sfn "$part" "$known/${part##*/}"
        done
    done
    # The history says which packages were asked for; dnf only opens it for writing.
    if [ -d "$HISTORY" ] && ! may cp -Rp "$HISTORY/." "$WORK/persist/" 2>/dev/null; then
        # Not everybody may read all of it.
        [ "$(id -u)" -ne 0 ] || fault 1 cp
    fi
    for file in "$WORK"/persist/*.pid; do [ ! -e "$file" ] || rm -f "$file"; done
}

# Plugins of RHEL that write files of the machine whenever dnf starts.
UNWANTED=
for plugin in subscription-manager product-id upload-profile; do
    for file in /usr/lib/python3*/site-packages/dnf-plugins/"$plugin".py; do
        [ ! -e "$file" ] || UNWANTED=$UNWANTED${UNWANTED:+,}$plugin
    done
done

# Run dnf so that it cannot change anything: from the cache alone, answering no, and rpm would only test.
look() { # ARGUMENT...
    dnf_ asking -C '--setopt=*.skip_if_unavailable=1' "$@" ${UNWANTED:+--disableplugin="$UNWANTED"} --assumeno --setopt=assumeyes=0 --setopt=tsflags=test "--setopt=cachedir=$UP$VIEW" \
        "--setopt=logdir=$UP$WORK/logs" "--setopt=persistdir=${FIVE:+$UP}$WORK/persist"
}

# Without what the operator excludes or locks.
whole() { # COMMAND ARGUMENT...
    if [ -n "$FIVE" ]; then "$@" '--setopt=disable_excludes=*'; else "$@" --disableexcludes=all --disableplugin=versionlock; fi
}

# Ask for rows of a format of ours. The operator's plugins print on standard output as they like, so rows bear a mark;
# what has none is shown among the complaints, and kept to be known again where dnf has no format.
query() { # FORMAT REPOQUERY-ARGUMENT...
    format=$1
    shift
    look -q repoquery --qf "@row	$format$END" "$@" >"$WORK/printed"
    asked=$?
    awk -v heard="$WORK/heard" 'sub(/^@row\t/, "") { print; next }
        /./ { print >"/dev/stderr"; gsub(/[0-9]+/, "0"); print >>heard }' "$WORK/printed"
    return "$asked"
}

# Ask for records: a head, then lists of relations. Their lines have no mark, so the end of each record has one as well:
# what stands outside of all is not dnf's.
records() { # KINDS REPOQUERY-ARGUMENT...
    lists=
    for kind in $1; do lists="$lists	$kind$NL%{$kind}$NL"; done
    shift
    look -q repoquery --available --qf "@	%{name}	%{arch}	%{evr}	%{repoid}	%{downloadsize}	%{installsize}$NL$lists	end$END" \
        "$@" >"$WORK/printed" || return
    awk '/^@\t/ { on = 1 } /^\tend$/ { on = 0; next } on { print; next } /./ { print >"/dev/stderr" }' "$WORK/printed"
}

# The same without the repositories, and without the operator's excludes: what is installed.
query_installed() { # FORMAT REPOQUERY-ARGUMENT...
    whole query "$@" --installed '--disablerepo=*'
}

# Of an output without marks all but what others than dnf were heard to say, numbers aside.
unlike_heard() { # FILE
    : >>"$WORK/heard"
    awk -v heard="$WORK/heard" 'FILENAME == heard { known[$0]; next }
        { line = $0; gsub(/[0-9]+/, "0", line); if (line in known) print >"/dev/stderr"; else print }' "$WORK/heard" "$1"
}

# rpm writes an epoch of 0 where a package has one, dnf does not; so do we.
ROW='%{NAME}\t%{ARCH}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\t%{LONGSIZE}\t%{INSTALLTIME}\t%{SOURCERPM}\n'

installed() {
    rpm_ -qa --qf "$ROW" >"$WORK/rows" || return
    awk -F '\t' '$1 != "gpg-pubkey" { sub(/^0:/, "", $3); print $1 "\t" $2 "\t" $3 "\t" $4 "\t" $5 "\t" $6 }' "$WORK/rows" | sort
}

# name and arch of what is there in several versions.
several() {
    awk -F '\t' 'there[$1, $2]++ == 1 { print $1 "\t" $2 }' "$WORK/installed"
}

# The operator's version locks, a lock a line, for machines where the plugin that keeps them is not there. dnf 5 has
# them in a file of its own, and keeps them itself.
version_locks() {
    [ -z "$FIVE" ] || return 0
    own=$ROOT/etc/dnf/plugins/versionlock.conf
    settings "$own" enabled locklist >"$WORK/settings"
    { IFS= read -r enabled; IFS= read -r named; } <"$WORK/settings"
    case $enabled in 0 | [Ff]alse | [Nn]o | [Oo]ff) return ;; esac
    for file in ${named:+"$ROOT$named"} "$ROOT/etc/dnf/plugins/versionlock.list" "$ROOT/etc/yum/pluginconf.d/versionlock.list"; do
        [ -r "$file" ] || continue
        sed -e 's/[[:space:]]*#.*//' -e 's/^[[:space:]]*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$file"
        break
    done
}

# What a lock names: a package, or a version of it.
# shellcheck disable=SC2016 # it is awk's
AWK_LOCKS='
        function as_pattern(text) {
            gsub(/[.+^$(){}|]/, "[&]", text); gsub(/\[\^\]/, "\\^", text)
            gsub(/\*/, ".*", text); gsub(/\?/, ".", text)
            return "^" text "$"
        }
        function is_named(pattern, name, arch) { return name ~ pattern || name "." arch ~ pattern }
        function is_meant(pattern, name, arch, evr,  full, bare) {
            full = evr ~ /:/ ? evr : "0:" evr; bare = evr; sub(/^[0-9]*:/, "", bare)
            return name "-" full ~ pattern || name "-" full "." arch ~ pattern ||
                name "-" bare ~ pattern || name "-" bare "." arch ~ pattern
        }
'

# What the locks make of all this: "held<tab>name<tab>arch" of what is installed and may go nowhere, "out" and the row
# of what is offered and not admitted. A lock that names no version admits none; one of several that names it, does.
judge_locks() { # FILE-OF-OFFERED
    awk -F '\t' "$AWK_LOCKS"'
        FILENAME == ARGV[1] {
            not_[++n] = sub(/^!/, ""); lock[n] = as_pattern($0)
            if (sub(/-([0-9*]+:)?[0-9*?\[][^-]*-[^-]*$/, "") || sub(/-([0-9*]+:)?[0-9*?\[][^-]*$/, "")) of[n] = as_pattern($0)
            next
        }
        FILENAME == ARGV[2] {
            for (i = 1; i <= n; i++) if (!not_[i]) {
                if (is_named(lock[i], $1, $2)) whole[$1, $2]
                if (is_meant(lock[i], $1, $2, $3) || (of[i] != "" && $1 ~ of[i])) locked[$1, $2]
            }
            if ((($1, $2) in whole) || (($1, $2) in locked)) { if (!(($1, $2) in seen)) order[++m] = $1 "\t" $2; seen[$1, $2] }
            next
        }
        {   admitted = !(($1, $2) in whole) && !(($1, $2) in locked)
            for (i = 1; i <= n && !admitted; i++) admitted = !not_[i] && !(($1, $2) in whole) && is_meant(lock[i], $1, $2, $3)
            for (i = 1; i <= n && admitted; i++) if (not_[i] && (is_named(lock[i], $1, $2) || is_meant(lock[i], $1, $2, $3))) admitted = 0
            if (admitted) goes[$1 "\t" $2]; else print "out\t" $0
        }
        END { for (i = 1; i <= m; i++) if (!(order[i] in goes)) print "held\t" order[i] }
    ' "$WORK/locks" "$WORK/installed" "$1" | sort -u
}

# Leaves in $WORK/locks and $WORK/judged what the locks say.
know_locks() {
    version_locks >"$WORK/locks"
    : >"$WORK/judged"
    [ -s "$WORK/locks" ] || return 0
    [ -e "$WORK/upgrades" ] || upgrades >"$WORK/upgrades" 2>"$WORK/err" </dev/null || no_offers
    judge_locks "$WORK/upgrades" >"$WORK/judged"
}

# name and arch of what is installed and locked.
locked() {
    [ ! -s "$WORK/judged" ] || sed -n 's/^held	//p' "$WORK/judged"
}

# --- observe -----------------------------------------------------------------------------------------------

machine() {
    printf 'architecture=%s\n' "$ARCHITECTURE"
    machine_facts
    if [ -n "$VERSIONS" ]; then
        printf 'dnf=%s\nrpm=%s\n' "${VERSIONS% *}" "${VERSIONS#* }"
        return
    fi
    printf 'dnf=%s\nrpm=%s\n' "$(must "$DNF" ${FIVE:+"--setopt=logdir=$WORK"} --version 2>/dev/null | sed -n '/^\(dnf5 version \)\{0,1\}[0-9][0-9.]*$/{s/.* //;p;q;}')" "$(must rpm --version | sed 's/.* //')"
}

# Whether any file may hide packages, of dnf's own or of a repository: only dnf itself can say which.
hiding() {
    [ ! -s "$WORK/locks" ] && [ ! -r "$ROOT/etc/dnf/versionlock.toml" ] || return 0
    # shellcheck disable=SC2046 # one word for each file is wanted
    run grep -rqsE "$SAYS_HIDES" "$ROOT/etc/dnf" "$ROOT/usr/share/dnf5" $(repository_files)
}

# Where repositories may be configured.
repository_files() {
    printf '%s\n' "$CONFIGURATION"
    for folder in /etc/yum.repos.d /etc/distro.repos.d /usr/share/dnf5/repos.d /etc/yum/repos.d $(lines_of "$REPOSITORY_FOLDERS"); do
        for file in "$ROOT${folder#"$ROOT"}"/*.repo; do [ ! -r "$file" ] || printf '%s\n' "$file"; done
    done
}

# The repositories of which their own section says that all else goes on without them. No section goes on in the next
# file.
may_be_missing() {
    repository_files >"$WORK/repository-files"
    set --
    while IFS= read -r file; do [ ! -f "$file" ] || [ ! -r "$file" ] || set -- "$@" "$file"; done <"$WORK/repository-files"
    [ $# -eq 0 ] || awk 'FNR == 1 { id = "main" }
        /^\[.*\]/ { id = substr($0, 2); sub(/\].*/, "", id) }
        /^[ \t]*skip_if_unavailable[ \t]*=/ { value = tolower($0); sub(/^[^=]*=[ \t]*/, "", value); sub(/[ \t]+$/, "", value)
            says[id] = value ~ /^(1|true|yes|on)$/ }
        END { for (id in says) if (says[id] && id != "main") print id }' "$@" | sort
}

visible() {
    query "%{name}	%{arch}" --installed '--disablerepo=*' --disableplugin=versionlock
}

admitted() {
    query "%{name}	%{arch}	%{evr}	%{repoid}" --upgrades >"$WORK/admitted" || return
    [ ! -s "$WORK/obsoleters" ] || obsoleting query "%{name}	%{arch}	%{evr}	%{repoid}" --available >>"$WORK/admitted" || return
    awk -F '\t' 'FILENAME == ARGV[1] { if ($1 == "out") out[$2, $3, $4]; next } !(($1, $2, $3) in out)' \
        "$WORK/judged" "$WORK/admitted"
}

upgrades() {
    whole query "%{name}	%{arch}	%{evr}	%{repoid}	%{downloadsize}	%{installsize}" --upgrades
}

# What dnf would put in the place of an installed package, unless it is told not to. Its question is put in pieces,
# since there is an end to the length of an argument.
obsoleting() { # COMMAND ARGUMENT...
    awk -F '\t' 'length(list) > 60000 { print list; list = "" } { list = list (list == "" ? "" : ",") $1 " = " $3 }
        END { print list }' "$WORK/installed" >"$WORK/capabilities"
    while IFS= read -r list; do set -- "$@" --whatobsoletes "$list"; done <"$WORK/capabilities"
    "$@" </dev/null
}

obsoleters() {
    obsoleting whole records obsoletes
}

obsoleters_advised() {
    if [ -n "$FIVE" ]; then
        whole coming_for_advisories
        return
    fi
    obsoleting whole query "%{name}	%{arch}	%{evr}" --available --security
}

# dnf 5 takes what is newer than an advisory names for advised, but for a minimal upgrade: of that, what takes the
# place of others.
coming_for_advisories() { # OPTION...
    look upgrade --minimal --security --setopt=best=0 ${LIMIT:+"$LIMIT"} "$@" >"$WORK/minimal" 2>/dev/null
    moves "$WORK/minimal" >"$WORK/minimal-moves"
    awk -F '\t' '$1 == "install" { row[$2] = $2 "\t" $3 "\t" $4 } $1 == "replace" && ($5 in row) { print row[$5]; delete row[$5] }' \
        "$WORK/minimal-moves"
}

replaces() {
    case $OBSOLETES in 0 | [Ff]alse | [Nn]o | [Oo]ff) return 1 ;; esac
}

repositories() {
    if [ -n "$FIVE" ]; then look repoinfo; else look -q repolist -v; fi
}

# Of every repository's cache: its folder, when it was read, its revision, the youngest of its files, whether there are
# advisories among these.
metadata() {
    set --
    for file in "$SYSTEM"/*/repodata/repomd.xml; do [ ! -r "$file" ] || set -- "$@" "$file"; done
    [ $# -gt 0 ] || return 0
    stat -c '%Y %n' "$@" >"$WORK/read-at"
    awk 'FILENAME == ARGV[1] { at = $1; sub(/^[^ ]* /, ""); read_at[$0] = at; next }
        /<data type=.updateinfo/ { advises[FILENAME] = 1 }
        { while (match($0, /<(revision|timestamp)>[0-9.]+</)) {
            value = substr($0, RSTART, RLENGTH); $0 = substr($0, RSTART + RLENGTH)
            number = value; gsub(/[^0-9.]/, "", number)
            if (value ~ /^<revision/) revision[FILENAME] = number
            else if (number + 0 > youngest[FILENAME] + 0) youngest[FILENAME] = number } }
        END { for (i = 2; i < ARGC; i++) {
            file = folder = ARGV[i]; sub(/\/repodata\/[^\/]*$/, "", folder); sub(/.*\//, "", folder)
            sub(/\..*/, "", youngest[file])
            print folder "\t" read_at[file] "\t" revision[file] "\t" youngest[file] "\t" advises[file] + 0 } }' \
        "$WORK/read-at" "$@"
}

advisories() { # [OPTION]
    whole look -q updateinfo list "$@" >"$WORK/printed"
    asked=$?
    unlike_heard "$WORK/printed"
    return "$asked"
}

duplicates() {
    # With dnf 5 these are installed ones anyhow, and it does not like to be told.
    if [ -n "$FIVE" ]; then
        whole query "%{name}	%{arch}	%{evr}" --duplicates '--disablerepo=*'
    else
        query_installed "%{name}	%{arch}	%{evr}" --duplicates
    fi
}

locks() {
    lock_holders "$DATABASE/.rpm.lock"
    # Of dnf 5, which waits there without end.
    lock_holders "$HISTORY/system-repo.lock"
    for file in "$HISTORY/rpmdb_lock.pid" "$SYSTEM/metadata_lock.pid" "$SYSTEM/download_lock.pid"; do holder_in "$file"; done
}

filesystems() {
    filesystems_of "$SYSTEM" "${ROOT:-/}" "$ROOT/boot" "$ROOT/var"
}

# The plugin's own verdict, where it is there and where the kernel is ours.
restarting() {
    dnf_ asking -q -C needs-restarting -r "--setopt=cachedir=$VIEW" "--setopt=logdir=$WORK/logs" "--setopt=persistdir=$WORK/persist"
}

can_tell_restart() {
    if [ -n "$ROOT" ] || in_container; then return 1; fi
    for file in /usr/lib/python3*/site-packages/dnf-plugins/needs_restarting.py \
        /usr/lib/python3/dist-packages/dnf-plugins/needs_restarting.py \
        /usr/lib*/dnf5/plugins/needs_restarting_cmd_plugin.so /usr/lib/*/dnf5/plugins/needs_restarting_cmd_plugin.so; do
        [ ! -e "$file" ] || return 0
    done
    return 1
}

inputs() {
    know_rpm
    rpm_databases
    for file in "$SYSTEM"/*/repodata/repomd.xml; do
        [ ! -e "$file" ] || printf '%s\n' "$file"
    done
    printf '%s\n' "$HISTORY/history.sqlite" "$ROOT/etc/dnf" "$ROOT/etc/yum.conf" "$ROOT/etc/yum" "$ROOT/etc/yum.repos.d" \
        "$ROOT/etc/distro.repos.d" "$ROOT/usr/share/dnf5" "$ROOT/usr/lib/sysimage/libdnf5" "$ROOT/etc/os-release" "$ROOT/etc/rpm" "$ROOT/boot"
}

# What is left of what is installed and of what is offered by all that the operator wrote.
see_what_is_admitted() {
    need visible visible
    if [ -s "$WORK/upgrades" ] || [ -s "$WORK/obsoleters" ]; then need admitted admitted; fi
}

# Below another root, rpm 6 must be root to.
can_verify() {
    [ -z "$ROOT" ] || [ -z "$FIVE" ] || [ "$(id -u)" -eq 0 ]
}

see_obsoleters() {
    need_kept obsoleters obsoleters
    [ ! -s "$WORK/obsoleters" ] || need obsoleters-advised obsoleters_advised
}

# A section without which nothing can be said.
need() { # NAME COMMAND...
    section "$@"
    [ "$code" -eq 0 ] || finish "$OTHER"
}

# The same with the output in $WORK/NAME, where the script needs it later.
need_kept() { # NAME COMMAND...
    section_kept "$@"
    [ "$code" -eq 0 ] || finish "$OTHER"
}

see_installed() {
    need_kept installed installed
}

# The same where nobody reads it.
know_installed() {
    installed >"$WORK/installed" 2>"$WORK/err" </dev/null || refused "rpm cannot say what is installed: $(tr '\n' ' ' <"$WORK/err")" "$OTHER"
}

observe() {
    know_rpm
    view
    begin_waiting
    show_os
    section machine machine
    see_installed
    need reasons query_installed "%{name}	%{arch}	%{evr}	%{reason}"
    need repositories repositories
    section metadata metadata
    section may-be-missing may_be_missing
    need_kept upgrades upgrades
    ! replaces || see_obsoleters
    know_locks
    section versionlock locked
    ! hiding || see_what_is_admitted
    need advisories advisories
    [ ! -s "$WORK/out" ] || need cves advisories --with-cve
    [ -z "$(several)" ] || need duplicates duplicates
    ! can_verify || explain dependencies kept_dependencies_of_rpms
    section locks locks
    section filesystems filesystems
    ! can_tell_restart || section restarting restarting
    section clock clock
    finish "$OK"
}

# --- resolving ---------------------------------------------------------------------------------------------

# Read names (name or name:arch) one a line, and print them as dnf takes them, those of installed packages only;
# with "all", others as well.
as_dnf_takes() { # [all]
    awk -F '\t' -v every="${1:-}" 'FILENAME == ARGV[1] { have[$1]; have[$1 ":" $2]; next }
        /./ && (every || ($0 in have)) { name = $0; if (match(name, /:[^:]*$/)) {
            name = substr(name, 1, RSTART - 1) "." substr(name, RSTART + 1) }
            print name }' "$WORK/installed" -
}

# Read NAME=VERSION or NAME:ARCH=VERSION one a line; print name, arch (or nothing) and version.
parts() {
    sed -e '/^$/d' -e 's/=/	/' | awk -F '\t' '{ arch = ""; if (match($1, /:[^:]*$/)) {
        arch = substr($1, RSTART + 1); $1 = substr($1, 1, RSTART - 1) } print $1 "\t" arch "\t" $2 }'
}

# What the repositories offer of some names, within the operator's excludes.
available() { # NAME...
    query "%{name}	%{arch}	%{evr}	%{epoch}:%{version}-%{release}" --available "$@"
}

# Of the wanted (name, arch or nothing, version), find the package that is offered: of the wanted architecture, else of
# any that fits this machine, since it may have changed. Prints name, arch, version and NEVRA; what is not offered goes
# to "gone".
matching() { # FILE MACHINE
    awk -F '\t' -v base="$2" -v gone="$WORK/gone" '
        FILENAME == ARGV[1] { if ($2 != "src" && $2 != "nosrc") full[$1, $3, $2] = $4; next }
        {   n = 0
            if (($1, $3, $2) in full) { n = 1; arch[1] = $2 }
            else if ($2 == "" || $2 == "noarch" || $2 == base) {
                if (($1, $3, base) in full) arch[++n] = base
                if (($1, $3, "noarch") in full) arch[++n] = "noarch" }
            if (!n) print $1 ($2 == "" ? "" : ":" $2) "=" $3 > gone
            else print $1 "\t" arch[1] "\t" $3 "\t" $1 "-" full[$1, $3, arch[1]] "." arch[1]
        }' "$WORK/available" "$1"
}

offered() { # FILE
    : >"$WORK/gone"
    # shellcheck disable=SC2046 # one argument per name is wanted, and names hold no blanks
    available $(cut -f 1 "$1" | sort -u) >"$WORK/available" 2>"$WORK/err" </dev/null || return
    matching "$1" "$(uname -m)"
}

# The other versions of what is chosen, as NEVRA: with these away, nothing but the chosen one can come.
# Not the installed one: dnf would not see any more that there is something to upgrade.
others() { # FILE-OF-OFFERED
    awk -F '\t' 'FILENAME == ARGV[1] { chosen[$1, $2] = $3; next } FILENAME == ARGV[2] { have[$1, $2, $3]; next }
        (($1, $2) in chosen) && chosen[$1, $2] != $3 && !(($1, $2, $3) in have) { print $1 "-" $4 "." $2 }' \
        "$1" "$WORK/installed" "$WORK/available"
}

# What may not move or come in, one a line, as dnf takes it.
exclusions() {
    [ -z "$EXCLUDE" ] || lines_of "$EXCLUDE" | as_dnf_takes
    [ -z "$BLOCK" ] || lines_of "$BLOCK" | as_dnf_takes all
    [ -s "$WORK/locks" ] || return 0
    locked | sed 's/	/./'
    # What the operator locked out by version, where the plugin is not there to do it.
    sed -n 's/^!//p' "$WORK/locks"
    awk -F '\t' '$1 == "out" { print $2 "-" ($4 ~ /:/ ? "" : "0:") $4 "." $3 }' "$WORK/judged"
}

# Lists of what may not move, a line each: there is an end to the length of an argument.
excluding() {
    [ ! -s "$WORK/excluded" ] || awk 'length(list) > 60000 { print list; list = "" } { list = list (list == "" ? "" : ",") $0 }
        END { if (list != "") print list }' "$WORK/excluded"
}

excluding_all() { # COMMAND ARGUMENT...
    excluding >"$WORK/lists"
    while IFS= read -r list; do set -- "$@" "--exclude=$list"; done <"$WORK/lists"
    "$@" </dev/null
}

# With any transaction dnf 5 lets go what is beyond the limit of install-only packages, whatever it is about. Where more
# of them are there, they stay, and what comes in is in the place of the oldest, as with dnf 4.
LIMIT=
leave_surplus() {
    { [ -n "$FIVE" ] && limit=$(kept_at_once) && [ -n "$limit" ]; } || return 0
    most=$(cut -f 1,2 "$WORK/installed" | uniq -c | awk '$1 > most { most = $1 } END { print most + 0 }')
    sure
    [ "$most" -le "$limit" ] || LIMIT=--setopt=installonly_limit=$most
}

# How many versions of such a package dnf lets be there; nothing where it lets all of them.
kept_at_once() {
    case ${INSTALLONLY_LIMIT:-3} in
        *[!0-9]* | 0) ;;
        1) echo 2 ;;
        *) printf '%s\n' "${INSTALLONLY_LIMIT:-3}" ;;
    esac
}

# Ask dnf what it would do. Strict or not, --best or not is the caller's; weak dependencies are the operator's.
ask() { # ARGUMENT...
    excluding_all look --setopt=clean_requirements_on_remove=0 ${LIMIT:+"$LIMIT"} "$@"
}

# dnf's table as rows: action, name, arch, version, then the repository or, of a replacement, by whom. A row or a
# heading of another form is printed as "unknown", and nobody goes on from there.
moves() { # FILE
    awk '
        function flush(  n, part) {
            if (entry == "") return
            n = split(entry, part, " "); entry = ""
            # dnf 5 writes it for packages that move, and for no others.
            sub(/^0:/, "", part[3])
            if (action == "module") return
            if (action == "" || n < 4) { print "unknown\t" action " " part[1]; return }
            by = part[1]; arch = part[2]; print action "\t" part[1] "\t" part[2] "\t" part[3] "\t" part[4]
        }
        BEGIN {
            means["Installing"] = means["Installing dependencies"] = means["Installing weak dependencies"] = "install"
            means["Installing group packages"] = means["Installing group/module packages"] = "install"
            means["Upgrading"] = "upgrade"; means["Downgrading"] = "downgrade"; means["Reinstalling"] = "reinstall"
            means["Removing"] = means["Removing dependent packages"] = means["Removing unused dependencies"] = "remove"
            means["Skipping packages with conflicts"] = "skip"
            means["Skipping packages with broken dependencies"] = "broken"
            means["Enabling module streams"] = means["Switching module streams"] = means["Disabling modules"] = "module"
            means["Installing module profiles"] = means["Disabling module profiles"] = means["Resetting modules"] = "module"
        }
        /^ ?Package +Arch/ { table = 1; next }
        # The other one stands below what is skipped.
        /^Transaction Summary/ || /^Nothing to do\.$/ { flush(); table = 0; next }
        !table || /^=+$/ || /^\(/ || /^[ \t]*$/ { next }
        /^[A-Z].*:[ \t]*$/ {
            flush(); heading = $0; sub(/:[ \t]*$/, "", heading); action = means[heading]
            if (action == "") { print "unknown\t" heading; action = "unknown" }
            next
        }
        /^ +replacing / {
            flush(); name = $2; of = $3; version = $4
            sub(/^0:/, "", version)
            if (NF == 3) { version = $3; match(name, /\.[^.]*$/); of = substr(name, RSTART + 1); name = substr(name, 1, RSTART - 1) }
            # dnf 5 lists what an upgrade replaces as well.
            if (name != by || action == "reinstall") print "replace\t" name "\t" of "\t" version "\t" by
            next
        }
        /^ [^ ]/ { flush(); entry = $0; next }
        /^ +[^ ]/ { entry = entry " " $0; next }
        { flush(); print "unknown\t" $0 }
        END { flush() }' "$1"
}

# Read what was answered. Leaves the rows in $WORK/moves, or ends; dnf says 1 for a plan and for a failure alike.
read_answer() {
    moves "$WORK/answer" >"$WORK/moves"
    if [ "$code" -ne 0 ] && ! complains "$SAYS_ANSWERED"; then return 1; fi
    ! grep -q '^unknown' "$WORK/moves"
}

# Which of our codes says what dnf's refusal is.
refusal() {
    if complains "$SAYS_DENIED"; then
        echo "$OTHER"
    elif complains "$SAYS_UNRESOLVED"; then
        echo "$UNRESOLVED"
    else
        echo "$OTHER"
    fi
}

# --- dry-run -----------------------------------------------------------------------------------------------

# What security advisories name: of several versions of a package dnf takes the newest, which holds all of them, and
# where that one cannot come, the next.
security_versions() {
    advisories --security 2>"$WORK/err" </dev/null >"$WORK/named" || return
    # What stands before is what somebody wrote: any words. dnf 5 ends each line with a time.
    awk '$(NF - 1) ~ /\/Sec\.$/ { print $NF } $NF ~ /^[0-9]+:[0-9:]+$/ && NF > 3 { print $(NF - 2) }' "$WORK/named" | sort -u >"$WORK/nevras"
    advised --upgrades || return
    ! replaces || security_obsoleters
}

# Advisories are listed of installed names alone.
security_obsoleters() {
    if [ -n "$FIVE" ]; then
        excluding_all coming_for_advisories
    else
        excluding_all obsoleting query "%{name}	%{arch}	%{evr}" --available --security
    fi >"$WORK/successors" || return
    awk -F '\t' -v base="$(uname -m)" 'FILENAME == ARGV[1] { have[$1]; next }
        !($1 in have) && ($2 == "noarch" || $2 == base) { print $1 "-" ($3 ~ /:/ ? "" : "0:") $3 "." $2 }' \
        "$WORK/installed" "$WORK/successors" >"$WORK/nevras"
    advised --available
}

# Of the versions in $WORK/nevras what is left by the exclusions.
advised() { # REPOQUERY-OPTION
    [ -s "$WORK/nevras" ] || return 0
    # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
    excluding_all query "%{name}	%{arch}	%{evr}	%{name}-%{epoch}:%{version}-%{release}.%{arch}" \
        "$@" $(cat "$WORK/nevras")
}

# What --security moves: what is chosen, what is included, and of the rest what advisories name.
security_specs() {
    security_versions >"$WORK/secure" || return
    lines_of "$INCLUDE" | as_dnf_takes >"$WORK/included"
    cut -f 4 "$WORK/chosen"
    cat "$WORK/included"
    awk -F '\t' 'FILENAME == ARGV[1] { chosen[$1]; next } FILENAME == ARGV[2] { included[$0]; next }
        !($1 in chosen) && !($1 in included) && !($1 "." $2 in included) { print $4 }' \
        "$WORK/chosen" "$WORK/included" "$WORK/secure"
}

resolve() {
    if [ -n "$ONLY" ]; then
        # What is only recommended is no reason why something cannot be installed.
        ask install --best --allowerasing --setopt=install_weak_deps=0 "$(cut -f 4 "$WORK/alone")"
    elif [ -n "$SECURITY" ]; then
        # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
        ask upgrade --setopt=best=0 $(cat "$WORK/specs")
    else
        ask upgrade --setopt=best=0
    fi
}

# dnf refuses all where one package would take the place of a protected one: asked again without that. Whether the last
# answer is one is in $resolved.
resolve_what_can_be() {
    : >"$WORK/protected"
    rounds=0
    OUT=$WORK/answer
    while [ "$rounds" -lt 8 ]; do
        rounds=$((rounds + 1))
        sure
        collect resolve
        resolved=
        ! read_answer || resolved=1
        if [ -n "$resolved" ] || ! leave_out_protected; then break; fi
    done
    tell resolve
    OUT=$WORK/out
    sure
}

# The protected packages that dnf would have to remove, as it names them; and what takes the place of one, left out.
leave_out_protected() {
    sed -n "s/.*$SAYS_PROTECTED: *//p" "$WORK/err" "$WORK/answer" | tr -s " ," "\n" | awk 'NF && !seen[$0]++' >"$WORK/protected"
    [ -s "$WORK/protected" ] && [ -z "$ONLY" ] || return 1
    for relation in --whatobsoletes --whatconflicts; do
        query "%{name}-%{epoch}:%{version}-%{release}.%{arch}" --available \
            "$relation" "$(paste -s -d , "$WORK/protected")" 2>/dev/null </dev/null
    done | sort -u >"$WORK/takers"
    awk 'FILENAME == ARGV[1] { known[$0]; next } NF && !($0 in known)' "$WORK/excluded" "$WORK/takers" >"$WORK/new-takers"
    [ -s "$WORK/new-takers" ] || return 1
    cat "$WORK/new-takers" >>"$WORK/excluded"
}

# In dnf's own form of a problem, since dnf does not say here whose doing it is.
tell_protected() {
    awk -F '\t' 'FILENAME == ARGV[1] { package = $1 "-" $3 "." $2; next }
        { print "package " package " would remove the protected package " $0 }' "$WORK/alone" "$WORK/protected" >&2
}

resolve_safely() {
    ask install --best --setopt=install_weak_deps=0 "$(cut -f 4 "$WORK/alone")"
}

# What dnf skips since it would have to erase something, erased; what has broken dependencies stays out, since
# with --best one such package would end it all.
resolve_fully() {
    ask upgrade --best --allowerasing
}

facts_of() { # NEVRA...: of packages on offer; of what they provide only what one of them needs
    records 'requires provides conflicts obsoletes' "$@" >"$WORK/facts" || return
    awk '/^\t/ { kind = $1 } FNR == 1 { pass++ }
        pass == 1 && kind == "requires" { if (/^\(/) gsub(/[()]/, " "); for (i = 1; i <= NF; i++) needed[$i] }
        pass == 1 { next }
        kind != "provides" || /^[\t@]/ || ($1 in needed)' "$WORK/facts" "$WORK/facts"
}

facts_of_removed() { # NAME-VERSION.ARCH...
    rpm_ -q --qf '@\t%{NAME}\t%{ARCH}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\t\t0\t%{LONGSIZE}\n\trequires
[%{REQUIRENAME} %{REQUIREFLAGS:depflags} %{REQUIREVERSION}\n]\tprovides\n[%{PROVIDENAME} %{PROVIDEFLAGS:depflags} %{PROVIDEVERSION}\n]' "$@"
}

choose() {
    : >"$WORK/chosen"
    : >"$WORK/alone"
    [ -n "$CHOOSE$ONLY" ] || return 0
    lines_of "$CHOOSE,$ONLY" | parts | sort -u >"$WORK/wanted"
    offered "$WORK/wanted" >"$WORK/chosen" || no_offers
    [ ! -s "$WORK/gone" ] || refused "no longer available:$(each_in "$WORK/gone")" "$GONE"
    others "$WORK/chosen" >>"$WORK/excluded"
    lines_of "$ONLY" | parts >"$WORK/wanted"
    [ ! -s "$WORK/wanted" ] || offered "$WORK/wanted" >"$WORK/alone" || no_offers
}

no_offers() {
    refused "dnf cannot say what is offered: $(tr '\n' ' ' <"$WORK/err")" "$OTHER"
}

dry_run() {
    view
    begin_waiting
    see_installed
    [ -z "$UNUSED" ] || tell_unused
    [ -z "$GOING" ] || tell_going
    leave_surplus
    know_locks
    section versionlock locked
    exclusions >"$WORK/excluded"
    choose
    if [ -n "$SECURITY" ] && [ -z "$ONLY" ]; then
        security_specs >"$WORK/specs" || refused "dnf cannot say what advisories name: $(tr '\n' ' ' <"$WORK/err")" "$OTHER"
        # Without anything named, dnf would take everything.
        [ -s "$WORK/specs" ] || finish "$NOTHING"
    fi
    show_file excluded "$WORK/excluded"
    resolve_what_can_be
    [ -n "$resolved" ] || not_resolved
    [ ! -s "$WORK/protected" ] || section takers cat "$WORK/takers"
    if [ -n "$FULL" ] && [ -z "$SECURITY$ONLY" ] && grep -qE '^(skip|broken)' "$WORK/moves"; then fully; fi
    show_file moves "$WORK/moves"
    if ! grep -qvE '^(skip|broken)' "$WORK/moves"; then finish "$NOTHING"; fi
    tell_facts
    bad=$(excluded_going)
    [ -z "$bad" ] || refused "dnf would remove what must not move:$bad" "$UNRESOLVED"
    finish "$OK"
}

# Of what must not move, in words, what the table would remove or replace.
excluded_going() {
    [ -n "$EXCLUDE$BLOCK" ] || return 0
    lines_of "$EXCLUDE,$BLOCK" | as_dnf_takes | awk -F '\t' '
        FILENAME == ARGV[1] { if ($1 == "remove" || $1 == "replace") { gone[$2]; gone[$2 "." $3] } next }
        $0 in gone { printf " %s", $0 }' "$WORK/moves" -
}

not_resolved() {
    ! grep '^unknown' "$WORK/moves" >"$WORK/unknown" || {
        section moves cat "$WORK/unknown"
        finish "$OTHER"
    }
    # Nothing that is named can move: all of it is excluded, or gone.
    if [ -n "$SECURITY" ] && [ -z "$ONLY" ] && complains "$SAYS_NOTHING_MOVES"; then finish "$NOTHING"; fi
    ended=$(refusal)
    [ -z "$ONLY" ] || [ ! -s "$WORK/protected" ] || section why tell_protected
    finish "$ended"
}

# With --full, once more with removals allowed. What has broken dependencies would end it all, and is left out first;
# where it cannot be all the same, what the first run found is the answer.
fully() {
    cp "$WORK/moves" "$WORK/safe"
    cp "$WORK/excluded" "$WORK/before"
    awk -F '\t' '$1 == "broken" { print $2 "-" ($4 ~ /:/ ? "" : "0:") $4 "." $3 }' "$WORK/moves" >>"$WORK/excluded"
    section resolve-fully resolve_fully
    keep answer
    if ! read_answer || erases_what_is_broken; then
        cp "$WORK/safe" "$WORK/moves"
        cp "$WORK/before" "$WORK/excluded"
        return
    fi
    # What the first run skipped, and the second was not asked for.
    awk -F '\t' 'FILENAME == ARGV[1] { moves[$2, $3]; next } ($1 == "skip" || $1 == "broken") && !(($2, $3) in moves)' \
        "$WORK/moves" "$WORK/safe" >"$WORK/skipped"
    cat "$WORK/skipped" >>"$WORK/moves"
}

# Whether a package would go whose own update was left out as broken. dnf insists on keeping it, with --best and
# without; that it may go is our doing, and a repository that is half published today would cost it.
erases_what_is_broken() {
    awk -F '\t' 'FILENAME == ARGV[1] { if ($1 == "broken") broken[$2]; next }
        $1 == "remove" && ($2 in broken) { print $2 }' "$WORK/safe" "$WORK/moves" >"$WORK/lost"
    [ -s "$WORK/lost" ]
}

# The records of what comes and of what goes tell whose doing each is.
tell_facts() {
    : >"$WORK/going"
    awk -F '\t' -v going="$WORK/going" '$1 ~ /^(install|upgrade|downgrade)$/ { print $2 "-" $4 "." $3 }
        $1 ~ /^(remove|replace)$/ { version = $4; sub(/^[0-9]*:/, "", version); print $2 "-" version "." $3 >going }' \
        "$WORK/moves" >"$WORK/coming"
    # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
    [ ! -s "$WORK/coming" ] || need packages facts_of $(cat "$WORK/coming")
    # shellcheck disable=SC2046 # the same
    [ ! -s "$WORK/going" ] || need relations facts_of_removed $(cat "$WORK/going")
    # Why something must go: dnf says so when it may not.
    if [ -n "$ONLY" ] && grep -q '^remove' "$WORK/moves"; then section why resolve_safely; fi
}

# --- what nothing needs any more ----------------------------------------------------------------------------

# All that came in for others and is needed by none, also what only such packages need.
unneeded() {
    whole query "%{name}	%{arch}	%{evr}" --unneeded '--disablerepo=*'
}

# Packages of which several versions may be there: kernels, and what is made for one of them.
install_only() { # [OPTION]
    whole query "%{name}	%{arch}	%{evr}" --installonly '--disablerepo=*' "$@"
}

# The running kernel, as it calls itself, and the versions of the packages that it is from. In another root there is none.
running_kernel() {
    [ -z "$ROOT" ] || return 0
    release=$(must uname -r)
    printf '%s\n' "$release"
    # With 1 it says that a file is nobody's, or is not there.
    may rpm -qf --qf '\t%{VERSION}-%{RELEASE}\n' "/lib/modules/$release" "/boot/vmlinuz-$release" 2>/dev/null | sed -n 's/^\t//p'
}

# Of install-only packages the versions beyond what dnf lets be there, the oldest first. The running one is among those
# that stay, whichever it is.
old_kernels() {
    limit=$(kept_at_once)
    [ -n "$limit" ] || return 0
    awk -F '\t' -v limit="$limit" '++count[$1, $2] > limit { print; exit }' "$WORK/install-only" >"$WORK/beyond"
    [ -s "$WORK/beyond" ] || return 0
    running_kernel >"$WORK/running"
    install_only "--latest-limit=-$limit" >"$WORK/oldest" || return
    awk -F '\t' "$AWK_RUNNING"'is_running($3)' "$WORK/running" "$WORK/oldest" >"$WORK/old-and-running"
    : >"$WORK/older"
    [ ! -s "$WORK/old-and-running" ] || install_only "--latest-limit=-$((limit - 1))" >"$WORK/older" || return
    awk -F '\t' "$AWK_RUNNING"'
        FILENAME == ARGV[2] { with_it[$1, $2]; next }
        !is_running($3) && (FILENAME == ARGV[3]) == (($1, $2) in with_it)' \
        "$WORK/running" "$WORK/old-and-running" "$WORK/older" "$WORK/oldest"
}

# Whether a version is that of the running kernel: which calls itself so, with what it is made for behind.
# shellcheck disable=SC2016 # it is awk's
AWK_RUNNING='
    function is_running(version,  one) {
        sub(/^[0-9]*:/, "", version)
        for (one in running) if (index(one, version) == 1 && substr(one, length(version) + 1) ~ /^([.+].*)?$/) return 1
        return 0
    }
    FILENAME == ARGV[1] { running[$0]; next }
'

unused() {
    install_only >"$WORK/install-only" || return
    unneeded >"$WORK/unneeded" || return
    old_kernels >"$WORK/old" || return
    # An install-only package is never unneeded to dnf, whatever it came in for.
    awk -F '\t' -v OFS='\t' 'FILENAME == ARGV[1] { there[$1, $2, $3]; next }
        !(($1, $2, $3) in there) { next }
        FILENAME == ARGV[2] { several[$1, $2, $3]; next }
        FILENAME == ARGV[4] { print $0, "kernel"; next }
        !(($1, $2, $3) in several) { print $0, "package" }' \
        "$WORK/installed" "$WORK/install-only" "$WORK/unneeded" "$WORK/old"
}

tell_unused() {
    need unused unused
    [ -s "$WORK/out" ] || finish "$NOTHING"
    finish "$OK"
}

# Read NAME:ARCH=VERSION one a line; print name, arch and version of what is there in it. What is not goes to "gone".
there_in() {
    parts | awk -F '\t' -v OFS='\t' -v gone="$WORK/gone" 'FILENAME == ARGV[1] { there[$1, $2, $3]; next }
        (($1, $2, $3) in there) { print; next }
        { print $1 ":" $2 "=" $3 >gone }' "$WORK/installed" -
}

# Of rows of name, arch and version, which dnf is to be told by all of them.
as_nevra() {
    awk -F '\t' '{ print $1 "-" ($3 ~ /:/ ? "" : "0:") $3 "." $2 }'
}

# The locks of dnf 5 as those of dnf 4: a condition on the version names it, any other one the package.
version_locks_of_5() {
    [ ! -r "$ROOT/etc/dnf/versionlock.toml" ] || awk '
        function value() { sub(/^[^=]*=[ \t]*/, ""); gsub(/^["\047]|["\047][ \t]*(#.*)?$/, ""); return $0 }
        function close_condition() {
            if (key == "") return
            if (comparator == "!=") out = 1
            else if (key == "evr" && comparator ~ /^==?$/) named = value_of
            else whole = 1
            key = comparator = value_of = ""
        }
        function close_package() {
            close_condition()
            if (name != "" && (whole || named != "" || !out)) print name (whole || named == "" ? "" : "-" named)
            name = named = ""; whole = out = 0
        }
        /^[ \t]*\[\[packages\]\]/ { close_package(); next }
        /^[ \t]*\[\[packages\.conditions\]\]/ { close_condition(); next }
        /^[ \t]*name[ \t]*=/ { name = value() }
        /^[ \t]*key[ \t]*=/ { key = value() }
        /^[ \t]*comparator[ \t]*=/ { comparator = value() }
        /^[ \t]*value[ \t]*=/ { value_of = value() }
        END { close_package() }' "$ROOT/etc/dnf/versionlock.toml"
}

# Of rows of name, arch and version those that the operator locks to be there. dnf lets them go.
locked_to_stay() { # FILE
    { version_locks && { [ -z "$FIVE" ] || version_locks_of_5; }; } >"$WORK/all-locks"
    awk -F '\t' "$AWK_LOCKS"'
        FILENAME == ARGV[1] { if (!/^!/) lock[as_pattern($0)]; next }
        { for (each in lock) if (is_named(each, $1, $2) || is_meant(each, $1, $2, $3)) { print; next } }' "$WORK/all-locks" "$1"
}

none_is_locked() { # FILE
    locked_to_stay "$1" >"$WORK/staying"
    [ ! -s "$WORK/staying" ] || refused "locked by the operator:$(awk -F '\t' '{ printf " %s.%s", $1, $2 }' "$WORK/staying")" "$UNRESOLVED"
}

# What the removal of these would do, of all of them or none.
tell_going() {
    : >"$WORK/gone"
    : >"$WORK/todo"
    : >"$WORK/excluded"
    printf '%s' "$GOING" | there_in >"$WORK/going-rows"
    [ ! -s "$WORK/gone" ] || refused "not installed any more:$(each_in "$WORK/gone")" "$GONE"
    none_is_locked "$WORK/going-rows"
    as_nevra <"$WORK/going-rows" >"$WORK/remove"
    leave_surplus
    know_transaction
    section resolve simulate
    keep answer
    read_answer || not_resolved
    differences | grep '^would not' >"$WORK/differences"
    must_be_equal
    section moves cat "$WORK/moves"
    tell_facts
    finish "$OK"
}

# --- refresh -----------------------------------------------------------------------------------------------

makecache() {
    if [ -z "$FIVE" ]; then
        # One repository that fails must not keep the others from being read, nor be passed over in silence.
        dnf_ may makecache --refresh --setopt=skip_if_unavailable=1 '--setopt=*.skip_if_unavailable=1' --setopt=exit_on_lock=1
        return
    fi
    # dnf 5 is silent of what it passes over: each must be there, and where one is not, the others are read alone.
    anew && return
    : >"$WORK/unread"
    look -q repo list --enabled | sed 1d >"$WORK/enabled"
    while read -r id _; do
        anew --repo="$id" </dev/null || printf '%s\n' "$id" >>"$WORK/unread"
    done <"$WORK/enabled"
    [ ! -s "$WORK/unread" ]
}

# With dnf 5, --refresh may keep what it has of a repository that was published again.
anew() { # OPTION...
    dnf_ may makecache --setopt=metadata_expire=0 '--setopt=*.metadata_expire=0' '--setopt=*.skip_if_unavailable=0' "$@"
}

refresh() {
    if [ "$(id -u)" -ne 0 ]; then
        printf '[refresh]\n!only root may refresh the metadata of this machine\n= 1\n'
        finish "$OTHER"
    fi
    view
    section refresh makecache
    ended=$(refreshed)
    [ -e "$WORK/unread" ] || sed -n "s/^$SAYS_PASSED_OVER//p" "$WORK/err" | tr -s ', ' '\n' >"$WORK/unread"
    [ "$ended" -eq 0 ] || section unread cat "$WORK/unread"
    finish "$ended"
}

# Which of our codes says what became of it.
refreshed() {
    if [ "$code" -eq 200 ]; then
        echo "$LOCKED"
    elif [ "$code" -eq 0 ] && { [ -n "$FIVE" ] || ! says "$SAYS_NOT_ALL_READ"; }; then
        echo "$OK"
    elif says "$SAYS_NO_SPACE"; then
        echo "$NO_SPACE"
    elif says "$SAYS_METADATA_UNTRUSTED"; then
        echo "$UNTRUSTED"
    elif says "$SAYS_UNREACHABLE"; then
        echo "$STALE"
    else
        echo "$OTHER"
    fi
}

# --- download, apply, repair -------------------------------------------------------------------------------

only_root() {
    [ "$(id -u)" -eq 0 ] || refused 'only root may change packages' "$OTHER"
}

waited=0
pause() { # end where nobody may wait any longer
    if [ "$waited" -ge "$LOCK_WAIT" ]; then
        refused "dnf is locked by $1" "$LOCKED"
    fi
    run sleep 1
    waited=$((waited + 1))
}

# Where the kernel's list shows another device, the inode alone could be chance: then a holder must have the name of one.
await_lock() {
    [ -n "${DATABASE:-}" ] || know_rpm
    while :; do
        holder=$(locks | awk -F '\t' '$1 == "same" || $3 ~ /^(dnf|yum|rpm|zypper|python|packagekit|platform)/ {
            print ($3 == "" ? "a process" : $3) " (pid " $2 ")"; exit }')
        [ -n "$holder" ] || return 0
        pause "$holder"
    done
}

# Run what changes something, again while somebody else was faster with the lock.
insist() { # COMMAND...
    while :; do
        "$@"
        ended=$?
        if [ "$ended" -ne 200 ] || [ "$waited" -ge "$LOCK_WAIT" ]; then return "$ended"; fi
        run sleep 1
        waited=$((waited + 1))
    done
}

# The real thing; all that is installed comes from what the simulation has seen.
really() { # ARGUMENT...
    dnf_ run -y --setopt=exit_on_lock=1 --setopt=keepcache=1 --setopt=metadata_expire=-1 '--setopt=*.metadata_expire=-1' \
        --setopt=skip_if_unavailable=1 '--setopt=*.skip_if_unavailable=1' --setopt=clean_requirements_on_remove=0 "$@"
}

# Of what is to go what is named without its version.
without_version() {
    printf '%s' "$GOING_VERSIONS" >"$WORK/versioned"
    lines_of "$REMOVE" | awk 'FILENAME == ARGV[1] { versioned[$1]; next } !($0 in versioned)' "$WORK/versioned" -
}

# And with it.
with_version() {
    printf '%s' "$GOING_VERSIONS" | tr ' ' '=' | there_in
}

# What is to go and still there. Once the newest of an install-only package has come in, its oldest has gone, and
# the name alone would mean all of them.
names_of_remove() {
    if [ -s "$WORK/todo" ]; then
        without_version | as_dnf_takes
    else
        lines_of "$INSTALL" | parts | cut -f 1 >"$WORK/come"
        without_version | awk 'FILENAME == ARGV[1] { come[$0]; next }
            { name = $0; sub(/:[^:]*$/, "", name) } !(name in come)' "$WORK/come" - | as_dnf_takes
    fi
}

# What transact is about, in variables: what it tells dnf must be whole, and the same when it is made as when it was
# asked for.
know_transaction() {
    LEFT_OUT=$(excluding)
    COMING=$(cut -f 4 "$WORK/todo")
    LEAVING=$(cat "$WORK/remove")
    sure
}

# What is to go besides, where dnf can make both of it in one.
ALSO_GOING=
# The transaction as dnf is told it, simulated or real: naming a version installs it, whatever is there now.
transact() { # HOW OPTION...
    through=$1
    shift
    while IFS= read -r list; do
        [ -z "$list" ] || set -- "$@" "--exclude=$list"
    done <<EOF
$LEFT_OUT
EOF
    [ -z "$LIMIT" ] || set -- "$LIMIT" "$@"
    if [ -n "$ALSO_GOING" ]; then
        # shellcheck disable=SC2086 # one argument per package is wanted, and none holds blanks
        "$through" "do" --setopt=best=1 --setopt=install_weak_deps=0 --allowerasing "$@" --action=install $COMING --action=remove $ALSO_GOING
    elif [ -n "$COMING" ]; then
        [ -z "$REMOVE" ] || set -- "$@" --allowerasing
        # shellcheck disable=SC2086 # one argument per package is wanted, and none holds blanks
        "$through" install --setopt=best=1 --setopt=strict=1 --setopt=install_weak_deps=0 "$@" $COMING
    else
        # shellcheck disable=SC2086 # the same
        "$through" remove "$@" $LEAVING
    fi
}

simulate() {
    transact look --setopt=clean_requirements_on_remove=0
}

# Of what is named to be installed what is not there, in no architecture where the named one is of the past.
not_there() {
    lines_of "$INSTALL" | parts | awk -F '\t' '
        FILENAME == ARGV[1] { have[$1, $2, $3]; some[$1, $3]; known[$1, $2]; next }
        (($1, $2, $3) in have) || ((($1, $3) in some) && !(($1, $2) in known)) { next }
        { print }' "$WORK/installed" -
}

# What is named and not yet there, found among what is offered: name, arch, version, NEVRA.
find_todo() {
    not_there >"$WORK/wanted"
    : >"$WORK/todo"
    [ -s "$WORK/wanted" ] || return 0
    offered "$WORK/wanted" >"$WORK/todo" || no_offers
    [ -s "$WORK/gone" ] || return 0
    parts <"$WORK/gone" >"$WORK/lost"
    kept_rpms "$WORK/lost" "$SYSTEM"/*/packages >>"$WORK/todo"
    must_be_had
}

# What dnf would do and was not told, or was told and would not do, in words.
differences() {
    awk -F '\t' 'FILENAME == ARGV[1] { wanted[$1 "." $2 " " $3]; next } FILENAME == ARGV[2] { gone[$0]++; next }
        $1 == "install" || $1 == "upgrade" || $1 == "downgrade" {
            key = $2 "." $3 " " $4
            if (key in wanted) delete wanted[key]; else print "would also " $1 " " key; next }
        $1 == "remove" || $1 == "replace" {
            full = $2 "-" ($4 ~ /:/ ? "" : "0:") $4 "." $3
            if (full in gone) { delete gone[full]; next }
            # One version for each time that it was named.
            if (gone[$2 "." $3]-- > 0) next
            print "would also " $1 " " $2 "." $3 " " $4; next }
        $1 == "skip" || $1 == "broken" { next }
        { print "would do what this script does not know: " $0 }
        END { for (key in wanted) print "would not install " key
            for (key in gone) if (gone[key] > 0) print "would not remove " key }' \
        "$WORK/todo" "$WORK/remove" "$WORK/moves" | sort
}

# An old kernel that comes back beside newer ones: dnf would let one of these go for it, and none is named.
comes_back() {
    lines_of "$REMOVE" | parts | awk -F '\t' 'FILENAME == ARGV[1] { named[$1, $2]; next }
        FILENAME == ARGV[2] { if (!(($1, $2) in named)) come[$1, $2] = $3; next }
        ($1, $2) in come { print come[$1, $2], $3 }' - "$WORK/todo" "$WORK/installed" >"$WORK/beside"
    while read -r version there; do
        case $(must rpm --eval "%{lua:print(rpm.vercmp('$version', '$there'))}") in -*) return 0 ;; esac
    done <"$WORK/beside"
    return 1
}

# End unless dnf would do exactly what is named.
exactly() {
    find_todo
    leave_surplus
    [ -z "$(several)" ] || ! comes_back || LIMIT=--setopt=installonly_limit=0
    know_locks
    exclusions >"$WORK/excluded"
    with_version >"$WORK/going-rows"
    none_is_locked "$WORK/going-rows"
    { names_of_remove && as_nevra <"$WORK/going-rows"; } >"$WORK/remove"
    if [ ! -s "$WORK/todo" ] && [ ! -s "$WORK/remove" ]; then
        [ "$VERB" != --repair ] || mark_automatic
        finish "$NOTHING"
    fi
    know_transaction
    section resolve simulate
    keep answer
    read_answer || cannot
    differences >"$WORK/differences"
    : >"$WORK/later"
    ! leaves_some || together
    must_be_equal
}

must_be_equal() {
    [ -s "$WORK/differences" ] || return 0
    refused "dnf $(in_one_line <"$WORK/differences")" "$UNRESOLVED"
}

# Whether what comes is as it should be, and the only difference is what dnf would not remove for its sake.
leaves_some() {
    [ -s "$WORK/todo" ] && [ -s "$WORK/differences" ] && ! grep -qv '^would not remove ' "$WORK/differences"
}

# dnf 5 has a command for both. dnf 4 has none, but its shell has. It goes on where one of its commands failed, so it is
# only asked; what is left to remove is removed once the rest has come.
together() {
    sed 's/^would not remove //' "$WORK/differences" >"$WORK/later"
    if [ -n "$FIVE" ]; then
        ALSO_GOING=$(cat "$WORK/later")
        : >"$WORK/later"
        sure
        section resolve-all simulate
    else
        ask_for_both
    fi
    keep answer
    read_answer || cannot
    differences >"$WORK/differences"
}

ask_for_both() {
    {
        printf 'install --allowerasing %s\n' "$(cut -f 4 "$WORK/todo" | tr '\n' ' ')"
        printf 'remove %s\nrun\nexit\n' "$(tr '\n' ' ' <"$WORK/later")"
    } >"$WORK/shell"
    must_have_space
    section resolve-all ask_all
}

ask_all() {
    ask --setopt=best=1 --setopt=strict=1 --setopt=install_weak_deps=0 shell "$WORK/shell"
}

# The second half, once more compared with what is named before it is made.
undone=
remove_later() {
    keep_begin=$begin_at
    cp "$WORK/todo" "$WORK/came"
    : >"$WORK/todo"
    cp "$WORK/later" "$WORK/remove"
    know_transaction
    section resolve-rest simulate
    keep answer
    if read_answer && differences >"$WORK/differences" && [ ! -s "$WORK/differences" ] && ! trouble; then
        act apply-rest insist real
    else
        # What has come stays, and is looked after like any other.
        printf '[refused]\n!all but the removals is done; dnf would do more for these: %s\n= 0\n' "$(in_one_line <"$WORK/differences")"
        code=1 undone=1
    fi
    cp "$WORK/came" "$WORK/todo"
    begin_at=$keep_begin
}

# For the way back: what was installed, from where dnf has put it, or has found it on this machine.
keep_what_came() {
    keeps || return 0
    : >"$WORK/elsewhere"
    awk -F '\t' '{ version = $3; sub(/^[0-9]*:/, "", version); print $1 "-" version "." $2 ".rpm\t" $4 }' "$WORK/todo" |
        while IFS=$TAB read -r name spec; do
            there=
            for file in "$spec" "$SYSTEM"/*/packages/"$name"; do [ ! -f "$file" ] || there=$file; done
            if [ -n "$there" ]; then printf '%s\t%s\n' "$there" "$name"; else printf '%s\n' "$spec" >>"$WORK/elsewhere"; fi
        done >"$WORK/coming"
    # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
    [ ! -s "$WORK/elsewhere" ] || look -q repoquery --available --location $(cat "$WORK/elsewhere") 2>/dev/null </dev/null |
        awk 'sub(/^file:\/\//, "") { name = $0; sub(/.*\//, "", name); print $0 "\t" name }' >>"$WORK/coming"
    keep_packages "$SYSTEM" <"$WORK/coming"
}

make_room_for_kept() {
    {
        awk -F '\t' '$4 ~ /^\// { sub(/.*\//, "", $4); print "!" $4 }' "$WORK/todo"
        awk -F '\t' '{ sub(/^[0-9]*:/, "", $3); print $1 "-" $3 "." $2 ".rpm" }' "$WORK/installed"
    } | bound_kept
}

# End with what dnf said against it, or with what nobody understood.
cannot() {
    words=$(grep '^unknown' "$WORK/moves" | head -n 3 | tr '\t\n' ' ;')
    [ -n "$words" ] || words=$(grep -vE "$SAYS_EMPTY|$SAYS_ANSWERED" "$WORK/err" | in_one_line)
    refused "dnf: $words" "$(refusal)"
}

interrupted_before() {
    [ -z "$(several)" ] || {
        duplicates >"$WORK/duplicates" 2>"$WORK/err" </dev/null || refused "dnf cannot say what is there twice" "$OTHER"
        [ ! -s "$WORK/duplicates" ] || return 0
    }
    return 1
}

# Packages whose scriptlets or files dnf complains of, each with the words that tell most; dnf itself may call
# the transaction a success.
failed() {
    awk '
        /^(error|warning): / || sub(/^>>> \[RPM\] /, "") { said[++n] = $0 }
        match($0, /Error in [^ ]+ scriptlet in rpm package /) || match($0, /Error unpacking rpm package /) ||
        match($0, /[Ee]rror in [^:]+ scriptlet: /) {
            name = substr($0, RSTART + RLENGTH); words = substr($0, RSTART)
            sub(/[ \t].*/, "", name)
            if (words ~ /scriptlet: /) sub(/-[^-]*-[^-]*$/, "", name)
            # An unpacking error names the whole package.
            if (words ~ /unpacking/) sub(/-[^-]*-[^-]*$/, "", name)
            if (!(name in message)) order[++m] = name
            if (message[name] == "") message[name] = words
        }
        END { for (i = 1; i <= m; i++) { best = message[order[i]]
            for (j = n; j > 0; j--) if (index(said[j], "(" order[i] "-") || index(said[j], " " order[i] "-") == 7) best = said[j]
            for (j = n; j > 0; j--) if (index(said[j], "(" order[i] "-")) best = said[j]
            print order[i] "\t" best } }' "$WORK/said"
}

# What rpm left for a person to look at. With "new", what the package brings takes its place instead.
conffiles() {
    awk 'match($0, /(created|saved) as \//) { path = substr($0, RSTART + RLENGTH - 1); sub(/[ \t]+$/, "", path); print path }' \
        "$WORK/said" | sort -u | while read -r path; do
        [ -e "$ROOT$path" ] || continue
        case $CONFFILES$path in
            new*.rpmnew)
                mine=${path%.rpmnew}
                mv "$ROOT$mine" "$ROOT$mine.rpmsave" && mv "$ROOT$path" "$ROOT$mine" && path=$mine.rpmsave
                ;;
        esac
        printf '%s\n' "$path"
    done
}

marking() {
    if [ -n "$FIVE" ]; then
        dnf_ run -y -C mark dependency "$@"
    else
        dnf_ run -y -C mark remove "$@"
    fi
}

# Say of what was named by version, and so by a person, that it was not.
mark_automatic() {
    [ -n "$AUTOMATIC" ] || return 0
    installed >"$WORK/installed" 2>/dev/null
    # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
    set -- $(lines_of "$AUTOMATIC" | as_dnf_takes)
    [ $# -eq 0 ] || section marks marking "$@"
}

# Whether rpm would not begin. With too little space it would not either, which is nobody's fault.
not_begun_by_rpm() {
    { [ "$ended" -ne 0 ] && [ -z "$undone" ] && spoke "$SAYS_NOT_BEGUN" && ! spoke "$SAYS_NO_SPACE"; } || return 1
    refused_by_rpm "$WORK/said" >"$WORK/named"
    not_begun "$WORK/named"
}

# Whether dnf would not begin for the sake of packages whose signature it does not accept, which it names all.
not_trusted() {
    { [ "$ended" -ne 0 ] && spoke "$SAYS_NOT_TRUSTED"; } || return 1
    awk "$AWK_TAKE"'
        function flush() { if (words != "") print who "\t" words "\t\t"; words = "" }
        /^ *(GPG|OpenPGP) [Kk]eys are configured as: / && words != "" { sub(/^ +/, ""); words = words "; " $0; next }
        { flush(); gsub(/\t/, " ") }
        /^(The GPG keys listed for|Check that the correct key)/ { said = said (said == "" ? "" : " ") $0 }
        match($0, /OpenPGP check for package "[^"]+"/) {
            one = substr($0, RSTART, RLENGTH - 1); sub(/.*"/, "", one)
            if (take(one)) { who = name ":" arch; words = $0; sub(/ \(\/[^)]*\)/, "", words) }
            next }
        match($0, /(Public key for |Package |Failing package is: )[^ ]+/) {
            one = substr($0, RSTART, RLENGTH); sub(/.* /, "", one); sub(/[.,]?$/, "", one); sub(/\.rpm$/, "", one)
            if (!/Failing package is|Public key for [^ ]+ is not|is not signed/) next
            if (!take(one)) next
            who = name ":" arch
            words = (/Failing package is/ && said != "" && $0 !~ /Public key/) ? said : $0; said = "" }
        END { flush() }' "$WORK/said" >"$WORK/named"
    [ -s "$WORK/named" ] || return 1
    not_begun "$WORK/named"
}

# Of what dnf said, the packages of which it could not fetch the file, and why, for "not_fetched". It names the cause with
# the file, for each mirror, and where it gives up the package; dnf 5 the address of the file, and then its name.
unfetched() {
    awk "$AWK_TAKE"'
        function bare(text) { sub(/^.*\//, "", text); sub(/\.rpm$/, "", text); return text }
        { gsub(/\t/, " "); sub(/[ \r]+$/, "") }
        match($0, /^\[MIRROR\] [^ ]+\.rpm: /) { cause[bare(substr($0, 10, RLENGTH - 11))] = substr($0, RSTART + RLENGTH); next }
        /^>>> .* - [^ ]+\.rpm$/ { words = $0; sub(/^>>> /, "", words); sub(/ +- [^ ]+$/, "", words); cause[bare($NF)] = words; next }
        match($0, /Cannot download [^ ]+\.rpm: /) {
            file = bare(substr($0, RSTART + 16, RLENGTH - 18)); words = substr($0, RSTART)
            if (take(file)) print name ":" arch "\t" (file in cause ? cause[file] : words)
            next }
        match($0, /^ +[^ ]+: Cannot download, /) {
            words = substr($0, index($0, "Cannot download"))
            if (!take(substr($1, 1, length($1) - 1))) next
            file = name "-" version "." arch; sub(/-[0-9]+:/, "-", file)
            print name ":" arch "\t" (file in cause ? cause[file] : words) }' "$WORK/said"
}

# What is left out by name, and what is named, for "fetch_what_can_be".
know_rest() {
    { cat "$WORK/excluded" && cut -f 1 "$WORK/lacked" | sed 's/:\([^:]*\)$/.\1/'; } >"$WORK/excluded-too"
    mv "$WORK/excluded-too" "$WORK/excluded"
    LEFT_OUT=$(excluding)
    COMING=$(cut -f 4 "$WORK/rest")
}

# dnf reads the metadata of such a repository anew, which may be away by now, or offer other versions.
all_came() {
    ! spoke "$SAYS_FEWER"
}

# What one package was built from makes many with names beside one another, and dnf begins with these: whether another one
# can be had, of the end or of the middle.
look_for_another() {
    for place in last middle; do
        not_lacked | awk -F '\t' '$4 !~ /^\//' >"$WORK/others"
        must_have_space
        COMING=$(awk -F '\t' -v place="$place" '{ row[NR] = $4 } END { print row[place == "last" ? NR : int((NR + 1) / 2)] }' "$WORK/others")
        sure
        [ -n "$COMING" ] || return 1
        act "fetch-$place" insist fetch_rest
        keep_said
        ! some_there || return 0
        unfetched >>"$WORK/lacked"
        must_have_space
    done
    return 1
}

# What needs what is left out is not fetched, either.
fetch_rest() {
    if [ -n "$FIVE" ]; then set -- --skip-broken --skip-unavailable; else set -- --setopt=strict=0; fi
    while IFS= read -r list; do
        [ -z "$list" ] || set -- "$@" "--exclude=$list"
    done <<EOF
$LEFT_OUT
EOF
    [ -z "$REMOVE" ] || set -- "$@" --allowerasing
    # shellcheck disable=SC2086 # one argument per package is wanted, and none holds blanks
    really install --downloadonly --setopt=best=0 --setopt=install_weak_deps=0 "$@" $COMING
}

# Of what is to come the rows whose files are not known to be missing.
not_lacked() {
    awk -F '\t' 'FILENAME == ARGV[1] { lacked[$1]; next } !(($1 ":" $2) in lacked)' "$WORK/lacked" "$WORK/todo"
}

# Whether dnf has fetched any of these.
some_there() {
    [ -n "$(not_lacked | awk -F '\t' '{ version = $3; sub(/^[0-9]*:/, "", version); print $1 "-" version "." $2 ".rpm" }' |
        while read -r name; do
            for file in "$SYSTEM"/*/packages/"$name"; do [ ! -f "$file" ] || echo "$file"; done
        done)" ]
}

tell_unfetched() {
    # What was kept is there.
    to_come=$(awk -F '\t' '$4 !~ /^\// { n++ } END { print n + 0 }' "$WORK/todo")
    fetch_what_can_be insist fetch_rest
    [ -n "$had" ] || ! some_there || had=some
    not_fetched "$WORK/lacked" "$to_come" "$had"
}

# After the work: what failed, which files wait, who is marked.
after() { # THEIR-EXIT-CODE
    ended=$1
    keep_said
    if not_begun_by_rpm || not_trusted; then finish "$NOT_BEGUN"; fi
    section failed failed
    keep failed
    section conffiles conffiles
    mark_automatic
    [ ! -s "$WORK/failed" ] || finish "$SCRIPT_FAILED"
    [ "$ended" -ne 0 ] || return 0
    [ -z "$undone" ] || finish "$UNRESOLVED"
    if [ "$ended" -eq 200 ]; then finish "$LOCKED"; fi
    if spoke "$SAYS_NO_SPACE"; then finish "$NO_SPACE"; fi
    if spoke "$SAYS_UNTRUSTED"; then finish "$UNTRUSTED"; fi
    if spoke "$SAYS_UNREACHABLE"; then
        [ "$VERB" = --repair ] || tell_unfetched
        finish "$STALE"
    fi
    if spoke "$SAYS_IMPOSSIBLE"; then finish "$UNRESOLVED"; fi
    finish "$OTHER"
}

real() { # OPTION...
    transact really "$@"
}

download() {
    only_root
    view
    know_installed
    exactly
    if [ ! -s "$WORK/todo" ]; then finish "$NOTHING"; fi
    await_lock
    act download insist real --downloadonly
    after "$code"
    finish "$OK"
}

apply() {
    only_root
    await_lock
    view
    know_installed
    ! interrupted_before || refused "packages are installed twice: $(awk -F '\t' '{ printf "%s-%s ", $1, $3 }' "$WORK/duplicates")" "$INTERRUPTED"
    exactly
    await_lock
    make_room_for_kept
    act apply insist real
    [ "$code" -ne 0 ] || [ ! -s "$WORK/later" ] || remove_later
    ended=$code
    keep_what_came
    after "$ended"
    if must_restart; then finish "$REBOOT"; fi
    finish "$OK"
}

must_restart() {
    if [ -n "$ROOT" ] || in_container; then return 1; fi
    if grep -qE '^kernel(-(uek|rt|64k|16k|lt|ml|debug))*(-core)?	' "$WORK/todo"; then return 0; fi
    can_tell_restart || return 1
    section restarting restarting
    [ "$code" -eq 1 ] && says "$SAYS_REBOOT"
}

take_away() { # look|really
    whole "$1" remove --duplicates ${LIMIT:+"$LIMIT"}
}

# Of what is there twice what would stay as it is: neither goes nor is installed anew.
staying() {
    awk -F '\t' 'FILENAME == ARGV[1] { if ($1 == "reinstall" || $1 == "remove" || $1 == "replace") gone[$2, $3, $4]; next }
        !(($1, $2, $3) in gone) { sub(/^[0-9]*:/, "", $3); print $1 "-" $3 "." $2 }' "$WORK/moves" "$WORK/duplicates"
}

# Duplicates that dnf cannot install anew must be whole as they are: the newest of each, since the others go.
not_whole() {
    staying | while read -r one; do
        # Configuration may differ, and times do after an interruption.
        may rpm ${ROOT:+--root "$ROOT"} -V --nodeps --nomtime --noscripts "$one" 2>&1 </dev/null | grep -vE "$SAYS_MAY_DIFFER" >"$WORK/differs"
        [ ! -s "$WORK/differs" ] || printf ' %s' "$one"
    done
}

# What would move, is not there twice, and was not to be done in the run that was interrupted.
other_than_begun() {
    lines_of "$INSTALL" | parts >"$WORK/named"
    lines_of "$REMOVE" | as_dnf_takes >"$WORK/unwanted"
    awk -F '\t' 'FILENAME == ARGV[1] { twice[$1, $2, $3]; next }
        FILENAME == ARGV[2] { named[$1, $3]; next } FILENAME == ARGV[3] { unwanted[$1]; next }
        $1 == "skip" || $1 == "broken" { next }
        ($1 == "reinstall" || $1 == "remove" || $1 == "replace") && (($2, $3, $4) in twice) { next }
        ($1 == "remove" || $1 == "replace") && (($2 "." $3) in unwanted) { next }
        ($1 == "install" || $1 == "upgrade" || $1 == "downgrade") && (($2, $4) in named) { next }
        { print $1, $2 "." $3, $4 }' "$WORK/duplicates" "$WORK/named" "$WORK/unwanted" "$WORK/moves"
}

# Nothing is there twice. Where what was begun left packages that do not fit, the rest of it is made; and the end.
repair_dependencies() {
    begun_is_unsatisfied || {
        mark_automatic
        finish "$NOTHING"
    }
    exactly
    await_lock
    act repair insist real
    [ "$code" -ne 0 ] || [ ! -s "$WORK/later" ] || remove_later
    after "$code"
    finish "$OK"
}

repair() {
    only_root
    await_lock
    view
    know_installed
    interrupted_before || repair_dependencies
    leave_surplus
    section resolve take_away look
    keep answer
    read_answer || cannot
    other_than_begun >"$WORK/others"
    [ ! -s "$WORK/others" ] || refused "dnf would change more than what was being done: $(in_one_line <"$WORK/others"); look at it with dnf remove --duplicates" "$INTERRUPTED"
    broken=$(not_whole)
    [ -z "$broken" ] || refused "not whole, and in no repository:$broken" "$INTERRUPTED"
    await_lock
    act repair insist take_away really
    after "$code"
    know_installed
    if interrupted_before; then finish "$INTERRUPTED"; fi
    finish "$OK"
}

do_verb
