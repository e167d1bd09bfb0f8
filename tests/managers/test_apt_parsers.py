"""Recorded output of apt gives the recorded values; what does not parse is never guessed."""

from datetime import UTC, datetime

import pytest

from reconciler.errors import Stalled, Transient
from reconciler.managers.apt import APT
from reconciler.managers.apt_relations import Doings, Package, groups, unmet
from reconciler.managers.scripted import arguments
from reconciler.planning.facts.observation import Available, Observation, Question, RebootNeed, Unmet
from reconciler.planning.text.untrusted import redacted
from tests.managers.told import parse_answer, parse_observe
from tests.vectors.vector import changed

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def observed(**sections: str) -> Observation:
    return parse_observe(APT, changed("apt-observe-lab", **sections), AT)


MACHINE = (
    "architecture=amd64\nkernel={kernel}\nbuild={build}\nuid=0\nroot=/\napt=2.6.1\ncontainer={container}"
)


def installed(*packages: str) -> str:
    rows = (package.split("=") for package in packages)
    return "\n".join(f"{name}\tamd64\t{version}\tinstall\tok\tinstalled\t1" for name, version in rows)


@pytest.mark.parametrize(
    ("kernel", "build", "packages", "need"),
    [
        ("6.1.0-37-amd64", "", ("linux-image-6.1.0-37-amd64=6.1.140-1",), RebootNeed.NOT_REQUIRED),
        (
            "6.1.0-9-amd64", "",
            ("linux-image-6.1.0-9-amd64=6.1.27-1", "linux-image-6.1.0-10-amd64=6.1.38-1"),
            RebootNeed.REQUIRED,
        ),
        (
            "6.12.101+deb13-amd64", "",
            ("linux-image-6.12.101+deb13-amd64=1", "linux-image-6.12.96+deb13-amd64=1"),
            RebootNeed.NOT_REQUIRED,
        ),
        (
            "6.12.47+rpt-rpi-v8", "",
            ("linux-image-6.12.47+rpt-rpi-v8=1", "linux-image-6.12.62+rpt-rpi-2712=1"),
            RebootNeed.NOT_REQUIRED,
        ),
        (
            "6.1.0-37-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.137-1 (2025-05-07)",
            ("linux-image-6.1.0-37-amd64=6.1.140-1",),
            RebootNeed.REQUIRED,
        ),
        (
            "6.1.0-37-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.140-1 (2025-05-22)",
            ("linux-image-6.1.0-37-amd64=6.1.140-1", "linux-image-amd64=6.1.140-1"),
            RebootNeed.NOT_REQUIRED,
        ),
        ("6.8.0-custom", "", ("linux-image-6.1.0-37-amd64=6.1.140-1",), RebootNeed.UNKNOWN),
        ("6.8.0-custom", "", ("bash=5",), RebootNeed.NOT_REQUIRED),
        (
            "5.15.0-91-generic", "",
            ("linux-image-5.15.0-91-generic=5.15.0-91.101", "linux-image-5.15.0-100-generic=5.15.0-100.110"),
            RebootNeed.REQUIRED,
        ),
        (
            "5.15.0-91-generic", "",
            ("linux-image-5.15.0-91-generic=5.15.0-91.101", "linux-image-5.15.0-100-lowlatency=5.15.0-100.1"),
            RebootNeed.NOT_REQUIRED,
        ),
        # Strings that made others ask for a reboot, or miss one.
        (
            "6.12.74+deb13.1-amd64", "",
            ("linux-image-6.12.74+deb13.1-amd64=1", "linux-image-6.12.74+deb13-amd64=1"),
            RebootNeed.NOT_REQUIRED,
        ),
        (
            "6.12.74+deb13-amd64", "",
            ("linux-image-6.12.74+deb13.1-amd64=1", "linux-image-6.12.74+deb13-amd64=1"),
            RebootNeed.REQUIRED,
        ),
        (
            "6.12.96+deb13-amd64", "",
            ("linux-image-6.12.101+deb13-amd64=1", "linux-image-6.12.96+deb13-amd64=1"),
            RebootNeed.REQUIRED,
        ),
        (
            "6.12.62+rpt-rpi-2712", "",
            ("linux-image-6.12.47+rpt-rpi-2712=1", "linux-image-6.12.75+rpt-rpi-v8=1",
             "linux-image-6.12.62+rpt-rpi-2712=1", "linux-image-rpi-2712=1:6.12.62"),
            RebootNeed.NOT_REQUIRED,
        ),
        (
            "5.15.0-91-generic", "",
            ("linux-image-5.15.0-91-generic=1", "linux-image-virtual=6.8.0.90",
             "linux-image-generic-hwe-22.04=6.8.0", "linux-image-extra-virtual=9"),
            RebootNeed.NOT_REQUIRED,
        ),
        (  # the kernel of another hardware enablement stack is booted next
            "5.15.0-91-generic", "",
            ("linux-image-5.15.0-91-generic=1", "linux-image-6.8.0-49-generic=1"),
            RebootNeed.REQUIRED,
        ),
        (
            "6.1.0-37-amd64", "",
            ("linux-image-6.1.0-37-amd64=1", "linux-image-6.1.0-38-cloud-amd64=1",
             "linux-image-6.1.0-38-rt-amd64=1", "linux-image-6.1.0-38-amd64-dbg=1"),
            RebootNeed.NOT_REQUIRED,
        ),
        (
            "6.1.0-37-cloud-amd64", "",
            ("linux-image-6.1.0-37-cloud-amd64=1", "linux-image-6.1.0-38-cloud-amd64-unsigned=1"),
            RebootNeed.REQUIRED,
        ),
        (
            "6.8.0-49-generic", "",
            ("linux-image-unsigned-6.8.0-49-generic=1", "linux-image-6.8.0-48-generic=1"),
            RebootNeed.NOT_REQUIRED,
        ),
        (
            "6.1.0-37-686-pae", "",
            ("linux-image-6.1.0-37-686-pae=1", "linux-image-6.1.0-38-686=1"),
            RebootNeed.NOT_REQUIRED,
        ),
        (
            "6.8.12-4-pve", "",
            ("proxmox-kernel-6.8.12-4-pve-signed=6.8.12-4", "proxmox-kernel-6.8=6.8.12-5",
             "proxmox-kernel-6.8.12-5-pve-signed=6.8.12-5"),
            RebootNeed.REQUIRED,
        ),
        (
            "6.8.12-10-pve", "",
            ("proxmox-kernel-6.8.12-10-pve-signed=1", "proxmox-kernel-6.8.12-9-pve-signed=1",
             "pve-kernel-5.15.158-2-pve=1", "linux-image-6.12.9+bpo-amd64=1", "proxmox-default-kernel=1"),
            RebootNeed.NOT_REQUIRED,
        ),
        ("6.6.87-microsoft-standard", "", ("linux-image-virtual=1",), RebootNeed.NOT_REQUIRED),
    ],
)  # fmt: skip
def test_the_need_to_reboot_for_a_kernel(
    kernel: str, build: str, packages: tuple[str, ...], need: RebootNeed
) -> None:
    machine = MACHINE.format(kernel=kernel, build=build, container="no")
    assert observed(machine=machine, installed=installed(*packages), reboot="").reboot.need is need


