# shellcheck shell=sh
# What the patch scripts share; see docs/reference/patch-scripts.md. Not a command of its own: a script is handed over
# to the shell with this text before it, and when it is run by hand, it reads this file from its own folder.
#
#   - what a command printed stands behind "|", what it complained of behind "!", so that no package's text can
#     pass for a line of ours; "= N" is the command's own exit code, and "exit N", the last line, is ours;
#   - every temporary file is in one private folder, which is gone when the script ends;
#   - a question that failed has no answer.
#
# For the last of these, a tool is never called bare. How it is called says which of its exit codes are answers:
#
#     must TOOL ARGUMENT...   only 0 (and 1 of grep, cmp and diff). Anything else is a fault.
#     may TOOL ARGUMENT...    any code up to 125, which the caller looks at or which says nothing. That it could not be
#                             started (126, 127) or was killed is a fault.
#     run TOOL ARGUMENT...    any: for what changes the machine, and is judged by what is there afterwards.
#     tools TOOL...           from here on, these names alone mean "must", also inside of pipes and of $( ).
#
# All of them take the file that PATH has, and never what the shell itself has by that name. 141 is no fault, since then
# the one that read had enough. A fault is written down by whoever sees it, a subshell or the left side of a pipe as
# well, and these look whether there is one and end the script with 1, naming the command and its code:
#
#     question NAME COMMAND...  prints a section; and another code than 0 of the command is a fault itself
#     learn NAME COMMAND...     the same, where only the script needs the answer: a section is printed where it fails
#     section NAME COMMAND...   prints a section, whose code the caller looks at
#     explain NAME COMMAND...   prints a section that only explains: that it has no answer in time, or none at all, costs
#                               no more than that
#     act, refused, finish      so nothing is changed, or said, for what only half of an answer was known
#     sure                      for where the script decides something by itself, such as which file to delete
#
# A section in which a fault came up has its code and not 0. What is left to whoever writes a script: after
# "make_work_dir", to say "tools $TEXT" and to write one of the three words before every other tool; to give "may" only
# where another code than 0 is one of the tool's answers; to be "sure" before something is deleted by what a tool
# printed, or is read by eval; and to ask nothing before "make_work_dir".
#
# A script sets SELF to its own name, and uses what stands here.
# shellcheck disable=SC2034 # the scripts use them
COMMON=1

set -u
umask 022
LC_ALL=C
export LC_ALL
unset LANGUAGE 2>/dev/null

CONTRACT=1
OK=0
OTHER=1
USAGE=2
NOTHING=10
REBOOT=11
LOCKED=20
STALE=21
UNTRUSTED=22
NO_SPACE=23
INTERRUPTED=24
UNRESOLVED=25
GONE=26
SCRIPT_FAILED=27
NOT_BEGUN=28
NOT_FETCHED=29

misuse() {
    printf '%s: %s\n' "$SELF" "$1" >&2
    printf 'exit %s\n' "$USAGE"
    exit "$USAGE"
}

end_with() { # CODE
    printf 'exit %s\n' "$1"
    exit "$1"
}

finish() { # CODE: the end of every script, with another code where a question has failed
    trouble || end_with "$1"
    printf '%s: %s ended with %s\n' "$SELF" "${FAULT#* }" "${FAULT%% *}" >&2
    has_space || end_without_space
    printf '[question]\n!%s ended with %s\n= %s\n' "${FAULT#* }" "${FAULT%% *}" "${FAULT%% *}"
    end_with "$OTHER"
}

refused() { # MESSAGE CODE
    sure
    printf '[refused]\n!%s\n= 0\n' "$1"
    finish "$2"
}

lines_of() { # COMMA-LIST
    _blanks=$IFS
    IFS=,
    set -f
    # shellcheck disable=SC2086 # one word for each part is wanted
    printf '%s\n' $1
    set +f
    IFS=$_blanks
}

# --- the command line ----------------------------------------------------------------------------------------------

# A script says what is its manager's own of it, and then: take_options "$@"
#
#     NAME_START, NAME_CHARS   what a package's name begins with, and what is in it; the architecture too
#     VERSION_CHARS            what is in a version
#     VERSION_FORM             what all versions look like
#     ROOT_HAS                 what must be there below --root
#     NOT_HAD                  the verbs and options that the manager can do nothing with

usage() {
    cat <<EOF
usage: $SELF VERB [OPTION]...

verbs that change nothing
  --observe              print what is installed, offered, configured and pending
  --dry-run              print what an upgrade would do
  --relations            print what the packages of a transaction declare, so that it can be made in parts (apt only)
  --inputs               print the files and folders whose change can change any answer
  --help                 print this

verbs that change something
  --refresh              read the metadata of the package sources anew
  --download             fetch the packages of exactly this transaction, and install none
  --apply                make exactly these changes, or none
  --repair               finish what an interrupted run left half done

options of --dry-run
  --full                 allow removals; without it nothing is removed (pacman knows one kind of upgrade)
  --security             only security updates; never removes (pacman cannot tell them)
  --include A,B          with --security: these may move to what any source offers (may be repeated; not pacman)
  --choose NAME=VERSION  take this available version instead of the newest (may be repeated)
  --only NAME=VERSION    instead of an upgrade: what installing this version alone would do, or why it cannot be
  --unused               instead of an upgrade: what nothing needs any more, by the manager's own rule
  --going NAME:ARCH=VERSION  instead of an upgrade: what removing these would do (may be repeated)

options of --dry-run, --download and --apply
  --exclude A,B          these must not move (name or name:arch; may be repeated)
  --block A,B            these must neither move nor come in (may be repeated)

options of --observe, --dry-run, --download and --apply; an ID is a repository's id, alias or name; with apt, how the
names of the files of its lists begin
  --without-source ID    as if there were not this source (may be repeated)
  --security-source ID   what this source offers are security updates, too (may be repeated; apt only, and only with
                         --observe and --dry-run)

options of --download, --apply, --relations and --repair
  --install NAME:ARCH=VERSION  upgrade, install or downgrade to exactly this version (may be repeated)
  --remove NAME:ARCH[=VERSION] this package goes, or this version of it (may be repeated); nothing else does
                               with --repair: what was to be done, of which as much is done as the repair needs

options of --download, --apply and --repair
  --conffiles keep|new   what stays where a configuration file was changed here: that file, or the package's; else keep
  --lock-wait SECONDS    how long to wait while another program holds the package database; otherwise 0
  --automatic A:ARCH,B   mark these as installed only for others when the work is done (may be repeated)
  --log FILE             append what the package manager says to this file, as it speaks; -: to standard error

options of --refresh, --download, --apply and --repair
  --limit-rate KIB       fetch at most so many KiB a second, where the manager's own configuration says nothing lower
                         (pacman: packages alone, and not where an XferCommand is configured)

options of --apply, with --cache: the packages that were installed are kept there for the way back (not pacman)
  --keep-size MIB        at most so much; otherwise 1024, and 0 keeps none
  --keep-days N          at most so long after another version took their place; otherwise 90

options of all verbs
  --cache DIR            keep what was read of the package sources in this existing folder
  --root DIR             the system below this folder, a chroot or an image, instead of the running one

The manager's own configuration counts, or the file that APT_CONFIG, ZYPP_CONF or PACMAN_CONF names.

exit codes
  0 done             10 nothing to do          11 done, reboot needed   20 locked
  21 metadata or packages unreachable or stale 22 signature, key        23 no space
  24 interrupted earlier: repair first         25 cannot resolve, would do something else, removal refused
  26 version gone    27 a package's script failed   28 refused by the manager when it began: nothing was changed
  29 the files of the packages that are named cannot be had now: nothing was changed
   2 usage            1 anything else
EOF
}

