"""What a request has to pass before it waits in the queue: the tree that it names is here, for its scope."""

from typing import Protocol

from cache.digest import Digest
from cache.tree import SourceTree
from daemon.build_records import Accepted
from daemon.builds import Build, BuildRequest
from daemon.errors import UnknownTree


class Queue(Protocol):
    """The scheduler's part."""

    async def require_open(self) -> None:
        """Raise `Draining` or `QueueFull` where `submit` would."""
        ...

    async def submit(self, request: BuildRequest, idempotency_key: str | None) -> Accepted:
        """Accept a request for good."""
        ...

    async def ended(self, build: str, within: float) -> Build:
        """The build at its end, or after so many seconds."""
        ...

    async def cancel(self, build: str) -> Build:
        """End a build early."""
        ...


class Trees(Protocol):
    """The trees that are here."""

    async def tree(self, digest: Digest, scope: str) -> SourceTree | None:
        """One of them, or None where the scope cannot name it."""
        ...


async def require_tree(trees: Trees, request: BuildRequest) -> None:
    """Raise `UnknownTree` where the request's scope cannot name its tree."""
    if await trees.tree(Digest.parse(request.tree), request.scope) is None:
        raise UnknownTree(f"no tree {request.tree} is here; upload it with POST /v1/trees", tree=request.tree)


class Admission:
    """The queue, for trees that are here alone."""

    def __init__(self, queue: Queue, trees: Trees) -> None:
        self._queue = queue
        self._trees = trees

    async def require_open(self) -> None:
        """As the queue's."""
        await self._queue.require_open()

    async def submit(self, request: BuildRequest, idempotency_key: str | None) -> Accepted:
        """As the queue's, and `UnknownTree`."""
        await require_tree(self._trees, request)
        return await self._queue.submit(request, idempotency_key)

    async def ended(self, build: str, within: float) -> Build:
        """As the queue's."""
        return await self._queue.ended(build, within)

    async def cancel(self, build: str) -> Build:
        """As the queue's."""
        return await self._queue.cancel(build)
