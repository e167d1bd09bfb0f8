"""What apt's patch script decides by itself, in functions that are fed with what apt and dpkg would say."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.managers.shell import call

pytestmark = pytest.mark.lab

NATIVE = "NATIVE=amd64 NL='\n'\n"
INSTALLED = """\
curl\tamd64\t8.0-1\tinstall\tok\tinstalled\t500
libc6\tamd64\t2.36\tinstall\tok\tinstalled\t9000
libc6\ti386\t2.36\tinstall\tok\tinstalled\t9000
tzdata\tall\t2024a\thold\tok\tinstalled\t100
old\tamd64\t1.0\tdeinstall\tok\tconfig-files\t0
half\tamd64\t1.1\tinstall\treinstreq\thalf-installed\t10
raw\tamd64\t1.1\tinstall\tok\tunpacked\t10
going\ti386\t1.0\tdeinstall\tok\thalf-configured\t10
"""
PRESENT = "".join(
    "\t".join(line.split("\t")[:2]) + "\n" for line in INSTALLED.splitlines() if "config-files" not in line
)
POLICY = """\
curl:
  Installed: 8.0-1
  Candidate: 8.1-1
  Version table:
     8.2-1 100
        100 http://backports.example sid/main amd64 Packages
     8.1-1 500
        500 http://security.example bookworm-security/main amd64 Packages
 *** 8.0-1 500
        500 http://main.example bookworm/main amd64 Packages
        100 /var/lib/dpkg/status
libc6:i386:
  Installed: 2.36
  Candidate: 2.37
  Version table:
     2.37 500
        500 http://main.example bookworm/main i386 Packages
 *** 2.36 100
        100 /var/lib/dpkg/status
"""
SECURITY = "http://security.example bookworm-security/main amd64 Packages\n"


def decide(
    tmp_path: Path, shell: tuple[str, ...], body: str, files: Mapping[str, str], stdin: str = ""
) -> list[str]:
    known = {"installed": INSTALLED, "present": PRESENT, "allowed": "", **files}
    return call(tmp_path, shell, "apt", f"{NATIVE}{body}", known, stdin=stdin).splitlines()


SOURCES = """\
Package files:
 100 /var/lib/dpkg/status
     release a=now
 500 http://security.example bookworm-security/main amd64 Packages
     release v=12,o=Debian,a=stable-security,n=bookworm-security,l=Debian-Security,c=main,b=amd64
     origin security.example
 990 http://main.example bookworm/main amd64 Packages
     release v=12,o=Debian,a=stable,n=bookworm,l=Debian,c=main,b=amd64
     origin main.example
 500 http://third.example ./ Packages
     release c=
     origin third.example
  -1 http://off.example ./ Packages
     release o=Off
     origin off.example
Pinned packages:
     curl -> 8.0-1 with priority 990
"""


def described(*fields: str) -> str:
    """Write sources as `apt-cache policy` does, each named by its number."""
    rows = (
        f" 500 http://{number}.example stable/main amd64 Packages\n"
        f"     release {release}\n     origin {number}.example\n"
        for number, release in enumerate(fields)
    )
    return "Package files:\n 100 /var/lib/dpkg/status\n     release a=now\n" + "".join(rows)


def secure(tmp_path: Path, shell: tuple[str, ...], sources: str) -> list[str]:
    return decide(tmp_path, shell, "security_sources", {"sources": sources})


def test_the_security_service_is_known_whatever_else_a_source_says(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    assert secure(tmp_path, shell, SOURCES) == [SECURITY.strip()]


def test_a_value_of_one_field_is_not_taken_for_another_field(tmp_path: Path, shell: tuple[str, ...]) -> None:
    sources = described("o=x,l=Debian-Security,a=stable,l=y", "o=x,n=y-security,a=stable,n=bookworm,l=y")
    assert secure(tmp_path, shell, sources) == []


FIPS = """\
openssl:
  Installed: 3.0.2+fips1
  Candidate: {candidate}
  Version table:
{newest}     3.0.3 {service}
        {service} http://security.example bookworm-security/main amd64 Packages
 *** 3.0.2+fips1 1001
       1001 http://fips.example bookworm/main amd64 Packages
        100 /var/lib/dpkg/status
     3.0.1 500
        500 http://main.example bookworm/main amd64 Packages