VERB=
FULL=
SECURITY=
EXCLUDE=
BLOCK=
# One a line.
WITHOUT=
INCLUDE=
CHOOSE=
ONLY=
UNUSED=
# NAME:ARCH=VERSION of what --going names, one a line.
GOING=
# A version in it, or to install, that no command line can name.
UNNAMED=
# Patterns of sources, one a line.
SECURITY_SOURCES=
INSTALL=
REMOVE=
# Both of these, a change a line, as "install NAME:ARCH VERSION" or "remove NAME:ARCH -"; where a version of what goes
# is named, it stands in GOING_VERSIONS, as "NAME:ARCH VERSION".
NAMED=
GOING_VERSIONS=
CONFFILES=keep
LOCK_WAIT=0
AUTOMATIC=
LOG=
# Of --limit-rate; empty for none.
RATE=
# With --log -
ALOUD=
# For --keep-size and --keep-days, and the folder that they are about.
KEEP_SIZE=1024
KEEP_DAYS=90
KEPT=
CACHE=
# The folder of --root, without its last slash.
BELOW=
NL='
'

check_names() { # OPTION COMMA-LIST
    rest=$2,
    while [ -n "$rest" ]; do
        name=${rest%%,*}
        rest=${rest#*,}
        # shellcheck disable=SC2254 # a pattern is wanted
        case $name in
            '' | *[!$NAME_CHARS]* | [!$NAME_START]*) misuse "$1: '$name' is no package name" ;;
        esac
    done
}

check_architectures() { # OPTION COMMA-LIST
    check_names "$@"
    for name in $(lines_of "$2"); do
        case $name in *:*) ;; *) misuse "$1: '$name' has no architecture" ;; esac
    done
}

check_choice() { # OPTION NAME=VERSION
    case ${2%%=*} in *,* | "$2") misuse "$1: '$2' is not NAME=VERSION" ;; esac
    check_names "$1" "${2%%=*}"
    # shellcheck disable=SC2254 # patterns are wanted
    case ${2#*=} in
        '' | *[!$VERSION_CHARS]* | -* | *-) ;;
        $VERSION_FORM) return ;;
    esac
    case $1:${2#*=} in
        # What is on offer, or was installed, whatever that is called: it has an answer, if not the manager's.
        *:*"$NL"* | *:) ;;
        --only:* | --install:*)
            UNNAMED=${2#*=}
            return
            ;;
    esac
    misuse "$1: '${2#*=}' is no version"
}

check_number() { # OPTION VALUE LEAST
    # With a 0 before it, the shell would take it for an octal one.
    case $2 in '' | *[!0-9]* | 0?* | ????????*) misuse "$1 needs a whole number" ;; esac
    [ "$2" -ge "$3" ] || misuse "$1 needs at least $3"
}

check_source() { # OPTION VALUE
    case $2 in '' | -* | *[[:cntrl:]]*) misuse "$1: '$2' is no source's id" ;; esac
}

