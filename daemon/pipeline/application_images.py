"""Images of an interpreter, an environment of packages and an application, for languages that are not compiled.

Three layers, lowest first, each of which changes less often than the one above it: the interpreter with its standard
library, the packages, and the application with all that is the image's own. An edit of the sources makes the last
anew and nothing else.
"""

import asyncio
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cache.digest import Digest
from cache.tree import EntryKind, SourceTree
from daemon.builds import ImageRequest
from daemon.ecosystems.application import Application
from daemon.ecosystems.planned import Plan, Source
from daemon.image import manifest
from daemon.image.architecture import Architecture
from daemon.image.assembled import AssembledImage
from daemon.image.blobs import Blobs
from daemon.image.closure import not_included, tls_library
from daemon.image.elf import ElfReader
from daemon.image.includes import Inclusion
from daemon.image.interpreter import frame
from daemon.image.layer import Blob
from daemon.image.library_source import LibrarySource
from daemon.image.rootfs import (
    CERTIFICATES,
    Origin,
    RootFile,
    accounts,
    complete,
    libraries,
    places,
    stored,
    symlink,
)
from daemon.image.roots import dynamic_roots
from daemon.image.toolchain_files import ToolchainFiles
from daemon.image.wishes import unmet
from daemon.image.written import WrittenImage, write_image
from daemon.pipeline.compilation import Made
from daemon.pipeline.environments import Environment
from daemon.pipeline.installed_ground import Installed, package_words
from daemon.pipeline.interpreters import Interpreters
from daemon.pipeline.kept_layers import KeptLayers
from daemon.toolchains.toolchain import PythonFacts, Toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layers:
    """The entries of each layer, complete and sorted, and what is to be told of them."""

    interpreter: tuple[RootFile, ...]
    packages: tuple[RootFile, ...]
    application: tuple[RootFile, ...]
    warnings: tuple[str, ...] = ()

    @property
    def rootfs(self) -> tuple[RootFile, ...]:
        """What they come to, sorted."""
        entries = {one.path: one for layer in (self.interpreter, self.packages, self.application) for one in layer}
        return tuple(entries[path] for path in sorted(entries, key=str.encode))


@dataclass(slots=True)
class _Merged:
    """The files of packages; of two that claim one path the first has it."""

    files: dict[str, RootFile] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def add(self, file: RootFile) -> None:
        known = self.files.setdefault(file.path, file)
        if known.digest != file.digest:
            self.warnings.append(f"{file.path} is of two packages ({known.reason}; {file.reason}); the first has it")


