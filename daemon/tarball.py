"""Uncompressed tar streams made here: what is put into containers and what images are made of.

Everything that decides an archive's bytes is in `Member`: the same members in the same order give the same bytes.
Entries are ustar, with pax headers only for what ustar cannot say (long or non-ASCII names, access times); times are
whole seconds.
"""

import asyncio
import hashlib
import tarfile
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cache.digest import Digest, DigestMismatch
from daemon.engine.settled import to_the_end

_PIECE = 1 << 20
_END = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry: a file (`content` bytes, or `source` with its `size`), a symlink (`target`), or else a directory.

    With a `digest`, a source is proved on its way: one that was damaged on disk must not get into a build unnoticed.
    """

    path: str
    mode: int
    mtime: int
    atime: int | None = None
    """None leaves it to whoever unpacks."""
    uid: int = 0
    gid: int = 0
    content: bytes | memoryview | None = None
    source: Path | None = None
    digest: Digest | None = None
    size: int = 0
    target: str | None = None


def header(member: Member) -> bytes:
    """The header blocks of one entry."""
    info = tarfile.TarInfo(member.path.lstrip("/"))
    info.mode, info.mtime, info.uid, info.gid = member.mode, member.mtime, member.uid, member.gid
    if member.target is not None:
        info.type, info.linkname = tarfile.SYMTYPE, member.target
    elif member.content is not None:
        info.size = len(member.content)
    elif member.source is not None:
        info.size = member.size
    else:
        info.type = tarfile.DIRTYPE
    plain = _blocks(info)
    if member.atime is None:
        return plain
    if len(plain) == tarfile.BLOCKSIZE:
        return _accessed(member.atime) + plain
    info.pax_headers = {"atime": str(member.atime)}
    return _blocks(info)


@lru_cache
def _accessed(atime: int) -> bytes:
    """The pax header of an entry that needs one for nothing else: making it takes longer than the entry's own."""
    info = tarfile.TarInfo("file")
    info.pax_headers = {"atime": str(atime)}
    return _blocks(info)[: -tarfile.BLOCKSIZE]


def _blocks(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def entries(members: Iterable[Member]) -> Iterator[bytes]:
    """An archive's bytes without its end, so that another archive can follow.

    Raises `OSError` for a source that is gone, `DigestMismatch` for one that is not what its digest says, and
    `ValueError` for one without a digest that has another size.
    """
    held = bytearray()
    for member in members:
        held += header(member)
        if member.content is not None:
            held += member.content
            held += _padding(len(member.content))
        elif member.source is not None and member.target is None:
            for piece in _proved(member, member.source):
                held += piece
                if len(held) >= _PIECE:
                    yield bytes(held)
                    held.clear()
            held += _padding(member.size)
        if len(held) >= _PIECE:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _proved(member: Member, source: Path) -> Iterator[bytes]:
    """A source's bytes; at their end they were what the member says."""
    left, seen = member.size, hashlib.sha256()
    with source.open("rb") as stream:
        while piece := stream.read(min(_PIECE, left + 1)):
            left -= len(piece)
            if member.digest is not None:
                seen.update(piece)
            yield piece
    if member.digest is not None and (found := Digest(seen.hexdigest())) != member.digest:
        raise DigestMismatch(member.digest, found)
    if left:
        raise ValueError(f"{source} is not {member.size} bytes long")


def pieces(members: Iterable[Member]) -> Generator[bytes, None, None]:
    """The archive's bytes; raises as `entries` does."""
    yield from entries(members)
    yield _END


async def stream(members: Iterable[Member]) -> AsyncGenerator[bytes, None]:
    """`pieces`, read in a thread so that the loop goes on."""
    async with aclosing(threaded(pieces(members))) as archive:
        async for piece in archive:
            yield piece


async def threaded(source: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
    """Any generator of bytes, each step and its end taken in a thread, and one step ahead of who reads.

    Whoever is cancelled waits for the step that is under way: a generator is not left while a thread is still in it.
    """
    coming = asyncio.ensure_future(asyncio.to_thread(next, source, None))
    try:
        while (piece := await asyncio.shield(coming)) is not None:
            coming = asyncio.ensure_future(asyncio.to_thread(next, source, None))
            yield piece
    finally:
        await to_the_end(_closed(source, coming))


async def _closed(source: Generator[bytes, None, None], coming: asyncio.Future[bytes | None]) -> None:
    await asyncio.wait({coming})
    coming.exception()  # nobody reads on, so nobody is to be told
    await asyncio.to_thread(source.close)