def test_a_container_never_needs_a_reboot_for_a_kernel() -> None:
    machine = MACHINE.format(kernel="6.1.0-9-amd64", build="", container="yes")
    images = installed("linux-image-6.1.0-9-amd64=1", "linux-image-6.1.0-10-amd64=1")
    for mark, need in (
        ("", RebootNeed.NOT_REQUIRED),
        ("required\nlinux-image-6.1.0-10-amd64", RebootNeed.NOT_REQUIRED),
        ("required\nlinux-image-6.8.0-49-generic\nlinux-base", RebootNeed.NOT_REQUIRED),
        ("required\nproxmox-kernel-6.8.12-5-pve-signed", RebootNeed.NOT_REQUIRED),
        ("required\nlinux-image-6.1.0-10-amd64\nlibc6", RebootNeed.REQUIRED),
        ("required", RebootNeed.REQUIRED),
    ):
        assert observed(machine=machine, installed=images, reboot=mark).reboot.need is need


SOURCES = """\
Package files:
 100 /var/lib/dpkg/status
     release a=now
 100 http://x/debian bookworm-backports/main amd64 Packages
     release o=Debian Backports,a=stable-backports,n=bookworm-backports,l=Debian Backports,c=main,b=amd64
     origin x
 500 http://x/ubuntu jammy-security/main amd64 Packages
     release v=22.04,o=Ubuntu,a=jammy-security,n=jammy,l=Ubuntu,c=main,b=amd64
     origin x
 510 https://esm.ubuntu.com/infra/ubuntu jammy-infra-security/main amd64 Packages
     release v=22.04,o=UbuntuESM,a=jammy-infra-security,n=jammy,l=UbuntuESM,c=main,b=amd64
     origin esm.ubuntu.com
 500 http://ppa/x jammy/main amd64 Packages
     release v=22.04,o=LP-PPA-x,a=jammy,n=jammy,l=Of someone, and a=others,c=main,b=amd64
     origin ppa
 -1 http://off/x ./ Packages
     release c=
     origin off
 500 http://x/debian bookworm/main amd64 Packages
     release v=12.5,o=Debian,a=stable,n=bookworm,l=Debian,c=main,b=amd64
     origin x
Pinned packages:
     bash -> 9 with priority 1001
"""


