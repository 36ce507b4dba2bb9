"""Compiling a cargo project's own sources, over a layer or in a workspace, and the proof that what came out is real."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path, PurePosixPath

import msgspec

from cache.digest import Digest
from cache.errors import Blame, Failure
from cache.manifests.rust.lock import Lockfile
from cache.tree import SourceTree
from daemon.ecosystems.ecosystem import Move, UntrustworthyLayer, UntrustworthyWorkspace
from daemon.ecosystems.kept import Fetched
from daemon.ecosystems.planned import Plan
from daemon.ecosystems.rust.clearing import clearing, must_be_apart
from daemon.ecosystems.rust.dependents import edges
from daemon.ecosystems.rust.dirtiness import Dirt, Ledger, dirty, read_ledger, write_ledger
from daemon.ecosystems.rust.environment import TARGET
from daemon.ecosystems.rust.failures import is_of_sources_alone
from daemon.ecosystems.rust.inputs import UnreadableInputs, read_inputs, unpacked
from daemon.ecosystems.rust.layouts import layout_named
from daemon.ecosystems.rust.members import (
    configuration_member,
    fetched_members,
    is_put,
    lock_entry,
    source_member,
    source_members,
)
from daemon.ecosystems.rust.messages import Artifact, CargoReader
from daemon.ecosystems.rust.moving import new_files
from daemon.ecosystems.rust.opened import opened
from daemon.ecosystems.rust.source import RustSource
from daemon.ecosystems.rust.steps import KNOWN, OUT, OWN, compile_script, inputs_lines, naming
from daemon.ecosystems.rust.written import UnreadableListing, links, read_listing, written
from daemon.ecosystems.step import Compiled, Fork, Reads, Recompile, Remembered, Step, StepReader
from daemon.pipeline.spool import regular_files
from daemon.tarball import Member

_WRITTEN_SHOWN = 20
_KNOWLEDGE = {"inputs.tar": 64 << 20, "paths": 64 << 20, "size": 1024}
"""What a compile leaves about itself, and how many bytes of it are read."""


class RustCompiling:
    """A `Compiling` over cargo."""

    def __init__(self, plan: Plan, source: RustSource) -> None:
        self._plan = plan
        self._source = source
        self._layout = layout_named(plan.toolchain.facts.layout)

    @property
    def leaves(self) -> str:
        """Binaries, and what cargo left about the inputs of units."""
        return OUT

    def step(self, fetched: Fetched | None = None) -> Step:
        """The sources as they are; all that was fetched first, where no layer has it."""
        source = self._source
        sources = source_members(source.tree, source.blobs)
        given, archives = (fetched_members(fetched, source.blobs), len(fetched.archives)) if fetched else ((), 0)
        members = self._members(chain(given, sources))
        return Step(script=self._script((), archives), members=members, environment=source.environment)

    def again(self, before: SourceTree, ledger: bytes, move: Move | None = None) -> Recompile | None:
        """What has changed since, over what is there, and its packages marked for cargo."""
        source, known = self._source, read_ledger(ledger)
        if self._layout is None or known is None or source.workspace.lock is None:
            return None
        dirt = self._dirt(before, known, source.workspace.lock)
        if move is not None and move.put:
            # What stands on a unit that is put in was compiled against another of its name, for all that is known.
            dirt = replace(dirt, packages=tuple(sorted({*self._directories(), *known.members})), dependents=())
        sources = source_members(source.tree, source.blobs, frozenset(entry.path for entry in dirt.put))
        new = fetched_members(new_files(move), source.blobs) if move is not None else ()
        going = clearing(dirt, move, self._directories().keys() - set(dirt.packages))
        within = None if must_be_apart(dirt, move) else going
        marks = self._layout.marks.dirty(dirt.packages, dirt.dependents, TARGET)
        return Recompile(
            clear=going.step if going and not within else None,
            step=Step(
                script=self._script(marks, clearing=within.lines if within else ()),
                members=self._members(chain(within.members if within else (), new, sources)),
            ),
            dirty=dirt.compiled,
            given=move is not None and move.put,
            opened=known.opened,
        )

    def forked(self, before: SourceTree, ledger: bytes) -> Fork | None:
        """All sources anew, and marked for cargo what differs from those that the artefacts were made of.

        Nothing is to be taken away: what the other has in its sources stays there.
        """
        source, known = self._source, read_ledger(ledger)
        if self._layout is None or known is None or source.workspace.lock is None:
            return None
        dirt = self._dirt(before, known, source.workspace.lock)
        step = Step(
            script=self._script(self._layout.marks.dirty(dirt.packages, dirt.dependents, TARGET)),
            members=self._members(source_members(source.tree, source.blobs)),
            environment=source.environment,
        )
        return Fork(
            again=Recompile(clear=None, step=step, dirty=dirt.compiled, opened=known.opened),
            directory=TARGET,
            left_out=OWN,
            time=self._plan.toolchain.facts.artefact_mtime,
            remade=frozenset(known.inputs.keys() - known.members.keys()),
        )

    def _dirt(self, before: SourceTree, known: Ledger, lock: Lockfile) -> Dirt:
        return dirty(
            self._put(before),
            self._put(self._source.tree),
            known,
            self._directories(),
            environment=self._environment(),
            edges=edges(self._source.workspace.packages, lock),
        )

    def remembered(self, archive: Path, reads: Reads, again: Recompile | None = None) -> Remembered | None:
        """What each package read, what of the sources anybody did, and what the build did to them."""
        source, members = self._source, self._directories()
        left = {PurePosixPath(name).name: content for name, content in _read(archive, _KNOWLEDGE)}
        one_name_each = len(members) == len(source.workspace.packages)
        if self._layout is None or not one_name_each or left.keys() != _KNOWLEDGE.keys():
            return None
        try:
            listing = read_listing(left["paths"])
            texts, size = unpacked(io.BytesIO(left["inputs.tar"])), int(left["size"].split()[0])
        except (UnreadableInputs, UnreadableListing, ValueError, IndexError):
            return None
        inputs = read_inputs(texts, members, self._layout.marks, workspace=source.workspace.root, links=links(listing))
        different = written(listing, self._put(source.tree))
        before = again.opened if again is not None else frozenset[str]()
        read = None
        if reads is Reads.TOLD and before is not None:
            read = opened(listing, source.tree, written=different, inputs=inputs, before=before)
        ledger = Ledger(
            environment=self._environment(),
            members=members,
            inputs=inputs,
            written=different,
            opened=read,
        )
        return Remembered(ledger=write_ledger(ledger), size=size, opened=ledger.opened)

    def may_be_given(self, failure: Failure) -> bool:
        """All but errors in lines of the project, and those too if they are about crates."""
        return failure.blame is Blame.SOURCE and not is_of_sources_alone(failure)

    def compiled(self, reader: StepReader, again: Recompile | None = None) -> Compiled:
        """Each binary is the one that cargo's messages name, and nothing of the sources came from the layer.

        That is law 3, and law 4 seen from here: a member that cargo found fresh was in the layer. In a workspace it may
        be, unless it was marked: a package that is dirty and fresh shows that marking does not work there.
        """
        assert isinstance(reader, CargoReader)
        if not reader.finished:
            raise UntrustworthyLayer("cargo ended well without saying that its build was finished")
        # Some real package may have such a version; the skeleton's stubs then have another.
        real = {(package.name, package.version) for package in self._source.workspace.packages}
        for artifact in reader.artifacts:
            if artifact.package.is_stub and (artifact.package.name, artifact.package.version) not in real:
                raise UntrustworthyLayer(f"cargo met the stub of {artifact.package.name} while compiling the sources")
            if artifact.fresh and not self._source.may_stay(artifact.package):
                self._refuse_fresh(artifact, again)
        binaries = tuple(dict.fromkeys(str(image.binary) for image in self._plan.images))
        for name in binaries:
            self._prove(name, reader.artifacts, again)
        return Compiled(taken=OUT, binaries=binaries, notes=_written_notes(reader.written))

    def _refuse_fresh(self, artifact: Artifact, again: Recompile | None) -> None:
        if again is None:
            raise UntrustworthyLayer(f"cargo found {artifact.package.words} already compiled in the layer")
        # The build script of one that only stands on a dirty package is as it was.
        if artifact.package.name in again.dirty and "custom-build" not in artifact.kinds:
            raise UntrustworthyWorkspace(
                f"cargo found {artifact.package.words} unchanged, and its sources have changed"
            )

    def _prove(self, binary: str, artifacts: Sequence[Artifact], again: Recompile | None) -> None:
        wanted = self._source.binary(binary)
        named = [
            artifact
            for artifact in artifacts
            if artifact.executable
            and "bin" in artifact.kinds
            and artifact.target == wanted.name
            and artifact.package.name == wanted.package
        ]
        if len(named) != 1 or named[0].executable != self._source.binary_path(binary, self._plan.link):
            where = ", ".join(str(artifact.executable) for artifact in named) or "nowhere"
            raise UntrustworthyLayer(f"cargo says that the binary {binary} is {where}")
        if named[0].fresh:
            self._refuse_fresh(named[0], again)
        versions = {package.name: package.version for package in self._source.workspace.members}
        if named[0].package.version != versions.get(wanted.package):
            raise UntrustworthyLayer(f"cargo compiled {binary} of version {named[0].package.version}")

    def _script(self, marks: Sequence[str], archives: int = 0, clearing: Sequence[str] = ()) -> str:
        source, link = self._source, self._plan.link
        names = dict.fromkeys(str(image.binary) for image in self._plan.images)
        return compile_script(
            source.workspace.root,
            source.arguments(link),
            [(name, source.binary_path(name, link)) for name in names],
            source.compile_environment,
            artefact_time=self._plan.toolchain.facts.artefact_mtime,
            clearing=clearing,
            marks=marks,
            inputs=self._inputs(),
            archives=archives,
        )

    def _inputs(self) -> list[str]:
        """Lines that leave what has to be known for compiling here again, if that can be."""
        if self._layout is None:
            return []
        return inputs_lines(self._layout.marks.inputs(sorted(self._directories()), naming()))

    def _members(self, sources: Iterable[Member]) -> Iterator[Member]:
        source = self._source
        yield from sources
        if source.lock is not None:
            yield source_member(source.workspace.lock_path, source.lock)
        yield configuration_member(source.configuration)

    def _directories(self) -> Mapping[str, str]:
        return {package.name: package.directory for package in self._source.workspace.packages}

    def _put(self, tree: SourceTree) -> SourceTree:
        """A tree as it stands in a sandbox: with the lock that was made for it, without its own configuration."""
        made = []
        if self._source.lock is not None:
            made = [lock_entry(self._source.workspace.lock_path, self._source.lock)]
        return SourceTree.of([*(entry for entry in tree if is_put(entry.path)), *made])

    def _environment(self) -> str:
        source = self._source
        told = [source.environment, source.compile_environment, source.configuration.decode()]
        return str(Digest.of(msgspec.json.encode(told, order="sorted")))


def _read(archive: Path, wanted: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """Some files of what a compile left, none of them larger than it may be."""
    for name, size, content in regular_files(archive):
        path = PurePosixPath(name)
        if path.parent.name == PurePosixPath(KNOWN).name and size <= wanted.get(path.name, -1):
            yield name, content.read()


def _written_notes(written: Sequence[str]) -> tuple[str, ...]:
    shown = tuple(f"The build wrote {path} into the source tree; it is not kept." for path in written[:_WRITTEN_SHOWN])
    if len(written) > len(shown):
        return (*shown, f"The build wrote {len(written)} files into the source tree in all.")
    return shown
