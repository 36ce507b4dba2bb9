"""Finding out by trial how a toolchain's cargo lays out what it compiles, once for each image (law 12).

Until then its version implies a layout, and nothing waits: a layout that is not the real one costs compiling again, for
what it does not find is not stored, and what it marked and cargo found fresh is not believed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import structlog

from cache.errors import Failure
from daemon.behind import Behind
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
    """Tries toolchains behind the answers of builds."""

    def __init__(self, *, find: Find, facts: FactsStore, behind: Behind) -> None:
        self._find = find
        self._facts = facts
        self._behind = behind
        self._asked: set[str] = set()
        self._log = structlog.get_logger()

    def put(self, toolchain: Toolchain) -> None:
        """To be tried when there is time, if it never was; returns at once.

        After an engine that does not answer it may be put again.
        """
        image = toolchain.facts.image_id
        if toolchain.facts.canary != CANARY and image not in self._asked:
            self._asked.add(image)
            self._behind.put("trial", toolchain.name, partial(self._try, toolchain))

    async def _try(self, toolchain: Toolchain) -> None:
        try:
            facts, found = await tried(toolchain.facts, self._find, self._facts)
        except BadToolchain:
            raise
        except (Failure, OSError):
            self._asked.discard(toolchain.facts.image_id)
            raise
        against = {str(layout): why for layout, why in found.against.items()}
        log = self._log.info if found.layout is not None else self._log.warning
        log("toolchain.tried", toolchain=toolchain.name, layout=facts.layout, against=against)
