"""What the sources that are left out have neither is planned nor comes in, against a real apt."""

import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from reconciler.managers.scripted import ScriptedManager
from reconciler.planning.facts.observation import Question
from tests.edge.apt.instructions import to
from tests.labs import naming
from tests.labs.apt import AptLab, Deb, build_deb, stanza_of
from tests.labs.fileserver import serving

ODD_LINES = """\
deb [trusted=yes] file:{folder}/plain stable main
deb [ trusted=yes arch=amd64,i386 lang=none ] file:{folder}/options/ stable main extra/x
deb [trusted=yes] http://user:secret@host.invalid:8080/a_b~c+d%20e=f@g//h stable/updates main
deb [trusted=yes] http://[2001:db8::1]/debian sid main
deb [trusted=yes] cdrom:[Debian GNU/Linux 12 _Bookworm_ - 1]/ stable main contrib
deb [trusted=yes] file:{folder}/flat ./
deb [trusted=yes] file:{folder}/flat/ /
deb [trusted=yes] file:{folder} sub/folder/
deb [trusted=yes] https://host.invalid/$(ARCH) $(ARCH)/
deb [trusted=yes] mirror+file:{folder}/mirrors stable main
deb [trusted=yes by-hash=no] http://host.invalid/über stable main/debian-installer
deb [trusted=yes] http://twice.invalid/x stable a/b
deb [trusted=yes] http://twice.invalid/x stable/c b
"""
ODD_STANZAS = """\
Types: deb deb-src
URIs: http://a.invalid/x https://b.invalid/x/
Suites: one two/three
Components: main a/b/c
Architectures: amd64
Trusted: yes

Types: deb
URIs: http://a.invalid/x http://a.invalid/y
Suites: ./ z/
Trusted: yes
"""

PLAIN = Deb("plain", "9", fields={"Depends": "stranger"})


def add_stranger(lab: AptLab) -> str:
    """Offer newer packages, preferred by the operator, from a folder; return the id of that source."""
    flat = lab.folder / "flat"
    flat.mkdir()
    stanzas = [
        stanza_of(package, build_deb(package, flat), flat)
        for package in (PLAIN, Deb("stranger", "1"), Deb("lima", "9"))
    ]
    (flat / "Packages").write_text("".join(stanzas))
    with (lab.root / "etc/apt/sources.list").open("a") as file:
        file.write(f"deb [trusted=yes] file:{flat} ./\n")
    lab.prefer("Package: plain\nPin: version 9\nPin-Priority: 1001\n")
    lab.refresh()
    return id_of(flat, "./")


def id_of(folder: Path, below: str) -> str:
    """Return how apt's lists of a folder begin (apt's ``URItoFileName``)."""
    return f"{folder}/{below}".replace("_", "%5f").replace("/", "_")


def test_a_source_that_cannot_be_read_any_more_is_known_by_its_id(
    own_lab: AptLab, own_apt: ScriptedManager
) -> None:
    with serving(own_lab.repository) as address:
        with (own_lab.root / "etc/apt/sources.list").open("a") as file:
            file.write(f"deb [trusted=yes] {address.replace('//', '//user:secret@')} stable main\n")
        assert own_apt.refresh().missing == ()
    own_lab.publish("stable", Deb("lima", "1.2"))
    (third,) = own_apt.refresh().missing
    seen = own_apt.observe(datetime.now(UTC))
    (source,) = (source for source in seen.sources if source.identity == third)
    assert source.url == address.rstrip("/")
    counted = naming.moved(own_apt.resolve(Question(without=(third,))).changes)
    assert counted["lima"] == "1.2"


def test_what_a_source_has_that_is_left_out_is_not_there(
    own_lab: AptLab, own_apt: ScriptedManager, folder: Path
) -> None:
    stranger = add_stranger(own_lab)
    seen = own_apt.observe(datetime.now(UTC))
    assert stranger in {source.id for source in seen.sources}
    everything = naming.moved(own_apt.resolve(Question()).changes)
    assert {name: everything[name] for name in ("lima", "plain", "stranger")} == {
        "lima": "9", "plain": "9", "stranger": "1",
    }  # fmt: skip
    within = own_apt.observe(datetime.now(UTC), (stranger,))
    offers = {offer.name: offer.candidate for offer in within.offers}
    assert (offers["lima"], offers["plain"]) == ("1.1", "1.1")
    counted = naming.moved(own_apt.resolve(Question(without=(stranger,))).changes)
    assert (counted["lima"], counted["plain"]) == ("1.1", "1.1")
    assert "stranger" not in counted
    refused = own_apt.apply(to("lima=9", without=(stranger,)), folder)
    assert (refused.exit_code, own_lab.versions()["lima"]) == (26, "1.0")


def test_what_counts_is_installed_from_there(own_lab: AptLab, own_apt: ScriptedManager, folder: Path) -> None:
    stranger = add_stranger(own_lab)
    main = own_apt.observe(datetime.now(UTC)).sources
    done = own_apt.apply(to("lima=1.1", without=(stranger,)), folder)
    assert (done.exit_code, own_lab.versions()["lima"]) == (0, "1.1")
    others = tuple(source.id for source in main if source.id != stranger)
    offers = own_apt.observe(datetime.now(UTC), others).offers
    assert {offer.name: offer.candidate for offer in offers} == {"lima": "9", "plain": "9"}


