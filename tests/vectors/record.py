"""Write a vector from recorded output: ``python -m tests.vectors.record apt observe NAME FILE [ABOUT]``."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.vectors.vector import FOLDER, Vector, expected_of

if __name__ == "__main__":
    manager, kind, name, file, *about = sys.argv[1:]
    text = Path(file).read_text(encoding="utf-8")
    at = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
    vector = {
        "about": " ".join(about) or "tell where it was recorded and why it is here",
        "manager": manager,
        "kind": kind,
        "at": at.isoformat(),
        "output": text.removesuffix("\n").split("\n"),
        "expected": {},
    }
    vector["expected"] = expected_of(Vector.model_validate_json(json.dumps(vector)))
    path = FOLDER / f"{manager}-{name}.json"
    path.write_text(json.dumps(vector, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path}\n")
