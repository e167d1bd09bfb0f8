#!/bin/sh
# Observe, refresh, dry-run and patch with zypper, this machine or the system below --root.
#
# Part of patchledger, and a plain tool as well:  sh zypper-update.sh --dry-run --exclude nginx
# Contract: docs/reference/patch-scripts.md. In short:
#   - nothing but --refresh, --download, --apply and --repair changes anything: zypper is only asked with
#     --no-refresh and without its lock, and works on a cache and a log of ours;
#   - exclusions go into the resolver as a lock file of this run alone: the operator's locks, then ours;
#   - --apply names every change, and refuses where the resolver would do anything else.

SELF=zypper-update.sh
# shellcheck source=scripts/patch/common.sh
[ -n "${COMMON:-}" ] || . "$(dirname "$0")/common.sh"

# --- arguments ---------------------------------------------------------------------------------------------

NAME_START='A-Za-z0-9_' NAME_CHARS='A-Za-z0-9+._:~-' VERSION_CHARS='A-Za-z0-9.+:_~^-' VERSION_FORM='*'
ROOT_HAS=etc/zypp NOT_HAD='--relations --security-source'
take_options "$@"
ROOT=$BELOW

# --- zypper's and rpm's words ------------------------------------------------------------------------------

# All that is looked for in what they say, which is English by LC_ALL. What has a form is taken apart where it is read.
SAYS_SKIPPED='type="(error|warning)">Skipping repository|repositories have not been refreshed'
SAYS_PROBLEM='Problem: '
SAYS_NONE_PROVIDES='^no package provides '
# Of refresh.
SAYS_DENIED='Root privileges|Permission denied'
SAYS_METADATA_NO_SPACE='No space left|[Qq]uota exceeded'
SAYS_METADATA_UNTRUSTED='ignature verification|GPG|unsigned|not signed|unknown key|KEY|[Dd]igest verification'
# Of what changes packages.
SAYS_LOCKED='System management is locked|is locked by'
SAYS_NO_SPACE='No space left|[Nn]ot enough (free )?(disk )?space|needs [0-9]+.* more space|[Qq]uota exceeded'
SAYS_UNTRUSTED='Signature verification failed|NOKEY|[Dd]igest verification|[Cc]hecksum'
SAYS_NOT_FETCHED="not found on medium|Failed to provide|Can't provide|Download \(curl\) error|Timeout exceeded|is not a directory|not accessible|File '.*' not found"
SAYS_NOT_WHOLE='[Dd]igest verification failed|seems to be corrupted'
SAYS_NOT_BEGUN='^Detected [0-9]+ file conflict|conflicts between attempted installs|conflicts with file from package'
# rpm -V.
SAYS_MISSING='^missing'

# --- the machine -------------------------------------------------------------------------------------------

begin zypper zypper rpm
make_work_dir
# shellcheck disable=SC2086 # a name each
tools $TEXT comm paste touch

# zypper puts another root before the paths of its lock file and of its cache of what is installed. There, a
# folder of this run alone has a way out to our own, and its parent keeps its time. Newer ones look for the file that
# ZYPP_CONF names on both sides, and below the root for what its solver is told: so there are two of these folders.
PRIVATE=$WORK
CONF=$WORK/zypp.conf
INSIDE=
OUTSIDE=
# The first zypper on a machine gives it a number, whatever it is asked; that is not for us to decide.
NUMBERS=
clean_up() {
    unmark
    # shellcheck disable=SC2086 # two names, without blanks
    [ -z "$NUMBERS" ] || run rm -f $NUMBERS
    [ -z "$INSIDE" ] || run rm -rf "$INSIDE" "$OUTSIDE"
    [ -z "$INSIDE" ] || run touch -r "$WORK/time" "${INSIDE%/*}"
    run rm -rf "$WORK"
}
leave_no_number() {
    [ -z "$ROOT" ] || return 0
    for number in /var/lib/zypp/AnonymousUniqueId /var/lib/zypp/LastDistributionFlavor; do
        [ -e "$number" ] || NUMBERS="$NUMBERS $number"
    done
}
reach_into_root() {
    [ -n "$ROOT" ] && [ -z "$INSIDE" ] || return 0
    for base in "$ROOT/var/tmp" "$ROOT/tmp" "$ROOT/run" "$ROOT"; do
        [ -d "$base" ] || continue
        touch -r "$base" "$WORK/time"
        INSIDE=$(private "$base") || continue
        OUTSIDE=${INSIDE#"$ROOT"}
        take_left_over "${OUTSIDE%/*}"
        ! may mkdir -m 700 "$OUTSIDE" 2>/dev/null || break
        rm -rf "$INSIDE"
        touch -r "$WORK/time" "$base"
        INSIDE=
    done
    [ -n "$INSIDE" ] || refused "no folder can be made below $ROOT" "$OTHER"
    ln -s "$WORK" "$INSIDE/way"
    ln -s "$WORK" "$OUTSIDE/way"
    PRIVATE=$INSIDE/way
    CONF=$OUTSIDE/way/zypp.conf
}
trap clean_up EXIT

if [ -n "$ROOT" ]; then
    ZYPP_LOCKFILE_ROOT=$ROOT
    export ZYPP_LOCKFILE_ROOT
fi

# The operator's configuration: the file that ZYPP_CONF names, else what newer ones read, of which older ones have the
# first alone: zypp.conf of the first of these folders, and every drop-in of the first that has one of its name.
configuration_files() {
    if [ -n "${ZYPP_CONF:-}" ]; then
        printf '%s\n' "$ZYPP_CONF"
        return
    fi
    main_file=
    set --
    for folder in "$ROOT/etc/zypp" "$ROOT/run/zypp" "$ROOT/usr/etc/zypp" "$ROOT/usr/share/zypp"; do
        [ -n "$main_file" ] || [ ! -f "$folder/zypp.conf" ] || main_file=$folder/zypp.conf
        for file in "$folder"/zypp.conf.d/*.conf; do
            [ ! -e "$file" ] || [ -d "$file" ] || set -- "$@" "$file"
        done
    done
    [ -z "$main_file" ] || printf '%s\n' "$main_file"
    [ $# -gt 0 ] || return 0
    for file in "$@"; do printf '%s\t%s\n' "${file##*/}" "$file"; done | awk -F '\t' '!seen[$1]++' | sort | cut -f 2
}

# Every section once, with all that is in it, so that the last one of a setting counts. What stands before a file's first
# section is in none.
merged() { # [FILE...]
    awk 'FNR == 1 { section = "" }
        /^[ \t]*\[/ { section = $0; sub(/^[ \t]*/, "", section); sub(/\].*/, "]", section)
            if (!(section in text)) order[++n] = section; text[section] = text[section] ""; next }
        section != "" && section != "[]" { text[section] = text[section] $0 "\n" }
        END { for (i = 1; i <= n; i++) if (order[i] != "[]") printf "%s\n%s", order[i], text[order[i]] }' "$@"
}

configuration_files >"$WORK/configured"
set --
while IFS= read -r file; do [ ! -r "$file" ] || set -- "$@" "$file"; done <"$WORK/configured"
if [ $# -gt 0 ]; then merged "$@"; fi >"$WORK/given"

# What the last line of each of these settings says, one a line; nothing where there is none.
settings() { # KEY...
    awk -v wanted="$*" 'BEGIN { count = split(wanted, key, " ") }
        /^\[/ { main = $0 == "[main]" } main && /^[ \t]*[a-z]/ {
            name = value = $0; sub(/[ \t]*=.*/, "", name); sub(/^[ \t]*/, "", name)
            sub(/^[^=]*=[ \t]*/, "", value); sub(/[ \t]*$/, "", value); said[name] = value }
        END { for (i = 1; i <= count; i++) print said[key[i]] }' "$WORK/given"
}
below_root() { # PATH: in $below
    case $1 in "$ROOT"/*) below=$1 ;; *) below=$ROOT$1 ;; esac
}

settings cachedir metadatadir solvfilesdir packagesdir reposdir locksfile.path multiversiondir \
    multiversion solver.allowVendorChange download.max_download_speed >"$WORK/settings"
{
    IFS= read -r given
    CACHED=${given:-/var/cache/zypp}
    IFS= read -r given
    below_root "${given:-$CACHED/raw}" && RAW=$below
    IFS= read -r given
    below_root "${given:-$CACHED/solv}" && SOLV=$below
    IFS= read -r given
    below_root "${given:-$CACHED/packages}" && PACKAGES=$below
    IFS= read -r given
    below_root "${given:-/etc/zypp/repos.d}" && REPOS=$below
    IFS= read -r given
    below_root "${given:-/etc/zypp/locks}" && LOCKS=$below
    IFS= read -r given
    below_root "${given:-/etc/zypp/multiversion.d}" && SEVERAL=$below
    IFS= read -r ALSO_SEVERAL
    IFS= read -r VENDOR_CHANGE
    IFS= read -r OWN_RATE
} <"$WORK/settings"
MARKS=$ROOT/var/lib/zypp/AutoInstalled
PID=${ZYPP_LOCKFILE_ROOT:-}/run/zypp.pid
# Of a pending reboot: the distribution's own, which does not outlive the boot.
REBOOTING=$ROOT/run/reboot-needed
must rpm --eval '%{_dbpath}' --eval '%{_arch}' >"$WORK/rpm"
{ IFS= read -r given && IFS= read -r ARCHITECTURE; } <"$WORK/rpm" || fault 1 rpm
below_root "$given" && DATABASE=$below
# All of these say where to look, and one that is missing would be another place.
sure

rpm_() { # must|may|run ARGUMENT...
    how_to=$1
    shift
    "$how_to" rpm ${ROOT:+--root "$ROOT"} "$@"
}

# Debian's rpm says with every call that it is not the system's own.
installed() {
    rpm_ must -qa --qf '%{NAME}\t%{ARCH}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\t%{LONGSIZE}\t%{INSTALLTIME}\t%{DBINSTANCE}\t%{SOURCERPM}\n' |
        awk -F '\t' -v OFS='\t' '$1 != "gpg-pubkey" { sub(/^0:/, "", $3); print }' | sort
}

# Several versions of these may be installed at once: what the operator and the distribution name, and what provides what
# they name behind "provides:".
multiversion() {
    set --
    for file in "$SEVERAL"/*; do [ ! -f "$file" ] || set -- "$@" "$file"; done
    printf '%s\n' "$ALSO_SEVERAL" | awk -v named="$WORK/several" '
        function tell(text) {
            if (text == "" || text in told) return
            told[text]
            if (sub(/^provides:/, "", text)) print text; else print text >named
        }
        BEGIN { printf "" >named; tell("provides:multiversion(kernel)") }
        FILENAME == ARGV[1] { count = split($0, word, /[, \t]+/); for (i = 1; i <= count; i++) tell(word[i]); next }
        { sub(/#.*/, ""); sub(/^[ \t]*/, ""); sub(/[ \t]*$/, ""); tell($0) }' - "$@" >"$WORK/provided"
    set --
    while IFS= read -r capability; do set -- "$@" "$capability"; done <"$WORK/provided"
    # With 1 it says that there is none, in these words; without them it does not know.
    rpm_ may -q --whatprovides --qf '%{NAME}\n' "$@" >"$WORK/providers" 2>/dev/null ||
        grep -q "$SAYS_NONE_PROVIDES" "$WORK/providers" || fault 1 rpm
    awk 'FILENAME == ARGV[2] || !/ /' "$WORK/providers" "$WORK/several"
}

