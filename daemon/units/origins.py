"""Which packages may be in the unit store: those whose sources the lock proves (law 11).

A package of a registry is proved by the lock's checksum, one of a git repository by its revision. Where crates are
taken from a directory of the tree instead (vendored, a local registry), an edited crate has the registry's name, unit
hash and fingerprint, so nothing of such a project is stored, and nothing is put in.
"""

from cache.manifests.rust.config import CargoConfig
from cache.manifests.rust.lock import LockedPackage, Lockfile
from cache.units import UnitOrigin


def origins(lock: Lockfile, config: CargoConfig) -> tuple[UnitOrigin, ...]:
    """The packages of a lock whose units may be stored or put in, sorted."""
    if config.local_sources:
        return ()
    found = (origin(package) for package in lock.external() if not package.replace)
    return tuple(sorted(each for each in found if each.proof))


def origin(package: LockedPackage) -> UnitOrigin:
    """A package from outside, with an empty proof where the lock has none."""
    source, _, revision = (package.source or "").partition("#")
    if source.startswith("git+"):
        proof = revision
    elif source.startswith(("registry+", "sparse+")):
        proof = package.checksum or ""
    else:
        proof = ""
    return UnitOrigin(name=package.name, version=package.version, source=source, proof=proof)
