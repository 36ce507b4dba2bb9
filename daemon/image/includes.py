"""`[image] include`: files of the source tree, and sets that come from the toolchain image.

A path of the tree goes under the image's working directory as it stands in the tree (`templates/` becomes
`/app/templates/`); a directory is taken whole. A name without a slash that is a set's means the set: write `./ca` for a
path of that name. Nothing is guessed and nothing is left out silently.
"""

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cache.digest import Digest
from cache.tree import EntryKind, SourceTree, TreeEntry
from daemon.errors import MissingAsset, MissingLibrary
from daemon.image.architecture import Architecture
from daemon.image.blobs import Blobs
from daemon.image.errors import BadImageSettings
from daemon.image.rootfs import CERTIFICATES, Origin, RootFile, directory, stored, symlink
from daemon.image.toolchain_files import ToolchainFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetSet:
    """A named set of files of the toolchain image, and the Debian package that has them."""

    name: str
    package: str
    file: str = ""
    directory: str = ""
    """Taken whole."""


def sets(architecture: Architecture) -> dict[str, AssetSet]:
    """The sets by name."""
    libraries = f"/usr/lib/{architecture.triplet}"
    return {
        one.name: one
        for one in (
            AssetSet(name="ca", package="ca-certificates", file=CERTIFICATES),
            AssetSet(name="tzdata", package="tzdata", directory="/usr/share/zoneinfo"),
            AssetSet(name="gconv", package="libc6", directory=f"{libraries}/gconv"),
            AssetSet(name="openssl-legacy", package="libssl3", file=f"{libraries}/ossl-modules/legacy.so"),
        )
    }


class Inclusion:
    """Turns the names in `include` into files of one image."""

    def __init__(self, blobs: Blobs, architecture: Architecture, toolchain: str) -> None:
        self._blobs = blobs
        self._sets = sets(architecture)
        self._toolchain = toolchain

    async def files(
        self, names: Iterable[str], tree: SourceTree, within: str, working_directory: str, files: ToolchainFiles
    ) -> tuple[RootFile, ...]:
        """All that is included; `within` is the directory of the tree that paths start from.

        `MissingAsset` for a path that the tree lacks, `MissingLibrary` for a set that the toolchain image lacks.
        """
        of_tree: list[RootFile] = []
        of_toolchain: list[RootFile] = []
        for name in dict.fromkeys(names):
            if (asset := self._sets.get(name)) is not None:
                of_toolchain += await self._from_toolchain(asset, files)
            else:
                of_tree += self._from_tree(name, tree, within, working_directory)
        _require_targets(of_tree)
        return (*of_tree, *of_toolchain)

    async def certificates(self, files: ToolchainFiles, why: str) -> RootFile | None:
        """The CA bundle for a binary that speaks TLS, or None where the toolchain image has none."""
        file = await files.file(CERTIFICATES)
        if file is None:
            return None
        reason = f"certificates: TLS is linked ({why})"
        return stored(CERTIFICATES, Origin.CERTIFICATES, reason, digest=file.digest, size=file.size, source=file.source)

    async def trust(
        self, files: ToolchainFiles, why: str | None, included: Iterable[RootFile]
    ) -> tuple[tuple[RootFile, ...], tuple[str, ...]]:
        """The CA bundle where TLS is spoken, `why` tells by whom, and a warning where there is none to be had."""
        if why is None or any(file.path == CERTIFICATES for file in included):
            return (), ()
        file = await self.certificates(files, why)
        if file is None:
            return (), (f"TLS is linked ({why}), and the toolchain image has no CA bundle: {CERTIFICATES} is missing",)
        return (file,), ()

    async def _from_toolchain(self, asset: AssetSet, files: ToolchainFiles) -> list[RootFile]:
        reason = f"included: {asset.name}"
        if asset.file:
            file = await files.file(asset.file)
            if file is not None:
                stands = stored(
                    asset.file, Origin.INCLUDED, reason, digest=file.digest, size=file.size, source=file.source
                )
                return [stands]
        elif (below := await files.directory(asset.directory)) is not None:
            return [
                directory(asset.directory, reason),
                *(self._placed(entry, posixpath.join(asset.directory, entry.path), reason) for entry in below),
            ]
        raise MissingLibrary(
            f"[image] include names {asset.name!r}, and the toolchain image has no {asset.file or asset.directory}; "
            f"Debian's package {asset.package} has it: bloomery toolchain make {self._toolchain} "
            f"--with {asset.package}",
            package=asset.package,
        )

    def _from_tree(self, name: str, tree: SourceTree, within: str, working_directory: str) -> Iterator[RootFile]:
        asked = _normal(name)
        start = posixpath.normpath(posixpath.join(within, asked)).removeprefix("./")
        reason = f"included: {name}"
        entries = [entry for entry in tree if start == "." or _covers(start, entry.path)]
        if not entries or (name.endswith("/") and any(_is_file(entry, start) for entry in entries)):
            wanted = "directory" if name.endswith("/") else "file or directory"
            raise MissingAsset(
                f"[image] include names {name!r}, and the source tree has no {wanted} of that path; the sets are "
                f"{', '.join(self._sets)}",
                path=name,
            )
        for entry in entries:
            path = posixpath.relpath(entry.path, within or ".")
            yield self._placed(entry, posixpath.join(working_directory, path), reason)

    def _placed(self, entry: TreeEntry, path: str, reason: str) -> RootFile:
        if entry.kind is EntryKind.SYMLINK:
            return symlink(path, entry.target, Origin.INCLUDED, reason)
        if entry.kind is EntryKind.DIRECTORY:
            return directory(path, reason)
        assert isinstance(entry.digest, Digest)
        return stored(
            path,
            Origin.INCLUDED,
            reason,
            digest=entry.digest,
            size=entry.size,
            source=self._blobs.path(entry.digest),
            mode=0o755 if entry.executable else 0o644,
        )


def _normal(name: str) -> str:
    path = posixpath.normpath(name) if name else ""
    if not path or path.startswith(("/", "../")) or path == ".." or "\0" in path:
        raise BadImageSettings(
            f"[image] include names {name!r}: a path is relative to the manifest's directory and stays in it",
            setting="include",
        )
    return path


def _covers(start: str, path: str) -> bool:
    return path == start or path.startswith(start + "/")


def _is_file(entry: TreeEntry, start: str) -> bool:
    return entry.path == start and entry.kind is EntryKind.FILE


def _require_targets(files: Iterable[RootFile]) -> None:
    """A symbolic link that leads out of what is included would dangle in the image."""
    paths = {file.path: file for file in files}
    above = {posixpath.dirname(path) for path in paths}
    for file in paths.values():
        if file.target is None:
            continue
        leads = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), file.target))
        if leads not in paths and not any(_covers(leads, one) for one in above):
            raise MissingAsset(
                f"{file.reason}: the symbolic link {file.path} leads to {file.target}, which is not included; "
                "include what it leads to as well",
                path=file.path,
            )
