"""What hosts run by a published summary; apart from ``policy check``, which mostly reads none."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from reconciler.errors import Misuse
from reconciler.planning.fleet.rows import Row
from reconciler.planning.fleet.summary import read_rows
from reconciler.planning.impact.subjects import version_of
from reconciler.policy.problems import visible


def versions(summaries: Sequence[str]) -> Mapping[str, str]:
    """Return the program's version on each host, as far as files of published summaries tell it.

    Raises:
        Misuse: One is no summary, or cannot be read.
    """
    rows = (row for path in summaries for row in _rows(Path(path)))
    return {row.target: version for row in rows if (version := version_of(row))}


def _rows(path: Path) -> Iterator[Row]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Misuse(
            f"cannot read {path}: {error.strerror}", "give summary.json of `fleet publish`"
        ) from error
    yield from read_rows(data, visible(str(path)))[1]
