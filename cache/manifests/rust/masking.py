"""The skeleton's lock: the real one with the versions of stubs, so that `cargo --locked` accepts it (law 8)."""

from dataclasses import replace

from cache.manifests.rust.errors import LockMismatch
from cache.manifests.rust.lock import (
    LockedPackage,
    Lockfile,
    References,
    in_order,
    reference_order,
)
from cache.manifests.rust.stub_versions import StubVersions, local_packages
from cache.manifests.rust.workspace import Workspace


def masked_lock(workspace: Workspace, lock: Lockfile, versions: StubVersions) -> Lockfile:
    """The lock with the packages of the tree at their skeleton's versions, in cargo's order."""
    local = local_packages(workspace, lock)
    masked = {
        package: replace(package, version=versions.of(local[package])) if package in local else package
        for package in (*lock.packages, *lock.unused)
    }
    old = References(lock)
    new = References(replace(lock, packages=tuple(masked[package] for package in lock.packages)))

    def renamed(reference: str) -> str:
        named = old.resolve(reference)
        return reference if named is None else new.written(masked[named])

    def whole(package: LockedPackage) -> LockedPackage:
        dependencies = sorted((renamed(reference) for reference in package.dependencies), key=reference_order)
        replaced = None if package.replace is None else renamed(package.replace)
        return replace(masked[package], dependencies=tuple(dependencies), replace=replaced)

    return replace(
        lock,
        packages=in_order(whole(package) for package in lock.packages),
        unused=in_order(masked[package] for package in lock.unused),
    )


def verify_lock(workspace: Workspace) -> None:
    """Raise `LockMismatch` where masking would hide what `cargo --locked` refuses of the real lock.

    Every member is in the lock at its own version, with every package that it depends on. Whether the locked versions
    satisfy the requirements is cargo's to say.
    """
    lock = workspace.lock
    if lock is None:
        return
    local = {package: entry for entry, package in local_packages(workspace, lock).items()}
    for member in workspace.members:
        entry = local.get(member)
        if entry is None:
            raise _mismatch(workspace, f"it does not have the package `{member.name}` ({member.manifest})")
        if entry.version != member.version:
            raise _mismatch(workspace, f"it has {member.name} {entry.version}, {member.manifest} says {member.version}")
        named = {reference.partition(" ")[0] for reference in entry.dependencies}
        wanted = {dependency.package for dependency in member.dependencies if dependency.package != member.name}
        missing = sorted(wanted - named)
        if missing:
            raise _mismatch(workspace, f"{member.name} depends on `{missing[0]}`, which it does not have for it")
    gone = sorted(package.name for package in lock.local() if package not in set(local.values()))
    if gone:
        raise _mismatch(workspace, f"it has the package `{gone[0]}`, which is not in the source tree")


def _mismatch(workspace: Workspace, what: str) -> LockMismatch:
    advice = "run `cargo update --workspace` (or any cargo command without --locked) and send the new lock"
    return LockMismatch(f"{workspace.lock_path} needs to be updated: {what}; {advice}", file=workspace.lock_path)
