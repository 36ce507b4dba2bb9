"""Finding out by trial how a toolchain's cargo lays out what it compiles, once for each image (law 12).

Until then its version implies a layout, and nothing waits: a layout that is not the real one costs compiling again, for
what it does not find is not stored, and what it marked and cargo found fresh is not believed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from cache.errors import Failure
from daemon.ecosystems.rust.canary import LayoutFound
from daemon.toolchains import record
from daemon.toolchains.errors import BadToolchain
from daemon.toolchains.offers import FactsStore
from daemon.toolchains.toolchain import CANARY, NO_LAYOUT, Toolchain, ToolchainFacts

Find = Callable[[ToolchainFacts], Awaitable[LayoutFound]]
"""Tries layouts in an image."""


async def tried(facts: ToolchainFacts, find: Find, store: FactsStore) -> tuple[ToolchainFacts, LayoutFound]:
    """Try, and keep what was found with the image's facts; raises what `find` raises."""
    found = await find(facts)
    tried = replace(facts, layout=found.layout or NO_LAYOUT, canary=CANARY)
    await store.record_toolchain_facts(tried.image_id, record.write(tried))
    return tried, found


class Trials:
    """Toolchains that wait to be tried, one after another, beside the builds."""

    def __init__(self, *, find: Find, facts: FactsStore) -> None:
        self._find = find
        self._facts = facts
        self._waiting: asyncio.Queue[Toolchain] = asyncio.Queue()
        self._asked: set[str] = set()
        self._log = structlog.get_logger()

    def put(self, toolchain: Toolchain) -> None:
        """To be tried when there is time, if it never was; returns at once.

        After an engine that does not answer it may be put again.
        """
        image = toolchain.facts.image_id
        if toolchain.facts.canary != CANARY and image not in self._asked:
            self._asked.add(image)
            self._waiting.put_nowait(toolchain)

    async def run(self) -> None:
        """Try until cancelled."""
        while True:
            toolchain = await self._waiting.get()
            try:
                await self._try(toolchain)
            except BadToolchain as failure:
                self._log.warning("toolchain.does_not_work", toolchain=toolchain.name, error=str(failure))
            except (Failure, OSError) as failure:
                self._asked.discard(toolchain.facts.image_id)
                self._log.warning("toolchain.not_tried", toolchain=toolchain.name, error=str(failure))
            except Exception:  # noqa: BLE001 - what an image printed is read here, and the next one waits
                self._log.exception("toolchain.not_tried", toolchain=toolchain.name)
            finally:
                self._waiting.task_done()

    async def idle(self) -> None:
        """Wait until nothing is left to try."""
        await self._waiting.join()

    async def _try(self, toolchain: Toolchain) -> None:
        facts, found = await tried(toolchain.facts, self._find, self._facts)
        against = {str(layout): why for layout, why in found.against.items()}
        log = self._log.info if found.layout is not None else self._log.warning
        log("toolchain.tried", toolchain=toolchain.name, layout=facts.layout, against=against)
