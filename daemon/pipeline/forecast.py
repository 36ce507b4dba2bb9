"""What a build will compile and how long it should take, before it does: told by `explain` and before the compile.

For people alone; the build itself asks none of it. What is compiled is cargo's to decide, so the lists may be wrong
where manifests say less than cargo finds out, such as which packages another platform alone needs.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

import msgspec

from cache.costs import Measured, Way
from cache.differences import Subject
from cache.digest import Digest
from cache.estimates import Forecast, Work, estimate
from cache.index import LayerRecord
from cache.keys import Key
from cache.reuse import Rung
from cache.tree import SourceTree
from cache.units import UnitKind
from daemon.builds import BuildRequest
from daemon.ecosystems.ecosystem import CompiledProject, Project
from daemon.pipeline.reusable import Reusable
from daemon.units.cook import CookNotes


class Known(Protocol):
    """What is known of earlier builds."""

    async def costs(self, scope: str, project: str, dependencies: Collection[str]) -> Measured:
        """All measurements of a project, and of these packages from outside."""
        ...

    async def layer(self, key: Digest, scope: str, project: str = "") -> LayerRecord | None:
        """The layer of this exact key."""
        ...

    async def latest_layer(self, scope: str, project: str) -> LayerRecord | None:
        """The layer that the project cooked last."""
        ...

    async def tree(self, digest: Digest) -> SourceTree | None:
        """A tree that was uploaded."""
        ...


class Forecaster:
    """Forecasts builds from what is on record."""

    def __init__(self, known: Known) -> None:
        self._known = known

    async def forecast(self, project: Project, request: BuildRequest, reusable: Reusable) -> Forecast:
        """What a build that stands on what is reusable will do."""
        plan, rung = project.plan, reusable.choice.rung
        near = reusable.layer or await self._known.layer(plan.exact.digest, request.scope, plan.project)
        near = near or await self._known.latest_layer(request.scope, plan.project)
        cooked = _cooked(near)
        needed = tuple(_needed(plan.exact, near, cooked))
        there = _there(needed, plan.exact, reusable)
        if cooked:  # else what is missing may be another platform's, which nothing stands on here
            there = frozenset(there) - _standing_on(frozenset(needed) - frozenset(there), plan.named_by)
        dependencies = tuple(package for package in needed if package not in there)
        members = await self._members(project, reusable)
        measured = await self._known.costs(request.scope, plan.project, {_name(package) for package in needed})
        way = _way(reusable)
        cold = Work(way=Rung.NONE, dependencies=_names(needed), members=_names(plan.members))
        work = Work(way=way, dependencies=_names(dependencies), members=_names(members))
        return Forecast(
            rung=rung,
            reused=len(needed) - len(dependencies),
            compiled=(*dependencies, *members),
            members=members,
            # Without a lock it is not known what there is to compile.
            expected_seconds=estimate(work, measured) if plan.members else None,
            cold_seconds=estimate(cold, measured) if plan.members else None,
        )

    async def _members(self, project: Project, reusable: Reusable) -> tuple[str, ...]:
        """In a workspace those that the changes reach, else all."""
        everyone, workspace = project.plan.members, reusable.workspace
        if reusable.choice.rung in {Rung.RESULT, Rung.OBSERVED}:
            return ()
        if reusable.choice.rung is not Rung.WORKSPACE or workspace is None or not isinstance(project, CompiledProject):
            return everyone
        if reusable.forked_from is None and workspace.key.digest != project.plan.exact.digest:
            return everyone
        before = await self._known.tree(workspace.tree)
        if before is None:
            return everyone
        if reusable.forked_from is None:
            again = await asyncio.to_thread(project.compiling.again, before, workspace.ledger)
        else:
            fork = await asyncio.to_thread(project.compiling.forked, before, workspace.ledger)
            again = fork.again if fork else None
        return everyone if again is None else tuple(one for one in everyone if _name(one) in again.dirty)


def _way(reusable: Reusable) -> Rung | Way:
    match reusable.choice.rung:
        case Rung.UNITS if reusable.nothing_missing:
            return Way.UNITS_ALONE
        case Rung.WORKSPACE if reusable.forked_from is not None:
            return Way.FORK
        case rung:
            return rung


def _needed(exact: Key, near: LayerRecord | None, cooked: Collection[str]) -> Iterator[str]:
    """The lock's packages but those that the nearest layer's lock had, too, and its cook did not touch."""
    left_out = {line for line in _lock(near.key) if _words(line) not in cooked} if near and cooked else set()
    yield from (_words(line) for line in _lock(exact) if line not in left_out)


def _there(needed: Collection[str], exact: Key, reusable: Reusable) -> Collection[str]:
    """Which of the packages are compiled already."""
    match reusable.choice.rung:
        case Rung.NONE:
            return ()
        case Rung.UNITS:
            return _stored(reusable) | {_words(name) for name in reusable.packages}
        case Rung.WORKSPACE if reusable.workspace and reusable.workspace.key.digest != exact.digest:
            held = set(_lock(reusable.workspace.key))
            return _stored(reusable) or {_words(line) for line in _lock(exact) if line in held}
        case _:
            return needed


def _standing_on(missing: Collection[str], named_by: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """What is compiled against these, directly or not: it is compiled again with them."""
    found: set[str] = set()
    reached = set(missing)
    while reached:
        reached = {package for package, named in named_by.items() if not reached.isdisjoint(named)} - found
        found |= reached
    return frozenset(found)


def _stored(reusable: Reusable) -> set[str]:
    libraries = (unit.origin for unit in reusable.units if unit.kind is UnitKind.LIBRARY)
    return {f"{origin.name} {origin.version}" for origin in libraries}


def _cooked(layer: LayerRecord | None) -> frozenset[str]:
    """The packages that a layer holds; none where its notes do not say."""
    try:
        notes = msgspec.json.decode(layer.cook if layer else b"", type=CookNotes)
    except msgspec.DecodeError:
        return frozenset()
    return frozenset(live.package.words for live in notes.live)


def _lock(key: Key) -> tuple[str, ...]:
    """A line for each package from outside."""
    return tuple(line for part in key.parts if part.subject is Subject.PACKAGES for line in part.value.splitlines())


def _words(line: str) -> str:
    return " ".join(line.split(" ")[:2])


def _name(package: str) -> str:
    return package.partition(" ")[0]


def _names(packages: Collection[str]) -> tuple[str, ...]:
    return tuple(map(_name, packages))
