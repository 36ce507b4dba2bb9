"""The labelled parts that a cargo project gives to its keys.

What belongs to which key: "Keys" in the laws of the cache. The toolchain image, the recipe and the environment are the
daemon's to add. Where a project is a single package, its name is in none of them: no dependency is compiled with it, so
services that differ in their names and sources share a layer.
"""

from cache.differences import Subject
from cache.digest import Digest
from cache.keys import KeyPart
from cache.manifests.rust.config import CargoConfig
from cache.manifests.rust.lock import Lockfile, References
from cache.manifests.rust.selection import Selection
from cache.manifests.rust.skeleton import Skeleton, skeleton
from cache.manifests.rust.trimming import counted
from cache.manifests.rust.workspace import Workspace
from cache.manifests.source import SourceFiles

_FILES_BY_NAME = 200
"""Files up to which a key says which they are; vendored crates have thousands."""


def unit_parts(config: CargoConfig) -> tuple[KeyPart, ...]:
    """What the project's cargo configuration, and the files that it names, say about every unit."""
    named = "\n".join(f"{file.path} {file.identity}" for file in config.named)
    return (
        KeyPart.of_json("cargo configuration", dict(config.values), Subject.CONFIGURATION),
        KeyPart("files named by the cargo configuration", named, Subject.FILES),
    )


def hard_parts(workspace: Workspace, selection: Selection) -> tuple[KeyPart, ...]:
    """Profile, features and packages; not which of a package's binaries."""
    alone = _alone(workspace)
    features = sorted({feature.removeprefix(f"{alone}/") if alone else feature for feature in selection.features})
    return (
        KeyPart("profile", selection.profile),
        KeyPart("features", ",".join(features)),
        KeyPart("default features", "yes" if selection.default_features else "no"),
        KeyPart("packages", "" if alone else ",".join(sorted(selection.packages))),
    )


def exact_parts(
    workspace: Workspace,
    selection: Selection,
    files: SourceFiles,
    made: Skeleton | None = None,
) -> tuple[KeyPart, ...]:
    """The lock's packages from outside, every manifest, and what counts by content; `made` saves making it again.

    A workspace without a lock has an empty `Cargo.lock` part: its exact key is that of the lock that is made for it.
    """
    del selection  # the hard key has it; an exact key could one day leave out what the selection cannot reach
    made, alone = made or skeleton(workspace), _alone(workspace)
    parts = [
        KeyPart("Cargo.lock", lock_value(workspace.lock) if workspace.lock else "", Subject.PACKAGES),
        KeyPart("Cargo.lock choices", _choices(workspace.lock, alone) if workspace.lock else "", Subject.WITHHELD),
    ]
    real = {package.manifest for package in made.unstubbable}
    stubs = [version for place, version in made.versions.by_directory.items() if place not in workspace.patches]
    for path, manifest in made.manifests.items():
        value = dict(manifest) if path in real else counted(manifest, versions=stubs, nameless=alone is not None)
        parts.append(KeyPart.of_json(f"manifest {path}", value, Subject.MANIFEST))
    if made.verbatim:
        lines = "\n".join(f"{path} {files.identity(path)}" for path in made.verbatim)
        named = lines if len(made.verbatim) <= _FILES_BY_NAME else str(Digest.of(lines.encode()))
        parts.append(KeyPart("files by content", named, Subject.FILES))
    return tuple(parts)


def lock_value(lock: Lockfile) -> str:
    """The packages from outside, one `name version source checksum` a line, sorted."""
    return "\n".join(sorted(package.line for package in lock.external()))


def _alone(workspace: Workspace) -> str | None:
    """The name of the only package, where no manifest beside its own can refer to it."""
    if len(workspace.packages) > 1 or workspace.virtual or workspace.other_roots or workspace.patches:
        return None
    return workspace.packages[0].name


def _choices(lock: Lockfile, alone: str | None) -> str:
    """Which of several versions of a package each package depends on: the packages alone do not say that."""
    references = References(lock)
    versions: dict[str, set[str]] = {}
    for package in lock.external():
        versions.setdefault(package.name, set()).add(package.line)
    lines: set[str] = set()
    for package in lock.packages:
        chosen = [references.resolve(reference) for reference in package.dependencies]
        own = "" if package.name == alone else package.name
        who = f"{package.name} {package.version}" if package.external else own
        lines.update(
            f"{who} -> {named.name} {named.version} {named.source}"
            for named in chosen
            if named is not None and named.external and len(versions[named.name]) > 1
        )
    return "\n".join(sorted(lines))
