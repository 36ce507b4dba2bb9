"""The shared libraries that a binary needs, transitively, each where the loader will find it.

The search is glibc's (ld.so(8)): for each needed name, breadth first, one that is loaded already, by name or soname;
then the RPATH of who asks and of those who loaded it, where none of them has a RUNPATH; the RUNPATH of who asks; the
directories of /etc/ld.so.conf (ld.so.cache is made of them); the loader's own. A file for another machine is passed
over.
`glibc-hwcaps` directories are not looked into: the image must run on any machine of its architecture.

An image has no ld.so.cache, so what was found through it is placed into the loader's first own directory.
"""

import posixpath
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from daemon.errors import MissingLibrary
from daemon.image.architecture import Architecture
from daemon.image.elf import Elf, ElfInput, ElfReader
from daemon.image.toolchain_files import ToolchainFile, ToolchainFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """An ELF file that the image holds for its own sake; `path` is where."""

    path: str
    elf: Elf


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A needed library: where it goes in the image, its content, and the first that needs it."""

    path: str
    file: ToolchainFile
    elf: Elf
    needed_by: str
    loader: bool = False
    aliases: tuple[str, ...] = ()
    """Further paths under which it is asked for: symbolic links."""


@dataclass(eq=False, slots=True, kw_only=True)
class _Loaded:
    """An object in the loader's list."""

    path: str
    """Where it was found: what `$ORIGIN` follows from."""
    placed: str
    elf: Elf
    file: ToolchainFile | None
    loader: "_Loaded | None"
    """Who asked for it first."""
    names: set[str] = field(default_factory=set)
    aliases: set[str] = field(default_factory=set)
    moved: bool = False
    interprets: bool = False
    """It is a loader."""


@dataclass(frozen=True, slots=True)
class _Place:
    """One directory of a search; `moves` if the image's loader would not look there."""

    directory: str
    moves: bool


def tls_library(found: Iterable[Library]) -> str | None:
    """The first of these libraries that speaks TLS."""
    return next((one.elf.soname or one.path for one in found if one.elf.is_tls_library), None)


def not_included(found: Iterable[Library], there: Container[str]) -> list[Library]:
    """What an image holds already, by these paths, is not put there twice."""
    return [library for library in found if library.path not in there]


async def closure(
    roots: Sequence[Root], files: ToolchainFiles, reader: ElfReader, architecture: Architecture, image: str
) -> tuple[Library, ...]:
    """What the loader loads for these roots, each library once, in the order in which it is found.

    `MissingLibrary` names every library and symbol version that does not resolve; `image` says in whose words.
    """
    search = _Search(files, reader, architecture)
    complaints = _Complaints(image)
    loaded = [one for root in roots for one in await search.load(root, complaints)]
    found: dict[str, Library] = {}
    for one in loaded:
        if one.file is None:
            continue
        known = found.get(one.placed)
        if known is not None and known.file.digest != one.file.digest:
            complaints.clash(one.placed, known.needed_by, _asker(one))
            continue
        found[one.placed] = Library(
            path=one.placed,
            file=one.file,
            elf=one.elf,
            needed_by=known.needed_by if known else _asker(one),
            loader=one.interprets,
            aliases=tuple(sorted(one.aliases.union(known.aliases if known else ()))),
        )
    complaints.raise_if_any()
    return tuple(found.values())


def _asker(loaded: "_Loaded") -> str:
    return loaded.placed if loaded.loader is None else loaded.loader.placed


class _Complaints:
    def __init__(self, image: str) -> None:
        self._image = image
        self._libraries: dict[tuple[str, str], None] = {}
        self._versions: dict[tuple[str, str, str], None] = {}
        self._clashes: list[str] = []

    def library(self, name: str, needed_by: str) -> None:
        self._libraries[name, needed_by] = None

    def version(self, version: str, library: str, needed_by: str) -> None:
        self._versions[version, library, needed_by] = None

    def clash(self, path: str, first: str, second: str) -> None:
        self._clashes.append(f"{first} and {second} need two different libraries as {path}")

    def raise_if_any(self) -> None:
        """One failure for all that does not resolve."""
        lines = [f"{by} needs {name}, which {self._image} does not hold" for name, by in self._libraries]
        lines += [
            f"{by} needs version {version} of {library}, which the one in {self._image} does not offer"
            for version, library, by in self._versions
        ]
        lines += self._clashes
        if lines:
            raise MissingLibrary(
                "; ".join(lines) + "; make a toolchain image whose packages hold it "
                "(`bloomery toolchain make NAME --with PACKAGE`), or link it statically",
                libraries=[{"library": name, "needed_by": by} for name, by in self._libraries],
                versions=[{"version": one, "library": two, "needed_by": by} for one, two, by in self._versions],
            )


