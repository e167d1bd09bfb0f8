"""The form of the recorded vectors, and what the parsers make of one."""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

from reconciler.managers.detect import dialect_of
from reconciler.planning.facts.observation import Answer, Observation, Refresh
from reconciler.policy.managers import ManagerName
from tests.managers.told import parse_answer, parse_observe, parse_refresh

FOLDER = Path(__file__).parent

OBSERVATION = TypeAdapter(Observation)
ANSWER = TypeAdapter(Answer)
REFRESH = TypeAdapter(Refresh)


class Vector(BaseModel):
    """A recorded output and what must be read from it; see the folder's README."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str
    manager: ManagerName
    kind: Literal["observe", "answer", "refresh"]
    at: datetime
    output: tuple[str, ...]
    expected: dict[str, Any]

    @property
    def text(self) -> str:
        """The output as it was printed."""
        return "\n".join(self.output) + "\n"


def expected_of(vector: Vector) -> Any:
    """Return what the parsers read from a vector, as JSON."""
    dialect = dialect_of(vector.manager)
    match vector.kind:
        case "observe":
            return OBSERVATION.dump_python(parse_observe(dialect, vector.text, vector.at), mode="json")
        case "answer":
            return ANSWER.dump_python(parse_answer(dialect, vector.text), mode="json")
        case "refresh":
            return REFRESH.dump_python(parse_refresh(dialect, vector.text), mode="json")


def recorded(name: str) -> Vector:
    """Return the vector of this name, such as ``apt-observe-lab``."""
    return Vector.model_validate_json((FOLDER / f"{name}.json").read_bytes())


def changed(name: str, **sections: str) -> str:
    """Return a recorded output with the payload of some sections replaced; ``_`` stands for ``-``."""
    out: list[str] = []
    skipping = False
    for line in recorded(name).output:
        if line.startswith("[") and (key := line[1:-1].replace("-", "_")) in sections:
            out += [line, *(f"|{row}" for row in sections[key].splitlines())]
            skipping = True
        elif not skipping or line.startswith("= "):
            out.append(line)
            skipping = False
    return "\n".join(out) + "\n"