# Newer zyppers mark a reboot as pending also where they only say what they would do, or only fetch it. That is taken
# back, unless packages were changed meanwhile, so that it may be the mark of whoever did that.
WATCHED=
watch_mark() {
    [ ! -e "$REBOOTING" ] || touch -r "$REBOOTING" "$WORK/rebooting"
    [ ! -d "$ROOT/run" ] || touch -r "$ROOT/run" "$WORK/run"
    WATCHED=$(rpm_database_state)
}
unmark() {
    [ -n "$WATCHED" ] && [ -e "$REBOOTING" ] && [ "$(rpm_database_state)" = "$WATCHED" ] || return 0
    if [ ! -e "$WORK/rebooting" ]; then
        may rm -f "$REBOOTING"
        [ -z "$ROOT" ] || may touch -r "$WORK/run" "$ROOT/run"
    else
        may touch -r "$WORK/rebooting" "$REBOOTING"
    fi
}

# zypper's own repositories but those that are to be left out, and those that were never read, which it would read now;
# what it fetches is kept.
repositories() {
    mkdir "$WORK/repos.d" "$WORK/raw"
    printf '%s' "$WITHOUT" >"$WORK/without"
    set --
    for folder in "$RAW"/*; do
        for entry in "$folder"/* "$folder"/.[!.]*; do
            [ -e "$entry" ] || continue
            printf '%s\n' "${folder##*/}"
            set -- "$@" "$folder"
            break
        done
    done >"$WORK/known"
    # Newer ones make a folder beside it and take it away whenever they look at it.
    [ $# -eq 0 ] || ln -s "$@" "$WORK/raw/"
    set --
    for file in "$REPOS"/*.repo; do [ ! -f "$file" ] || set -- "$@" "$file"; done
    [ $# -eq 0 ] || awk -v ours="$WORK/repos.d/" 'FILENAME == ARGV[1] { known[$0]; next }
        FILENAME == ARGV[2] { without[$0]; next }
        FILENAME != file { if (file != "") close(copy); file = copy = FILENAME; sub(/.*\//, "", copy); copy = ours copy; off = 0 }
        /^[ \t]*\[/ { alias = $0; sub(/^[ \t]*\[/, "", alias); sub(/\][^]]*$/, "", alias); off = alias in without
            gsub("/", "_", alias); off = off || !(alias in known)
            print >copy; print "keeppackages=1" >copy; if (off) print "enabled=0" >copy; next }
        /^[ \t]*keeppackages[ \t]*=/ || (/^[ \t]*enabled[ \t]*=/ && off) { next }
        { print >copy }' "$WORK/known" "$WORK/without" "$@"
}

# zypper with the configuration of this run, to which a lock file may belong.
CONFIGURED=
configuration() {
    locks=$LOCKS
    [ ! -e "$WORK/locks" ] || locks=$PRIVATE/locks
    # Nothing else of it can be another one later.
    [ "$locks" != "$CONFIGURED" ] || return 0
    CONFIGURED=$locks
    {
        printf '[main]\nlocksfile.path = %s\n' "$locks"
        # What is named is all that goes.
        case $VERB in --download | --apply | --repair) echo 'solver.cleandepsOnRemove = false' ;; esac
        limit_rate
    } | merged "$WORK/given" - >"$WORK/zypp.conf"
}

# In bytes a second, where 0 is none. The operator's own stays where it is lower; one file after another, since each that
# is fetched beside others would have as much.
limit_rate() {
    [ -n "$RATE" ] || return 0
    most=$((RATE * 1024))
    own=${OWN_RATE:-0}
    case $own in *[!0-9]* | ???????????*) ;; *) [ "$own" -eq 0 ] || [ "$own" -gt "$most" ] || most=$own ;; esac
    printf 'download.max_download_speed = %s\ndownload.max_concurrent_connections = 1\n' "$most"
}

prepare() {
    case $VERB in --observe | --dry-run) leave_no_number ;; esac
    watch_mark
    reach_into_root
    if [ -z "$CACHE" ]; then
        CACHE=$WORK/cache
        mkdir "$CACHE"
    fi
    # What zypper has parsed itself need not be parsed again.
    [ -d "$CACHE/solv" ] || begin_cache
    OURS=$CACHE/solv
    if [ -n "$ROOT" ]; then
        ln -sf "$CACHE/solv" "$WORK/solv"
        OURS=$PRIVATE/solv
    fi
    repositories
    configuration
}

# Whole, or none: what is cut is not known as such later.
begin_cache() {
    rm -rf "$CACHE/solv.new"
    if [ ! -d "$SOLV" ] || ! may cp -Rp "$SOLV" "$CACHE/solv.new" 2>/dev/null; then
        rm -rf "$CACHE/solv.new"
        mkdir "$CACHE/solv.new"
    fi
    sure
    mv "$CACHE/solv.new" "$CACHE/solv"
}

# Only ask: without zypper's lock, log, refresh and caches.
ask() ( # ARGUMENT...
    ZYPP_READONLY_HACK=1 ZYPP_LOGFILE=$WORK/zypper.log ZYPP_CONF=$CONF
    export ZYPP_READONLY_HACK ZYPP_LOGFILE ZYPP_CONF
    # Its codes are answers; see answered.
    may zypper ${ROOT:+--root "$ROOT"} --xmlout --non-interactive --no-refresh --raw-cache-dir "$WORK/raw" \
        --solv-cache-dir "$OURS" --pkg-cache-dir "$WORK/packages" --reposd-dir "${LISTED:-$WORK/repos.d}" "$@"
)

# What zypper would do. Where a license is not agreed to, it ends as if nothing could be solved; see transaction.
propose() { # VERB ARGUMENT...
    verb=$1
    shift
    ask "$verb" --dry-run --auto-agree-with-licenses "$@"
}

# Whether what zypper was asked to list is there in full, or without repositories that it names: with none at all (6),
# with some of them left out (106), with nothing found (104). From 100 on, the others tell of updates.
answered() { # CODE
    case $1 in 0 | 6 | 10[0-46]) ;; *) return 1 ;; esac
}

# The repositories as the operator has them, those that were never read included.
listed() {
    LISTED=$REPOS
    asked repos repos --uri
    LISTED=
    OFF=$NL$(awk "$AWK_ELEMENT"'FILENAME == ARGV[1] { without[$0]; next }
        is("repo") {
            alias = attribute("alias")
            if (attribute("enabled") == 0 || alias in without) { gsub("/", "_", alias); print alias }
        }' "$WORK/without" RS='<' "$WORK/repos")$NL
}

is_off() { # ALIAS, as folders have it
    case $OFF in *"$NL$1$NL"*) ;; *) return 1 ;; esac
}

# Do: zypper's own lock, log, caches and history.
really() ( # ARGUMENT...
    ZYPP_LOCK_TIMEOUT=$LOCK_WAIT ZYPP_CONF=$CONF
    export ZYPP_LOCK_TIMEOUT ZYPP_CONF
    run zypper ${ROOT:+--root "$ROOT"} --non-interactive --no-refresh --reposd-dir "$WORK/repos.d" "$@"
)

# --- zypper's XML, as far as the script itself must know; all else is for its reader ------------------------

# For an awk with RS='<': the element that is looked at, each of its attributes ("-" where it has none), and the block
# of a summary that it stands in.
# shellcheck disable=SC2016 # for awk
AWK_ELEMENT='
function is(element) { return index($0, element) == 1 && substr($0, length(element) + 1, 1) ~ /[ \t\n]/ }
function attribute(key,    value) {
    if (!match($0, "[ \n]" key "=\"[^\"]*\"")) return "-"
    value = substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 4)
    if (index(value, "&")) {
        gsub(/&lt;/, "<", value); gsub(/&gt;/, ">", value); gsub(/&quot;/, "\"", value)
        gsub(/&apos;/, "\047", value); gsub(/&amp;/, "\\&", value)
    }
    return value == "" ? "-" : value
}
/^to-[a-z-]*>/ { block = $0; sub(/>.*/, "", block) }
/^\/to-/ { block = "" }
'

# What would change: block, name, architecture, version, architecture before. A package stands in each block that is true
# of it, so also where its vendor or its architecture changes, and in blocks that only remark on it ("unsupported").
summary() {
    awk "$AWK_ELEMENT"'block != "" && is("solvable") && attribute("type") == "package" {
            row = attribute("name") "\t" attribute("arch") "\t" attribute("edition") "\t" attribute("arch-old")
            if (!seen[block == "to-remove", row]++) print block "\t" row
        }' RS='<' "$WORK/answer"
}

