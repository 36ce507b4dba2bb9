"""Builds a sample of the builds again clean, behind the answers, and compares the images.

One that differs is built clean once more: where the two clean builds differ from each other, the source is not
reproducible and nothing can be told; where they agree, what the build had reused was wrong, and is revoked. What comes
of it stands in the build's record. It may be given up at any time: nothing depends on it.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import msgspec
import structlog

from cache.blobs import BlobStore
from cache.digest import Digest, DigestMismatch
from cache.errors import Failure
from cache.gc import EntryKind, EntryName
from cache.units import UnitRecord
from cache.verifications import VerificationRecord
from daemon.behind import Behind
from daemon.builds import Build, Outcome, Verification, Verified
from daemon.ecosystems.planned import Plan
from daemon.engine.settled import to_the_end
from daemon.metrics import Metrics
from daemon.pipeline.clean import Clean
from daemon.pipeline.compilation import Planned
from daemon.verification.comparison import differences
from daemon.verification.sample import wanted

_ENOUGH = (Verified.WAITING, Verified.EQUAL, Verified.UNSTABLE)
"""Images with one of these are not verified again, unless somebody asks for it."""
_MOST = 16
"""How many may wait: each holds its plan."""


class Records(Protocol):
    """Where it is written down."""

    async def record_verification(self, record: VerificationRecord) -> None:
        """Keep it, in place of what was known of the same build."""
        ...

    async def verifications_in(self, result: str) -> tuple[VerificationRecord, ...]:
        """All with this result."""
        ...

    async def is_verified(self, scope: str, key: Digest, images: str, results: Collection[str]) -> bool:
        """Whether these images have one of these results."""
        ...


class CleanBuilds(Protocol):
    """Makes clean builds."""

    async def made(self, planned: Planned, build: Build) -> Clean:
        """Build once; raises what is no fault of the source's."""
        ...


class Revocation(Protocol):
    """Takes back what proved wrong."""

    async def revoke(self, plan: Plan, scope: str, differing: Collection[UnitRecord] | None) -> int:
        """Revoke what a build of this plan has reused; returns how many entries went."""
        ...


class Discard(Protocol):
    """Keeps the disk clear."""

    async def discard(self, blobs: Collection[Digest]) -> None:
        """Remove those of these blobs that no record names."""
        ...


class Uses(Protocol):
    """Who knows what is in use."""

    def note(self, build: str, *names: EntryName) -> None:
        """These stay until it has ended."""
        ...

    def ended(self, build: str) -> None:
        """Nothing is used any more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A build that is to be verified."""

    planned: Planned
    build: Build
    outcome: Outcome

    @property
    def name(self) -> str:
        """Of what it uses, and of its sandboxes."""
        return f"{self.build.id}-verify"

    @property
    def images(self) -> str:
        return " ".join(image.digest for image in self.outcome.images)

    def record(self, told: Verification) -> VerificationRecord:
        return VerificationRecord(
            build=self.build.id,
            scope=self.build.request.scope,
            key=self.planned.plan.result.digest,
            images=self.images,
            result=told.result,
            value=msgspec.json.encode(told),
            at=told.at or time.time(),
        )


