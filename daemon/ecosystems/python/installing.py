"""Installs packages and tells which of the installed files are whose: what a package brings is in its own record.

Source: https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

import base64
import csv
import io
import posixpath
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from packaging.utils import canonicalize_name

from cache.blobs import BlobStore
from cache.digest import Digest
from cache.manifests.python.locked import LockedPackage
from daemon.ecosystems.kept import Fetched, FetchedFile, KeptPackage
from daemon.ecosystems.python import files
from daemon.ecosystems.python.environment import FILES, INSTALLED, site_packages
from daemon.ecosystems.python.steps import WANTED, install_script, owned, programs, text
from daemon.ecosystems.step import Step
from daemon.errors import BadOutput
from daemon.image.interpreter import ENVIRONMENT
from daemon.pipeline.spool import copied, regular_files
from daemon.tarball import Member
from daemon.toolchains.toolchain import PythonFacts

_RECORD = re.compile(r"(?P<info>(?P<name>[^/]+)-[^/-]+\.dist-info)/RECORD")
_OF_UV = "uv_cache.json"
"""When uv has seen a file: it differs from time to time."""
_CACHED = re.compile(r"(?P<directory>.*?)__pycache__/(?P<stem>[^/]+?)\.[^/.]+(\.opt-[12])?\.pyc")


@dataclass(frozen=True, slots=True)
class _File:
    digest: Digest
    size: int
    executable: bool


class PythonInstalling:
    """An `Installing` over uv; `wanted` are installed."""

    def __init__(self, *, wanted: Sequence[LockedPackage], python: PythonFacts, blobs: BlobStore) -> None:
        self._wanted = wanted
        self._python = python
        self._blobs = blobs

    @property
    def taken(self) -> str:
        """The whole environment."""
        return INSTALLED

    @property
    def in_memory(self) -> tuple[str, ...]:
        """The environment, where it is small."""
        return files.in_memory(self._wanted)

    def step(self, fetched: Fetched | None) -> Step:
        """Offline; an sdist is built here, with what was fetched for it."""
        return Step(script=install_script(self._python), members=self._members(fetched))

    def installed(self, archive: Path, seconds: float) -> Mapping[str, KeptPackage]:
        """By the lines of the lock; each package's part of the seconds is that of its bytes.

        Of several, one whose files are not those of its own record is left out: another one's lie over them.
        """
        root = site_packages(self._python)
        found = dict(self._kept(archive))
        bytecode = _bytecode(found)
        records: dict[str, tuple[str, str]] = {
            str(canonicalize_name(match["name"])): (match["info"], path)
            for path in found
            if (match := _RECORD.fullmatch(posixpath.relpath(path, root))) is not None
        }
        total = sum(file.size for file in found.values()) or 1
        packages = {}
        for package in self._wanted:
            if package.name not in records:
                raise BadOutput(f"{package.name} {package.version} was installed and has left no record of it.")
            info, record = records[package.name]
            lines = self._lines(record, found[record])
            if len(self._wanted) > 1 and _overwritten(lines, root, found):
                continue
            own = tuple(sorted(self._own(info, record, lines, found, bytecode), key=lambda file: file.path))
            part = seconds * sum(file.size for file in own) / total
            packages[package.line] = KeptPackage(fetched=Fetched(files=own), seconds=part)
        return packages

    def _members(self, fetched: Fetched | None) -> Iterator[Member]:
        yield from programs()
        yield text(WANTED, (f"{package.name}=={package.version}" for package in self._wanted))
        if fetched is not None:
            yield from chain((owned(FILES),), files.members(fetched, self._blobs))

    def _kept(self, archive: Path) -> Iterator[tuple[str, _File]]:
        """Every regular file by its path in the image; links are the environment's own, and are made anew there."""
        with self._blobs.staging() as staging, _unwrapped(archive) as tar:
            staged: dict[Digest, Path] = {}
            for number, entry in enumerate(tar):
                if entry.issparse() or entry.islnk():
                    raise BadOutput(f"{entry.name} is a sparse file or a second name of one.")
                if entry.isreg():
                    content = tar.extractfile(entry)
                    assert content is not None
                    path = staging / str(number)
                    digest = copied(content, path)
                    staged[digest] = path
                    yield posixpath.normpath(f"/{entry.name}"), _File(digest, entry.size, bool(entry.mode & 0o100))
            self._blobs.adopt(staged)

    def _lines(self, record: str, file: _File) -> list[list[str]]:
        """What a record says, which whoever built the package may have written."""
        try:
            return list(csv.reader(io.StringIO(self._blobs.read(file.digest).decode())))
        except (UnicodeDecodeError, csv.Error) as error:
            raise BadOutput(f"{record} is no record: {error}") from None

    def _own(
        self,
        info: str,
        record: str,
        lines: Sequence[Sequence[str]],
        found: Mapping[str, _File],
        bytecode: Mapping[str, Sequence[str]],
    ) -> Iterator[FetchedFile]:
        root = site_packages(self._python)
        left_out = f"{info}/{_OF_UV}"
        paths = {posixpath.normpath(posixpath.join(root, line[0])) for line in lines if line and line[0] != left_out}
        for path in sorted(paths.union(*(bytecode.get(source, ()) for source in paths))):
            if path == record:
                yield self._record(path, [line for line in lines if line and line[0] != left_out])
            elif path in found and path.startswith(f"{ENVIRONMENT}/"):
                file = found[path]
                yield FetchedFile(path=path, digest=str(file.digest), size=file.size, executable=file.executable)

    def _record(self, path: str, lines: Sequence[Sequence[str]]) -> FetchedFile:
        """The record, without what was left out."""
        written = io.StringIO()
        csv.writer(written, lineterminator="\n").writerows(lines)
        content = written.getvalue().encode()
        return FetchedFile(path=path, digest=str(self._blobs.put(content)), size=len(content))


@contextmanager
def _unwrapped(archive: Path) -> Iterator[tarfile.TarFile]:
    """The tar that is the only file of a tar."""
    for _, _, content in regular_files(archive):
        try:
            with tarfile.open(fileobj=content, mode="r:") as tar:
                yield tar
        except tarfile.TarError as error:
            raise BadOutput(f"What was installed cannot be read: {error}") from None
        return
    raise BadOutput(f"The installation left nothing at {INSTALLED}.")


def _bytecode(found: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """What was compiled of each source."""
    compiled: dict[str, list[str]] = {}
    for path in found:
        match = _CACHED.fullmatch(path)
        if match is not None:
            compiled.setdefault(f"{match['directory']}{match['stem']}.py", []).append(path)
    return compiled


def _overwritten(lines: Sequence[Sequence[str]], root: str, found: Mapping[str, _File]) -> bool:
    """Whether a file has another content than its package's record says."""
    for line in lines:
        path, said = posixpath.normpath(posixpath.join(root, line[0])), line[1] if len(line) > 1 else ""
        if said.startswith("sha256=") and path in found and not path.endswith(f"/{_OF_UV}"):
            proof = base64.urlsafe_b64encode(bytes.fromhex(found[path].digest.hex)).decode()
            if said.removeprefix("sha256=").rstrip("=") != proof.rstrip("="):
                return True
    return False