# Name and vendor of installed packages. A vendor may be any text; only the first tab of a row is ours.
owned() { # ARGUMENT...: which ones
    rpm_ must "$@" --qf '%{NAME}\t%{VENDOR}\n' |
        awk -F '\t' 'NF > 1 { name = $1; sub(/^[^\t]*\t/, ""); gsub(/[ \t\r]+/, " "); print name "\t" $0 }'
}

# The vendors of what is installed, of each package that would come from another one.
vendors() {
    awk "$AWK_ELEMENT"'block == "to-change-vendor" && is("solvable") && attribute("type") == "package" { print attribute("name") }' \
        RS='<' "$WORK/answer" | sort -u >"$WORK/names"
    # shellcheck disable=SC2046 # one argument per name is wanted, and names hold no blanks
    [ ! -s "$WORK/names" ] || owned -q $(cat "$WORK/names")
}

# A repository that zypper leaves out makes no plan: it ends with 106 then, and older ones with 0.
skipped() {
    [ "$code" -eq 106 ] || complains "$SAYS_SKIPPED"
}

never_read() { # FILE-WITH-REPOSITORIES: aliases of enabled ones without metadata
    awk "$AWK_ELEMENT"'FILENAME == ARGV[1] { known[$0]; next }
        FILENAME == ARGV[2] { without[$0]; next }
        is("repo") && attribute("enabled") == 1 {
            alias = file = attribute("alias"); gsub("/", "_", file)
            if (!(file in known) && !(alias in without)) print alias
        }' "$WORK/known" "$WORK/without" RS='<' "$1"
}

# --- observe -----------------------------------------------------------------------------------------------

machine() {
    printf 'architecture=%s\n' "$ARCHITECTURE"
    machine_facts
    # Each start of zypper says so in its log.
    version=
    [ ! -e "$WORK/zypper.log" ] || version=$(said_version)
    of_rpm=$(must rpm --version)
    printf 'zypper=%s\nrpm=%s\n' "${version:-$(must zypper --version | sed 's/^zypper *//')}" "${of_rpm##* }"
}

said_version() {
    while IFS= read -r said; do
        case $said in *' Hi, me zypper '[0-9]*) ;; *) continue ;; esac
        said=${said##* Hi, me zypper }
        printf '%s\n' "${said%%[!0-9.]*}"
        return
    done <"$WORK/zypper.log"
}

marks() {
    [ ! -r "$MARKS" ] || cat "$MARKS"
}

# Of every repository that was read: when this machine looked last, when it was made, how long it holds, and whether it
# has patches.
metadata() {
    for folder in "$RAW"/*; do
        file=$folder/repodata/repomd.xml
        [ -r "$file" ] || continue
        made=$(awk 'BEGIN { RS = "<" } /^timestamp>/ { sub(/^timestamp>/, ""); if ($1 + 0 > last) last = $1 + 0 }
            /^data type=.updateinfo/ { found = 1 } END { printf "%d %d", last, found }' "$file")
        expires=
        for info in "$folder"/repodata/*suseinfo.xml*; do
            [ ! -r "$info" ] || [ -n "$expires" ] || expires=$(plain "$info" | sed -n 's/.*<expire>\([0-9]*\)<.*/\1/p' | head -n 1)
        done
        printf '%s\t%s\t%s\t%s\t%s\n' "${folder##*/}" "$(stat -c %Y "$file")" "${made% *}" "${expires:-0}" "${made#* }"
    done
}

# The files of a kind that repositories have, in whatever form.
files_of() { # KIND
    for file in "$RAW"/*/repodata/*"$1".xml*; do
        case $file in *\** | *.sqlite*) ;; *) printf '%s\n' "$file" ;; esac
    done
}

# What a file must be given to before it can be read.
unpacker() { # FILE
    case $1 in
        *.gz) echo gzip ;;
        *.zst) echo zstd ;;
        *.xz) echo xz ;;
        *.bz2) echo bzip2 ;;
        *.xml) echo cat ;;
    esac
}

plain() { # FILE
    with=$(unpacker "$1")
    case $with in cat) cat "$1" ;; *) must "$with" -dc <"$1" ;; esac
}

# End where the metadata of a repository cannot be read: libzypp knows more forms than there are programs here.
can_unpack() {
    { files_of primary && files_of updateinfo && files_of suseinfo; } >"$WORK/packed"
    while IFS= read -r file; do
        with=$(unpacker "$file")
        [ -n "$with" ] || refused "no program here reads ${file##*/}, metadata of ${file#"$RAW"/}" "$OTHER"
        place "$with" || lacking "$with"
    done <"$WORK/packed"
}

each_file() { # KIND COMMAND: run it with the file of a kind of every repository that is not left out, and with its alias
    files_of "$1" >"$WORK/packed"
    while IFS= read -r file; do
        alias=${file#"$RAW"/}
        alias=${alias%%/*}
        is_off "$alias" || "$2" "$file" "$alias"
    done <"$WORK/packed"
}

# XML without comments, and with all text escaped in one way: whoever made a repository may have written it by hand.
AWK_XML='
function escaped(text) { gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text); return text }
function plain_xml(text,    at, begin, end, length_) {
    while ((at = index(text, "<!")) > 0) {
        begin = substr(text, at, 4) == "<!--" ? "<!--" : "<![CDATA["
        end = begin == "<!--" ? "-->" : "]]>"
        length_ = index(substr(text, at + length(begin)), end) - 1
        if (length_ < 0 || index(text, begin) != at) break
        text = substr(text, 1, at - 1) (begin == "<!--" ? "" : escaped(substr(text, at + length(begin), length_))) \
            substr(text, at + length(begin) + length_ + 3)
    }
    return text
}
'

# The records of the packages that a file names, one a line behind the package's key and its repository; without long
# lists of files and kernel symbols. The keys themselves come first.
records_in() { # ALIAS FILE-OF-KEYS
    awk -v alias="$1" "$AWK_XML"'FILENAME == ARGV[1] { print; want[$0]; name = $0; sub(/\t.*/, "", name); named[name]; next }
        # Most are not wanted, and what is written plainly need not be taken apart to see that.
        !index($0, "<!") && match($0, /<name>[^<]*</) && !(substr($0, RSTART + 6, RLENGTH - 7) in named) { next }
        {
            $0 = plain_xml($0)
            if (!match($0, /<package [^>]*type="rpm"/)) next
            $0 = substr($0, RSTART)
            name = tag("name"); arch = tag("arch")
            match($0, /<version [^>]*>/); version = substr($0, RSTART, RLENGTH)
            epoch = value(version, "epoch"); edition = (epoch + 0 ? epoch ":" : "") value(version, "ver") "-" value(version, "rel")
            key = name "\t" arch "\t" edition
            if (!(key in want)) next
            gsub(/<file[ >][^<]*<\/file>/, ""); gsub(/<description>[^<]*<\/description>/, "")
            gsub(/<rpm:entry name="(ksym|kernel|modalias)\([^>]*>/, ""); gsub(/[ \t\r\n]+/, " ")
            print key "\t" alias "\t" $0 "</package>"
        }
        function tag(key,    text) {
            match($0, "<" key ">[^<]*"); text = substr($0, RSTART, RLENGTH); sub(/^[^>]*>/, "", text); return text
        }
        function value(text, key) {
            if (!match(text, " " key "=\"[^\"]*")) return ""
            return substr(text, RSTART + length(key) + 3, RLENGTH - length(key) - 3)
        }' "$2" RS='</package>' -
}

# Of what was found earlier the records that $WORK/keys names; none, and 1, where not all of these were looked for.
records_found() { # FILE
    # shellcheck disable=SC2016 # for awk
    may awk -F '\t' 'FILENAME == ARGV[1] { want[$0]; next }
        { key = $1 "\t" $2 "\t" $3 }
        key in want { there[key]; if (NF > 3) row[++count] = substr($0, length(key) + 2) }
        END {
            for (key in want) if (!(key in there)) exit 1
            for (i = 1; i <= count; i++) print row[i]
        }' "$WORK/keys" "$1"
}

# What was looked for in a file that never changes is kept as long as that is there: to unpack it takes longer than all else.
# Whoever changes what is printed of a package gives the folder another name.
records_of() { # FILE ALIAS
    kept=
    ! never_changes "$1" || kept=$CACHE/records/$2/${1##*/}
    if [ -n "$kept" ] && [ -r "$kept" ]; then
        ! records_found "$kept" || return 0
        # Both, so that an observation and a question do not drive one another out.
        awk -F '\t' '{ key = $1 "\t" $2 "\t" $3 } !seen[key]++ { print key }' "$WORK/keys" "$kept" >"$WORK/look-for"
    else
        cat "$WORK/keys" >"$WORK/look-for"
    fi
    plain "$1" | records_in "$2" "$WORK/look-for" >"$WORK/found-records"
    records_found "$WORK/found-records" || fault 1 awk || return
    [ -n "$kept" ] && ! trouble || return 0
    # By a name of its own, since another plan may be made beside this one.
    { may mkdir -p "${kept%/*}" && may cp "$WORK/found-records" "$kept.$$" && may mv "$kept.$$" "$kept"; } 2>/dev/null || return 0
    for kept in "$CACHE"/records/*/*; do
        name=${kept#"$CACHE"/records/}
        [ -e "$RAW/${name%%/*}/repodata/${name#*/}" ] || rm -f "$kept"
    done
}

advisories_of() { # FILE ALIAS
    plain "$1" | awk -v alias="$2" "$AWK_XML"'FILENAME == ARGV[1] { want[$0]; next }
        {
            $0 = plain_xml($0)
            if (!match($0, /<update /)) next
            $0 = substr($0, RSTART)
            match($0, /<id>[^<]*/); id = substr($0, RSTART + 4, RLENGTH - 4)
            if (!(id in want)) next
            gsub(/<description>[^<]*<\/description>/, ""); gsub(/<filename>[^<]*<\/filename>/, ""); gsub(/[ \t\r\n]+/, " ")
            print alias "\t" $0 "</update>"
        }' "$WORK/ids" RS='</update>' -
}

locks() {
    pid=
    { read -r pid <"$PID"; } 2>/dev/null
    # To zypper one that has ended is none, also where nobody has waited for it.
    [ -z "$pid" ] || may grep -qs '^State:.Z' "/proc/$pid/status" || holder_in "$PID"
    lock_holders "$DATABASE/.rpm.lock"
}

filesystems() {
    filesystems_of "$PACKAGES" "${ROOT:-/}" "$ROOT/boot" "$ROOT/var"
}

reboot_needed() {
    for file in "$REBOOTING" "$ROOT/run/reboot-required"; do
        [ ! -e "$file" ] || printf '%s\n' "${file#"$ROOT"}"
    done
}

inputs() {
    rpm_databases
    printf '%s\n' "$MARKS" "$LOCKS" "$ROOT/etc/zypp" "$REPOS" "$ROOT/etc/zypp/services.d" "$SEVERAL" \
        "$ROOT/etc/products.d" "$ROOT/boot" "$ROOT/etc/os-release" "$REBOOTING" "$RAW"
    for folder in "$RAW"/*/repodata; do
        [ ! -d "$folder" ] || printf '%s\n' "$folder"
    done
    configuration_files
}

# Ask and print, and keep the answer in $WORK/NAME.
asked() { # NAME ARGUMENT...
    name=$1
    shift
    section_kept "$name" ask "$@"
    must_be_answered "$name"
}

must_be_answered() { # NAME: end where what is in $WORK/NAME, with the code in $code, is no answer
    if answered "$code"; then return; fi
    cp "$WORK/$1" "$WORK/answer"
    if [ "$code" -eq 7 ]; then complain "$LOCKED"; fi
    complain "$OTHER"
}

# A search for many names, in pieces whose answers are one: all that is searched for at once becomes one expression,
# and takes memory by the square of its length.
search() { # FILE-OF-NAMES OPTION...
    awk '{ printf "%s%s", (NR % 1000 == 1 ? separator : " "), $0; separator = "\n" } END { print "" }' "$1" >"$WORK/pieces"
    shift
    found=104
    echo '<stream>'
    while IFS= read -r piece; do
        # shellcheck disable=SC2086 # one argument per name is wanted, and names hold no blanks
        ask search --match-exact --details --type package "$@" $piece >"$WORK/piece" </dev/null
        ended=$?
        sed '/^<?xml/d; s/<\/\{0,1\}stream>//g' "$WORK/piece"
        answered "$ended" || return "$ended"
        [ "$ended" -eq 104 ] || found=$ended
    done <"$WORK/pieces"
    echo '</stream>'
    return "$found"
}

# All versions of the packages named in $WORK/names, as the sources offer them. zypper compares each package with each
# name, so that to list all of them is soon less than to search for some.
versions() {
    # Whether there is a fifth one.
    if ! { read -r _ && read -r _ && read -r _ && read -r _ && read -r _; } <"$WORK/names"; then
        search "$WORK/names"
        return
    fi
    ask search --details --type package >"$WORK/listed" </dev/null
    ended=$?
    awk 'FILENAME == ARGV[1] { wanted[$0]; next }
        /^<solvable [^<]*$/ && match($0, / name="[^"]*"/) && !(substr($0, RSTART + 7, RLENGTH - 8) in wanted) { next }
        { print }' "$WORK/names" "$WORK/listed"
    return "$ended"
}

records() {
    each_file primary records_of
}

advisories() {
    [ ! -s "$WORK/ids" ] || each_file updateinfo advisories_of
}

# Where an update would remove packages, these and what comes in new, which may take their places.
successors() {
    propose update >"$WORK/answer"
    ended=$?
    # With 4 nothing can be solved, and so nothing comes.
    [ "$ended" -eq 4 ] || answered "$ended" || fault "$ended" zypper || return
    summary >"$WORK/moves"
    ! grep -q '^to-remove' "$WORK/moves" || awk '/^to-(remove|install)\t/' "$WORK/moves" | sort
}

# What any package of the repositories obsoletes, in lower case; "*" where that is not all. Of what nobody obsoletes
# zypper need not be asked, and then mostly of nothing.
obsoleted_names() {
    while IFS= read -r alias; do
        is_off "$alias" || obsoleted_in "$alias"
    done <"$WORK/known"
    return 0
}

obsoleted_in() { # ALIAS
    files=0
    for file in "$RAW/$1"/repodata/*primary.xml*; do
        case $file in *\** | *.sqlite*) continue ;; esac
        files=$((files + 1))
        obsoleted_by "$file"
    done
    # libzypp knows other kinds of repositories.
    [ "$files" -gt 0 ] || echo '*'
}

# A file whose name begins with its checksum.
never_changes() { # FILE
    case ${1##*/} in
        *[!0-9a-f]*-primary.xml*) return 1 ;;
        ????????????????????????????????*-primary.xml*) ;;
        *) return 1 ;;
    esac
}

