"""The files of a runtime image, each with the reason for it.

    /app/<binary>                        the entrypoint; `/app` is the working directory, what is included is below it
    /lib64/ld-linux-x86-64.so.2          the loader, where the binary says
    /lib/<triplet>/…                     the libraries, where the loader looks
    /etc/passwd, /etc/group              root, and the user that the image runs as
    /etc/ssl/certs/ca-certificates.crt   if TLS is linked or it was asked for
    /tmp, /home/nonroot                  writable

A static binary needs none but itself: its image has one file, and directories.
"""

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cache.digest import Digest
from cache.tree import EntryKind
from daemon.builds import ContentEntry
from daemon.image.closure import Library
from daemon.image.errors import BadImageSettings

APP = "/app"
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class Origin(StrEnum):
    """Where a file of an image comes from."""

    BINARY = "binary"
    LOADER = "loader"
    LIBRARY = "library"
    CERTIFICATES = "certificates"
    """Found necessary, not asked for."""
    INCLUDED = "included"
    """Asked for by name."""
    INTERPRETER = "interpreter"
    """The program that runs the sources, and its own library."""
    PACKAGE = "package"
    """Of an installed package."""
    APPLICATION = "application"
    """The sources themselves, where these are what runs, and what is written for them."""
    ACCOUNTS = "accounts"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFile:
    """One entry: a file (`source` or `content`, with digest and size), a symbolic link, or a directory."""

    path: str
    """Absolute and normal."""
    kind: EntryKind
    mode: int
    origin: Origin
    reason: str
    uid: int = 0
    gid: int = 0
    size: int = 0
    digest: Digest | None = None
    source: Path | None = None
    content: bytes | None = None
    target: str | None = None

    @property
    def entry(self) -> ContentEntry:
        """As it is shown."""
        return ContentEntry(
            path=self.path,
            kind=str(self.kind),
            size=self.size,
            mode=self.mode,
            reason=self.reason,
            digest=None if self.digest is None else str(self.digest),
            target=self.target,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The user that an image runs as."""

    name: str
    uid: int
    gid: int
    home: str

    @property
    def user(self) -> str:
        """As the image's configuration says it: in numbers, so that a cluster can see that it is not root."""
        return f"{self.uid}:{self.gid}"


ROOT = Account(name="root", uid=0, gid=0, home="/root")
NONROOT = Account(name="nonroot", uid=65532, gid=65532, home="/home/nonroot")


def stored(
    path: str, origin: Origin, reason: str, *, digest: Digest, size: int, source: Path, mode: int = 0o644
) -> RootFile:
    """A file whose content is a blob."""
    return RootFile(
        path=path,
        kind=EntryKind.FILE,
        mode=mode,
        origin=origin,
        reason=reason,
        size=size,
        digest=digest,
        source=source,
    )


def symlink(path: str, target: str, origin: Origin, reason: str) -> RootFile:
    """A symbolic link."""
    return RootFile(path=path, kind=EntryKind.SYMLINK, mode=0o777, origin=origin, reason=reason, target=target)


def directory(path: str, reason: str, *, mode: int = 0o755, owner: Account = ROOT) -> RootFile:
    """A directory that is there for its own sake."""
    return RootFile(
        path=path,
        kind=EntryKind.DIRECTORY,
        mode=mode,
        origin=Origin.DIRECTORY,
        reason=reason,
        uid=owner.uid,
        gid=owner.gid,
    )


def libraries(found: Iterable[Library]) -> Iterator[RootFile]:
    """The loader and the libraries, each under the name by which it is asked for."""
    for library in found:
        origin = Origin.LOADER if library.loader else Origin.LIBRARY
        reason = f"{origin}: needed by {library.needed_by}"
        file = library.file
        yield stored(library.path, origin, reason, digest=file.digest, size=file.size, source=file.source, mode=0o755)
        for alias in library.aliases:
            yield symlink(alias, library.path, origin, f"{origin}: another name of {library.path}")


def accounts(account: Account) -> Iterator[RootFile]:
    """`/etc/passwd` and `/etc/group` with root and the image's user."""
    users = dict.fromkeys((ROOT, account))
    passwd = "".join(f"{one.name}:x:{one.uid}:{one.gid}:{one.name}:{one.home}:/sbin/nologin\n" for one in users)
    groups = {one.gid: f"{one.name}:x:{one.gid}:\n" for one in reversed(list(users))}
    group = "".join(groups[gid] for gid in sorted(groups))
    for path, text in (("/etc/passwd", passwd), ("/etc/group", group)):
        content = text.encode()
        yield RootFile(
            path=path,
            kind=EntryKind.FILE,
            mode=0o644,
            origin=Origin.ACCOUNTS,
            reason=f"accounts: names {account.name} and root",
            size=len(content),
            digest=Digest.of(content),
            content=content,
        )


def places(account: Account, working_directory: str) -> Iterator[RootFile]:
    """The directories that every image has."""
    yield directory(working_directory, "working directory")
    yield directory("/tmp", "for temporary files", mode=0o1777)  # noqa: S108 - the image's own
    yield directory(account.home, f"home of {account.name}", mode=0o700 if account == ROOT else 0o755, owner=account)


def complete(files: Iterable[RootFile]) -> tuple[RootFile, ...]:
    """All entries with the directories above them, sorted by path; the order of the input plays no part.

    `BadImageSettings` where two entries claim one path, or one lies below something that is no directory.
    """
    entries: dict[str, RootFile] = {}
    for file in files:
        known = entries.setdefault(file.path, file)
        if not _agree(known, file):
            raise BadImageSettings(
                f"two things would be {file.path} in the image ({known.reason}; {file.reason}); change the name of "
                "what is included, or set another working_directory",
                setting="include",
                path=file.path,
            )
        entries[file.path] = min(known, file, key=lambda one: (one.origin is Origin.INCLUDED, one.reason))
    for path in sorted(entries):
        above = posixpath.dirname(path)
        while above != "/":
            known = entries.setdefault(above, directory(above, "holds what is below it"))
            if known.kind is not EntryKind.DIRECTORY:
                raise BadImageSettings(
                    f"{path} would lie below {above}, which is a {known.kind} ({known.reason}); change the name of "
                    "what is included, or set another working_directory",
                    setting="include",
                    path=path,
                )
            above = posixpath.dirname(above)
    return tuple(entries[path] for path in sorted(entries, key=str.encode))


def _agree(one: RootFile, other: RootFile) -> bool:
    if one.kind is EntryKind.DIRECTORY and other.kind is EntryKind.DIRECTORY:
        return True
    return (one.kind, one.digest, one.target) == (other.kind, other.digest, other.target)
