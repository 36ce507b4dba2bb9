"""Which packages from outside the packages of a build name themselves, as far as that can be read from manifests.

Optional dependencies and those of some targets are left out: whether cargo wants them nobody knows before it runs.
"""

from collections.abc import Iterable, Iterator

from cache.manifests.rust.inheritance import DEPENDENCY_TABLES
from cache.manifests.rust.lock import LockedPackage, Lockfile, References
from cache.manifests.rust.package import Dependency, DependencyKind, Package


def direct(packages: Iterable[Package], selected: Iterable[str], lock: Lockfile) -> tuple[LockedPackage, ...] | None:
    """What the lock says of each, for the selected packages and the packages of the tree that they stand on.

    None where the lock lacks one: cargo will say so.
    """
    tree, references = {package.name: package for package in packages}, References(lock)
    own = {(package.name, package.version): package for package in lock.local()}
    found: dict[LockedPackage, None] = {}
    for package in _built(tree, selected):
        locked = own.get((package.name, package.version))
        resolved = [references.resolve(each) for each in locked.dependencies] if locked else []
        for wanted in _wanted(package):
            named = [one for one in resolved if one is not None and one.name == wanted.package]
            if not named:
                return None
            found |= dict.fromkeys(one for one in named if one.external)
    return tuple(found)


def _built(tree: dict[str, Package], selected: Iterable[str]) -> Iterator[Package]:
    """The selected packages, and those of the tree that they stand on."""
    at = {package.directory: package for package in tree.values()}
    waiting, seen = [tree[name] for name in selected if name in tree], set[str]()
    while waiting:
        package = waiting.pop()
        if package.name not in seen:
            seen.add(package.name)
            yield package
            below = (each.directory for each in _wanted(package) if each.directory is not None)
            waiting += [at[directory] for directory in below if directory in at]


def _wanted(package: Package) -> Iterator[Dependency]:
    """The dependencies that every build of the package has."""
    for dependency in package.dependencies:
        if dependency.optional or dependency.kind is DependencyKind.DEV:
            continue
        tables = (package.document.table(key) for key, kind in DEPENDENCY_TABLES.items() if kind is dependency.kind)
        if any(table is not None and dependency.name in table for table in tables):
            yield dependency
