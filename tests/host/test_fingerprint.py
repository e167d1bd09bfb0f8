"""A quiet tick's question: did anything that the last full tick depended on change?"""

import os
from pathlib import Path

import pytest

from reconciler.host.state.fingerprint import Fingerprint, signature


@pytest.fixture
def watched(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "InRelease").write_text("one", encoding="utf-8")
    (tmp_path / "status").write_text("installed", encoding="utf-8")
    return str(tmp_path / "lists"), str(tmp_path / "status"), str(tmp_path / "absent")


def test_nothing_changed_is_the_same_signature(watched: tuple[str, ...]) -> None:
    assert signature(watched) == signature(watched)


def test_every_kind_of_change_is_seen(watched: tuple[str, ...]) -> None:
    lists, status, absent = (Path(path) for path in watched)
    seen = {signature(watched)}

    def changed() -> None:
        now = signature(watched)
        assert now not in seen
        seen.add(now)

    (lists / "other").write_text("new file below a folder", encoding="utf-8")
    changed()
    (lists / "InRelease").unlink()
    changed()
    absent.write_text("came", encoding="utf-8")
    changed()
    status.chmod(0o600)
    changed()
    replacement = status.with_name("status-new")
    replacement.write_text("installed", encoding="utf-8")
    replacement.replace(status)
    changed()


def test_a_file_put_back_with_its_old_time_is_still_seen(watched: tuple[str, ...]) -> None:
    status = Path(watched[1])
    before, found = signature(watched), status.stat()
    status.write_text("INSTALLED", encoding="utf-8")
    os.utime(status, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert status.stat().st_mtime_ns == found.st_mtime_ns
    assert signature(watched) != before


def test_compiled_modules_are_no_change(tmp_path: Path) -> None:
    """Whoever imports a module first makes a folder for it, while other ticks are told to stay quiet."""
    (tmp_path / "module.py").touch()
    before = signature((str(tmp_path),))
    (tmp_path / "__pycache__").mkdir()
    assert signature((str(tmp_path),)) == before
    (tmp_path / "__pycache__" / "module.cpython-311.pyc").touch()
    assert signature((str(tmp_path),)) == before
    (tmp_path / "other.py").touch()
    assert signature((str(tmp_path),)) != before


def test_a_module_that_is_installed_anew_is_a_change(tmp_path: Path) -> None:
    package = tmp_path / "program"
    (package / "data").mkdir(parents=True)
    for name in ("__init__.py", "module.py", "data/script.sh"):
        (package / name).touch()
    seen = {signature((str(package),))}
    installed = tmp_path / "module.new"
    installed.write_text("new", encoding="utf-8")
    installed.replace(package / "module.py")
    seen.add(signature((str(package),)))
    (package / "module.py").unlink()
    seen.add(signature((str(package),)))
    # All else that it has is looked at as everywhere.
    (package / "data/script.sh").write_text("new", encoding="utf-8")
    seen.add(signature((str(package),)))
    assert len(seen) == len({"before", "installed", "removed", "script"})


def test_hooks_in_python_are_looked_at_as_all_hooks(tmp_path: Path) -> None:
    hook = tmp_path / "10-first.py"
    hook.touch(mode=0o755)
    before = signature((str(tmp_path),))
    hook.write_text("changed where it is", encoding="utf-8")
    assert signature((str(tmp_path),)) != before


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    assert signature((str(tmp_path),)) == signature((str(tmp_path),))


def test_it_survives_its_file() -> None:
    made = Fingerprint(
        program="0.1.0 /usr/lib",
        config="c",
        watched=("/a",),
        signature="s",
        commit="f" * 40,
        mirror="/m",
        ref="refs/remotes/policy/main",
        stamp="/m/stamp",
        argv=("git", "fetch"),
        env={"A": "b"},
        timeout=30.0,
        since=9.5,
        until=17.5,
        says="quiet",
        reports={"head": "e" * 40, "folder": "/r", "ref": "refs/heads/hosts/a", "argv": [], "env": {}},
    )
    again = Fingerprint.from_json(made.to_json())
    assert again is not None
    assert {name: getattr(again, name) for name in Fingerprint.__slots__} == {
        name: getattr(made, name) for name in Fingerprint.__slots__
    }


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": 3}', b'{"format": 1}', b"\xff"])
def test_a_damaged_or_foreign_file_is_no_fingerprint(data: bytes) -> None:
    assert Fingerprint.from_json(data) is None