# What was found in a file that never changes is kept, as long as it is there.
obsoleted_by() { # FILE
    kept=
    ! never_changes "$1" || kept=$CACHE/obsoleted/${1##*/}.names
    if [ -n "$kept" ] && [ -r "$kept" ]; then
        cat "$kept"
        return
    fi
    plain "$1" | awk 'BEGIN { RS = "<" } /^rpm:obsoletes[ \t\n>]/ { on = 1; next } /^\/rpm:obsoletes/ { on = 0; next }
        on && /^rpm:entry/ {
            if (!match($0, /[ \t\n]name="[^"&]*"/)) { print "*"; next }
            print tolower(substr($0, RSTART + 7, RLENGTH - 8)) }' | sort -u >"$WORK/names-of-one"
    cat "$WORK/names-of-one"
    [ -n "$kept" ] && ! trouble || return 0
    mkdir -p "$CACHE/obsoleted"
    cp "$WORK/names-of-one" "$kept.new" && mv "$kept.new" "$kept"
    for kept in "$CACHE/obsoleted"/*.names; do
        name=${kept##*/}
        for file in "$RAW"/*/repodata/"${name%.names}"; do [ -e "$file" ] || rm -f "$kept"; done
    done
}

# What obsoletes a name that is installed and is not there by its own: an update may take it, or say nothing of it
# where it cannot come.
obsoleters() {
    obsoleted_names >"$WORK/obsoleted"
    # zypper searches without regard to case.
    awk -F '\t' 'FILENAME == ARGV[1] { if ($0 == "*") all = 1; obsoleted[$0]; next }
        !seen[$1]++ && (all || (tolower($1) in obsoleted)) { print $1 }' "$WORK/obsoleted" "$WORK/installed" >"$WORK/suspected"
    [ -s "$WORK/suspected" ] || return 0
    search "$WORK/suspected" --obsoletes >"$WORK/answer"
    ended=$?
    answered "$ended" || fault "$ended" zypper || return
    awk -v OFS='\t' "$AWK_ELEMENT"'FILENAME == ARGV[1] { have[$1]; next }
        is("solvable") && !(attribute("name") in have) {
            row = attribute("name") OFS attribute("arch") OFS attribute("edition"); if (!seen[row]++) print row
        }' "$WORK/installed" RS='<' "$WORK/answer"
}

# The vendor of each installed package, where an update leaves it to that.
owners() {
    case $VENDOR_CHANGE in 1 | [Tt]rue | [Yy]es | [Oo]n | always) return ;; esac
    owned -qa | sort -u
}

updates_of() { # KIND FILE: the names of those that zypper lists, each once
    awk -v kind="$1" "$AWK_ELEMENT"'is("update") && attribute("kind") == kind && !seen[attribute("name")]++ { print attribute("name") }' \
        RS='<' "$2"
}

observe() {
    can_unpack
    prepare
    show_os
    section_kept installed installed
    [ -s "$WORK/installed" ] || finish "$OTHER"
    if [ -r "$MARKS" ]; then show_file automatic "$MARKS"; else section automatic :; fi
    section multiversion multiversion
    listed
    section machine machine
    section metadata metadata
    # Without a lock zypper need not be asked.
    if [ -s "$LOCKS" ]; then asked held locks --solvables; else section held :; fi
    asked updates list-updates --all
    updates_of package "$WORK/updates" >"$WORK/names"
    asked patches list-patches
    explain successors successors
    : >"$WORK/coming"
    [ ! -s "$WORK/out" ] || awk -F '\t' -v OFS='\t' '$1 == "to-install" { print $2, $3, $4 }' "$WORK/out" >"$WORK/coming"
    explain obsoleters obsoleters
    if [ -s "$WORK/out" ]; then
        cat "$WORK/out" >>"$WORK/coming"
        section vendors owners
    fi
    if [ -s "$WORK/names" ]; then
        section_kept versions versions
        must_be_answered versions
        awk -v OFS='\t' "$AWK_ELEMENT"'is("solvable") { print attribute("name"), attribute("arch"), attribute("edition") }' \
            RS='<' "$WORK/versions" >"$WORK/keys"
    fi
    if [ -s "$WORK/names" ] || [ -s "$WORK/coming" ]; then
        : >>"$WORK/keys"
        [ ! -s "$WORK/coming" ] || cat "$WORK/coming" >>"$WORK/keys"
        section available records
        updates_of patch "$WORK/patches" >"$WORK/ids"
        section advisories advisories
    fi
    explain dependencies kept_dependencies_of_rpms "$WATCHED"
    section locks locks
    section filesystems filesystems
    section reboot reboot_needed
    [ -n "$ROOT" ] || section needs-rebooting ask needs-rebooting
    section clock clock
    finish "$OK"
}

# --- what may not move -------------------------------------------------------------------------------------

# zypper's locks know names, no architectures: a name is locked in all of them.
lock() { # TYPE NAME [VERSIONS]
    printf '\ntype: %s\nmatch_type: exact\ncase_sensitive: on\n' "$1"
    [ -z "${3:-}" ] || printf 'version: %s\n' "$3"
    printf 'solvable_name: %s\n\n' "$2"
}

# A lock on a package that is not installed keeps it out, so that --exclude is for installed ones alone.
limits() {
    if [ -z "$EXCLUDE$BLOCK$CHOOSE$ONLY" ] && [ ! -s "$WORK/culprits" ]; then
        [ ! -e "$WORK/locks" ] || rm -f "$WORK/locks"
        return
    fi
    lines_of "$EXCLUDE" | sed 's/:.*//' | awk -F '\t' 'FILENAME == ARGV[1] { have[$1]; next }
        $1 in have && !seen[$1]++ { print $1 }' "$WORK/installed" - >"$WORK/stay"
    lines_of "$BLOCK" | sed 's/:.*//; /^$/d' >>"$WORK/stay"
    if [ ! -s "$WORK/stay" ] && [ -z "$CHOOSE$ONLY" ] && [ ! -s "$WORK/culprits" ]; then
        rm -f "$WORK/locks"
        return
    fi
    {
        [ ! -r "$LOCKS" ] || cat "$LOCKS"
        while read -r name; do lock package "$name"; done <"$WORK/stay"
        # All above the chosen version stays out.
        lines_of "$CHOOSE,$ONLY" | sed '/^$/d' | while read -r choice; do
            name=${choice%%=*}
            lock package "${name%%:*}" "> ${choice#*=}"
        done
        [ ! -e "$WORK/culprits" ] || while read -r kind name; do lock "$kind" "$name"; done <"$WORK/culprits"
    } >"$WORK/locks"
}

relimit() {
    limits
    configuration
}

# --- dry-run -----------------------------------------------------------------------------------------------

# NAME, NAME:ARCH or either with =VERSION, one a line, as zypper takes them.
as_zypper_writes() {
    sed -n 's/^\([^:=]*\):\([^:=]*\)\(=.*\)\{0,1\}$/\1.\2\3/p; /^[^:]*\(=.*\)\{0,1\}$/p'
}

# Every chosen version must be on offer, else nothing is resolved: never the newest instead.
choices_exist() {
    [ -n "$CHOOSE$ONLY" ] || return 0
    lines_of "$CHOOSE,$ONLY" | sed '/^$/d' | sort -u >"$WORK/choices"
    sed 's/[:=].*//' "$WORK/choices" >"$WORK/names"
    offered
    awk "$AWK_ELEMENT"'FILENAME == ARGV[2] {
            if (!is("solvable")) next
            have[attribute("name") "=" attribute("edition")]
            have[attribute("name") ":" attribute("arch") "=" attribute("edition")]
            next }
        !($0 in have)' RS='<' "$WORK/offered" RS='\n' "$WORK/choices" >"$WORK/gone"
    [ ! -s "$WORK/gone" ]
}