class Verifier:
    """Chooses, builds again, compares, tells."""

    def __init__(
        self,
        *,
        rate: float,
        clean: CleanBuilds,
        records: Records,
        revocation: Revocation,
        discard: Discard,
        blobs: BlobStore,
        uses: Uses,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rate = rate
        self._clean = clean
        self._records = records
        self._revocation = revocation
        self._discard = discard
        self._blobs = blobs
        self._uses = uses
        self._metrics = metrics
        self._clock = clock
        self._log = structlog.get_logger()
        self.behind = Behind(_MOST)
        """Its own: a clean build takes minutes, and harvests must not wait for it."""

    async def consider(self, planned: Planned, build: Build, outcome: Outcome) -> None:
        """Verify this build some time if it is wanted; nothing that happens here is a failure of the build."""
        if not wanted(build, outcome, self._rate):
            return
        case = _Case(planned=planned, build=build, outcome=outcome)
        try:
            if not build.request.verify and await self._is_known(case):
                return
            await self._records.record_verification(case.record(Verification(result=Verified.WAITING)))
            project = planned.project
            names = [EntryName(EntryKind.TREE, (build.request.tree,))]
            names.append(EntryName(EntryKind.FETCHED, ("listing", str(project.fetching.key()))))
            self._uses.note(case.name, *names)
            if not self.behind.put("verification", build.id, partial(self.verify, case)):
                self._uses.ended(case.name)
                await self._settle(case, Verification(result=Verified.DROPPED, detail="too many waited for it"))
        except Failure as failure:
            self._log.warning("verification.not_owed", build=build.id, kind=failure.kind, detail=failure.detail)

    async def run(self) -> None:
        """Verify what waits until cancelled; first of all, what an earlier daemon left is dropped."""
        try:
            for left in await self._records.verifications_in(Verified.WAITING):
                told = Verification(result=Verified.DROPPED, detail="the daemon ended before", at=self._clock())
                value = msgspec.json.encode(told)
                self._metrics.verified(told.result)
                await self._records.record_verification(
                    replace(left, result=told.result, value=value, at=self._clock())
                )
        except Failure as failure:
            self._log.warning("verification.not_dropped", kind=failure.kind, detail=failure.detail)
        await self.behind.run()

    async def verify(self, case: _Case) -> None:
        """Build again now, and compare; raises only what the store does."""
        started = time.monotonic()
        try:
            told = await self._compared(case)
        except (FileNotFoundError, DigestMismatch):
            told = Verification(result=Verified.DROPPED, detail="its sources are not all here any more")
        except Failure as failure:
            told = Verification(result=Verified.FAILED, detail=f"{failure.kind}: {failure.detail}")
        except Exception as error:  # noqa: BLE001 - hostile bytes are read here, and the record has to say how it ended
            self._log.exception("verification.failed_inside", build=case.build.id)
            told = Verification(result=Verified.FAILED, detail=f"{type(error).__name__} in the daemon")
        finally:
            self._uses.ended(case.name)
        await self._settle(case, replace(told, seconds=time.monotonic() - started))

    async def _is_known(self, case: _Case) -> bool:
        key = case.planned.plan.result.digest
        return await self._records.is_verified(case.build.request.scope, key, case.images, _ENOUGH)

    async def _compared(self, case: _Case) -> Verification:
        made: list[Clean] = []
        try:
            made.append(await self._clean_build(case, 1))
            images = await asyncio.to_thread(differences, case.outcome.images, made[0], self._blobs)
            if not images:
                return Verification(result=Verified.EQUAL, units=_packages(made[0].units))
            made.append(await self._clean_build(case, 2))
        finally:
            if written := _written(case, made):
                await self._discard.discard(written)
        first, second = made
        told = Verification(result=Verified.UNSTABLE, images=images, detail=first.failure, units=_packages(first.units))
        if first.identity != second.identity:
            return replace(told, detail=told.detail or second.failure)
        revoked = await to_the_end(self._revocation.revoke(case.planned.plan, case.build.request.scope, first.units))
        return replace(told, result=Verified.DIFFERENT, revoked=revoked)

    async def _clean_build(self, case: _Case, number: int) -> Clean:
        return await self._clean.made(case.planned, replace(case.build, id=f"{case.name}-{number}"))

    async def _settle(self, case: _Case, told: Verification) -> None:
        told = replace(told, at=self._clock())
        self._metrics.verified(told.result)
        tell = self._log.warning if told.images else self._log.info
        tell("verified", **_told(case, told))
        await self._records.record_verification(case.record(told))


def _told(case: _Case, told: Verification) -> dict[str, object]:
    """For the log."""
    said: dict[str, object] = {"build": case.build.id, "rung": case.outcome.reuse.rung, "result": told.result}
    said |= {"detail": told.detail} if told.detail else {}
    said |= {"units": told.units} if told.units else {}
    if told.images:
        said["revoked"] = told.revoked
        said["images"] = [
            {
                "binary": image.binary,
                "digest": image.digest,
                "clean": image.clean,
                "files": [f"{file.path} {file.presence}" for file in image.files.files],
            }
            for image in told.images
        ]
    return said


def _packages(units: Iterable[UnitRecord] | None) -> tuple[str, ...]:
    return tuple(sorted({f"{unit.origin.name} {unit.origin.version}" for unit in units or ()}))


def _written(case: _Case, clean: Iterable[Clean]) -> set[Digest]:
    """What clean builds have written that the build itself had not."""
    own = set(case.images.split())
    return {blob for each in clean for image in each.images if image.digest not in own for blob in image.blobs}
