"""Environments of installed packages: what is kept of each package, and what a whole environment comes to.

Every package is installed by itself, so an environment is nothing but the files of its packages: one that was put
together before needs no sandbox, and neither does a new one whose packages are all kept. What is kept is blobs and
their names; a blob that is gone makes its package one that is not kept (law 9).
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from cache.blobs import BlobStore
from cache.digest import Digest, NotADigest
from cache.index import ResultRecord
from cache.keys import Key
from cache.reuse import Candidate, Rung, Standing, choose
from daemon.builds import BuildRequest
from daemon.ecosystems.kept import Fetched, KeptPackage
from daemon.ecosystems.planned import PackagesOf, Plan
from daemon.pipeline.reusable import Reusable

_package = msgspec.json.Decoder(KeptPackage).decode
_whole = msgspec.json.Decoder(Fetched).decode


class EnvironmentRecords(Protocol):
    """Where it stands which blobs hold what."""

    async def fetched(self, key: Digest) -> Digest | None:
        """The blob that lists what is kept under this key."""
        ...

    async def record_fetched(self, key: Digest, listing: Digest) -> None:
        """Remember it."""
        ...

    async def kept_packages(self, place: Digest, names: Collection[str]) -> Mapping[str, bytes]:
        """What is kept of single packages."""
        ...

    async def keep_packages(self, place: Digest, packages: Mapping[str, bytes]) -> None:
        """Remember it."""
        ...

    async def latest_result(self, scope: str, project: str, lineage: str) -> ResultRecord | None:
        """The last outcome of a lineage."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Installed packages by the names under which they are kept, all of them whole."""

    packages: Mapping[str, KeptPackage]

    @property
    def seconds(self) -> float:
        """What installing them took."""
        return sum(package.seconds for package in self.packages.values())


class Environments:
    """Finds and keeps installed packages."""

    def __init__(self, records: EnvironmentRecords, blobs: BlobStore) -> None:
        self._records = records
        self._blobs = blobs

    async def reusable(self, plan: Plan, request: BuildRequest, above: Sequence[Candidate]) -> Reusable:
        """What fits below the image itself: the whole environment, or those of its packages that are kept."""
        assert plan.packages is not None
        kept = await self.kept(plan.packages)
        near = await self._near(plan, request)
        standing = await self._standing(plan, kept)
        whole = Candidate(rung=Rung.LAYER, standing=standing, wanted=plan.exact, nearest=near)
        if standing is Standing.HELD:
            return Reusable(choice=choose((*above, whole)), packages=kept)
        single = Candidate(
            rung=Rung.UNITS,
            standing=Standing.HELD if kept else Standing.ABSENT,
            wanted=plan.packages.parts,
            nearest=near.only(plan.packages.parts.values().keys()) if near else None,
        )
        return Reusable(choice=choose((*above, whole, single)), packages=kept)

    async def kept(self, of: PackagesOf) -> Mapping[str, KeptPackage]:
        """The packages of an environment that are kept and whole."""
        values = await self._records.kept_packages(of.key, of.names)
        return await asyncio.to_thread(lambda: dict(self._complete(values)))

    async def keep(self, of: PackagesOf, packages: Mapping[str, KeptPackage]) -> None:
        """Keep what was installed; its blobs are there."""
        await self._records.keep_packages(
            of.key, {name: msgspec.json.encode(package) for name, package in packages.items()}
        )

    async def remember(self, plan: Plan, environment: Environment) -> None:
        """Keep that this environment was put together."""
        files = tuple(file for package in environment.packages.values() for file in package.fetched.files)
        listing = await asyncio.to_thread(self._blobs.put, msgspec.json.encode(Fetched(files=files)))
        await self._records.record_fetched(plan.exact.digest, listing)

    async def _standing(self, plan: Plan, kept: Mapping[str, KeptPackage]) -> Standing:
        listing = await self._records.fetched(plan.exact.digest)
        if listing is None:
            return Standing.ABSENT
        assert plan.packages is not None
        return Standing.HELD if kept.keys() >= set(plan.packages.names) else Standing.PRUNED

    async def _near(self, plan: Plan, request: BuildRequest) -> Key | None:
        """As much of the lineage's last result's key as decides an environment; to name what changed since."""
        nearest = await self._records.latest_result(request.scope, plan.project, request.lineage)
        if nearest is None:
            return None
        return replace(nearest.key.only(plan.exact.values().keys()), kind=plan.exact.kind)

    def _complete(self, values: Mapping[str, bytes]) -> Iterator[tuple[str, KeptPackage]]:
        for name, value in values.items():
            try:
                package = _package(value)
                wanted = [Digest.parse(blob) for blob in package.fetched.blobs]
            except (msgspec.MsgspecError, NotADigest):
                continue
            if not self._blobs.missing(wanted):
                yield name, package
