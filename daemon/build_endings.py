"""How an attempt at a build ends, and what becomes of the build then."""

from enum import StrEnum

from cache.errors import Blame, Failure
from cache.history import BuildChange
from daemon.build_records import encoded
from daemon.builds import Build, BuildFailure, BuildState, Outcome
from daemon.errors import NoToolchain

_NOT_AGAIN = (NoToolchain,)
"""The infrastructure's, and no short wait will mend it."""


class Stop(StrEnum):
    """Why a running build is to end early."""

    CANCEL = "cancel"
    DRAIN = "drain"


def may_be_tried_again(build: Build, failure: Failure, attempts: int) -> bool:
    """Whether another attempt, of so many at most, may end otherwise."""
    known = failure.kind != Failure.kind and not isinstance(failure, _NOT_AGAIN)
    return known and failure.blame is Blame.INFRASTRUCTURE and build.attempt < attempts


def final(build: Build, ended: Outcome | Failure | Stop, done: bytes, at: float) -> BuildChange:
    """What the last attempt leaves on record; a build that was drained waits again as if it had not begun."""
    if ended is Stop.DRAIN:
        return BuildChange(state=BuildState.QUEUED, attempt=build.attempt - 1)
    if ended is Stop.CANCEL:
        return BuildChange(state=BuildState.CANCELLED, finished_at=at, progress=done)
    if isinstance(ended, Failure):
        return failed(ended, at, done)
    return BuildChange(
        state=BuildState.SUCCEEDED,
        finished_at=at,
        project=ended.project,
        progress=done,
        outcome=encoded(ended),
    )


def failed(failure: Failure, at: float, done: bytes | None = None) -> BuildChange:
    """What a failure leaves on record."""
    value = BuildFailure(
        kind=failure.kind,
        title=failure.title,
        detail=failure.detail,
        blame=failure.blame,
        evidence=dict(failure.evidence),
    )
    return BuildChange(state=BuildState.FAILED, finished_at=at, failure=encoded(value), progress=done)
