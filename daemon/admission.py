"""What a request has to pass before it waits in the queue: its tree is here, and what it pushes has a registry."""

from dataclasses import replace
from enum import Enum
from typing import Protocol

from cache.digest import Digest
from cache.tree import SourceTree
from daemon.build_records import Accepted
from daemon.builds import Build, BuildRequest
from daemon.errors import NotPushable, UnknownTree
from daemon.registry.reference import names_registry, parsed


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


class Pushes(Enum):
    """What is pushed of builds that do not say."""

    TAGS_OF_REGISTRIES = True
    NOTHING = False


def with_push(request: BuildRequest, default: Pushes) -> BuildRequest:
    """The request, with a plain yes or no to pushing.

    Raises `NotPushable` where it asks for that and no tag names a registry, or one names none that can be.
    """
    tags = [tag for image in request.images for tag in image.tags if names_registry(tag)]
    if request.push and not tags:
        written = [tag for image in request.images for tag in image.tags]
        raise NotPushable(
            "A build that is to be pushed needs a tag that begins with a registry's host, such as "
            f"registry.example/{written[0] if written else 'team/users:1'}",
            tags=[*written],
        )
    push = bool(tags) and (default.value if request.push is None else request.push)
    if push:
        for tag in tags:
            parsed(tag)
    return replace(request, push=push)


class Admission:
    """The queue, for trees that are here alone."""

    def __init__(self, queue: Queue, trees: Trees, pushes: Pushes) -> None:
        self._queue = queue
        self._trees = trees
        self._pushes = pushes

    async def require_open(self) -> None:
        """As the queue's."""
        await self._queue.require_open()

    async def submit(self, request: BuildRequest, idempotency_key: str | None) -> Accepted:
        """As the queue's, and `UnknownTree` and `NotPushable`."""
        request = with_push(request, self._pushes)
        await require_tree(self._trees, request)
        return await self._queue.submit(request, idempotency_key)

    async def ended(self, build: str, within: float) -> Build:
        """As the queue's."""
        return await self._queue.ended(build, within)

    async def cancel(self, build: str) -> Build:
        """As the queue's."""
        return await self._queue.cancel(build)