def lists_of(sources: str) -> str:
    """Return the lists that belong to sources: id, site and how apt calls it."""
    told = [line.strip().split(" ", 1)[1] for line in sources.splitlines() if line.endswith(" Packages")]
    rows = ((*one.split(" ")[:2], one) for one in told)
    return "\n".join(f"{site}_{suite.partition('/')[0]}_\t{site}\t{one}" for site, suite, one in rows)


SECURE = """\
http://x/ubuntu jammy-security/main amd64 Packages
https://esm.ubuntu.com/infra/ubuntu jammy-infra-security/main amd64 Packages
"""


def policy_of(*rows: str, candidate: str = "2") -> str:
    return "\n".join((
        "bash:", "  Installed: 1", f"  Candidate: {candidate}", "  Version table:", *rows,
        " *** 1 500", "        500 http://x/debian bookworm/main amd64 Packages",
        "        100 /var/lib/dpkg/status",
    ))  # fmt: skip


def offered(*rows: str, candidate: str = "2") -> tuple[Available, ...]:
    observation = observed(
        installed=installed("bash=1"),
        sources=SOURCES,
        security=SECURE,
        policy=policy_of(*rows, candidate=candidate),
        available="",
    )
    return observation.offers[0].versions if observation.offers else ()


@pytest.mark.parametrize(
    ("source", "origin", "security"),
    [
        ("http://x/debian bookworm/main amd64 Packages", "Debian:12.5/stable", False),
        ("http://x/ubuntu jammy-security/main amd64 Packages", "Ubuntu:22.04/jammy-security", True),
        (
            "https://esm.ubuntu.com/infra/ubuntu jammy-infra-security/main amd64 Packages",
            "UbuntuESM:22.04/jammy-infra-security", True,
        ),
        ("http://ppa/x jammy/main amd64 Packages", "Of someone, and a=others:22.04/jammy", False),
        ("http://off/x ./ Packages", "off", False),
    ],
)  # fmt: skip
def test_the_origin_comes_from_the_release_file_and_security_from_the_script(
    source: str, origin: str, security: object
) -> None:
    (version,) = offered("     2 500", f"        500 {source}")
    assert (version.origins, version.security) == ((origin,), security)


def test_what_apt_would_not_choose_is_not_offered() -> None:
    main = "        500 http://x/debian bookworm/main amd64 Packages"
    off = "        -1 http://off/x ./ Packages"
    backports = "        100 http://x/debian bookworm-backports/main amd64 Packages"
    versions = offered("     4 -1", off, "     3 100", backports, "     2 500", main)
    assert [one.version for one in versions] == ["2"]
    assert offered("     4 -1", off, "     3 1", backports, candidate="1") == ()