check_path() { # OPTION VALUE
    case $2 in /*) ;; *) misuse "$1 needs an absolute path" ;; esac
}

check_folder() { # OPTION VALUE
    check_path "$@"
    [ -d "$2" ] || misuse "$1: $2 is no folder"
}

# The verbs that an option goes with, in $verbs; the others refuse it.
goes_with() { # OPTION
    case $1 in
        --full | --security | --include | --choose | --only | --unused | --going) verbs=--dry-run ;;
        --security-source) verbs='--observe --dry-run' ;;
        --exclude | --block) verbs='--dry-run --download --apply' ;;
        --without-source) verbs='--observe --dry-run --download --apply' ;;
        --install | --remove) verbs='--download --apply --relations --repair' ;;
        --conffiles | --lock-wait | --automatic | --log) verbs='--download --apply --repair' ;;
        --limit-rate) verbs='--refresh --download --apply --repair' ;;
        --keep-size | --keep-days) verbs=--apply ;;
        --cache | --root) verbs=$VERB ;;
        *) return 1 ;;
    esac
}

take_value() { # OPTION [VALUE]
    goes_with "$1" || misuse "unknown argument '$1'; see --help"
    [ $# -gt 1 ] || misuse "$1 needs a value"
    case $1 in
        --exclude | --block | --include | --automatic) check_names "$@" ;;
        --choose | --only | --install | --going) check_choice "$@" ;;
        --cache | --root) check_folder "$@" ;;
        --log) [ "$2" = - ] || check_path "$@" ;;
        --security-source | --without-source) check_source "$@" ;;
    esac
    case $1 in
        --exclude) EXCLUDE=$EXCLUDE${EXCLUDE:+,}$2 ;;
        --block) BLOCK=$BLOCK${BLOCK:+,}$2 ;;
        --without-source) WITHOUT=$WITHOUT$2$NL ;;
        --include) INCLUDE=$INCLUDE${INCLUDE:+,}$2 ;;
        --choose) CHOOSE=$CHOOSE${CHOOSE:+,}$2 ;;
        --security-source) SECURITY_SOURCES=$SECURITY_SOURCES$2$NL ;;
        --automatic) AUTOMATIC=$AUTOMATIC${AUTOMATIC:+,}$2 ;;
        --only)
            [ -z "$ONLY" ] || misuse '--only twice'
            ONLY=$2
            ;;
        --install)
            check_architectures "$1" "${2%%=*}"
            INSTALL=$INSTALL${INSTALL:+,}$2 NAMED="${NAMED}install ${2%%=*} ${2#*=}$NL"
            ;;
        --going)
            check_architectures "$1" "${2%%=*}"
            GOING=$GOING$2$NL
            ;;
        --remove)
            check_architectures "$1" "${2%%=*}"
            case $2 in
                *=*)
                    check_choice "$@"
                    GOING_VERSIONS="$GOING_VERSIONS${2%%=*} ${2#*=}$NL"
                    ;;
            esac
            REMOVE=$REMOVE${REMOVE:+,}${2%%=*}
            for name in $(lines_of "${2%%=*}"); do NAMED="${NAMED}remove $name -$NL"; done
            ;;
        --conffiles)
            case $2 in keep | new) CONFFILES=$2 ;; *) misuse '--conffiles needs keep or new' ;; esac
            ;;
        --lock-wait)
            check_number "$@" 0
            LOCK_WAIT=$2
            ;;
        --limit-rate)
            check_number "$@" 1
            RATE=$2
            ;;
        --keep-size)
            check_number "$@" 0
            KEEP_SIZE=$2
            ;;
        --keep-days)
            check_number "$@" 1
            KEEP_DAYS=$2
            ;;
        --log)
            LOG=$2 ALOUD=
            [ "$2" != - ] || LOG='' ALOUD=1
            ;;
        --cache) CACHE=${2%/} KEPT=${2%/}/kept ;;
        --root)
            BELOW=${2%/}
            [ -e "$BELOW/$ROOT_HAS" ] || misuse "--root: there is no $ROOT_HAS below $2"
            ;;
        *) misuse "$1 takes no value" ;;
    esac
}

# Leave in the variables above what the command line says, or end with what is wrong about it.
take_options() { # ARGUMENT...
    given=
    while [ $# -gt 0 ]; do
        case $1 in
            --help | -h)
                usage
                exit 0
                ;;
            --observe | --dry-run | --relations | --inputs | --refresh | --download | --apply | --repair)
                [ -z "$VERB" ] || misuse "$VERB and $1 at once"
                VERB=$1
                ;;
            --full) FULL=1 given="$given $1" ;;
            --security) SECURITY=1 given="$given $1" ;;
            --unused) UNUSED=1 given="$given $1" ;;
            --*=*)
                take_value "${1%%=*}" "${1#*=}"
                given="$given ${1%%=*}"
                ;;
            *)
                take_value "$1" ${2+"$2"}
                given="$given $1"
                shift
                ;;
        esac
        shift
    done
    [ -n "$VERB" ] || misuse 'a verb is needed, such as --observe or --dry-run; see --help'
    for option in $VERB $given; do
        case " $NOT_HAD " in *" $option "*) misuse "there is no $option with this package manager" ;; esac
        goes_with "$option" || continue
        case " $verbs " in *" $VERB "*) ;; *) misuse "$VERB does not take $option; see --help" ;; esac
    done
    case $VERB$NAMED in --download | --apply | --relations) misuse "$VERB needs --install or --remove" ;; esac
}

# Do what the verb says. What each of them does is in the script, in a function of its name.
do_verb() {
    if [ -n "$UNNAMED" ]; then
        words="no command line can name the version $UNNAMED"
        # What was installed cannot come back so, whoever has it.
        if [ "$VERB" = --dry-run ]; then refused "$words" "$OTHER"; else refused "$words" "$GONE"; fi
    fi
    case $VERB in
        --observe) observe ;;
        --dry-run) dry_run ;;
        --relations) relate ;;
        --inputs)
            question inputs inputs
            finish "$OK"
            ;;
        --refresh) refresh ;;
        --download) download ;;
        --apply) apply ;;
        --repair) repair ;;
    esac
}

# --- tools, and whether they answered ------------------------------------------------------------------------------

# Names that begin with _ are of what stands here alone.

# The first fault, as "CODE TOOL"; see trouble.
FAULT=
WORK=
ACTING=

# The file of a tool, in $_place.
place() { # TOOL
    _path=$PATH:
    while [ -n "$_path" ]; do
        _place=${_path%%:*}/$1
        _path=${_path#*:}
        [ ! -f "$_place" ] || [ ! -x "$_place" ] || return 0
    done
    return 127
}

fault() { # CODE TOOL: write down that a question has failed; its code is the code
    if trouble; then return "$1"; fi
    FAULT="$1 $2"
    # Written over what is there, since on a full disk nothing could be added.
    [ -z "$WORK" ] || printf '%s\n' "$FAULT" 1<>"$WORK/fault"
    return "$1"
}

trouble() { # whether a question has failed, here or in a subshell
    [ -n "$FAULT" ] || [ -z "$WORK" ] || { read -r FAULT <"$WORK/fault"; } 2>/dev/null || FAULT='1 read'
    [ -n "$FAULT" ]
}

# End here where a question has failed. Once something was changed, what is left to do for it is done first.
sure() {
    [ -n "$ACTING" ] || ! trouble || finish "$OTHER"
}

# How many seconds an answer that only explains may take in all; and when what is asked now must be there, where that is
# bounded, in seconds since the machine began.
EXPLAINING=60
UNTIL=
# How a trial of that ended, once it was made.
CAN_BOUND=

since_boot() { # sets $_now; where nobody knows it stands still, and each tool has all the time
    { read -r _now _ </proc/uptime; } 2>/dev/null || _now=0
    _now=${_now%.*}
}

run() { # TOOL ARGUMENT...
    place "$1" || return 127
    shift
    if [ -z "$UNTIL" ]; then
        "$_place" "$@"
        return
    fi
    since_boot
    [ "$_now" -lt "$UNTIL" ] || return 124
    # What only works on files has an end.
    case " $TEXT " in
        *" ${_place##*/} "*) "$_place" "$@" ;;
        *) bounded $((UNTIL - _now)) "$_place" "$@" ;;
    esac
}

