"""What an environment of packages is put together of: those that are kept, and those that are installed now.

Packages are installed without a network, in the sandbox that fetched them or in one of their own, and no file of the
sources is in it: what a package brings is the same for every project (law 6). Two builds that lack the same package
install it once.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from cache.digest import Digest
from cache.reuse import Rung, WhyNot
from daemon.builds import Diagnostic, Reuse, StageName
from daemon.ecosystems.application import Application
from daemon.ecosystems.ecosystem import InstalledProject
from daemon.ecosystems.kept import KeptPackage
from daemon.ecosystems.planned import PackagesOf
from daemon.engine.engine import Sandboxes
from daemon.errors import BadOutput, StillConnected
from daemon.keyed_locks import KeyedLocks
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.compilation import Compilation, Planned
from daemon.pipeline.environments import Environment, Environments
from daemon.pipeline.fetch import FetchStage, Provisions
from daemon.pipeline.spool import spooled
from daemon.units.cook import LiveUnit


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A whole environment; a `Made`."""

    environment: Environment
    application: Application
    spent: Mapping[str, float]
    reused: tuple[str, ...]
    live: tuple[LiveUnit, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    opened: frozenset[str] | None = None
    notes: tuple[str, ...] = ()
    written: frozenset[Digest] = frozenset()


class InstalledGround:
    """Puts environments together."""

    def __init__(
        self, *, environments: Environments, fetch: FetchStage, engine: Sandboxes, scratch: Path, limit: int
    ) -> None:
        self._environments = environments
        self._fetch = fetch
        self._engine = engine
        self._scratch = scratch
        self._limit = limit
        self._installing = KeyedLocks()

    async def compile(self, planned: Planned, attempt: Attempt) -> Compilation:
        """The environment: nothing of the sources themselves is compiled."""
        of, reusable = planned.plan.packages, planned.reusable
        assert of is not None
        for refusal in reusable.against(Rung.LAYER):
            if refusal.why is WhyNot.PRUNED:
                attempt.progress.note("A part of the kept environment is gone from here; it is made again.")
        kept, made = dict(reusable.packages), dict[str, KeptPackage]()
        if kept.keys() < set(of.names):
            async with self._installing.hold(of.key):
                if attempt.request.reuse is Reuse.ALL:
                    kept = dict(await self._environments.kept(of))
                made = dict(await self.installed(planned.installed, set(of.names) - kept.keys(), attempt))
                if attempt.trust.held:
                    await self._environments.keep(of, made)
        environment = environment_of(of, kept | made)
        if attempt.trust.held and reusable.choice.rung is not Rung.LAYER:
            await self._environments.remember(planned.plan, environment)
        rung = reusable.choice.rung if reusable.choice.rung is Rung.LAYER else Rung.UNITS if kept else Rung.NONE
        return Compilation(
            result=Installed(
                environment=environment,
                application=planned.installed.application,
                spent={package_words(name): package.seconds for name, package in made.items()},
                reused=tuple(package_words(name) for name in of.names if name in kept),
            ),
            rung=rung,
            seconds_saved=sum(package.seconds for package in kept.values()),
            refusals=tuple(refusal for refusal in reusable.choice.refusals if refusal.rung is not rung),
        )

    async def after_build(self, build: str) -> None:
        """Nothing waits."""

    async def installed(
        self, project: InstalledProject, names: Collection[str], attempt: Attempt
    ) -> Mapping[str, KeptPackage]:
        """Fetch and install these packages, each by itself; nothing of it is on record yet."""
        brought: dict[str, KeptPackage] = {}
        for part in project.lacking(names):
            brought |= await self._part(part, attempt)
        for name in sorted(set(names) - brought.keys()):
            attempt.progress.note(f"{package_words(name)} is installed alone: another package has files of its names.")
            for part in project.lacking((name,)):
                brought |= await self._part(part, attempt)
        return brought

    async def _part(self, part: InstalledProject, attempt: Attempt) -> Mapping[str, KeptPackage]:
        async def install(provisions: Provisions) -> Mapping[str, KeptPackage]:
            try:
                return await self._install(part, provisions, attempt)
            except StillConnected as failure:
                attempt.progress.note(f"Packages are installed in a sandbox of their own ({failure}).")
                return await self._install(part, replace(provisions, sandbox=None), attempt)

        return await self._fetch.supplied(part, attempt, install)

    async def _install(
        self, project: InstalledProject, provisions: Provisions, attempt: Attempt
    ) -> Mapping[str, KeptPackage]:
        sandboxes, progress, installing = attempt.sandboxes, attempt.progress, project.installing
        step = installing.step(provisions.fetched if provisions.sandbox is None else None)
        fetching = nullcontext(provisions.sandbox) if provisions.sandbox is not None else None
        own = sandboxes.sandbox(
            "install", project.plan.toolchain.facts.image_id, project.environment, in_memory=installing.in_memory
        )
        async with fetching or own as sandbox, progress.stage(StageName.INSTALL):
            seconds = await sandboxes.run(sandbox, step, project.reader(progress))
            taken = self._engine.get(sandbox, installing.taken)
            try:
                async with spooled(taken, self._scratch, self._limit, setting="binary") as archive:
                    return await asyncio.to_thread(installing.installed, archive, seconds)
            except FileNotFoundError:
                raise BadOutput(f"The installation left nothing at {installing.taken}.") from None


def environment_of(of: PackagesOf, packages: Mapping[str, KeptPackage]) -> Environment:
    """The environment of these packages, in the order of the lock."""
    return Environment(packages={name: packages[name] for name in of.names})


def package_words(name: str) -> str:
    """`name version` of a package, from its line in the lock."""
    return " ".join(name.split(" ")[:2])