# What the sources offer of the packages named in $WORK/names, for the script itself: $WORK/offered.
offered() {
    versions >"$WORK/offered" 2>"$WORK/err" </dev/null
    code=$?
    sure
    must_be_answered offered
}

# What --security asks for: each needed patch of that category, but for those that were left out.
security_patches() {
    awk "$AWK_ELEMENT"'FILENAME == ARGV[1] { left_out[$0]; next }
        is("update") && attribute("kind") == "patch" && attribute("status") == "needed" &&
            attribute("category") == "security" && !(("patch " attribute("name")) in left_out) {
            print "patch:" attribute("name") }' "$WORK/culprits" RS='<' "$WORK/patches"
}

# What --security leaves to every source: the version that an update would take, and what would take the place of
# another and is not there. Of what no update would take, such as another vendor's, naming it would bring it all the same.
included() {
    lines_of "$INCLUDE" | sed '/^$/d' >"$WORK/including"
    [ -s "$WORK/including" ] || return 0
    awk "$AWK_ELEMENT"'FILENAME == ARGV[1] { wanted[$0]; next }
        is("update") && attribute("kind") == "package" {
            name = attribute("name"); arch = attribute("arch")
            if ((name in wanted) || (name ":" arch) in wanted) print name "." arch "=" attribute("edition")
        }' "$WORK/including" RS='<' "$WORK/updates"
    awk -F '\t' 'FILENAME == ARGV[1] { have[$1]; next } FILENAME == ARGV[2] { left_out[$0]; next }
        { name = $0; sub(/:.*/, "", name); if (!(name in have) && !(("package " name) in left_out)) print }' \
        "$WORK/installed" "$WORK/culprits" "$WORK/including" | as_zypper_writes
}

resolve() {
    if [ -n "$ONLY" ]; then
        # What is only recommended is no reason why something cannot be installed.
        # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
        propose install --no-recommends --oldpackage $(printf '%s\n' "$ONLY" | as_zypper_writes) $(cat "$WORK/going")
    elif [ -n "$TOGETHER" ]; then
        # shellcheck disable=SC2046 # as above
        set -- $(security_patches) $(included)
        if [ $# -eq 0 ]; then
            # All of it was left out, which zypper cannot be asked.
            echo '<stream/>'
            return
        fi
        propose install --no-recommends "$@"
    elif [ -n "$SECURITY" ]; then
        propose patch --category security --with-interactive
    elif [ -n "$FULL" ]; then
        # What was installed from a source that is left out stays as it is, though another has an older version.
        propose dist-upgrade ${WITHOUT:+--no-allow-downgrade --no-allow-vendor-change}
    else
        propose update
    fi
}

attempt() {
    resolve >"$WORK/answer" 2>"$WORK/err" </dev/null
    code=$?
    must_have_space
}

# The answer without its markup, each problem in one line: newer ones number them, and the newest list what one is made of.
plainly() {
    sed "s/<[^>]*>//g; s/&lt;/</g; s/&gt;/>/g; s/&apos;/'/g; s/&amp;/\&/g" "$WORK/answer" | awk '
        sub(/Problem: ([0-9]+: )?/, "Problem: ") { listed = /Problem: Detailed information: *$/; if (listed) next }
        listed && sub(/^- /, "") { if (!/^conflicting requests/) print "Problem: " $0; next }
        { listed = 0; print }'
}

# Who stands in the way, where leaving it out lets the rest go on: patches that zypper says need not be installed,
# packages that it would keep as they are, and what is included beside patches and is not there.
find_culprits() {
    plainly | awk -F '\t' '
        FILENAME == ARGV[1] { if ($1 == "patch") patch[$2 "-" $3 "." $4] = $2; next }
        FILENAME == ARGV[2] { version = $3; sub(/^[0-9]*:/, "", version); package[$1 "-" $3 "." $2] = package[$1 "-" version "." $2] = $1; have[$1]; next }
        FILENAME == ARGV[3] { sub(/:.*/, ""); included[$0]; next }
        /do not install patch:/ || /Problem: (the to be installed )?patch:/ {
            name = $0; sub(/.*patch:/, "", name); sub(/[ <].*/, "", name)
            if (name in patch) print "patch " patch[name]
        }
        /keep obsolete / { name = $0; sub(/.*keep obsolete /, "", name); sub(/[ <].*/, "", name)
            if (name in package) print "package " package[name]
        }
        /do not install / { name = $0; sub(/.*do not install /, "", name); sub(/[ <].*/, "", name); sub(/-[^-]+-[^-]+$/, "", name)
            if ((name in included) && !(name in have)) print "package " name
        }' "$WORK/patch-names" "$WORK/installed" "$WORK/including" - | sort -u >"$WORK/found"
    sort -u "$WORK/culprits" "$WORK/found" >"$WORK/all"
    if cmp -s "$WORK/all" "$WORK/culprits"; then return 1; fi
    mv "$WORK/all" "$WORK/culprits"
}

# One lock would freeze everything: zypper (exit 4) then does nothing at all. Ask again without what it freezes.
settle() {
    attempt
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12; do
        [ "$code" -eq 4 ] || return 0
        if [ -n "$ONLY" ]; then
            find_going || return 0
        elif [ -n "$SECURITY$FULL" ]; then
            plainly | grep -E "$SAYS_PROBLEM" | sed 's/^ *//' >>"$WORK/problems"
            find_culprits || return 0
            relimit
        else
            return 0
        fi
        attempt
    done
}

# zypper names all that stand in one another's way. Whoever can go on without the others does: what stays out is no more
# than must. Of many only some are tried, since each costs a run of the solver, and the answer has its time.
readmit() {
    [ "$code" -ne 4 ] && [ -s "$WORK/culprits" ] && [ "$(wc -l <"$WORK/culprits")" -gt 1 ] || return 0
    # Patches first: what is merely included gives way to them.
    sort -r "$WORK/culprits" | head -n 24 >"$WORK/suspects"
    must_have_space
    while read -r suspect; do
        cp "$WORK/culprits" "$WORK/guilty"
        awk -v suspect="$suspect" '$0 != suspect' "$WORK/guilty" >"$WORK/culprits"
        relimit
        attempt
        [ "$code" -ne 4 ] || cp "$WORK/guilty" "$WORK/culprits"
    done <"$WORK/suspects"
    relimit
    attempt
}

# What a version alone could only come without, where zypper offers that.
find_going() {
    awk -F '\t' 'FILENAME == ARGV[1] { version = $3; sub(/^[0-9]*:/, "", version)
            package[$1 "-" $3 "." $2] = package[$1 "-" version "." $2] = "!" $1 "." $2; next }
        /deinstallation of / { name = $0; sub(/.*deinstallation of /, "", name); sub(/[ <].*/, "", name)
            if (name in package) print package[name] }' "$WORK/installed" "$WORK/answer" | sort -u | cat - "$WORK/going" | sort -u >"$WORK/more"
    if cmp -s "$WORK/more" "$WORK/going"; then return 1; fi
    # The very first question, without removals, is the one whose problems tell why.
    [ -e "$WORK/why" ] || cp "$WORK/answer" "$WORK/why"
    mv "$WORK/more" "$WORK/going"
}

