"""Cooking a cargo project's dependencies, and what may stay of that in a layer (laws 2 and 6)."""

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from daemon.ecosystems.kept import Fetched
from daemon.ecosystems.planned import Plan
from daemon.ecosystems.rust.members import configuration_member, fetched_members, skeleton_members
from daemon.ecosystems.rust.messages import CargoReader
from daemon.ecosystems.rust.source import RustSource
from daemon.ecosystems.rust.steps import LIVE, cook_script, settle_script
from daemon.ecosystems.step import SOURCE_TIME, Step, StepReader
from daemon.tarball import Member
from daemon.units.cook import LiveUnit, live_units

_HASHED = re.compile(r"([^.]+-)?(?P<hash>[0-9a-f]{16})|[^.]+-(?P<stem>[0-9a-f]{16})[.].*")


class RustCooking:
    """A `Cooking` over cargo."""

    def __init__(self, plan: Plan, source: RustSource) -> None:
        self._plan = plan
        self._source = source

    def step(self, fetched: Fetched | None) -> Step:
        """The skeleton, all that was fetched, and the same command as a compile's."""
        archives = len(fetched.archives) if fetched is not None else 0
        return Step(
            script=cook_script(self._source.workspace.root, self._source.arguments(self._plan.link), archives),
            members=self._cook_members(fetched),
            environment=self._source.environment,
        )

    def settle(self, cooked: StepReader) -> Step:
        """Keep the units of packages from registries and git that cargo's messages name, and no others (law 2)."""
        assert isinstance(cooked, CargoReader)
        may_stay = self._source.may_stay
        paths = [path for artifact in cooked.artifacts if may_stay(artifact.package) for path in artifact.files]
        paths += [out for package, out in cooked.script_runs if may_stay(package)]
        listing = "".join(f"{mark}\n" for mark in sorted(set(unit_hashes(paths)))).encode()
        return Step(
            script=settle_script(self._plan.toolchain.facts.artefact_mtime),
            members=(Member(path=LIVE, mode=0o644, mtime=SOURCE_TIME, content=listing),),
        )

    def live(self, cooked: StepReader) -> tuple[LiveUnit, ...]:
        """Of packages from outside alone."""
        assert isinstance(cooked, CargoReader)
        units = self._plan.units
        return live_units(units.layout, cooked.artifacts, cooked.script_runs) if units else ()

    def _cook_members(self, fetched: Fetched | None) -> Iterator[Member]:
        source = self._source
        yield from skeleton_members(source.tree, source.blobs, source.skeleton)
        if fetched is not None:
            yield from fetched_members(fetched, source.blobs)
        yield configuration_member(source.configuration)


def unit_hashes(paths: Iterable[str]) -> Iterator[str]:
    """The hashes of the units that these artefacts belong to: the last 16 characters of a stem, alone or after a dash.

    `/target/release/deps/libbytes-0123456789abcdef.rlib`, `/target/release/build/libc-0123456789abcdef/out`,
    `/target/release/build/libc/0123456789abcdef/out`.
    """
    for path in paths:
        for part in PurePosixPath(path).parts:
            if found := _HASHED.fullmatch(part):
                yield found["hash"] or found["stem"]
