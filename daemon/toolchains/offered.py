"""The offered toolchains as plans ask for them: looked up in the engine now and then, not for every build.

An unchanged build must not wait for an engine that is busy committing, and what is offered changes when an operator makes
a toolchain. So a list is good for a while; a plan that does not find its toolchain in it has the list made anew.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

from daemon.engine.engine import Images, Sandboxes, Survey
from daemon.toolchains.offers import FactsStore, offers
from daemon.toolchains.toolchain import Toolchain

_GOOD_FOR = 15.0


class OfferedToolchains:
    """What is offered; `configured` maps names to image references, and where it is empty every made one is offered."""

    def __init__(
        self,
        *,
        configured: Mapping[str, str],
        default: str,
        survey: Survey,
        images: Images,
        sandboxes: Sandboxes,
        facts: FactsStore,
    ) -> None:
        self._configured = configured
        self._default = default
        self._survey = survey
        self._images = images
        self._sandboxes = sandboxes
        self._facts = facts
        self._known: tuple[Toolchain, ...] = ()
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()

    @property
    def default(self) -> str:
        """The one that is meant where none is asked for: the configured one, or `stable`."""
        return self._default or next(iter(self._configured), "stable")

    async def offered(self) -> Sequence[Toolchain]:
        """All offered toolchains, at most 15 s old."""
        if not self._known or time.monotonic() - self._looked_at > _GOOD_FOR:
            await self.refresh()
        return self._known

    async def refresh(self) -> None:
        """Ask the engine now; the failures are those of `offers`."""
        asked_at = time.monotonic()
        async with self._looking:
            if self._looked_at > asked_at:
                return
            self._known = await offers(self._configured, self._survey, self._images, self._sandboxes, self._facts)
            self._looked_at = time.monotonic()