# Print what an attempt said as a section; its code stays in $code.
show_answer() { # NAME
    sure
    OUT=$WORK/answer
    tell "$1"
    OUT=$WORK/out
    sure
}

# zypper's complaints stand in its XML: tell them in its words.
complain() { # CODE
    words=$(awk 'BEGIN { RS = "<" } /^message type="(error|warning)"/ { sub(/^[^>]*>/, ""); gsub(/[ \n]+/, " "); print }' "$WORK/answer" |
        sed 's/&lt;/</g; s/&gt;/>/g; s/&apos;/'"'"'/g; s/&quot;/"/g; s/&amp;/\&/g' |
        awk 'NF && !seen[$0]++ && n++ < 5' | in_one_line)
    [ -n "$words" ] || words="zypper ended with $code"
    refused "$words" "$1"
}

unresolved() {
    case $code in
        4) finish "$UNRESOLVED" ;;
        7) complain "$LOCKED" ;;
        104) complain "$GONE" ;;
    esac
    complain "$OTHER"
}

# Where a patch stays out because of a lock, the packages that it would have moved.
left_out() {
    cat "$WORK/culprits"
    [ ! -e "$WORK/problems" ] || sort -u "$WORK/problems"
}

read_state() {
    can_unpack
    prepare
    section_kept installed installed
    [ -s "$WORK/installed" ] || finish "$OTHER"
    listed
    never_read "$WORK/repos" >"$WORK/unread"
    [ ! -s "$WORK/unread" ] || refused "no metadata of $(paste -s -d , "$WORK/unread"): refresh first" "$STALE"
    : >"$WORK/culprits"
    : >"$WORK/going"
    : >"$WORK/including"
}

read_patches() {
    asked patches list-patches
    awk -v OFS='\t' "$AWK_ELEMENT"'is("update") {
        print attribute("kind"), attribute("name"), attribute("edition"), attribute("arch") }' \
        RS='<' "$WORK/patches" >"$WORK/patch-names"
    [ -z "$INCLUDE" ] || asked updates list-updates
}

dry_run() {
    [ -z "$UNUSED" ] || tell_unused
    [ -z "$GOING" ] || tell_going
    read_state
    choices_exist || refused "no longer available:$(each_in "$WORK/gone")" "$GONE"
    TOGETHER=
    : >"$WORK/patch-names"
    relimit
    if [ -n "$SECURITY" ] && [ -z "$ONLY" ]; then
        read_patches
        [ -z "$INCLUDE" ] || TOGETHER=1
        [ -z "$TOGETHER" ] || [ -n "$(security_patches)$(included)" ] || finish "$NOTHING"
    fi
    settle
    readmit
    if [ "$code" -eq 103 ]; then
        # The update stack first, says zypper, and then again: what one plan can name is asked for at once.
        show_answer update-stack
        TOGETHER=1
        settle
        readmit
    fi
    [ ! -e "$WORK/locks" ] || { last=$code && show_file limits "$WORK/locks" && code=$last; }
    show_answer resolve
    ! [ -s "$WORK/culprits" ] || { last=$code && section left-out left_out && code=$last; }
    [ ! -e "$WORK/why" ] || { last=$code && show_file why "$WORK/why" && code=$last; }
    ! skipped || complain "$STALE"
    case $code in 0 | 100 | 101 | 102 | 103) ;; *) unresolved ;; esac
    summary >"$WORK/moves"
    [ -s "$WORK/moves" ] || finish "$NOTHING"
    cut -f 2-4 "$WORK/moves" >"$WORK/keys"
    section available records
    [ -z "$ONLY" ] || section vendors vendors
    finish "$OK"
}

# --- what nothing needs any more ----------------------------------------------------------------------------

# Of what is installed, whatever the sources are and in whatever state.
only_what_is_installed() {
    prepare
    section machine machine
    section_kept installed installed
    [ -s "$WORK/installed" ] || finish "$OTHER"
    mkdir "$WORK/no-repos"
    LISTED=$WORK/no-repos
}

# Ask what would go, in rows of name, architecture and version; end where there is no answer.
would_go() { # ARGUMENT...
    ask "$@" >"$WORK/answer" 2>"$WORK/err" </dev/null
    code=$?
    must_have_space
    [ "$code" -ne 4 ] || refused "$(problems)" "$UNRESOLVED"
    if [ "$code" -eq 7 ]; then complain "$LOCKED"; fi
    answered "$code" || complain "$OTHER"
    summary >"$WORK/moves"
    sure
}

# Read such rows, and leave out the running kernel, which zypper spares where it is told to. It calls itself by the version
# and release of its package, without the last number of that, and what it is made for. In another root there is none.
without_running() {
    [ -z "$ROOT" ] || {
        cat
        return
    }
    running=$(must uname -r)
    case ${running#*-} in *-*) running=${running%-*} ;; esac
    awk -F '\t' -v running="$running" '$3 != running && index($3, running ".") != 1'
}

# zypper's own rule, which is that of the operator: multiversion.kernels. Without one no kernel is old.
old_kernels() {
    would_go purge-kernels --dry-run
    awk -F '\t' -v OFS='\t' '$1 == "to-remove" { print $2, $3, $4 }' "$WORK/moves" | without_running >"$WORK/old"
}

# zypper lists what nothing at all needs, in a table without a form. What only such packages need goes with them.
unneeded() {
    : >"$WORK/unneeded"
    # What is locked is unused as well.
    : >"$WORK/locks"
    configuration
    would_go packages --unneeded
    awk -F ' *[|] *' 'FILENAME == ARGV[1] { split($0, row, "\t"); there[row[1], row[2], row[3]]; next }
        NF > 4 && (($(NF - 2), $NF, $(NF - 1)) in there) && !seen[$0]++ { print $(NF - 2) "." $NF "=" $(NF - 1) }' \
        "$WORK/installed" "$WORK/answer" >"$WORK/tops"
    [ -s "$WORK/tops" ] || return 0
    # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
    would_go remove --dry-run --clean-deps $(cat "$WORK/tops")
    multiversion >"$WORK/many"
    awk -F '\t' -v OFS='\t' 'FILENAME == ARGV[1] { many[$0]; next }
        $1 == "to-remove" && !($2 in many) { print $2, $3, $4 }' "$WORK/many" "$WORK/moves" >"$WORK/unneeded"
}

unused() {
    sed 's/$/	kernel/' "$WORK/old"
    sed 's/$/	package/' "$WORK/unneeded"
}

tell_unused() {
    only_what_is_installed
    old_kernels
    unneeded
    question unused unused
    [ -s "$WORK/out" ] || finish "$NOTHING"
    finish "$OK"
}

# What the removal of these would do, of all of them or none.
tell_going() {
    only_what_is_installed
    : >"$WORK/gone"
    printf '%s' "$GOING" | awk -F '\t' -v OFS='\t' -v gone="$WORK/gone" '
        FILENAME == ARGV[1] { row[$1 ":" $2 "=" $3] = $1 OFS $2 OFS "-" $3; next }
        $0 in row { print row[$0]; next }
        { print >gone }' "$WORK/installed" - >"$WORK/todo"
    [ ! -s "$WORK/gone" ] || refused "not installed any more:$(each_in "$WORK/gone")" "$GONE"
    relimit
    # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
    would_go remove --dry-run --no-clean-deps $(printf '%s' "$GOING" | as_zypper_writes)
    code=0
    show_answer resolve
    differences | grep '^it would not' >"$WORK/differences"
    [ ! -s "$WORK/differences" ] || refused "$(in_one_line <"$WORK/differences")" "$UNRESOLVED"
    finish "$OK"
}

# --- refresh -----------------------------------------------------------------------------------------------

refresh() {
    if [ -n "$RATE" ]; then
        reach_into_root
        configuration
    fi
    section refresh listing refresh
    cat "$WORK/out" >"$WORK/answer"
    ended=$(refreshed)
    # What it leaves out it calls by a name, of which only its list tells the alias.
    ! skipped || section repos listing --no-refresh repos
    finish "$ended"
}

listing() ( # ARGUMENT...
    if [ -n "$RATE" ]; then
        ZYPP_CONF=$CONF
        export ZYPP_CONF
    fi
    run zypper ${ROOT:+--root "$ROOT"} --xmlout --non-interactive "$@"
)

refreshed() {
    case $code in
        0 | 6) if [ "$code" -eq 6 ] || ! skipped; then echo "$OK" && return; fi ;;
        7) echo "$LOCKED" && return ;;
    esac
    if says "$SAYS_DENIED"; then
        echo "$OTHER"
    elif says "$SAYS_METADATA_NO_SPACE"; then
        echo "$NO_SPACE"
    elif says "$SAYS_METADATA_UNTRUSTED"; then
        echo "$UNTRUSTED"
    elif skipped || [ "$code" -eq 4 ]; then
        echo "$STALE"
    else
        echo "$OTHER"
    fi
}

# --- download, apply ---------------------------------------------------------------------------------------

# Of the named changes those that are not made yet: name, architecture, version. Of a removal that is "-", and the version
# behind it where one is named.
left_to_do() {
    printf '%s' "$GOING_VERSIONS" | sed 's/ /=-/' >"$WORK/versioned"
    { lines_of "$INSTALL" && lines_of "$REMOVE" | without_version && cat "$WORK/versioned"; } | awk -F '\t' -v OFS='\t' '
        FILENAME == ARGV[1] { have[$1 "\t" $2]; have[$1 "\t" $3]; have[$1 "\t" $2 "\t-" $3]; next }
        /./ {
            name = $0; version = "-"
            if ((i = index($0, "=")) > 0) { name = substr($0, 1, i - 1); version = substr($0, i + 1) }
            i = index(name, ":"); arch = substr(name, i + 1); name = substr(name, 1, i - 1)
            goes = version == "-" ? (name "\t" arch) in have : (name "\t" arch "\t" version) in have
            if (version ~ /^-/ ? goes : !((name "\t" version) in have)) print name, arch, version
        }' "$WORK/installed" -
}

