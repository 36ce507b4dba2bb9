"""Pushes images: the blobs that a registry lacks, then the manifest under its tag.

The layer is pushed as it is, uncompressed: an image has one digest here, in every registry, and in what pulls it.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from cache.digest import Digest
from daemon.errors import PushFailed, StoredFileDamaged
from daemon.image.manifest import MANIFEST_TYPE
from daemon.keyed_locks import KeyedLocks
from daemon.registry.connection import Answer, Busy, Call
from daemon.registry.reference import RegistryReference

T = TypeVar("T")

_REMEMBERED = 10_000
"""Blobs of which it is known in which repository they are."""
_THERE, _CREATED, _ACCEPTED, _BAD, _MISSING = 200, 201, 202, 400, 404


class Blobs(Protocol):
    """Files named by their content; methods block."""

    def path(self, digest: Digest) -> Path:
        """Where a blob is, or would be."""
        ...

    def remove(self, digest: Digest) -> None:
        """Take away what proved damaged."""
        ...


class Connection(Protocol):
    """One registry."""

    async def call(self, call: Call) -> Answer:
        """Its answer, if the call accepts it; `Busy` where a later try may have another."""
        ...

    async def tried(self, work: Callable[[], Awaitable[T]]) -> T:
        """What this gives, in a first or a later try."""
        ...


Connect = Callable[[RegistryReference], Awaitable[Connection]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    digest: Digest
    size: int


class Pusher:
    """Sends images to registries; blobs that are on their way for one image are not sent for another, too."""

    def __init__(self, blobs: Blobs, connect: Connect) -> None:
        self._blobs = blobs
        self._connect = connect
        self._sending = KeyedLocks()
        self._repositories: OrderedDict[tuple[str, Digest], str] = OrderedDict()

    async def send(self, manifest: Digest, reference: RegistryReference) -> int:
        """Everything but the tag; returns the bytes that went over the wire.

        Raises `PushDenied`, `PushFailed`, and `StoredFileDamaged` for a blob that is damaged or gone.
        """
        connection = await self._connect(reference)
        return sum([await self._blob(part, reference, connection) for part in _parts(await self._content(manifest))])

    async def tag(self, manifest: Digest, reference: RegistryReference) -> str:
        """The manifest under the reference's tag, when all that it names is there; returns `host/repository@digest`."""
        connection = await self._connect(reference)
        content = await self._content(manifest)
        named = Call(
            method="PUT",
            url=f"/v2/{reference.repository}/manifests/{reference.tag}",
            accepted=frozenset({_CREATED}),
            scopes=_scopes(reference.repository),
            headers={"Content-Type": MANIFEST_TYPE},
            body=lambda: content,
        )
        answer = await connection.tried(lambda: connection.call(named))
        said = answer.headers.get("Docker-Content-Digest", str(manifest))
        if said != str(manifest):
            raise PushFailed(f"{reference.host} calls the image {said}, which is {manifest}", registry=reference.host)
        return f"{reference.host}/{reference.repository}@{manifest}"

    async def _blob(self, part: _Part, reference: RegistryReference, connection: Connection) -> int:
        async with self._sending.hold((reference.host, reference.repository, part.digest)):
            sent = 0
            if not await self._is_there(part, reference, connection):
                # An upload that broke off is begun anew: its place is not good for a second body.
                sent = await connection.tried(lambda: self._upload(part, reference, connection))
            self._remember(reference, part.digest)
            return sent

    async def _is_there(self, part: _Part, reference: RegistryReference, connection: Connection) -> bool:
        answer = await connection.tried(
            lambda: connection.call(
                Call(
                    method="HEAD",
                    url=f"/v2/{reference.repository}/blobs/{part.digest}",
                    accepted=frozenset({_THERE, _MISSING}),
                    scopes=_scopes(reference.repository),
                )
            )
        )
        return answer.status == _THERE

    async def _upload(self, part: _Part, reference: RegistryReference, connection: Connection) -> int:
        """A mount from a repository that has it, which a registry may answer by beginning an upload; else an upload."""
        elsewhere = self._repositories.get((reference.host, part.digest))
        scopes, mount = _scopes(reference.repository), {}
        if elsewhere is not None and elsewhere != reference.repository:
            mount = {"mount": str(part.digest), "from": elsewhere}
            scopes = (*scopes, f"repository:{elsewhere}:pull")
        begun = await connection.call(
            Call(
                method="POST",
                url=f"/v2/{reference.repository}/blobs/uploads/",
                accepted=frozenset({_CREATED, _ACCEPTED}),
                scopes=scopes,
                query=mount,
            )
        )
        if begun.status == _CREATED:
            return 0
        if not begun.location:
            raise PushFailed(f"{reference.host} began an upload and did not say where", registry=reference.host)
        answer = await connection.call(
            Call(
                method="PUT",
                url=begun.location,
                accepted=frozenset({_CREATED, _BAD, _MISSING}),
                scopes=scopes,
                query={"digest": str(part.digest)},
                headers={"Content-Type": "application/octet-stream", "Content-Length": str(part.size)},
                body=lambda: _opened(self._blobs.path(part.digest), part.digest),
            )
        )
        if answer.status == _MISSING:
            raise Busy(f"{reference.host} forgot an upload that it had begun")
        if answer.status == _BAD:
            await self._prove(part.digest)
            raise PushFailed(f"{reference.host} does not take {part.digest}: {answer}", registry=reference.host)
        return part.size

    async def _prove(self, digest: Digest) -> None:
        """A registry that finds other bytes than the digest says may have been sent those."""
        if await asyncio.to_thread(Digest.of_file, self._blobs.path(digest)) != digest:
            await asyncio.to_thread(self._blobs.remove, digest)
            raise StoredFileDamaged(f"{digest} was damaged on disk; it is dropped.")

    async def _content(self, manifest: Digest) -> bytes:
        try:
            return await asyncio.to_thread(self._blobs.path(manifest).read_bytes)
        except FileNotFoundError as error:
            raise _gone(manifest) from error

    def _remember(self, reference: RegistryReference, digest: Digest) -> None:
        self._repositories[reference.host, digest] = reference.repository
        self._repositories.move_to_end((reference.host, digest))
        if len(self._repositories) > _REMEMBERED:
            self._repositories.popitem(last=False)


def _parts(manifest: bytes) -> list[_Part]:
    document = json.loads(manifest)
    named = [document["config"], *document["layers"]]
    return [_Part(digest=Digest.parse(each["digest"]), size=each["size"]) for each in named]


def _opened(path: Path, digest: Digest) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise _gone(digest) from error


def _scopes(repository: str) -> tuple[str, ...]:
    return (f"repository:{repository}:pull,push",)


def _gone(digest: Digest) -> StoredFileDamaged:
    return StoredFileDamaged(f"{digest} is not in the store any more.")