def test_a_backport_of_an_installed_backport_is_offered() -> None:
    backports = "        100 http://x/debian bookworm-backports/main amd64 Packages"
    assert [one.version for one in offered("     2 100", backports)] == ["2"]


def test_a_phased_version_is_offered_even_where_apt_hides_it() -> None:
    main = "        500 http://x/debian bookworm/main amd64 Packages"
    versions = offered("     2 1 (phased 30%)", main, candidate="1")
    assert [(one.version, one.phased) for one in versions] == [("2", 30)]


def test_of_each_source_it_is_told_whether_security_updates_come_from_it() -> None:
    told = {
        source.name: source.security
        for source in observed(sources=SOURCES, security=SECURE, lists=lists_of(SOURCES)).sources
    }
    assert {name for name, secure in told.items() if secure} == {
        "Ubuntu:22.04/jammy-security",
        "UbuntuESM:22.04/jammy-infra-security",
    }


def test_a_security_service_that_is_switched_off_serves_nothing() -> None:
    text = SOURCES.replace(" 500 http://x/ubuntu", "  -1 http://x/ubuntu").replace(" 510 https", " 0 https")
    sources = observed(sources=text, security=SECURE, lists=lists_of(text)).sources
    assert sources
    assert not any(source.security for source in sources)


def test_a_source_is_told_without_user_information() -> None:
    text = SOURCES.replace("http://x/debian bookworm/", "https://user:secret@x/debian bookworm/")
    urls = {source.url for source in observed(sources=text, lists=lists_of(text)).sources}
    assert "https://x/debian" in urls
    assert not any("secret" in url for url in urls)
    assert redacted("E: https://a:b@h/x and http://c@h/y failed") == "E: https://h/x and http://h/y failed"


@pytest.mark.parametrize(
    "locks",
    ["same\t812\tapt-get\t/var/lib/dpkg/lock-frontend", "other\t812\tapt-get\t/var/lib/dpkg/lock-frontend"],
)
def test_the_holder_of_a_lock_is_named(locks: str) -> None:
    assert observed(locks=locks).health.lock_holder == "apt-get (pid 812)"


def test_a_lock_seen_from_within_a_container_has_a_holder_without_name() -> None:
    assert observed(locks="same\t0\t\t/l").health.lock_holder == "a process outside of this container"


def test_an_equal_inode_on_another_device_is_no_holder() -> None:
    assert observed(locks="other\t812\tpostgres\t/var/lib/dpkg/lock").health.lock_holder == ""


@pytest.mark.parametrize(
    ("name", "sections"),
    [
        ("apt-observe-lab", {"installed": "bash 1"}),
        ("apt-observe-lab", {"policy": "  Candidate: 1"}),
    ],
)
def test_an_observation_that_does_not_parse_is_refused(name: str, sections: dict[str, str]) -> None:
    with pytest.raises(Stalled, match="does not parse"):
        parse_observe(APT, changed(name, **sections), AT)


@pytest.mark.parametrize(
    "resolve",
    [
        "'http://x/plain_1.1_all.deb' plain_1.1_all.deb 10 SHA256:00",  # in no list
        "The following packages will be upgraded:\n  plain",  # nothing to fetch
        "The following packages will be upgraded:\n  plain\n'http://x/plain' plain.deb 10",
        "The following packages will be upgraded:\n  plain\n'broken",
        "The following packages will be REMOVED:\n  never-installed",
    ],
)
def test_an_answer_that_does_not_add_up_is_refused(resolve: str) -> None:
    with pytest.raises(Stalled, match="does not parse"):
        parse_answer(APT, changed("apt-answer-safe", resolve=resolve))


def test_a_wrapped_list_and_a_purge_are_read() -> None:
    resolve = "The following packages will be REMOVED:\n  plain*\n  lima\n0 upgraded, 0 newly installed"
    answer = parse_answer(APT, changed("apt-answer-safe", resolve=resolve))
    assert [(change.action, change.name, change.from_version) for change in answer.changes] == [
        ("remove", "plain", "1.0"),
        ("remove", "lima", "1.0"),
    ]


