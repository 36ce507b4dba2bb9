"""Calls that an engine finishes although its client went away.

Dropping the connection in the middle of a create or a commit stops nothing: a container or an image appears afterwards
that nobody knows. So a cancelled caller waits for the call to end, and takes back what it made.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from cache.errors import Failure

T = TypeVar("T")


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """Do this to its end, however often the caller is cancelled meanwhile: for what an `except` does before `raise`."""
    task = asyncio.create_task(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await asyncio.shield(task)
    return task.result()


async def settled(work: Coroutine[Any, Any, T], undo: Callable[[T], Awaitable[None]]) -> T:
    """The result of `work`; a cancellation waits until the work has ended and `undo` has taken its result back."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:

        async def take_back() -> None:
            with contextlib.suppress(Failure):
                await undo(await task)

        await uninterrupted(take_back())
        raise


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is done to its end; a cancellation waits for that, and then goes on."""

    async def keep(_result: T) -> None:
        """Nothing is taken back."""

    return await settled(work, undo=keep)
