"""Pages of the documentation, as somebody follows them: the commands they print, and what is shown below."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs" / "how-to"
_FENCED = re.compile(r"^```(?P<language>[a-z]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<-?'?(\w+)'?")
_CRON = re.compile(r"^(?:[0-9*/,-]+ ){5}(?P<command>.*)$", re.MULTILINE)

_OF_FORGE = """\
for key in $(gpg --list-keys --with-colons noreply@github.com | awk -F: '$1 == "pub" { print $5 }'); do
    echo "github.com openpgp $(gpg --export "$key" | base64 --wrap=0)"
done > forge_keys"""

NOT_FOLLOWED: Mapping[tuple[str, str], str] = {
    ("come-from-unattended-upgrades.md", "unattended-upgrade --dry-run --verbose"): (
        "another program, with whose answer the reader compares; no lab has it"
    ),
    ("enrol-a-host.md", "cat token | patchledger setup --answers setup.yaml --yes --enrol-with -"): (
        "a token needs a forge that takes it by https"
    ),
    ("install-a-package.md", "scripts/package                 # both, into dist/"): (
        "builds for minutes; tests/e2e/test_packages.py goes by it, once for all its tests"
    ),
    ("install-a-package.md", "scripts/package --output /srv/packages --revision 2 deb"): (
        "builds for minutes; tests/e2e/test_packages.py goes by it, once for all its tests"
    ),
    ("install-a-package.md", "apt-get install ./patchledger_0.1.0-1_amd64.deb"): (
        "needs what was built; tests/e2e/test_packages.py installs it by dpkg"
    ),
    ("install-a-package.md", "dnf install ./patchledger-0.1.0-1.x86_64.rpm"): (
        "needs what was built; tests/e2e/test_packages.py installs it by rpm"
    ),
    ("install-a-package.md", "zypper install --allow-unsigned-rpm ./patchledger-0.1.0-1.x86_64.rpm"): (
        "needs what was built; tests/e2e/test_packages.py installs it by rpm"
    ),
    ("pause.md", 'patchledger pause --target web --reason "a restore is being tried" --until 2h'): (
        "needs a hypervisor; tests/edge/guests/test_how_to.py pauses a guest by the page about containers"
    ),
    ("pause.md", "patchledger resume --target web"): "the same",
    ("sign-the-policy.md", "curl -s https://github.com/web-flow.gpg | gpg --import"): "asks a real forge",
    ("sign-the-policy.md", _OF_FORGE): "needs the key of a real forge",
}
"""Commands that no test runs as they are printed, by page and text, with the reason. There are no others."""


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences.

    Attributes:
        section: The heading above it, without its signs.
        language: As said behind the first fence, empty where nothing is.
    """

    section: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command that a reader types.

    Attributes:
        section: The heading above it, without its signs.
        text: One command of a shell, of one or more lines.
        shown: What the page says that it prints, empty where it says nothing.
    """

    section: str
    text: str
    shown: str = ""


def blocks(page: Path) -> list[Block]:
    """Return everything between fences of a page, in order."""
    section, found = "", []
    text = page.read_text(encoding="utf-8")
    for part in re.split(r"^(?=#+ )", _without_fenced_signs(text), flags=re.MULTILINE):
        section = part.partition("\n")[0].strip("# ") if part.startswith("#") else section
        found += [
            Block(section, one["language"], one["text"].replace("\0", "#")) for one in _FENCED.finditer(part)
        ]
    return found


def _without_fenced_signs(text: str) -> str:
    """Let no comment of a command look like a heading."""
    return _FENCED.sub(lambda found: found[0].replace("#", "\0"), text)


def commands(page: Path) -> list[Command]:
    """Return every command that a page prints, in order, those of cron among them."""
    found: list[Command] = []
    for block in blocks(page):
        match block.language:
            case "sh":
                found += [Command(block.section, text) for text in _of_shell(block.text)]
            case "console":
                found += _of_console(block)
            case "text":
                found += [Command(block.section, line["command"]) for line in _CRON.finditer(block.text)]
            case _:
                pass
    return found


def _of_shell(text: str) -> Iterator[str]:
    """Cut a script into its commands: a loop, a here-document or a continued line is one."""
    held: list[str] = []
    end, depth = "", 0
    for line in text.split("\n"):
        if not held and (not line.strip() or line.startswith("#")):
            continue
        held.append(line)
        if end:
            end = "" if line == end else end
        elif told := _HEREDOC.search(line):
            end = told[1]
        words = line.split("#")[0].split()
        depth += words.count("do") - sum(word.startswith("done") for word in words)
        if not end and not depth and not line.endswith("\\"):
            yield "\n".join(held)
            held = []
    assert not held, f"the command has no end: {held}"


def _of_console(block: Block) -> Iterator[Command]:
    """Read what stands behind a prompt, with all lines up to the next one."""
    for part in re.split(r"^(?=[#$] )", block.text, flags=re.MULTILINE):
        if part:
            line, _, shown = part.partition("\n")
            yield Command(block.section, line[2:], shown)


def to_follow(page: str) -> list[Command]:
    """Return the commands of a how-to that its test runs: all, but those named in :data:`NOT_FOLLOWED`."""
    return [one for one in commands(HOW_TO / page) if (page, one.text) not in NOT_FOLLOWED]


def documents(page: str) -> dict[str, str]:
    """Return each document of policy that a how-to prints, by the path that it names, or by kind and name."""
    folders = {"Policy": "policies", "Schedule": "schedules", "Freeze": "freezes", "Host": "hosts"}
    found = {}
    for block in blocks(HOW_TO / page):
        kind = re.search(r"^kind: (\w+)\nname: (\S+)$", block.text, re.MULTILINE)
        if block.language == "yaml" and kind and kind[1] in folders:
            named = re.match(r"# (\S+\.yaml)", block.text)
            found[named[1] if named else f"{folders[kind[1]]}/{kind[2]}.yaml"] = block.text
    return found
