"""A planned cargo project: what each of its sandboxes runs, and the proof that what came out is real."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cache.blobs import BlobStore
from cache.manifests.rust.package import Binary
from cache.manifests.rust.selection import Selection
from cache.manifests.rust.skeleton import Skeleton
from cache.manifests.rust.workspace import Workspace
from cache.tree import SourceTree
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
from daemon.ecosystems.rust.environment import STATIC_TRIPLE, TARGET
from daemon.ecosystems.rust.members import (
    configuration_member,
    fetched_members,
    skeleton_members,
    source_member,
    source_members,
)
from daemon.ecosystems.rust.messages import Artifact, CargoReader
from daemon.ecosystems.rust.package_id import PackageId
from daemon.ecosystems.rust.steps import LIVE, OUT, compile_script, cook_script, settle_script
from daemon.events import Progress
from daemon.tarball import Member

_HASH = 16
_WRITTEN_SHOWN = 20


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
    private_to: str = ""
    """The project that alone may use the layer (law 6); empty: every project of the scope."""


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

    def reader(self, progress: Progress) -> StepReader:
        """Cargo's messages."""
        return CargoReader(progress, self._plan.link)

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
        paths = [path for artifact in cooked.artifacts if self._may_stay(artifact.package) for path in artifact.files]
        paths += [out for package, out in cooked.script_runs if self._may_stay(package)]
        listing = "".join(f"{mark}\n" for mark in sorted(set(unit_hashes(paths)))).encode()
        return Step(
            script=settle_script(self._plan.toolchain.facts.artefact_mtime),
            members=(Member(path=LIVE, mode=0o644, mtime=SOURCE_TIME, content=listing),),
        )

    def compile(self) -> Step:
        """The sources as they are, over the layer."""
        names = dict.fromkeys(str(image.binary) for image in self._plan.images)
        binaries = [(name, self._binary_path(name)) for name in names]
        root = self._source.workspace.root
        return Step(
            script=compile_script(root, self._arguments(), binaries, self._source.compile_environment),
            members=self._compile_members(),
            environment=self._source.environment,
        )

    def compiled(self, reader: StepReader) -> Compiled:
        """Each binary is the one that cargo's messages name, and nothing of the sources came from the layer.

        That is law 3, and law 4 seen from here: a member that cargo found fresh was in the layer.
        """
        assert isinstance(reader, CargoReader)
        if not reader.finished:
            raise UntrustworthyLayer("cargo ended well without saying that its build was finished")
        # Some real package may have such a version; the skeleton's stubs then have another.
        real = {(package.name, package.version) for package in self._source.workspace.packages}
        for artifact in reader.artifacts:
            if artifact.package.is_stub and (artifact.package.name, artifact.package.version) not in real:
                raise UntrustworthyLayer(f"cargo met the stub of {artifact.package.name} while compiling the sources")
            if artifact.fresh and not self._may_stay(artifact.package):
                raise UntrustworthyLayer(f"cargo found {artifact.package.words} already compiled in the layer")
        binaries = tuple(dict.fromkeys(str(image.binary) for image in self._plan.images))
        for name in binaries:
            self._prove(name, reader.artifacts)
        return Compiled(taken=OUT, binaries=binaries, notes=_written_notes(reader.written))

    def _may_stay(self, package: PackageId) -> bool:
        """Whether a layer may hold units of this package: it is from outside, or was cooked for real."""
        for_real = {(one.name, one.version) for one in self._source.skeleton.unstubbable}
        return package.is_outside or (package.name, package.version) in for_real

    def _prove(self, binary: str, artifacts: Sequence[Artifact]) -> None:
        wanted = self._wanted(binary)
        named = [
            artifact
            for artifact in artifacts
            if artifact.executable
            and "bin" in artifact.kinds
            and artifact.target == wanted.name
            and artifact.package.name == wanted.package
        ]
        if len(named) != 1 or named[0].executable != self._binary_path(binary):
            where = ", ".join(str(artifact.executable) for artifact in named) or "nowhere"
            raise UntrustworthyLayer(f"cargo says that the binary {binary} is {where}")
        if named[0].fresh:
            raise UntrustworthyLayer(f"cargo found the binary {binary} already compiled in the layer")
        versions = {package.name: package.version for package in self._source.workspace.members}
        if named[0].package.version != versions.get(wanted.package):
            raise UntrustworthyLayer(f"cargo compiled {binary} of version {named[0].package.version}")

    def _wanted(self, binary: str) -> Binary:
        return next(one for one in self._source.selection.binaries if one.name == binary)

    def _arguments(self) -> tuple[str, ...]:
        arguments = self._source.selection.arguments()
        return (*arguments, "--target", STATIC_TRIPLE) if self._plan.link is Link.STATIC else arguments

    def _binary_path(self, binary: str) -> str:
        triple = STATIC_TRIPLE if self._plan.link is Link.STATIC else self._source.workspace.config.target
        name = self._wanted(binary).name
        return "/".join(part for part in (TARGET, triple, self._source.selection.profile_directory, name) if part)

    def _cook_members(self, fetched: Fetched) -> Iterator[Member]:
        source = self._source
        yield from skeleton_members(source.tree, source.blobs, source.skeleton)
        yield from fetched_members(fetched, source.blobs)
        yield configuration_member(source.configuration)

    def _compile_members(self) -> Iterator[Member]:
        source = self._source
        yield from source_members(source.tree, source.blobs)
        if source.lock is not None:
            yield source_member(source.workspace.lock_path, source.lock)
        yield configuration_member(source.configuration)


def unit_hashes(paths: Iterable[str]) -> Iterator[str]:
    """The hashes of the units that these artefacts belong to: the last 16 characters of a stem, `NAME-HASH`.

    `/target/release/deps/libbytes-0123456789abcdef.rlib`, `/target/release/build/libc-0123456789abcdef/out`.
    """
    for path in paths:
        for part in PurePosixPath(path).parts:
            stem, dash, mark = part.partition(".")[0].rpartition("-")
            if dash and stem and len(mark) == _HASH and set(mark) <= set("0123456789abcdef"):
                yield mark


def _written_notes(written: Sequence[str]) -> tuple[str, ...]:
    shown = tuple(f"The build wrote {path} into the source tree; it is not kept." for path in written[:_WRITTEN_SHOWN])
    if len(written) > len(shown):
        return (*shown, f"The build wrote {len(written)} files into the source tree in all.")
    return shown