"""
NEWEST = "     {0} {1}\n        {1} http://other.example x/main amd64 Packages\n"


@pytest.mark.parametrize(
    ("policy", "choices", "moves"),
    [
        (FIPS.format(candidate="3.0.2+fips1", newest="", service=500), "", []),
        (FIPS.format(candidate="3.0.4", newest=NEWEST.format("3.0.4", 1002), service=500), "", ["openssl"]),
        (
            FIPS.format(candidate="3.0.1", newest="", service=500).replace("3.0.1 500", "3.0.1 1002"),
            "",
            ["openssl"],
        ),
        (
            FIPS.format(candidate="3.0.4", newest=NEWEST.format("3.0.4", 1001), service=1001),
            "",
            ["openssl 3.0.3"],
        ),
        (
            FIPS.format(candidate="3.0.4", newest=NEWEST.format("3.0.4", 1001), service=1001),
            "openssl=3.0.4\n",
            [],
        ),
        (FIPS.format(candidate="3.0.3", newest="", service=1001), "", []),
        (FIPS.format(candidate="3.0.4", newest=NEWEST.format("3.0.4", 1001), service=-1), "", ["openssl"]),
        (POLICY, "", ["libc6:i386"]),
        (
            POLICY.replace("8.1-1 500", "8.1*1 500").replace("Candidate: 8.1-1", "Candidate: 8.2-1"),
            "",
            ["curl 8.1\\*1", "libc6:i386"],
        ),
    ],
    ids=[
        "installed-preferred",
        "newer-preferred",
        "older-preferred",
        "newer-alike",
        "chosen",
        "by-itself",
        "off",
        "plain",
        "pattern",
    ],
)
def test_a_security_update_never_goes_against_the_operators_order_of_sources(
    tmp_path: Path, shell: tuple[str, ...], policy: str, choices: str, moves: list[str]
) -> None:
    files = {"security": SECURITY, "choices": choices, "policy": policy}
    assert decide(tmp_path, shell, 'security_moves "$WORK/policy"', files) == moves


@pytest.mark.parametrize(
    ("source", "moves"),
    [("http://main.example bookworm/main amd64 Packages", ["curl"]), (SECURITY.strip(), [])],
    ids=["elsewhere", "the security service"],
)
def test_another_build_of_the_installed_version_comes_for_security_from_that_service_alone(
    tmp_path: Path, shell: tuple[str, ...], source: str, moves: list[str]
) -> None:
    policy = (
        "curl:\n  Installed: 8.0-1\n  Candidate: 8.0-1\n  Version table:\n"
        f"     8.0-1 500\n        500 {source}\n *** 8.0-1 100\n        100 /var/lib/dpkg/status\n"
    )
    files = {"security": SECURITY, "choices": "", "policy": policy}
    assert decide(tmp_path, shell, 'security_moves "$WORK/policy"', files) == moves


def test_a_choice_is_on_offer_in_exactly_that_version(tmp_path: Path, shell: tuple[str, ...]) -> None:
    choices = "curl=8.2-1\ncurl=8.0-1\ncurl=8.0\ncurl=8.1-10\nlibc6=2.37\n"
    files = {"choices": choices, "policy": POLICY}
    printed = decide(tmp_path, shell, 'not_on_offer "$WORK/policy"', files)
    assert printed == ["curl=8.0", "curl=8.1-10", "libc6=2.37"]


def test_what_is_included_goes_to_its_candidate_unless_another_is_chosen(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    files = {"choices": "curl=8.2-1\n", "policy": POLICY}
    assert decide(tmp_path, shell, 'included "$WORK/policy"', files) == ["libc6:i386=2.37"]


@pytest.mark.parametrize(
    ("every", "written"),
    [
        ("", ["libc6=2", "libc6:i386=2", "libc6:i386", "tzdata", "curl"]),
        ("all", ["libc6=2", "libc6:i386=2", "libc6:i386", "tzdata", "curl", "new", "other:i386"]),
    ],
)
def test_a_name_without_architecture_means_all_that_are_installed(
    tmp_path: Path, shell: tuple[str, ...], every: str, written: list[str]
) -> None:
    names = "libc6=2\nlibc6:i386\ntzdata:all\ncurl:amd64\nnew:amd64\nother:i386\n"
    assert decide(tmp_path, shell, f"as_apt_writes {every}", {}, names) == written


def test_what_is_excluded_and_would_go_is_named(tmp_path: Path, shell: tuple[str, ...]) -> None:
    body = 'EXCLUDE=libc6 BLOCK=curl,new; excluded_in "$WORK/removed"'
    assert decide(tmp_path, shell, body, {"removed": "libc6:i386\nnew\n"}) == [" libc6:i386 new"]


NAMED = r"""NAMED='install curl:amd64 8.1-1
install libc6:i386 2.36
install half:amd64 1.1
install tzdata:all 2024b
install fresh:amd64 1.10
remove raw:amd64 -
remove absent:amd64 -
'
"""


def test_what_is_still_to_do(tmp_path: Path, shell: tuple[str, ...]) -> None:
    body = f"{NAMED}still_to_do\n"
    body += 'for file in wanted names held broken; do echo "[$file]"; cat "$WORK/$file"; done'
    assert decide(tmp_path, shell, body, {}) == [
        "[wanted]", "curl 8.0-1 8.1-1", "tzdata 2024a 2024b", "fresh - 1.10", "raw 1.1 -",
        "[names]", "curl=8.1-1", "half=1.1", "tzdata=2024b", "fresh=1.10", "raw-",
        "[held]", " tzdata",
        "[broken]", " half",
    ]  # fmt: skip


def test_what_was_built_anew_is_there_twice(tmp_path: Path, shell: tuple[str, ...]) -> None:
    again = POLICY.replace("     8.1-1 500\n", "     8.0-1 500\n")
    body = 'builds "$WORK/once"; builds "$WORK/again"; twice_on_offer "$WORK/again"'
    assert decide(tmp_path, shell, body, {"once": POLICY, "again": again}) == [
        "curl 8.0-1 1", "libc6:i386 2.36 1", "curl 8.0-1 2", "libc6:i386 2.36 1", "curl 8.0-1",
    ]  # fmt: skip


def test_versions_are_no_numbers(tmp_path: Path, shell: tuple[str, ...]) -> None:
    files = {"installed": "a\tall\t1.1\tinstall\tok\tinstalled\t1\n"}
    body = "NAMED='install a:all 1.10\n'\nstill_to_do; cat \"$WORK/wanted\""
    assert decide(tmp_path, shell, body, files) == ["a 1.1 1.10"]


def test_what_another_run_changed_meanwhile_is_named(tmp_path: Path, shell: tuple[str, ...]) -> None:
    before = INSTALLED.replace("8.0-1", "7.9-1").replace(
        "tzdata\tall\t2024a\thold", "tzdata\tall\t2024a\tinstall"
    )
    body = f'{NAMED}changed_meanwhile "$WORK/before"; echo; changed_meanwhile "$WORK/same"'
    assert decide(tmp_path, shell, body, {"before": before, "same": INSTALLED}) == [" curl tzdata"]


ANSWER = """\
The following packages will be REMOVED:
  raw* gone