# In the foreground, so that whoever ends this script ends it too.
bounded() { # SECONDS COMMAND...
    place timeout || return 127
    "$_place" --foreground --kill-after=5 "$@"
}

may() { # TOOL ARGUMENT...
    _asked=$1
    run "$@"
    _ended=$?
    if [ "$_ended" -le 125 ] || [ "$_ended" -eq 141 ]; then return "$_ended"; fi
    fault "$_ended" "$_asked"
}

must() { # TOOL ARGUMENT...
    _asked=$1
    run "$@"
    _ended=$?
    case $_ended:$_asked in
        0:* | 141:* | 1:grep | 1:cmp | 1:diff) return "$_ended" ;;
        *) fault "$_ended" "$_asked" ;;
    esac
}

tools() { # TOOL...
    for _tool in "$@"; do
        eval "$_tool() { must $_tool \"\$@\"; }"
    done
}

# The tools of every system that the scripts use. Not those with which a shell works by itself.
TEXT='awk cat cmp cp cut date find grep head id ln mkdir mv rm sed sha256sum sort stat tail tr uname uniq wc xargs'

begin() { # MANAGER TOOL...: print the first line, and end where a tool is missing
    printf 'patchledger-patch %s %s\n' "$CONTRACT" "$1"
    shift
    for tool in "$@"; do
        place "$tool" || lacking "$tool"
    done
}

lacking() { # TOOL: end, since it is not there
    printf '[missing]\n|%s\n= 127\n' "$1"
    finish "$OTHER"
}

