"""apt.conf is read as the real apt reads it, for texts made of all that its grammar knows."""

import random
import subprocess
from pathlib import Path

from reconciler.policy.aptconf import Configuration, read_configuration

PIECES = (
    *("a", "B", "A::c", "::", "x::", "{", "}", ";", '"', '"q"', '"q r"', "//", "/*", "*/", "#", "#clear"),
    *(" ", "\n", "\n", " ", "\t", "%41", "[", "]", "1", ";\n", "{\n", "};\n", '"a::b"', "#clear a;", '"z";'),
)
SEED, TEXTS = 11, 150


def quoted(name: str) -> str:
    """Write a name as ``apt-config dump`` does."""
    return "".join(f"%{ord(char):02x}" if char in '="%' or char <= " " else char for char in name)


def test_what_apt_reads_is_what_is_read(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    file = tmp_path / "apt.conf"
    readable = 0
    for _ in range(TEXTS):
        text = "".join(chance.choice(PIECES) for _ in range(chance.randrange(1, 14)))
        file.write_text(text, encoding="utf-8")
        dumped = subprocess.run(
            ["apt-config", "dump"],
            env={"APT_CONFIG": str(file), "PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        found = read_configuration([("f", text)])
        assert isinstance(found, Configuration) == (dumped.returncode == 0), (text, dumped.stderr, found)
        if isinstance(found, Configuration):
            readable += 1
            entries = [entry for name in "ab" for entry in (found.find(name), *found.below(name)) if entry]
            ours = sorted(f'{quoted(entry.name)} "{entry.value}";'.lower() for entry in entries)
            lines = [line.lower() for line in dumped.stdout.splitlines() if not line.endswith(' "";')]
            assert ours == sorted(line for line in lines if line.startswith(("a ", "a::", "b ", "b::"))), text
    assert readable > TEXTS // 10