The following packages will be upgraded:
  curl
'http://main.example/curl_8.1-1_amd64.deb' curl_8.1-1_amd64.deb 100 SHA256:00
'http://main.example/libc6_1%3a2.37_i386.deb' libc6_1%3a2.37_i386.deb 100 SHA256:00
'http://main.example/more_1_all.deb' more_1_all.deb 100 SHA256:00
"""


def test_what_apt_would_do_besides_or_instead_is_told(tmp_path: Path, shell: tuple[str, ...]) -> None:
    wanted = "curl 8.0-1 8.1-1\nlibc6:i386 2.36 1:2.38\nraw 1.1 -\nkept 1 -\nlate 1 2\n"
    files = {"answer": ANSWER, "wanted": wanted}
    assert sorted(decide(tmp_path, shell, "differences", files)) == [
        "install libc6:i386 1:2.37 instead of 1:2.38",
        "install more 1", "keep kept", "not install late", "remove gone",
    ]  # fmt: skip


def test_what_is_allowed_beside_is_no_difference(tmp_path: Path, shell: tuple[str, ...]) -> None:
    allowed = "more - 1\ngone 1 -\nlibc6:i386 2.36 1:2.37\n"
    files = {"answer": ANSWER, "wanted": "curl 8.0-1 8.1-1\nraw 1.1 -\n", "allowed": allowed}
    assert decide(tmp_path, shell, "differences", files) == []


HOOK = """\
VERSION 3
APT::Architecture=amd64