# When a process began, in $_began: it tells it from others that had or will have its number. A dead one has none.
began() { # PID
    _began=
    { read -r _began <"/proc/$1/stat"; } 2>/dev/null || return
    # Its name stands in brackets, and may hold blanks and brackets.
    # shellcheck disable=SC2086 # one word for each field is wanted
    set -- ${_began##*) }
    [ "$1" != Z ] && _began=${20:-}
    [ -n "$_began" ]
}

# Print a new folder in one that exists: ours alone, named for whose it is, so that it can go where that died. The first
# process is in the name, since another container may see the same folder, and has other numbers.
private() { # FOLDER
    take_left_over "$1"
    began "$$"
    _mine=${_began:-0}
    run mktemp -d "$1/patchledger.$$.$_mine.$_first.XXXXXX" 2>/dev/null
}

# Remove private folders whose makers are dead. Nothing depends on it, so nothing is asked twice, and few at a time.
take_left_over() { # FOLDER
    began 1
    _first=${_began:-0}
    _few=0
    for _left in "$1"/patchledger.*.*.*.*; do
        # shellcheck disable=SC3067 # every shell that runs this knows it
        { [ -d "$_left" ] && [ ! -L "$_left" ] && [ -O "$_left" ]; } || continue
        _name=${_left##*/patchledger.}
        _maker=${_name%%.*} _rest=${_name#*.}
        _since=${_rest%%.*} _rest=${_rest#*.}
        case $_maker$_since in *[!0-9]* | '') continue ;; esac
        { [ "${_rest%%.*}" = "$_first" ] && [ "$_since" != 0 ]; } || continue
        if began "$_maker" && [ "$_began" = "$_since" ]; then continue; fi
        # What it had started may live on, and work with what is in there. The brackets keep grep from finding itself.
        if run grep -qs "patchledge[r]\.$_name" /proc/[0-9]*/cmdline /proc/[0-9]*/environ; then continue; fi
        run rm -rf "$_left" 2>/dev/null
        _few=$((_few + 1))
        [ "$_few" -lt 20 ] || return 0
    done
}

# Make the private folder for temporary files, $WORK.
make_work_dir() {
    WORK=
    # A file system in memory first: the disk may be full, and that must still be observable.
    for base in ${TMPDIR:+"$TMPDIR"} /dev/shm /tmp; do
        WORK=$(private "$base") && break
    done
    OUT=$WORK/out
    # Something must be in it, so that it can be written over.
    if [ -z "$WORK" ] || ! echo >"$WORK/fault"; then
        printf '[work]\n!no folder for temporary files can be made\n= 1\n'
        end_with "$NO_SPACE"
    fi
    trap 'run rm -rf "$WORK"' EXIT
    # A shell waits for its command before it obeys, and the command does not inherit these.
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 141' PIPE
    trap 'exit 143' TERM
}

has_space() {
    # A page more each time, since a full file system still lets a page be written over.
    printf '%4096s' . 2>/dev/null >>"$WORK/space"
}

end_without_space() {
    printf '[work]\n!no space left in %s\n= 1\n' "$WORK"
    end_with "$NO_SPACE"
}

# A command that runs out of space may still end with 0, and a cut list of exclusions would lose one.
must_have_space() {
    has_space || end_without_space
}

# Run a command with its output in $OUT, its complaints in $WORK/err and its exit code in $code.
collect() { # COMMAND...
    "$@" >"$OUT" 2>"$WORK/err" </dev/null
    code=$?
    must_have_space
}

tell() { # NAME: print what was collected as a section
    printf '[%s]\n' "$1"
    # One awk instead of sed: it ends a last line that the command left open.
    # shellcheck disable=SC2016 # for awk
    { [ ! -s "$OUT" ] && [ ! -s "$WORK/err" ]; } || must awk -v errors="$WORK/err" '{ print (FILENAME == errors ? "!" : "|") $0 }' "$OUT" "$WORK/err"
    [ "$code" -ne 0 ] || ! trouble || code=${FAULT%% *}
    printf '= %s\n' "$code"
}

# Run a command and print its section. Leaves its output in $WORK/out and its exit code in $code.
section() { # NAME COMMAND...
    sure
    what=$1
    shift
    collect "$@"
    tell "$what"
    sure
}

# The same with the output in $WORK/NAME, where the script needs it later.
section_kept() { # NAME COMMAND...
    OUT=$WORK/$1
    section "$@"
    OUT=$WORK/out
}

# Print a file as a section, as "section NAME cat FILE" would with one tool more.
show_file() { # NAME FILE
    sure
    printf '[%s]\n' "$1"
    code=0
    # shellcheck disable=SC2016 # for awk
    { [ -e "$2" ] && [ ! -s "$2" ]; } || must awk '{ print "|" $0 }' "$2" || code=$?
    printf '= %s\n' "$code"
    sure
}

# Run a command whose answer only explains, and print its section. Where it has none in time (124), or a tool failed, the
# section has no lines and says so by its code, and all else goes on.
explain() { # NAME COMMAND...
    sure
    what=$1
    shift
    if [ -z "$CAN_BOUND" ]; then
        bounded 5 true >/dev/null 2>&1 </dev/null
        CAN_BOUND=$?
    fi
    case $CAN_BOUND in
        0 | 124)
            since_boot
            UNTIL=$((_now + EXPLAINING))
            over=$UNTIL
            collect "$@"
            UNTIL=
            ;;
        *)
            # What nothing could end is not begun.
            code=127
            echo 'no timeout is here that knows --foreground' >"$WORK/err"
            ;;
    esac
    if trouble; then
        code=${FAULT%% *}
        printf '%s ended with %s\n' "${FAULT#* }" "$code" >"$WORK/err"
        FAULT=
        echo >"$WORK/fault"
        # One that does not end when it is told to, as zypper may not, is killed when its time is over.
        since_boot
        [ "$code" -ne 137 ] || [ "$_now" -lt "$over" ] || code=124
    fi
    [ "$code" -ne 124 ] || printf 'no answer within %s s\n' "$EXPLAINING" >"$WORK/err"
    [ "$code" -eq 0 ] || : >"$WORK/out"
    tell "$what"
    sure
}

# Run a command without whose answer nothing can be said, and print its section.
question() { # NAME COMMAND...
    section "$@"
    [ "$code" -eq 0 ] || unanswered "$2"
}

# The same for an answer that only the script needs, in $WORK/out: its section is printed where it fails.
learn() { # NAME COMMAND...
    sure
    what=$1
    shift
    collect "$@"
    [ "$code" -ne 0 ] || trouble || return 0
    tell "$what"
    unanswered "$1"
}

unanswered() { # COMMAND: end here, as its $code is no answer
    fault "$code" "$1"
    finish "$OTHER"
}

# What a manager named when it would not begin, for the sections "failed" and "rivals". Reads rows
# "package<tab>why<tab>other<tab>version", both packages as "name" or "name:arch"; the last two are empty where a
# package is refused whatever stands beside it.
not_begun() { # FILE-OF-ROWS
    awk -F '\t' '!($1 in why) { order[++n] = $1; why[$1] = $2; next } index(why[$1], $2) == 0 { why[$1] = why[$1] "; " $2 }
        END { for (i = 1; i <= n; i++) print order[i] "\t" why[order[i]] }' "$1" >"$WORK/failed"
    awk -F '\t' '$3 != "" { print $1 "\t" $3 "\t" $4 }' "$1" | sort -u >"$WORK/rivals"
    section failed cat "$WORK/failed"
    section rivals cat "$WORK/rivals"
}

# What managers say of a file that a server has not got, or has in another form than it promised; of anything else nobody
# knows whose fault it is.
SAYS_ITS_OWN='(^|[^0-9])(403|404|410|451)([^0-9]|$)|[Nn]ot [Ff]ound|[Nn]o [Ss]uch [Ff]ile|read a file|open file|[Cc]hecksum|[Hh]ash [Ss]um|[Dd]igest|[Uu]nexpected size|file size|[Cc]orrupt|is a directory'
SAYS_NO_ANSWER='not resolve|failure resolving|[Cc]onnect|[Tt]imed out|[Tt]imeout|[Uu]nreachable'

# What of the named packages could not be fetched. Reads rows "package<tab>why", the packages as "name" or "name:arch",
# of as many files as were to come. Prints them as the section "unfetched", with what stands in the way: its own "file",
# or a "server" that does not answer for it. Ends the script where these alone are to be left out: what a silent server
# has only where all the rest is there. Where nothing could be had that is nobody's fault, and the caller goes on to say so.
not_fetched() { # FILE-OF-ROWS HOW-MANY-WERE-TO-COME all|some|'': what of the rest is there
    must_have_space
    awk -F '\t' -v OFS='\t' -v own="$SAYS_ITS_OWN" -v silent="$SAYS_NO_ANSWER" '
        $1 == "" || ($1 in seen) { next }
        {
            seen[$1]; said = $2; gsub(/[a-z+]+:\/[^ ]*|\047[^\047]*\047/, "", said)
            print $1, (said !~ silent && said ~ own ? "file" : "server"), $2
        }' "$1" | sort >"$WORK/unfetched"
    if [ "$3" = all ]; then cat "$WORK/unfetched"; else grep -v "${TAB}server$TAB" "$WORK/unfetched"; fi >"$WORK/left-out"
    sure
    # A server that has none of many may be in the middle of a change; of a single one nobody can tell.
    if [ -s "$WORK/left-out" ] && { [ -n "$3" ] || [ "$2" -eq 1 ]; }; then
        section unfetched cat "$WORK/left-out"
        refused "cannot be fetched now: $(awk -F '\t' '{ print $1 " (" $3 ")" }' "$WORK/left-out" | in_one_line)" "$NOT_FETCHED"
    fi
    [ ! -s "$WORK/unfetched" ] || section unfetched cat "$WORK/unfetched"
}

MOST_ROUNDS=20
# For a manager that gives up with the first file that it cannot have. All but that is fetched, until there is no other
# such: what of the named is not to be had, as rows for "not_fetched" in $WORK/lacked, and what of the rest is there, in
# $had. The script says how:
#
#     unfetched         of what was said, the rows of what could not be fetched
#     not_lacked        of what is to come, the rows of what is not in $WORK/lacked
#     know_rest         learn what the command to fetch needs, of $WORK/rest
#     all_came          whether that left nothing out, where it ended well
#     some_there        whether any of what is not lacked is there
#     look_for_another  whether another one can be had than those with which the manager begins
fetch_what_can_be() { # COMMAND...: what fetches the rest
    unfetched >"$WORK/lacked"
    had='' round=''
    while [ -s "$WORK/lacked" ] && [ "${#round}" -lt "$MOST_ROUNDS" ]; do
        # A section of its own for each, and these have no digits.
        round=${round}i
        not_lacked >"$WORK/rest"
        must_have_space
        [ -s "$WORK/rest" ] || return 0
        know_rest
        sure
        act "fetch-$round" "$@"
        keep_said
        if [ "$code" -eq 0 ]; then
            ! all_came || had=all
            return 0
        fi
        unfetched >"$WORK/more"
        # Where nobody answers twice, it is no matter of this file or that.
        [ -s "$WORK/more" ] && ! { grep -qE "$SAYS_NO_ANSWER" "$WORK/more" && grep -qE "$SAYS_NO_ANSWER" "$WORK/lacked"; } || return 0
        cat "$WORK/more" >>"$WORK/lacked"
        # Nor where none of the first few can be had, nor others.
        [ "${#round}" -lt 5 ] || some_there || look_for_another || return 0
    done
}

# What rpm calls NAME-[EPOCH:]VERSION-RELEASE.ARCH, in name, arch and version.
# shellcheck disable=SC2016 # for awk
AWK_TAKE='
function take(nevra) {
    sub(/[.,;:]+$/, "", nevra)
    if (!match(nevra, /-[^-]+-[^-]+\.[^.-]+$/)) return 0
    name = substr(nevra, 1, RSTART - 1); version = substr(nevra, RSTART + 1)
    match(version, /\.[^.]+$/); arch = substr(version, RSTART + 1)
    version = substr(version, 1, RSTART - 1); sub(/^0:/, "", version)
    return 1
}
'

# The same rows from what rpm says of the test of a whole transaction, which comes before any of it.
refused_by_rpm() { # FILE
    # shellcheck disable=SC2016 # for awk
    awk "$AWK_TAKE"'
        function say(one, other) {
            if (!take(other)) return
            beside = name ":" arch "\t" version
            if (take(one)) print name ":" arch "\t" $0 "\t" beside
        }
        { sub(/^[ \t-]+/, ""); sub(/[ \t\r]+$/, ""); gsub(/\t/, " ") }
        match($0, / conflicts between attempted installs of [^ ]+ and [^ ]+$/) {
            n = split(substr($0, RSTART), part, " "); say(part[n - 2], part[n]); say(part[n], part[n - 2]); next }
        match($0, / from install of [^ ]+ conflicts with file from package [^ ]+$/) {
            n = split(substr($0, RSTART), part, " "); say(part[4], part[n]); next }
        match($0, /package [^ ]+ (does not verify|is intended for)/) {
            split(substr($0, RSTART), part, " "); if (take(part[2])) print name ":" arch "\t" $0 "\t\t"; next }
    ' "$1"
}

# With --log -, say what comes into the log on standard error too, as it comes. The manager itself speaks to a file: where
# nobody reads standard error any more it goes on, and only this ends. The tail of busybox, which does not know when to
# end, says nothing; all is told at the end in any case.
speak_aloud() {
    if [ -z "$ALOUD" ]; then return; fi
    ALOUD=
    : >>"$LOG"
    place tail || return 0
    "$_place" -n +1 -f -s 0.2 --pid="$$" "$LOG" >&2 2>/dev/null </dev/null &
}

# Run what changes the machine and print its section, with its complaints where they came. The log is written
# as the command speaks, so that it is there when something ends us both; it may lie on a full disk. Leaves the
# exit code in $code, and what was said in $LOG.
act() { # NAME COMMAND...
    what=$1
    shift
    [ -n "$LOG" ] || LOG=$WORK/log
    begin_at=$( { must wc -c <"$LOG"; } 2>/dev/null || echo 0)
    ! trouble || finish "$OTHER"
    speak_aloud
    ACTING=1
    "$@" >>"$LOG" 2>&1 </dev/null
    code=$?
    printf '[%s]\n' "$what"
    # shellcheck disable=SC2016 # for awk
    must tail -c "+$((begin_at + 1))" "$LOG" | must awk '{ print "|" $0 }'
    printf '= %s\n' "$code"
}

# Of the log what the last act said, in $WORK/said.
keep_said() {
    must tail -c "+$((begin_at + 1))" "$LOG" >"$WORK/said"
}

spoke() { # PATTERN: whether it said so
    grep -qE "$1" "$WORK/said"
}

complains() { # PATTERN: whether the resolver's answer says so
    grep -qE "$1" "$WORK/err" "$WORK/answer"
}

# The lines of a text in one, for a message: "a; b; and 3 more".
in_one_line() {
    awk 'NR <= 20 { sub(/^ +/, ""); printf "%s%s", (NR > 1 ? "; " : ""), $0 }
        END { if (NR > 20) printf "; and %d more", NR - 20 }'
}

each_in() { # FILE: its lines in one, each behind a blank
    awk '{ printf " %s", $0 }' "$1"
}

# Keep the output of the last section, without needing space for a copy.
keep() { # NAME
    mv "$WORK/out" "$WORK/$1"
}

says() { # PATTERN: whether the last section says so
    grep -qE "$1" "$WORK/out" "$WORK/err"
}

# --- the machine: all below take the root of another system as $ROOT, without its last slash -------------------

# What system it is, as a section.
show_os() {
    for file in "$ROOT/etc/os-release" "$ROOT/usr/lib/os-release" /dev/null; do [ ! -r "$file" ] || break; done
    show_file os "$file"
}

in_container() {
    for mark in /run/systemd/container /run/.containerenv /.dockerenv /dev/.lxc-boot-id /dev/.lxc; do
        [ ! -e "$mark" ] || return 0
    done
    [ ! -e /proc/vz ] || [ -e /proc/bc ] || return 0
    [ -r /proc/1/environ ] && may tr '\0' '\n' </proc/1/environ 2>/dev/null | grep -q '^container='
}

# What every manager's [machine] says; the script adds its own lines.
machine_facts() {
    kernel=$(uname -r -v)
    printf 'kernel=%s\nbuild=%s\n' "${kernel%% *}" "${kernel#* }"
    boot=
    [ ! -r /proc/sys/kernel/random/boot_id ] || read -r boot </proc/sys/kernel/random/boot_id
    id=
    if [ -f "${ROOT%/}/etc/machine-id" ] && [ -r "${ROOT%/}/etc/machine-id" ]; then
        read -r id <"${ROOT%/}/etc/machine-id" || :
    fi
    printf 'machine_id=%s\n' "$id"
    printf 'boot_id=%s\nuid=%s\nroot=%s\n' "$boot" "${UID_NOW:-$(id -u)}" "${ROOT:-/}"
    if in_container; then echo container=yes; else echo container=no; fi
}

# A holder of a lock, in a line. It may end meanwhile.
tell_holder() { # SURE-OR-NOT PID FILE
    comm=
    { read -r comm <"/proc/$2/comm"; } 2>/dev/null
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$comm" "$3"
}

# Who has written its number into a file, and lives.
holder_in() { # FILE
    pid=
    # There need be no line feed behind it.
    { read -r pid <"$1"; } 2>/dev/null || :
    case $pid in '' | *[!0-9]*) return ;; esac
    [ ! -d "/proc/$pid" ] || tell_holder same "$pid" "$1"
}