@pytest.mark.parametrize(
    ("code", "error"),
    [(1, Stalled), (20, Transient), (23, Stalled), (24, Stalled)],
)
def test_a_failed_run_says_what_happens_next(code: int, error: type[Exception]) -> None:
    text = f"patchledger-patch 1 apt\n[resolve]\n!E: some words\n= 100\nexit {code}\n"
    with pytest.raises(error, match="some words"):
        parse_answer(APT, text)
    with pytest.raises(error, match="some words"):
        parse_observe(APT, text, AT)


def test_a_question_becomes_options() -> None:
    question = Question(
        "full", security=True, exclude=("a", "b:i386"), block=("c",), choose=(("d", "1:2~3"),), include=("e",)
    )
    assert arguments(question) == (
        "--full", "--security", "--exclude", "a,b:i386", "--block", "c", "--include", "e",
        "--choose", "d=1:2~3",
    )  # fmt: skip
    assert arguments(Question()) == ()
    assert arguments(Question(only=("a:i386", "1:2~3"))) == ("--only", "a:i386=1:2~3")


def test_unmet_relations_are_read_with_their_alternatives() -> None:
    said = """\
The following information may help to resolve the situation:

The following packages have unmet dependencies:
 one : Depends: first (>= 2) but 1 is to be installed or
                second but it is not installable
       Depends: third but it is not going to be installed
 two:i386 : Conflicts: fourth:any
 three : PreDepends: fifth (= 1:2) but 1:1 is to be installed
E: Unable to correct problems, you have held broken packages.
 four : Depends: nothing
"""
    assert unmet(said.splitlines(), {"one": "3", "two:i386": "4"}) == (
        Unmet("one", "3", "Depends", "first (>= 2) or second"),
        Unmet("one", "3", "Depends", "third"),
        Unmet("two:i386", "4", "Conflicts", "fourth:any"),
        Unmet("three", "", "PreDepends", "fifth (= 1:2)"),
    )
    assert unmet(["Reading package lists..."], {}) == ()


@pytest.mark.parametrize(
    ("relation", "version", "is_met"),
    [
        ("a (<< 2)", "1", True),
        ("a (<< 2)", "2", False),
        ("a (<= 2)", "2", True),
        ("a (= 2)", "2", True),
        ("a (= 2)", "2-1", False),
        ("a (>= 1:1)", "9", False),
        ("a (>> 1~rc1)", "1", True),
        ("a:any (>= 1)", "1", True),
        ("a", "0", True),
    ],
)
def test_a_relation_means_versions(relation: str, version: str, *, is_met: bool) -> None:
    ((wanted,),) = groups(relation)
    assert (wanted.name, wanted.admits(version)) == ("a", is_met)


def test_a_field_of_relations_is_read() -> None:
    read = groups("a (>= 1) | b [amd64] <!nocheck>, , c:any,d")
    assert [[one.name for one in group] for group in read] == [["a", "b"], ["c"], ["d"]]


def test_a_need_that_is_met_already_is_nobodys_reason() -> None:
    come = Package("lib", "2", {}, "1")
    content = Package("content", "2", {"Depends": "lib (>= 1)"})
    other = Package("other", "2", {"Depends": "lib (>= 2) | x"})
    assert Doings((come, content, other), {"x": frozenset({"1"})}).needing(come) == ()
    assert Doings((come, content, other), {}).needing(come) == ("other",)


def test_who_recommends_a_new_package_is_named_where_nobody_needs_it() -> None:
    new = Package("extra", "1", {"Provides": "feature (= 3)"})
    fan = Package("fan", "2", {"Recommends": "feature (>= 3)"})
    needs = Package("needs", "2", {"Pre-Depends": "extra"})
    assert Doings((new, fan), {}).needing(new) == ("fan",)
    assert Doings((new, fan, needs), {}).needing(new) == ("needs",)


def test_no_argument_outgrows_what_a_process_may_be_given() -> None:
    names = tuple(f"package-with-a-long-name-{number:06}" for number in range(10_000))
    options = arguments(Question(exclude=names))
    assert max(map(len, options)) < 128 * 1024
    assert ",".join(option for option in options if option != "--exclude") == ",".join(names)