curl 8.0-1 amd64 none < 8.1-1 amd64 none /archives/curl_8.1-1_amd64.deb
libc6 2.36 i386 same < 2.37 i386 same /kept/libc6_2.37_i386.deb
raw 1.1 amd64 none > - - none **REMOVE**
curl 8.0-1 amd64 none < 8.1-1 amd64 none **CONFIGURE**
"""
GUARD = (
    'guard >"$WORK/guard"; : >"$WORK/differs"\n'
    'may awk -v native=amd64 -v differs="$WORK/differs" -v out="$WORK" -v archives=/archives/ '
    '-f "$WORK/guard" "$WORK/wanted" "$WORK/allowed" "$WORK/hook"; echo "ended $?"; sort "$WORK/differs"\n'
)


def test_the_guard_lets_exactly_what_is_named_pass(tmp_path: Path, shell: tuple[str, ...]) -> None:
    wanted = "curl 8.0-1 8.1-1\nlibc6:i386 2.36 2.37\nraw 1.1 -\n"
    body = GUARD + 'cat "$WORK/coming" "$WORK/linking"'
    assert decide(tmp_path, shell, body, {"hook": HOOK, "wanted": wanted}) == [
        "ended 0",
        "/archives/curl_8.1-1_amd64.deb\tcurl_8.1-1_amd64.deb",
        "/kept/libc6_2.37_i386.deb\tlibc6_2.37_i386.deb",
        "/archives/curl_8.1-1_amd64.deb",
    ]


@pytest.mark.parametrize(
    ("wanted", "differs"),
    [
        ("curl 8.0-1 8.1-1\nlibc6:i386 2.36 2.37\n", ["remove raw"]),
        ("curl 8.0-1 8.1-10\nlibc6:i386 2.36 2.37\nraw 1.1 -\n", ["install curl 8.1-1"]),
        ("curl 7.9 8.1-1\nlibc6:i386 2.36 2.37\nraw 1.1 -\n", ["change curl 8.0-1"]),
        ("curl 8.0-1 8.1-1\nlibc6:i386 2.36 2.37\nraw 1.1 -\nmore 1 -\nlate 1 2\n",
         ["keep more", "not install late"]),
        ("", ["install curl 8.1-1", "install libc6:i386 2.37", "remove raw"]),
    ],
)  # fmt: skip
def test_the_guard_stops_anything_else(
    tmp_path: Path, shell: tuple[str, ...], wanted: str, differs: list[str]
) -> None:
    files = {"hook": HOOK, "wanted": wanted, "allowed": "other 1 2\n"}
    assert decide(tmp_path, shell, GUARD, files) == ["ended 1", *differs]


def test_an_archive_with_other_bytes_than_the_lists_promise_is_spoiled(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    stanzas = (
        "Package: curl\nVersion: 1:8.1-1\nArchitecture: amd64\nSHA256: aa\n\n"
        "Package: tzdata\nVersion: 2\nArchitecture: all\nSHA256: bb\n"
    )
    stanzas += "\nPackage: an_exporter\nVersion: 1_rc2\nArchitecture: all\nSHA256: ee\n"
    sums = (
        "aa  curl_1%3a8.1-1_amd64.deb\ncc  tzdata_2_all.deb\ndd  unknown_1_all.deb\n"
        "ff  an%5fexporter_1%5frc2_all.deb\n"
    )
    printed = decide(tmp_path, shell, 'spoiled "$WORK/promised"', {"promised": stanzas}, sums)
    assert printed == ["tzdata_2_all.deb", "an%5fexporter_1%5frc2_all.deb"]


def test_marks_are_set_on_what_is_there_and_has_none(tmp_path: Path, shell: tuple[str, ...]) -> None:
    marks = (
        "Package: curl\nArchitecture: amd64\nAuto-Installed: 1\n\n"
        "Package: libc6\nArchitecture: i386\nAuto-Installed: 0\n"
    )
    body = "MARKS=$WORK/marks AUTOMATIC=curl:amd64,libc6:i386,tzdata:all,old:amd64,absent:amd64; not_marked"
    assert decide(tmp_path, shell, body, {"marks": marks}) == ["libc6:i386", "tzdata"]


SAID = """\
Setting up curl
dpkg: error processing package curl (--configure):
 installed curl package post-installation script subprocess returned error exit status 1
dpkg: error processing archive /tmp/apt-dpkg-install-x/00-libc6_2.37_i386.deb (--unpack):
 trying to overwrite '/x', which is also in package y
dpkg: error processing archive /var/cache/apt/archives/tzdata_2_all.deb (--unpack):
 cannot copy
dpkg: error processing archive /var/cache/apt/archives/an%5fexporter_1%5frc2_amd64.deb (--unpack):
 cannot copy
dpkg: error processing archive /tmp/apt-dpkg-install-x/3-an_agent_2_i386.deb (--unpack):
 cannot copy
dpkg: error processing package curl (--configure):
 again