# Who holds a lock, without taking it: the kernel's list of locks, found by device and inode.
lock_holders() { # FILE...
    [ -r /proc/locks ] || return 0
    for file in "$@"; do
        [ -e "$file" ] || continue
        # It may be gone meanwhile.
        device=$(may stat -c '%d %i' "$file") || continue
        inode=${device#* } device=${device% *}
        major=$(((device >> 8) & 4095)) minor=$(((device & 255) | ((device >> 12) & 1048320)))
        id=$(printf '%02x:%02x:%s' "$major" "$minor" "$inode")
        # Some file systems show another device there: then the inode alone, and the reader looks at the name.
        awk -v id="$id" -v inode=":$inode" '$2 != "->" && (i = index($6, inode)) &&
            substr($6, i) == inode { print ($6 == id ? "same" : "other"), $5 }' /proc/locks |
            while read -r sure pid; do tell_holder "$sure" "$pid" "$file"; done
    done
}

# What a kernel takes in /boot no package says: its initramfs is made there.
filesystems_of() { # FOLDER...
    for path in "$@"; do
        shift
        [ ! -d "$path" ] || set -- "$@" "$path"
    done
    [ $# -eq 0 ] || stat -f -c '%a %b %S %n' "$@"
    for path in "$@"; do
        case $path in */boot) ;; *) continue ;; esac
        set --
        for file in "$path"/vmlinuz-* "$path"/init*-* "$path"/System.map-* "$path"/config-*; do
            [ ! -f "$file" ] || set -- "$@" "$file"
        done
        [ $# -eq 0 ] || stat -c '%s - file %n' "$@"
    done
}

clock() {
    if [ -e /run/systemd/timesync/synchronized ]; then
        echo yes
    elif place timedatectl; then
        # Without the service that it asks it fails, and then nobody knows.
        may timedatectl show --property=NTPSynchronized --value || :
    fi
}

# --- the way back: package files of what was installed, in a folder of our own, $KEPT ---------------------------

TAB=$(printf '\t')

keeps() { # whether packages are to be kept; makes the folder
    [ -n "$KEPT" ] && [ "$KEEP_SIZE" -gt 0 ] && may mkdir -p "$KEPT" 2>/dev/null && may chmod 700 "$KEPT"
}

# Keep package files, "file<tab>name to keep it by" a line: as links to what the manager has fetched, else as copies.
# Where that cannot be, the packages are installed all the same. A file $WORK/linked says that all links are made.
keep_packages() { # FOLDER-OF-THE-MANAGER
    keeps || return 0
    while IFS=$TAB read -r file name; do
        [ -f "$file" ] || continue
        [ ! -e "$KEPT/$name.gone" ] || rm -f "$KEPT/$name.gone"
        case $file in "$KEPT"/*) continue ;; esac
        case $file in
            "$1"/*)
                # A fork for each of many packages is dear.
                [ ! -e "$WORK/linked" ] || continue
                ! may ln -f "$file" "$KEPT/$name" 2>/dev/null || continue
                ;;
        esac
        if may cmp -s "$file" "$KEPT/$name"; then continue; fi
        if may cp "$file" "$KEPT/.new" 2>/dev/null; then mv "$KEPT/.new" "$KEPT/$name"; else rm -f "$KEPT/.new"; fi
    done
}

# Hold the folder to its bounds, before anything new comes in. Reads the file names of what is installed, and of
# what is named now, which stays whatever it takes, behind a "!". The days count from when a version was first seen
# not to be installed any more. What takes too much space goes in that order, and then the largest of the rest.
bound_kept() {
    [ -n "$KEPT" ] && [ -d "$KEPT" ] || return 0
    cat >"$WORK/needed"
    rm -f "$KEPT/.new"
    find "$KEPT" -type f -exec stat -c '%s %Y %n' {} + >"$WORK/kept"
    must_have_space
    awk -v now="$(date +%s)" -v days="$KEEP_DAYS" -v size="$KEEP_SIZE" '
        function drop(name) { print "drop", name; total -= bytes[name]; delete bytes[name] }
        FILENAME == ARGV[1] { if (sub(/^!/, "")) named[$0]; needed[$0]; next }
        { name = $3; sub(/.*\//, "", name) }
        sub(/\.gone$/, "", name) { gone[name] = $2; next }
        { bytes[name] = $1; total += $1 }
        END {
            for (name in gone) if (!(name in bytes)) { print "clear", name; delete gone[name] }
            for (name in bytes) {
                if (name in needed) { if (name in gone) print "clear", name; delete gone[name] }
                else if (!(name in gone)) { print "mark", name; gone[name] = now }
                else if (now - gone[name] > days * 86400) drop(name)
            }
            while (total > size * 1048576) {
                next_ = ""; best = -1
                for (name in bytes) {
                    if (name in named) continue
                    # Seconds are fewer than this, and bytes never negative.
                    worth = (name in gone) ? 1e15 - gone[name] : bytes[name]
                    if (worth > best) { best = worth; next_ = name }
                }
                if (next_ == "") break
                drop(next_)
            }
        }' "$WORK/needed" "$WORK/kept" >"$WORK/bounds"
    sure
    while read -r what name; do
        case $what in
            drop) rm -f "$KEPT/$name" "$KEPT/$name.gone" ;;
            clear) rm -f "$KEPT/$name.gone" ;;
            mark) : >"$KEPT/$name.gone" ;;
        esac
    done <"$WORK/bounds"
}

# What of all installed rpms misses another, or cannot be beside it. With 1 it says that there is such.
unsatisfied() {
    may rpm ${ROOT:+--root "$ROOT"} -Va --nofiles --noscripts --nodigest --nosignature
}

# The same for a report, whose answer may be missing: rpm looks each package up among all, which takes the square of
# their number. It ends with 1 also where it could not look, and says so then.
dependencies_of_rpms() {
    unsatisfied >"$WORK/unsatisfied"
    ended=$?
    cat "$WORK/unsatisfied"
    if [ "$ended" -eq 1 ] && { [ -s "$WORK/unsatisfied" ] || ! grep -q '^error:' "$WORK/err"; }; then return 0; fi
    return "$ended"
}

# rpm's database, $DATABASE, whatever form it has. Not SQLite's shared memory beside: every reader touches it.
rpm_databases() {
    for file in "$DATABASE"/rpmdb.sqlite "$DATABASE"/rpmdb.sqlite-wal "$DATABASE"/Packages.db "$DATABASE"/Packages; do
        [ ! -e "$file" ] || printf '%s\n' "$file"
    done
}

# The time of its status is none of it: SQLite gives its log an owner whenever somebody reads.
rpm_database_state() {
    rpm_databases >"$WORK/databases"
    set --
    while IFS= read -r file; do set -- "$@" "$file"; done <"$WORK/databases"
    [ $# -eq 0 ] || stat -c '%i %s %y %n' "$@"
}

# Where no package missed another, that is asked again when the database is another one: rpm looks each up among all. A
# script that was told the state already gives that: where it was changed since, it is asked again the next time.
kept_dependencies_of_rpms() { # [STATE]
    state=${1:-$(rpm_database_state)}
    met=
    # The shell compares them, since a tool takes longer than that.
    [ ! -r "$CACHE/met" ] || while IFS= read -r line; do met=$met$line$NL; done <"$CACHE/met"
    if [ -n "$state" ] && [ "$met" = "$state$NL" ]; then return 0; fi
    dependencies_of_rpms || return
    [ "$ended" -ne 0 ] || [ -s "$WORK/unsatisfied" ] || { printf '%s\n' "$state" >"$CACHE/met"; } 2>/dev/null || :
}

# Whether installed packages do not fit, and one of those that a run was about has to do with it.
begun_is_unsatisfied() {
    ! unsatisfied >"$WORK/unsatisfied" 2>"$WORK/err" </dev/null || return 1
    lines_of "$INSTALL,$REMOVE" | sed 's/[:=].*//' >"$WORK/begun"
    [ -n "$(awk 'FILENAME == ARGV[1] { begun[$0]; next }
        /^Unsatisfied/ { name = $NF; sub(/-[^-]*-[^-]*$/, "", name) } /^\t/ { name = $1 }
        name in begun' "$WORK/begun" "$WORK/unsatisfied")" ]
}

# Whether a file is this package, and all of it is there. Signatures were asked for when it was first installed, and
# nobody but root could write to it since.
is_whole_rpm() { # FILE NAME ARCH VERSION
    may rpm -K --nosignature "$1" >/dev/null 2>&1 </dev/null || return 1
    [ "$(may rpm -qp --nosignature --qf '%{NAME} %{ARCH} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}' "$1" 2>/dev/null |
        sed 's/ 0:/ /')" = "$2 $3 $4" ]
}

# Of the wanted (name, arch, version) print each that was kept with its file as a fourth column. What is in none of
# the folders goes to "gone", and what is there and damaged to "damaged", as NAME=VERSION.
kept_rpms() { # FILE FOLDER...
    list=$1
    shift
    : >"$WORK/damaged"
    : >"$WORK/gone"
    while IFS=$TAB read -r name arch version; do
        found='' bad=''
        for folder in ${KEPT:+"$KEPT"} "$@"; do
            file=$folder/$name-${version#*:}.$arch.rpm
            [ -f "$file" ] || continue
            if is_whole_rpm "$file" "$name" "$arch" "$version"; then
                found=$file
                break
            fi
            bad=${bad:-$file}
        done
        if [ -n "$found" ]; then
            printf '%s\t%s\t%s\t%s\n' "$name" "$arch" "$version" "$found"
        elif [ -n "$bad" ]; then
            printf '%s=%s (%s)\n' "$name" "$version" "$bad" >>"$WORK/damaged"
        else
            printf '%s:%s=%s\n' "$name" "$arch" "$version" >>"$WORK/gone"
        fi
    done <"$list"
}

# End where something that is named can be had neither from a source nor from what was kept.
must_be_had() {
    [ ! -s "$WORK/gone" ] || refused "no longer available:$(each_in "$WORK/gone"); nor is its package kept" "$GONE"
    [ ! -s "$WORK/damaged" ] || refused "no longer available, and what was kept is damaged:$(each_in "$WORK/damaged")" "$GONE"
}
