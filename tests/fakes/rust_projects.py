"""Cargo projects in tests: their sources as a tree in a store of blobs, planned as the daemon plans them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.manifests.source import TreeFiles
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.builds import BuildRequest
from daemon.ecosystems.planned import Source
from daemon.ecosystems.rust.ecosystem import RustEcosystem
from daemon.ecosystems.rust.keys import Host
from daemon.ecosystems.rust.project import RustProject
from daemon.toolchains.toolchain import Toolchain
from tests.fakes.images import toolchain

ARTEFACT_TIME = 1_700_000_001
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"
Files = Mapping[str, "str | bytes | Executable | Link"]


@dataclass(frozen=True)
class Executable:
    """A file that may be run."""

    content: str


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


def crate(name: str, version: str = "1.0.0", more: str = "", package: str = "") -> str:
    """A manifest."""
    return f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2021"\n{package}\n{more}'


def locked(name: str, version: str, *dependencies: str, source: str = REGISTRY, checksum: str = "") -> str:
    """One package of a lock; without a source it is the project's own."""
    lines = [f'name = "{name}"', f'version = "{version}"']
    if source:
        lines.append(f'source = "{source}"')
    if checksum:
        lines.append(f'checksum = "{checksum}"')
    if dependencies:
        lines.append(f"dependencies = [{', '.join(repr(one) for one in dependencies)}]")
    return "\n[[package]]\n" + "\n".join(lines) + "\n"


def lock(*packages: str) -> str:
    """A whole lock."""
    return "version = 4\n" + "".join(packages)


BYTES_CRATE = b"the archive of bytes 1.0.0"
BYTES = locked("bytes", "1.0.0", checksum=Digest.of(BYTES_CRATE).hex)
SIMPLE: Files = {
    "Cargo.toml": crate("app", "0.3.0", '[dependencies]\nbytes = "1"\n'),
    "Cargo.lock": lock(locked("app", "0.3.0", "bytes", source=""), BYTES),
    "src/main.rs": "fn main() {}\n",
}
"""One binary, one dependency."""


PATCHED: Files = {
    "Cargo.toml": crate(
        "app", "0.3.0", '[dependencies]\nbytes = "1"\n[patch.crates-io]\nserde = { path = "patched" }\n'
    ),
    "Cargo.lock": lock(
        locked("app", "0.3.0", "bytes", source=""),
        locked("bytes", "1.0.0", "serde", checksum="0" * 64),
        locked("serde", "1.0.9", source=""),
    ),
    "src/main.rs": "fn main() {}\n",
    "patched/Cargo.toml": crate("serde", "1.0.9"),
    "patched/src/lib.rs": "",
}
"""A package of the tree that a package from outside depends on."""


def tree_of(blobs: BlobStore, files: Files) -> SourceTree:
    """Put these files into the store."""
    return SourceTree.of(_entry(blobs, path, content) for path, content in files.items())


def _entry(blobs: BlobStore, path: str, content: "str | bytes | Executable | Link") -> TreeEntry:
    if isinstance(content, Link):
        return TreeEntry(path, EntryKind.SYMLINK, target=content.target)
    executable = isinstance(content, Executable)
    text = content.content if isinstance(content, Executable) else content
    data = text.encode() if isinstance(text, str) else text
    return TreeEntry(path, EntryKind.FILE, len(data), executable, blobs.put(data))


def source_of(blobs: BlobStore, files: Files, *, made_lock: str | None = None, **request: object) -> Source:
    """The sources of a request, which defaults to what a bare one asks."""
    tree = tree_of(blobs, files)
    return Source(
        tree=tree,
        files=TreeFiles(tree, blobs),
        blobs=blobs,
        request=BuildRequest(tree=str(tree.digest), **request),
        lock=made_lock.encode() if made_lock is not None else None,
    )


def stable(image_id: str = "sha256:" + "0" * 64, **facts: object) -> Toolchain:
    """The toolchain `stable`."""
    made = toolchain(image_id)
    return replace(made, facts=replace(made.facts, artefact_mtime=ARTEFACT_TIME, **facts))


def planned(
    blobs: BlobStore,
    files: Files = SIMPLE,
    *,
    made_lock: str | None = None,
    offered: Toolchain | None = None,
    host: Host | None = None,
    **request: object,
) -> RustProject:
    """The project of a request, planned."""
    source = source_of(blobs, files, made_lock=made_lock, **request)
    ecosystem = RustEcosystem(host or Host(mirrors={}, cpu="processor"))
    project = ecosystem.plan(source, [offered or stable()], "stable")
    assert isinstance(project, RustProject)
    return project
