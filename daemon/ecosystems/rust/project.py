"""A planned cargo project: what goes into each of its sandboxes, and the proof that what came out is real."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.manifests.rust.selection import Selection
from cache.manifests.rust.skeleton import MASKED_VERSION, Skeleton
from cache.manifests.rust.workspace import Workspace
from cache.tree import EntryKind, SourceTree
from daemon.builds import Link
from daemon.ecosystems.ecosystem import (
    SOURCE_TIME,
    Compiled,
    Fetched,
    Fetching,
    Plan,
    Step,
    StepReader,
    UntrustworthyLayer,
)
from daemon.ecosystems.rust.environment import BUILDER, CARGO_HOME, STATIC_TRIPLE, TARGET
from daemon.ecosystems.rust.messages import Artifact, CargoReader
from daemon.ecosystems.rust.steps import LIVE, OUT, compile_script, cook_script, fetched_archive, settle_script
from daemon.tarball import Member

_CONFIGURATION = f"{CARGO_HOME}/config.toml"
_PROJECT_CONFIGURATION = (".cargo/config", ".cargo/config.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class RustSource:
    """All that the manifests say, and the sources themselves."""

    tree: SourceTree
    blobs: BlobStore
    workspace: Workspace
    selection: Selection
    skeleton: Skeleton
    lock: bytes | None
    """A lock that was made, and is put where the source has none."""
    configuration: bytes
    """Cargo's configuration for the offline steps: the project's, by allow-list, and the daemon's mirrors."""
    environment: Mapping[str, str]
    """Of every step."""
    compile_environment: Mapping[str, str] = field(default_factory=dict)
    """What `bloomery.toml` adds for the compile alone; in the result key."""


