"""What the command imports and starts, seen from within."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# Runs the command in a bare interpreter and says what it imported and started.
WITNESS = """\
import gc, json, sys
started = []
searching = set()
searched = []
def search(phase, _):
    if phase == "start":
        searched.append(len(gc.get_objects(0)))
gc.callbacks.append(search)
def see(event, arguments):
    if event in {"subprocess.Popen", "os.posix_spawn"}:
        searching.add(gc.isenabled())
    if event == "subprocess.Popen":
        started.append(list(map(str, arguments[1])))
    elif event == "os.posix_spawn":
        started.append(list(map(str, arguments[1])))
    elif event in {"os.fork", "os.forkpty", "os.system", "os.exec", "pty.spawn"}:
        started.append([event])
sys.addaudithook(see)
sys.path[:0] = json.loads(sys.argv[1])
before = set(sys.modules)
from reconciler.cli import main
code = main(sys.argv[2:])
modules = sorted(set(sys.modules) - before)
gc.callbacks.clear()
searching, searched = list(searching), max(searched, default=0)
told = {"modules": modules, "started": started, "searching": searching, "searched": searched}
print(json.dumps({"code": code, **told}))
"""


def witnessed(*arguments: str, packages: bool = False) -> Any:
    """Run the command in an interpreter of its own; only with ``packages`` has it more than the library."""
    paths = [str(Path.cwd()), *(path for path in sys.path if packages and path.endswith("-packages"))]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", WITNESS, json.dumps(paths), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
