"""The fetch side of a cargo project: the archives by the lock's checksums, the index as it came, git as one archive.

What comes out of the fetch sandbox is taken from three places of CARGO_HOME and nowhere else: what has come into
`registry/cache` and `registry/index`, and `git`.
"""

import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path, PurePosixPath

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.keys import Key, KeyKind, KeyPart
from cache.manifests.rust.lock import Lockfile
from cache.manifests.rust.skeleton import Skeleton
from cache.manifests.rust.workspace import Workspace
from cache.tree import SourceTree
from daemon.ecosystems.kept import Fetched, FetchedFile
from daemon.ecosystems.rust.environment import BUILDER, CARGO_HOME
from daemon.ecosystems.rust.kept_crates import KeptCrates
from daemon.ecosystems.rust.members import configuration_member, fetched_members, skeleton_members
from daemon.ecosystems.rust.steps import BROUGHT, fetch_script, lock_script
from daemon.ecosystems.step import SOURCE_TIME, Afterwards, FetchStep, Step
from daemon.errors import FetchFailed
from daemon.pipeline.spool import copied, regular_files
from daemon.tarball import Member

_ARCHIVES, _INDEX = ("cache",), ("index",)
_REGISTRY = PurePosixPath(CARGO_HOME, "registry")
_GIT = f"{CARGO_HOME}/git"
_UNPACKED = f"{CARGO_HOME}/registry/src"
"""Where a fetch unpacks archives; in vain where the cook has a sandbox of its own."""
_LOCK_NAME = "Cargo.lock"


class RustFetching:
    """A `Fetching` over cargo; `configuration` is what the daemon writes for the step that has the network."""

    def __init__(
        self,
        *,
        workspace: Workspace,
        skeleton: Skeleton,
        tree: SourceTree,
        blobs: BlobStore,
        configuration: bytes,
        environment: Mapping[str, str],
        triple: str,
        image_id: str,
        scope: str,
    ) -> None:
        self._workspace = workspace
        self._skeleton = skeleton
        self._tree = tree
        self._blobs = blobs
        self._configuration = configuration
        self._environment = environment
        self._triple = triple
        self._image_id = image_id
        self._scope = scope

    def key(self) -> Digest:
        """The lock's external packages, where they come from, and the toolchain whose cargo lays them out."""
        lock = self._lock()
        lines = [package.line for package in lock.external()] if lock else []
        return self._named("fetched", [KeyPart.of_json("packages", lines), KeyPart("target", self._triple)])

    def lock_key(self) -> Digest | None:
        """The manifests, where the source has no lock."""
        if self._workspace.lock is not None:
            return None
        files = {path: str(Digest.of(content)) for path, content in self._skeleton.files.items()}
        return self._named("lock", [KeyPart.of_json("manifests", files)])

    def lock_step(self) -> FetchStep:
        """`cargo generate-lockfile`, which runs nothing of the project."""
        return FetchStep(
            step=Step(script=lock_script(self._workspace.root), members=self._inputs(), environment=self._environment),
            take=(str(PurePosixPath("/work", self._workspace.root, _LOCK_NAME)),),
        )

    def made_lock(self, archive: Path) -> bytes:
        """The lock that cargo made: the skeleton of a source without one keeps the real versions."""
        for _, _, content in regular_files(archive):
            return content.read()
        raise FetchFailed("cargo made no lock")

    @property
    def keeping(self) -> KeptCrates:
        """The lock's crates one by one, where the same cargo gets them from the same places for the same target."""
        place = self._named("crates", [KeyPart("target", self._triple)])
        return KeptCrates(workspace=self._workspace, blobs=self._blobs, place=place)

    def step(self, there: Fetched) -> FetchStep | None:
        """`cargo fetch`, unless the lock brings nothing in; it leaves alone what is there."""
        lock = self._lock()
        if lock is None or not lock.external():
            return None
        git = bool(lock.git_sources())
        return FetchStep(
            step=Step(
                script=fetch_script(self._workspace.root, self._triple, len(there.archives)),
                members=chain(self._inputs(), fetched_members(there, self._blobs)),
                environment=self._environment,
            ),
            take=(BROUGHT, *([_GIT] if git else [])),
            # Checkouts get their constant time on the way from one sandbox to the other (law 1).
            afterwards=Afterwards.REMOVED if git else Afterwards.COOKS,
            in_memory=(_UNPACKED,),
        )

    def admit(self, path: str, archive: Path) -> Fetched:
        """Archives are kept if they are what the lock says, the index as it is, git with every time made constant."""
        if path == _GIT:
            return Fetched(archives=(str(self._git(archive)),))
        checksums = self._checksums()
        found: list[FetchedFile] = []
        with self._blobs.staging() as staging:
            staged: dict[Digest, Path] = {}
            for number, (name, size, content) in enumerate(regular_files(archive)):
                place = PurePosixPath(*PurePosixPath(name).parts[1:])
                kind, file = place.parts[:1], place.name
                known = kind == _INDEX or (kind == _ARCHIVES and file in checksums)
                if ".." in place.parts or not known:
                    continue
                digest = copied(content, staging / str(number))
                if kind == _ARCHIVES and digest.hex not in checksums[file]:
                    raise FetchFailed(
                        f"{file} is not what Cargo.lock says: its checksum is {digest.hex}.", archive=file
                    )
                staged[digest] = staging / str(number)
                found.append(FetchedFile(path=str(_REGISTRY / place).lstrip("/"), digest=str(digest), size=size))
            self._blobs.adopt(staged)
        return Fetched(files=tuple(sorted(found, key=lambda file: file.path)))

    def _checksums(self) -> dict[str, set[str]]:
        """What the lock says of each archive; two registries may have one of the same name."""
        lock = self._lock()
        assert lock is not None
        wanted: dict[str, set[str]] = {}
        for package in lock.external():
            if package.checksum:
                wanted.setdefault(f"{package.name}-{package.version}.crate", set()).add(package.checksum)
        return wanted

    def _git(self, archive: Path) -> Digest:
        """Databases and checkouts as one tar with constant times, for they are sources (law 1)."""
        with (
            tempfile.TemporaryFile(dir=archive.parent) as kept,
            tarfile.open(archive, "r:") as taken,
            tarfile.open(fileobj=kept, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for entry in taken:
                entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = SOURCE_TIME, BUILDER, BUILDER, "", ""
                entry.pax_headers = {}
                tar.addfile(entry, taken.extractfile(entry) if entry.isreg() else None)
            tar.close()
            kept.seek(0)
            return self._blobs.put_stream(kept)

    def _inputs(self) -> Iterator[Member]:
        yield configuration_member(self._configuration)
        # made here, because what an engine makes for a mount belongs to root
        for path in ("cargo", "cargo/registry", _UNPACKED):
            yield Member(path=path, mode=0o755, mtime=SOURCE_TIME, uid=BUILDER, gid=BUILDER)
        yield from skeleton_members(self._tree, self._blobs, self._skeleton)

    def _lock(self) -> Lockfile | None:
        return self._workspace.lock

    def _named(self, what: str, parts: list[KeyPart]) -> Digest:
        common = (
            KeyPart("what", what),
            KeyPart("scope", self._scope),
            KeyPart("image", self._image_id),
            KeyPart("configuration", str(Digest.of(self._configuration))),
        )
        return Key(KeyKind.UNIT, (*common, *parts)).digest