class _Search:
    """The loader's search over one set of files."""

    def __init__(self, files: ToolchainFiles, reader: ElfReader, architecture: Architecture) -> None:
        self._files = files
        self._reader = reader
        self._architecture = architecture
        self._default: tuple[str, ...] = architecture.default_directories
        self._configured: tuple[str, ...] = ()
        self._program: list[_Loaded] = []

    async def load(self, root: Root, complaints: _Complaints) -> Sequence[_Loaded]:
        """What is loaded for one root, itself included.

        The first root is the program, and its loader comes next; each further one is opened by that program, which has
        its own libraries loaded by then.
        """
        if root.elf.interpreter is None and not root.elf.needed:
            return ()
        self._configured = await self._files.library_directories()
        first = _Loaded(path=root.path, placed=root.path, elf=root.elf, file=None, loader=None)
        loaded, start = [*self._program, first], len(self._program)
        if root.elf.interpreter is not None:
            loader = await self._interpreter(first)
            if loader is None:
                complaints.library(root.elf.interpreter, root.path)
                return ()
            if not any(_same(one, loader) for one in loaded):
                loaded.append(loader)
            self._default = loader.elf.system_directories or self._architecture.default_directories
        await self._walk(loaded, start, complaints)
        _check_versions(loaded[start:], loaded, complaints)
        if not self._program:
            self._program = loaded
        return loaded[start:]

    async def _walk(self, loaded: list[_Loaded], start: int, complaints: _Complaints) -> None:
        at = start
        while at < len(loaded):
            await self._read_ahead(loaded[at:])
            for asker in loaded[at:]:
                at += 1
                for name in asker.elf.needed:
                    if any(name in one.names or name == one.elf.soname for one in loaded):
                        continue
                    found = await self._find(name, asker)
                    if found is None:
                        complaints.library(name, asker.placed)
                        continue
                    known = next((one for one in loaded if _same(one, found)), None)
                    if known is None:
                        loaded.append(found)
                        known = found
                    elif found.placed != known.placed:
                        known.aliases.add(found.placed)
                    known.names.add(name)

    async def _read_ahead(self, askers: Iterable[_Loaded]) -> None:
        """Read what a whole level needs in one child process; what is found is remembered, so order plays no part."""
        files = {}
        for asker in askers:
            for name in asker.elf.needed:
                for place in self._places(name, asker):
                    if (file := await self._files.file(posixpath.join(place.directory, name))) is not None:
                        files[file.digest] = ElfInput(file.digest, file.source, file.path)
                        break
        await self._reader.look(tuple(files.values()))

    async def _interpreter(self, root: _Loaded) -> _Loaded | None:
        path = str(root.elf.interpreter)
        candidate = await self._elf(path, root)
        if candidate is None:
            return None
        file, elf = candidate
        return _Loaded(path=path, placed=path, elf=elf, file=file, loader=root, names={path}, interprets=True)

    async def _find(self, name: str, asker: _Loaded) -> _Loaded | None:
        if "/" in name:
            candidate = await self._elf(name, asker) if name.startswith("/") else None
            return _loaded(candidate, name, name, asker, moved=False)
        for place in self._places(name, asker):
            path = posixpath.normpath(posixpath.join(place.directory, name))
            if (candidate := await self._elf(path, asker)) is not None:
                placed = posixpath.join(self._default[0], name) if place.moves else path
                return _loaded(candidate, path, placed, asker, moved=place.moves)
        return None

    async def _elf(self, path: str, asker: _Loaded) -> tuple[ToolchainFile, Elf] | None:
        file = await self._files.file(path)
        if file is None:
            return None
        (elf,) = await self._reader.look((ElfInput(file.digest, file.source, file.path),))
        if elf is None or (elf.bits, elf.machine) != (asker.elf.bits, asker.elf.machine):
            return None
        return file, elf

    def _places(self, name: str, asker: _Loaded) -> Iterator[_Place]:
        if "/" in name:
            return
        if not asker.elf.runpath:
            who: _Loaded | None = asker
            while who is not None:
                if not who.elf.runpath:
                    yield from self._expanded(who.elf.rpath, who)
                who = who.loader
        yield from self._expanded(asker.elf.runpath, asker)
        default = set(self._default)
        if asker.elf.default_directories:
            yield from (_Place(directory, directory not in default) for directory in self._configured)
            yield from (_Place(directory, moves=False) for directory in self._default)

    def _expanded(self, paths: Iterable[str], owner: _Loaded) -> Iterator[_Place]:
        """Search paths with their tokens replaced; a relative one means the working directory, and is passed over."""
        library = f"lib/{self._architecture.triplet}"
        for path in paths:
            text = path
            for token, value in (("ORIGIN", posixpath.dirname(owner.path)), ("LIB", library)):
                text = text.replace(f"${{{token}}}", value).replace(f"${token}", value)
            if text.startswith("/") and "$" not in text:
                yield _Place(posixpath.normpath(text), owner.moved)


def _loaded(
    candidate: tuple[ToolchainFile, Elf] | None, path: str, placed: str, asker: _Loaded, *, moved: bool
) -> _Loaded | None:
    if candidate is None:
        return None
    file, elf = candidate
    return _Loaded(path=path, placed=placed, elf=elf, file=file, loader=asker, moved=moved)


def _same(one: _Loaded, other: _Loaded) -> bool:
    """Two names of one file (the loader compares inodes)."""
    return one.file is not None and other.file is not None and one.file.digest == other.file.digest


def _check_versions(askers: Iterable[_Loaded], loaded: Sequence[_Loaded], complaints: _Complaints) -> None:
    """Every required version must be defined; a library that defines none is taken as it is, as the loader does."""
    for one in askers:
        for library, versions in one.elf.required.items():
            provider = next((other for other in loaded if library in other.names or library == other.elf.soname), None)
            if provider is None or not provider.elf.defined:
                continue
            for version in versions:
                if version not in provider.elf.defined:
                    complaints.version(version, library, one.placed)