# Of what is to go what is named without its version.
without_version() {
    awk 'FILENAME == ARGV[1] { sub(/=.*/, ""); versioned[$0]; next } !($0 in versioned)' "$WORK/versioned" -
}

# As zypper takes them; where a version is of another architecture than the installed package, without one.
targets() {
    awk -F '\t' -v lost="$WORK/lost" 'FILENAME == ARGV[1] { offered[$1 "\t" $3]; exact[$0]; next }
        $3 ~ /^-/ { print "!" $1 "." $2 ($3 == "-" ? "" : "=" substr($3, 2)); next }
        ($1 "\t" $2 "\t" $3) in exact { print $1 "." $2 "=" $3; next }
        ($1 "\t" $3) in offered { print $1 "=" $3; next }
        { print $1 "\t" $2 "\t" $3 >lost }' "$WORK/offers" "$WORK/todo"
}

# Of several versions of one name zypper takes one, unless they are named by what they provide.
find_beside() {
    BESIDE=$(awk -F '\t' '$3 !~ /^-/ && seen[$1, $2]++ { print $1 }' "$WORK/todo")
    sure
}

# $TARGETS is what was asked about, also when it is made.
transaction() { # OPTION...
    # shellcheck disable=SC2086 # one argument per package is wanted, and none holds blanks
    set -- install ${BESIDE:+--capability} --no-recommends --oldpackage --auto-agree-with-licenses "$@" $TARGETS
    # A file has no repository whose metadata are signed instead of it.
    [ ! -s "$WORK/files" ] || { shift && set -- install --allow-unsigned-rpm "$@"; }
    "$how" "$@"
}

# What differs between the resolver's transaction and the named one.
differences() {
    awk -F '\t' 'FILENAME == ARGV[1] { want[$1 "\t" $2 "\t" $3]; next }
        {
            version = $1 == "to-remove" ? "-" : $4
            key = $2 "\t" $3 "\t" version
            if (version == "-" && (key $4) in want) { delete want[key $4]; next }
            before = $2 "\t" $5 "\t" version
            # Where a package takes the place of its other architecture, that is one row.
            if ($1 != "to-remove" && $5 != $3) delete want[$2 "\t" $5 "\t-"]
            if (key in want) delete want[key]
            else if (before in want) delete want[before]
            else if (version == "-") print "it would also remove " $2
            else print "it would also install " $2 " " version
        }
        END { for (key in want) { split(key, part, "\t")
            print "it would not " (part[3] ~ /^-/ ? "remove " part[1] : "install " part[1] " " part[3]) } }' "$WORK/todo" "$WORK/moves" | sort
}

# Patches that need a reboot and are not installed: one that is gone from here after an apply has come with it.
restarting() {
    ask list-patches 2>/dev/null </dev/null >"$WORK/patches"
    answered $? || fault 1 zypper
    awk "$AWK_ELEMENT"'is("update") && attribute("kind") == "patch" && attribute("restart") == "true" { print attribute("name") }' \
        RS='<' "$WORK/patches" | sort
}

resolve_named() {
    cut -f 1 "$WORK/todo" | sort -u >"$WORK/names"
    offered
    # What is installed is listed too, and is no offer.
    awk -v OFS='\t' "$AWK_ELEMENT"'is("solvable") && attribute("repository") != "(System Packages)" {
        print attribute("name"), attribute("arch"), attribute("edition") }' RS='<' "$WORK/offered" >"$WORK/offers"
    : >"$WORK/lost"
    targets >"$WORK/targets"
    # Versions that no repository offers any more come from what was kept.
    kept_rpms "$WORK/lost" "$PACKAGES"/* "$PACKAGES"/*/* "$PACKAGES"/*/*/* >"$WORK/files"
    must_be_had
    cut -f 4 "$WORK/files" >>"$WORK/targets"
    TARGETS=$(cat "$WORK/targets")
    find_beside
    how=ask
    transaction --dry-run >"$WORK/answer" 2>"$WORK/err" </dev/null
    code=$?
    must_have_space
    show_answer resolve
    ! skipped || complain "$STALE"
    case $code in
        0 | 102 | 103) ;;
        4) refused "$(problems)" "$UNRESOLVED" ;;
        *) unresolved ;;
    esac
    summary >"$WORK/moves"
    differences >"$WORK/differences"
    [ ! -s "$WORK/differences" ] || refused "$(in_one_line <"$WORK/differences")" "$UNRESOLVED"
}

# What the solver cannot solve, and the locks that it would have to ignore.
problems() {
    plainly | awk '
        function tell(words) { if (seen[words]++) return; printf "%s%s", separator, words; separator = "; " }
        /Problem: / { sub(/.*Problem: /, ""); tell($0) }
        /remove lock to allow / { sub(/.*remove lock to allow [a-z]+ of /, ""); tell("there is a lock on " $0) }'
}

# Both verbs go the same way, as far as they go.
download() { apply; }

apply() {
    read_state
    relimit
    duplicates >"$WORK/duplicates"
    [ ! -s "$WORK/duplicates" ] || refused "interrupted earlier: $(awk -F '\t' '{ printf "%s%s (%s and %s at once)", separator, $1, $3, $4; separator = ", " }' "$WORK/duplicates")" "$INTERRUPTED"
    left_to_do >"$WORK/todo"
    if [ ! -s "$WORK/todo" ]; then
        mark
        finish "$NOTHING"
    fi
    resolve_named
    how=really
    if [ "$VERB" = --download ]; then
        act download transaction --download-only
    else
        restarting >"$WORK/before"
        make_room_for_kept
        unmark
        WATCHED=
        act apply transaction --download-in-advance
    fi
    ended=$code
    [ "$VERB" = --download ] || keep_what_came
    keep_said
    [ "$VERB" = --download ] || mark
    if spoke "$SAYS_NOT_BEGUN"; then
        in_rpms_words >"$WORK/conflicts"
        refused_by_rpm "$WORK/conflicts" >"$WORK/named"
        not_begun "$WORK/named"
        cp "$WORK/failed" "$WORK/failures"
    else
        section failed failed
        keep failures
    fi
    [ "$VERB" = --download ] || section conffiles conffiles
    judge
}

