"""The page about config.yaml names every key with its default, and its example is valid."""

import re
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from reconciler.host.config import Config, Notifier, load_config

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"


def keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Return the dotted names of all keys of a model, in its order."""
    found: list[str] = []
    for name, field in model.model_fields.items():
        section = section_of(field)
        if name == "notifiers":
            found += keys(Notifier, "notifiers.NAME.")
        elif section is not None:
            found += keys(section, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}")
    return found


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def test_every_key_is_documented_in_order() -> None:
    documented = re.findall(
        r"^\| `([a-zA-Z_.]+)` \|", PAGE.read_text(encoding="utf-8").split("## Keys")[1], re.MULTILINE
    )
    assert documented[: len(keys(Config))] == keys(Config)


def test_the_example_is_valid(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    file = tmp_path / "config.yaml"
    file.write_text(example[1], encoding="utf-8")
    file.chmod(0o600)
    assert load_config(file).host == "web-01"
