"""The one kind of error that is a person's to mend."""

from __future__ import annotations

MENDABLE = ("bad_input", "bad_row", "disk_full", "read_only")
"""Causes, as in `jobs.events.Failed`, that are a person's to mend."""


class WorkbenchError(Exception):
    """Something that the person can put right: bad input, a full disk, no network.

    The message says what is wrong and where; `hint` says what to do. The command
    line prints both and exits with 2, the screens show both; neither ever shows a
    traceback for it.
    """

    exit_code = 2
    """What the command line ends with."""

    def __init__(self, message: str, hint: str = "", cause: str = "bad_input") -> None:
        """`cause` is a short name, as in `jobs.events.Failed`."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.cause = cause

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class NewerRelease(WorkbenchError):
    """A file that another, newer release has written, in a version that this one doesn't know."""

    def __init__(self, path: object, version: object, known: int) -> None:
        super().__init__(
            f"{path} is of a newer release: its version is {version!r}, and this release knows "
            f"{known}.",
            "Use the release that wrote it.",
        )


class JobFailed(WorkbenchError):
    """A job that was waited for ended by itself, or was killed; in its own words."""

    def __init__(self, message: str, hint: str, cause: str) -> None:
        super().__init__(message, hint, cause)
        self.exit_code = 2 if cause in MENDABLE else 1
