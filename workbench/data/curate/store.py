"""Findings on disk, beside the rows: `datasets/NAME/VERSION/findings/CHECK-KEY/`.

The key stands for all that decides what is found: the check's version, its options, the library
that it counts with. The rows are the version's own, so what is there need not be looked for
again, and is never changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.data.curate.checks import Check
from workbench.data.curate.findings import Finding
from workbench.data.versions import Version
from workbench.errors import WorkbenchError
from workbench.files import building_folder, explain_os_error, read_json_object, write_json, writing

FINDINGS = "findings.jsonl"
_FOLDER = "findings"
_SUMMARY = "summary.json"
_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Findings:
    """What one check with one set of options found in one version."""

    folder: Path
    check: str
    options: dict[str, Any]
    rows: int
    """Rows that were looked through."""
    flagged: int
    """Rows with a finding."""
    kinds: dict[str, int]
    """Findings by kind."""

    @property
    def path(self) -> Path:
        return self.folder / FINDINGS

    def read(self) -> Iterator[Finding]:
        """The findings, in the order of the rows.

        Raises WorkbenchError for a file that was changed.
        """
        try:
            with self.path.open(encoding="utf-8") as stream:
                for line in stream:
                    yield Finding.from_json(json.loads(line))
        except OSError as error:
            raise explain_os_error(error, f"read {self.path}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise WorkbenchError(
                f"{self.path} was changed: it has lines that are no findings.",
                f"Remove {self.folder}, and look again.",
            ) from error

    def to_json(self) -> dict[str, Any]:
        """For `--json`, and for the card of a version."""
        return {**asdict(self), "folder": str(self.folder)}


def find(version: Version, check: Check, options: Any) -> Findings | None:
    """What the check found with these options; None where it has not looked yet."""
    with suppress(WorkbenchError):
        return read(_folder(version, check, options))
    return None


def write(version: Version, check: Check, options: Any, found: Iterable[Finding]) -> Findings:
    """Keep what a check finds, and return it. Raises WorkbenchError when it can't be written,
    and what the search itself raises; nothing is left behind then."""
    folder = _folder(version, check, options)
    kinds: Counter[str] = Counter()
    flagged, last = 0, -1
    with building_folder(folder) as building:
        with writing(building / FINDINGS) as stream:
            for finding in found:
                line = json.dumps(finding.to_json(), ensure_ascii=False)
                stream.write(f"{line}\n".encode("utf-8", "surrogatepass"))
                kinds[finding.kind] += 1
                flagged += finding.row != last
                last = finding.row
        summary = {
            "v": 1,
            "check": check.NAME,
            "check_version": check.VERSION,
            "options": asdict(options),
            "rows": version.rows,
            "flagged": flagged,
            "kinds": dict(kinds.most_common()),
        }
        write_json(building / _SUMMARY, summary)
    return read(folder)


def touch(found: Findings) -> None:
    """Have it be the newest of its check: what was asked for last is what `flag:` goes by."""
    with suppress(OSError):  # of a workspace that can only be read
        os.utime(found.folder / _SUMMARY)


def list_findings(version: Version) -> list[Findings]:
    """What is known of a version, the newest of each check first."""
    paths = (version.folder / _FOLDER).glob(f"[!.]*/{_SUMMARY}")
    found = []
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        with suppress(WorkbenchError):
            found.append(read(path.parent))
    return found


def _folder(version: Version, check: Check, options: Any) -> Path:
    how = {"version": check.VERSION, "options": asdict(options)}
    digest = hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()
    return version.folder / _FOLDER / f"{check.NAME}-{digest[:_DIGITS]}"


def read(folder: Path) -> Findings:
    """What is in the folder of a check. Raises WorkbenchError when it is no such folder."""
    body = read_json_object(folder / _SUMMARY)
    try:
        return Findings(
            folder,
            check=body["check"],
            options=body["options"],
            rows=body["rows"],
            flagged=body["flagged"],
            kinds=body["kinds"],
        )
    except KeyError as error:
        raise WorkbenchError(
            f"{folder / _SUMMARY} has no {error}: it describes no findings.",
            f"Remove {folder}, and look again.",
        ) from error
