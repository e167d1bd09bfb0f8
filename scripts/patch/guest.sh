# shellcheck shell=sh
# Goes before all other text of what runs in a guest: where this is not the guest that is meant, it ends with 30 before
# anything is asked or changed. See docs/reference/patch-scripts.md.
#
#     sh -c TEXT NAME --place PID_NAMESPACE ROOT MACHINE_ID ARGUMENT...
#
# PID_NAMESPACE and ROOT (device:inode) are those of the guest's first process, as its hypervisor sees them; MACHINE_ID is
# what the guest had for one before, or "-". It guards against mistakes, in the very shell that acts then: not against a
# guest that lies.

elsewhere() { # WHY
    printf '%s: this is not the guest that is meant: %s\n' "$0" "$1" >&2
    exit 30
}

if [ $# -lt 4 ] || [ "$1" != --place ]; then elsewhere "it was not said which one is"; fi
case $2 in pid:\[[1-9]*\]) ;; *) elsewhere "it was not said where its processes are" ;; esac
case $3 in [0-9]*:[1-9]*) ;; *) elsewhere "it was not said where its root is" ;; esac
case $4 in - | ????????????????????????????????) ;; *) elsewhere "it was not said which machine it is" ;; esac
if [ "$(readlink /proc/self/ns/pid 2>/dev/null)" != "$2" ]; then elsewhere "other processes are here"; fi
if [ "$(stat -c %d:%i / 2>/dev/null)" != "$3" ]; then elsewhere "another root is here"; fi
if [ "$4" != - ]; then
    MACHINE=
    # A file without an end of line is read as well, though read says no.
    { read -r MACHINE || :; } 2>/dev/null </etc/machine-id
    if [ "$MACHINE" != "$4" ]; then elsewhere "another machine is here"; fi
fi
shift 4
unset MACHINE
unset -f elsewhere
