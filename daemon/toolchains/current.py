"""The toolchains that are offered now: asked of the engine when they are wanted, and remembered for a while.

Nothing is read at start, so a daemon starts without its engine. An unchanged build does not wait for an engine that is
busy committing; a plan that misses its toolchain asks anew, so one that was just made is found by the next build.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

from daemon.engine.engine import Images, Sandboxes, Survey
from daemon.toolchains.offers import FactsStore, offers
from daemon.toolchains.toolchain import Toolchain

_SECONDS = 15.0
_STABLE = "stable"


class CurrentToolchains:
    """Offers, at most `seconds` old; `default` is the configured one, which may be empty.

    `seen` is told of each toolchain whenever the engine was asked.
    """

    def __init__(
        self,
        configured: Mapping[str, str],
        default: str,
        *,
        survey: Survey,
        images: Images,
        sandboxes: Sandboxes,
        facts: FactsStore,
        seen: Callable[[Toolchain], None] = lambda _: None,
        seconds: float = _SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configured = configured
        self._default = default
        self._survey = survey
        self._images = images
        self._sandboxes = sandboxes
        self._facts = facts
        self._seen = seen
        self._seconds = seconds
        self._clock = clock
        self._known: tuple[Toolchain, ...] = ()
        self._until = -1.0
        self._asking: asyncio.Task[tuple[Toolchain, ...]] | None = None

    @property
    def default(self) -> str:
        """The toolchain for sources that pick none: the configured one, or the only one there is, or `stable`."""
        if self._default:
            return self._default
        return self._known[0].name if len(self._known) == 1 else _STABLE

    async def offered(self) -> tuple[Toolchain, ...]:
        """All offered toolchains by name; the failures are those of `offers`. None at all is never remembered.

        Whoever asks meanwhile waits for the same answer, and one who leaves does not end it: a new image takes seconds
        to be probed.
        """
        if self._asking is None or self._asking.done():
            if self._clock() < self._until:
                return self._known
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(_heard)
        return await asyncio.shield(self._asking)

    async def refresh(self) -> None:
        """Make the list anew: the next answer is asked of the engine after this call."""
        if self._asking is not None and not self._asking.done():
            await asyncio.wait({self._asking})
        self._until = -1.0

    async def close(self) -> None:
        """End what is being asked."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def _ask(self) -> tuple[Toolchain, ...]:
        self._known = await offers(self._configured, self._survey, self._images, self._sandboxes, self._facts)
        for toolchain in self._known:
            self._seen(toolchain)
        self._until = self._clock() + (self._seconds if self._known else 0.0)
        return self._known


def _heard(asked: "asyncio.Task[tuple[Toolchain, ...]]") -> None:
    """A failure that nobody waits for any more is no error of the loop's."""
    if not asked.cancelled():
        asked.exception()