"""
COMING = "/srv/pool/an_agent_2_i386.deb\tan%5fagent_2_i386.deb\n"


def test_whom_dpkg_complains_of(tmp_path: Path, shell: tuple[str, ...]) -> None:
    body = "LOG=$WORK/log from=0; failures"
    files = {"log": SAID, "coming": COMING}
    assert [line.split("\t")[0] for line in decide(tmp_path, shell, body, files)] == [
        "curl", "libc6:i386", "tzdata", "an_exporter", "an_agent:i386",
    ]  # fmt: skip


APT_ITSELF = """\
Reading package lists...
The following packages will be upgraded:
  plain
1 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.
Need to get 0 B/700 B of archives.
After this operation, 0 B of additional disk space will be used.
"""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            (
                "etckeeper: uncommitted changes\nin /etc\n"
                "E: Problem executing scripts DPkg::Pre-Invoke 'etckeeper pre-install'\n"
                "E: Sub-process returned an error code\n"
            ),
            ["hook DPkg::Pre-Invoke 'etckeeper pre-install'\tetckeeper: uncommitted changes; in /etc"],
        ),
        (
            (
                "one\ntwo\nthree\nfour\nFetched 700 B in 0s (0 B/s)\n"
                "E: Problem executing scripts DPkg::Pre-Invoke 'x'\nE: Sub-process returned an error code\n"
            ),
            ["hook DPkg::Pre-Invoke 'x'\ttwo; three; four"],
        ),
        (
            (
                "E: Sub-process /usr/sbin/apt-listbugs apt returned an error code (10)\n"
                "E: Failure running script /usr/sbin/apt-listbugs apt\n"
            ),
            [
                (
                    "hook /usr/sbin/apt-listbugs apt\t"
                    "Sub-process /usr/sbin/apt-listbugs apt returned an error code (10)"
                )
            ],
        ),
        ("E: Failure running script command awk -v native=amd64 -f x\n", []),
        ("E: Problem executing scripts DPkg::Post-Invoke 'x'\nE: Sub-process returned an error code\n", []),
        ("Setting up plain (1.1) ...\n", []),
    ],
    ids=["before", "kept-lines", "bugs", "ours", "after", "none"],
)
def test_a_hook_that_was_against_it_is_named_with_its_words(
    tmp_path: Path, shell: tuple[str, ...], said: str, expected: list[str]
) -> None:
    body = "LOG=$WORK/log from=0\nrefusing_hooks"
    assert decide(tmp_path, shell, body, {"log": APT_ITSELF + said}) == expected


def test_what_is_half_done_comes_again_unless_it_was_to_go(tmp_path: Path, shell: tuple[str, ...]) -> None:
    assert decide(tmp_path, shell, "must_come_again", {}) == ["half 1.1"]


def test_with_it_comes_what_has_not_come_yet(tmp_path: Path, shell: tuple[str, ...]) -> None:
    allowed = "half ? 1.2\ncurl ? 8.1-1\nlibc6:i386 ? 2.36\nfresh ? 1\nraw ? -\n"
    printed = decide(tmp_path, shell, "all_that_was_to_come", {"allowed": allowed})
    assert printed == ["half 1.1", "curl 8.0-1", "fresh -"]


HISTORY = """\
Start-Date: 2024-01-01  00:00:00
Upgrade: done:amd64 (1, 2)
End-Date: 2024-01-01  00:00:01

Start-Date: 2024-01-02  00:00:00
Install: fresh:amd64 (1.0, automatic), more:i386 (2.0)
Upgrade: curl:amd64 (8.0-1, 8.1-1)
"""


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ("", ["fresh - 1.0", "more:i386 - 2.0", "curl 8.0-1 8.1-1"]),
        (
            "Error: Sub-process returned\nEnd-Date: x\n",
            ["fresh - 1.0", "more:i386 - 2.0", "curl 8.0-1 8.1-1"],
        ),
        ("End-Date: x\n", []),
    ],
    ids=["no end", "an error", "ended"],
)
def test_what_was_underway_is_the_last_transaction_without_a_good_end(
    tmp_path: Path, shell: tuple[str, ...], more: str, found: list[str]
) -> None:
    printed = decide(tmp_path, shell, "HISTORY=$WORK/history; underway", {"history": HISTORY + more})
    assert printed == found


def test_what_is_left_is_told_in_the_words_of_dpkg(tmp_path: Path, shell: tuple[str, ...]) -> None:
    told = "raw:amd64\tits script failed\n"
    assert decide(tmp_path, shell, "remaining", {"told": told}) == [
        "half\tis half-installed, and must be reinstalled",
        "raw\tits script failed",
        "going:i386\tis half-configured",
    ]
