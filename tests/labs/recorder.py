"""A program in front of another one, that writes down how it is called before it becomes that."""

from pathlib import Path

from reconciler.process import BASE_PATH


def recording(folder: Path, program: str, command: str) -> tuple[str, Path]:
    """Put a program of this name before all others.

    Args:
        folder: Where nothing is yet, for it and for what it writes.
        program: Its name, that of the real one.
        command: What the shell runs first, with the arguments of the call; its output is kept.

    Returns:
        The search path that finds it, and the file with what ``command`` said at each call.
    """
    folder.mkdir()
    said = folder / "said"
    said.touch()
    itself = folder / "bin" / program
    itself.parent.mkdir()
    itself.write_text(
        f"#!/bin/sh\nPATH={BASE_PATH}\nexport PATH\n"
        f"{{ {command}\n}} >>'{said}' 2>&1 </dev/null\nexec {program} \"$@\"\n"
    )
    itself.chmod(0o755)
    return f"{itself.parent}:{BASE_PATH}", said
