"""What the steps of a compile know of cargo's layout of the target directory; each layout is a strategy of its own.

A step tells cargo what is dirty, and collects what units have read. The layout's other half, what the unit store asks,
is `daemon.units.layout`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol


class Tells(Enum):
    """What tells of a unit's inputs."""

    COMPILER = auto()
    """Dep-info: every file that the compiler opened."""
    SCRIPT = auto()
    """What a build script printed."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a collected file is; without a package it may be anybody's."""

    by: Tells
    package: str | None


class Marks(Protocol):
    """One layout; lines are those of a POSIX shell's script, and `exit 70` where something cannot be done."""

    def dirty(self, packages: Sequence[str], dependents: Sequence[str], target: str) -> list[str]:
        """Lines that make packages dirty for cargo, with all that they have; of `dependents` all but build scripts.

        Units of every profile and target are marked. What a marked unit has read goes with it: one that is never
        compiled again (of an older version) must vouch for nothing. A script that runs again finds its `OUT_DIR` empty,
        as in a clean build: many make nothing anew that they find there.
        """
        ...

    def inputs(self, packages: Sequence[str], naming: str) -> list[str]:
        """Lines that print the names of what `told` reads, each ended by a zero byte, below the target directory.

        They run there. Of packages that are not named the outputs of build scripts with the text `naming` are printed.
        """
        ...

    def told(self, names: Iterable[str]) -> Mapping[str, Told]:
        """What these names are, those of them that tell something."""
        ...
