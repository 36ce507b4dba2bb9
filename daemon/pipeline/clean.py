"""A clean build of what was built before: nothing is reused, and nothing of it stays.

What the lock proves need not be fetched again; everything is compiled. No tag, no record, no workspace and no unit
comes of it, and its layer's image goes with it. It has sandboxes of its own, in which builds have precedence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from cache.digest import Digest
from cache.errors import Blame, Failure
from cache.units import UnitRecord
from daemon.builds import Build, ContentEntry, Reuse
from daemon.ecosystems.planned import Grain
from daemon.engine.settled import to_the_end
from daemon.errors import FetchFailed
from daemon.image.assembled import AssembledImage
from daemon.pipeline.attempt import Attempt, Attempts
from daemon.pipeline.compilation import Made, Planned
from daemon.pipeline.finish import FinishStage
from daemon.pipeline.sandboxes import SandboxSettings
from daemon.pipeline.unheard import Unheard

_WEIGHT = 0.125


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanImage:
    """An image that is in no engine."""

    binary: str
    digest: str
    """Of its manifest."""
    contents: tuple[ContentEntry, ...]
    blobs: frozenset[Digest]
    """All that was written for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    """What came of it: images in the order of the request, or why there are none, which the source is to blame for."""

    images: tuple[CleanImage, ...] = ()
    failure: str = ""
    """The failure's kind, and what it says."""
    units: tuple[UnitRecord, ...] | None = ()
    """The stored units in whose place it has made other bytes; None where that cannot be told."""

    @property
    def identity(self) -> tuple[str, ...]:
        """The same for two builds that came to the same."""
        return (self.failure.partition(":")[0], *(image.digest for image in self.images))


def giving_way(settings: SandboxSettings) -> SandboxSettings:
    """The sandboxes of clean builds: where builds want the processors, too, these get an eighth of what each has."""
    return replace(settings, limits=replace(settings.limits, weight=_WEIGHT))


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeAnew:
    """What images are made of, with nothing reused; `units` as `Clean` has them."""

    made: Made
    units: tuple[UnitRecord, ...] | None = ()


class Anew(Protocol):
    """Who makes it without reusing anything, for a language."""

    async def made(self, planned: Planned, attempt: Attempt) -> MadeAnew:
        """Nothing of it stays."""
        ...

    async def ended(self) -> None:
        """Take away what had to be left until the sandboxes were gone."""
        ...


class CleanBuilds:
    """Makes clean builds."""

    def __init__(self, *, ways: Mapping[Grain, Anew], finish: FinishStage, attempts: Attempts) -> None:
        self._ways = ways
        self._finish = finish
        self._attempts = attempts

    async def made(self, planned: Planned, build: Build) -> Clean:
        """Build once; `build` has an id that no other has. Raises what is no fault of the source's."""
        own = replace(build, request=replace(build.request, reuse=Reuse.ALL))
        way = self._ways[planned.plan.grain]
        try:
            async with self._attempts.begun(own, Unheard("clean", own.id)) as attempt:
                anew = await way.made(planned, attempt)
                assembled = self._finish.assembled(anew.made, planned.source, planned.plan)
                return Clean(images=tuple([_image(image, anew.made) async for image in assembled]), units=anew.units)
        except Failure as failure:
            if failure.blame is not Blame.SOURCE or isinstance(failure, FetchFailed):
                raise
            return Clean(failure=f"{failure.kind}: {failure.detail}", units=None)
        finally:
            await to_the_end(way.ended())


def _image(image: AssembledImage, made: Made) -> CleanImage:
    written = {image.manifest_digest, image.image_id, *image.layers, image.listing}
    symbols = {image.symbols} if image.symbols else set[Digest]()
    return CleanImage(
        binary=image.binary,
        digest=str(image.manifest_digest),
        contents=image.contents,
        blobs=frozenset(written | symbols | made.written),
    )
