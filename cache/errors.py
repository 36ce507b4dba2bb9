"""The root of every failure that Bloomery reports, and what the caller should do about it.

Each cause has a class of its own, in the ring that finds it: `cache` here and beside its modules, `daemon` in
`daemon.errors`. `api.problems` is the one place that turns them into RFC 9457 problems and back.
"""

from enum import StrEnum
from typing import ClassVar

Evidence = str | int | float | bool | None | list["Evidence"] | dict[str, "Evidence"]


class Blame(StrEnum):
    """Whose turn it is after a failure."""

    REQUEST = "request"
    """The caller sends another request."""
    SOURCE = "source"
    """The author of the source mends it."""
    LIMIT = "limit"
    """A configured bound was met: raise it, or ask for less."""
    INFRASTRUCTURE = "infrastructure"
    """The operator, or time, mends it; the same request may pass later."""


class Failure(Exception):  # noqa: N818 - the word of the domain; subclasses name causes
    """A failure with a stable `kind`, a title that never varies, and a detail that says what to do.

    `evidence` holds JSON values that a program can act on, such as the list of binaries to choose from.
    """

    kind: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something inside Bloomery failed"
    blame: ClassVar[Blame] = Blame.INFRASTRUCTURE

    def __init__(self, detail: str, **evidence: Evidence) -> None:
        super().__init__(detail)
        self.detail = detail
        self.evidence = evidence


class NoSpace(Failure):
    """A disk is full: the store's, or the engine's."""

    kind = "no_space"
    title = "There is no space left"
