"""Builds between the store's rows and the daemon's values.

What a build does while it runs (stages, diagnostics) lies in the row as one JSON value, which the event log brings up
to date together with the events that tell of it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import msgspec

from cache.digest import Digest
from cache.history import BuildChange, BuildRow, History, NewBuild, NewEvent, Verdict
from daemon.builds import Build, BuildFailure, BuildRequest, BuildState, Diagnostic, Outcome, StageRecord, Verification
from daemon.errors import IdempotencyMismatch, QueueFull, UnknownBuild
from daemon.events import EventKind

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildDone:
    """What an attempt has done so far, for its build's record."""

    stages: tuple[StageRecord, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    def encoded(self) -> bytes:
        """As it is stored."""
        return _encode(self)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A build that a request has: made for it, or known by its idempotency key."""

    build: Build
    new: bool


@dataclass(frozen=True, slots=True)
class BuildList:
    """Builds, newest first; `next` is the cursor (a sequence) for what follows, None at the end."""

    builds: tuple[Build, ...]
    next: int | None


_request = msgspec.json.Decoder(BuildRequest).decode
_done = msgspec.json.Decoder(BuildDone).decode
_outcome = msgspec.json.Decoder(Outcome).decode
_failure = msgspec.json.Decoder(BuildFailure).decode
_verification = msgspec.json.Decoder(Verification).decode


class BuildRecords:
    """The builds on record."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def create(
        self, build: str, request: BuildRequest, *, at: float, bound: int, idempotency_key: str | None = None
    ) -> Accepted:
        """Accept a request as a queued build; `QueueFull` at the bound, `IdempotencyMismatch` for a key's other use."""
        encoded = _encode(request)
        new = NewBuild(
            id=build,
            scope=request.scope,
            project=request.project or "",
            state=BuildState.QUEUED,
            created_at=at,
            request=encoded,
            request_digest=Digest.of(encoded),
            idempotency_key=idempotency_key,
        )
        admission = await self._history.create_build(new, bound, state_event(build, at, BuildState.QUEUED, 0))
        if admission.row is None:
            raise queue_full(bound)
        if admission.verdict is Verdict.MISMATCH:
            raise IdempotencyMismatch(
                f"The key was used for build {admission.row.id} with another request: choose a new key, or send what "
                "was sent then.",
                build=admission.row.id,
            )
        return Accepted(_build(admission.row), admission.verdict is Verdict.ACCEPTED)

    async def change(
        self, build: Build, expected: Collection[BuildState], change: BuildChange, *, at: float
    ) -> Build | None:
        """Move a build to another state, with the event that says so; None where it is in no expected state."""
        attempt = build.attempt if change.attempt is None else change.attempt
        event = state_event(build.id, at, BuildState(change.state), attempt)
        row = await self._history.change_build(build.id, expected, change, [event])
        return _build(row) if row else None

    async def build(self, build: str) -> Build:
        """One build; `UnknownBuild` where there is none."""
        row = await self._history.build(build)
        if row is None:
            raise unknown_build(build)
        return _build(row)

    async def builds(
        self,
        cursor: int | None = None,
        limit: int = 50,
        *,
        state: BuildState | None = None,
        project: str | None = None,
        scope: str | None = None,
    ) -> BuildList:
        """Builds newest first, those before the cursor, `limit` at most."""
        page = await self._history.builds(cursor, limit, state=state, project=project, scope=scope)
        return BuildList(tuple(map(_build, page.rows)), page.next)

    async def waiting(self) -> tuple[Build, ...]:
        """The queue, in order."""
        return tuple(map(_build, await self._history.builds_in(BuildState.QUEUED)))

    async def running(self) -> tuple[Build, ...]:
        """What runs, or ran when the daemon ended."""
        return tuple(map(_build, await self._history.builds_in(BuildState.RUNNING)))

    async def counts(self) -> dict[BuildState, int]:
        """How many builds are in each state."""
        return {BuildState(state): number for state, number in (await self._history.count_builds()).items()}


def unknown_build(build: str) -> UnknownBuild:
    """Refuses an id that is nobody's, or not the caller's to know of."""
    return UnknownBuild(
        f"No build has the id {build[:64]!r}: `bloomery ls` (GET /v1/builds) lists those there are.", build=build[:64]
    )


def queue_full(bound: int) -> QueueFull:
    """Refuses a build because so many wait."""
    return QueueFull(
        f"{bound} builds are waiting, which is as many as may ([builds] queue): try again when some are done.",
        bound=bound,
    )


def state_event(build: str, at: float, state: BuildState, attempt: int) -> NewEvent:
    """The event that tells of a state."""
    return NewEvent(build, at, EventKind.STATE, _encode({"state": state, "attempt": attempt}))


def encoded(value: Outcome | BuildFailure | Diagnostic | dict[str, Any]) -> bytes:
    """A value as it is stored."""
    return _encode(value)


def _build(row: BuildRow) -> Build:
    done = _done(row.progress) if row.progress else BuildDone()
    return Build(
        id=row.id,
        sequence=row.sequence,
        request=_request(row.request),
        state=BuildState(row.state),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        attempt=row.attempt,
        stages=done.stages,
        outcome=_outcome(row.outcome) if row.outcome else None,
        failure=_failure(row.failure) if row.failure else None,
        diagnostics=done.diagnostics,
        verification=_verification(row.verification) if row.verification else None,
    )
