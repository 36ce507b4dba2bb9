"""A compile for which nothing is expected to be missing: stored units straight into its own container, without a cook.

What is missing after all, cargo compiles there; first-party code runs there, so nothing of it is harvested and it
becomes no layer (law 6).
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cache.errors import Failure
from cache.units import UnitRecord
from daemon.ecosystems.ecosystem import CompiledProject, UntrustworthyLayer
from daemon.ecosystems.kept import Fetched
from daemon.ecosystems.planned import UnitsOf
from daemon.pipeline.attempt import Attempt
from daemon.pipeline.compile import CompileResult, CompileStage, Left
from daemon.pipeline.fetch import FetchStage, Provisions
from daemon.pipeline.given import GivenUnits, saved
from daemon.units.holdings import Holdings


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledOverUnits:
    """What came of it; `saved` are the recorded seconds of the units that cargo found fresh."""

    result: CompileResult
    placed: tuple[UnitRecord, ...]
    saved: float


KeepFor = Callable[[Left, float, Holdings], Awaitable[None]]
"""Puts a sandbox on record, that would take so many seconds to make from nothing, and what it held before."""


class OverUnits:
    """Compiles over units alone."""

    def __init__(self, *, fetch: FetchStage, compile: CompileStage, given: GivenUnits) -> None:  # noqa: A002 - the stage
        self._fetch = fetch
        self._compile = compile
        self._given = given

    async def compile(
        self, project: CompiledProject, units: tuple[UnitRecord, ...], attempt: Attempt, keep: KeepFor
    ) -> CompiledOverUnits | None:
        """Compile over what was fetched and these units, each after those that it was compiled against.

        None where that fails for a reason that the units may be: they are not to be given again.
        """
        of, begun = project.plan.units, False
        assert of is not None

        async def over(provisions: Provisions) -> CompiledOverUnits:
            nonlocal begun
            begun = True
            return await self._over(project, of, (provisions.fetched, units), attempt, keep)

        try:
            compiled = await self._fetch.supplied(project, attempt, over)
        except Failure as failure:
            spoilt = isinstance(failure, UntrustworthyLayer) or project.compiling.may_be_given(failure)
            if not begun or not spoilt:
                raise
            # Either the sources do not compile, or what was given spoils it: once more without tells (law 9).
            attempt.progress.note(f"The compile over stored units failed ({failure}); once more without them.")
            return None
        await self._given.used(of, compiled.placed, attempt)
        return compiled

    async def _over(
        self,
        project: CompiledProject,
        of: UnitsOf,
        ground: tuple[Fetched, tuple[UnitRecord, ...]],
        attempt: Attempt,
        keep: KeepFor,
    ) -> CompiledOverUnits:
        fetched, units = ground
        started = time.monotonic()
        async with self._given.placing(of, attempt) as placing:

            async def keep_left(left: Left) -> None:
                seconds = sum(unit.seconds for unit in placing.placed) + time.monotonic() - started
                await keep(left, seconds, Holdings(fetched=fetched).with_put(placing.placed))

            members = placing.members(units)
            result = await self._compile.over_units(project, fetched, members, attempt, keep_left)
        placed = tuple(placing.placed)
        return CompiledOverUnits(result=result, placed=placed, saved=saved(placed, result.reused))
