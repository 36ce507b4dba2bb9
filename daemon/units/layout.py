"""What the unit store asks of cargo's layout of the target directory; each layout is a strategy of its own.

Paths are relative to the target directory. What is read was written by strangers' build scripts: a unit that is not
exactly what its layout expects is not stored, which costs compiling it again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from cache.tree import TreeEntry
from cache.units import UnitKind


class Layout(StrEnum):
    """Cargo's layouts of the target directory."""

    V1 = "v1"
    """`.fingerprint/`, `deps/` and `build/` for each profile: cargo up to 1.99."""
    V2 = "v2"
    """One directory for each unit: cargo from 1.100."""


@dataclass(frozen=True, slots=True, order=True)
class UnitId:
    """Where a unit lies: its profile's directory (`release`, `x86_64-unknown-linux-gnu/release`), and its unit hash."""

    home: str
    unit_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFiles:
    """All that a target directory holds of one unit, sorted by path; directories only where they are empty."""

    id: UnitId
    entries: tuple[TreeEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CargoUnit:
    """What cargo's own files say of a unit."""

    id: UnitId
    package: str
    """The name that its directories have."""
    kind: UnitKind
    fingerprint: str
    features: tuple[str, ...]
    profile: str
    platform: str
    dependencies: tuple[str, ...]
    """The fingerprints of the units that it was compiled against."""
    entries: tuple[TreeEntry, ...]
    """What is worth keeping of its files."""


class Unfit(StrEnum):
    """Why a unit is not stored; a closed set, for it is a metric's label."""

    NOT_FROM_OUTSIDE = "not_from_outside"
    """Its package is none whose sources the lock proves."""
    INCOMPLETE = "incomplete"
    """A file that cargo would miss is not there."""
    UNKNOWN_FILE = "unknown_file"
    """It has a file that the layout does not know."""
    UNREADABLE = "unreadable"
    """Cargo's own files cannot be read."""
    UNSAFE = "unsafe"
    """A name, a link or a kind of file that is not accepted."""
    TOO_LARGE = "too_large"
    OTHER_PATHS = "other_paths"
    """It was made where paths are others."""
    UNTRACKED_INPUTS = "untracked_inputs"
    """Its build script watches what is no input of the unit."""
    DEPENDENCY = "dependency"
    """Something that it was compiled against is not stored."""
    DIFFERS = "differs"
    """It is stored with other bytes: the crate does not compile to the same twice."""


class UnfitUnit(Exception):  # noqa: N818 - reads as what is said of the unit
    """A unit that cannot be stored."""

    def __init__(self, why: Unfit, detail: str) -> None:
        super().__init__(f"{why}: {detail}")
        self.why = why
        self.detail = detail


ReadFile = Callable[[str], bytes]
"""The content of one small file of the unit; raises `UnfitUnit` for a large one."""


class UnitLayout(Protocol):
    """One layout, for target directories that stand at one constant path."""

    def unit_of(self, path: str) -> UnitId | None:
        """The unit that a path belongs to; None for what is no unit's."""
        ...

    def unit_named(self, path: str) -> UnitId | None:
        """The same for an absolute path of cargo's messages."""
        ...

    def read(self, files: UnitFiles, read: ReadFile) -> CargoUnit:
        """What a unit is, and what of it is kept; raises `UnfitUnit`."""
        ...

    def in_order(self, entries: Iterable[TreeEntry]) -> tuple[TreeEntry, ...]:
        """The entries of one unit as they are to be written: what makes cargo believe in it comes last."""
        ...

    def stamps(self, entries: Iterable[TreeEntry]) -> tuple[tuple[str, bytes], ...]:
        """Files whose times alone count, with their contents: not stored, and written anew with the unit."""
        ...
