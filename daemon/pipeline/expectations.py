"""Under which locks the unit store did not hold what it was expected to hold.

What a build compiles then, beside its own code, nobody else is given (law 6); the layer that is cooked behind its
answer has it. So the next builds under that lock expect nothing: they stand on the layer, or on its cook as far as that
has come, and what was missing is not compiled once more for each of them.
"""

from collections.abc import Iterable

from cache.digest import Digest
from daemon.builds import BuildRequest
from daemon.ecosystems.planned import Plan
from daemon.pipeline.underway import FEWEST

_MOST = 1024
"""Locks that are remembered; the oldest goes first, and costs time alone."""


class Expectations:
    """Remembers which have failed, as long as the daemon runs."""

    def __init__(self, fewest: int = FEWEST) -> None:
        """With `fewest` packages missing an expectation has failed; less is compiled sooner than a layer is made."""
        self._fewest = fewest
        self._failed: dict[tuple[str, Digest], None] = {}

    def met(self, plan: Plan, request: BuildRequest, compiled: Iterable[str]) -> None:
        """A build that expected all to be there has compiled these packages (`name version`)."""
        missing = set(compiled) - set(plan.members)
        if len(missing) >= self._fewest:
            self._failed[request.scope, plan.exact.digest] = None
            while len(self._failed) > _MOST:
                del self._failed[next(iter(self._failed))]

    def hold(self, plan: Plan, request: BuildRequest) -> bool:
        """Whether nothing is known against expecting all to be there."""
        return (request.scope, plan.exact.digest) not in self._failed