# For the way back: what was installed, from zypper's cache, or from repositories that are folders of this machine.
keep_what_came() {
    keeps || return 0
    awk -F '\t' '$3 !~ /^-/ { sub(/^[0-9]*:/, "", $3); print $1 "-" $3 "." $2 ".rpm" }' "$WORK/todo" >"$WORK/names"
    {
        printf '%s\n' "$PACKAGES"
        awk 'BEGIN { RS = "<" } /^url>(file|dir):/ { sub(/^url>[a-z]*:/, ""); sub(/^\/\//, ""); sub(/[?\n].*/, ""); print }' "$WORK/repos"
    } | while IFS= read -r folder; do
        [ ! -d "$folder" ] || find "$folder" -type f -name '*.rpm'
    done | awk 'FILENAME == ARGV[1] { came[$0]; next }
        { name = $0; sub(/.*\//, "", name) } name in came { print $0 "\t" name }' "$WORK/names" - >"$WORK/coming"
    cut -f 4 "$WORK/files" | awk '{ name = $0; sub(/.*\//, "", name); print $0 "\t" name }' >>"$WORK/coming"
    keep_packages "$PACKAGES" <"$WORK/coming"
}

make_room_for_kept() {
    {
        cut -f 4 "$WORK/files" | sed 's/.*[/]/!/'
        awk -F '\t' '{ sub(/^[0-9]*:/, "", $3); print $1 "-" $3 "." $2 ".rpm" }' "$WORK/installed"
    } | bound_kept
}

# Packages whose scripts or unpacking failed, in the words of rpm, where it says more than that it failed.
failed() {
    awk 'function named(text) { sub(/\.[^.]*$/, "", text); sub(/-[^-]*-[^-]*$/, "", text); return text }
        function tell(name, words, worth) {
            gsub(/\t/, " ", words); sub(/^ +/, "", words)
            if (!(name in told)) order[++n] = name
            if (worth > value[name]) { told[name] = words; value[name] = worth }
        }
        /^ *(error|warning):.*(fail|error)/ && match($0, /%[a-z]+\([^()]+\)/) {
            name = substr($0, RSTART, RLENGTH - 1); sub(/^[^(]*\(/, "", name); tell(named(name), $0, 3); next }
        /^ *error: unpacking of archive failed/ { unpacking = $0 }
        /^ *error: [^ ]+: (install|erase) failed/ {
            name = $2; sub(/:$/, "", name)
            if (unpacking == "") tell(named(name), $0, 2); else tell(named(name), unpacking, 3)
            unpacking = "" }
        /^(Installation|Removal) of [^ ]+ failed/ { name = $3; sub(/^\([0-9]*\)/, "", name); tell(named(name), $0, 1) }
        END { for (i = 1; i <= n; i++) print order[i] "\t" told[order[i]] }' "$WORK/said"
}

# What was said, and what libzypp says of conflicting files over several lines as rpm says it.
in_rpms_words() {
    cat "$WORK/said"
    awk '/^File \// { file = $0; sub(/^File /, "file ", file); sub(/ +$/, "", file); n = 0; next }
        /^ +(conflicts with file )?from (install of|package) *$/ { kind = /package/ ? "package" : "install"; next }
        kind != "" && file != "" {
            n++; who[n] = $1; is[n] = kind; kind = ""
            if (n < 2) next
            if (is[1] == is[2]) print file " conflicts between attempted installs of " who[1] " and " who[2]
            else if (is[1] == "install") print file " from install of " who[1] " conflicts with file from package " who[2]
            else print file " from install of " who[2] " conflicts with file from package " who[1]
            file = "" }' "$WORK/said"
}

# rpm says which file it made because of a local change. In another root, paths are those inside.
conffiles() {
    sed -n 's/.*warning: .* \(created\|saved\) as \(\/.*\.rpm\(new\|save\|orig\)\)$/\2/p' "$WORK/said" | sort -u |
        while IFS= read -r made; do
            file=${made%.rpmnew}
            # Both of one file system, so that there is always one of them under its name.
            if [ "$CONFFILES" = new ] && [ "$file" != "$made" ] &&
                cp -Pp "$ROOT$file" "$ROOT$file.rpmsave" && mv "$ROOT$made" "$ROOT$file"; then
                made=$file.rpmsave
            fi
            printf '%s\n' "$made"
        done
}

# Of what zypper said while it fetched each for itself, whose files it could not have, and why, for "not_fetched".
unfetched() {
    awk -v says="$SAYS_NOT_FETCHED|$SAYS_NOT_WHOLE" "$AWK_TAKE"'
        function told() { if (who != "" && words != "") print who "\t" words; who = words = "" }
        { gsub(/\t/, " "); sub(/^ +/, ""); sub(/ +$/, "") }
        /^Retrieving:? / {
            told(); split($0, word, " "); one = word[2] == "package" ? word[3] : word[2]
            if (one !~ /\.rpm$/ && take(one)) who = name ":" arch
            next }
        words == "" && $0 ~ says { words = $0; next }
        words ~ /:$/ && /^Error (code|message): / { words = words " " $0 ($0 ~ /^Error code/ ? ":" : "") }
        END { told() }' "$WORK/said"
}

fetch_each() { # FILE-OF-TARGETS
    # shellcheck disable=SC2046 # one argument per package is wanted, and none holds blanks
    really download $(cat "$1")
}

# zypper gives up with the first file that it cannot have. So each is fetched by itself: what of the named is not to be
# had, as rows for "not_fetched" in $WORK/lacked, and what of the rest is there, in $had.
find_unfetched() {
    had=''
    unfetched >"$WORK/lacked"
    if grep -qE "$SAYS_NO_ANSWER" "$WORK/lacked"; then
        # Where nobody answers for another one, either, it is no matter of this file or that, and each would take its time.
        tail -n 1 "$WORK/coming-targets" >"$WORK/another"
        act fetch-another fetch_each "$WORK/another"
        keep_said
        unfetched >"$WORK/lacked"
        [ ! -s "$WORK/lacked" ] || return 0
    fi
    act fetch fetch_each "$WORK/coming-targets"
    keep_said
    unfetched >"$WORK/lacked"
    [ "$(awk -F '\t' '!seen[$1]++ { n++ } END { print n + 0 }' "$WORK/lacked")" -ge "$to_come" ] || had=all
}

tell_unfetched() {
    grep -v '^[!/]' "$WORK/targets" >"$WORK/coming-targets"
    to_come=$(awk 'END { print NR }' "$WORK/coming-targets")
    must_have_space
    [ "$to_come" -gt 0 ] || return 0
    cp "$WORK/said" "$WORK/said-first"
    find_unfetched
    mv "$WORK/said-first" "$WORK/said"
    not_fetched "$WORK/lacked" "$to_come" "$had"
}

ended_with() { # CODE PATTERN: end, with the words of zypper that the pattern finds
    words=$(grep -E "$2" "$WORK/said" | awk '!seen[$0]++ && n++ < 5' | in_one_line)
    [ -z "$words" ] || refused "$words" "$1"
    finish "$1"
}

judge() {
    case $ended in
        7) ended_with "$LOCKED" "$SAYS_LOCKED" ;;
        4) ended_with "$UNRESOLVED" "$SAYS_PROBLEM" ;;
        104) finish "$GONE" ;;
        107) finish "$SCRIPT_FAILED" ;;
        129 | 13[0-9] | 143) finish "$INTERRUPTED" ;;
        0 | 102 | 103 | 106)
            [ ! -s "$WORK/failures" ] || finish "$SCRIPT_FAILED"
            [ "$VERB" = --apply ] || finish "$OK"
            restarting >"$WORK/after"
            if [ "$ended" -eq 102 ] || [ -n "$(comm -23 "$WORK/before" "$WORK/after")" ]; then
                [ ! -d "$ROOT/run" ] || : >"$REBOOTING"
                finish "$REBOOT"
            fi
            finish "$OK"
            ;;
    esac
    if spoke "$SAYS_NO_SPACE"; then ended_with "$NO_SPACE" "$SAYS_NO_SPACE"; fi
    if spoke "$SAYS_NOT_BEGUN"; then finish "$NOT_BEGUN"; fi
    [ ! -s "$WORK/failures" ] || finish "$SCRIPT_FAILED"
    if spoke "$SAYS_NOT_FETCHED|$SAYS_NOT_WHOLE"; then tell_unfetched; fi
    if spoke "$SAYS_UNTRUSTED"; then ended_with "$UNTRUSTED" "$SAYS_UNTRUSTED"; fi
    if spoke "$SAYS_NOT_FETCHED"; then ended_with "$STALE" "$SAYS_NOT_FETCHED"; fi
    finish "$OTHER"
}

# Naming a version takes a package out of zypper's list of those that are installed only for others.
mark() {
    [ -n "$AUTOMATIC" ] || return 0
    section marks set_marks
}

# Of what --automatic names what is there, and not marked.
not_marked() {
    lines_of "$AUTOMATIC" | awk -F '\t' 'FILENAME == ARGV[1] { have[$1 ":" $2]; have[$1]; next }
        FILENAME == ARGV[2] { marked[$0]; next }
        { name = $1; sub(/:.*/, "", name) }
        $1 in have && !(name in marked) && !seen[name]++ { print name }' "$WORK/now" "$WORK/marks" -
}

set_marks() {
    installed >"$WORK/now"
    marks >"$WORK/marks"
    not_marked >"$WORK/more"
    cat "$WORK/more"
    [ -s "$WORK/more" ] || return 0
    ! trouble || return 1
    mkdir -p "${MARKS%/*}"
    if [ -e "$MARKS" ]; then cp -p "$MARKS" "$MARKS.new"; else : >"$MARKS.new"; fi &&
        cat "$WORK/marks" "$WORK/more" >"$MARKS.new" && mv "$MARKS.new" "$MARKS"
}

# --- repair ------------------------------------------------------------------------------------------------

# Older instances beside the one that was installed last, where only one may be: name, architecture, older and newer version.
duplicates() {
    installed >"$WORK/now"
    multiversion >"$WORK/many"
    awk -F '\t' 'FILENAME == ARGV[1] { many[$0]; next }
        $1 in many { next }
        {
            key = $1 "\t" $2
            if (!(key in last) || $6 + 0 > instance[key]) { if (key in last) older[++n] = key "\t" last[key]; last[key] = $3; instance[key] = $6 + 0 }
            else older[++n] = key "\t" $3
        }
        END { for (i = 1; i <= n; i++) { split(older[i], part, "\t"); print older[i] "\t" last[part[1] "\t" part[2]] } }' "$WORK/many" "$WORK/now"
}

# Verify what came last of every package that is there twice; what lacks files is in $WORK/incomplete.
verify() {
    cut -f 1,2,4 "$WORK/duplicates" | sort -u >"$WORK/came"
    while IFS=$TAB read -r name arch new; do
        # With 1 it says that something differs.
        rpm_ may -V --nodeps --noscripts "$name-$new.$arch" >"$WORK/verified" 2>/dev/null </dev/null
        ! grep -q "$SAYS_MISSING" "$WORK/verified" || printf '%s\n' "$name-$new.$arch"
    done <"$WORK/came" >"$WORK/incomplete"
    sure
}

erase_duplicates() {
    bad=0
    while read -r name arch old new; do
        if grep -qxF "$name-$new.$arch" "$WORK/incomplete"; then
            archive=
            for file in "$PACKAGES"/*/"$name-${new#*:}.$arch.rpm"; do [ ! -r "$file" ] || archive=$file; done
            if [ -z "$archive" ]; then
                printf 'error: files of %s %s are missing, and its package is not at hand\n' "$name" "$new"
                bad=1
                continue
            fi
            rpm_ run -U --nodeps --oldpackage --replacepkgs "$archive" || bad=1
            continue
        fi
        # Its files that the newer one has too stay.
        rpm_ run -e --nodeps "$name-$old.$arch" || bad=1
    done <"$WORK/duplicates"
    return "$bad"
}

# An rpm whose zypper was killed goes on with its package.
wait_for_holder() {
    left=$LOCK_WAIT
    while :; do
        locks >"$WORK/holders"
        [ -s "$WORK/holders" ] || return 0
        [ "$left" -gt 0 ] || refused "locked by $(awk -F '\t' 'NR == 1 { print $3 " (pid " $2 ")" }' "$WORK/holders")" "$LOCKED"
        left=$((left - 1))
        run sleep 1
    done
}

# Where what was begun left packages that do not fit, the rest of it: whether there is such, resolved and to be made.
find_rest() {
    begun_is_unsatisfied || return 1
    read_state
    relimit
    left_to_do >"$WORK/todo"
    [ -s "$WORK/todo" ] || return 1
    resolve_named
    how=really
}

repair() {
    wait_for_holder
    duplicates >"$WORK/duplicates"
    ended='' first=''
    if [ -s "$WORK/duplicates" ]; then
        verify
        act repair erase_duplicates
        ended=$code
        first=$begin_at
    fi
    if [ "${ended:-0}" -eq 0 ] && find_rest; then
        unmark
        WATCHED=
        act "repair${ended:+-rest}" transaction --download-in-advance
        begin_at=${first:-$begin_at}
        ended=$code
    fi
    if [ -z "$ended" ]; then
        mark
        finish "$NOTHING"
    fi
    keep_said
    mark
    section failed failed
    keep failures
    section conffiles conffiles
    duplicates >"$WORK/duplicates"
    [ ! -s "$WORK/duplicates" ] || finish "$INTERRUPTED"
    # rpm 6 ends with 1 where a script fails, also where all is done.
    [ ! -s "$WORK/failures" ] || finish "$SCRIPT_FAILED"
    case $ended in 0 | 102 | 103 | 106 | 107) finish "$OK" ;; esac
    finish "$INTERRUPTED"
}

do_verb