class ApplicationImages:
    """An `ImageMaker` over installed packages."""

    def __init__(
        self,
        *,
        blobs: Blobs,
        source: LibrarySource,
        reader: ElfReader,
        architecture: Architecture,
        interpreters: Interpreters,
        kept: KeptLayers,
    ) -> None:
        self._interpreters = interpreters
        self._blobs = blobs
        self._source = source
        self._reader = reader
        self._architecture = architecture
        self._kept = kept

    async def image(self, made: Made, request: ImageRequest, source: Source, plan: Plan) -> AssembledImage:
        """Interpreter, packages, application; raises as the images of binaries do."""
        assert isinstance(made, Installed)
        application, python = made.application, plan.toolchain.facts.python
        assert python is not None
        settings = manifest.plan(application.name, request.settings)
        async with self._source.open(plan.toolchain.facts.image_id) as files:
            layers = await self._layers(made, settings, source, plan.toolchain, files)
        rootfs = layers.rootfs
        trusted = any(file.path == CERTIFICATES for file in rootfs)
        extra = {"SSL_CERT_FILE": CERTIFICATES} if trusted else {}
        written = await self._written(layers, settings, extra)
        return AssembledImage(
            binary=application.name,
            manifest_digest=written.manifest,
            image_id=written.config,
            layers=tuple(layer.digest for layer in written.layers),
            listing=written.listing,
            rootfs=rootfs,
            symbols=None,
            entrypoint=settings.entrypoint,
            user=settings.account.user,
            working_directory=settings.working_directory,
            environment={**extra, **settings.environment},
            warnings=layers.warnings,
        )

    async def _layers(
        self, made: Installed, settings: manifest.ImagePlan, source: Source, toolchain: Toolchain, files: ToolchainFiles
    ) -> _Layers:
        python, directory = toolchain.facts.python, settings.working_directory
        assert python is not None
        below = await self._interpreters.of(toolchain, files)
        packages = self._packages(made.environment, python)
        inclusion = Inclusion(self._blobs, self._architecture, toolchain.name)
        included = await inclusion.files(settings.include, source.tree, made.application.directory, directory, files)
        all_needed = await self._interpreters.needed(
            below.files, (*packages.files.values(), *included), files, toolchain
        )
        there = {*(one.path for one in below.libraries), *(one.path for one in included), *packages.files}
        above = not_included(all_needed, there)
        certificates, warnings = await inclusion.trust(files, tls_library((*below.libraries, *above)), included)
        application = [
            *application_files(made.application, source.tree, directory, self._blobs),
            *included,
            *certificates,
            *places(settings.account, directory),
            *accounts(settings.account),
        ]
        roots = await dynamic_roots(packages.files.values(), self._reader, self._architecture)
        layers = _Layers(
            interpreter=below.layer,
            packages=complete([*packages.files.values(), *libraries(above)]),
            application=complete(application),
        )
        unmet_wishes = unmet(roots, above, layers.rootfs)
        told = (*packages.warnings, *warnings, *unmet_wishes)
        return _Layers(
            interpreter=layers.interpreter, packages=layers.packages, application=layers.application, warnings=told
        )

    def _packages(self, environment: Environment, python: PythonFacts) -> _Merged:
        merged = _Merged()
        for file in frame(python):
            merged.add(file)
        for name, package in environment.packages.items():
            for each in package.fetched.files:
                digest = Digest.parse(each.digest)
                merged.add(
                    stored(
                        each.path,
                        Origin.PACKAGE,
                        f"package: {package_words(name)}",
                        digest=digest,
                        size=each.size,
                        source=self._blobs.path(digest),
                        mode=0o755 if each.executable else 0o644,
                    )
                )
        return merged

    async def _written(self, layers: _Layers, settings: manifest.ImagePlan, extra: Mapping[str, str]) -> WrittenImage:
        lower = (layers.interpreter, layers.packages)
        parts = [await self._kept.known(layer) for layer in lower]
        written = await asyncio.to_thread(
            write_image,
            (*parts, layers.application),
            layers.rootfs,
            settings,
            extra,
            architecture=self._architecture,
            blobs=self._blobs,
        )
        for files, part, layer in zip(lower, parts, written.layers, strict=False):
            if not isinstance(part, Blob):
                await self._kept.keep(files, layer)
        return written


def application_files(
    application: Application, tree: SourceTree, working_directory: str, blobs: Blobs
) -> Iterator[RootFile]:
    """What of the tree is the application, below the working directory, and what is written for it."""
    wanted = set(application.files)
    for entry in tree:
        if entry.path not in wanted:
            continue
        path = posixpath.join(working_directory, posixpath.relpath(entry.path, application.directory or "."))
        reason = f"application: {entry.path}"
        if entry.kind is EntryKind.SYMLINK:
            yield symlink(path, entry.target, Origin.APPLICATION, reason)
        elif entry.digest is not None:
            mode = 0o755 if entry.executable else 0o644
            source = blobs.path(entry.digest)
            yield stored(
                path, Origin.APPLICATION, reason, digest=entry.digest, size=entry.size, source=source, mode=mode
            )
    yield from _written_files(application)


def _written_files(application: Application) -> Iterable[RootFile]:
    for file in application.written:
        yield RootFile(
            path=file.path,
            kind=EntryKind.FILE,
            mode=0o755 if file.executable else 0o644,
            origin=Origin.APPLICATION,
            reason=f"application: {file.reason}",
            size=len(file.content),
            digest=Digest.of(file.content),
            content=file.content,
        )
