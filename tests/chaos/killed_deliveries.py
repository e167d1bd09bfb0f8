"""Messages, a mail server at its worst, and a delivery that is killed again and again.

By itself: ``python -m tests.chaos.killed_deliveries FOLDER MESSAGES KILLS``.
"""

import itertools
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.labs.mail import GREYLISTED, OK, UNKNOWN, Post, serve

OPS, GONE, SRE = "ops@example.org", "gone@example.org", "sre@example.org"
_ROOT = Path(__file__).parents[2]
_PATIENCE = 1800  # seconds


@dataclass(frozen=True)
class Kept:
    """What came of it: by receiver the messages in the order in which each came first, and the repeats."""

    first: dict[str, list[str]]
    repeated: int


def deliver(folder: Path, messages: int, kills: int) -> Kept:
    """Deliver messages to three receivers, one of whom is refused, killing whoever delivers them."""
    chance = random.Random(7)
    named, mails = itertools.count(1), itertools.count(1)
    # Each 40th time somebody is named, the server wants to be asked later; each 90th mail it drops.
    post = Post(slow=0.002, data=lambda: "" if next(mails) % 90 == 0 else OK)
    post.rcpt[OPS] = post.rcpt[SRE] = lambda: GREYLISTED if next(named) % 40 == 0 else OK
    post.rcpt[GONE] = UNKNOWN
    with serve(post):
        address = folder / "address"
        address.touch(mode=0o600)
        address.write_text(post.url(OPS, GONE, SRE) + "&format=text\n", encoding="utf-8")
        command = [sys.executable, "-m", "tests.chaos.deliverer", str(folder / "outbox"), str(address)]
        for kill in range(kills + 1):
            taken = sum(map(len, post.mails.values()))
            process = subprocess.Popen([*command, str(messages)], cwd=_ROOT)
            if kill < kills:
                _wait_for_more(post, taken + chance.randrange(1, messages // kills + 2), process)
                process.send_signal(signal.SIGKILL)
            assert process.wait(timeout=_PATIENCE) in {0, -signal.SIGKILL}
    repeated = sum(count - 1 for got in post.subjects().values() for count in Counter(got).values())
    return Kept({name: list(dict.fromkeys(got)) for name, got in post.subjects().items()}, repeated)


def _wait_for_more(post: Post, number: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the server has taken so many mails, while somebody sends them."""
    while sum(map(len, post.mails.values())) < number and process.poll() is None:
        time.sleep(0.002)


def main() -> int:
    """Do it, say what came of it, and return 1 where anything was lost, repeated or out of order."""
    folder, messages, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    kept = deliver(folder, messages, kills)
    expected = [f"{number:04}" for number in range(messages)]
    well = kept.first == {OPS: expected, SRE: expected} and kept.repeated <= kills
    told = {name: len(got) for name, got in kept.first.items()}
    sys.stdout.write(f"{told}, {kept.repeated} repeated after {kills} kills: {'well' if well else 'WRONG'}\n")
    return int(not well)


if __name__ == "__main__":
    sys.exit(main())
