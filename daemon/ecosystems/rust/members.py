"""What is put into a cargo sandbox, as members of one tar: the skeleton, what was fetched, or the sources."""

import posixpath
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.manifests.rust.skeleton import Skeleton
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.ecosystems.kept import Fetched
from daemon.ecosystems.rust.environment import BUILDER
from daemon.ecosystems.rust.steps import fetched_archive
from daemon.ecosystems.step import SOURCE_TIME, UNREAD_TIME
from daemon.tarball import Member

_CONFIGURATION = "cargo/config.toml"
_PROJECT_CONFIGURATION = (".cargo/config", ".cargo/config.toml")


def configuration_member(text: bytes) -> Member:
    """Cargo's configuration as the daemon wrote it, in CARGO_HOME: no other of cargo's places has one."""
    return Member(path=_CONFIGURATION, mode=0o644, mtime=SOURCE_TIME, content=text)


def skeleton_members(tree: SourceTree, blobs: BlobStore, skeleton: Skeleton) -> Iterator[Member]:
    """The skeleton at `/work`; it belongs to the builder, who takes it out again when the cook is settled."""
    contents = {path: _built(f"work/{path}", content=content) for path, content in skeleton.files.items()}
    verbatim = set(skeleton.verbatim)
    for entry in tree:
        if entry.path in verbatim:
            contents[entry.path] = _copied(entry, blobs)
    yield _directory("work", BUILDER)
    yield from (_directory(f"work/{directory}", BUILDER) for directory in parents(contents))
    yield from (contents[path] for path in sorted(contents))


def fetched_members(fetched: Fetched, blobs: BlobStore) -> Iterator[Member]:
    """CARGO_HOME with what was fetched, for the builder to unpack."""
    yield _directory("cargo", BUILDER)
    below = (directory for directory in parents(file.path for file in fetched.files) if directory != "cargo")
    yield from (_directory(directory, BUILDER) for directory in below)
    for file in fetched.files:
        yield _blob(file.path, blobs, Digest.parse(file.digest), file.size)
    for number, name in enumerate(fetched.archives):
        digest = Digest.parse(name)
        yield _blob(fetched_archive(number), blobs, digest, blobs.size(digest))


def source_members(tree: SourceTree, blobs: BlobStore, only: frozenset[str] | None = None) -> Iterator[Member]:
    """The sources at `/work`: root's, readable and writable by all, every directory too, for its mtime (law 1).

    Files have an access time that tells whether they were read (law 13): who does not own them cannot set it.

    The project's own cargo configuration is left out: what of it is honoured is in CARGO_HOME. With `only`, of the
    files and links no others than these paths.
    """
    entries = [entry for entry in tree if is_put(entry.path)]
    yield _directory("work", 0)
    yield from (_directory(f"work/{directory}", 0) for directory in parents(entry.path for entry in entries))
    for entry in entries:
        if only is not None and entry.path not in only and entry.kind is not EntryKind.DIRECTORY:
            continue
        path = f"work/{entry.path}"
        match entry.kind:
            case EntryKind.SYMLINK:
                yield Member(path=path, mode=0o777, mtime=SOURCE_TIME, target=entry.target)
            case EntryKind.DIRECTORY:
                yield _directory(path, 0)
            case EntryKind.FILE:
                assert entry.digest is not None
                mode = 0o777 if entry.executable else 0o666
                source, digest = blobs.path(entry.digest), entry.digest
                yield Member(
                    path=path,
                    mode=mode,
                    mtime=SOURCE_TIME,
                    atime=UNREAD_TIME,
                    source=source,
                    digest=digest,
                    size=entry.size,
                )


def source_member(path: str, content: bytes) -> Member:
    """One file more among the sources."""
    return Member(path=f"work/{path}", mode=0o666, mtime=SOURCE_TIME, content=content)


def parents(paths: Iterable[str]) -> list[str]:
    """Every directory above these paths, each before what is in it."""
    found = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    return sorted(found - {".", "/"})


def lock_entry(path: str, content: bytes) -> TreeEntry:
    """The same file, as a tree has it."""
    return TreeEntry(path, EntryKind.FILE, size=len(content), digest=Digest.of(content))


def is_put(path: str) -> bool:
    """Whether a path of the sources stands in a sandbox: all but the project's own cargo configuration."""
    return not any(path == name or path.endswith(f"/{name}") for name in _PROJECT_CONFIGURATION)


def _directory(path: str, owner: int) -> Member:
    return Member(path=path, mode=0o755 if owner else 0o777, mtime=SOURCE_TIME, uid=owner, gid=owner)


def _copied(entry: TreeEntry, blobs: BlobStore) -> Member:
    path = posixpath.join("work", entry.path)
    if entry.kind is EntryKind.SYMLINK:
        return Member(path=path, mode=0o777, mtime=SOURCE_TIME, uid=BUILDER, gid=BUILDER, target=entry.target)
    assert entry.digest is not None
    return _blob(path, blobs, entry.digest, entry.size, 0o755 if entry.executable else 0o644)


def _built(path: str, *, content: bytes) -> Member:
    return Member(path=path, mode=0o644, mtime=SOURCE_TIME, uid=BUILDER, gid=BUILDER, content=content)


def _blob(path: str, blobs: BlobStore, digest: Digest, size: int, mode: int = 0o644) -> Member:
    source = blobs.path(digest)
    return Member(
        path=path, mode=mode, mtime=SOURCE_TIME, uid=BUILDER, gid=BUILDER, source=source, digest=digest, size=size
    )
