"""Which packages of a build stand on which, as far as a change in the tree can reach.

Cargo sees for itself that a unit is older than one it was compiled against, but only as long as their times tell: after
a step all artefacts have one time (law 1). What a failed step had planned and not reached stays dirty, for cargo
empties its fingerprints first; what a step had not even planned would look fresh for ever. So what stands on a dirty
package is marked with it; cargo compiles it in any case.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cache.manifests.rust.lock import LockedPackage, Lockfile, References
from cache.manifests.rust.package import DependencyKind, Package
from cache.manifests.rust.reading import package_table


@dataclass(frozen=True, slots=True)
class Edge:
    """`package` is compiled against `on`; `script`: its build script is too, or is told what the other's says."""

    package: str
    on: str
    script: bool = False


def edges(packages: Iterable[Package], lock: Lockfile) -> tuple[Edge, ...]:
    """The edges that end at packages of the tree, or at what stands on these from outside (by `[patch]`).

    Development dependencies are none: no compile of binaries has them.
    """
    tree = {package.name: package for package in packages}
    found = list(_edges(tree, lock))
    reached = {package for package in lock.packages if not package.external}
    waiting = list(reached)
    while waiting:
        on = waiting.pop()
        standing = {edge.package for edge in found if edge.on == on} - reached
        reached |= standing
        waiting += standing
    return tuple(Edge(edge.package.name, edge.on.name, edge.script) for edge in found if edge.on in reached)


def compiled_with(selected: Iterable[str], packages: Iterable[Package], lock: Lockfile) -> tuple[str, ...]:
    """`name version` of the packages of the tree that a compile of the selected ones may have to compile, sorted."""
    tree = {package.name: package for package in packages}
    found = {name for name in selected if name in tree}
    on = edges(tree.values(), lock)
    waiting = list(found)
    while waiting:
        package = waiting.pop()
        new = {edge.on for edge in on if edge.package == package} - found
        found |= new
        waiting += new
    return tuple(sorted(f"{name} {tree[name].version}" for name in found if name in tree))


def named_by(lock: Lockfile) -> Mapping[str, tuple[str, ...]]:
    """For each package from outside those that it names, all as `name version`."""
    references = References(lock)
    found: dict[str, tuple[str, ...]] = {}
    for package in lock.external():
        named = (references.resolve(each) for each in package.dependencies)
        found[f"{package.name} {package.version}"] = tuple(f"{on.name} {on.version}" for on in named if on is not None)
    return found


@dataclass(frozen=True, slots=True)
class _Edge:
    package: LockedPackage
    on: LockedPackage
    script: bool


def _edges(tree: Mapping[str, Package], lock: Lockfile) -> Iterator[_Edge]:
    named: dict[str, list[LockedPackage]] = {}
    for package in lock.packages:
        named.setdefault(package.name, []).append(package)
    for package in lock.packages:
        own = None if package.external else tree.get(package.name)
        for reference in package.dependencies:
            name, _, more = reference.partition(" ")
            if own is not None and not _is_compiled(own, name):
                continue
            for on in named.get(name, ()):
                if more and on.version != more.partition(" ")[0]:
                    continue
                yield _Edge(package, on, own is None or _meets_script(own, on, tree))


def _is_compiled(package: Package, name: str) -> bool:
    return any(one.package == name and one.kind is not DependencyKind.DEV for one in package.dependencies)


def _meets_script(package: Package, on: LockedPackage, tree: Mapping[str, Package]) -> bool:
    if any(one.package == on.name and one.kind is DependencyKind.BUILD for one in package.dependencies):
        return True
    other = None if on.external else tree.get(on.name)
    table = package_table(other.document) if other else None
    return on.external or (table is not None and table.text("links") is not None)
