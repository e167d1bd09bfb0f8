"""Which report repository a host's reports go to: stable, even, and as the documents say."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.policy.shards import name_of, ranked, weight

REFERENCE = Path(__file__).parents[2] / "docs/reference/git.md"
REMOTES = tuple(f"ssh://git@git.example.org/ops/reports-{number}.git" for number in range(1, 11))
HOSTS = tuple(f"web-{number:04}" for number in range(2000))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("ssh://git@Git.Example.org:2222/ops/reports-1.git", "git.example.org/ops/reports-1"),
        ("git@git.example.org:ops/reports-1.git", "git.example.org/ops/reports-1"),
        ("https://git.example.org/ops/reports-1/", "git.example.org/ops/reports-1"),
        ("https://token@git.example.org/Ops/reports-1", "git.example.org/Ops/reports-1"),
        ("/srv/git/reports.git", "/srv/git/reports.git"),
        ("file:///srv/git/reports/.git", "/srv/git/reports"),
        ("https://[2001:db8::1]:8443/reports.git", "[2001:db8::1]/reports"),
    ],
)
def test_a_repository_has_one_name_in_all_forms_of_its_address(address: str, name: str) -> None:
    assert name_of(address) == name


def test_the_vectors_of_the_documentation_hold() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| `(\S+)` \| `([0-9a-f]{64})` \|", REFERENCE.read_text(), re.MULTILINE)
    assert len(rows) >= 6
    for host, address, told in rows:
        assert weight(host, address) == told
    chosen = dict(re.findall(r"^\| `([^`]+)` \| `reports-(\d)` \|", REFERENCE.read_text(), re.MULTILINE))
    assert len(chosen) >= 2
    for host, number in chosen.items():
        assert ranked(host, REMOTES[:3])[0] == REMOTES[int(number) - 1]


def test_the_line_of_shell_that_is_documented_names_the_same(tmp_path: Path) -> None:
    text = REFERENCE.read_text()
    script = text.partition("```sh\n# which of these")[2].partition("```")[0]
    done = subprocess.run(
        ["sh", "-c", "# which of these" + script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == name_of(ranked("web-01", REMOTES[:3])[0])


def homes(remotes: tuple[str, ...]) -> dict[str, str]:
    return {host: ranked(host, remotes)[0] for host in HOSTS}


def test_a_repository_more_moves_its_share_and_nobody_else() -> None:
    before, after = homes(REMOTES[:9]), homes(REMOTES)
    moved = {host for host in HOSTS if before[host] != after[host]}
    assert {after[host] for host in moved} == {REMOTES[9]}
    assert moved == {host for host in HOSTS if after[host] == REMOTES[9]}
    assert len(moved) == pytest.approx(len(HOSTS) / 10, rel=0.25)
    # Where it was is what comes next for it, so that a host which knows nothing looks there first.
    assert all(ranked(host, REMOTES)[1] == before[host] for host in moved)


def test_hosts_are_spread_evenly() -> None:
    counts = Counter(homes(REMOTES).values())
    assert set(counts) == set(REMOTES)
    assert max(counts.values()) < 1.3 * len(HOSTS) / len(REMOTES)


@given(st.permutations(REMOTES), st.sampled_from(HOSTS))
def test_the_order_of_the_list_is_of_no_account(remotes: list[str], host: str) -> None:
    assert ranked(host, remotes) == ranked(host, REMOTES)


@given(st.sampled_from(REMOTES), st.sampled_from(HOSTS))
def test_a_repository_that_is_removed_moves_its_own_hosts_alone(gone: str, host: str) -> None:
    left = [one for one in REMOTES if one != gone]
    assert ranked(host, left) == tuple(one for one in ranked(host, REMOTES) if one != gone)