class RustProject:
    """A `Project` over cargo."""

    def __init__(self, plan: Plan, source: RustSource, fetching: Fetching) -> None:
        self._plan = plan
        self._source = source
        self._fetching = fetching

    @property
    def plan(self) -> Plan:
        """What it will do."""
        return self._plan

    @property
    def fetching(self) -> Fetching:
        """Its side that needs the network."""
        return self._fetching

    def cook(self, fetched: Fetched) -> Step:
        """The skeleton, all that was fetched, and the same command as a compile's."""
        return Step(
            script=cook_script(self._source.workspace.root, self._arguments(), len(fetched.archives)),
            members=self._cook_members(fetched),
            environment=self._source.environment,
        )

    def settle(self, cooked: StepReader) -> Step:
        """Keep the units of packages from registries and git that cargo's messages name, and no others (law 2)."""
        assert isinstance(cooked, CargoReader)
        kept_paths = {(package.name, package.version) for package in self._source.skeleton.unstubbable}
        live = set()
        for artifact in cooked.artifacts:
            package = artifact.package
            if not package.is_path or (package.name, package.version) in kept_paths:
                live |= set(unit_hashes(artifact.files))
        for package, out in cooked.script_runs:
            if not package.is_path or (package.name, package.version) in kept_paths:
                live |= set(unit_hashes((out,)))
        listing = "".join(f"{mark}\n" for mark in sorted(live)).encode()
        return Step(
            script=settle_script(self._plan.toolchain.facts.artefact_mtime),
            members=(Member(path=LIVE, mode=0o644, mtime=SOURCE_TIME, content=listing),),
        )

    def compile(self) -> Step:
        """The sources as they are, over the layer."""
        binaries = [(str(image.binary), self._binary_path(str(image.binary))) for image in self._plan.images]
        return Step(
            script=compile_script(
                self._source.workspace.root, self._arguments(), binaries, self._source.compile_environment
            ),
            members=self._compile_members(),
            environment=self._source.environment,
        )

    def compiled(self, reader: StepReader) -> Compiled:
        """Each binary is the one that cargo's messages name, compiled just now from the real package (law 3)."""
        assert isinstance(reader, CargoReader)
        if not reader.finished:
            raise UntrustworthyLayer("cargo ended well without saying that its build was finished")
        for artifact in reader.artifacts:
            if artifact.package.is_path and artifact.package.version == MASKED_VERSION:
                raise UntrustworthyLayer(f"cargo met the stub of {artifact.package.name} while compiling the sources")
        for image in self._plan.images:
            self._proven(str(image.binary), reader.artifacts)
        notes = tuple(f"The build wrote {path} into the source tree; it is not kept." for path in reader.written[:20])
        if len(reader.written) > len(notes):
            notes = (*notes, f"The build wrote {len(reader.written)} files into the source tree in all.")
        return Compiled(taken=OUT, binaries=tuple(str(image.binary) for image in self._plan.images), notes=notes)

    def _proven(self, binary: str, artifacts: Sequence[Artifact]) -> None:
        wanted = self._source.selection.binary(binary)
        versions = {p.name: p.version for p in (*self._source.workspace.members, *self._source.workspace.path_packages)}
        named = [
            artifact
            for artifact in artifacts
            if artifact.executable and "bin" in artifact.kinds and artifact.target == wanted.name
            and artifact.package.name == wanted.package
        ]
        if len(named) != 1 or named[0].executable != self._binary_path(binary):
            where = ", ".join(str(artifact.executable) for artifact in named) or "nowhere"
            raise UntrustworthyLayer(f"cargo says that the binary {binary} is {where}")
        if named[0].fresh:
            raise UntrustworthyLayer(f"cargo found the binary {binary} already compiled in the layer")
        if named[0].package.version != versions.get(wanted.package):
            raise UntrustworthyLayer(f"cargo compiled {binary} of version {named[0].package.version}")

    def _arguments(self) -> tuple[str, ...]:
        arguments = self._source.selection.arguments()
        return (*arguments, "--target", STATIC_TRIPLE) if self._plan.link is Link.STATIC else arguments

    def _binary_path(self, binary: str) -> str:
        triple = STATIC_TRIPLE if self._plan.link is Link.STATIC else self._source.workspace.config.target
        name = self._source.selection.binary(binary).name
        return "/".join(part for part in (TARGET, triple, self._source.selection.profile_directory, name) if part)

    def _cook_members(self, fetched: Fetched) -> Iterator[Member]:
        """The skeleton belongs to the builder here: the settling step, which runs as the builder, takes it out again."""
        skeleton = self._source.skeleton
        contents: dict[str, Member] = {}
        for path, content in skeleton.files.items():
            contents[path] = _built(f"work/{path}", content=content)
        for entry in self._source.tree:
            if entry.path in skeleton.verbatim and entry.path not in contents:
                contents[entry.path] = (
                    _built(f"work/{entry.path}", target=entry.target)
                    if entry.kind is EntryKind.SYMLINK
                    else _built(f"work/{entry.path}", source_of=(self._source.blobs, entry.digest, entry.size))
                )
        yield Member(path="work", mode=0o755, mtime=SOURCE_TIME, uid=BUILDER, gid=BUILDER)
        for directory in _parents(contents):
            yield Member(path=f"work/{directory}", mode=0o755, mtime=SOURCE_TIME, uid=BUILDER, gid=BUILDER)
        yield from (contents[path] for path in sorted(contents))
        yield from self._cargo_home(fetched)

    def _cargo_home(self, fetched: Fetched) -> Iterator[Member]:
        yield Member(path="cargo", mode=0o755, mtime=SOURCE_TIME, uid=BUILDER, gid=BUILDER)
        yield Member(path=_CONFIGURATION, mode=0o644, mtime=SOURCE_TIME, content=self._source.configuration)
        for directory in _parents([f"{file.path}" for file in fetched.files]):
            if directory not in {"cargo", "/cargo"}:
                yield Member(path=directory, mode=0o755, mtime=SOURCE_TIME, uid=BUILDER, gid=BUILDER)
        for file in fetched.files:
            yield _built(file.path, source_of=(self._source.blobs, Digest.parse(file.digest), file.size))
        for number, name in enumerate(fetched.archives):
            digest = Digest.parse(name)
            size = self._source.blobs.size(digest)
            yield _built(fetched_archive(number), source_of=(self._source.blobs, digest, size))

    def _compile_members(self) -> Iterator[Member]:
        """The sources belong to root, readable and writable by all; every directory is put too, for its mtime (law 1)."""
        left_out = {
            str(PurePosixPath(place) / name)
            for name in _PROJECT_CONFIGURATION
            for place in ("", *_parents(entry.path for entry in self._source.tree))
        }
        entries = [entry for entry in self._source.tree if entry.path not in left_out]
        lock_path = str(PurePosixPath(self._source.workspace.root) / "Cargo.lock")
        yield Member(path="work", mode=0o777, mtime=SOURCE_TIME)
        for directory in _parents(entry.path for entry in entries):
            yield Member(path=f"work/{directory}", mode=0o777, mtime=SOURCE_TIME)
        for entry in entries:
            path = f"work/{entry.path}"
            match entry.kind:
                case EntryKind.SYMLINK:
                    yield Member(path=path, mode=0o777, mtime=SOURCE_TIME, target=entry.target)
                case EntryKind.DIRECTORY:
                    yield Member(path=path, mode=0o777, mtime=SOURCE_TIME)
                case EntryKind.FILE:
                    assert entry.digest is not None
                    mode = 0o777 if entry.executable else 0o666
                    source = self._source.blobs.path(entry.digest)
                    yield Member(path=path, mode=mode, mtime=SOURCE_TIME, source=source, size=entry.size)
        if self._source.lock is not None:
            yield Member(path=f"work/{lock_path}", mode=0o666, mtime=SOURCE_TIME, content=self._source.lock)
        yield Member(path=_CONFIGURATION, mode=0o644, mtime=SOURCE_TIME, content=self._source.configuration)


def unit_hashes(paths: Iterable[str]) -> Iterator[str]:
    """The hashes of the units that these artefacts belong to: the last 16 characters of a stem, `NAME-HASH`.

    `/target/release/deps/libbytes-0123456789abcdef.rlib`, `/target/release/build/libc-0123456789abcdef/out`.
    """
    for path in paths:
        for part in PurePosixPath(path).parts:
            stem, dash, mark = part.partition(".")[0].rpartition("-")
            if dash and stem and len(mark) == 16 and set(mark) <= set("0123456789abcdef"):  # noqa: PLR2004 - cargo's
                yield mark


def _built(
    path: str,
    *,
    content: bytes | None = None,
    target: str | None = None,
    source_of: tuple[BlobStore, Digest | None, int] | None = None,
) -> Member:
    """A member that belongs to the builder."""
    if source_of is not None:
        blobs, digest, size = source_of
        assert digest is not None
        return Member(
            path=path, mode=0o644, mtime=SOURCE_TIME, uid=BUILDER, gid=BUILDER, source=blobs.path(digest), size=size
        )
    return Member(path=path, mode=0o644, mtime=SOURCE_TIME, uid=BUILDER, gid=BUILDER, content=content, target=target)


def _parents(paths: Iterable[str]) -> list[str]:
    """Every directory above these paths, each before what is in it."""
    found = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    return sorted(found - {".", "/"})