def test_a_source_whose_name_begins_like_another_is_told_from_it(
    own_lab: AptLab, own_apt: ScriptedManager
) -> None:
    outer = own_lab.folder / "outer"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    for place, version in ((outer, "8"), (inner, "9")):
        deb = Deb("lima", version)
        (place / "Packages").write_text(stanza_of(deb, build_deb(deb, place), place.parent))
    with (own_lab.root / "etc/apt/sources.list").open("a") as file:
        file.write(f"deb [trusted=yes] file:{outer.parent} outer/\n")
        file.write(f"deb [trusted=yes] file:{outer} inner/\n")
    own_lab.refresh()
    shorter, longer = (id_of(place, "") for place in (outer, inner))
    asked = {without: own_apt.resolve(Question(without=(without,))).changes for without in (shorter, longer)}
    assert [naming.moved(changes)["lima"] for changes in asked.values()] == ["9", "8"]


def test_a_source_is_left_out_however_its_line_is_written(own_lab: AptLab, own_apt: ScriptedManager) -> None:
    lines = []
    for place in ("whole", "sub", "über", "my repo"):
        folder = own_lab.folder / place
        folder.mkdir()
        deb = Deb("lima", "9")
        (folder / "Packages").write_text(stanza_of(deb, build_deb(deb, folder), folder))
        lines.append(f"deb [trusted=yes] file:{folder}/ /\n".replace(" repo", "%20repo"))
    lines[1] = f"deb [trusted=yes] file:{own_lab.folder} sub/\n"
    with (own_lab.root / "etc/apt/sources.list").open("a") as file:
        file.writelines(lines)
    own_lab.refresh()
    flat = [one.identity for one in own_apt.observe(datetime.now(UTC)).sources if "dists" not in one.identity]
    assert len(flat) == len(lines)
    offers = own_apt.observe(datetime.now(UTC), flat).offers
    assert {offer.name: offer.candidate for offer in offers}["lima"] == "1.1"


def test_a_component_may_hold_a_slash(own_lab: AptLab, own_apt: ScriptedManager) -> None:
    folder = own_lab.folder / "vendor"
    index = folder / "dists/stable/extra/main/binary-amd64"
    index.mkdir(parents=True)
    deb = Deb("lima", "9")
    (index / "Packages").write_text(stanza_of(deb, build_deb(deb, folder), folder))
    digest = hashlib.sha256((index / "Packages").read_bytes()).hexdigest()
    size = (index / "Packages").stat().st_size
    dated = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    (folder / "dists/stable/Release").write_text(
        f"Suite: stable\nDate: {format_datetime(dated, usegmt=True)}\n"
        "Architectures: amd64\nComponents: extra/main\n"
        f"SHA256:\n {digest} {size} extra/main/binary-amd64/Packages\n"
    )
    with (own_lab.root / "etc/apt/sources.list").open("a") as file:
        file.write(f"deb [trusted=yes arch=amd64] file:{folder} stable extra/main\n")
    own_lab.refresh()
    (vendor,) = (one for one in own_apt.observe(datetime.now(UTC)).sources if "vendor" in one.identity)
    assert vendor.published == dated
    offers = own_apt.observe(datetime.now(UTC), (vendor.identity,)).offers
    assert {offer.name: offer.candidate for offer in offers}["lima"] == "1.1"


def place_lists(lab: AptLab) -> dict[str, set[str]]:
    """Give each list that apt would have a version of its own; return these by source, as apt has it."""
    told = lab.apt(
        "indextargets", "--no-release-info", "--format", "$(FILENAME)\t$(REPO_URI) $(RELEASE)",
        "Created-By: Packages",
    )  # fmt: skip
    versions: dict[str, set[str]] = {}
    for number, line in enumerate(told.splitlines()):
        name, source = line.split("\t")
        deb = Deb("lima", f"9.{number}")
        fields = {**deb.control, "Filename": "x.deb", "Size": "1", "SHA256": "0" * 64}
        stanza = "".join(f"{key}: {value}\n" for key, value in fields.items())
        if str(lab.repository) not in source:
            Path(name).write_text(stanza)
            versions.setdefault(source, set()).add(deb.version)
    return versions


def test_what_a_source_is_apt_itself_says(own_lab: AptLab, own_apt: ScriptedManager) -> None:
    with (own_lab.root / "etc/apt/sources.list").open("a") as file:
        file.write(ODD_LINES.format(folder=own_lab.folder))
    (own_lab.root / "etc/apt/sources.list.d/odd.sources").write_text(ODD_STANZAS)
    by_source = place_lists(own_lab)
    at = datetime.now(UTC)
    ids = sorted(
        source.identity for source in own_apt.observe(at).sources if str(own_lab.repository) not in source.url
    )
    assert len(set(ids)) == len(by_source) > 20
    # Each source is left out in other looks than any other, which tells whose versions are gone with it.
    gone: dict[str, set[int]] = {}
    for bit in range(len(ids).bit_length()):
        without = [one for number, one in enumerate(ids, 1) if number >> bit & 1]
        (lima,) = (offer for offer in own_apt.observe(at, without).offers if offer.name == "lima")
        left = {one.version for one in lima.versions}
        for version in set().union(*by_source.values()) - left:
            gone.setdefault(version, set()).add(bit)
    looks = {frozenset(gone[version]) for versions in by_source.values() for version in versions}
    assert all(
        len({frozenset(gone[version]) for version in versions}) == 1 for versions in by_source.values()
    )
    assert len(looks) == len(by_source)
