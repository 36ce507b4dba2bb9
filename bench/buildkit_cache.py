"""What builds leave in BuildKit's cache: noted before, and pruned by id afterwards.

The engine is shared, so its whole cache is not ours to prune.
"""

import json
from dataclasses import dataclass, field

from bench.engine import CommandFailed, Engine


@dataclass(slots=True)
class BuildCache:
    """An engine's build cache."""

    engine: Engine
    _known: set[str] | None = field(default=None, init=False)

    def note(self) -> None:
        """What is there now is others'."""
        self._known = self._ids()

    def prune_new(self) -> None:
        """Remove what came since; what is in use elsewhere stays."""
        if self._known is None:
            return
        for _ in range(2):  # a parent goes only once no child stands on it
            for each in self._ids() - self._known:
                try:
                    self.engine.docker("builder", "prune", "--force", "--all", "--filter", f"id={each}")
                except CommandFailed:
                    continue
        self._known = None

    def _ids(self) -> set[str]:
        said = self.engine.docker("system", "df", "--verbose", "--format", "{{json .BuildCache}}")
        return {each["ID"] for each in json.loads(said or "[]") or ()}
