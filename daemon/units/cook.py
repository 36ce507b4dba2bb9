"""What the unit store has to know of a cook, and what of that is written down beside its layer."""

from collections.abc import Iterable
from dataclasses import dataclass

from cache.digest import Digest
from cache.units import UnitOrigin
from daemon.ecosystems.rust.messages import Artifact
from daemon.ecosystems.rust.package_id import PackageId
from daemon.units.layout import UnitId, UnitLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveUnit:
    """A unit that cargo's messages named, and the package that it is of."""

    unit: UnitId
    package: PackageId
    seconds: float = 0.0
    """What compiling it took; 0 where that is not known."""
    compiled: bool = False
    """Cargo said that it compiled it; of a script's run it says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUnit:
    """A stored unit that was put in before the cook began, and the cook that it came from."""

    unit: UnitId
    digest: Digest
    cook: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CookNotes:
    """What is kept of a cook as JSON (`LayerRecord.cook`), so that its layer can be harvested later."""

    id: str
    """Names the cook among all of its scope."""
    live: tuple[LiveUnit, ...] = ()
    given: tuple[GivenUnit, ...] = ()
    compiled: tuple[str, ...] | None = None
    """`name version` of each package of which something was compiled; None: nobody knows any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cook:
    """One cook: whose it is, what its units are keyed by, and which packages the lock proves."""

    scope: str
    unit_key: Digest
    origins: tuple[UnitOrigin, ...]
    notes: CookNotes


def live_units(
    layout: UnitLayout, artifacts: Iterable[Artifact], script_runs: Iterable[tuple[PackageId, str]]
) -> tuple[LiveUnit, ...]:
    """The units of packages from outside that a cook's messages name; one that is said of two packages is none."""
    said = [(one.package, path, not one.fresh) for one in artifacts for path in one.files]
    said += [(package, path, False) for package, path in script_runs]
    found: dict[UnitId, set[PackageId]] = {}
    compiled: set[UnitId] = set()
    for package, path, is_new in said:
        unit = layout.unit_named(path)
        if unit is not None:
            found.setdefault(unit, set()).add(package)
            compiled |= {unit} if is_new else set()
    return tuple(
        LiveUnit(unit=unit, package=package, compiled=unit in compiled)
        for unit, packages in sorted(found.items())
        for package in packages
        if len(packages) == 1 and package.is_outside
    )
