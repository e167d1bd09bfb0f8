"""Changes on a real disk, told by the kernel."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue

import pytest

from reconciler.host.machine.watching import FileWatch, folders_of

PATIENCE = 30.0


@pytest.fixture
def rings() -> Queue[None]:
    return Queue()


@pytest.fixture
def watch(rings: Queue[None]) -> Iterator[FileWatch]:
    watch = FileWatch(lambda: rings.put(None))
    yield watch
    watch.close()


def replace(path: Path) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text("new", encoding="utf-8")
    fresh.replace(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("other", encoding="utf-8"),
        replace,
        lambda path: path.unlink(),
        lambda path: path.touch(),
        lambda path: path.chmod(0o600),
    ],
)
def test_whatever_happens_to_a_file_rings(
    tmp_path: Path, watch: FileWatch, rings: Queue[None], change: Callable[[Path], object]
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("text", encoding="utf-8")
    watch.arm(folders_of([str(file)]))
    change(file)
    rings.get(timeout=PATIENCE)


def test_a_folder_that_comes_later_rings_and_is_watched_then(
    tmp_path: Path, watch: FileWatch, rings: Queue[None]
) -> None:
    hooks = tmp_path / "etc" / "hooks"
    assert folders_of([str(hooks)]) == (str(tmp_path),)
    watch.arm(folders_of([str(hooks)]))
    (hooks / "pre.d").mkdir(parents=True)
    rings.get(timeout=PATIENCE)
    assert folders_of([str(hooks)]) == tuple(map(str, (hooks.parent, hooks, hooks / "pre.d")))
    assert watch.arm(folders_of([str(hooks)]))
    (hooks / "pre.d" / "10-shop").touch()
    rings.get(timeout=PATIENCE)


def test_the_same_folders_are_not_watched_anew_but_others_of_the_same_name_are(
    tmp_path: Path, watch: FileWatch, rings: Queue[None]
) -> None:
    folder = tmp_path / "hooks"
    folder.mkdir()
    folders = [str(folder)]
    assert watch.arm(folders)
    assert not watch.arm(folders)
    folder.rename(tmp_path / "away")
    folder.mkdir()
    assert watch.arm(folders)
    while not rings.empty():
        rings.get()
    (folder / "file").touch()
    rings.get(timeout=PATIENCE)


def test_other_users_links_in_circles_end(tmp_path: Path) -> None:
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "again").symlink_to(tmp_path / "hooks")
    assert len(folders_of([str(tmp_path / "hooks")])) < 10


# Nobody can watch anything in a user namespace whose limit is none; outside of it nothing changes.
EXHAUSTED = """\
echo "$1" >/proc/sys/user/max_inotify_$0
shift
exec "$@"
"""
ARMS = """\
from reconciler.host.machine.watching import FileWatch
watch = FileWatch(print)
print(watch.arm(["/", "/etc"]), watch.arm(["/", "/etc"]), bool(watch.failure))
watch.close()
"""


@pytest.mark.root
@pytest.mark.parametrize("limit", [("instances", "0"), ("watches", "0"), ("watches", "1")])
def test_a_kernel_that_watches_no_more_is_told_and_asked_again(limit: tuple[str, str]) -> None:
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", EXHAUSTED, *limit, sys.executable, "-c", ARMS],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout == "True True True\n"


MAY_NOT = """\
import os, sys
from reconciler.host.machine.watching import FileWatch
os.setgroups([]); os.setgid(65534); os.setuid(65534)
watch = FileWatch(print)
print(watch.arm(["/", sys.argv[1]]), watch.arm(["/", sys.argv[1]]), watch.failure)
watch.close()
"""


@pytest.mark.root
def test_a_folder_that_may_not_be_looked_into_keeps_the_others_from_nothing(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-c", MAY_NOT, tmp_path],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout == "True False \n"
