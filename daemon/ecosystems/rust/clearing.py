"""What goes from a workspace before cargo runs there: in the compile's own step, or in one before it.

A step's files are put in while its container stands still, so what the step itself takes away, it takes away after
that. Where nothing that goes has a place on the way to something that is put, the order does not matter, and one start
of the container is spared.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from daemon.ecosystems.ecosystem import Move
from daemon.ecosystems.rust.dirtiness import Dirt
from daemon.ecosystems.rust.moving import gone_archives, move_lines, move_members
from daemon.ecosystems.rust.steps import REMOVED, clear_lines, clear_script
from daemon.ecosystems.step import SOURCE_TIME, Step
from daemon.tarball import Member


@dataclass(frozen=True, slots=True)
class Clearing:
    """Lines of a script, and the lists that they read."""

    lines: tuple[str, ...]
    members: tuple[Member, ...]

    @property
    def step(self) -> Step:
        """It alone."""
        return Step(script=clear_script(self.lines), members=self.members)


def clearing(dirt: Dirt, move: Move | None, stay: Collection[str]) -> Clearing | None:
    """What goes because the sources or the lock have it no more; of the tree's packages the units of `stay` do not."""
    if not dirt.remove and move is None:
        return None
    listing = b"".join(f"./{path}\0".encode() for path in dirt.remove)
    removed = Member(path=REMOVED, mode=0o644, mtime=SOURCE_TIME, content=listing)
    if move is None:
        return Clearing(clear_lines(), (removed,))
    return Clearing((*clear_lines(), *move_lines(sorted(stay))), (removed, *move_members(move)))


def must_be_apart(dirt: Dirt, move: Move | None) -> bool:
    """Whether something is put, or may be, where something goes: at the same path, above it or below it."""
    if move is not None:
        new = {file.path for file in move.wanted.files}
        if move.put or any(path in new for path in gone_archives(move)):
            return True
    return _entangled(dirt.remove, [entry.path for entry in dirt.put])


def _entangled(removed: Collection[str], put: Collection[str]) -> bool:
    gone, come = set(removed), set(put)
    return any(path in gone for entry in come for path in _lineage(entry)) or any(
        path in come for entry in gone for path in _lineage(entry)
    )


def _lineage(path: str) -> Iterator[str]:
    yield path
    yield from map(str, PurePosixPath(path).parents)
